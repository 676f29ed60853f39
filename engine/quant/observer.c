/* Observers: the streaming part. One histogram serves every method; the ranges are found in observer_range.c. */
#include "quant/observer.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/err.h"

const char *const observer_names[OBSERVER_COUNT + 1] = {
    "minmax", "moving_average", "percentile", "entropy", "mse", NULL};

/* Share of a new batch in the moving averages (Jacob et al. 2018, section 3; PyTorch has the same 0.01..0.1). */
#define MOMENTUM 0.1f

/* Above this, the range would not be a float. */
#define LARGEST 0x1p126f

void observer_init(struct observer *o)
{
	memset(o, 0, sizeof(*o));
}

/* Merges pairs of bins until the range holds `largest`. Old bin j becomes 512 + j/2: exact, nothing is interpolated. */
static void widen(struct observer *o, float largest)
{
	int exponent;

	if (o->range == 0) {
		(void)frexpf(largest, &exponent);
		o->range = ldexpf(1.0f, exponent); /* the smallest power of two above `largest` */
		return;
	}
	while (o->range <= largest) {
		double old[OBSERVER_BINS];

		memcpy(old, o->count, sizeof(old));
		memset(o->count, 0, sizeof(o->count));
		for (int j = 0; j < OBSERVER_BINS; j++)
			o->count[OBSERVER_BINS / 4 + j / 2] += old[j];
		o->range *= 2;
	}
}

/* Four partial histograms, since equal neighbours in one would wait for each other. Integer counts: exact sums. */
static void add_counts(struct observer *o, const float *x, size_t n)
{
	uint32_t part[4][OBSERVER_BINS];
	uint64_t zeros = 0;
	int exponent;

	memset(part, 0, sizeof(part));
	(void)frexpf(o->range, &exponent);
	/* Scaling by a power of two is exact, so the bin is that of the definition; in double, for tiny ranges. */
	double inverse = ldexp(OBSERVER_BINS / 2, 1 - exponent);
	for (size_t i = 0; i < n; i++) {
		int bin = (int)floor((double)x[i] * inverse) + OBSERVER_BINS / 2;

		if (x[i] == 0)
			zeros++;
		else
			part[i & 3][bin]++;
	}
	o->zeros += (double)zeros;
	for (int b = 0; b < OBSERVER_BINS; b++)
		o->count[b] += (double)part[0][b] + part[1][b] + part[2][b] + part[3][b];
}

static void add_extremes(struct observer *o, float lo, float hi)
{
	if (o->batches == 0) {
		o->min = o->avg_min = lo;
		o->max = o->avg_max = hi;
	} else {
		o->min = fminf(o->min, lo);
		o->max = fmaxf(o->max, hi);
		o->avg_min += MOMENTUM * (lo - o->avg_min);
		o->avg_max += MOMENTUM * (hi - o->avg_max);
	}
	o->batches++;
}

int observer_add(struct observer *o, const float *x, size_t n)
{
	const size_t chunk = (size_t)1 << 30; /* partial histograms count in 32 bits */
	float lo = FLT_MAX, hi = -FLT_MAX, largest;
	double squares = 0;
	bool finite = true;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		lo = x[i] < lo ? x[i] : lo;
		hi = x[i] > hi ? x[i] : hi;
		finite &= fabsf(x[i]) <= LARGEST; /* false for NaN too */
		squares += (double)x[i] * (double)x[i];
	}
	if (!finite)
		return err_set(ERR_DATA, "a value is NaN, infinite or larger than 2^126");
	largest = fmaxf(-lo, hi);
	if (largest > 0)
		widen(o, largest);
	if (o->range > 0) {
		for (size_t i = 0; i < n; i += chunk)
			add_counts(o, x + i, n - i < chunk ? n - i : chunk);
	} else {
		o->zeros += (double)n;
	}
	add_extremes(o, lo, hi);
	o->n += (double)n;
	o->sum_squares += squares;
	return 0;
}
