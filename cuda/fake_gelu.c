/* OP_FAKE_GELU: the bits of quant_gelu_round (quant/arith.h), but that erfc and exp are the device's: where their last
 * bit differs from the C library's, so may an integer whose t lies within it of a half. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static struct gelu_grid gelu_of(const struct call *s)
{
	const struct attr *a = &s->node->attr;
	return (struct gelu_grid){.s_x = s->in[FAKE_GELU_SX].data,
	    .s_y = s->in[FAKE_GELU_SY].data,
	    .n = shape_count(s->out.shape),
	    .lo = (float)(a->q_in.lo - a->q_in.zero),
	    .width = (float)(a->q_in.hi - a->q_in.lo),
	    .y_lo = (float)(a->q.lo - a->q.zero),
	    .y_hi = (float)(a->q.hi - a->q.zero),
	    .by_tanh = a->gelu_tanh};
}

static int fake_gelu_prepare(struct call *s)
{
	s->saved = cuda_fake_gelu_table();
	if (s->mode == EXEC_TRAIN)
		s->scratch = cuda_fake_gelu_scratch(shape_count(s->out.shape));
	else
		s->inplace = FAKE_GELU_X;
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 3);
}

static int fake_gelu_forward(struct call *s)
{
	return cuda_fake_gelu(
	    s->ctx, gelu_of(s), s->in[FAKE_GELU_X].data, s->out.data, s->saved_mem, cuda_rounded_of(s));
}

static int fake_gelu_backward(struct call *s)
{
	const struct gelu_gradients d = {.x = s->want[FAKE_GELU_X] ? s->din[FAKE_GELU_X].data : NULL,
	    .s_x = s->want[FAKE_GELU_SX] ? s->din[FAKE_GELU_SX].data : NULL,
	    .s_y = s->want[FAKE_GELU_SY] ? s->din[FAKE_GELU_SY].data : NULL,
	    .add_x = s->accumulate[FAKE_GELU_X],
	    .add_s_x = s->accumulate[FAKE_GELU_SX],
	    .add_s_y = s->accumulate[FAKE_GELU_SY]};
	return cuda_fake_gelu_backward(
	    s->ctx, gelu_of(s), s->in[FAKE_GELU_X].data, s->dout.data, s->saved_mem, d, s->scratch_mem);
}

const struct kernel cuda_fake_gelu_kernel = {fake_gelu_prepare, NULL, fake_gelu_forward, fake_gelu_backward, NULL};
