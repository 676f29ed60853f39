/* A small bag of embeddings, built by hand: rows of a table, the mean of each sequence, a hidden layer, logits. Packed
 * batches with an empty sequence and with slack behind the last. */
#ifndef TESTS_QUANT_BAG_H
#define TESTS_QUANT_BAG_H

#include <stdio.h>

#include "graph/graph.h"

#define BAG_WORDS    61
#define BAG_CHANNELS 23
#define BAG_HIDDEN   19
#define BAG_CLASSES  7
#define BAG_TOKENS   9 /* of capacity, per sequence */

static inline int bag_param(struct graph *g, const char *name, int ndim, int64_t rows, int64_t columns)
{
	struct param_attr param = {.init = INIT_UNIFORM, .fan_in = columns};
	struct shape s = {.ndim = ndim, .dim = {rows, columns}};

	return graph_param(g, name, DT_F32, s, &param);
}

static inline int bag_linear(struct graph *g, const char *name, int x, int64_t units, int64_t features, bool relu)
{
	char weight[NODE_NAME], bias[NODE_NAME];
	int in[3] = {x};

	snprintf(weight, sizeof(weight), "%s.weight", name);
	snprintf(bias, sizeof(bias), "%s.bias", name);
	in[1] = bag_param(g, weight, 2, units, features);
	in[2] = bag_param(g, bias, 1, units, 1);
	return graph_add(g, OP_LINEAR, name, in, 3, &(struct attr){.relu = relu});
}

/* 0 or a negative error. `sequences` of a batch. */
static inline int bag_build(int sequences, struct graph *g)
{
	int64_t tokens = (int64_t)sequences * BAG_TOKENS, n = sequences + 1;
	int ids, starts, table, x;

	graph_init(g);
	ids = graph_input(g, "ids", DT_S32, shape_of(1, &tokens));
	starts = graph_input(g, "starts", DT_S32, shape_of(1, &n));
	table = bag_param(g, "embedding.weight", 2, BAG_WORDS, BAG_CHANNELS);
	x = graph_add(g, OP_EMBEDDING, "embedding", (int[]){ids, table}, 2, NULL);
	x = graph_add(g, OP_SEGMENT_MEAN, "mean", (int[]){x, starts}, 2, NULL);
	x = bag_linear(g, "fc1", x, BAG_HIDDEN, BAG_CHANNELS, true);
	g->output = bag_linear(g, "fc2", x, BAG_CLASSES, BAG_HIDDEN, false);
	return g->output < 0 ? g->output : 0;
}

/* ids (sequences * BAG_TOKENS) and starts (sequences + 1): lengths 0 to BAG_TOKENS - 1, then slack of id -1. */
static inline void bag_batch(int sequences, int32_t *ids, int32_t *starts)
{
	int at = 0;

	for (int n = 0; n < sequences; n++) {
		starts[n] = at;
		for (int k = 0; k < (n * 5 + 3) % BAG_TOKENS; k++, at++)
			ids[at] = (int32_t)((at * 17 + n * 3) % BAG_WORDS);
	}
	starts[sequences] = at;
	for (; at < sequences * BAG_TOKENS; at++)
		ids[at] = -1;
}

#endif
