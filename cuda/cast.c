/* OP_CAST between f32, f16 and bf16, round to nearest even: the bits of engine/graph/tensor.h. */
#include "cuda/kernels.h"

#include "base/err.h"
#include "cuda/launches.h"

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static int cast_prepare(struct step *s)
{
	if (!is_float(s->in[0].dtype) || !is_float(s->out.dtype))
		return err_set(ERR_DEVICE, "cuda: node %s (cast): from %s to %s is not supported", s->node->name,
		    dtype_name(s->in[0].dtype), dtype_name(s->out.dtype));
	cuda_set_impl(s, "kernel");
	return 0;
}

static int cast_forward(struct step *s)
{
	return cuda_cast(s->ctx, s->in[0].data, s->in[0].dtype, shape_count(s->out.shape), s->out.data, s->out.dtype);
}

/* Gradients of half-precision values are f32: there is nothing to convert. */
static int cast_backward(struct step *s)
{
	return cuda_add_backward(
	    s->ctx, s->dout.data, NULL, shape_count(s->out.shape), s->din[0].data, s->accumulate[0], NULL, false);
}

const struct kernel cuda_cast_kernel = {cast_prepare, NULL, cast_forward, cast_backward, NULL};
