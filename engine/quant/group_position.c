/* Groups of an addition of positions: both tables, of places and of types, as integers with a step per row, as in an
 * embedding. What is added to and what comes out is real. */
#include "base/err.h"
#include "quant/rewrite.h"

static bool is_position(const struct node *node)
{
	return node->op == OP_POSITION;
}

static unsigned demand(const struct graph *g, const struct group *group, int value)
{
	(void)g;
	(void)group;
	(void)value;
	return 0;
}

static int annotate(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	int in[POSITION_SECOND + 1], rc;

	for (int k = 0; k < layer->n_in; k++) {
		if (group_is_weight(g->kind, layer, k)) {
			in[k] = rewrite_weight_real(r, g, k);
			rc = in[k] < 0 ? in[k] : 0;
		} else {
			rc = rewrite_input(r, layer, k, &in[k]);
		}
		if (rc)
			return rc;
	}
	return r->real[g->out] = graph_add(r->out, OP_POSITION, layer->name, in, layer->n_in, &layer->attr);
}

/* A table and its steps, both NODE_NONE where the layer has no such table. */
static int add_table(struct rewrite *r, const struct group *g, int input, int *table, int *step)
{
	*table = *step = NODE_NONE;
	if (!node_has(&r->in->node[g->layer], input))
		return 0;
	*table = rewrite_weight_at(r, g, input);
	if (*table < 0)
		return *table;
	*step = rewrite_weight_step_at(r, g, input);
	return *step < 0 ? *step : 0;
}

static int lower(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	const bool pairs = node_has(layer, POSITION_SECOND);
	int in[QPOSITION_SECOND + 1], rc = rewrite_input(r, layer, POSITION_X, &in[QPOSITION_X]);

	if (!rc)
		rc = rewrite_input(r, layer, POSITION_STARTS, &in[QPOSITION_STARTS]);
	if (!rc)
		rc = add_table(r, g, POSITION_TABLE, &in[QPOSITION_Q], &in[QPOSITION_STEP]);
	if (!rc)
		rc = add_table(r, g, POSITION_TYPE, &in[QPOSITION_TYPE_Q], &in[QPOSITION_TYPE_STEP]);
	if (!rc && pairs)
		rc = rewrite_input(r, layer, POSITION_SECOND, &in[QPOSITION_SECOND]);
	if (rc)
		return rc;
	return r->real[g->out] = graph_add(r->out, OP_QPOSITION, layer->name, in,
		   pairs ? QPOSITION_SECOND + 1 : QPOSITION_SECOND, &layer->attr);
}

const struct group_kind group_position = {.name = "position",
    .match = is_position,
    .methods = GROUP_EVERY_METHOD,
    .weight = POSITION_TABLE,
    .second = POSITION_TYPE,
    .step_per_row = true,
    .real_output = true,
    .demand = demand,
    .annotate = annotate,
    .lower = lower};
