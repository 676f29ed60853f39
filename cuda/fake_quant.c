/* OP_FAKE_QUANT: x -> (q - z) * P(s), the grid values that quantized layers train on; the bits of quant_round
 * (quant/arith.h). Straight-through gradient inside the range (Bengio, Leonard and Courville 2013, section 4), and the
 * fake-quant half of the learned step's gradient (Esser et al. 2020, eq. 3) in integer-grid form:
 *   y = (rint(x/s) + z - z) * P, rounding offset held constant:  dy/dx = P/s,  dy/ds = -(x/s) * P/s  inside, else 0.
 * Weights of 1 bit have the sign in the place of rint, and the same gradients in their range of -1 to 1.
 * The other half, (q - z), flows through the consumer's multiplier m, which contains s. What is inside is worked out
 * again from x in backward: nothing is kept. */
#include "cuda/kernels.h"
#include "cuda/launches.h"
#include "quant/arith.h"

static struct quant_slices slices_of(const struct call *s)
{
	const struct qrange q = s->node->attr.q;
	int64_t steps = shape_count(s->in[FAKE_QUANT_STEP].shape);
	return (struct quant_slices){.step = s->in[FAKE_QUANT_STEP].data,
	    .steps = steps,
	    .n = shape_count(s->out.shape) / steps,
	    .lo = (float)(q.lo - q.zero),
	    .hi = (float)(q.hi - q.zero),
	    .binary = qrange_is_binary(q)};
}

static int fake_quant_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN)
		s->scratch = cuda_fake_quant_scratch(slices_of(s));
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 2);
}

static int fake_quant_forward(struct call *s)
{
	return cuda_fake_quant(s->ctx, slices_of(s), s->in[FAKE_QUANT_X].data, s->out.data, cuda_rounded_of(s));
}

static int fake_quant_backward(struct call *s)
{
	return cuda_fake_quant_backward(s->ctx, slices_of(s), s->in[FAKE_QUANT_X].data, s->dout.data,
	    s->want[FAKE_QUANT_X] ? s->din[FAKE_QUANT_X].data : NULL, s->accumulate[FAKE_QUANT_X],
	    s->want[FAKE_QUANT_STEP] ? s->din[FAKE_QUANT_STEP].data : NULL, s->accumulate[FAKE_QUANT_STEP],
	    s->scratch_mem);
}

const struct kernel cuda_fake_quant_kernel = {fake_quant_prepare, NULL, fake_quant_forward, fake_quant_backward, NULL};
