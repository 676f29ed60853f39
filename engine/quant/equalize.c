/* Cross-layer equalization; see equalize.h. Params themselves are the stage's: here are graphs and arrays. */
#include "quant/equalize.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* ---- pairs ---- */

static bool is_param(const struct graph *g, int i)
{
	return i != NODE_NONE && g->node[i].op == OP_PARAM && g->node[i].dtype == DT_F32;
}

bool equal_params_of(const struct graph *folded, int layer, struct equal_params *out)
{
	const struct node *n = &folded->node[layer];
	const struct node *w = &folded->node[n->in[PRODUCT_W]];
	int bias = node_has(n, PRODUCT_B) ? n->in[PRODUCT_B] : NODE_NONE;

	*out = (struct equal_params){NODE_NONE, NODE_NONE, NODE_NONE, NODE_NONE, 0};
	if (w->op == OP_PARAM) {
		out->weight = n->in[PRODUCT_W];
		out->shift = bias;
		return is_param(folded, out->weight) && (bias == NODE_NONE || is_param(folded, bias));
	}
	if (w->op != OP_FOLD_WEIGHT || bias == NODE_NONE || folded->node[bias].op != OP_FOLD_BIAS)
		return false;
	out->weight = w->in[FOLD_WEIGHT_W];
	out->gain = w->in[FOLD_WEIGHT_GAMMA];
	out->variance = w->in[FOLD_WEIGHT_VAR];
	out->shift = folded->node[bias].in[FOLD_BIAS_BETA];
	out->eps = w->attr.eps;
	return is_param(folded, out->weight) && is_param(folded, out->gain) && is_param(folded, out->variance) &&
	       is_param(folded, out->shift);
}

bool equal_owns_params(const struct graph *g, const int *uses, int layer)
{
	const struct node *n = &g->node[layer];
	struct equal_params p;

	if (op_info(n->op)->product != FLOAT_PRODUCT || !equal_params_of(g, layer, &p))
		return false;
	if (uses[n->in[PRODUCT_W]] != 1 || uses[p.weight] != 1 || (p.shift != NODE_NONE && uses[p.shift] != 1))
		return false;
	return p.gain == NODE_NONE || (uses[n->in[PRODUCT_B]] == 1 && uses[p.gain] == 2); /* of weight and bias */
}

/* What multiplies its outputs by what its inputs of the same channel were multiplied by, as a ReLU does. */
static bool commutes(enum op op)
{
	return op == OP_MAXPOOL || op == OP_AVGPOOL || op == OP_DROPOUT || op == OP_SEGMENT_MEAN;
}

static int only_consumer(const struct graph *g, const int *uses, int i)
{
	if (uses[i] != 1)
		return NODE_NONE;
	for (int k = i + 1; k < g->n; k++)
		if (g->node[k].n_in > 0 && g->node[k].in[0] == i)
			return k;
	return NODE_NONE;
}

/* The layer that alone reads the channels of another, or NODE_NONE. */
static int second_of(const struct graph *g, const int *uses, int first)
{
	int i = only_consumer(g, uses, first);

	while (i != NODE_NONE && commutes(g->node[i].op))
		i = only_consumer(g, uses, i);
	if (i == NODE_NONE || !equal_owns_params(g, uses, i))
		return NODE_NONE;
	const struct shape *out = &g->node[first].shape, *w = &g->node[g->node[i].in[PRODUCT_W]].shape;
	int64_t channels = out->dim[out->ndim - 1], inputs = w->dim[w->ndim - 1];

	return inputs == channels || (g->node[i].attr.flatten && inputs % channels == 0) ? i : NODE_NONE;
}

static bool is_quantized(const struct quant_plan *p, const char *name)
{
	for (int i = 0; i < p->n_layer; i++)
		if (strcmp(p->layer[i].name, name) == 0)
			return p->layer[i].quantized;
	return false;
}

