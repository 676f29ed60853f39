#include "stages/quantize_layer.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"

static int read_vector(const struct param_store *s, const struct graph *g, int node, float **out)
{
	if (node == NODE_NONE)
		return 0;
	*out = mem_alloc((size_t)shape_count(g->node[node].shape), sizeof(**out));
	return *out ? params_read(s, g->node[node].name, *out) : ERR_NOMEM;
}

int loaded_layer_read(struct loaded_layer *l, const struct param_store *s, const struct graph *folded, int node)
{
	l->node = node;
	equal_params_of(folded, node, &l->params);
	const struct shape *w = &folded->node[l->params.weight].shape;
	l->host = (struct equal_layer){.O = w->dim[0], .K = shape_inner(*w, 0), .eps = l->params.eps};
	int rc = read_vector(s, folded, l->params.weight, &l->host.w);
	if (!rc)
		rc = read_vector(s, folded, l->params.gain, &l->host.gain);
	if (!rc)
		rc = read_vector(s, folded, l->params.variance, &l->host.variance);
	return rc ? rc : read_vector(s, folded, l->params.shift, &l->host.shift);
}

static int write_vector(struct param_store *s, const struct graph *g, int node, const float *v, const char *what)
{
	if (node == NODE_NONE)
		return 0;
	for (int64_t i = 0; i < shape_count(g->node[node].shape); i++)
		if (!isfinite(v[i]))
			return err_set(ERR_FAIL, "%s: '%s' leaves the floats", what, g->node[node].name);
	return params_write(s, g->node[node].name, v);
}

int loaded_layer_write(
    const struct loaded_layer *l, struct param_store *s, const struct graph *folded, const char *what)
{
	int rc = write_vector(s, folded, l->params.weight, l->host.w, what);
	if (!rc)
		rc = write_vector(s, folded, l->params.gain, l->host.gain, what);
	return rc ? rc : write_vector(s, folded, l->params.shift, l->host.shift, what);
}

void loaded_layer_clear(struct loaded_layer *l)
{
	mem_free(l->host.w);
	mem_free(l->host.gain);
	mem_free(l->host.variance);
	mem_free(l->host.shift);
}
