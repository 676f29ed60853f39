/* Figures of a model on labelled samples. Which figures there are is a table of the task: whoever monitors, gates,
 * compares or prints asks the rows and knows no figure by name.
 *
 * Use: metrics_init, then per pass metrics_reset, metrics_add for each batch, metrics_finish. */
#ifndef ENGINE_TASK_METRICS_H
#define ENGINE_TASK_METRICS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct task;

#define METRIC_MAX 16 /* rows of a task */

struct metric_row {
	const char *name;   /* "f1_macro": key in files and in options */
	const char *title;  /* "macro F1": heading of a column */
	const char *help;   /* one line, with the formula */
	bool higher_better; /* else lower */
	bool share;         /* 0..1: tables show it in per cent */
	bool table;         /* is a column of the tables beside the primary metric */
	bool of_samples;    /* is `right` of `n`: has a binomial interval, and counts compare it exactly */
	bool unbounded;     /* can leave 0..1 */
};

/* The truth of n samples, one of the two by the task's target kind; borrowed. */
struct targets {
	const int32_t *label; /* (n): class, or -1: the sample does not count */
	const uint8_t *set;   /* (n, classes): 1 where the sample has the label */
};

/* One class of a single-label task, or one label of a multi-label one. Precision and recall are 0 where nothing was
 * predicted or nothing is there. */
struct class_figures {
	int64_t tp, fp, fn, support; /* support: samples that have it */
	double precision, recall, f1;
	double accuracy; /* share of samples that are right about this label */
	double roc_auc;  /* multi-label; NaN where all samples agree */
};

struct metrics {
	const struct task *task; /* borrowed */
	int classes;
	int64_t n;                      /* samples that count */
	int64_t right;                  /* samples whose decision is right as a whole */
	double loss_sum, loss;          /* natural logarithm; loss: per sample */
	double value[METRIC_MAX];       /* by the task's rows; NaN: not defined on these samples */
	struct class_figures *of_class; /* (classes) */
	int64_t *confusion;             /* single label: (true, predicted); else NULL */
	/* Multi-label: every probability and truth, for ROC-AUC and the search of thresholds. (cap, classes) */
	float *probability;
	uint8_t *truth;
	int64_t cap;
};

int metrics_init(struct metrics *m, const struct task *task);
void metrics_clear(struct metrics *m);
void metrics_reset(struct metrics *m);
/* logits (n, classes). ERR_DATA: a label outside the classes. */
int metrics_add(struct metrics *m, const float *logits, const struct targets *t, int64_t n);
/* Fills the derived figures. ERR_NOMEM. */
int metrics_finish(struct metrics *m);
/* A copy without the samples' probabilities. `to` is initialised for the same task, or zeroed. */
int metrics_copy(struct metrics *to, const struct metrics *from);
/* For kinds of tasks: means of the classes' figures, each rounded once (task/exact.h), so that a mean that is 7/10
 * meets a limit of 0.7 and equal means are equal. */
struct class_means {
	double f1, precision, recall, f1_weighted; /* weighted: by support */
	double f1_priority;                        /* by task.priority; NaN without */
};
struct class_means metrics_class_means(const struct metrics *m);
/* Whether a figure of row `by` (< 0: the loss) is at least `limit`, or at most where less is better; one that is that
 * much but for the rounding of decimal fractions is. An undefined figure reaches nothing. */
#define METRIC_ROUNDING 1e-9 /* far above what rounding loses, far below what a sample changes */
bool metrics_reach(const struct task *t, int by, double value, double limit);
/* The value of the task's primary metric. */
double metrics_primary(const struct metrics *m);
/* Whether a is better than b by row `by`; equal or undefined figures go to the lower loss. by < 0: by the loss. */
bool metrics_better(const struct metrics *a, const struct metrics *b, int by);
/* Every row by name, loss, samples, per_class (with precision, recall, f1, support, ...) and, for a single-label task,
 * confusion. NULL with the error set. */
cJSON *metrics_to_json(const struct metrics *m);
/* All that metrics_copy keeps, exact to the last bit, and back: for states that are resumed. ERR_CHECKPOINT. */
cJSON *metrics_save(const struct metrics *m);
int metrics_restore(struct metrics *m, const cJSON *json);

#endif
