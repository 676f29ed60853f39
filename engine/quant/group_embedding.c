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

/* The table in real values that integers stand for, once for all that read it. */
static int real_table(struct rewrite *r, const struct group *g, int weight, int step)
{
	int table = r->in->node[g->layer].in[EMBEDDING_TABLE];
	struct attr attr = {.q = r->out->node[weight].attr.q};
	int found = graph_find_role(r->out, ROLE_REAL, node_root(&r->in->node[table]));

	if (found >= 0)
		return found;
	return rewrite_add(r, OP_DEQUANT, ROLE_REAL, table, (int[]){weight, step}, 2, &attr);
}

static int emit(struct rewrite *r, const struct group *g, bool integers)
{
	const struct node *layer = &r->in->node[g->layer];
	int ids, weight, step, table, rc = rewrite_input(r, layer, EMBEDDING_IDS, &ids);

	if (rc < 0)
		return rc;
	weight = rewrite_weight(r, g);
	if (weight < 0)
		return weight;
	step = rewrite_weight_step(r, g);
	if (step < 0)
		return step;
	if (integers)
		return r->real[g->out] =
			   graph_add(r->out, OP_QEMBEDDING, layer->name, (int[]){ids, weight, step}, 3, &layer->attr);
	table = real_table(r, g, weight, step);
	if (table < 0)
		return table;
	return r->real[g->out] = graph_add(r->out, OP_EMBEDDING, layer->name, (int[]){ids, table}, 2, &layer->attr);
}

static int annotate(struct rewrite *r, const struct group *g)
{
	return emit(r, g, false);
}

static int lower(struct rewrite *r, const struct group *g)
{
	return emit(r, g, true);
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
