/* Private to stages: the parts of pruning. prune.c is the stage, prune_options.c its contradictions, prune_rounds.c its
 * rounds, prune_note.h what one is gone on from, prune_mask.c zeroes weights, prune_norms.c has the norms of their
 * inputs, prune_taylor.c their gradients, prune_units.c removes units, prune_scores.c says which, prune_fisher.h
 * removes those that the loss misses least. */
#ifndef STAGES_PRUNE_H
#define STAGES_PRUNE_H

#include "graph/pass.h"
#include "quant/norms.h"
#include "stages/accept.h"
#include "stages/calibrate.h"
#include "stages/fit.h"
#include "stages/prune_choose.h"
#include "stages/prune_curve.h"

enum prune_method {
	PRUNE_MAGNITUDE,
	PRUNE_NM,
	PRUNE_STRUCTURED,
	PRUNE_WANDA,
	PRUNE_FISHER,
	PRUNE_TAYLOR,
	PRUNE_MOVEMENT
};
/* Where weights compete: all of them, those of a layer, those of one output. */
enum prune_scope { SCOPE_AUTO, SCOPE_GLOBAL, SCOPE_LAYER, SCOPE_ROW };
/* What is kept: large weights, or weights of units; or by what calibration shows. */
enum prune_score { SCORE_MAGNITUDE, SCORE_WANDA, SCORE_TAYLOR, SCORE_ENTROPY };
extern const char *const prune_score_names[];
enum prune_ramp { RAMP_ONE_SHOT, RAMP_LINEAR, RAMP_CUBIC, RAMP_EXPONENTIAL };
enum prune_norm { NORM_AUTO, NORM_L1, NORM_L2 };

struct prune_options {
	int method, scope, score, ramp, norm;
	double sparsity;                /* 0 = not given */
	int64_t begin_epoch, end_epoch; /* 0-based; end 0 = not given */
	int64_t n, m;                   /* 0 = not given */
	int64_t round_to, min_units;
	int64_t iterations;
	bool rewind;
	int64_t fisher_samples;
	bool rearrange, tune;
	struct prune_target {
		double latency_ms; /* 0 = not given */
		int64_t batch, tokens;
	} target;
	struct option_strings exclude;
	const char *exclude_key; /* what messages call it; NULL: "exclude" */
	bool embeddings;
	int64_t calibration_batches, calibration_batch_size; /* 0 = not given */
	int calibration_split;                               /* 0 = not given */
	struct option_floats sensitivity_sparsity; /* shares at which layers are measured alone; empty: none is */
	struct accept_options accept;
	struct train_options train;
	struct kd_options kd;
};
extern const struct option prune_option_table[];
/* ERR_CONFIG and *key where options contradict each other or the model. */
int prune_options_check(const struct prune_options *o, const struct model_spec *spec, const char **key);

/* How often it is pruned and fine-tuned, and what share of the whole is gone after a round, from 1: of a model of which
 * `initial` is gone already. The steps are equal, but where weights are rewound each takes the same share of those that
 * are left, as Frankle and Carbin 2019 do. */
int prune_rounds(const struct prune_options *o);
double prune_share_from(const struct prune_options *o, double initial, int round);
double prune_share(const struct prune_options *o, int round);
/* The scope that `auto` stands for. */
enum prune_scope prune_scope_of(const struct prune_options *o);
/* By scope: "global", "globally". */
extern const char *const prune_scope_names[], *const prune_scope_texts[];
/* What weights or units are compared by; of fisher, which has a report of its own, nothing is asked. */
enum prune_score prune_score_of(const struct prune_options *o);
/* Whether a target sparsity says how many weights are masked. */
bool prune_has_target(const struct prune_options *o);
/* Whether scores come from samples, and from which. */
bool prune_is_calibrated(const struct prune_options *o);
struct calibration_size prune_calibration_size(const struct prune_options *o, const struct dataset *d);

/* The ramp's epochs with defaults resolved: before epoch e (0-based) the sparsity is prune_ramp_at(...e...); the target
 * holds from epoch `end` on. */
void prune_ramp_epochs(const struct prune_options *o, int64_t *begin, int64_t *end);
/* From `initial` at begin to o->sparsity at end. */
double prune_ramp_at(const struct prune_options *o, double initial, int64_t epoch);

/* The weights that masks act on: the weights of linear layers and convolutions that are not excluded, and tables of
 * embeddings where the options ask for them. */
