/* What is asked of a model: which targets samples have, by which loss it is trained, which figures judge it, and how
 * logits become a decision. A task belongs to the model and is saved with it, class names included.
 *
 * A kind of task is a row; adding one is its file and its row. Everything else (training, validation, gates, observers,
 * tables) asks the row. */
#ifndef ENGINE_TASK_TASK_H
#define ENGINE_TASK_TASK_H

#include <cjson/cJSON.h>

#include "config/option.h"
#include "data/dataset.h"
#include "graph/graph.h"
#include "input/feed.h"
#include "input/mixing.h"
#include "task/metrics.h"

/* Who the loss listens to. */
struct task_loss {
	float smoothing; /* label smoothing; single label without a teacher only */
	bool distilled;  /* a teacher's logits are an input, "teacher_logits" */
	float temperature, alpha;
};

struct task_kind {
	const char *name, *help;
	enum target_kind target;
	const struct metric_row *metric; /* ends with a row without a name */
	const char *primary;             /* the metric that is primary unless another is asked for */
	/* Appends target inputs, "weight" and the loss; sets g->loss. */
	int (*add_loss)(struct graph *g, const struct task_loss *loss);
	/* Probabilities (classes) of one sample's logits (classes). */
	void (*probabilities)(const float *logits, int classes, double *p);
	/* Whether class c belongs to the decision; p as above. */
	bool (*chosen)(const struct task *t, const double *p, int c);
	/* One sample into counts; see metrics_add. */
	int (*add)(struct metrics *m, const float *logits, const struct targets *t, int64_t i);
	/* Brings the counts of the classes up to date, where `add` only keeps samples; NULL: they are. */
	void (*count)(struct metrics *m);
	/* Counts and what follows from them to m->value. */
	int (*finish)(struct metrics *m);
};

/* The YAML block `task`. */
struct task_options {
	char *kind;   /* NULL: by the targets of the data */
	char *metric; /* name of the primary metric; NULL: the kind's */
	int balance;  /* enum task_balance */
	struct option_floats class_weights, pos_weight, priority, threshold;
	bool search_thresholds;
	double threshold_low, threshold_high;
	double mixup;
};
enum task_balance { BALANCE_NONE, BALANCE_CLASSES };
extern const struct option task_option_table[];

/* A task with everything that it needs at run time; owned. A zeroed struct is empty. */
struct task {
	const struct task_kind *kind;
	int classes;
	char **class_name; /* (classes) */
	int primary;       /* row of kind->metric */
	float *weight;     /* single label: (classes) weights of the loss; NULL: all 1 */
	float *pos_weight; /* multi-label: (classes) weight of a label that is there; NULL: all 1 */
	double *threshold; /* multi-label: (classes) probability from which a label is given; NULL: 0.5 */
	double *priority;  /* (classes) weights of f1_priority; NULL: that figure is not defined */
	bool search;       /* thresholds are searched on the validation split after a training */
	double search_low, search_high;
	double mixup; /* of training batches: both parameters of the beta distribution of shares; 0: none */
};

/* NULL: no such kind; the error is set and lists those that there are. */
const struct task_kind *task_kind_find(const char *name);
/* Adds a kind, and its rows to task_metric_choices, before options are read; `kind` must live as long as the program.
 * ERR_FAIL: there are too many. */
int task_kind_register(const struct task_kind *kind);
/* Resolves options against the data: kind, class names, weights that the training split decides. ERR_CONFIG: a kind
 * that the data's targets do not fit, an unknown metric, lists of another length. *key: the option at fault. */
