/* Groups of a GELU between two integer layers: integers in, integers out, through a table of 256 that the checkpoint
 * keeps. The layer before it writes its sums as integers of the range before the function, and nothing is real between
 * the two products of a feed-forward network. */
#include "base/err.h"
#include "quant/epilogue.h"

static bool is_gelu(const struct node *node)
{
	return node->op == OP_GELU;
}

static unsigned demand(const struct graph *g, const struct group *group, int value)
{
	return g->node[group->layer].in[0] == value ? DEMAND_INTEGERS : 0;
}

static int ends(struct rewrite *r, const struct group *g, struct epilogue *e, struct attr *attr)
{
	const struct node *layer = &r->in->node[g->layer];
	int rc = epilogue_input(r, g, true, e);

	if (!rc)
		rc = epilogue_output(r, g, e);
	if (rc)
		return rc;
	if (!e->y)
		return quant_misfit(layer->name, "a GELU of integers without a quantized output");
	*attr = layer->attr;
	attr->q_in = e->x->q;
	attr->q = e->y->q;
	return 0;
}

static int annotate(struct rewrite *r, const struct group *g)
{
	struct attr attr;
	struct epilogue e;
	int rc = ends(r, g, &e, &attr);

	if (rc)
		return rc;
	return r->grid[g->out] =
		   rewrite_add(r, OP_FAKE_GELU, ROLE_QUANTIZED, g->out, (int[]){e.in, e.s_x, e.s_y}, 3, &attr);
}

static int lower(struct rewrite *r, const struct group *g)
{
	struct attr attr;
	struct epilogue e;
	int rc = ends(r, g, &e, &attr), table;

	if (rc)
		return rc;
	table = rewrite_add(r, OP_GELU_TABLE, ROLE_TABLE, g->layer, (int[]){e.s_x, e.s_y}, 2, &attr);
	if (table < 0)
		return table;
	return r->grid[g->out] = rewrite_add(r, OP_QTABLE, ROLE_QUANTIZED, g->out, (int[]){e.in, table}, 2, &attr);
}

const struct group_kind group_gelu = {.name = "GELU",
    .match = is_gelu,
    .methods = GROUP_INTEGERS,
    .why = "has no weights",
    .weight = NODE_NONE,
    .between_integers = true,
    .demand = demand,
    .annotate = annotate,
    .lower = lower};
