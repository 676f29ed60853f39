#include "stages/prune_choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/units.h"

int unit_scores_init(struct unit_scores *s, const struct model_spec *spec)
{
	*s = (struct unit_scores){.spec = spec, .score = mem_alloc((size_t)spec->n_width + 1, sizeof(*s->score))};
	return s->score ? 0 : ERR_NOMEM;
}

int unit_scores_add(struct unit_scores *s, int i)
{
	mem_free(s->score[i]);
	s->score[i] = mem_alloc((size_t)s->spec->width[i], sizeof(*s->score[i]));
	return s->score[i] ? 0 : ERR_NOMEM;
}

void unit_scores_clear(struct unit_scores *s)
{
	for (int i = 0; s->score && i < s->spec->n_width; i++)
		mem_free(s->score[i]);
	mem_free(s->score);
	*s = (struct unit_scores){0};
}

static int check_width(const struct unit_scores *s, int i, int left)
{
	char name[64];
	const int units = s->spec->width[i];
	if (left < 1)
		return err_set(ERR_CONFIG, "all %d units of %s would be removed: at least one must stay", units,
		    spec_width_name(s->spec, i, name));
	if (left > units)
		return err_set(
		    ERR_CONFIG, "%s has %d units, %d cannot stay", spec_width_name(s->spec, i, name), units, left);
	for (int u = 0; u < units; u++)
		if (!isfinite(s->score[i][u]))
			return err_set(ERR_FAIL, "unit %d of %s has the score %g", u, spec_width_name(s->spec, i, name),
			    s->score[i][u]);
	return 0;
}

int choose_units(const struct unit_scores *s, const int *left, struct slice *keep)
{
	const struct model_spec *spec = s->spec;
	int rc = slice_init(keep, spec->n_width);
	for (int i = 0; !rc && i < spec->n_width; i++) {
		if (!s->score[i])
			continue;
		rc = check_width(s, i, left[i]);
		if (!rc && left[i] < spec->width[i])
			rc = units_keep(s->score[i], i, spec->width[i], left[i], keep);
	}
	if (rc)
		slice_clear(keep);
	return rc;
}

/* ---- within a budget ---- */

/* Ways to spend 0 .. CHOOSE_GRID parts of what the budget leaves beside `fixed`: the least loss of the widths so far,
 * and for each width how many units it keeps then. */
struct table {
	const struct unit_scores *s;
	const struct choose_cost *c;
	double part;       /* cost of one part; 0: there is nothing to spend */
	double *best, *to; /* (CHOOSE_GRID + 1): of the widths before, and with this one; INFINITY: no way */
	int **left;        /* (n_width)(CHOOSE_GRID + 1) */
	double *loss;      /* (largest width + 1): of the width at hand with k units left */
};

static void table_clear(struct table *t)
{
	for (int i = 0; t->left && i < t->s->spec->n_width; i++)
		mem_free(t->left[i]);
	mem_free(t->left);
	mem_free(t->best);
	mem_free(t->to);
	mem_free(t->loss);
}