struct prune_set {
	struct prune_weight {
		char layer[NODE_NAME], param[NODE_NAME];
		char input[NODE_NAME];   /* the value that the layer reads */
		int64_t n, row, outputs; /* elements; size of the last axis (input channels), of the first */
		int norm;                /* of its input, once prune_norms has run */
	} * weight;
	int n;
	int64_t total; /* elements of all */
};
/* ERR_CONFIG: a pattern that matches no layer (with the nearest name), no embeddings, or nothing left. */
int prune_set_init(struct prune_set *p, const struct model_spec *spec, const struct prune_options *o);
void prune_set_clear(struct prune_set *p);

/* Share of masked elements. */
int prune_masked_share(const struct prune_set *p, const struct param_store *s, double *share);
/* ERR_CONFIG: a share of `initial` is masked already, which is more than the target. */
int prune_check_target(const struct prune_set *p, double initial, double sparsity);
/* Where weights of all layers compete, or masks meet removed units, nothing may be left of a layer: its output is a
 * constant from then on. Between the branches of a residual net that may be wanted; it is said, by name, once. *said:
 * (*n) those that were named, of the params that the store has at the first call: fine-tuning may add params of its own
 * at the end. NULL before the first call, to be freed with mem_free. */
int prune_warn_of_empty(const struct stage_run *run, const struct param_store *s, bool **said, int *n);
/* Elements that are not masked. */
int prune_left(const struct param_store *s, const struct param *p, int64_t *left);
/* Masks the smallest weights, or with norms those of the smallest scores |w| * ||x||, until `sparsity` of all (global),
 * of each layer's or of each output's (row) are masked, but one. What is masked stays. */
int prune_smallest(const struct prune_set *p, struct param_store *s, const struct channel_norms *norms,
    enum prune_scope scope, double sparsity);
/* The same by scores (total); those of any sign are compared to 23 bits. */
int prune_lowest(
    const struct prune_set *p, struct param_store *s, const float *score, enum prune_scope scope, double sparsity);
/* Keeps the n largest of every m consecutive inputs of each output; with norms, of the largest scores. */
int prune_nm(const struct prune_set *p, struct param_store *s, const struct channel_norms *norms, int n, int m);
/* Collects the norms of the inputs of all weights of the set, in the float graph as it is (batch norm by running
 * statistics), from calibration data. ERR_INTERRUPTED; ERR_DATA: a value that is not finite. */
int prune_norms(struct prune_set *p, const struct stage_run *run, struct model *model,
    const struct calibration_size *size, struct channel_norms *out);
/* What that holds: as for prune_taylor_plan. */
int prune_norms_plan(const struct prune_set *p, struct model *model, const struct encoding *samples, int batch,
    size_t *device, size_t *host);

/* Scores of the set's weights by gradients, |w * dL/dw| (prune_taylor.c); *score (total) is the caller's to free.
 * ERR_INTERRUPTED; ERR_DATA: a gradient that is not finite. */
int prune_taylor(const struct prune_set *p, const struct stage_run *run, struct model *model,
    const struct calibration_size *size, float **score);
/* What that holds on the model's device, whose params need no memory (params_plan_graph), and on the host, in batches
 * of so many of these samples. */
int prune_taylor_plan(const struct prune_set *p, struct model *model, const struct encoding *samples, int batch,
    size_t *device, size_t *host);
/* Its parts: sums over batches that have gone forth and back in executors of the graph that taylor_build makes, whose
 * loss is the sum over samples. The mean over a batch is what counts. */
struct taylor {
	const struct prune_set *set; /* borrowed, as the two below */
	const struct model_spec *spec;
	const struct task *task;
	float *w, *gradient; /* (total) */
	double *sum;         /* (total) of squares */
	int64_t batches;
};
int taylor_open(struct taylor *t, const struct prune_set *set, const struct model_spec *spec, const struct task *task,
    const struct param_store *params);
void taylor_close(struct taylor *t);
int taylor_build(void *taylor, const struct build_shape *shape, struct graph *out);
int taylor_add(void *taylor, struct executor *ex, const struct feed *feed, int samples);
/* score (total); at least one batch was added. */
void taylor_scores(const struct taylor *t, float *score);

