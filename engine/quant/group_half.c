/* Half-precision weights: every layer with a weight stores it in 16 bits and computes in FP32. */
#include "quant/rewrite.h"

#include <assert.h>

/* The f32 values of a weight that is stored in 16 bits. */
static int widened(struct rewrite *r, int w)
{
	struct attr half = {.to = r->plan->method == QUANT_FP16 ? DT_F16 : DT_BF16}, single = {.to = DT_F32};
	int wide = graph_find_role(r->out, ROLE_REAL, node_root(&r->in->node[w])), stored;

	if (wide != NODE_NONE) /* a tied weight */
		return wide;
	stored = rewrite_add(r, OP_CAST, ROLE_HALF, w, &r->real[w], 1, &half);
	return stored < 0 ? stored : rewrite_add(r, OP_CAST, ROLE_REAL, w, &stored, 1, &single);
}

int group_half(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	int in[NODE_MAX_IN], rc;

	assert(g->kind->weight != NODE_NONE);
	for (int k = 0; k < layer->n_in; k++) {
		rc = rewrite_input(r, layer, k, &in[k]);
		if (!rc && group_is_weight(g->kind, layer, k))
			rc = in[k] = widened(r, layer->in[k]);
		if (rc < 0)
			return rc;
	}
	return r->real[g->out] = graph_add(r->out, layer->op, layer->name, in, layer->n_in, &layer->attr);
}
