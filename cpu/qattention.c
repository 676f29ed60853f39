/* OP_QATTENTION and OP_SCORE_SCALE: attention between integers, and its factor of scores. Inference only. */
#include "cpu/kernels.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/int_attention.h"
#include "cpu/onednn.h"
#include "quant/arith.h"

static int score_scale_forward(struct call *s)
{
	*(float *)s->out.data =
	    quant_score_scale(*(const float *)s->in[0].data, *(const float *)s->in[1].data, s->node->attr.count);
	return 0;
}

static int qattention_prepare(struct call *s)
{
	const struct cpu_ctx *c = s->ctx;
	struct int_attention *a = s->state = mem_alloc(1, sizeof(*a));
	if (!a)
		return ERR_NOMEM;
	int_attention_plan(a, s);
	s->scratch = a->bytes * (size_t)c->traits.threads;
	call_set_impl(s, int_attention_impl(a));
	return 0;
}

static int qattention_forward(struct call *s)
{
	int_attention_run(s->state, &(struct int_attention_data){.q = s->in[QATTENTION_Q].data,
					.k = s->in[QATTENTION_K].data,
					.v = s->in[QATTENTION_V].data,
					.starts = s->in[QATTENTION_STARTS].data,
					.c = *(const float *)s->in[QATTENTION_SCALE].data,
					.factor = *(const float *)s->in[QATTENTION_FACTOR].data,
					.y = s->out.data,
					.scratch = s->scratch_mem});
	return 0;
}

const struct kernel cpu_score_scale_kernel = {.forward = score_scale_forward};
const struct kernel cpu_qattention_kernel = {
    .prepare = qattention_prepare, .forward = qattention_forward, .release = call_release_state};
