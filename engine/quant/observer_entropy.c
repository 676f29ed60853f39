/* The entropy observer: the clipping range whose quantized distribution has the least Kullback-Leibler divergence from
 * the observed one, after Migacz, "8-bit inference with TensorRT", GTC 2017, slides 33 to 36. As there, p has the mass
 * outside a candidate range added to its end bins, and q spreads the mass of each level evenly over the level's bins
 * that are not empty. Four things are other:
 *   - Bins. 2,048 equal ones cannot resolve what lies below an outlier of 300 times or more: all that matters falls
 *     into a few bins, whose divergence is nothing, and the outlier stays. The bins here are fine for every candidate:
 *     512 per octave of |x|, and "evenly" means by their width.
 *   - Candidates. Ranges shrink by 1/256 from the observed one, the farther end first, and on to the next bin that is
 *     not empty, until half of the values would be clipped. (There: every number of bins from 128 on; where the last
 *     one is empty the divergence is infinite.)
 *   - Ties. Of candidates within TIE of the least divergence the narrowest is taken, as the first of the slides'
 *     minima is: less than one value in 100,000 decides nothing.
 *   - What is no outlier. Divergence does not know how far away clipped values are. A range that clips more than one
 *     value in 1,000 and has more than 6 dB more noise than the observed one is no candidate, nor is a narrower one. */
#include <float.h>
#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/observer.h"

#define TIE    1e-4
#define SHRINK (1.0 - 1.0 / 256)
#define RARE   1e-3
#define WORSE  6.0 /* dB */

/* Values on a line in bins of any width, and sums of the bins before each. */
struct bins {
	int n;
	double *edge, *count; /* n + 1, n */
	double *mass;         /* of counts; n + 1, as the following */
	double *width;        /* of bins that are not empty */
	double *log_density;  /* of count * log(count / width) */
};

static void bins_clear(struct bins *b)
{
	mem_free(b->edge);
	mem_free(b->count);
	mem_free(b->mass);
	mem_free(b->width);
	mem_free(b->log_density);
}

static int bins_alloc(struct bins *b)
{
	size_t n = 2 * (OBSERVER_OCTAVES * OBSERVER_STEPS + 1) + 1;

	*b = (struct bins){.edge = mem_alloc(n, sizeof(double)),
	    .count = mem_alloc(n, sizeof(double)),
	    .mass = mem_alloc(n, sizeof(double)),
	    .width = mem_alloc(n, sizeof(double)),
	    .log_density = mem_alloc(n, sizeof(double))};
	return b->edge && b->count && b->mass && b->width && b->log_density ? 0 : ERR_NOMEM;
}

/* The |x| below which half of the nonzero values lie, to a bin. */
static double median(const struct observer *o)
{
	double sum = 0, half = (o->n - o->zeros) / 2, edge = 0;

	for (int k = 0; k < OBSERVER_FINE_BINS && sum < half; k++) {
		double count[2];

		edge = observer_fine_bin(o, k, count);
		sum += count[0] + count[1];
	}
	return edge;
}

static void append(struct bins *b, double edge, double count)
{
	b->count[b->n] = count;
	b->edge[++b->n] = edge;
}

/* Bins of |x|, or with both_signs of x. Those narrower than `least` are merged: they would only add noise. */
static void fill(struct bins *b, const struct observer *o, bool both_signs, double least)
{
	double count[2], from = 0, sum[2] = {0, 0};

	b->n = 0;
	b->edge[0] = 0;
	for (int k = 0; k < OBSERVER_FINE_BINS; k++) {
		double to = observer_fine_bin(o, k, count);

		sum[0] += count[0] + (both_signs ? 0 : count[1]);
		if (to - from < least && k < OBSERVER_FINE_BINS - 1)
			continue;
		append(b, to, sum[0]);
		sum[0] = 0;
		from = to;
	}
	if (!both_signs)
		return;
	/* The negative half mirrors the edges of the positive one, before which it is put. */
	int half = b->n;

	for (int i = half; i >= 0; i--)
		b->edge[half + i] = b->edge[i];
	for (int i = half - 1; i >= 0; i--)
		b->count[half + i] = b->count[i];
	for (int i = 0; i < half; i++) {
		b->edge[i] = -b->edge[2 * half - i];
		b->count[i] = 0;
	}
	b->n = 2 * half;
	for (int k = 0, i = half - 1; k < OBSERVER_FINE_BINS; k++) {
		double to = observer_fine_bin(o, k, count);

		while (i > 0 && -b->edge[i] < to)
			i--;
		b->count[i] += count[1];
	}
}

static void sum_up(struct bins *b)
{
	for (int i = 0; i < b->n; i++) {
		double c = b->count[i], w = b->edge[i + 1] - b->edge[i];

		b->mass[i + 1] = b->mass[i] + c;
		b->width[i + 1] = b->width[i] + (c > 0 ? w : 0);
		b->log_density[i + 1] = b->log_density[i] + (c > 0 ? c * log(c / w) : 0);
	}
}

