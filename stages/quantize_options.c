/* The options of quantize, and what contradicts what. */
#include <stdlib.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "stages/quantize_accept.h"
#include "stages/quantize_rows.h"

const char *const quantize_observers[] = {"minmax", "moving_average", "percentile", "entropy", "mse", "auto", NULL};
const char *const quantize_weight_observers[] = {"minmax", "mse", "by_bits", NULL};
const char *const quantize_granularities[] = {"channel", "tensor", NULL};
const char *const quantize_prob_bits[] = {"16", "8", NULL};
const char *const quantize_activations[] = {"symmetric", "affine", NULL};
/* Those of a saved plan, and what decides between them. */
static const char *const methods[] = {"dynamic", "static", "qat", "fp16", "bf16", "auto", NULL};
static const char *const roundings[] = {"nearest", "adaround", "by_bits", NULL};
static const char *const corrections[] = {"false", "true", "by_bits", NULL};
static const char *const train_only[] = {"all", "steps", NULL};
static const char *const saves[] = {"integers", "float", NULL};

#define AT(field)  offsetof(struct quantize_options, field)
#define TRAINED    (OPTION_BIT(QUANT_QAT) | OPTION_BIT(QUANTIZE_AUTO))
#define CALIBRATED (OPTION_BIT(QUANT_STATIC) | TRAINED)
#define INTEGER    (CALIBRATED | OPTION_BIT(QUANT_DYNAMIC))

const struct option quantize_option_table[] = {
    {.key = "method",
	.type = OPT_CHOICE,
	.offset = AT(method),
	.def = "static",
	.choices = methods,
	.help =
	    "dynamic: linear layers, scales per row at run time; static: calibrated; qat: trained; fp16, bf16: weights "
	    "stored in half precision; auto: the first of `attempts` that `accept` lets pass"},
    ACCEPT_OPTION_ROW(struct quantize_options, accept),
    {.key = "attempts",
	.type = OPT_STRINGS,
	.offset = AT(attempts),
	.def = "[dynamic, static, mixed, bits, qat]",
	.choices = quantize_attempt_names,
	.when = "method",
	.only = OPTION_BIT(QUANTIZE_AUTO),
	.help = "what auto tries, always in this order; mixed: static with the most sensitive layers in FP32; bits: "
		"static with bits per layer, where there is a budget for them"},
    {.key = "fp32_layers",
	.type = OPT_INT,
	.offset = AT(fp32_layers),
	.def = "4",
	.min = 1,
	.max = 65536,
	.when = "method",
	.only = OPTION_BIT(QUANTIZE_AUTO),
	.help = "layers that may stay FP32 in the attempt mixed, which takes 1, 2, 4, ... of them"},
    {.key = "budget_bytes",
	.type = OPT_FLOAT,
	.offset = AT(budget_bytes),
	.def = "0",
	.min = 0,
	.max = 1e15,
	.when = "method",
	.only = OPTION_BIT(QUANTIZE_AUTO),
	.help =
	    "bytes that all weights may take in the attempt bits, counted at their bits (the file stores whole bytes)"},
    {.key = "budget_ms",
	.type = OPT_FLOAT,
	.offset = AT(budget_ms),
	.def = "0",
	.min = 0,
	.max = 1e6,
	.when = "method",
	.only = OPTION_BIT(QUANTIZE_AUTO),
	.help = "milliseconds that a sample may take in the attempt bits, which then decides which layers are "
		"integers; 0 = accept.max_latency_ms"},
    {.key = "sensitivity_bits",
	.type = OPT_INTS,
	.offset = AT(sensitivity_bits),
	.min = 1,
	.max = 8,
	.when = "method",
	.only = CALIBRATED,
	.help = "bits of weights at which each layer is quantized alone and measured on the validation split, into "
		"sensitivity.csv; auto: from which the attempt bits chooses (not given: 8, 6, 4, 3, 2)"},
    QUANTIZE_OPTION_ROWS("method", CALIBRATED, INTEGER),
    QUANTIZE_STEP_ROW("method", TRAINED),
    {.key = "train_only",
	.type = OPT_CHOICE,
	.offset = AT(train_only),
	.def = "all",
	.choices = train_only,
	.when = "method",
	.only = TRAINED,
	.help = "steps: the steps of weights and activations learn, everything else stays as it is; an epoch or two "
		"will do"},
    {.key = "save",
	.type = OPT_CHOICE,
	.offset = AT(save),
	.def = "integers",
	.choices = saves,
	.when = "method",
	.only = OPTION_BIT(QUANT_QAT),
	.help =
	    "float: the weights as they were trained to be rounded, without the steps, as a model that later stages "
	    "prune, distill or quantize"},
    {.key = "rounding",
	.type = OPT_CHOICE,
	.offset = AT(rounding),
	.def = "by_bits",
	.choices = roundings,
	.when = "method",
	.only = OPTION_BIT(QUANT_STATIC) | OPTION_BIT(QUANTIZE_AUTO),
	.help = "adaround: whether a weight is rounded up or down is learned, layer by layer, on calibration samples; "
		"by_bits: of weights of fewer than 6 bits, and of any in models of images"},
    {.key = "bias_correction",
	.type = OPT_CHOICE,
	.offset = AT(bias_correction),
	.def = "by_bits",
	.choices = corrections,
	.when = "method",
	.only = OPTION_BIT(QUANT_STATIC) | OPTION_BIT(QUANTIZE_AUTO),
	.help = "moves each bias by what rounding has moved the mean of its channel by, layer by layer, on "
		"calibration samples; by_bits: where some weights have fewer than 8 bits"},
    {.key = "rounding_iterations",
	.type = OPT_INT,
	.offset = AT(rounding_iterations),
	.def = "0",
	.min = 0,
	.max = 1000000,
	.when = "rounding",
	.only = OPTION_BIT(ROUNDING_ADAROUND) | OPTION_BIT(ROUNDING_BY_BITS),
	.help = "iterations per layer, at least 10; 0 = 300, and 100 for weights of 8 bits behind the layer that reads "
		"an image"},
    KD_OPTION_ROWS(struct quantize_options, kd, "kd_method"),
    TRAIN_OPTION_ROWS(struct quantize_options, train, "method", TRAINED),
    OPTION_END,
};