/* Scores that are gathered while the model is trained, and masks by them (prune_movement.c). */
struct movement {
	const struct prune_set *set;      /* borrowed, as params */
	const struct param_store *params; /* that are trained */
	struct tensor_file scores;        /* by param */
	float *w, *other;                 /* (total) before a step; for gradients and scores */
};
int movement_open(struct movement *m, const struct prune_set *set, const struct param_store *params);
void movement_clear(struct movement *m);
/* What a fit_job wants, without host_bytes, which are movement_bytes. */
struct fit_steps movement_steps(struct movement *m);
size_t movement_bytes(const struct prune_set *set);
/* As prune_lowest. ERR_CHECKPOINT: scores came from a state that was none of this. */
int movement_mask(struct movement *m, struct param_store *s, enum prune_scope scope, double sparsity);

/* A plan's view of masks: `f` of the input becomes that of the output. ERR_CONFIG: the input will certainly have more
 * masks than the sparsity allows; where that depends on the weights it is said through s->progress. */
int prune_forecast_masks(
    const struct prune_options *o, const struct prune_set *set, const struct stage_run *s, struct mask_forecast *f);
/* The same where units are removed: masks of what stays are kept. */
int prune_forecast_units(const struct model_spec *after, struct mask_forecast *f);
/* Where the data decides which are, first: no mask is certain to stay. */
void prune_forecast_open(struct mask_forecast *f);

/* Whether the method takes units away, and sets no masks. */
bool prune_removes_units(const struct prune_options *o);
/* The number of units of a width stays a multiple of this. */
int prune_width_step(const struct prune_options *o, int width);
/* Which widths (n_width) are left alone. ERR_CONFIG: a pattern that matches none. */
int prune_excluded(const struct prune_options *o, const struct model_spec *spec, bool *excluded);
/* The params of `from`, as far as they are kept, into the empty store `left` for `to`. */
int prune_slice_params(const struct model_spec *from, const struct model_spec *to, const struct slice *keep,
    const struct param_store *params, struct param_store *left);

/* The spec that is left of `spec` without `share` of the units of each width, by the options alone: what the later
 * stages of a plan need to know. ERR_CONFIG as for prune_set_init, with the names of widths. */
int prune_units_spec(
    const struct prune_options *o, const struct model_spec *spec, double share, struct model_spec *out);
/* Ranks the units of each width and replaces the model by the best, as many as `want` has: spec, params, masks. run:
 * whose data calibrates; not looked at for magnitudes. ERR_INTERRUPTED. */
int prune_units(
    const struct prune_options *o, const struct stage_run *run, const struct model_spec *want, struct model *model);
/* ERR_CONFIG: a width that is to shrink from `spec` to `after` has no such score. */
int prune_units_check(const struct prune_options *o, const struct model_spec *spec, const struct model_spec *after);
/* A gate_sink (prune_gates.h): adds the absolute gradients to struct unit_scores. */
struct gate;
int prune_add_taylor(void *scores, const struct gate *gate, const double *gradient);
/* prune_scores.c: scores of the units of all widths that shrink from scores->spec to `want`. */
int prune_score_units(const struct prune_options *o, const struct stage_run *run, struct model *model,
    const struct model_spec *want, struct unit_scores *scores);

/* What that holds in batches of so many of these samples: as for prune_taylor_plan. */
int prune_score_units_plan(const struct prune_options *o, struct model *model, const struct model_spec *want,
    const struct encoding *samples, int batch, size_t *device, size_t *host);
/* What all scoring before the first training holds, into out->scoring; too much is said in out->no_room. */
int prune_plan_memory(const struct stage_run *s, const struct model_spec *input, struct stage_plan *out);

/* A stage at work. */
struct prune_job {
	const struct prune_options *o;
	struct stage_run *run;
	struct model model;      /* without the input's tensors and info */
	struct model_spec input; /* what the stage began with */
	int64_t parameters;      /* of it */
	double removed_before;   /* parameters, by earlier stages */
	char parent[HASH_HEX];
	struct prune_set set; /* of masks */
	double initial;       /* share of it that was masked before */
	int64_t calibrated;   /* samples that scores were taken from */
	double started;
	bool *empty; /* (n_params) params of the model that a warning was about */
	int n_params;
	struct prune_curve curve;
	struct fit_report report;   /* of the last round */
	struct early_weights early; /* to rewind to */
	struct movement movement;
	cJSON *choice; /* fisher: what was found out, for checkpoint_info.json */
};
/* All rounds, from the first or from the one that an earlier start was interrupted in. */
int prune_all_rounds(struct prune_job *job);
void prune_job_clear(struct prune_job *job);

#endif
