/* Structured pruning as arithmetic on specs and arrays: a spec with smaller widths, and for each param (or its mask, or
 * moments) the slices that stay, found by the labels of its axes. Decides nothing about which units stay. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/pass.h"

static int check_keep(const struct model_spec *s, const struct slice *keep, int i)
{
	char name[64];
	int n = keep->n_keep[i];
	if (n < 1 || n > s->width[i])
		return err_set(
		    ERR_FAIL, "slice of %s: %d of %d units kept", spec_width_name(s, i, name), n, s->width[i]);
	for (int k = 0; k < n; k++) {
		int unit = keep->keep[i][k];
		if (unit < 0 || unit >= s->width[i] || (k > 0 && unit <= keep->keep[i][k - 1]))
			return err_set(ERR_FAIL, "slice of %s: unit %d out of order or range (%d units)",
			    spec_width_name(s, i, name), unit, s->width[i]);
	}
	return 0;
}

int slice_init(struct slice *s, int n_width)
{
	*s = (struct slice){.n = n_width,
	    .n_keep = mem_alloc((size_t)n_width + 1, sizeof(*s->n_keep)),
	    .keep = mem_alloc((size_t)n_width + 1, sizeof(*s->keep))};
	if (s->n_keep && s->keep)
		return 0;
	s->n = 0;
	slice_clear(s);
	return ERR_NOMEM;
}

int slice_spec(struct model_spec *out, const struct model_spec *s, const struct slice *keep)
{
	*out = (struct model_spec){0};
	if (keep->n != s->n_width)
		return err_set(ERR_FAIL, "slice of %d widths: the model has %d", keep->n, s->n_width);
	for (int i = 0; i < keep->n; i++) {
		int rc = keep->keep[i] ? check_keep(s, keep, i) : 0;
		if (rc)
			return rc;
	}
	int rc = spec_copy(out, s);
	for (int i = 0; !rc && i < keep->n; i++)
		if (keep->keep[i])
			out->width[i] = keep->n_keep[i];
	return rc;
}

void slice_clear(struct slice *s)
{
	for (int i = 0; i < s->n; i++)
		mem_free(s->keep[i]);
	mem_free(s->keep);
	mem_free(s->n_keep);
	*s = (struct slice){0};
}

/* Fills map[new index] = old index of one axis. */
static int axis_map(const struct node *from, const struct node *to, int d, const struct slice *keep, int64_t *map)
{
	struct param_axis x = from->param.axis[d];
	int64_t old_size = from->shape.dim[d], new_size = to->shape.dim[d], at = 0;
	if (x.width < 0 || x.width >= keep->n || !keep->keep[x.width]) {
		if (old_size != new_size)
			return err_set(ERR_FAIL, "slice of '%s': axis %d changes from %lld to %lld without a slice",
			    from->name, d, (long long)old_size, (long long)new_size);
		for (int64_t i = 0; i < new_size; i++)
			map[i] = i;
		return 0;
	}
	int64_t units = old_size / ((int64_t)x.outer * x.inner);
	int kept = keep->n_keep[x.width];
	if (new_size != (int64_t)x.outer * kept * x.inner)
		return err_set(ERR_FAIL,
		    "slice of '%s': axis %d would have %lld elements, %d of %lld units do not fit it", from->name, d,
		    (long long)new_size, kept, (long long)units);
	for (int64_t o = 0; o < x.outer; o++) {
		for (int k = 0; k < kept; k++) {
			int64_t unit = keep->keep[x.width][k];
			if (unit < 0 || unit >= units)
				return err_set(ERR_FAIL, "slice of '%s': no unit %lld among %lld", from->name,
				    (long long)unit, (long long)units);
			for (int64_t i = 0; i < x.inner; i++)
				map[at++] = (o * units + unit) * x.inner + i;
		}
	}
	return 0;
}

/* Copies along axis d and recursively below; offsets in elements. */
struct gather {
	const struct node *from, *to;
	int64_t *map[TENSOR_MAX_DIMS];
	const unsigned char *src;
	unsigned char *dst;
	size_t elem;
};

static void gather_axis(const struct gather *g, int d, int64_t src_at, int64_t dst_at)
{
	if (d == g->to->shape.ndim || d == TENSOR_MAX_DIMS) {
		memcpy(g->dst + (size_t)dst_at * g->elem, g->src + (size_t)src_at * g->elem, g->elem);
		return;
	}
	for (int64_t i = 0; i < g->to->shape.dim[d]; i++)
		gather_axis(g, d + 1, src_at * g->from->shape.dim[d] + g->map[d][i], dst_at * g->to->shape.dim[d] + i);
}

int slice_param(const struct node *old_node, const struct node *new_node, const struct slice *keep, const void *src,
    void *dst, size_t elem)
{
	struct gather g = {.from = old_node, .to = new_node, .src = src, .dst = dst, .elem = elem};
	int rc = 0;
	if (old_node->shape.ndim != new_node->shape.ndim)
		return err_set(ERR_FAIL, "slice of '%s': %d dimensions become %d", old_node->name, old_node->shape.ndim,
		    new_node->shape.ndim);
	for (int d = 0; d < new_node->shape.ndim; d++) {
		g.map[d] = mem_alloc((size_t)new_node->shape.dim[d], sizeof(*g.map[d]));
		if (!g.map[d]) {
			rc = ERR_NOMEM;
			goto out;
		}
		if ((rc = axis_map(old_node, new_node, d, keep, g.map[d])) < 0)
			goto out;
	}
	gather_axis(&g, 0, 0, 0);
out:
	for (int d = 0; d < TENSOR_MAX_DIMS; d++)
		mem_free(g.map[d]);
	return rc;
}
