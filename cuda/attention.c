/* OP_ATTENTION. Of the forward pass two numbers of each row of a head are kept, as on the CPU; backward takes scores
 * and their gradients anew. */
#include "cuda/kernels.h"

#include <math.h>

#include "cuda/launches.h"

static struct attention_heads heads_of(const struct call *s)
{
	const int64_t C = s->out.shape.dim[1], D = C / s->node->attr.heads;
	return (struct attention_heads){.r = {.starts = s->in[ATTENTION_STARTS].data,
					    .N = s->in[ATTENTION_STARTS].shape.dim[0] - 1,
					    .M = s->out.shape.dim[0],
					    .C = C},
	    .D = D,
	    .scale = 1.0f / sqrtf((float)D),
	    .drop = cuda_map_draw_of(s)};
}

static struct attention_inputs inputs_of(const struct call *s)
{
	return (struct attention_inputs){.q = s->in[ATTENTION_Q].data,
	    .k = s->in[ATTENTION_K].data,
	    .v = s->in[ATTENTION_V].data,
	    .dy = s->dout.data};
}

static int attention_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN) {
		s->saved = cuda_attention_kept(heads_of(s));
		s->scratch = cuda_attention_scratch(heads_of(s));
	}
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 3);
}

static int attention_forward(struct call *s)
{
	return cuda_attention(s->ctx, heads_of(s), inputs_of(s), s->out.data,
	    s->mode == EXEC_TRAIN ? s->saved_mem : NULL, cuda_rounded_of(s));
}

static int attention_backward(struct call *s)
{
	float *d[ATTENTION_V + 1];
	for (int i = 0; i <= ATTENTION_V; i++)
		d[i] = s->want[i] ? s->din[i].data : NULL;
	const struct attention_gradients g = {.dq = d[ATTENTION_Q],
	    .dk = d[ATTENTION_K],
	    .dv = d[ATTENTION_V],
	    .add_q = s->accumulate[ATTENTION_Q],
	    .add_k = s->accumulate[ATTENTION_K],
	    .add_v = s->accumulate[ATTENTION_V]};
	return cuda_attention_backward(s->ctx, heads_of(s), inputs_of(s), s->out.data, s->saved_mem, g, s->scratch_mem);
}

const struct kernel cuda_attention_kernel = {attention_prepare, NULL, attention_forward, attention_backward, NULL};
