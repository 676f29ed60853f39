/* Private to stages/quantize*.c and joint.c: the state of one quantize stage and its steps, in order:
 * load - plan - calibrate - [train] - convert - measure (validation, report) - save - reload and compare. */
#ifndef STAGES_QUANTIZE_H
#define STAGES_QUANTIZE_H

#include "quant/collector.h"
#include "quant/equalize.h"
#include "quant/plan.h"
#include "stages/accept.h"
#include "stages/calibrate.h"
#include "stages/fit.h"

#define OBSERVE_AUTO OBSERVER_COUNT /* the observer with the best validation figure */

/* Beside enum quant_method: several are tried, and the first that `accept` lets pass is taken. */
#define QUANTIZE_AUTO (QUANT_BF16 + 1)

enum train_only { TRAIN_ALL, TRAIN_STEPS };
enum quantize_save { SAVE_INTEGERS, SAVE_FLOAT };
enum quantize_weights { WEIGHTS_MINMAX, WEIGHTS_MSE, WEIGHTS_BY_BITS };
enum quantize_rounding { ROUNDING_NEAREST, ROUNDING_ADAROUND, ROUNDING_BY_BITS };
enum quantize_correction { CORRECTION_OFF, CORRECTION_ON, CORRECTION_BY_BITS };

struct quantize_options {
	int method;                    /* enum quant_method, or QUANTIZE_AUTO */
	int train_only, save;          /* enum train_only, enum quantize_save: qat */
	int observer, weight_observer; /* weight_observer: enum quantize_weights */
	double percentile;
	int64_t weight_bits, act_bits, edge_bits;
	int granularity, activations; /* 0: channel, symmetric; 1: tensor, affine */
	int prob_bits;                /* 0: 16, 1: 8 */
	struct option_strings exclude, layer_bits;
	int64_t calibration_batches, calibration_batch_size;
	char *calibration_split;
	bool equalize;
	/* static: what is corrected layer by layer after calibration */
	int bias_correction;         /* enum quantize_correction */
	int rounding;                /* enum quantize_rounding */
	int64_t rounding_iterations; /* 0: quantize_iterations decides */
	double step_lr_factor;
	struct kd_options kd;
	struct train_options train;
	struct accept_options accept;
	struct option_strings attempts;      /* auto: names of quantize_attempt_names */
	int64_t fp32_layers;                 /* auto: at most so many stay FP32 in the attempt `mixed` */
	double budget_bytes, budget_ms;      /* auto: of the attempt `bits`; 0 = not given */
	struct option_ints sensitivity_bits; /* at which layers are measured alone; empty: where it is needed */
	/* No option: as in struct quant_rules. Attempts of auto quantize fewer layers than what was planned. */
	bool layer_bits_checked;
};
extern const struct option quantize_option_table[];
/* Contradictions, and options that the method would ignore. */
int quantize_options_check(const struct quantize_options *o, const char **key);
void quantize_rules(const struct quantize_options *o, struct quant_rules *rules);
/* "ptq_static" and so on. */
const char *quantize_type(const struct quantize_options *o);
/* Whether what is saved is the float model that was trained. */
bool quantize_saves_float(const struct quantize_options *o);
bool quantize_has_steps(const struct quantize_options *o); /* static or qat: ranges are calibrated */
/* Whether training looks at labels. Not with a teacher that alone is listened to (alpha 1). */
bool quantize_without_labels(const struct quantize_options *o, bool teacher);
/* ERR_CONFIG: an option that would need labels where none is looked at. */
int quantize_labels_check(const struct quantize_options *o, bool teacher);

/* What equalization has done: pairs of layers (0: it was not asked for), and the largest ratio of the ranges of two
 * output channels of a first layer. */
struct quantize_equalized {
	int pairs;
	double before, after;
};

/* What correction has done to a layer. */
struct quantize_corrected {
	char name[NODE_NAME];
	int64_t weights, changed; /* integers, and those that are not the nearest */
	double nearest, learned;  /* mean squared error of the layer's output on calibration data */
	double shift;             /* the largest correction of a bias */
};

struct quantize_job {
	const struct quantize_options *o;
	struct stage_run *run;
	/* What the checkpoint says of the stage that makes it: its kind, the table of run->options, its technique. */
	const char *kind, *technique;
	const struct option *table;
	/* joint: as in struct fit_job; with before_epoch params have masks, those that will_mask names. */
	int (*before_epoch)(void *user, int64_t epoch);
	bool (*will_mask)(void *user, const char *param);
	void *user;
	int64_t min_best_epoch;
	const struct fit_steps *steps;
	struct model input; /* float params and masks; then steps too. On the device that calibrates and trains */
	struct quant_plan plan;
	struct observers observers; /* static and qat */
	int chosen;                 /* enum observer_kind */
	char byte_input[NODE_NAME]; /* the input whose integers are the pixels themselves, or "" */
	double byte_step;           /* of it */
	int byte_zero;              /* the byte that stands for 0 */
	int64_t calibrated;         /* samples */
	struct quantize_equalized equalized;
	cJSON *choices;                      /* auto: validation figures of each observer */
	struct fit_report fit;               /* qat */
	const struct acceptance *acceptance; /* what checkpoint_info.json says of the ship rule; NULL: there is none */
	struct model output;                 /* what is saved; on the CPU */
	struct quantize_corrected *corrected;
	int n_corrected;
};

