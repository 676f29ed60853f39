/* Bits per layer under a budget: a multiple-choice knapsack (Kellerer, Pferschy and Pisinger 2004, section 11.5). */
#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/quantize_accept.h"

#define MOST 4096 /* sums that are kept after a layer */

/* The layers so far: what was chosen for the last of them, and the sum that it was added to. */
struct sum {
	double cost, size;
	int choice;
	int32_t before; /* index among the sums of the layer before */
};

/* (layers) the sums after each. */
struct front {
	struct sum *sum;
	int n;
};

static int by_size(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;
	if (x->size < y->size || x->size > y->size)
		return x->size < y->size ? -1 : 1;
	if (x->cost < y->cost || x->cost > y->cost)
		return x->cost < y->cost ? -1 : 1;
	return x->before != y->before ? (x->before > y->before) - (x->before < y->before) : x->choice - y->choice;
}

/* Sorted: keeps those that are cheaper than all smaller ones. */
static int keep_unbeaten(struct sum *s, int n)
{
	int kept = 0;
	for (int i = 0; i < n; i++)
		if (kept == 0 || s[i].cost < s[kept - 1].cost)
			s[kept++] = s[i];
	return kept;
}

/* The last of each interval of the sizes is its cheapest; the smallest stays whatever it costs. */
static int thin(struct sum *s, int n)
{
	const double from = s[0].size, width = (s[n - 1].size - from) / (MOST - 1);
	int kept = 1;
	for (int i = 1; i < n; i++)
		if (i + 1 == n || floor((s[i + 1].size - from) / width) > floor((s[i].size - from) / width))
			s[kept++] = s[i];
	return kept;
}

/* rest: the least that the layers behind need. */
static int add_layer(const struct front *last, const double *cost, const double *size, int n_choice, double budget,
    double rest, struct front *out)
{
	const int before = last ? last->n : 1;
	struct sum *s = mem_alloc((size_t)before * (size_t)n_choice, sizeof(*s));
	int n = 0;
	if (!s)
		return ERR_NOMEM;
	for (int i = 0; i < before; i++)
		for (int c = 0; c < n_choice; c++) {
			const double sum = (last ? last->sum[i].size : 0) + size[c];
			if (sum + rest <= budget)
				s[n++] = (struct sum){(last ? last->sum[i].cost : 0) + cost[c], sum, c, i};
		}
	qsort(s, (size_t)n, sizeof(*s), by_size);
	n = keep_unbeaten(s, n);
	out->n = n > MOST ? thin(s, n) : n;
	out->sum = s;
	return 0;
}

static double smallest(const double *size, int n_choice)
{
	double least = INFINITY;
	for (int c = 0; c < n_choice; c++)
		least = fmin(least, size[c]);
	return least;
}

int quantize_choose_bits(
    const double *cost, const double *size, int n, int n_choice, double budget, int *pick, double *least)
{
	struct front *front = mem_alloc((size_t)n + 1, sizeof(*front));
	int rc = front ? 0 : ERR_NOMEM;
	double rest = 0;
	*least = 0;
	for (int l = 0; l < n; l++)
		*least += smallest(size + (size_t)l * (size_t)n_choice, n_choice);
	const double most = budget + 1e-9 * fabs(budget); /* what sums lose by rounding */
	if (!rc && !(*least <= most))
		rc = err_set(ERR_FAIL, "the smallest choices need %.6g, more than the budget of %.6g", *least, budget);
	rest = *least;
	for (int l = 0; !rc && l < n; l++) {
		const size_t at = (size_t)l * (size_t)n_choice;
		rest -= smallest(size + at, n_choice);
		rc =
		    add_layer(l ? &front[l - 1] : NULL, cost + at, size + at, n_choice, most, fmax(rest, 0), &front[l]);
	}
	/* the largest is the cheapest */
	for (int l = n - 1, i = rc || n == 0 ? -1 : front[n - 1].n - 1; i >= 0 && l >= 0; l--) {
		pick[l] = front[l].sum[i].choice;
		i = front[l].sum[i].before;
	}
	for (int l = 0; front && l < n; l++)
		mem_free(front[l].sum);
	mem_free(front);
	return rc;
}
