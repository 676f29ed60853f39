/* Groups of an attention between integer layers: q, k and v as s8, scores and their weighted sums as exact integers,
 * the probabilities in 8 or 16 bits, the result as integers for the layer behind it. */
#include "base/err.h"
#include "quant/rewrite.h"

static bool is_attention(const struct node *node)
{
	return node->op == OP_ATTENTION;
}

static unsigned demand(const struct graph *g, const struct group *group, int value)
{
	const struct node *layer = &g->node[group->layer];
	bool reads = false;

	for (int i = ATTENTION_Q; i <= ATTENTION_V; i++)
		reads |= layer->in[i] == value;
	return reads ? DEMAND_INTEGERS | DEMAND_ZERO_ONLY | DEMAND_SIGNED : 0;
}

struct ends {
	int in[ATTENTION_STARTS + 1]; /* q, k, v as integers, starts */
	int step[ATTENTION_V + 1], s_y;
	struct attr attr;
};

static int operand(struct rewrite *r, int folded, int *in, int *step)
{
	const struct quant_value *v = rewrite_value(r, folded);

	if (!v)
		return ERR_CHECKPOINT;
	if (!v->q.is_signed)
		return quant_misfit(v->name, "attention reads signed integers");
	*in = rewrite_grid(r, folded);
	if (*in < 0)
		return *in;
	*step = rewrite_step(r, v->name);
	return *step < 0 ? *step : 0;
}

static int ends(struct rewrite *r, const struct group *g, struct ends *e)
{
	const struct node *layer = &r->in->node[g->layer];
	const struct quant_value *y;
	int rc = 0;

	for (int i = ATTENTION_Q; i <= ATTENTION_V && !rc; i++)
		rc = operand(r, layer->in[i], &e->in[i], &e->step[i]);
	if (!rc)
		rc = rewrite_input(r, layer, ATTENTION_STARTS, &e->in[ATTENTION_STARTS]);
	if (rc < 0)
		return rc;
	y = r->match.carrier[g->out] == g->out ? rewrite_value(r, g->out) : NULL;
	if (!y)
		return quant_misfit(layer->name, "an attention of integers without a quantized output");
	e->s_y = rewrite_step(r, y->name);
	if (e->s_y < 0)
		return e->s_y;
	e->attr = layer->attr;
	e->attr.q = y->q;
	e->attr.prob_bits = g->prob_bits;
	return 0;
}

static int annotate(struct rewrite *r, const struct group *g)
{
	struct ends e;
	int rc = ends(r, g, &e);

	if (rc < 0)
		return rc;
	return r->grid[g->out] = rewrite_add(r, OP_FAKE_ATTENTION, ROLE_QUANTIZED, g->out,
		   (int[]){e.in[ATTENTION_Q], e.in[ATTENTION_K], e.in[ATTENTION_V], e.in[ATTENTION_STARTS],
		       e.step[ATTENTION_Q], e.step[ATTENTION_K], e.step[ATTENTION_V], e.s_y},
		   8, &e.attr);
}

static int lower(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	struct attr scale = {0};
	struct ends e;
	int rc = ends(r, g, &e), c, k;

	if (rc < 0)
		return rc;
	e.attr.rate = 0; /* of training */
	scale.count = layer->shape.dim[1] / layer->attr.heads;
	c = rewrite_add(
	    r, OP_SCORE_SCALE, ROLE_SCALE, g->layer, (int[]){e.step[ATTENTION_Q], e.step[ATTENTION_K]}, 2, &scale);
	if (c < 0)
		return c;
	k = rewrite_add(r, OP_RQ_RESIDUAL, ROLE_RESIDUAL, g->layer, (int[]){e.step[ATTENTION_V], e.s_y}, 2, NULL);
	if (k < 0)
		return k;
	return r->grid[g->out] = rewrite_add(r, OP_QATTENTION, ROLE_QUANTIZED, g->out,
		   (int[]){e.in[ATTENTION_Q], e.in[ATTENTION_K], e.in[ATTENTION_V], e.in[ATTENTION_STARTS], c, k}, 6,
		   &e.attr);
}

const struct group_kind group_attention = {.name = "attention",
    .match = is_attention,
    .methods = GROUP_INTEGERS,
    .why = "has no weights",
    .weight = NODE_NONE,
    .between_integers = true,
    .probabilities = true,
    .demand = demand,
    .annotate = annotate,
    .lower = lower};