bool quantize_saves_float(const struct quantize_options *o)
{
	return o->method == QUANT_QAT && o->save == SAVE_FLOAT;
}

bool quantize_has_steps(const struct quantize_options *o)
{
	return o->method == QUANT_STATIC || o->method == QUANT_QAT;
}

/* Weights of fewer bits lose by the nearest integers what learned ones keep, and shift the means of what layers give
 * (docs/results.md). */
#define FEW_BITS  6
#define BIAS_BITS 8

enum observer_kind quantize_weight_observer(const struct quantize_options *o, int bits)
{
	if (o->weight_observer == WEIGHTS_BY_BITS)
		return bits < FEW_BITS || o->method == QUANT_QAT ? OBSERVE_MSE : OBSERVE_MINMAX;
	return o->weight_observer == WEIGHTS_MSE ? OBSERVE_MSE : OBSERVE_MINMAX;
}

bool quantize_learns_rounding(const struct quantize_options *o, int bits, bool images)
{
	return o->method == QUANT_STATIC &&
	       (o->rounding == ROUNDING_ADAROUND || (o->rounding == ROUNDING_BY_BITS && (bits < FEW_BITS || images)));
}

bool quantize_corrects_biases(const struct quantize_options *o, const struct quant_plan *p)
{
	return o->method == QUANT_STATIC &&
	       (o->bias_correction == CORRECTION_ON ||
		   (o->bias_correction == CORRECTION_BY_BITS && quant_plan_least_bits(p) < BIAS_BITS));
}

