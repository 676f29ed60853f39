/* OP_RQ_SCALE, OP_RQ_SHIFT, OP_RQ_RESIDUAL: the constants m, c and k of an integer layer's epilogue, by the formulas
 * of quant/arith.h. They run once per weights version and are tiny. No gradients: training uses OP_REQUANT. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static struct rq_input optional(const struct call *s, int i)
{
	return (struct rq_input){s->has_in[i] ? s->in[i].data : NULL, s->has_in[i] ? shape_count(s->in[i].shape) : 0};
}

static int rq_scale_forward(struct call *s)
{
	const int64_t count = s->node->attr.count ? s->node->attr.count : 1;
	return cuda_rq_scale(s->ctx, optional(s, RQ_SCALE_SX), optional(s, RQ_SCALE_SW), optional(s, RQ_SCALE_SY),
	    count, shape_count(s->out.shape), s->out.data);
}

static int rq_shift_forward(struct call *s)
{
	const struct attr *a = &s->node->attr;
	const int64_t M = shape_count(s->out.shape),
		      K = s->has_in[RQ_SHIFT_WQ] ? shape_count(s->in[RQ_SHIFT_WQ].shape) / M : 0;
	return cuda_rq_shift(s->ctx, s->in[RQ_SHIFT_M].data, optional(s, RQ_SHIFT_B), optional(s, RQ_SHIFT_SY),
	    s->has_in[RQ_SHIFT_WQ] ? s->in[RQ_SHIFT_WQ].data : NULL, K, a->zero_in,
	    s->has_in[RQ_SHIFT_SY] ? a->q.zero : 0, M, s->out.data);
}

static int rq_residual_forward(struct call *s)
{
	return cuda_rq_residual(s->ctx, optional(s, RQ_RESIDUAL_SR), optional(s, RQ_RESIDUAL_SY), s->out.data);
}

const struct kernel cuda_rq_scale_kernel = {.forward = rq_scale_forward};
const struct kernel cuda_rq_shift_kernel = {.forward = rq_shift_forward};
const struct kernel cuda_rq_residual_kernel = {.forward = rq_residual_forward};
