/* Which units stay, as arithmetic on scores, costs and gradients. Ties are broken by position. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/prune_fisher.h"

/* ---- by cost ---- */

/* Units that come and go together: a step of one block. */
struct step {
	double worth, cost;
	int block, units, at; /* at: its place in the block */
};
struct steps {
	struct step *item;
	int n;
};

static double density(const struct step *s)
{
	return s->worth / s->cost;
}

static int best_first(const void *a, const void *b)
{
	const struct step *x = a, *y = b;
	const double dx = density(x), dy = density(y);
	if (dx > dy || dx < dy)
		return dx > dy ? -1 : 1;
	return x->block != y->block ? x->block - y->block : x->at - y->at;
}

/* The steps above the least numbers, of the blocks whose unit costs what the first block's does (heads), or of the
 * others. */
static int list_steps(
    struct steps *out, const struct prune_block *b, int n, const double *const *sorted, const double *cost, bool heads)
{
	int capacity = 0;
	for (int i = 0; i < n; i++)
		capacity += b[i].units;
	*out = (struct steps){.item = mem_alloc((size_t)capacity + 1, sizeof(*out->item))};
	if (!out->item)
		return ERR_NOMEM;
	for (int i = 0; i < n; i++) {
		if ((fabs(cost[i] - cost[0]) <= 1e-9 * cost[0]) != heads)
			continue;
		double last = INFINITY;
		int at = 0;
		for (int k = b[i].least, next; (next = prune_next_units(&b[i], k)) <= b[i].units; k = next) {
			struct step s = {.cost = cost[i] * (next - k), .block = i, .units = next - k, .at = at++};
			for (int u = k; u < next; u++)
				s.worth += sorted[i][u];
			/* a later step of a block is worth no more, whatever rounding says: they are taken in order */
			s.worth = fmin(s.worth, last * s.cost);
			last = density(&s);
			out->item[out->n++] = s;
		}
	}
	qsort(out->item, (size_t)out->n, sizeof(*out->item), best_first);
	return 0;
}

static void take(const struct steps *s, int n, int *keep)
{
	for (int i = 0; i < n; i++)
		keep[s->item[i].block] += s->item[i].units;
}

/* Heads 0, 1, 2, ... and what fits beside them of the others, whose number falls as that of the heads grows. */
static void sweep(const struct steps *heads, const struct steps *others, double room, int *keep)
{
	int best_heads = 0, best_others = 0, fit = others->n;
	double worth = 0, cost = 0, rest = 0, rest_cost = 0, best = -1;
	for (int i = 0; i < others->n; i++) {
		rest += others->item[i].worth;
		rest_cost += others->item[i].cost;
	}
	for (int h = 0; h <= heads->n && cost <= room; h++) {
		while (fit > 0 && cost + rest_cost > room) {
			fit--;
			rest -= others->item[fit].worth;
			rest_cost -= others->item[fit].cost;
		}
		if (fit == 0)
			rest = rest_cost = 0; /* not what rounding has left of them */
		if (worth + rest > best) {
			best = worth + rest;
			best_heads = h;
			best_others = fit;
		}
		if (h < heads->n) {
			worth += heads->item[h].worth;
			cost += heads->item[h].cost;
		}
	}
	take(heads, best_heads, keep);
	take(others, best_others, keep);
}

int prune_search_cost(
    const struct prune_block *b, int n, const double *const *sorted, const double *cost, double budget, int *keep)
{
	struct steps heads = {0}, others = {0};
	double least = 0;
	for (int i = 0; i < n; i++) {
		keep[i] = b[i].least;
		least += cost[i] * b[i].least;
	}
	const double room = budget * (1 + 1e-9) - least; /* so that a budget of all units holds all */
	if (room < 0)
		return err_set(ERR_CONFIG, "the least units cost %g of %g", least, budget);
	int rc = list_steps(&heads, b, n, sorted, cost, true);
	if (!rc)
		rc = list_steps(&others, b, n, sorted, cost, false);
	if (!rc)
		sweep(&heads, &others, room, keep);
	mem_free(heads.item);
	mem_free(others.item);
	return rc;
}

/* ---- by time ---- */

#define BINS 8192

/* best[t]: the largest worth of the blocks so far in t bins; units[i][t]: those of block i in it, 0: impossible. */
struct table {
	double *best, *next;
	int *units; /* (n, BINS + 1) */
};

static void add_option(const struct table *t, int *units, int k, int bins, double worth)
{
	for (int at = BINS; at >= bins; at--) {
		const double v = t->best[at - bins] + worth;
		if (t->best[at - bins] >= 0 && v > t->next[at]) {
			t->next[at] = v;
			units[at] = k;
		}
	}
}

static void add_block(
    struct table *t, const struct prune_block *b, const double *sorted, const double *ms, double bin, int *units)
{
	double worth = 0;
	int counted = 0;
	for (int at = 0; at <= BINS; at++)
		t->next[at] = -1;
	for (int k = b->least; k <= b->units; k = prune_next_units(b, k)) {
		while (counted < k)
			worth += sorted[counted++];
		const double bins = ceil(ms[k] / bin - 1e-9);
		if (bins <= BINS)
			add_option(t, units, k, bins > 0 ? (int)bins : 0, worth);
	}
	double *swap = t->best;
	t->best = t->next;
	t->next = swap;
}

static int fastest(const struct prune_block *b, const double *ms)
{
	int best = b->least;
	for (int k = b->least; k <= b->units; k = prune_next_units(b, k))
		if (ms[k] < ms[best])
			best = k;
	return best;
}

