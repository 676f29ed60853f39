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

double observer_fine_bin(const struct observer *o, int k, double count[2])
{
	int octave = OBSERVER_OCTAVES - 1 - (k - 1) / OBSERVER_STEPS, step = (k - 1) % OBSERVER_STEPS;

	for (int s = 0; s < 2; s++)
		count[s] = k == 0 ? o->low[s] : o->fine[s][octave][step];
	if (k == 0)
		return ldexp((double)o->range, -OBSERVER_OCTAVES);
	return ldexp((double)o->range, -octave - 1) * (1 + (step + 1.0) / OBSERVER_STEPS);
}

/* One octave more on top: the others move down, and the lowest is lost in the rest. */
static void add_octave(struct observer *o)
{
	for (int s = 0; s < 2; s++) {
		for (int i = 0; i < OBSERVER_STEPS; i++)
			o->low[s] += o->fine[s][OBSERVER_OCTAVES - 1][i];
		memmove(o->fine[s][1], o->fine[s][0], sizeof(o->fine[s]) - sizeof(o->fine[s][0]));
		memset(o->fine[s][0], 0, sizeof(o->fine[s][0]));
	}
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
		add_octave(o);
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
		double v = (double)x[i] * inverse;
		int whole = (int)v; /* floor, without the call that plain x86-64 makes of it */
		int bin = whole - (v < whole) + OBSERVER_BINS / 2;
		bool zero = x[i] == 0;

		zeros += zero;
		part[i & 3][bin] += !zero;
	}
	o->zeros += (double)zeros;
	for (int b = 0; b < OBSERVER_BINS; b++)
		o->count[b] += (double)part[0][b] + part[1][b] + part[2][b] + part[3][b];
}

/* The bits of a float are its octave and its place there. */
static void add_fine(struct observer *o, const float *x, size_t n)
{
	uint32_t part[2][OBSERVER_OCTAVES + 1][OBSERVER_STEPS];
	uint32_t range;

	memset(part, 0, sizeof(part));
	memcpy(&range, &o->range, sizeof(range));
	for (size_t i = 0; i < n; i++) {
		uint32_t bits, octave;

		memcpy(&bits, x + i, sizeof(bits));
		octave = (range >> 23) - 1 - (bits >> 23 & 255);
		octave = octave > OBSERVER_OCTAVES ? OBSERVER_OCTAVES : octave;
		part[bits >> 31][octave][bits >> 14 & (OBSERVER_STEPS - 1)] += x[i] != 0;
	}
	for (int s = 0; s < 2; s++)
		for (int k = 0; k < OBSERVER_STEPS; k++) {
			for (int i = 0; i < OBSERVER_OCTAVES; i++)
				o->fine[s][i][k] += (double)part[s][i][k];
			o->low[s] += (double)part[s][OBSERVER_OCTAVES][k];
		}
}

static void add_extremes(struct observer *o, float lo, float hi)
{
	bool nothing = lo == 0 && hi == 0; /* a batch of zeros says nothing about a range: it moves no average */

	if (o->batches == 0) {
		o->min = lo;
		o->max = hi;
	} else {
		o->min = fminf(o->min, lo);
		o->max = fmaxf(o->max, hi);
	}
	if (o->averaged == 0) {
		o->avg_min = lo;
		o->avg_max = hi;
	} else if (!nothing) {
		o->avg_min += MOMENTUM * (lo - o->avg_min);
		o->avg_max += MOMENTUM * (hi - o->avg_max);
	}
	o->averaged += !nothing;
	o->batches++;
}

/* Extremes and squares in independent lanes, whose order of additions is fixed. */
#define LANES 8

struct extent {
	float lo, hi;
	double squares;
	bool finite;
};

static struct extent measure(const float *x, size_t n)
{
	float lo[LANES], hi[LANES];
	double squares[LANES] = {0};
	int finite = 1;
	struct extent e = {.lo = FLT_MAX, .hi = -FLT_MAX};

	for (int k = 0; k < LANES; k++) {
		lo[k] = FLT_MAX;
		hi[k] = -FLT_MAX;
	}
	for (size_t i = 0; i < n; i += LANES) {
		size_t lanes = n - i < LANES ? n - i : LANES;

		for (size_t k = 0; k < lanes; k++) {
			float v = x[i + k];

			lo[k] = v < lo[k] ? v : lo[k];
			hi[k] = v > hi[k] ? v : hi[k];
			finite &= fabsf(v) <= LARGEST; /* false for NaN too */
			squares[k] += (double)v * (double)v;
		}
	}
	for (int k = 0; k < LANES; k++) {
		e.lo = fminf(e.lo, lo[k]);
		e.hi = fmaxf(e.hi, hi[k]);
		e.squares += squares[k];
	}
	e.finite = finite;
	return e;
}

int observer_add(struct observer *o, const float *x, size_t n)
{
	const size_t chunk = (size_t)1 << 30; /* partial histograms count in 32 bits */
	struct extent e;
	float largest;

	if (n == 0)
		return 0;
	e = measure(x, n);
	if (!e.finite)
		return err_set(ERR_DATA, "a value is NaN, infinite or larger than 2^126");
	largest = fmaxf(-e.lo, e.hi);
	if (largest > 0)
		widen(o, largest);
	if (o->range > 0)
		for (size_t i = 0; i < n; i += chunk) {
			add_counts(o, x + i, n - i < chunk ? n - i : chunk);
			add_fine(o, x + i, n - i < chunk ? n - i : chunk);
		}
	else
		o->zeros += (double)n;
	add_extremes(o, e.lo, e.hi);
	o->n += (double)n;
	o->sum_squares += e.squares;
	return 0;
}
