/* OP_GELU and OP_TANH. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int activation_prepare(struct call *s)
{
	if (s->mode == EXEC_INFER)
		s->inplace = 0;
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 1);
}

static enum activation function_of(const struct call *s)
{
	if (s->node->op == OP_TANH)
		return ACTIVATION_TANH;
	return s->node->attr.gelu_tanh ? ACTIVATION_GELU_TANH : ACTIVATION_GELU;
}

static int activation_forward(struct call *s)
{
	return cuda_activation(
	    s->ctx, function_of(s), s->in[0].data, shape_count(s->out.shape), s->out.data, cuda_rounded_of(s));
}

static int activation_backward(struct call *s)
{
	if (!s->want[0])
		return 0;
	return cuda_activation_backward(s->ctx, function_of(s), s->in[0].data, s->dout.data, shape_count(s->out.shape),
	    s->din[0].data, s->accumulate[0]);
}

const struct kernel cuda_gelu_kernel = {activation_prepare, NULL, activation_forward, activation_backward, NULL};
const struct kernel cuda_tanh_kernel = {activation_prepare, NULL, activation_forward, activation_backward, NULL};
