/* OP_DEQUANT: integers, or grid values (q - z) * P(s) of the training graph, -> real values y. Only grid values have a
 * gradient: with P held constant y = x * s/P, so dy/dx = s/P and dy/ds = x/P = q - z (the consumer's half of the
 * learned step's gradient, see fake_quant.c). */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int dequant_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN)
		s->scratch = cuda_dequant_scratch(shape_count(s->out.shape));
	call_set_impl(s, "kernel");
	return 0;
}

static int dequant_forward(struct call *s)
{
	return cuda_dequant(s->ctx, s->in[DEQUANT_X].data, s->in[DEQUANT_X].dtype, s->in[DEQUANT_STEP].data,
	    s->node->attr.q.zero, shape_count(s->out.shape), s->out.data);
}

static int dequant_backward(struct call *s)
{
	return cuda_dequant_backward(s->ctx, s->in[DEQUANT_X].data, s->in[DEQUANT_STEP].data, s->dout.data,
	    shape_count(s->out.shape), s->want[DEQUANT_X] ? s->din[DEQUANT_X].data : NULL, s->accumulate[DEQUANT_X],
	    s->want[DEQUANT_STEP] ? s->din[DEQUANT_STEP].data : NULL, s->accumulate[DEQUANT_STEP], s->scratch_mem);
}

const struct kernel cuda_dequant_kernel = {dequant_prepare, NULL, dequant_forward, dequant_backward, NULL};