static int solve(struct table *t, const struct prune_block *b, int n, const double *const *sorted,
    const double *const *ms, double bin, int *keep)
{
	for (int at = 0; at <= BINS; at++)
		t->best[at] = 0;
	for (int i = 0; i < n; i++)
		add_block(t, &b[i], sorted[i], ms[i], bin, t->units + (size_t)i * (BINS + 1));
	if (t->best[BINS] < 0)
		return 0; /* `keep` has the fastest, which only rounding to bins has put out of reach */
	for (int i = n - 1, at = BINS; i >= 0; i--) {
		keep[i] = t->units[(size_t)i * (BINS + 1) + (size_t)at];
		const double bins = ceil(ms[i][keep[i]] / bin - 1e-9);
		at -= bins > 0 ? (int)bins : 0;
	}
	return 0;
}

int prune_search_time(const struct prune_block *b, int n, const double *const *sorted, const double *const *ms,
    double budget, int *keep, double *least)
{
	struct table t = {0};
	*least = 0;
	for (int i = 0; i < n; i++) {
		keep[i] = fastest(&b[i], ms[i]);
		*least += ms[i][keep[i]];
	}
	if (!(*least <= budget))
		return err_set(ERR_CONFIG, "the fastest choice takes %g ms of %g", *least, budget);
	t.best = mem_alloc(BINS + 1, sizeof(*t.best));
	t.next = mem_alloc(BINS + 1, sizeof(*t.next));
	t.units = mem_alloc((size_t)n * (BINS + 1), sizeof(*t.units));
	int rc = t.best && t.next && t.units ? solve(&t, b, n, sorted, ms, budget / BINS, keep) : ERR_NOMEM;
	mem_free(t.best);
	mem_free(t.next);
	mem_free(t.units);
	return rc;
}

/* ---- within a block ---- */

struct unit_worth {
	double square;
	int unit;
};

/* Of equal ones the last goes first. */
static int least_first(const void *a, const void *b)
{
	const struct unit_worth *x = a, *y = b;
	if (x->square > y->square || x->square < y->square)
		return x->square < y->square ? -1 : 1;
	return y->unit - x->unit;
}

/* The state of an exchange: the products of each pruned unit's gradients with the pruned units' sum. */
struct exchange {
	const float *gradient;
	int units;
	int64_t samples;
	const double *square; /* (units) */
	bool *kept;
	double *with_sum, *with_unit; /* (units) */
};

/* Products of unit i's gradients with those of all pruned ones. */
static void multiply(struct exchange *x, int i)
{
	for (int j = 0; j < x->units; j++)
		if (!x->kept[j])
			x->with_unit[j] = prune_dot(
			    x->gradient + (int64_t)i * x->samples, x->gradient + (int64_t)j * x->samples, x->samples);
}

static void exchange(struct exchange *x, int i)
{
	multiply(x, i);
	double sum = x->square[i];
	for (int j = 0; j < x->units; j++)
		if (!x->kept[j]) {
			sum += x->with_unit[j];
			x->with_sum[j] += x->with_unit[j];
		}
	x->kept[i] = false;
	x->with_sum[i] = sum;
	x->with_unit[i] = x->square[i];
	/* |s - g_j|^2 = |s|^2 - (2 s g_j - |g_j|^2) */
	int back = i;
	double most = 2 * sum - x->square[i];
	for (int j = 0; j < x->units; j++)
		if (!x->kept[j] && 2 * x->with_sum[j] - x->square[j] > most) {
			most = 2 * x->with_sum[j] - x->square[j];
			back = j;
		}
	x->kept[back] = true;
	if (back != i)
		multiply(x, back);
	for (int j = 0; j < x->units; j++)
		if (!x->kept[j])
			x->with_sum[j] -= x->with_unit[j];
}

static int rearrange_units(
    const float *gradient, int units, int64_t samples, const struct unit_worth *order, int pruned, bool *kept)
{
	double *square = mem_alloc((size_t)units, sizeof(*square)),
	       *with_sum = mem_alloc((size_t)units, sizeof(*square)),
	       *with_unit = mem_alloc((size_t)units, sizeof(*square));
	struct exchange x = {.gradient = gradient,
	    .units = units,
	    .samples = samples,
	    .square = square,
	    .kept = kept,
	    .with_sum = with_sum,
	    .with_unit = with_unit};
	int rc = square && with_sum && with_unit ? 0 : ERR_NOMEM;
	for (int k = 0; !rc && k < units; k++)
		square[order[k].unit] = order[k].square;
	for (int k = 0; !rc && k < pruned; k++) {
		multiply(&x, order[k].unit);
		for (int j = 0; j < units; j++)
			with_sum[j] += kept[j] ? 0 : with_unit[j];
	}
	for (int k = pruned; !rc && k < units; k++)
		exchange(&x, order[k].unit);
	mem_free(square);
	mem_free(with_sum);
	mem_free(with_unit);
	return rc;
}

int prune_choose_units(const float *gradient, int units, int64_t samples, int keep, bool rearrange, bool *kept)
{
	struct unit_worth *order = mem_alloc((size_t)units, sizeof(*order));
	if (!order)
		return ERR_NOMEM;
	for (int u = 0; u < units; u++) {
		const float *g = gradient + (int64_t)u * samples;
		order[u] = (struct unit_worth){.square = prune_dot(g, g, samples), .unit = u};
	}
	qsort(order, (size_t)units, sizeof(*order), least_first);
	for (int u = 0; u < units; u++)
		kept[order[u].unit] = u >= units - keep;
	int rc = 0;
	if (rearrange && keep > 0 && keep < units)
		rc = rearrange_units(gradient, units, samples, order, units - keep, kept);
	mem_free(order);
	return rc;
}
