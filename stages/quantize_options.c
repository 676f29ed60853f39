/* The options of quantize, and what contradicts what. */
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "stages/quantize.h"

static const char *const observers[] = {"minmax", "moving_average", "percentile", "entropy", "mse", "auto", NULL};
static const char *const weight_observers[] = {"minmax", "mse", NULL};
static const char *const granularities[] = {"channel", "tensor", NULL};
static const char *const prob_bits[] = {"16", "8", NULL};
static const char *const train_only[] = {"all", "steps", NULL};
static const char *const activations[] = {"symmetric", "affine", NULL};

#define AT(field)  offsetof(struct quantize_options, field)
#define CALIBRATED (OPTION_BIT(QUANT_STATIC) | OPTION_BIT(QUANT_QAT))
#define INTEGER    (CALIBRATED | OPTION_BIT(QUANT_DYNAMIC))

const struct option quantize_option_table[] = {
    {.key = "method",
	.type = OPT_CHOICE,
	.offset = AT(method),
	.def = "static",
	.choices = quant_method_names,
	.help =
	    "dynamic: linear layers, scales per row at run time; static: calibrated; qat: trained; fp16, bf16: weights "
	    "stored in half precision"},
    {.key = "observer",
	.type = OPT_CHOICE,
	.offset = AT(observer),
	.def = "mse",
	.choices = observers,
	.when = "method",
	.only = CALIBRATED,
	.help = "range of activations; auto: all are tried, the best by the primary metric on validation wins"},
    {.key = "percentile",
	.type = OPT_FLOAT,
	.offset = AT(percentile),
	.def = "99.99",
	.min = 50.001,
	.max = 100,
	.when = "observer",
	.only = OPTION_BIT(OBSERVE_PERCENTILE) | OPTION_BIT(OBSERVE_AUTO),
	.help = "share of values inside the range, in percent"},
    {.key = "weight_observer",
	.type = OPT_CHOICE,
	.offset = AT(weight_observer),
	.def = "mse",
	.choices = weight_observers,
	.when = "method",
	.only = INTEGER,
	.help = "range of weights: the largest, or the clip with the least squared error"},
    {.key = "weight_bits",
	.type = OPT_INT,
	.offset = AT(weight_bits),
	.def = "8",
	.min = 2,
	.max = 8,
	.when = "method",
	.only = INTEGER,
	.help = "bits of weights"},
    {.key = "act_bits",
	.type = OPT_INT,
	.offset = AT(act_bits),
	.def = "8",
	.min = 2,
	.max = 8,
	.when = "method",
	.only = CALIBRATED,
	.help = "bits of activations; below 8 the model is simulated in FP32 and says so"},
    {.key = "edge_bits",
	.type = OPT_INT,
	.offset = AT(edge_bits),
	.def = "0",
	.min = 0,
	.max = 8,
	.when = "method",
	.only = INTEGER,
	.help = "bits of weights and input of the first and the last layer; 0 = as the others"},
    {.key = "prob_bits",
	.type = OPT_CHOICE,
	.offset = AT(prob_bits),
	.def = "16",
	.choices = prob_bits,
	.when = "method",
	.only = CALIBRATED,
	.help = "bits of attention's probabilities; 8 is a little faster and loses what is far below a token that "
		"dominates"},
    {.key = "granularity",
	.type = OPT_CHOICE,
	.offset = AT(granularity),
	.def = "channel",
	.choices = granularities,
	.when = "method",
	.only = INTEGER,
	.help = "one step per output channel of a weight, or one per tensor"},
    {.key = "activations",
	.type = OPT_CHOICE,
	.offset = AT(activations),
	.def = "symmetric",
	.choices = activations,
	.when = "method",
	.only = CALIBRATED,
	.help = "affine: signed activations get a zero point where it can be folded (linear, unpadded convolution)"},
    {.key = "exclude",
	.type = OPT_STRINGS,
	.offset = AT(exclude),
	.help = "patterns of layers that stay FP32, e.g. [conv1, fc*]; one that matches nothing is an error"},
    {.key = "calibration_batches",
	.type = OPT_INT,
	.offset = AT(calibration_batches),
	.def = "100",
	.min = 1,
	.max = 1000000,
	.when = "method",
	.only = CALIBRATED,
	.help = "batches that the observers see, at most one pass over the split"},
    {.key = "calibration_batch_size",
	.type = OPT_INT,
	.offset = AT(calibration_batch_size),
	.def = "32",
	.min = 1,
	.max = 65536,
	.when = "method",
	.only = CALIBRATED,
	.help = "samples per calibration batch"},
    {.key = "calibration_split",
	.type = OPT_STRING,
	.offset = AT(calibration_split),
	.def = "train",
	.when = "method",
	.only = CALIBRATED,
	.help = "train or validation; the test split is never used to calibrate"},
    {.key = "equalize",
	.type = OPT_BOOL,
	.offset = AT(equalize),
	.def = "false",
	.when = "method",
	.only = INTEGER,
	.help = "first divides the channels of a layer, and multiplies the weights that read them, until the ranges of "
		"both are equal: for models where a few channels are far larger than the others"},
    {.key = "step_lr_factor",
	.type = OPT_FLOAT,
	.offset = AT(step_lr_factor),
	.def = "1",
	.min = 0,
	.max = 1000,
	.when = "method",
	.only = OPTION_BIT(QUANT_QAT),
	.help = "learning rate of the steps, which are learned relative to their size; 0 = they stay as calibrated"},
    {.key = "train_only",
	.type = OPT_CHOICE,
	.offset = AT(train_only),
	.def = "all",
	.choices = train_only,
	.when = "method",
	.only = OPTION_BIT(QUANT_QAT),
	.help = "steps: the steps of weights and activations learn, everything else stays as it is; an epoch or two "
		"will do"},
    KD_OPTION_ROWS(struct quantize_options, kd, "kd_method"),
    TRAIN_OPTION_ROWS(struct quantize_options, train, "method", OPTION_BIT(QUANT_QAT)),
    OPTION_END,
};

bool quantize_has_steps(const struct quantize_options *o)
{
	return o->method == QUANT_STATIC || o->method == QUANT_QAT;
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
	    .exclude = o->exclude};
}

int quantize_options_check(const struct quantize_options *o, const char **key)
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
	*key = "epochs";
	if (o->method == QUANT_QAT && o->train.epochs < 1)
		return err_set(
		    ERR_CONFIG, "method qat trains: epochs must be 1 or more; without training it is static");
	*key = "step_lr_factor";
	if (o->method == QUANT_QAT && o->train_only == TRAIN_STEPS && !(o->step_lr_factor > 0))
		return err_set(ERR_CONFIG, "train_only steps with step_lr_factor 0 would train nothing");
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
