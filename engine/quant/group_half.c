/* Half-precision weights: every layer with a weight stores it in 16 bits and computes in FP32. */
#include "quant/rewrite.h"

#include <assert.h>

int group_half(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	struct attr half = {.to = r->plan->method == QUANT_FP16 ? DT_F16 : DT_BF16}, single = {.to = DT_F32};
	int in[NODE_MAX_IN], w = layer->in[g->kind->weight], stored, wide, rc;

	assert(g->kind->weight != NODE_NONE);
	for (int k = 0; k < layer->n_in; k++) {
		rc = rewrite_input(r, layer, k, &in[k]);
		if (rc < 0)
			return rc;
	}
	wide = graph_find_role(r->out, ROLE_REAL, node_root(&r->in->node[w]));
	if (wide == NODE_NONE) { /* else a tied weight */
		stored = rewrite_add(r, OP_CAST, ROLE_HALF, w, &r->real[w], 1, &half);
		wide = stored < 0 ? stored : rewrite_add(r, OP_CAST, ROLE_REAL, w, &stored, 1, &single);
		if (wide < 0)
			return wide;
	}
	in[g->kind->weight] = wide;
	return r->real[g->out] = graph_add(r->out, layer->op, layer->name, in, layer->n_in, &layer->attr);
}
