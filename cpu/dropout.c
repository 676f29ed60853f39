/* OP_DROPOUT, inverted scaling (Srivastava et al. 2014, section 10). Whether an element stays is a function of seed,
 * stage, node name, step and sample, never of the position in a batch; forward keeps the answers for backward. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/philox.h"

static int dropout_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN)
		s->saved = (size_t)shape_count(s->out.shape) * sizeof(float);
	else
		s->inplace = DROPOUT_X;
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", 1);
}

#define DRAWS 16 /* blocks at a time: a vector register of each of their words */

/* Factors are 0 or 1/(1-rate). Element e of a sample takes word e%4 of block e/4. */
struct draw {
	struct rng stream;
	uint64_t step, sample;
	float rate, kept;
};

/* The factors of DRAWS blocks. */
CPU_CLONES static void draw_blocks(float factor[4 * DRAWS], const struct draw *d, uint32_t block)
{
	const struct draw k = *d;
	float word[4][DRAWS];
#pragma omp simd
	for (int l = 0; l < DRAWS; l++) {
		const struct rng_words w = philox_draw(k.stream, k.step, k.sample, block + (uint32_t)l);
		word[0][l] = philox_uniform(w.w[0]) >= k.rate ? k.kept : 0.0f;
		word[1][l] = philox_uniform(w.w[1]) >= k.rate ? k.kept : 0.0f;
		word[2][l] = philox_uniform(w.w[2]) >= k.rate ? k.kept : 0.0f;
		word[3][l] = philox_uniform(w.w[3]) >= k.rate ? k.kept : 0.0f;
	}
	for (int l = 0; l < DRAWS; l++)
		for (int i = 0; i < 4; i++)
			factor[4 * l + i] = word[i][l];
}

/* The factors of one sample. */
static void draw_row(float *factor, int64_t n, const struct draw *d)
{
	const int64_t whole = n - n % (4 * DRAWS);
	float rest[4 * DRAWS];
	for (int64_t e = 0; e < whole; e += 4 * DRAWS)
		draw_blocks(factor + e, d, (uint32_t)(e / 4));
	if (whole == n)
		return;
	draw_blocks(rest, d, (uint32_t)(whole / 4));
	memcpy(factor + whole, rest, (size_t)(n - whole) * sizeof(*rest));
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
	const float rate = s->node->attr.rate;
	const int64_t N = samples(s);
	/* a draw costs some 20 additions; sequences differ in length */
#pragma omp parallel for schedule(dynamic, 1 + N / 64) if (shape_count(s->out.shape) >= CPU_SERIAL / 16)
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		sample_elements(s, n, &first, &last);
		if (last <= first)
			continue;
		draw_row(factor + first, last - first,
		    &(struct draw){.stream = stream,
			.step = step,
			.sample = sample + (uint64_t)n,
			.rate = rate,
			.kept = 1.0f / (1.0f - rate)});
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
