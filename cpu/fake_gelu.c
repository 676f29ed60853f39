/* OP_FAKE_GELU: GELU between grid values, with the integers of OP_QTABLE. What the function and its gradients are for
 * each of at most 256 integers is computed once per pass, in double; the values look it up. */
#include "cpu/kernels.h"

#include <math.h>

#include "quant/arith.h"

#define SLICES 64 /* fixed, so that sums do not depend on the thread count */

/* Of integer q at place q - lo. */
struct tables {
	struct quant_gelu g;
	float one_x, p_y;      /* 1/P(s_x), P(s_y) */
	float y[256], dx[256]; /* the output, and its derivatives */
	double ds_x[256], ds_y[256];
};

static void tables_of(const struct call *s, struct tables *t)
{
	const struct attr *a = &s->node->attr;
	t->g = (struct quant_gelu){.s_x = *(const float *)s->in[FAKE_GELU_SX].data,
	    .s_y = *(const float *)s->in[FAKE_GELU_SY].data,
	    .x = a->q_in,
	    .y = a->q,
	    .by_tanh = a->gelu_tanh};
	/* Of a step that is no number every value is none, though each would be some integer: the loss tells. */
	const float p_x = quant_pow2(t->g.s_x);
	t->one_x = 1.0f / p_x;
	t->p_y = isnan(p_x) ? p_x : quant_pow2(t->g.s_y);
	for (int q = a->q_in.lo; q <= a->q_in.hi; q++)
		t->y[q - a->q_in.lo] = (float)(quant_gelu_round(&t->g, q) - a->q.zero) * t->p_y;
}

static void slopes_of(struct tables *t)
{
	const struct quant_gelu *g = &t->g;
	for (int q = g->x.lo; q <= g->x.hi; q++) {
		const int i = q - g->x.lo;
		const double v = quant_gelu_t(g, q), p_y = quant_gelu_inside(g, v) ? (double)t->p_y : 0.0;
		const double slope = p_y * quant_gelu_slope(g, q);
		t->dx[i] = (float)(slope * (double)t->one_x);
		t->ds_x[i] = slope * (q - g->x.zero) / (double)g->s_x;
		t->ds_y[i] = -p_y * v / (double)g->s_y;
	}
}

/* The place of a grid value. Where x is no number it is the first, as in quant_round. */
static inline int32_t place(float x, float one_x, float lo, float width)
{
	float t = x * one_x - lo;
	t = t > 0.0f ? t : 0.0f;
	return (int32_t)(t < width ? t : width);
}

/* lo and hi - lo of q_x - z_x. */
static float low(const struct tables *t)
{
	return (float)(t->g.x.lo - t->g.x.zero);
}

static float width(const struct tables *t)
{
	return (float)(t->g.x.hi - t->g.x.lo);
}

CPU_CLONES static void forward_part(float *y, const float *x, int64_t n, const struct tables *t)
{
	const float one = t->one_x, lo = low(t), most = width(t);
	const float *table = t->y;
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		y[i] = table[place(x[i], one, lo, most)];
}

static int fake_gelu_prepare(struct call *s)
{
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", 3);
}

static int fake_gelu_forward(struct call *s)
{
	const int64_t n = shape_count(s->out.shape);
	struct tables t;
	tables_of(s, &t);
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL / 8)
	for (int64_t i = 0; i < SLICES; i++) {
		const int64_t first = n * i / SLICES, last = n * (i + 1) / SLICES;
		forward_part(
		    (float *)s->out.data + first, (const float *)s->in[FAKE_GELU_X].data + first, last - first, &t);
	}
	return 0;
}

/* dx may be NULL; the sums for both steps are added to sum. What dx held is read in any case: see activation.c. */
CPU_CLONES static void gradient_part(
    float *dx, double sum[2], const float *x, const float *dy, int64_t n, const struct tables *t, bool add)
{
	const float one = t->one_x, lo = low(t), most = width(t);
	double of_x = 0.0, of_y = 0.0;
	for (int64_t i = 0; dx && i < n; i++) {
		const float d = dy[i] * t->dx[place(x[i], one, lo, most)], before = dx[i];
		dx[i] = add ? before + d : d;
	}
#pragma omp simd reduction(+ : of_x, of_y)
	for (int64_t i = 0; i < n; i++) {
		const int32_t at = place(x[i], one, lo, most);
		of_x += (double)dy[i] * t->ds_x[at];
		of_y += (double)dy[i] * t->ds_y[at];
	}
	sum[0] = of_x;
	sum[1] = of_y;
}

static int fake_gelu_backward(struct call *s)
{
	const int64_t n = shape_count(s->out.shape);
	const float *x = s->in[FAKE_GELU_X].data, *dy = s->dout.data;
	float *dx = s->want[FAKE_GELU_X] ? s->din[FAKE_GELU_X].data : NULL;
	double part[SLICES][2], of_x = 0.0, of_y = 0.0;
	struct tables t;
	tables_of(s, &t);
	slopes_of(&t);
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL / 8)
	for (int64_t i = 0; i < SLICES; i++) {
		const int64_t first = n * i / SLICES, last = n * (i + 1) / SLICES;
		gradient_part(dx ? dx + first : NULL, part[i], x + first, dy + first, last - first, &t,
		    s->accumulate[FAKE_GELU_X]);
	}
	for (int i = 0; i < SLICES; i++) {
		of_x += part[i][0];
		of_y += part[i][1];
	}
	if (s->want[FAKE_GELU_SX])
		cpu_deliver_one(s, FAKE_GELU_SX, 0, of_x);
	if (s->want[FAKE_GELU_SY])
		cpu_deliver_one(s, FAKE_GELU_SY, 0, of_y);
	return 0;
}

const struct kernel cpu_fake_gelu_kernel = {fake_gelu_prepare, NULL, fake_gelu_forward, fake_gelu_backward, NULL};
