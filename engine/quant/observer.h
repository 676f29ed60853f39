/* Observers: one streaming pass of constant memory over a value's batches gives the clipping range of every method and
 * the SQNR that each would have. A histogram of 2,048 bins over a power-of-two range that doubles (bins merge) when a
 * value falls outside; plus exact min, max and moving averages of the batches' min and max.
 *   min-max; moving average (momentum 0.1, Jacob et al. 2018, section 3); percentile of what is not zero (of |x| if
 *   symmetric); entropy: minimal KL divergence (after Migacz, GTC 2017; see observer_entropy.c); mse: minimal expected
 *   squared error over candidate ranges.
 * Entropy and percentile need bins that are fine everywhere, also where an outlier makes the range ten thousand times
 * what matters: a second histogram has 512 bins per octave of |x|, for 24 octaves below the range. */
#ifndef ENGINE_QUANT_OBSERVER_H
#define ENGINE_QUANT_OBSERVER_H

#include <stddef.h>

#include "quant/arith.h"

enum observer_kind {
	OBSERVE_MINMAX,
	OBSERVE_MOVING_AVERAGE,
	OBSERVE_PERCENTILE,
	OBSERVE_ENTROPY,
	OBSERVE_MSE,
	OBSERVER_COUNT
};
extern const char
    *const observer_names[OBSERVER_COUNT + 1]; /* minmax, moving_average, percentile, entropy, mse, NULL */

#define OBSERVER_BINS    2048
#define OBSERVER_OCTAVES 24
#define OBSERVER_STEPS   512 /* bins of an octave */

struct observer {
	double count[OBSERVER_BINS]; /* bin i covers [-range + i*2*range/BINS, ...); exact zeros are in no bin */
	/* [1]: of negative values. Octave i is [range/2^(i+1), range/2^i); `low` counts the rest but zeros. */
	double fine[2][OBSERVER_OCTAVES][OBSERVER_STEPS], low[2];
	double zeros; /* they have no quantization error, and would drown the entropy of the rest */
	float range;  /* a power of two above every |x|; 0 before the first nonzero value */
	double n, sum_squares;
	float min, max, avg_min, avg_max;
	int batches, averaged; /* all, and those that are in the moving averages: not of zeros alone */
};
void observer_init(struct observer *o);
/* Bin k of |x| in the fine histogram, from 0 on: its upper edge, and its counts of positive and negative values. Bin 0
 * has all that is below the octaves. */
#define OBSERVER_FINE_BINS (1 + OBSERVER_OCTAVES * OBSERVER_STEPS)
double observer_fine_bin(const struct observer *o, int k, double count[2]);
/* ERR_DATA if a value is NaN or infinite. */
int observer_add(struct observer *o, const float *x, size_t n);
/* Whether there was anything but zeros. Without it every method has the range [0, 0] and the step 1. */
bool observer_is_empty(const struct observer *o);
/* The clipping range of one method for a quantized range q: lo = -hi for signed ones; for unsigned ones lo = 0 where
 * nothing below 0 was seen, else both ends (affine). percentile in (50, 100]. ERR_FAIL if nothing was observed. */
int observer_range(
    const struct observer *o, enum observer_kind kind, struct qrange q, double percentile, float *lo, float *hi);
/* The range of OBSERVE_ENTROPY, from the fine histogram, whose observer is not empty. In: the observed range. */
int observer_entropy(const struct observer *o, struct qrange q, float *lo, float *hi);
/* Signal to quantization-noise ratio in dB of clipping to [lo, hi] with q's levels, from the histogram (values spread
 * evenly within a bin); 200 where there is no noise. */
double observer_sqnr(const struct observer *o, struct qrange q, float lo, float hi);

/* Weight step by range: per channel max|w| / hi, or the MSE-optimal clip (kind OBSERVE_MSE); of 1 bit the mean of |w|,
 * whatever the kind. steps: O or 1 values. An all-zero channel gets step 1, of 1 bit 2^-24. w: (O, K). */
int quant_weight_steps(
    const float *w, size_t O, size_t K, struct qrange q, bool per_channel, enum observer_kind kind, float *steps);

#endif
