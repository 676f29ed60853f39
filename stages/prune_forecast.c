/* What pruning will do to masks, as far as the options tell: see mask_forecast.h. Bounds are kept, never guesses: what
 * is refused here is refused by the run, whatever the weights become. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "stages/prune.h"

/* Where the weights of a set are in a forecast; its totals. */
struct pruned {
	struct mask_forecast *f;
	const struct prune_set *set;
	int64_t least, most; /* masked elements of the set */
};

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool is_in(const struct prune_set *set, const char *param)
{
	for (int i = 0; i < set->n; i++)
		if (strcmp(set->weight[i].param, param) == 0)
			return true;
	return false;
}

/* A sum over other params than the set's bounds the set's by what both do not share. */
static void bound_by_sum(struct pruned *p, int k)
{
	int64_t least = p->f->sum[k].least, most = p->f->sum[k].most;
	for (int i = 0; i < p->f->n; i++) {
		const struct masked_param *m = &p->f->param[i];
		const bool in_sum = m->sums >> k & 1, in_set = is_in(p->set, m->name);
		if (in_sum && !in_set) {
			least -= m->most;
			most -= m->least;
		} else if (in_set && !in_sum) {
			least += m->least;
			most += m->most;
		}
	}
	p->least = larger(p->least, least);
	p->most = smaller(p->most, most);
}

static int open_set(struct pruned *p, struct mask_forecast *f, const struct prune_set *set)
{
	*p = (struct pruned){.f = f, .set = set};
	for (int i = 0; i < set->n; i++) {
		const struct masked_param *m = mask_forecast_add(f, set->weight[i].param, set->weight[i].n);
		if (!m)
			return ERR_NOMEM;
		p->least += m->least;
		p->most += m->most;
	}
	for (int k = 0; k < f->n_sum; k++)
		bound_by_sum(p, k);
	return 0;
}

/* So many elements of a weight of the set may be masked that were not. */
static void grow_sums(struct pruned *p, const struct masked_param *m, int64_t added)
{
	for (int k = 0; k < p->f->n_sum; k++)
		if (m->sums >> k & 1)
			p->f->sum[k].most += added;
}

/* All weights compete: the total is known, of each alone only what the others have no room for. */
static void mask_together(struct pruned *p, double sparsity)
{
	const int64_t total = p->set->total, target = llround(sparsity * (double)total);
	const int64_t reached = smaller(target, total - 1), added = larger(0, reached - p->least);
	for (int k = 0; k < p->f->n_sum; k++)
		p->f->sum[k].most += added;
	const int own = p->f->n_sum < FORECAST_SUMS ? p->f->n_sum++ : -1;
	for (int i = 0; i < p->set->n; i++) {
		struct masked_param *m = mask_forecast_find(p->f, p->set->weight[i].param);
		m->least = larger(m->least, reached - (total - m->n));
		m->most = smaller(m->n, m->most + added);
		m->sums |= own < 0 ? 0 : 1u << own;
	}
	if (own >= 0)
		p->f->sum[own] = (struct masked_sum){reached, larger(reached, smaller(p->most, target))};
}

/* Until so many elements of each weight are masked. */
static void mask_layers(struct pruned *p, double sparsity)
{
	for (int i = 0; i < p->set->n; i++) {
		struct masked_param *m = mask_forecast_find(p->f, p->set->weight[i].param);
		const int64_t share = smaller(llround(sparsity * (double)m->n), m->n - 1);
		grow_sums(p, m, larger(0, share - m->least));
		m->least = larger(m->least, share);
		m->most = larger(m->most, share);
	}
}

/* Until so many elements of each row are masked; what is masked already may all be in one row. */
static void mask_rows(struct pruned *p, double sparsity)
{
	for (int i = 0; i < p->set->n; i++) {
		const struct prune_weight *w = &p->set->weight[i];
		struct masked_param *m = mask_forecast_find(p->f, w->param);
		const int64_t row = m->n / w->outputs;
		const int64_t share = w->outputs * smaller(llround(sparsity * (double)row), row - 1);
		grow_sums(p, m, share);
		m->least = larger(m->least, share);
		m->most = smaller(m->n, m->most + share);
	}
}

/* So many of each group; those that are masked already may all be in other groups. */
static void mask_groups(struct pruned *p, int64_t stay, int64_t group)
{
	for (int i = 0; i < p->set->n; i++) {
		struct masked_param *m = mask_forecast_find(p->f, p->set->weight[i].param);
		const int64_t share = m->n / group * (group - stay);
		grow_sums(p, m, share);
		m->least = larger(m->least, share);
		m->most = smaller(m->n, m->most + share);
	}
}

/* In whole weights: half of an odd number is rounded. */
static int check_sparsity(const struct pruned *p, const struct prune_options *o, const struct stage_run *s)
{
	const int64_t target = llround(o->sparsity * (double)p->set->total);
	const double total = (double)p->set->total;
	if (p->f->open) {
		if (p->most > 0)
			stage_line(s,
			    "warning: some of these weights will be masked before this stage, of a number that the "
			    "data decides; if it is more than sparsity %g, the stage is refused when it runs",
			    o->sparsity);
		return 0;
	}
	if (p->least > target)
		return err_set(ERR_CONFIG,
		    "sparsity %g is below the %.4f that the input's masks have already, and masks are never lifted",
		    o->sparsity, (double)p->least / total);
	if (p->most > target)
		stage_line(s,
		    "warning: of these weights between %.4f and %.4f will be masked before this stage; if it is more "
		    "than sparsity %g, the stage is refused when it runs",
		    (double)p->least / total, (double)p->most / total, o->sparsity);
	return 0;
}

static void forget_least(struct mask_forecast *f)
{
	for (int i = 0; i < f->n; i++)
		f->param[i].least = 0;
	for (int k = 0; k < f->n_sum; k++)
		f->sum[k].least = 0;
}

int prune_forecast_masks(
    const struct prune_options *o, const struct prune_set *set, const struct stage_run *s, struct mask_forecast *f)
{
	struct pruned p;
	int rc = open_set(&p, f, set);
	if (!rc && prune_has_target(o))
		rc = check_sparsity(&p, o, s);
	if (rc)
		return rc;
	if (o->method == PRUNE_NM)
		mask_groups(&p, o->n, o->m);
	else if (prune_scope_of(o) == SCOPE_LAYER)
		mask_layers(&p, o->sparsity);
	else if (prune_scope_of(o) == SCOPE_ROW)
		mask_rows(&p, o->sparsity);
	else
		mask_together(&p, o->sparsity);
	if (f->open)
		forget_least(f);
	return 0;
}

void prune_forecast_open(struct mask_forecast *f)
{
	f->open = true;
	forget_least(f);
}

/* Elements that a param has after its units were cut; 0: it is not there. */
static int64_t elements(const struct graph *g, const char *param)
{
	const int i = graph_find(g, param);
	return i == NODE_NONE ? 0 : shape_count(g->node[i].shape);
}

int prune_forecast_units(const struct model_spec *after, struct mask_forecast *f)
{
	struct graph g;
	graph_init(&g);
	int rc = spec_build(&g, after, &shape_one);
	for (int i = 0; !rc && i < f->n; i++) {
		struct masked_param *m = &f->param[i];
		const int64_t left = elements(&g, m->name), cut = m->n - left;
		for (int k = 0; k < f->n_sum; k++)
			if (m->sums >> k & 1)
				f->sum[k].least -= smaller(cut, m->most);
		m->n = left;
		m->least = larger(0, m->least - cut);
		m->most = smaller(left, m->most);
	}
	graph_clear(&g);
	return rc;
}