/* Behind the first layer a third of the iterations does at 8 bits what all of them do, also on rows that were not
 * learned from; pixels are too much alike for that (docs/results.md). */
int64_t quantize_iterations(const struct quantize_options *o, int bits, bool first)
{
	if (o->rounding_iterations)
		return o->rounding_iterations;
	return bits < BIAS_BITS || first ? 300 : 100;
}

bool quantize_reads_input(const struct graph *folded, int layer)
{
	const struct node *n = &folded->node[layer];
	return op_info(n->op)->product == FLOAT_PRODUCT && folded->node[n->in[PRODUCT_X]].op == OP_INPUT;
}

bool quantize_corrects(const struct quantize_options *o, const struct quant_plan *p, bool images)
{
	return quantize_learns_rounding(o, quant_plan_least_bits(p), images) || quantize_corrects_biases(o, p);
}

void quantize_rules(const struct quantize_options *o, struct quant_rules *rules)
{
	*rules = (struct quant_rules){.method = (enum quant_method)o->method,
	    .weight_bits = (int)o->weight_bits,
	    .act_bits = (int)o->act_bits,
	    .edge_bits = (int)o->edge_bits,
	    .per_channel = o->granularity == 0,
	    .prob_bits = o->prob_bits == 1 ? 8 : 16,
	    .affine = o->activations == 1,
	    .exclude = o->exclude,
	    .layer_bits = o->layer_bits,
	    .layer_bits_checked = o->layer_bits_checked};
}

/* Training options that are not their defaults, where nothing is trained. */
static int check_untrained(const struct quantize_options *o, const char **key)
{
	struct quantize_options usual = {0};
	int rc = option_parse(quantize_option_table, &usual, NULL, NULL, NULL);
	if (rc)
		return rc;
	usual.method = QUANTIZE_AUTO;
	cJSON *have = option_to_json(quantize_option_table, o, NULL);
	cJSON *want = option_to_json(quantize_option_table, &usual, NULL);
	rc = have && want ? 0 : err_set(ERR_NOMEM, "out of memory");
	for (const struct option *row = quantize_option_table; !rc && row->key; row++) {
		if (row->only != TRAINED || !row->when || strcmp(row->when, "method") != 0)
			continue;
		*key = row->key;
		if (!cJSON_Compare(cJSON_GetObjectItemCaseSensitive(have, row->key),
			cJSON_GetObjectItemCaseSensitive(want, row->key), true))
			rc = err_set(ERR_CONFIG, "%s has no effect without the attempt qat", row->key);
	}
	cJSON_Delete(have);
	cJSON_Delete(want);
	option_clear(quantize_option_table, &usual);
	return rc;
}

/* What only a ship rule gives a meaning. */
static int check_attempts(const struct quantize_options *o, const char **key)
{
	*key = "method";
	if (o->method != QUANTIZE_AUTO)
		return 0;
	if (!accept_is_asked(&o->accept))
		return err_set(ERR_CONFIG, "method auto needs accept with a limit, by which it decides");
	*key = "attempts";
	if (o->attempts.n == 0)
		return err_set(ERR_CONFIG, "attempts: with an empty list there is nothing to try");
	const bool bits = quantize_attempts(o, ATTEMPT_BITS);
	*key = o->budget_bytes > 0 ? "budget_bytes" : "budget_ms";
	if (!bits && (o->budget_bytes > 0 || o->budget_ms > 0))
		return err_set(ERR_CONFIG, "%s has no effect without the attempt bits", *key);
	if (o->budget_bytes > 0 && o->budget_ms > 0)
		return err_set(ERR_CONFIG, "budget_bytes and budget_ms: bits are chosen for one of them");
	if (bits && o->budget_ms > 0 && !quantize_attempts(o, ATTEMPT_STATIC))
		return err_set(ERR_CONFIG, "budget_ms needs the attempt static, whose layers are timed");
	return quantize_attempts(o, ATTEMPT_QAT) ? 0 : check_untrained(o, key);
}

