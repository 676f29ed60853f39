/* GELU between integers and its training twin, whose gradients op.h derives: fake_gelu, gelu_table, qtable. */
#include "quant/arith.h"
#include "ref/ref_impl.h"

static struct quant_gelu gelu_of(const struct call *s, int s_x, int s_y)
{
	const struct attr *a = &s->node->attr;
	return (struct quant_gelu){.s_x = (float)ref_get(&s->in[s_x], 0),
	    .s_y = (float)ref_get(&s->in[s_y], 0),
	    .x = a->q_in,
	    .y = a->q,
	    .by_tanh = a->gelu_tanh};
}

/* The integer of a grid value. */
static int integer_of(const struct call *s, const struct quant_gelu *g, int64_t e)
{
	return (int)rint(ref_get(&s->in[FAKE_GELU_X], e) / (double)quant_pow2(g->s_x)) + g->x.zero;
}

int ref_fake_gelu_forward(struct call *s)
{
	const struct quant_gelu g = gelu_of(s, FAKE_GELU_SX, FAKE_GELU_SY);
	for (int64_t e = 0; e < shape_count(s->out.shape); e++) {
		int q = quant_gelu_round(&g, integer_of(s, &g, e));
		ref_set(&s->out, e, (double)(q - g.y.zero) * (double)quant_pow2(g.s_y));
	}
	return 0;
}

int ref_fake_gelu_backward(struct call *s)
{
	const struct quant_gelu g = gelu_of(s, FAKE_GELU_SX, FAKE_GELU_SY);
	const double p_x = (double)quant_pow2(g.s_x), p_y = (double)quant_pow2(g.s_y);
	double of_x = 0, of_y = 0;
	for (int64_t e = 0; e < shape_count(s->out.shape); e++) {
		int q = integer_of(s, &g, e);
		double t = quant_gelu_t(&g, q), slope = quant_gelu_slope(&g, q);
		double d = quant_gelu_inside(&g, t) ? ref_get(&s->dout, e) * p_y : 0;
		of_x += d * slope * (q - g.x.zero) / (double)g.s_x;
		of_y -= d * t / (double)g.s_y;
		if (s->want[FAKE_GELU_X])
			ref_grad(s, FAKE_GELU_X, e, d * slope / p_x);
	}
	if (s->want[FAKE_GELU_SX])
		ref_grad(s, FAKE_GELU_SX, 0, of_x);
	if (s->want[FAKE_GELU_SY])
		ref_grad(s, FAKE_GELU_SY, 0, of_y);
	return 0;
}

int ref_gelu_table_forward(struct call *s)
{
	const struct quant_gelu g = gelu_of(s, GELU_TABLE_SX, GELU_TABLE_SY);
	for (int i = 0; i < 256; i++)
		ref_set(&s->out, i, quant_gelu_round(&g, g.x.is_signed && i > 127 ? i - 256 : i));
	return 0;
}

int ref_qtable_forward(struct call *s)
{
	for (int64_t e = 0; e < shape_count(s->out.shape); e++)
		ref_set(&s->out, e, ref_get(&s->in[QTABLE_TABLE], (uint8_t)(int)ref_get(&s->in[QTABLE_X], e)));
	return 0;
}
