/* OP_AVGPOOL: mean (or, for the quantized training twin, sum) over H and W, own loops. Sums of grid values are exact in
 * f32 as long as the integer sum stays below 2^24. */
#include "cpu/kernels.h"

static int avgpool_prepare(struct call *s)
{
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", 1);
}

CPU_CLONES static void scale_row(float *y, const float *x, float k, int64_t C, bool add)
{
	if (add) {
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] += x[c] * k;
	} else {
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] = x[c] * k;
	}
}

static float factor(const struct call *s)
{
	const int64_t *d = s->in[0].shape.dim;
	return s->node->attr.raw_sum ? 1.0f : 1.0f / (float)(d[1] * d[2]);
}

static int avgpool_forward(struct call *s)
{
	const int64_t *d = s->in[0].shape.dim, pixels = d[1] * d[2], C = d[3];
	const float *x = s->in[0].data;
	float k = factor(s);
	float *y = s->out.data;
#pragma omp parallel for schedule(static) if (d[0] * pixels * C >= CPU_SERIAL)
	for (int64_t n = 0; n < d[0]; n++) {
		cpu_sum_period(y + n * C, x + n * pixels * C, pixels * C, C);
		scale_row(y + n * C, y + n * C, k, C, false);
	}
	return 0;
}

static int avgpool_backward(struct call *s)
{
	const int64_t *d = s->in[0].shape.dim, pixels = d[1] * d[2], C = d[3];
	const float *dy = s->dout.data;
	float k = factor(s);
	float *dx = s->din[0].data;
	bool add = s->accumulate[0];
#pragma omp parallel for schedule(static) if (d[0] * pixels * C >= CPU_SERIAL)
	for (int64_t n = 0; n < d[0]; n++)
		for (int64_t e = 0; e < pixels; e++)
			scale_row(dx + (n * pixels + e) * C, dy + n * C, k, C, add);
	return 0;
}

const struct kernel cpu_avgpool_kernel = {avgpool_prepare, NULL, avgpool_forward, avgpool_backward, NULL};
