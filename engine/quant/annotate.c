/* pass_annotate: the training and simulation graph, f32 nodes on grid values (q - z) * P(s). Every number that the
 * lowered graph computes in integers is computed here exactly, as long as accumulators stay below 2^24. What a group
 * becomes is its kind's business (group_*.c). */
#include "base/err.h"
#include "quant/rewrite.h"

static int emit_group(struct rewrite *r, const struct group *g)
{
	return g->kind->annotate(r, g);
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
		r.emit = group_half;
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
	if (node->op == OP_FAKE_GELU)
		return node->in[FAKE_GELU_SY];
	if (node->op == OP_FAKE_ATTENTION)
		return node->in[FAKE_ATTENTION_SY];
	return node->op == OP_REQUANT && node->n_in > RQ_SY ? node->in[RQ_SY] : NODE_NONE;
}