/* The first bin whose middle is at x or beyond, from bin `from` on. */
static int bin_at(const struct bins *b, double x, int from, int to)
{
	while (from < to) {
		int middle = from + (to - from) / 2;

		if ((b->edge[middle] + b->edge[middle + 1]) / 2 < x)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* What changes where `outside` values are added to p, but not to q, at bin i of a level [from, to). */
static double add_outside(const struct bins *b, int i, int from, int to, double inside, double outside)
{
	double total = b->mass[b->n], c = b->count[i], mass = b->mass[to] - b->mass[from];

	if (outside == 0)
		return 0;
	double q = mass / inside * (b->edge[i + 1] - b->edge[i]) / (b->width[to] - b->width[from]);

	return (c + outside) / total * log((c + outside) / total / q) - c / total * log(c / total / q);
}

/* Of the range of bins [first, last) with so many levels. The sum over the bins of a level of p * log(p / q) is taken
 * from the prefix sums. */
static double divergence(const struct bins *b, int first, int last, int levels)
{
	double total = b->mass[b->n], inside = b->mass[last] - b->mass[first], low = b->edge[first];
	double step = (b->edge[last] - low) / levels, sum = b->log_density[last] - b->log_density[first], ends = 0;

	if (inside <= 0)
		return DBL_MAX;
	for (int level = 0, from = first; level < levels; level++) {
		int to = level == levels - 1 ? last : bin_at(b, low + step * (level + 1), from, last);
		double mass = b->mass[to] - b->mass[from];

		if (mass > 0)
			sum += mass * log(inside * (b->width[to] - b->width[from]) / (total * mass));
		if (from <= first && first < to)
			ends += add_outside(b, first, from, to, inside, b->mass[first]);
		if (from < last && to == last)
			ends += add_outside(b, last - 1, from, to, inside, total - b->mass[last]);
		from = to;
	}
	return sum / total + ends;
}

/* The bins that a range within a limit ends with: the first and the last that hold anything. What begins at 0 stays so.
 */
static void ends_of(const struct bins *b, double limit, double lo, double hi, int *first, int *last)
{
	double low = fmax(lo, -limit), high = fmin(hi, limit);

	*first = 0;
	while (lo < 0 && *first < b->n - 1 && (b->edge[*first + 1] <= low || b->count[*first] == 0))
		++*first;
	*last = b->n;
	while (*last > *first + 1 && (b->edge[*last - 1] >= high || b->count[*last - 1] == 0))
		--*last;
}

struct choice {
	double divergence, lo, hi;
};

/* All candidates, the widest first; returns how many. at: room for CANDIDATES. */
#define CANDIDATES 8192

static int try_all(
    const struct observer *o, struct qrange q, const struct bins *b, double lo, double hi, struct choice *at)
{
	double limit = fmax(-lo, hi), least = observer_sqnr(o, q, (float)lo, (float)hi) - WORSE;
	double innermost = b->edge[lo < 0 ? b->n / 2 + 1 : 1];
	int n = 0, old_first = -1, old_last = -1;

	/* Half of the values may lie in the innermost bins, which no limit divides. */
	for (bool more = limit > 0; more && n < CANDIDATES; limit *= SHRINK) {
		int first, last;

		more = limit > innermost;
		ends_of(b, limit, lo, hi, &first, &last);
		if (first == old_first && last == old_last)
			continue;
		double all = b->mass[b->n], clipped = all - (b->mass[last] - b->mass[first]);
		double from = fmax(lo, b->edge[first]), to = fmin(hi, b->edge[last]);

		if (clipped > 0.5 * all ||
		    (clipped > RARE * all && observer_sqnr(o, q, (float)from, (float)to) < least))
			break;
		at[n++] = (struct choice){divergence(b, first, last, q.hi + 1), from, to};
		old_first = first;
		old_last = last;
	}
	return n;
}

static int search(const struct observer *o, struct qrange q, const struct bins *b, float *lo, float *hi)
{
	struct choice *at = mem_alloc(CANDIDATES, sizeof(*at));
	double best = DBL_MAX;
	int n, chosen = 0;

	if (!at)
		return ERR_NOMEM;
	n = try_all(o, q, b, (double)*lo, (double)*hi, at);
	for (int i = 0; i < n; i++)
		best = fmin(best, at[i].divergence);
	for (int i = 0; i < n; i++)
		if (at[i].divergence <= best + TIE)
			chosen = i;
	if (n > 0) {
		*lo = (float)at[chosen].lo;
		*hi = (float)at[chosen].hi;
	}
	mem_free(at);
	return 0;
}

int observer_entropy(const struct observer *o, struct qrange q, float *lo, float *hi)
{
	/* Of a signed value |x| counts, with the levels of one side: q.hi + 1, as many as unsigned ones have in all. */
	bool affine = !q.is_signed && *lo < 0;
	int rc;
	float low = affine ? *lo : 0;
	struct bins b;

	rc = bins_alloc(&b);
	if (!rc) {
		fill(&b, o, affine, median(o) / (4 * (q.hi + 1)));
		sum_up(&b);
		rc = search(o, q, &b, &low, hi);
	}
	*lo = affine ? low : *lo;
	bins_clear(&b);
	return rc;
}
