/* OP_REQUANT: the epilogue of a quantized layer on grid values, bit for bit quant_epilogue and quant_saturate
 * (quant/arith.h). Gradients, with the rounding offset and the powers of two held constant,
 * t = (A*s_x*s_w/count + b + r*s_r)/s_y + z, y = (rint(t) - z) * P_y, A and r integers:
 *   g = dy * P_y where neither ReLU nor range holds the value, else 0
 *   dacc = g*m/P_acc  ds_x = sum g*A*m/s_x  ds_w = sum g*A*m/s_w  db = sum g/s_y
 *   ds_y = -sum g*(t - z)/s_y  dr = g*k/P_r  ds_r = sum g*r/s_y
 * Learned step size: Esser et al. 2020, eq. 3. The folded zero point cancels and has no gradient. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static const float *input(const struct call *s, int i)
{
	return s->has_in[i] ? s->in[i].data : NULL;
}

static struct requant_inputs inputs_of(const struct call *s)
{
	const struct attr *a = &s->node->attr;
	struct requant_inputs r = {.acc = input(s, RQ_ACC),
	    .s_x = input(s, RQ_SX),
	    .s_w = input(s, RQ_SW),
	    .bias = input(s, RQ_B),
	    .s_y = input(s, RQ_SY),
	    .residual = input(s, RQ_R),
	    .s_r = input(s, RQ_SR),
	    .C = s->out.shape.dim[s->out.shape.ndim - 1],
	    .count = a->count ? a->count : 1,
	    .lo = (float)a->q.lo,
	    .hi = (float)a->q.hi,
	    .zero = s->has_in[RQ_SY] ? a->q.zero : 0,
	    .per_channel = s->has_in[RQ_SW] && shape_count(s->in[RQ_SW].shape) > 1,
	    .relu = a->relu,
	    .off = a->zero_in ? s->saved_mem : NULL};
	r.rows = shape_count(s->out.shape) / r.C;
	return r;
}

static int requant_prepare(struct call *s)
{
	struct requant_inputs r = inputs_of(s);
	if (s->node->attr.zero_in)
		s->saved = (size_t)r.C * sizeof(double); /* the folded zero point of each channel */
	if (s->mode == EXEC_TRAIN)
		s->scratch = cuda_requant_scratch(r.rows, r.C);
	else
		s->inplace = RQ_ACC;
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", RQ_COUNT);
}

static int requant_forward(struct call *s)
{
	struct requant_inputs r = inputs_of(s);
	int rc = 0;
	if (r.off) {
		int64_t K = shape_count(s->in[RQ_WQ].shape) / r.C;
		rc = cuda_requant_offsets(s->ctx, r, s->in[RQ_WQ].data, K, s->node->attr.zero_in, s->saved_mem);
	}
	return rc ? rc : cuda_requant(s->ctx, r, s->out.data, cuda_rounded_of(s));
}

static int requant_backward(struct call *s)
{
	struct requant_gradients g;
	for (int i = 0; i < RQ_COUNT; i++) {
		g.d[i] = s->want[i] ? s->din[i].data : NULL;
		g.accumulate[i] = s->accumulate[i];
	}
	int rc = cuda_requant_backward(s->ctx, inputs_of(s), s->dout.data, g, s->scratch_mem);
	return rc ? rc : cuda_no_gradient(s, RQ_WQ);
}

const struct kernel cuda_requant_kernel = {requant_prepare, NULL, requant_forward, requant_backward, NULL};
