/* Private to stages: the parts of pruning. prune.c is the stage, prune_options.c its contradictions, prune_mask.c
 * zeroes weights, prune_units.c removes units. */
#ifndef STAGES_PRUNE_H
#define STAGES_PRUNE_H

#include "graph/pass.h"
#include "stages/fit.h"

enum prune_method { PRUNE_MAGNITUDE, PRUNE_NM, PRUNE_STRUCTURED };
enum prune_scope { SCOPE_AUTO, SCOPE_GLOBAL, SCOPE_LAYER };
enum prune_ramp { RAMP_ONE_SHOT, RAMP_LINEAR, RAMP_CUBIC, RAMP_EXPONENTIAL };
enum prune_norm { NORM_AUTO, NORM_L1, NORM_L2 };

struct prune_options {
	int method, scope, ramp, norm;
	double sparsity;                /* 0 = not given */
	int64_t begin_epoch, end_epoch; /* 0-based; end 0 = not given */
	int64_t n, m;                   /* 0 = not given */
	int64_t round_to, min_units;
	struct option_strings exclude;
	const char *exclude_key; /* what messages call it; NULL: "exclude" */
	bool embeddings;
	struct train_options train;
	struct kd_options kd;
};
extern const struct option prune_option_table[];
/* ERR_CONFIG and *key where options contradict each other or the model. */
int prune_options_check(const struct prune_options *o, const struct model_spec *spec, const char **key);

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
		int64_t n, row; /* elements; size of the last axis (input channels) */
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
 * (params of the store) those that were named; NULL before the first call, to be freed with mem_free. */
int prune_warn_of_empty(const struct stage_run *run, const struct param_store *s, bool **said);
/* Elements that are not masked. */
int prune_left(const struct param_store *s, const struct param *p, int64_t *left);
/* Masks the smallest weights until `sparsity` of all (global), or of each weight's, are masked, but one. What is masked
 * stays. */
int prune_magnitude(const struct prune_set *p, struct param_store *s, bool global, double sparsity);
/* Keeps the n largest of every m consecutive inputs of each output. */
int prune_nm(const struct prune_set *p, struct param_store *s, int n, int m);

/* A plan's view of masks: `f` of the input becomes that of the output. ERR_CONFIG: the input will certainly have more
 * masks than the sparsity allows; where that depends on the weights it is said through s->progress. */
int prune_forecast_masks(
    const struct prune_options *o, const struct prune_set *set, const struct stage_run *s, struct mask_forecast *f);
/* The same where units are removed: masks of what stays are kept. */
int prune_forecast_units(const struct model_spec *after, struct mask_forecast *f);

/* The spec that is left, by the options alone: what the later stages of a plan need to know. ERR_CONFIG as for
 * prune_set_init, with the names of widths. */
int prune_units_spec(const struct prune_options *o, const struct model_spec *spec, struct model_spec *out);
/* Ranks the units of each width and replaces the model by what is left: spec, params, masks. */
int prune_units(const struct prune_options *o, struct model *model);

#endif
