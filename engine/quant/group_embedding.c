/* Groups of an embedding: the table's rows as integers, each with a step of its own, so that a frequent word's large
 * values do not cost a rare one its bits. What is read is real: a row is its integers times its step, rounded once,
 * which both forms compute in the same order. No activation is quantized by it. */
#include "base/err.h"
#include "quant/rewrite.h"

static bool is_embedding(const struct node *node)
{
	return node->op == OP_EMBEDDING;
}

static unsigned demand(const struct graph *g, const struct group *group, int value)
{
	(void)g;
	(void)group;
	(void)value;
	return 0; /* ids are whole numbers by themselves */
}

static int annotate(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	int ids, table, rc = rewrite_input(r, layer, EMBEDDING_IDS, &ids);

	if (rc)
		return rc;
	table = rewrite_weight_real(r, g, EMBEDDING_TABLE);
	if (table < 0)
		return table;
	return r->real[g->out] = graph_add(r->out, OP_EMBEDDING, layer->name, (int[]){ids, table}, 2, &layer->attr);
}

static int lower(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	int ids, weight, step, rc = rewrite_input(r, layer, EMBEDDING_IDS, &ids);

	if (rc)
		return rc;
	weight = rewrite_weight(r, g);
	if (weight < 0)
		return weight;
	step = rewrite_weight_step(r, g);
	if (step < 0)
		return step;
	return r->real[g->out] =
		   graph_add(r->out, OP_QEMBEDDING, layer->name, (int[]){ids, weight, step}, 3, &layer->attr);
}

const struct group_kind group_embedding = {.name = "embedding",
    .match = is_embedding,
    .methods = GROUP_EVERY_METHOD,
    .weight = EMBEDDING_TABLE,
    .step_per_row = true,
    .real_output = true,
    .demand = demand,
    .annotate = annotate,
    .lower = lower};
