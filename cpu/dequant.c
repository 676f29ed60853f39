/* OP_DEQUANT: integers, or grid values (q - z) * P(s) of the training graph, -> real values y. Only grid values have a
 * gradient: with P held constant y = x * s/P, so dy/dx = s/P and dy/ds = x/P = q - z (the consumer's half of the
 * learned step's gradient, see fake_quant.c). There is one step, or one per row of axis 0. */
#include "cpu/kernels.h"

#include "quant/arith.h"

#define SLICES 64 /* of a tensor with one step; fixed, so that sums do not depend on the thread count */

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

/* One part of the work: values [first, last), all of one step. */
struct part {
	int64_t first, last;
	float step;
};

static int64_t parts(const struct call *s)
{
	const int64_t steps = shape_count(s->in[DEQUANT_STEP].shape);
	return steps > 1 ? steps : SLICES;
}

static struct part part_of(const struct call *s, int64_t i)
{
	const int64_t steps = shape_count(s->in[DEQUANT_STEP].shape), n = shape_count(s->out.shape), of = parts(s);
	return (struct part){
	    n * i / of, n * (i + 1) / of, ((const float *)s->in[DEQUANT_STEP].data)[steps > 1 ? i : 0]};
}

static void dequant_part(const struct call *s, struct part p)
{
	const struct tensor *x = &s->in[DEQUANT_X];
	const float zero = (float)s->node->attr.q.zero;
	const int64_t n = p.last - p.first;
	float *y = (float *)s->out.data + p.first;
	if (x->dtype == DT_U8)
		dequant_u8((const uint8_t *)x->data + p.first, n, zero, p.step, y);
	else if (x->dtype == DT_S8)
		dequant_s8((const int8_t *)x->data + p.first, n, zero, p.step, y);
	else /* exact: P is a power of two */
		dequant_grid((const float *)x->data + p.first, n, p.step / quant_pow2(p.step), y);
}

static int dequant_forward(struct call *s)
{
	const int64_t of = parts(s);
#pragma omp parallel for schedule(static) if (shape_count(s->out.shape) >= CPU_SERIAL)
	for (int64_t i = 0; i < of; i++)
		dequant_part(s, part_of(s, i));
	return 0;
}

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
	const float *x = s->in[DEQUANT_X].data, *dy = s->dout.data;
	const int64_t of = parts(s), steps = shape_count(s->in[DEQUANT_STEP].shape);
	double slice_sum[SLICES] = {0}, sum = 0.0;
#pragma omp parallel for schedule(static) if (shape_count(s->out.shape) >= CPU_SERIAL)
	for (int64_t i = 0; i < of; i++) {
		const struct part p = part_of(s, i);
		const float pow2 = quant_pow2(p.step);
		if (s->want[DEQUANT_X])
			gradient_part((float *)s->din[DEQUANT_X].data + p.first, dy + p.first, p.last - p.first,
			    p.step / pow2, s->accumulate[DEQUANT_X]);
		if (!s->want[DEQUANT_STEP])
			continue;
		const double of_part = product_sum(x + p.first, dy + p.first, p.last - p.first) / (double)pow2;
		if (steps > 1)
			cpu_deliver_one(s, DEQUANT_STEP, i, of_part);
		else
			slice_sum[i] = of_part;
	}
	for (int i = 0; i < SLICES; i++)
		sum += slice_sum[i];
	if (s->want[DEQUANT_STEP] && steps == 1)
		cpu_deliver_one(s, DEQUANT_STEP, 0, sum);
	return 0;
}

const struct kernel cpu_dequant_kernel = {.forward = dequant_forward, .backward = dequant_backward};
