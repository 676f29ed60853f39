/* Observers: from a histogram to clipping ranges and their quality. Candidate ranges are fractions of the observed one;
 * within a bin values are taken as spread evenly, and errors are integrated exactly under that assumption. */
#include "quant/observer.h"

#include <float.h>
#include <math.h>

#include "base/err.h"

#define HALF       (OBSERVER_BINS / 2)
#define CANDIDATES 256 /* of the error search: steps of 0.4 % of the range */
#define NOISE_FREE 200.0

static double bin_width(const struct observer *o)
{
	return (double)o->range / HALF;
}

static double bin_low(const struct observer *o, int bin)
{
	return (bin - HALF) * bin_width(o);
}

/* ---- percentile ---- */

/* The value below which this share of the nonzero values lies, interpolated within its fine bin: equal ones would hold
 * all that matters in one where an outlier is far away. Exact zeros do not count:
 * every range holds them, and where they are most of a value they would be the whole of its range. magnitude: of |x|.
 */
static double quantile(const struct observer *o, double share, bool magnitude)
{
	double sum = 0, target = share * (o->n - o->zeros), low = 0, count[2];

	for (int k = OBSERVER_FINE_BINS - 1; k >= 0 && !magnitude; k--) {
		double high = observer_fine_bin(o, k, count),
		       least = k > 0 ? observer_fine_bin(o, k - 1, (double[2]){0}) : 0;

		if (sum + count[1] >= target && count[1] > 0)
			return (high - least) * fmax(target - sum, 0) / count[1] - high;
		sum += count[1];
	}
	for (int k = 0; k < OBSERVER_FINE_BINS; k++) {
		double high = observer_fine_bin(o, k, count), all = count[0] + (magnitude ? count[1] : 0);

		if (sum + all >= target && all > 0)
			return low + (high - low) * fmax(target - sum, 0) / all;
		sum += all;
		low = high;
	}
	return o->range;
}

/* ---- mean squared error ---- */

/* The integral from 0 to x of the squared rounding error of step s, clipped to [lo, hi] (multiples of s around 0):
 * each full step contributes s^3/12, a part f of one s^3 f^3/3; beyond the clip the error grows linearly. */
static double error_integral(double x, double s, double lo, double hi)
{
	double inside = fmin(fmax(x, lo), hi), beyond = x - inside, n = rint(inside / s), f = inside / s - n;

	return s * s * s * (n / 12 + f * f * f / 3) + beyond * beyond * beyond / 3;
}

/* Mean squared error of all values under q's levels and step. */
static double expected_error(const struct observer *o, struct qrange q, float step)
{
	double s = step, lo = (q.lo - q.zero) * s, hi = (q.hi - q.zero) * s, width = bin_width(o), sum = 0;
	int last = -1;
	double right = 0;

	for (int i = 0; i < OBSERVER_BINS; i++) {
		double left;

		if (o->count[i] == 0)
			continue;
		left = last == i - 1 ? right : error_integral(bin_low(o, i), s, lo, hi);
		right = error_integral(bin_low(o, i + 1), s, lo, hi);
		last = i;
		sum += o->count[i] * (right - left) / width;
	}
	return sum / o->n;
}

double observer_sqnr(const struct observer *o, struct qrange q, float lo, float hi)
{
	double signal = o->n > 0 ? o->sum_squares / o->n : 0, noise;
	float step;

	if (signal == 0)
		return NOISE_FREE;
	quant_step_of_range(&q, lo, hi, &step);
	noise = expected_error(o, q, step);
	return noise > 0 ? fmin(10 * log10(signal / noise), NOISE_FREE) : NOISE_FREE;
}

static double range_error(const struct observer *o, struct qrange q, float lo, float hi)
{
	float step;

	quant_step_of_range(&q, lo, hi, &step);
	return expected_error(o, q, step);
}

/* Shrinks the ends marked in `low` and `high` together, from [*lo, *hi] down to 1/CANDIDATES of it. */
static void search_error(const struct observer *o, struct qrange q, bool low, bool high, float *lo, float *hi)
{
	float from_lo = *lo, from_hi = *hi;
	double best = DBL_MAX;

	for (int i = CANDIDATES; i >= 1; i--) {
		float part = (float)i / CANDIDATES, a = low ? from_lo * part : from_lo,
		      b = high ? from_hi * part : from_hi;
		double error = range_error(o, q, a, b);

		if (error < best) {
			best = error;
			*lo = a;
			*hi = b;
		}
	}
}

/* ---- all ---- */

static void find_percentile(
    const struct observer *o, bool is_signed, bool affine, double percentile, float *lo, float *hi)
{
	double share = percentile / 100;

	if (is_signed) {
		*hi = fminf((float)quantile(o, share, true), fmaxf(-o->min, o->max));
		return;
	}
	*hi = fminf((float)quantile(o, share, false), o->max);
	if (affine)
		*lo = fmaxf((float)quantile(o, 1 - share, false), o->min);
}

bool observer_is_empty(const struct observer *o)
{
	return o->n - o->zeros == 0;
}

int observer_range(
    const struct observer *o, enum observer_kind kind, struct qrange q, double percentile, float *lo, float *hi)
{
	bool affine = !q.is_signed && o->min < 0;
	float extent = fmaxf(-o->min, o->max);
	int rc = 0;

	if (o->batches == 0)
		return err_set(ERR_FAIL, "nothing was observed");
	*lo = affine ? o->min : 0;
	*hi = q.is_signed ? extent : o->max;
	switch (o->range > 0 ? kind : OBSERVE_MINMAX) {
	case OBSERVE_MOVING_AVERAGE:
		*hi = q.is_signed ? fmaxf(-o->avg_min, o->avg_max) : o->avg_max;
		*lo = affine ? o->avg_min : 0;
		break;
	case OBSERVE_PERCENTILE:
		find_percentile(o, q.is_signed, affine, percentile, lo, hi);
		break;
	case OBSERVE_ENTROPY:
		rc = observer_entropy(o, q, lo, hi);
		break;
	case OBSERVE_MSE:
		search_error(o, q, affine, true, lo, hi);
		if (affine) {
			search_error(o, q, true, false, lo, hi);
			search_error(o, q, false, true, lo, hi);
		}
		break;
	case OBSERVE_MINMAX:
	case OBSERVER_COUNT:
		break;
	}
	*hi = fmaxf(*hi, 0);
	*lo = q.is_signed ? -*hi : fminf(*lo, 0);
	return rc;
}