int task_make(struct task *out, const struct task_options *o, const struct dataset *d, const char **key);
/* The kind's defaults with these class names (copied): for checkpoints that hold no task. */
int task_default(struct task *out, enum target_kind target, char *const *class_name, int classes);
/* ERR_CHECKPOINT "WHERE: 'NAME' is there twice": a class that is read from a file must be told from the others. */
int task_check_names(const char *where, char *const *class_name, int classes);
int task_copy(struct task *out, const struct task *t);
void task_clear(struct task *t);
/* kind, class_names, metric, thresholds, ...: what a checkpoint says of its task. */
cJSON *task_to_json(const struct task *t);
int task_from_json(struct task *out, const cJSON *json); /* strict; ERR_CHECKPOINT */

int task_metrics(const struct task *t); /* number of rows */
/* Row of a metric: "primary" or a name; -1 for "loss"; -2: no such metric, the error is set and lists the names,
 * or one that the task lacks the weights of. */
int task_metric_find(const struct task *t, const char *name);
#define TASK_METRIC_LOSS    (-1)
#define TASK_METRIC_UNKNOWN (-2)
/* "accuracy", or "loss" for TASK_METRIC_LOSS. */
const char *task_metric_name(const struct task *t, int row);
double task_metric_value(const struct metrics *m, int row);
/* The row of that name in any kind, for figures that were read from a file; NULL: there is none. A name means the same
 * in all kinds. */
const struct metric_row *task_metric_row(const char *name);
/* Every name that `monitor` and gates accept in any kind, NULL-terminated: "primary", all rows, "loss", and the rows of
 * registered kinds. Written by task_kind_register alone. */
extern const char *task_metric_choices[];

/* The weight of a sample in the loss before it is divided by the sum over the effective batch; 1 without a label. */
float task_sample_weight(const struct task *t, const struct dataset *d, enum split s, int64_t i);
bool task_is_weighted(const struct task *t);
/* Fills "labels" or "targets", -1 for samples without (data/transfer.h), and "pos_weight", and "weight": each sample's
 * weight divided by `sum`, the sum of weights over the effective batch. */
int task_fill(const struct task *t, const struct dataset *d, enum split s, const uint32_t *index, int count, float sum,
    struct feed *f);
/* Of samples that are mixed with partners: what a sample's weight is in the sum over the effective batch, at `place` of
 * it; the parts of the mixture weigh as their own samples do. */
float task_mixed_weight(
    const struct task *t, const struct dataset *d, enum split s, const struct mixing *m, int64_t place);
/* After task_fill, of the same samples, which are those at the places from `first` on: "weight" becomes the sample's
 * part, and the inputs of graph_mix_loss are filled, the partners' "labels.mixed" or "targets.mixed" and
 * "weight.mixed". */
int task_fill_mixed(const struct task *t, const struct dataset *d, enum split s, const struct mixing *m, int64_t first,
    int count, float sum, struct feed *f);
/* The targets of a split from sample `first` on. */
struct targets task_targets(const struct dataset *d, enum split s, int64_t first);
/* The decision about one sample's logits as a row of task_decided_width bytes: of one class its index (1 byte, 4 as an
 * int32_t where there are more than 256), of labels a byte of 0 or 1 for each. ERR_NOMEM. */
int task_decided_width(const struct task *t);
int task_decide(const struct task *t, const float *logits, uint8_t *row);
/* The truth of sample i in the same form. */
void task_true_row(const struct task *t, const struct targets *targets, int64_t i, uint8_t *row);
/* Whether the decision about these logits is right as a whole. */
bool task_right(const struct task *t, const float *logits, const struct targets *targets, int64_t i);
/* Chooses the threshold of each label on the samples in m (multi-label, finished): the one in [search_low, search_high]
 * with the best F1 of its label; of equal ones the closest to 0.5. Does nothing for other tasks. m must be finished
 * again afterwards. */
int task_search_thresholds(struct task *t, const struct metrics *m);
/* Maps the classes of the data to those of the model by name. map (classes of the data): the model's index. ERR_DATA
 * naming the classes that one of them lacks. *same: the order is the same too. */
int task_map_classes(const struct task *t, const struct dataset *d, int *map, bool *same);

extern const struct task_kind task_single_label, task_multi_label;

#endif
