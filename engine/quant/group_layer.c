/* Groups of linear layers and convolutions: {layer [+ folded batch norm] [+ add] [+ ReLU]}. */
#include "base/err.h"
#include "quant/epilogue.h"

static bool is_linear(const struct node *node)
{
	return node->op == OP_LINEAR;
}

static bool is_conv2d(const struct node *node)
{
	return node->op == OP_CONV2D;
}

/* Border outputs of a padded convolution see fewer zero points than the folded sum has. */
static bool folds_zero(const struct node *layer)
{
	return layer->op == OP_LINEAR || layer->attr.pad == 0;
}

static unsigned demand(const struct graph *g, const struct group *group, int value)
{
	const struct node *layer = &g->node[group->layer];
	unsigned asked = 0;

	if (layer->in[PRODUCT_X] == value)
		asked |= DEMAND_INTEGERS | DEMAND_AS_INPUT | (folds_zero(layer) ? 0 : DEMAND_ZERO_ONLY);
	if (group->residual == value)
		asked |= DEMAND_INTEGERS | DEMAND_ZERO_ONLY;
	return asked;
}

static int ends(struct rewrite *r, const struct group *g, struct epilogue *e)
{
	const struct node *layer = &r->in->node[g->layer];
	int rc = epilogue_input(r, g, folds_zero(layer), e);

	if (rc)
		return rc;
	e->weight = rewrite_weight(r, g);
	e->s_w = e->weight < 0 ? e->weight : rewrite_weight_step(r, g);
	if (e->s_w < 0)
		return e->s_w;
	rc = rewrite_input(r, layer, PRODUCT_B, &e->bias);
	return rc ? rc : epilogue_output(r, g, e);
}

static int annotate(struct rewrite *r, const struct group *g)
{
	struct attr attr = r->in->node[g->layer].attr;
	struct epilogue e;
	int rc = ends(r, g, &e), acc;

	if (rc)
		return rc;
	/* The layer itself only sums; bias and ReLU belong to the epilogue. */
	attr.relu = false;
	acc = rewrite_add(r, r->in->node[g->layer].op, ROLE_ACCUMULATOR, g->layer, (int[]){e.in, e.weight}, 2, &attr);
	return acc < 0 ? acc : epilogue_requant(r, g, &e, acc);
}

/* Integers per row, made at run time: weights alone have steps that are known. */
static int lower_dynamic(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	struct attr attr = {.relu = g->relu, .flatten = layer->attr.flatten};
	int in[4], rc = rewrite_input(r, layer, PRODUCT_X, &in[0]);

	if (rc)
		return rc;
	in[1] = rewrite_weight(r, g);
	if (in[1] < 0)
		return in[1];
	in[2] = rewrite_weight_step(r, g);
	if (in[2] < 0)
		return in[2];
	rc = rewrite_input(r, layer, PRODUCT_B, &in[3]);
	if (rc)
		return rc;
	return r->real[g->out] = graph_add(r->out, OP_QLINEAR_DYN, layer->name, in, 4, &attr);
}

static int lower(struct rewrite *r, const struct group *g)
{
	struct epilogue e;
	int rc;

	if (r->plan->method == QUANT_DYNAMIC)
		return lower_dynamic(r, g);
	rc = ends(r, g, &e);
	if (rc)
		return rc;
	return epilogue_integer(r, g, &e, r->in->node[g->layer].op == OP_LINEAR ? OP_QLINEAR : OP_QCONV2D);
}

const struct group_kind group_linear = {.name = "linear",
    .match = is_linear,
    .methods = GROUP_EVERY_METHOD,
    .weight = PRODUCT_W,
    .binary = true,
    .edge = true,
    .fuses_add = true,
    .demand = demand,
    .annotate = annotate,
    .lower = lower};

const struct group_kind group_conv2d = {.name = "convolution",
    .match = is_conv2d,
    .methods = GROUP_INTEGERS | GROUP_HALVES,
    .why = "dynamic quantization covers linear layers only",
    .weight = PRODUCT_W,
    .binary = true,
    .edge = true,
    .fuses_add = true,
    .demand = demand,
    .annotate = annotate,
    .lower = lower};
