/* The option rows that the stages share whose checkpoint is made of integers: quantize and joint. */
#ifndef STAGES_QUANTIZE_ROWS_H
#define STAGES_QUANTIZE_ROWS_H

#include <stddef.h>

#include "stages/quantize.h"

extern const char *const quantize_observers[], *const quantize_weight_observers[],
						   *const quantize_granularities[], *const quantize_prob_bits[],
											*const quantize_activations[];

#define QUANTIZE_ROW(w, bits, field, kind, text, lo, hi, names, about)                                                 \
	{                                                                                                              \
		.key = #field, .type = kind, .offset = offsetof(struct quantize_options, field), .def = text,          \
		.min = lo, .max = hi, .choices = names, .when = w, .only = bits, .help = about                         \
	}
/* Rows of a struct quantize_options at the beginning of a stage's options. w: the choice (`when`) by which the stage
 * quantizes, NULL if it always does; calibrated, integer: its values (`only`) with which activations have a calibrated
 * range, and with which there are integers at all. */
#define QUANTIZE_OPTION_ROWS(w, calibrated, integer)                                                                   \
	QUANTIZE_ROW(w, calibrated, observer, OPT_CHOICE, "mse", 0, 0, quantize_observers,                             \
	    "range of activations; auto: all are tried, the best by the primary metric on validation wins"),           \
	    QUANTIZE_ROW("observer", OPTION_BIT(OBSERVE_PERCENTILE) | OPTION_BIT(OBSERVE_AUTO), percentile, OPT_FLOAT, \
		"99.99", 50.001, 100, NULL, "share of values inside the range, in percent"),                           \
	    QUANTIZE_ROW(w, integer, weight_observer, OPT_CHOICE, "by_bits", 0, 0, quantize_weight_observers,          \
		"range of weights: minmax, the largest; mse, the clip with the least squared error; by_bits: mse of "  \
		"fewer than 6 bits and where steps are trained, else minmax"),                                         \
	    QUANTIZE_ROW(w, integer, weight_bits, OPT_INT, "8", 1, 8, NULL,                                            \
		"bits of weights; 1: their signs times the mean of their magnitudes, in linear layers and "            \
		"convolutions without masks"),                                                                         \
	    QUANTIZE_ROW(w, calibrated, act_bits, OPT_INT, "8", 2, 8, NULL,                                            \
		"bits of activations; below 8 the model is simulated in FP32 and says so"),                            \
	    QUANTIZE_ROW(w, integer, edge_bits, OPT_INT, "0", 0, 8, NULL,                                              \
		"bits of weights and input of the first and the last layer; 0 = as the others"),                       \
	    QUANTIZE_ROW(w, integer, layer_bits, OPT_STRINGS, NULL, 0, 0, NULL,                                        \
		"bits of weights per layer, as PATTERN=BITS, e.g. [conv1=8, fc*=4]; the last that matches counts"),    \
	    QUANTIZE_ROW(w, calibrated, prob_bits, OPT_CHOICE, "16", 0, 0, quantize_prob_bits,                         \
		"bits of attention's probabilities; 8 is a little faster and loses what is far below a token that "    \
		"dominates"),                                                                                          \
	    QUANTIZE_ROW(w, integer, granularity, OPT_CHOICE, "channel", 0, 0, quantize_granularities,                 \
		"one step per output channel of a weight, or one per tensor"),                                         \
	    QUANTIZE_ROW(w, calibrated, activations, OPT_CHOICE, "affine", 0, 0, quantize_activations,                 \
		"affine: signed activations get a zero point where it can be folded (linear, unpadded convolution), "  \
		"so that steps are spent on what occurs; symmetric: all have 0"),                                      \
	    QUANTIZE_ROW(NULL, 0, exclude, OPT_STRINGS, NULL, 0, 0, NULL,                                              \
		"patterns of layers that stay FP32, e.g. [conv1, fc*]; one that matches nothing is an error"),         \
	    QUANTIZE_ROW(w, calibrated, calibration_batches, OPT_INT, "100", 1, 1000000, NULL,                         \
		"batches that the observers see, at most one pass over the split"),                                    \
	    QUANTIZE_ROW(w, calibrated, calibration_batch_size, OPT_INT, "32", 1, 65536, NULL,                         \
		"samples per calibration batch"),                                                                      \
	    QUANTIZE_ROW(w, calibrated, calibration_split, OPT_STRING, "train", 0, 0, NULL,                            \
		"train or validation; the test split is never used to calibrate"),                                     \
	    QUANTIZE_ROW(w, integer, equalize, OPT_BOOL, "false", 0, 0, NULL,                                          \
		"first divides the channels of a layer, and multiplies the weights that read them, until the ranges "  \
		"of both are equal: for models where a few channels are far larger than the others")
/* The row of step_lr_factor; w, bits: where steps are trained. */
#define QUANTIZE_STEP_ROW(w, bits)                                                                                     \
	QUANTIZE_ROW(w, bits, step_lr_factor, OPT_FLOAT, "1", 0, 1000, NULL,                                           \
	    "learning rate of the steps, which are learned relative to their size; 0 = they stay as calibrated")

#endif