static int check_method(const struct quantize_options *o, const char **key);

int quantize_options_check(const struct quantize_options *o, const char **key)
{
	const struct quantize_options as = quantize_costliest(o);
	*key = "sensitivity_bits";
	for (int i = 0; i < o->sensitivity_bits.n; i++)
		for (int k = 0; k < i; k++)
			if (o->sensitivity_bits.v[i] == o->sensitivity_bits.v[k])
				return err_set(
				    ERR_CONFIG, "sensitivity_bits has %d twice", (int)o->sensitivity_bits.v[i]);
	*key = "accept";
	int rc = accept_check_limits(&o->accept);
	if (!rc)
		rc = check_attempts(o, key);
	return rc ? rc : check_method(&as, key);
}

static int check_method(const struct quantize_options *o, const char **key)
{
	*key = "calibration_split";
	if (strcmp(o->calibration_split, "train") != 0 && strcmp(o->calibration_split, "validation") != 0)
		return err_set(ERR_CONFIG,
		    "calibration_split must be train or validation, found '%s'; the test split is never used to "
		    "calibrate",
		    o->calibration_split);
	*key = "edge_bits";
	if (o->edge_bits == 1)
		return err_set(ERR_CONFIG, "edge_bits must be 0 or 2 to 8, found 1");
	*key = "weight_observer";
	if (o->weight_bits == 1 && o->weight_observer == WEIGHTS_MINMAX)
		return err_set(ERR_CONFIG,
		    "weight_observer minmax: the step of weights of 1 bit is the mean of their magnitudes, which has "
		    "the least squared error (mse)");
	*key = "rounding_iterations";
	if (o->rounding_iterations > 0 && o->rounding_iterations < 10)
		return err_set(
		    ERR_CONFIG, "rounding_iterations must be 0 or 10 and more, found %d", (int)o->rounding_iterations);
	*key = "step_lr_factor";
	if (o->method == QUANT_QAT && o->train_only == TRAIN_STEPS && !(o->step_lr_factor > 0))
		return err_set(ERR_CONFIG, "train_only steps with step_lr_factor 0 would train nothing");
	*key = "save";
	if (o->method == QUANT_QAT && o->save == SAVE_FLOAT) {
		if (o->train_only == TRAIN_STEPS)
			return err_set(
			    ERR_CONFIG, "save float with train_only steps: its weights are those of the input");
		if (accept_is_asked(&o->accept))
			return err_set(
			    ERR_CONFIG, "save float with accept: that decides whether integers may be shipped");
	}
	*key = "weight_decay";
	const double usual = strtod(TRAIN_WEIGHT_DECAY, NULL);
	if (o->method == QUANT_QAT && o->train_only == TRAIN_STEPS &&
	    (o->train.weight_decay > usual || o->train.weight_decay < usual))
		return err_set(
		    ERR_CONFIG, "weight_decay has no effect with train_only steps: weights stay as they are");
	*key = NULL;
	return o->method == QUANT_QAT ? train_options_check(&o->train, key) : 0;
}

bool quantize_without_labels(const struct quantize_options *o, bool teacher)
{
	return o->method == QUANT_QAT && teacher && !(o->kd.alpha < 1);
}

int quantize_labels_check(const struct quantize_options *o, bool teacher)
{
	static const char why[] = "with alpha 1 the teacher alone is listened to and no label is looked at";
	if (!quantize_without_labels(o, teacher))
		return 0;
	if (o->train.patience > 0)
		return err_set(ERR_CONFIG, "patience: %s, so no epoch is better than the last one", why);
	if (strcmp(task_metric_choices[o->train.monitor], "primary") != 0)
		return err_set(ERR_CONFIG, "monitor: %s, so the last epoch is kept", why);
	if (o->observer == OBSERVE_AUTO)
		return err_set(ERR_CONFIG, "observer auto chooses by labels; %s", why);
	return 0;
}
