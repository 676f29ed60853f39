/* OP_DEQUANT: integers, or grid values (q - z) * P(s) of the training graph, -> real values y. Only grid values have a
 * gradient: with P held constant y = x * s/P, so dy/dx = s/P and dy/ds = x/P = q - z (the consumer's half of the
 * learned step's gradient, see fake_quant.c). */
#include "cpu/kernels.h"

#include "quant/arith.h"

CPU_CLONES static void dequant_u8(const uint8_t *x, int64_t n, float zero, float step, float *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = ((float)x[i] - zero) * step;
}

CPU_CLONES static void dequant_s8(const int8_t *x, int64_t n, float zero, float step, float *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = ((float)x[i] - zero) * step;
}

CPU_CLONES static void dequant_grid(const float *x, int64_t n, float factor, float *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] * factor;
}

static int dequant_forward(struct call *s)
{
	const struct tensor *x = &s->in[DEQUANT_X];
	const float step = *(const float *)s->in[DEQUANT_STEP].data, zero = (float)s->node->attr.q.zero;
	const int64_t n = shape_count(s->out.shape), chunk = CPU_SERIAL / 8;
	const float factor = x->dtype == DT_F32 ? step / quant_pow2(step) : step; /* exact: P is a power of two */
	float *y = s->out.data;
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
	for (int64_t i = 0; i < n; i += chunk) {
		const int64_t m = n - i < chunk ? n - i : chunk;
		if (x->dtype == DT_U8)
			dequant_u8((const uint8_t *)x->data + i, m, zero, step, y + i);
		else if (x->dtype == DT_S8)
			dequant_s8((const int8_t *)x->data + i, m, zero, step, y + i);
		else
			dequant_grid((const float *)x->data + i, m, factor, y + i);
	}
	return 0;
}

#define SLICES 64 /* fixed, so that the step's gradient does not depend on the thread count */

CPU_CLONES static void gradient_part(float *dx, const float *dy, int64_t n, float factor, bool add)
{
	for (int64_t i = 0; i < n; i++)
		dx[i] = (add ? dx[i] : 0.0f) + dy[i] * factor;
}

CPU_CLONES static double product_sum(const float *x, const float *dy, int64_t n)
{
	double sum = 0.0;
#pragma omp simd reduction(+ : sum)
	for (int64_t i = 0; i < n; i++)
		sum += (double)dy[i] * (double)x[i];
	return sum;
}

static int dequant_backward(struct call *s)
{
	const float step = *(const float *)s->in[DEQUANT_STEP].data, pow2 = quant_pow2(step);
	const float *x = s->in[DEQUANT_X].data, *dy = s->dout.data;
	const int64_t n = shape_count(s->out.shape);
	double part[SLICES] = {0}, sum = 0.0;
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
	for (int i = 0; i < SLICES; i++) {
		int64_t first, last;
		cpu_split(n, SLICES, i, &first, &last);
		if (s->want[DEQUANT_X])
			gradient_part((float *)s->din[DEQUANT_X].data + first, dy + first, last - first, step / pow2,
			    s->accumulate[DEQUANT_X]);
		if (s->want[DEQUANT_STEP])
			part[i] = product_sum(x + first, dy + first, last - first);
	}
	for (int i = 0; i < SLICES; i++)
		sum += part[i];
	if (s->want[DEQUANT_STEP])
		cpu_deliver_one(s, DEQUANT_STEP, 0, sum / (double)pow2);
	return 0;
}

const struct kernel cpu_dequant_kernel = {.forward = dequant_forward, .backward = dequant_backward};
