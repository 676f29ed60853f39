/* OP_DEQUANT: integers, or grid values (q - z) * P(s) of the training graph, -> real values y. Only grid values have a
 * gradient: with P held constant y = x * s/P, so dy/dx = s/P and dy/ds = x/P = q - z (the consumer's half of the
 * learned step's gradient, see fake_quant.c). There is one step, or one per row of axis 0. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static struct quant_slices slices_of(const struct call *s)
{
	const int64_t steps = shape_count(s->in[DEQUANT_STEP].shape);
	return (struct quant_slices){
	    .step = s->in[DEQUANT_STEP].data, .steps = steps, .n = shape_count(s->out.shape) / steps};
}

static int dequant_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN)
		s->scratch = cuda_dequant_scratch(slices_of(s));
	call_set_impl(s, "kernel");
	return 0;
}

static int dequant_forward(struct call *s)
{
	return cuda_dequant(
	    s->ctx, slices_of(s), s->in[DEQUANT_X].data, s->in[DEQUANT_X].dtype, s->node->attr.q.zero, s->out.data);
}

static int dequant_backward(struct call *s)
{
	return cuda_dequant_backward(s->ctx, slices_of(s), s->in[DEQUANT_X].data, s->dout.data,
	    s->want[DEQUANT_X] ? s->din[DEQUANT_X].data : NULL, s->accumulate[DEQUANT_X],
	    s->want[DEQUANT_STEP] ? s->din[DEQUANT_STEP].data : NULL, s->accumulate[DEQUANT_STEP], s->scratch_mem);
}

const struct kernel cuda_dequant_kernel = {dequant_prepare, NULL, dequant_forward, dequant_backward, NULL};
