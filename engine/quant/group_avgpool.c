/* Groups of a global average pool: integers in, the mean rounded once to integers. */
#include "base/err.h"
#include "quant/epilogue.h"

static bool is_avgpool(const struct node *node)
{
	return node->op == OP_AVGPOOL;
}

static unsigned demand(const struct graph *g, const struct group *group, int value)
{
	bool reads = g->node[group->layer].in[0] == value;

	return reads ? DEMAND_INTEGERS | DEMAND_AS_INPUT | DEMAND_ZERO_ONLY : 0;
}

static int ends(struct rewrite *r, const struct group *g, struct epilogue *e)
{
	const struct node *layer = &r->in->node[g->layer];
	const struct shape *x = &r->in->node[layer->in[0]].shape;
	int rc = epilogue_input(r, g, false, e);

	if (!rc)
		rc = epilogue_output(r, g, e);
	if (rc)
		return rc;
	if (!e->y)
		return quant_misfit(layer->name, "an average pool without a quantized output");
	e->count = x->dim[1] * x->dim[2];
	return 0;
}

static int annotate(struct rewrite *r, const struct group *g)
{
	struct attr attr = r->in->node[g->layer].attr;
	struct epilogue e;
	int rc = ends(r, g, &e), acc;

	if (rc)
		return rc;
	/* The sum stays a whole number; the division by the count is the epilogue's. */
	attr.relu = false;
	attr.raw_sum = true;
	acc = rewrite_add(r, OP_AVGPOOL, ROLE_ACCUMULATOR, g->layer, &e.in, 1, &attr);
	return acc < 0 ? acc : epilogue_requant(r, g, &e, acc);
}

static int lower(struct rewrite *r, const struct group *g)
{
	struct epilogue e;
	int rc = ends(r, g, &e);

	return rc ? rc : epilogue_integer(r, g, &e, OP_QAVGPOOL);
}

const struct group_kind group_avgpool = {.name = "average pool",
    .match = is_avgpool,
    .methods = GROUP_INTEGERS,
    .why = "has no weights",
    .weight = NODE_NONE,
    .between_integers = true,
    .demand = demand,
    .annotate = annotate,
    .lower = lower};
