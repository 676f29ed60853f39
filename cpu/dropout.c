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
		s->inplace = DROPOUT_X;
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

/* Elements [*first, *last) of sample n: a sequence's rows, or what one first index has. */
static void sample_elements(const struct call *s, int64_t n, int64_t *first, int64_t *last)
{
	const int64_t rows = s->out.shape.dim[0], C = shape_count(s->out.shape) / rows;
	*first = n;
	*last = n + 1;
	if (s->has_in[DROPOUT_STARTS])
		cpu_segment(s->in[DROPOUT_STARTS].data, n, rows, first, last);
	*first *= C;
	*last *= C;
}

static int64_t samples(const struct call *s)
{
	return s->has_in[DROPOUT_STARTS] ? s->in[DROPOUT_STARTS].shape.dim[0] - 1 : s->out.shape.dim[0];
}

/* Elements before slack. */
static int64_t elements(const struct call *s)
{
	const int64_t rows = s->out.shape.dim[0], C = shape_count(s->out.shape) / rows;
	return s->has_in[DROPOUT_STARTS] ? C * cpu_slack(s->in[DROPOUT_STARTS].data, samples(s), rows) : C * rows;
}

static void draw(const struct call *s, float *factor)
{
	const struct rng stream = rng_make(s->clock->seed, s->clock->stage, RNG_DROPOUT, s->node->name);
	const uint64_t step = s->clock->time->step, sample = s->clock->time->first_sample;
	const int64_t N = samples(s);
	/* a draw costs some 20 additions; sequences differ in length */
#pragma omp parallel for schedule(dynamic, 1 + N / 64) if (shape_count(s->out.shape) >= CPU_SERIAL / 16)
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		sample_elements(s, n, &first, &last);
		draw_row(factor + first, last - first, stream, step, sample + (uint64_t)n, s->node->attr.rate);
	}
}

static int dropout_forward(struct call *s)
{
	const int64_t n = elements(s), total = shape_count(s->out.shape);
	const float *x = s->in[DROPOUT_X].data;
	float *y = s->out.data;
	if (s->mode == EXEC_TRAIN) {
		draw(s, s->saved_mem);
		cpu_vec(VEC_MUL, y, x, s->saved_mem, n);
	} else if (y != x) {
		cpu_vec(VEC_COPY, y, x, NULL, n);
	}
	cpu_clear_slack(y, n, total, 1);
	return 0;
}

static int dropout_backward(struct call *s)
{
	const int64_t n = elements(s);
	float *dx = s->din[DROPOUT_X].data;
	cpu_vec(s->accumulate[DROPOUT_X] ? VEC_MUL_ADD : VEC_MUL, dx, s->dout.data, s->saved_mem, n);
	if (!s->accumulate[DROPOUT_X])
		cpu_clear_slack(dx, n, shape_count(s->out.shape), 1);
	return 0;
}

const struct kernel cpu_dropout_kernel = {dropout_prepare, NULL, dropout_forward, dropout_backward, NULL};