/* Contradictions that need the run and not only the options. */
int quantize_job_check(const struct quantize_options *o, const struct stage_run *run);
/* What stage_kind.plan does, for a job with options, run and before_epoch. */
int quantize_job_plan(struct quantize_job *job, const struct model_spec *input_spec, struct stage_plan *out);
/* Loads the input, ready to be calibrated and trained. */
int quantize_job_load(struct quantize_job *job);
/* Makes the plan of what is quantized in the input that was loaded. */
int quantize_job_plan_layers(struct quantize_job *job);
/* All that follows loading: first what makes job->output, then what measures, reports, saves and compares it. started:
 * clock_now() when the stage began. */
int quantize_job_make(struct quantize_job *job);
int quantize_job_save(struct quantize_job *job, double started);
/* Both. */
int quantize_job_run(struct quantize_job *job, double started);
void quantize_job_clear(struct quantize_job *job);

/* Whether the weights of a layer of a folded graph may have 1 bit: of a linear layer or convolution without masks
 * (quantize_binary.c). */
int quantize_may_be_binary(const struct quantize_job *job, const struct graph *folded, int layer, bool *out);
/* ERR_CONFIG: the plan gives masked weights 1 bit. Before the input is loaded, by what is known of its masks. */
int quantize_refuse_masked(const struct quantize_job *job, const struct graph *folded);

/* Graph builders, user = struct quantize_job *: the float graph, folded; the annotated graph with frozen steps. */
int quantize_build_folded(void *job, const struct build_shape *shape, struct graph *out);
int quantize_build_annotated(void *job, const struct build_shape *shape, struct graph *out);

/* Which samples calibrate. */
struct calibration_size quantize_calibration_size(const struct quantize_options *o, const struct dataset *d);
/* A session of the folded graph that keeps the activations of the plan's values. Needs input.ckpt.spec, plan and
 * params. */
int quantize_open_observed(struct session *s, struct quantize_job *job, struct param_store *params, int batch);
/* Makes the integers of the input those of its pixels, where a model takes images and its first layer allows it:
 * changes that layer's params and the adapter (quantize_bytes.c). Needs plan. */
int quantize_take_bytes(struct quantize_job *job);
/* The range of a value whose integers are pixels; false: it is another. */
bool quantize_byte_range(const struct quantize_job *job, const char *value, float *lo, float *hi);
/* equal_pairs; ERR_CONFIG where there are none. */
int quantize_equal_pairs(const struct graph *folded, const struct quant_plan *plan, struct equal_pair **pair, int *n);
/* Equalizes input.params, if that is asked for. */
int quantize_equalize(struct quantize_job *job);
/* Fills steps (and zero points of the plan) from the data; steps of weights from the weights. */
int quantize_calibrate(struct quantize_job *job);
/* Its parts: the samples through the folded graph, which keeps the activations of job->plan until all are collected;
 * the steps of the plan's weights; those of its activations, from job->observers. */
int quantize_open_calibration(struct quantize_job *job, struct calibration *p);
int quantize_weight_steps(struct quantize_job *job, struct calibration *p);
int quantize_set_ranges(struct quantize_job *job, enum observer_kind kind);
/* What finds the steps of weights of so many bits. */
enum observer_kind quantize_weight_observer(const struct quantize_options *o, int bits);
/* Whether rounding of weights of so many bits is learned, in a model of images or of texts, and whether biases are
 * corrected: by the weights of the plan that have the fewest bits. */
bool quantize_learns_rounding(const struct quantize_options *o, int bits, bool images);
bool quantize_corrects_biases(const struct quantize_options *o, const struct quant_plan *p);
/* Whether static quantization corrects layers after calibration. */
bool quantize_corrects(const struct quantize_options *o, const struct quant_plan *p, bool images);
/* Iterations that the rounding of a layer is learned for, by the bits of its weights and whether it reads the input. */
int64_t quantize_iterations(const struct quantize_options *o, int bits, bool first);
/* Whether a linear layer or convolution of a folded graph multiplies the model's own input. */
bool quantize_reads_input(const struct graph *folded, int layer);
/* Adds what correction will hold and compute to a plan; zero where nothing is corrected. samples: those that calibrate;
 * forward: multiply-accumulates of one of their batches. */
int quantize_correct_plan(
    struct quantize_job *job, const struct encoding *samples, double forward, struct stage_plan *out);
/* Corrects input.params, if that is asked for. */
int quantize_correct(struct quantize_job *job);
/* Fills job->output: integers (or half-precision weights), or the simulated form where bits have no kernels. */
int quantize_convert(struct quantize_job *job);
/* Every weight that a mask holds at zero is a zero integer. Returns their number in *n; ERR_FAIL if one is not. */
int quantize_check_masks(struct quantize_job *job, int64_t *n);
/* The INT8 report: a JSON object, and a few lines through the run's progress. */
int quantize_report(struct quantize_job *job, cJSON **out);
/* Loads what was saved again: ERR_FAIL if its logits on validation samples are not the same bits. */
int quantize_check_saved(struct quantize_job *job);

#endif
