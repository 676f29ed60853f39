/* OP_QUANTIZE: f32 -> u8 or s8, with one step or one per slice of the first axis (weights). Inference only; the same
 * bits as quant_round (quant/arith.h): rint(fl(x * fl(1/s))) + z, saturated; of 1 bit the signs. */
#include "cuda/kernels.h"

#include "base/err.h"
#include "cuda/launches.h"
#include "quant/arith.h"

static int quantize_prepare(struct call *s)
{
	if (s->node->attr.q.is_signed != (s->out.dtype == DT_S8))
		return err_set(ERR_FAIL, "cuda: node %s: range and type differ in sign", s->node->name);
	call_set_impl(s, "kernel");
	return 0;
}

static int quantize_forward(struct call *s)
{
	const struct qrange q = s->node->attr.q;
	int64_t steps = shape_count(s->in[QUANTIZE_STEP].shape);
	struct quant_slices slices = {.step = s->in[QUANTIZE_STEP].data,
	    .steps = steps,
	    .n = shape_count(s->out.shape) / steps,
	    .lo = (float)(q.lo - q.zero),
	    .hi = (float)(q.hi - q.zero),
	    .binary = qrange_is_binary(q)};
	return cuda_quantize(s->ctx, slices, s->in[QUANTIZE_X].data, q.zero, s->out.dtype, s->out.data);
}

const struct kernel cuda_quantize_kernel = {.prepare = quantize_prepare, .forward = quantize_forward};
