/* Steps of weights, and the bound on their accumulators. Weights are all there at once: no histogram is needed. */
#include <float.h>
#include <math.h>

#include "base/err.h"
#include "quant/observer.h"
#include "quant/plan.h"

/* Clips tried for the smallest squared error: 10 % to 100 % of the largest weight. Two bits need the low end. */
#define CLIP_FIRST 10
#define CLIP_LAST  100

static double squared_error(const float *w, size_t n, struct qrange q, float step)
{
	float inverse = 1.0f / step, lo = (float)q.lo, hi = (float)q.hi;
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		float r = rintf(w[i] * inverse);
		double e;

		r = r < lo ? lo : r > hi ? hi : r;
		e = (double)w[i] - (double)r * (double)step;
		sum += e * e;
	}
	return sum;
}

/* Of 1 bit. A channel of zeros has no scale, and zeros have a sign: the least step of a training keeps it at almost 0.
 */
#define STEP_OF_ZEROS 0x1p-24f

static float mean_magnitude(const float *w, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += fabs((double)w[i]);
	const float mean = (float)(sum / (double)n);
	return mean > 0 && isfinite(1.0f / mean) ? mean : STEP_OF_ZEROS;
}

static int channel_step(const float *w, size_t n, struct qrange q, enum observer_kind kind, float *step)
{
	double best = DBL_MAX;
	float largest = 0;
	bool finite = true;

	for (size_t i = 0; i < n; i++) {
		float a = fabsf(w[i]);

		finite &= a <= FLT_MAX;
		largest = a > largest ? a : largest;
	}
	if (!finite)
		return err_set(ERR_CHECKPOINT, "a weight is NaN or infinite");
	if (qrange_is_binary(q)) {
		*step = mean_magnitude(w, n);
		return 0;
	}
	quant_step_of_range(&q, -largest, largest, step);
	if (largest == 0 || kind != OBSERVE_MSE)
		return 0;
	for (int i = CLIP_LAST; i >= CLIP_FIRST; i--) {
		float clip = largest * (float)i / CLIP_LAST, s;
		double error;

		quant_step_of_range(&q, -clip, clip, &s);
		error = squared_error(w, n, q, s);
		if (error < best) {
			best = error;
			*step = s;
		}
	}
	return 0;
}

int quant_weight_steps(
    const float *w, size_t O, size_t K, struct qrange q, bool per_channel, enum observer_kind kind, float *steps)
{
	if (kind != OBSERVE_MINMAX && kind != OBSERVE_MSE)
		return err_set(ERR_FAIL, "weights have no observer '%s'", observer_names[kind]);
	if (!per_channel)
		return channel_step(w, O * K, q, kind, steps);
	for (size_t o = 0; o < O; o++) {
		int rc = channel_step(w + o * K, K, q, kind, &steps[o]);

		if (rc)
			return rc;
	}
	return 0;
}

int64_t quant_worst_accumulator(const int8_t *wq, int64_t O, int64_t K)
{
	int64_t worst = 0;

	for (int64_t o = 0; o < O; o++) {
		int64_t positive = 0, negative = 0;

		for (int64_t k = 0; k < K; k++) {
			int w = wq[o * K + k];

			positive += w > 0 ? w : 0;
			negative += w < 0 ? -w : 0;
		}
		worst = positive > worst ? positive : worst;
		worst = negative > worst ? negative : worst;
	}
	return 255 * worst;
}
