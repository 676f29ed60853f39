#include "model/units.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

/* Adds the weights of one param to the scores of the units that it makes along axis d. */
static int add_scores(
    const struct node *w, int d, const struct param_store *s, enum units_norm norm, int units, double *score)
{
	const struct param_axis x = w->param.axis[d];
	int64_t n = shape_count(w->shape), size = w->shape.dim[d], inner = shape_inner(w->shape, d);
	float *host = mem_alloc((size_t)n, sizeof(*host));
	int rc = host ? params_read(s, w->name, host) : ERR_NOMEM;
	for (int64_t i = 0; !rc && i < n; i++) {
		double v = (double)host[i];
		score[i / inner % size / x.inner % units] += norm == UNITS_L2 ? v * v : fabs(v);
	}
	mem_free(host);
	return rc;
}

struct ranked {
	double score;
	int unit;
};

static int by_score(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->score > y->score || x->score < y->score)
		return x->score > y->score ? -1 : 1;
	return x->unit - y->unit;
}

static int by_index(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int units_score(
    const struct graph *g, const struct param_store *s, enum units_norm norm, int i, int units, double *score)
{
	int rc = 0;
	for (int k = 0; !rc && k < g->n; k++) {
		const struct node *w = &g->node[k];
		for (int d = 0; !rc && w->op == OP_PARAM && d < w->shape.ndim; d++)
			if (w->param.axis[d].width == i && w->param.axis[d].makes)
				rc = add_scores(w, d, s, norm, units, score);
	}
	return rc;
}

int units_keep(const double *score, int i, int units, int n, struct slice *keep)
{
	struct ranked *order = mem_alloc((size_t)units, sizeof(*order));
	mem_free(keep->keep[i]);
	keep->keep[i] = mem_alloc((size_t)n, sizeof(*keep->keep[i]));
	keep->n_keep[i] = n;
	int rc = order && keep->keep[i] ? 0 : ERR_NOMEM;
	for (int u = 0; !rc && u < units; u++)
		order[u] = (struct ranked){.score = score[u], .unit = u};
	if (!rc) {
		qsort(order, (size_t)units, sizeof(*order), by_score);
		for (int u = 0; u < n; u++)
			keep->keep[i][u] = order[u].unit;
		qsort(keep->keep[i], (size_t)n, sizeof(*keep->keep[i]), by_index);
	}
	mem_free(order);
	return rc;
}

int units_rank(const struct graph *g, const struct param_store *s, enum units_norm norm, int i, int units, int n,
    struct slice *keep)
{
	double *score = mem_alloc((size_t)units, sizeof(*score));
	int rc = score ? units_score(g, s, norm, i, units, score) : ERR_NOMEM;
	if (!rc)
		rc = units_keep(score, i, units, n, keep);
	mem_free(score);
	return rc;
}

int units_copy(const struct node *from, const struct node *to, const struct slice *keep,
    const struct param_store *old_store, struct param_store *new_store)
{
	struct param *p;
	const struct param *source = params_find(old_store, from->name);
	size_t elem = dtype_size(from->dtype);
	void *src = mem_alloc((size_t)shape_count(from->shape), elem),
	     *dst = mem_alloc((size_t)shape_count(to->shape), elem);
	int rc = src && dst ? params_add(new_store, to->name, to->dtype, to->shape, &p) : ERR_NOMEM;
	if (!rc)
		rc = params_read(old_store, from->name, src);
	if (!rc)
		rc = slice_param(from, to, keep, src, dst, elem);
	if (!rc)
		rc = params_write(new_store, to->name, dst);
	if (!rc && source->mask) { /* a byte per element: src and dst are large enough */
		rc = params_get_mask(old_store, from->name, src);
		if (!rc)
			rc = slice_param(from, to, keep, src, dst, 1);
		if (!rc)
			rc = params_set_mask(new_store, to->name, dst);
	}
	mem_free(src);
	mem_free(dst);
	return rc;
}