static int table_make(struct table *t)
{
	const struct model_spec *spec = t->s->spec;
	int widest = 0;
	for (int i = 0; i < spec->n_width; i++)
		widest = spec->width[i] > widest ? spec->width[i] : widest;
	const double room = t->c->budget - t->c->fixed;
	t->part = room > 0 ? room / CHOOSE_GRID : 0;
	t->best = mem_alloc(CHOOSE_GRID + 1, sizeof(*t->best));
	t->to = mem_alloc(CHOOSE_GRID + 1, sizeof(*t->to));
	t->left = mem_alloc((size_t)spec->n_width + 1, sizeof(*t->left));
	t->loss = mem_alloc((size_t)widest + 1, sizeof(*t->loss));
	bool ok = t->best && t->to && t->left && t->loss;
	for (int i = 0; ok && i < spec->n_width; i++)
		if (t->s->score[i])
			ok = (t->left[i] = mem_alloc(CHOOSE_GRID + 1, sizeof(*t->left[i])));
	return ok ? 0 : ERR_NOMEM;
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* t->loss[k]: the sum of all but the k largest scores of width i. */
static void fill_losses(struct table *t, int i)
{
	const int units = t->s->spec->width[i];
	double sum = 0;
	memcpy(t->loss, t->s->score[i], (size_t)units * sizeof(*t->loss));
	qsort(t->loss, (size_t)units, sizeof(*t->loss), ascending);
	for (int u = 0; u < units; u++) { /* the u least are gone */
		const double next = t->loss[u];
		t->loss[u] = sum;
		sum += next;
	}
	t->loss[units] = sum;
	for (int a = 0, b = units; a < b; a++, b--) { /* by how many are left */
		const double swap = t->loss[a];
		t->loss[a] = t->loss[b];
		t->loss[b] = swap;
	}
}

/* Whether a width of that many units may shrink to k. */
static bool is_allowed(const struct choose_cost *c, int units, int k)
{
	return k == units || (k >= c->min_units && k % c->step == 0);
}

/* Parts that a cost takes, rounded up; CHOOSE_GRID + 1: too many. 1e-9: what a sum of equal parts misses. */
static int parts_of(const struct table *t, double cost)
{
	if (!(cost > 0))
		return 0;
	const double parts = t->part > 0 ? ceil(cost / t->part - 1e-9) : CHOOSE_GRID + 1.;
	return parts <= CHOOSE_GRID ? (int)parts : CHOOSE_GRID + 1;
}

static void add_width(struct table *t, int i)
{
	const int units = t->s->spec->width[i];
	for (int at = 0; at <= CHOOSE_GRID; at++)
		t->to[at] = INFINITY;
	for (int k = units; k >= 1; k--) { /* of equal losses the way that keeps more */
		if (!is_allowed(t->c, units, k))
			continue;
		const int parts = parts_of(t, t->c->cost[i][k]);
		for (int at = parts; at <= CHOOSE_GRID; at++) {
			const double loss = t->best[at - parts] + t->loss[k];
			if (!(loss < t->to[at]))
				continue;
			t->to[at] = loss;
			t->left[i][at] = k;
		}
	}
	double *swap = t->best;
	t->best = t->to;
	t->to = swap;
}

/* Of each width the number with the least cost, or all of it; the sum of what they cost. */
static double least_widths(const struct unit_scores *s, const struct choose_cost *c, bool all, int *left)
{
	double sum = c->fixed;
	for (int i = 0; i < s->spec->n_width; i++) {
		left[i] = s->spec->width[i];
		for (int k = left[i]; s->score[i] && !all && k >= 1; k--)
			if (is_allowed(c, s->spec->width[i], k) && c->cost[i][k] < c->cost[i][left[i]])
				left[i] = k;
		sum += s->score[i] ? c->cost[i][left[i]] : 0;
	}
	return sum;
}

/* Where all costs are within the budget, or only the least are, rounding must not say otherwise. */
static int choose_ends(const struct unit_scores *s, const struct choose_cost *c, bool found, int *left, bool *done)
{
	*done = true;
	if (least_widths(s, c, true, left) <= c->budget)
		return 0;
	const double least = least_widths(s, c, false, left);
	if (!(least <= c->budget))
		return err_set(ERR_CONFIG, "a cost of %g cannot be reached: the least is %g", c->budget, least);
	*done = !found;
	return 0;
}

static void walk_back(const struct table *t, int *left)
{
	const struct unit_scores *s = t->s;
	for (int i = s->spec->n_width - 1, at = CHOOSE_GRID; i >= 0; i--) {
		left[i] = s->spec->width[i];
		if (!s->score[i])
			continue;
		left[i] = t->left[i][at];
		at -= parts_of(t, t->c->cost[i][left[i]]);
	}
}

static void sum_up(struct table *t, const int *left, double *cost, double *lost)
{
	*cost = t->c->fixed;
	*lost = 0;
	for (int i = 0; i < t->s->spec->n_width; i++) {
		if (!t->s->score[i])
			continue;
		fill_losses(t, i);
		*cost += t->c->cost[i][left[i]];
		*lost += t->loss[left[i]];
	}
}

int choose_within(const struct unit_scores *s, const struct choose_cost *c, int *left, double *cost, double *lost)
{
	struct table t = {.s = s, .c = c};
	bool done = false;
	int rc = c->min_units < 1 || c->step < 1
		     ? err_set(ERR_CONFIG, "all units of a width would be removed: at least one must stay")
		     : 0;
	for (int i = 0; !rc && i < s->spec->n_width; i++)
		if (s->score[i])
			rc = check_width(s, i, s->spec->width[i]);
	if (!rc)
		rc = table_make(&t);
	for (int i = 0; !rc && i < s->spec->n_width; i++) {
		if (!s->score[i])
			continue;
		fill_losses(&t, i);
		add_width(&t, i);
	}
	if (!rc)
		rc = choose_ends(s, c, t.best[CHOOSE_GRID] < INFINITY, left, &done);
	if (!rc && !done)
		walk_back(&t, left);
	if (!rc)
		sum_up(&t, left, cost, lost);
	table_clear(&t);
	return rc;
}
