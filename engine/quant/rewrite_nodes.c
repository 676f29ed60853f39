/* What a group is emitted with: real and integer forms of folded nodes, steps, weights. */
#include "quant/rewrite.h"

#include <math.h>

#include "base/err.h"

/* Steps are learned relative to their value and never reach 0; 2^-24 keeps (q - z) * P(s) representable in f16. Nor do
 * they reach infinity: 255 * 2^100 is finite in f32, and no activation of a working model is near it. */
#define STEP_FLOOR   0x1p-24f
#define STEP_CEILING 0x1p100f

int rewrite_add(
    struct rewrite *r, enum op op, enum node_role role, int base, const int *in, int n_in, const struct attr *attr)
{
	return graph_add_derived(r->out, op, role, &r->in->node[base], in, n_in, attr);
}

/* The gradient of a step is a sum over all values that share it. Esser et al. 2020, section 2.2, scale it by 1/sqrt(N
 * Q_P) with N values and Q_P positive integers; N is counted per row of an activation, since the loss is a mean over
 * rows. */
static float gradient_scale(const struct quant_value *v, const struct shape *s)
{
	double values = (double)shape_count(*s) / (double)(v->weight ? v->channels : s->dim[0]);
	return (float)(1 / sqrt(values * (double)(v->q.hi - v->q.zero > 0 ? v->q.hi - v->q.zero : 1)));
}

int rewrite_step(struct rewrite *r, const char *value)
{
	const struct quant_value *v = quant_plan_value(r->plan, value);
	int folded = graph_find(r->in, value), found;
	struct param_attr param = {.kind = r->trained_steps ? PARAM_TRAINED : PARAM_FROZEN,
	    .init = INIT_UNSET,
	    .relative = true,
	    .floor = STEP_FLOOR,
	    .ceiling = STEP_CEILING};
	char name[NODE_NAME];
	int64_t n;

	if (!v || folded < 0)
		return quant_misfit(value, "it has no step");
	if (quant_step_name(name, value) < 0)
		return ERR_FAIL;
	found = graph_find(r->out, name);
	if (found >= 0)
		return r->out->node[found].op == OP_PARAM ? found
							  : err_set(ERR_FAIL, "name '%s' is taken by a node", name);
	n = v->channels;
	param.gradient_scale = gradient_scale(v, &r->in->node[folded].shape);
	found = graph_param(r->out, name, DT_F32, shape_of(1, &n), &param);
	return graph_mark(r->out, found, v->weight ? ROLE_WEIGHT_STEP : ROLE_STEP, node_root(&r->in->node[folded]));
}

const struct quant_value *rewrite_value(const struct rewrite *r, int folded)
{
	int from = r->match.carrier[folded] != NODE_NONE ? r->match.carrier[folded] : folded;
	const struct quant_value *v = quant_plan_value(r->plan, r->in->node[from].name);

	if (!v || v->weight || v->channels != 1) {
		(void)quant_misfit(r->in->node[from].name, "not listed as a quantized activation");
		return NULL;
	}
	return v;
}

int rewrite_real(struct rewrite *r, int folded)
{
	const struct quant_value *v;
	struct attr attr = {0};
	int in[2];

	if (r->real[folded] != NODE_NONE)
		return r->real[folded];
	if (r->grid[folded] == NODE_NONE)
		return quant_misfit(r->in->node[folded].name, "nothing computes it");
	v = rewrite_value(r, folded);
	if (!v)
		return ERR_CHECKPOINT;
	in[0] = r->grid[folded];
	in[1] = rewrite_step(r, v->name);
	if (in[1] < 0)
		return in[1];
	attr.q = v->q;
	return r->real[folded] = graph_add(r->out, OP_DEQUANT, r->in->node[folded].name, in, 2, &attr);
}

int rewrite_grid(struct rewrite *r, int folded)
{
	const struct quant_value *v = rewrite_value(r, folded);
	struct attr attr = {0};
	int in[2];

	if (!v)
		return ERR_CHECKPOINT;
	if (r->grid[folded] != NODE_NONE)
		return r->grid[folded];
	in[0] = r->real[folded];
	in[1] = rewrite_step(r, v->name);
	if (in[1] < 0)
		return in[1];
	attr.q = v->q;
	return r->grid[folded] = rewrite_add(r, r->quantize, ROLE_QUANTIZED, graph_find(r->in, v->name), in, 2, &attr);
}

int rewrite_input(struct rewrite *r, const struct node *folded, int input, int *out)
{
	*out = NODE_NONE;
	if (!node_has(folded, input))
		return 0;
	*out = rewrite_real(r, folded->in[input]);
	return *out < 0 ? *out : 0;
}

int rewrite_weight_step_at(struct rewrite *r, const struct group *g, int input)
{
	return rewrite_step(r, r->in->node[r->in->node[g->layer].in[input]].name);
}

int rewrite_weight_step(struct rewrite *r, const struct group *g)
{
	return rewrite_weight_step_at(r, g, g->kind->weight);
}

int rewrite_weight(struct rewrite *r, const struct group *g)
{
	return rewrite_weight_at(r, g, g->kind->weight);
}

int rewrite_weight_real(struct rewrite *r, const struct group *g, int input)
{
	int w = r->in->node[g->layer].in[input], in[2];
	int found = graph_find_role(r->out, ROLE_REAL, node_root(&r->in->node[w]));
	struct attr attr = {0};

	if (found >= 0)
		return found;
	in[DEQUANT_X] = rewrite_weight_at(r, g, input);
	if (in[DEQUANT_X] < 0)
		return in[DEQUANT_X];
	in[DEQUANT_STEP] = rewrite_weight_step_at(r, g, input);
	if (in[DEQUANT_STEP] < 0)
		return in[DEQUANT_STEP];
	attr.q = r->out->node[in[DEQUANT_X]].attr.q;
	return rewrite_add(r, OP_DEQUANT, ROLE_REAL, w, in, 2, &attr);
}

int rewrite_weight_at(struct rewrite *r, const struct group *g, int input)
{
	int w = r->in->node[g->layer].in[input], found, in[2];
	const struct node *node = &r->in->node[w];
	const struct quant_value *v = quant_plan_value(r->plan, node->name);
	struct attr attr = {0};

	if (!v || !v->weight)
		return quant_misfit(node->name, "not listed as a quantized weight");
	if (v->channels != node->shape.dim[0] && (v->channels != 1 || g->kind->step_per_row))
		return quant_misfit(node->name, "its number of steps is not its number of output channels");
	found = graph_find_role(r->out, ROLE_QUANTIZED, node_root(node));
	if (found >= 0) /* a tied weight */
		return found;
	in[0] = r->real[w];
	in[1] = rewrite_step(r, node->name);
	if (in[1] < 0)
		return in[1];
	attr.q = v->q;
	return rewrite_add(r, r->quantize, ROLE_QUANTIZED, w, in, 2, &attr);
}
