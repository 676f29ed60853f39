/* OP_FAKE_ATTENTION, the training twin of OP_QATTENTION: the same integers (quant/arith.h). */
#include "cuda/kernels.h"
#include "cuda/launches.h"
#include "quant/arith.h"

static struct fake_heads heads_of(const struct call *s)
{
	const struct attr *a = &s->node->attr;
	const int64_t C = s->out.shape.dim[1];
	return (struct fake_heads){.h = {.r = {.starts = s->in[FAKE_ATTENTION_STARTS].data,
					     .N = s->in[FAKE_ATTENTION_STARTS].shape.dim[0] - 1,
					     .M = s->out.shape.dim[0],
					     .C = C},
				       .D = C / a->heads,
				       .drop = cuda_map_draw_of(s)},
	    .q = s->in[FAKE_ATTENTION_Q].data,
	    .k = s->in[FAKE_ATTENTION_K].data,
	    .v = s->in[FAKE_ATTENTION_V].data,
	    .s_q = s->in[FAKE_ATTENTION_SQ].data,
	    .s_k = s->in[FAKE_ATTENTION_SK].data,
	    .s_v = s->in[FAKE_ATTENTION_SV].data,
	    .s_y = s->in[FAKE_ATTENTION_SY].data,
	    .top = quant_prob_log(a->prob_bits),
	    .lo = (float)(a->q.lo - a->q.zero),
	    .hi = (float)(a->q.hi - a->q.zero)};
}

/* The numbers of rows, behind t, in what is saved. */
static void *kept(const struct call *s)
{
	size_t at = 0;
	call_reserve(&at, tensor_bytes(&s->out));
	return (char *)s->saved_mem + at;
}

static int fake_attention_prepare(struct call *s)
{
	const struct attention_heads h = heads_of(s).h;
	if (s->mode == EXEC_TRAIN) {
		call_reserve(&s->saved, tensor_bytes(&s->out));
		call_reserve(&s->saved, cuda_fake_attention_kept(h));
		s->scratch = cuda_fake_attention_scratch(h);
	}
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", FAKE_ATTENTION_STARTS);
}

static int fake_attention_forward(struct call *s)
{
	const bool train = s->mode == EXEC_TRAIN;
	return cuda_fake_attention(
	    s->ctx, heads_of(s), s->out.data, train ? s->saved_mem : NULL, train ? kept(s) : NULL, cuda_rounded_of(s));
}

static float *wanted(const struct call *s, int i)
{
	return s->want[i] ? s->din[i].data : NULL;
}

static int fake_attention_backward(struct call *s)
{
	const struct fake_attention_gradients d = {.q = wanted(s, FAKE_ATTENTION_Q),
	    .k = wanted(s, FAKE_ATTENTION_K),
	    .v = wanted(s, FAKE_ATTENTION_V),
	    .s_q = wanted(s, FAKE_ATTENTION_SQ),
	    .s_k = wanted(s, FAKE_ATTENTION_SK),
	    .s_v = wanted(s, FAKE_ATTENTION_SV),
	    .s_y = wanted(s, FAKE_ATTENTION_SY),
	    .add_q = s->accumulate[FAKE_ATTENTION_Q],
	    .add_k = s->accumulate[FAKE_ATTENTION_K],
	    .add_v = s->accumulate[FAKE_ATTENTION_V],
	    .add_s_q = s->accumulate[FAKE_ATTENTION_SQ],
	    .add_s_k = s->accumulate[FAKE_ATTENTION_SK],
	    .add_s_v = s->accumulate[FAKE_ATTENTION_SV],
	    .add_s_y = s->accumulate[FAKE_ATTENTION_SY]};
	return cuda_fake_attention_backward(
	    s->ctx, heads_of(s), s->saved_mem, kept(s), s->dout.data, d, s->scratch_mem);
}

const struct kernel cuda_fake_attention_kernel = {
    fake_attention_prepare, NULL, fake_attention_forward, fake_attention_backward, NULL};