int equal_pairs(const struct graph *folded, const struct quant_plan *plan, struct equal_pair **out, int *n)
{
	int *uses = mem_alloc((size_t)folded->n + 1, sizeof(*uses));

	*n = 0;
	*out = mem_alloc((size_t)folded->n + 1, sizeof(**out));
	if (!uses || !*out) {
		mem_free(uses);
		mem_free(*out);
		*out = NULL;
		return ERR_NOMEM;
	}
	graph_uses(folded, uses);
	for (int i = 0; i < folded->n; i++) {
		if (!equal_owns_params(folded, uses, i))
			continue;
		int second = second_of(folded, uses, i);

		if (second != NODE_NONE &&
		    (is_quantized(plan, folded->node[i].name) || is_quantized(plan, folded->node[second].name)))
			(*out)[(*n)++] = (struct equal_pair){i, second};
	}
	mem_free(uses);
	return 0;
}

/* ---- ranges ---- */

/* What folding multiplies the weights of output channel o by. */
static double factor(const struct equal_layer *l, int64_t o)
{
	return l->gain ? fabs((double)l->gain[o]) / sqrt((double)l->variance[o] + (double)l->eps) : 1;
}

static double output_range(const struct equal_layer *l, int64_t o)
{
	float most = 0;

	for (int64_t k = 0; k < l->K; k++)
		most = fmaxf(most, fabsf(l->w[o * l->K + k]));
	return (double)most * factor(l, o);
}

/* range: of n input channels. */
static void input_ranges(const struct equal_layer *l, int64_t n, double *range)
{
	for (int64_t i = 0; i < n; i++)
		range[i] = 0;
	for (int64_t o = 0; o < l->O; o++) {
		double by = factor(l, o);

		for (int64_t k = 0; k < l->K; k++)
			range[k % n] = fmax(range[k % n], fabs((double)l->w[o * l->K + k]) * by);
	}
}

double equal_spread(const struct equal_layer *l)
{
	double most = 0, least = INFINITY;

	for (int64_t o = 0; o < l->O; o++) {
		double r = output_range(l, o);

		most = fmax(most, r);
		least = r > 0 ? fmin(least, r) : least;
	}
	return most > 0 ? most / least : 1;
}

/* ---- scaling ---- */

static void scale_output(struct equal_layer *l, int64_t o, double s)
{
	float *row = l->gain ? l->gain + o : l->w + o * l->K;

	for (int64_t k = 0; k < (l->gain ? 1 : l->K); k++)
		row[k] = (float)((double)row[k] / s);
	if (l->shift)
		l->shift[o] = (float)((double)l->shift[o] / s);
}

static void scale_inputs(struct equal_layer *l, int64_t n, const double *s)
{
	for (int64_t i = 0; i < l->O * l->K; i++)
		l->w[i] = (float)((double)l->w[i] * s[i % l->K % n]);
}

/* s of every channel from the ranges of both sides; first: of the first layer's outputs, becomes s. */
static void choose(double *first, const double *second, int64_t n)
{
	double logs = 0;
	int64_t live = 0;

	for (int64_t i = 0; i < n; i++)
		if (first[i] > 0 && second[i] > 0) {
			logs += log(first[i] * second[i]) / 2;
			live++;
		}
	double mean = live ? exp(logs / (double)live) : 0;

	for (int64_t i = 0; i < n; i++) {
		double s = second[i] > 0 ? sqrt(first[i] / second[i]) : mean > 0 ? first[i] / mean : 1;

		first[i] = first[i] > 0 ? s : 1;
	}
}

int equal_step(struct equal_layer *first, struct equal_layer *second, double *most)
{
	int64_t n = first->O;
	double *s = mem_alloc((size_t)n, sizeof(*s)), *r = mem_alloc((size_t)n, sizeof(*r));
	int rc = s && r ? 0 : ERR_NOMEM;

	*most = 1;
	if (rc)
		goto out;
	for (int64_t i = 0; i < n; i++)
		s[i] = output_range(first, i);
	input_ranges(second, n, r);
	choose(s, r, n);
	for (int64_t i = 0; i < n; i++) {
		scale_output(first, i, s[i]);
		*most = fmax(*most, fmax(s[i], 1 / s[i]));
	}
	scale_inputs(second, n, s);
out:
	mem_free(s);
	mem_free(r);
	return rc;
}
