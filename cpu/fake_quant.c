/* OP_FAKE_QUANT: x -> (q - z) * P(s), the grid values that quantized layers train on; the vector form of quant_round
 * (quant/arith.h), bit for bit. Straight-through gradient inside the range (Bengio, Leonard and Courville 2013, section
 * 4), and the fake-quant half of the learned step's gradient (Esser et al. 2020, eq. 3) in integer-grid form:
 *   y = (rint(x/s) + z - z) * P, rounding offset held constant:  dy/dx = P/s,  dy/ds = -(x/s) * P/s  inside, else 0.
 * Weights of 1 bit have the sign in the place of rint, and the same gradients in their range of -1 to 1.
 * The other half, (q - z), flows through the consumer's multiplier m, which contains s. */
#include "cpu/kernels.h"

#include <math.h>

#include "quant/arith.h"

#define SLICES 64 /* of a tensor with one step; fixed, so that sums do not depend on the thread count */

/* The numbers of one step. lo and hi bound q - z. */
struct grid {
	float inverse, lo, hi, pow2;
	double slope, step; /* P/s */
};

static struct grid grid_of(const struct call *s, int64_t i)
{
	const struct qrange q = s->node->attr.q;
	float step = ((const float *)s->in[FAKE_QUANT_STEP].data)[i];
	struct grid g = {
	    1.0f / step, (float)(q.lo - q.zero), (float)(q.hi - q.zero), quant_pow2(step), 0.0, (double)step};
	g.slope = (double)g.pow2 / g.step;
	return g;
}

static int fake_quant_prepare(struct call *s)
{
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", 2);
}

CPU_CLONES static void quantize_part(float *y, const float *x, int64_t n, const struct grid *g)
{
	const float inverse = g->inverse, lo = g->lo, hi = g->hi, pow2 = g->pow2;
#pragma omp simd
	for (int64_t i = 0; i < n; i++) {
		float t = rintf(x[i] * inverse);
		t = t >= hi ? hi : t;
		t = t > lo ? t : lo; /* NaN: lo, as in quant_round */
		y[i] = t * pow2;
	}
}

/* Of 1 bit: the signs, of NaN too (quant_round). */
CPU_CLONES static void sign_part(float *y, const float *x, int64_t n, float pow2)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] >= 0.0f ? pow2 : -pow2;
}

/* dx (may be NULL) and the sum of dy * x inside the range. */
CPU_CLONES static double gradient_part(
    float *dx, const float *x, const float *dy, int64_t n, const struct grid *g, bool add)
{
	const float inverse = g->inverse, lo = g->lo, hi = g->hi, slope = (float)g->slope;
	double sum = 0.0;
#pragma omp simd reduction(+ : sum)
	for (int64_t i = 0; i < n; i++) {
		float t = x[i] * inverse, v = dy[i]; /* not a conditional read: see batchnorm.c */
		float d = t >= lo && t <= hi ? v : 0.0f;
		sum += (double)d * (double)x[i];
	}
	if (dx && add) {
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			float t = x[i] * inverse, v = dy[i] * slope;
			dx[i] += t >= lo && t <= hi ? v : 0.0f;
		}
	} else if (dx) {
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			float t = x[i] * inverse, v = dy[i] * slope;
			dx[i] = t >= lo && t <= hi ? v : 0.0f;
		}
	}
	return sum;
}

static int fake_quant_forward(struct call *s)
{
	int64_t total = shape_count(s->out.shape), steps = shape_count(s->in[FAKE_QUANT_STEP].shape);
	int64_t parts = steps > 1 ? steps : SLICES;
	const bool binary = qrange_is_binary(s->node->attr.q);
	const float *x = s->in[FAKE_QUANT_X].data;
	float *y = s->out.data;
#pragma omp parallel for schedule(static) if (total >= CPU_SERIAL)
	for (int64_t i = 0; i < parts; i++) {
		int64_t first = total * i / parts, last = total * (i + 1) / parts;
		struct grid g = grid_of(s, steps > 1 ? i : 0);
		if (binary)
			sign_part(y + first, x + first, last - first, g.pow2);
		else
			quantize_part(y + first, x + first, last - first, &g);
	}
	return 0;
}

static int fake_quant_backward(struct call *s)
{
	int64_t total = shape_count(s->out.shape), steps = shape_count(s->in[FAKE_QUANT_STEP].shape);
	int64_t parts = steps > 1 ? steps : SLICES;
	const float *x = s->in[FAKE_QUANT_X].data, *dy = s->dout.data;
	float *dx = s->want[FAKE_QUANT_X] ? s->din[FAKE_QUANT_X].data : NULL;
	double slice_sum[SLICES] = {0}, sum = 0.0;
#pragma omp parallel for schedule(static) if (total >= CPU_SERIAL)
	for (int64_t i = 0; i < parts; i++) {
		int64_t first = total * i / parts, last = total * (i + 1) / parts;
		struct grid g = grid_of(s, steps > 1 ? i : 0);
		double part = gradient_part(
		    dx ? dx + first : NULL, x + first, dy + first, last - first, &g, s->accumulate[FAKE_QUANT_X]);
		if (steps == 1)
			slice_sum[i] = part;
		else if (s->want[FAKE_QUANT_STEP])
			cpu_deliver_one(s, FAKE_QUANT_STEP, i, -part * g.slope / g.step);
	}
	if (steps == 1 && s->want[FAKE_QUANT_STEP]) {
		struct grid g = grid_of(s, 0);
		for (int64_t i = 0; i < SLICES; i++)
			sum += slice_sum[i];
		cpu_deliver_one(s, FAKE_QUANT_STEP, 0, -sum * g.slope / g.step);
	}
	return 0;
}

const struct kernel cpu_fake_quant_kernel = {fake_quant_prepare, NULL, fake_quant_forward, fake_quant_backward, NULL};
