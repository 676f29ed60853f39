/* OP_AVGPOOL: mean (or, for the quantized training twin, sum) over H and W. Sums of grid values are exact in f32 as
 * long as the integer sum stays below 2^24. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int avgpool_prepare(struct call *s)
{
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 1);
}

static float factor(const struct call *s)
{
	const int64_t *d = s->in[0].shape.dim;
	return s->node->attr.raw_sum ? 1.0f : 1.0f / (float)(d[1] * d[2]);
}

static int avgpool_forward(struct call *s)
{
	const int64_t *d = s->in[0].shape.dim;
	return cuda_avgpool(s->ctx, s->in[0].data, d[0], d[1] * d[2], d[3], factor(s), s->out.data, cuda_rounded_of(s));
}

static int avgpool_backward(struct call *s)
{
	const int64_t *d = s->in[0].shape.dim;
	return cuda_avgpool_backward(
	    s->ctx, s->dout.data, d[0], d[1] * d[2], d[3], factor(s), s->din[0].data, s->accumulate[0]);
}

const struct kernel cuda_avgpool_kernel = {avgpool_prepare, NULL, avgpool_forward, avgpool_backward, NULL};
