/* pass_annotate: the training and simulation graph, f32 nodes on grid values (q - z) * P(s). Every number that the
 * lowered graph computes in integers is computed here exactly, as long as accumulators stay below 2^24. */
#include <string.h>

#include "base/err.h"
#include "quant/half.h"
#include "quant/rewrite.h"

static int emit_group(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	struct group_ends e;
	struct attr attr = layer->attr;
	int rc = rewrite_ends(r, g, &e), in[RQ_COUNT], acc;

	if (rc < 0)
		return rc;
	/* The layer itself only sums; bias and ReLU belong to the epilogue. */
	attr.relu = false;
	attr.raw_sum = layer->op == OP_AVGPOOL;
	in[0] = e.in;
	in[1] = e.weight;
	acc = rewrite_add(r, layer->op, e.layer, ".acc", in, layer->op == OP_AVGPOOL ? 1 : 2, &attr);
	if (acc < 0)
		return acc;
	attr = (struct attr){.relu = e.relu, .zero_in = e.x->q.zero, .count = e.count};
	if (e.y)
		attr.q = e.y->q;
	in[RQ_ACC] = acc;
	in[RQ_SX] = e.s_x;
	in[RQ_SW] = e.s_w;
	in[RQ_B] = e.bias;
	in[RQ_SY] = e.s_y;
	in[RQ_R] = e.residual;
	in[RQ_SR] = e.s_r;
	in[RQ_WQ] = e.x->q.zero != 0 ? e.weight : NODE_NONE;
	if (e.y)
		return r->grid[g->out] = rewrite_add(r, OP_REQUANT, e.out, ".q", in, RQ_COUNT, &attr);
	return r->real[g->out] = rewrite_add(r, OP_REQUANT, e.out, "", in, RQ_COUNT, &attr);
}

int pass_annotate(const struct graph *folded, const struct quant_plan *p, bool trained_steps, struct graph *out)
{
	struct rewrite r = {.in = folded,
	    .plan = p,
	    .out = out,
	    .quantize = OP_FAKE_QUANT,
	    .keep_dropout = true,
	    .trained_steps = trained_steps,
	    .emit = emit_group};

	if (p->method == QUANT_DYNAMIC)
		return err_set(
		    ERR_FAIL, "method dynamic has no simulated form: its scales are made per row at run time");
	if (p->method == QUANT_FP16 || p->method == QUANT_BF16)
		r.emit = half_emit_group;
	return rewrite_run(&r, true);
}

int quant_grid_step(const struct graph *annotated, int i, struct qrange *q)
{
	const struct node *node = &annotated->node[i];

	while (match_passes_through(node->op))
		node = &annotated->node[node->in[0]];
	*q = node->attr.q;
	if (node->op == OP_FAKE_QUANT)
		return node->in[1];
	return node->op == OP_REQUANT && node->n_in > RQ_SY ? node->in[RQ_SY] : NODE_NONE;
}
