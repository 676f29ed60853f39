/* OP_DEQUANT: integers, or grid values (q - z) * P(s) of the training graph, -> real values y. Only grid values have a
 * gradient: with P held constant y = x * s/P, so dy/dx = s/P and dy/ds = x/P = q - z (the consumer's half of the
 * learned step's gradient, see fake_quant.c). */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int dequant_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN)
		s->scratch = cuda_dequant_scratch(shape_count(s->out.shape));
	cuda_set_impl(s, "kernel");
	return 0;
}

static int dequant_forward(struct call *s)
{
	return cuda_dequant(s->ctx, s->in[0].data, s->in[0].dtype, s->in[1].data, s->node->attr.q.zero,
	    shape_count(s->out.shape), s->out.data);
}

static int dequant_backward(struct call *s)
{
	return cuda_dequant_backward(s->ctx, s->in[0].data, s->in[1].data, s->dout.data, shape_count(s->out.shape),
	    s->want[0] ? s->din[0].data : NULL, s->accumulate[0], s->want[1] ? s->din[1].data : NULL, s->accumulate[1],
	    s->scratch_mem);
}

const struct kernel cuda_dequant_kernel = {dequant_prepare, NULL, dequant_forward, dequant_backward, NULL};
