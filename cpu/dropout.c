/* OP_DROPOUT, inverted scaling (Srivastava et al. 2014, section 10). Whether an element stays is a function of seed,
 * stage, node name, step and sample, never of the position in a batch; forward keeps the answers for backward. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/rng.h"

static int dropout_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN)
		s->saved = (size_t)shape_count(s->out.shape) * sizeof(float);
	else
		s->inplace = 0;
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", 1);
}

/* The factors of one sample: 0 or 1/(1-rate). Element e takes word e%4 of block e/4. */
static void draw_row(float *factor, int64_t n, struct rng stream, uint64_t step, uint64_t sample, float rate)
{
	float kept = 1.0f / (1.0f - rate);
	for (int64_t e = 0; e < n; e += 4) {
		struct rng_words w = rng_draw(stream, step, sample, (uint32_t)(e / 4));
		for (int64_t i = e; i < n && i < e + 4; i++)
			factor[i] = rng_uniform(w.w[i - e]) >= rate ? kept : 0.0f;
	}
}

static int dropout_forward(struct call *s)
{
	int64_t N = s->out.shape.dim[0], total = shape_count(s->out.shape), n = total / N;
	if (s->mode == EXEC_INFER) {
		if (s->out.data != s->in[0].data)
			cpu_vec(VEC_COPY, s->out.data, s->in[0].data, NULL, total);
		return 0;
	}
	struct rng stream = rng_make(s->clock->seed, s->clock->stage, RNG_DROPOUT, s->node->name);
	float *factor = s->saved_mem, rate = s->node->attr.rate;
	uint64_t step = s->clock->time->step, first = s->clock->time->first_sample;
#pragma omp parallel for schedule(static) if (total >= CPU_SERIAL / 16) /* a draw costs some 20 additions */
	for (int64_t r = 0; r < N; r++)
		draw_row(factor + r * n, n, stream, step, first + (uint64_t)r, rate);
	cpu_vec(VEC_MUL, s->out.data, s->in[0].data, factor, total);
	return 0;
}

static int dropout_backward(struct call *s)
{
	cpu_vec(s->accumulate[0] ? VEC_MUL_ADD : VEC_MUL, s->din[0].data, s->dout.data, s->saved_mem,
	    shape_count(s->out.shape));
	return 0;
}

const struct kernel cpu_dropout_kernel = {dropout_prepare, NULL, dropout_forward, dropout_backward, NULL};
