/* pass_lower: the graph that is deployed. Integer ops for static and QAT plans, per-row integers for dynamic ones,
 * half-precision weights for fp16 and bf16. What depends on params only is left as constant nodes: see pass_freeze. */
#include <string.h>

#include "base/err.h"
#include "quant/half.h"
#include "quant/rewrite.h"

/* m, c and, with a residual, k; returns the number of the integer op's inputs, filled into in[]. */
static int add_epilogue(struct rewrite *r, const struct group *g, const struct group_ends *e, int in[NODE_MAX_IN])
{
	struct attr attr = {.count = e->count};
	int scale[3] = {e->s_x, e->s_w, e->s_y}, shift[4] = {NODE_NONE, e->bias, e->s_y, NODE_NONE}, n = 0, m, c, k;

	if (e->weight != NODE_NONE)
		attr.channels = r->in->node[r->in->node[g->layer].in[1]].shape.dim[0];
	m = rewrite_add(r, OP_RQ_SCALE, e->layer, ".m", scale, 3, &attr);
	if (m < 0)
		return m;
	attr = (struct attr){.zero_in = e->x->q.zero};
	if (e->y)
		attr.q = e->y->q;
	shift[0] = m;
	if (e->x->q.zero != 0)
		shift[3] = e->weight;
	c = rewrite_add(r, OP_RQ_SHIFT, e->layer, ".c", shift, 4, &attr);
	if (c < 0)
		return c;
	in[n++] = e->in;
	if (e->weight != NODE_NONE)
		in[n++] = e->weight;
	in[n++] = m;
	in[n++] = c;
	if (e->residual == NODE_NONE)
		return n;
	k = rewrite_add(r, OP_RQ_RESIDUAL, e->layer, ".k", (int[]){e->s_r, e->s_y}, 2, NULL);
	if (k < 0)
		return k;
	in[n++] = e->residual;
	in[n++] = k;
	return n;
}

static int emit_integer(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	struct attr attr = layer->attr;
	struct group_ends e;
	int in[NODE_MAX_IN], n, rc = rewrite_ends(r, g, &e);
	enum op op = layer->op == OP_LINEAR ? OP_QLINEAR : layer->op == OP_CONV2D ? OP_QCONV2D : OP_QAVGPOOL;

	if (rc < 0)
		return rc;
	n = add_epilogue(r, g, &e, in);
	if (n < 0)
		return n;
	attr.relu = e.relu;
	attr.q = e.y ? e.y->q : (struct qrange){0};
	if (e.y)
		return r->grid[g->out] = rewrite_add(r, op, e.out, ".q", in, n, &attr);
	return r->real[g->out] = rewrite_add(r, op, e.out, "", in, n, &attr);
}

static int emit_dynamic(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer];
	struct attr attr = {.relu = g->relu, .flatten = layer->attr.flatten};
	int in[4];

	if (layer->op != OP_LINEAR)
		return err_set(
		    ERR_CHECKPOINT, "quantization plan does not fit the model: '%s' is not linear", layer->name);
	in[0] = rewrite_real(r, layer->in[0]);
	if (in[0] < 0)
		return in[0];
	in[1] = rewrite_weight(r, g->layer);
	if (in[1] < 0)
		return in[1];
	in[2] = rewrite_step(r, r->in->node[layer->in[1]].name);
	if (in[2] < 0)
		return in[2];
	in[3] = layer->n_in > 2 && layer->in[2] != NODE_NONE ? r->real[layer->in[2]] : NODE_NONE;
	return r->real[g->out] = graph_add(r->out, OP_QLINEAR_DYN, layer->name, in, 4, &attr);
}

int half_emit_group(struct rewrite *r, const struct group *g)
{
	const struct node *layer = &r->in->node[g->layer], *w;
	struct attr half = {.to = r->plan->method == QUANT_FP16 ? DT_F16 : DT_BF16}, single = {.to = DT_F32};
	int in[3], n = layer->n_in, stored;

	if (layer->op == OP_AVGPOOL)
		return err_set(
		    ERR_CHECKPOINT, "quantization plan does not fit the model: '%s' has no weights", layer->name);
	w = &r->in->node[layer->in[1]];
	in[0] = rewrite_real(r, layer->in[0]);
	if (in[0] < 0)
		return in[0];
	stored = rewrite_add(r, OP_CAST, w->name, ".half", &r->real[layer->in[1]], 1, &half);
	if (stored < 0)
		return stored;
	in[1] = rewrite_add(r, OP_CAST, w->name, ".f32", &stored, 1, &single);
	if (in[1] < 0)
		return in[1];
	in[2] = n > 2 && layer->in[2] != NODE_NONE ? r->real[layer->in[2]] : NODE_NONE;
	return r->real[g->out] = graph_add(r->out, layer->op, layer->name, in, n, &layer->attr);
}

int pass_lower(const struct graph *folded, const struct quant_plan *p, struct graph *out)
{
	struct rewrite r = {.in = folded, .plan = p, .out = out, .quantize = OP_QUANTIZE, .emit = emit_integer};

	if (p->simulated)
		return err_set(
		    ERR_FAIL, "a plan with fewer than 8 activation bits has no integer form; it is simulated");
	if (p->method == QUANT_DYNAMIC)
		r.emit = emit_dynamic;
	else if (p->method == QUANT_FP16 || p->method == QUANT_BF16)
		r.emit = half_emit_group;
	return rewrite_run(&r, false);
}
