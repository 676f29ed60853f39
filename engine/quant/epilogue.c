/* The epilogue of integer layers in its two forms, from one description of the group's ends. */
#include "quant/epilogue.h"

#include "base/err.h"

int epilogue_input(struct rewrite *r, const struct group *g, bool folds_zero, struct epilogue *e)
{
	int x = r->in->node[g->layer].in[0];

	*e = (struct epilogue){.count = 1};
	e->weight = e->bias = e->residual = e->s_w = e->s_y = e->s_r = NODE_NONE;
	e->x = rewrite_value(r, x);
	if (!e->x)
		return ERR_CHECKPOINT;
	if (e->x->q.zero != 0 && !folds_zero)
		return quant_misfit(e->x->name, "its consumer cannot fold a zero point");
	e->in = rewrite_grid(r, x);
	if (e->in < 0)
		return e->in;
	e->s_x = rewrite_step(r, e->x->name);
	return e->s_x < 0 ? e->s_x : 0;
}

static int residual(struct rewrite *r, const struct group *g, struct epilogue *e)
{
	const struct quant_value *v;

	if (g->residual == NODE_NONE)
		return 0;
	v = rewrite_value(r, g->residual);
	if (!v)
		return ERR_CHECKPOINT;
	if (v->q.zero != 0)
		return quant_misfit(v->name, "a residual must have zero point 0");
	e->residual = rewrite_grid(r, g->residual);
	if (e->residual < 0)
		return e->residual;
	e->s_r = rewrite_step(r, v->name);
	return e->s_r < 0 ? e->s_r : 0;
}

int epilogue_output(struct rewrite *r, const struct group *g, struct epilogue *e)
{
	if (r->match.carrier[g->out] == g->out) {
		e->y = rewrite_value(r, g->out);
		e->s_y = e->y ? rewrite_step(r, e->y->name) : ERR_CHECKPOINT;
		if (e->s_y < 0)
			return e->s_y;
	}
	return residual(r, g, e);
}

/* The group's op: integers where its output is quantized, else the real value itself. */
static int add_output(struct rewrite *r, const struct group *g, const struct epilogue *e, enum op op, const int *in,
    int n, const struct attr *attr)
{
	if (e->y)
		return r->grid[g->out] = rewrite_add(r, op, ROLE_QUANTIZED, g->out, in, n, attr);
	return r->real[g->out] = graph_add(r->out, op, r->in->node[g->out].name, in, n, attr);
}

int epilogue_requant(struct rewrite *r, const struct group *g, const struct epilogue *e, int acc)
{
	struct attr attr = {.relu = g->relu, .zero_in = e->x->q.zero, .count = e->count};
	int in[RQ_COUNT];

	if (e->y)
		attr.q = e->y->q;
	in[RQ_ACC] = acc;
	in[RQ_SX] = e->s_x;
	in[RQ_SW] = e->s_w;
	in[RQ_B] = e->bias;
	in[RQ_SY] = e->s_y;
	in[RQ_R] = e->residual;
	in[RQ_SR] = e->s_r;
	in[RQ_WQ] = e->x->q.zero != 0 ? e->weight : NODE_NONE;
	return add_output(r, g, e, OP_REQUANT, in, RQ_COUNT, &attr);
}

/* m, c and, with a residual, k; returns the number of the integer op's inputs, filled into in[]. */
static int add_factors(struct rewrite *r, const struct group *g, const struct epilogue *e, int in[NODE_MAX_IN])
{
	struct attr attr = {.count = e->count};
	int scale[3] = {e->s_x, e->s_w, e->s_y}, shift[4] = {NODE_NONE, e->bias, e->s_y, NODE_NONE}, n = 0, m, c, k;

	if (e->weight != NODE_NONE)
		attr.channels = r->out->node[e->weight].shape.dim[0];
	m = rewrite_add(r, OP_RQ_SCALE, ROLE_SCALE, g->layer, scale, 3, &attr);
	if (m < 0)
		return m;
	attr = (struct attr){.zero_in = e->x->q.zero};
	if (e->y)
		attr.q = e->y->q;
	shift[0] = m;
	if (e->x->q.zero != 0)
		shift[3] = e->weight;
	c = rewrite_add(r, OP_RQ_SHIFT, ROLE_SHIFT, g->layer, shift, 4, &attr);
	if (c < 0)
		return c;
	in[n++] = e->in;
	if (e->weight != NODE_NONE)
		in[n++] = e->weight;
	in[n++] = m;
	in[n++] = c;
	if (e->residual == NODE_NONE)
		return n;
	k = rewrite_add(r, OP_RQ_RESIDUAL, ROLE_RESIDUAL, g->layer, (int[]){e->s_r, e->s_y}, 2, NULL);
	if (k < 0)
		return k;
	in[n++] = e->residual;
	in[n++] = k;
	return n;
}

int epilogue_integer(struct rewrite *r, const struct group *g, const struct epilogue *e, enum op op)
{
	struct attr attr = r->in->node[g->layer].attr;
	int in[NODE_MAX_IN], n = add_factors(r, g, e, in);

	if (n < 0)
		return n;
	attr.relu = g->relu;
	attr.q = e->y ? e->y->q : (struct qrange){0};
	return add_output(r, g, e, op, in, n, &attr);
}
