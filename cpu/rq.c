/* OP_RQ_SCALE, OP_RQ_SHIFT, OP_RQ_RESIDUAL: the constants m, c and k of an integer layer's epilogue, by the formulas
 * of quant/arith.h. They run once per weights version and are tiny. No gradients: training uses OP_REQUANT. */
#include "cpu/kernels.h"

#include "quant/arith.h"

/* Value o of an optional vector input of one or many elements. */
static float value_or(const struct call *s, int i, int64_t o, float absent)
{
	if (!s->has_in[i])
		return absent;
	const float *v = s->in[i].data;
	return shape_count(s->in[i].shape) > 1 ? v[o] : v[0];
}

static int rq_scale_forward(struct call *s)
{
	const int64_t count = s->node->attr.count ? s->node->attr.count : 1, n = shape_count(s->out.shape);
	float *m = s->out.data;
	for (int64_t o = 0; o < n; o++)
		m[o] = quant_scale(value_or(s, RQ_SCALE_SX, o, 1), value_or(s, RQ_SCALE_SW, o, 1),
		    value_or(s, RQ_SCALE_SY, o, 1), count);
	return 0;
}

static int rq_shift_forward(struct call *s)
{
	const struct attr *a = &s->node->attr;
	const float *m = s->in[RQ_SHIFT_M].data;
	const int64_t M = shape_count(s->out.shape),
		      K = s->has_in[RQ_SHIFT_WQ] ? shape_count(s->in[RQ_SHIFT_WQ].shape) / M : 0;
	const int zero_out = s->has_in[RQ_SHIFT_SY] ? a->q.zero : 0;
	float *c = s->out.data;
	for (int64_t o = 0; o < M; o++) {
		int64_t sum = 0;
		for (int64_t i = 0; i < K; i++)
			sum += ((const int8_t *)s->in[RQ_SHIFT_WQ].data)[o * K + i];
		c[o] = quant_shift(
		    value_or(s, RQ_SHIFT_B, o, 0), value_or(s, RQ_SHIFT_SY, o, 1), m[o], a->zero_in * sum, zero_out);
	}
	return 0;
}

static int rq_residual_forward(struct call *s)
{
	*(float *)s->out.data = quant_residual(value_or(s, RQ_RESIDUAL_SR, 0, 1), value_or(s, RQ_RESIDUAL_SY, 0, 1));
	return 0;
}

const struct kernel cpu_rq_scale_kernel = {.forward = rq_scale_forward};
const struct kernel cpu_rq_shift_kernel = {.forward = rq_shift_forward};
const struct kernel cpu_rq_residual_kernel = {.forward = rq_residual_forward};
