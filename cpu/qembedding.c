/* OP_QEMBEDDING: rows of an s8 table by id, times each row's step. Rows lie anywhere in a table that is larger than the
 * caches, so those of the next tokens are asked for early. */
#include "cpu/kernels.h"

#include <string.h>

#define AHEAD 8 /* tokens */

static int qembedding_prepare(struct call *s)
{
	call_set_impl(s, "loop");
	return 0;
}

/* The inputs of one call. */
struct lookup {
	const int32_t *id;
	const int8_t *q;
	const float *step;
	float *y;
	int64_t V, C;
};

static bool names_row(const struct lookup *l, int64_t m)
{
	return l->id[m] >= 0 && l->id[m] < l->V;
}

CPU_CLONES static void look_up(const struct lookup *l, int64_t first, int64_t last)
{
	const int64_t C = l->C;
	for (int64_t m = first; m < last; m++) {
		float *y = l->y + m * C;
		if (m + AHEAD < last && names_row(l, m + AHEAD))
			for (int64_t c = 0; c < C; c += 64)
				__builtin_prefetch(l->q + l->id[m + AHEAD] * C + c);
		if (!names_row(l, m)) {
			memset(y, 0, (size_t)C * sizeof(*y));
			continue;
		}
		const int8_t *q = l->q + l->id[m] * C;
		const float step = l->step[l->id[m]];
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] = (float)q[c] * step;
	}
}

#define TOKENS 64 /* that a thread takes at a time */

static int qembedding_forward(struct call *s)
{
	const int64_t M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const struct lookup l = {s->in[QEMBEDDING_IDS].data, s->in[QEMBEDDING_Q].data, s->in[QEMBEDDING_STEP].data,
	    s->out.data, s->in[QEMBEDDING_Q].shape.dim[0], C};
#pragma omp parallel for schedule(static) if (M * C >= CPU_SERIAL)
	for (int64_t m = 0; m < M; m += TOKENS)
		look_up(&l, m, m + TOKENS < M ? m + TOKENS : M);
	return 0;
}

const struct kernel cpu_qembedding_kernel = {.prepare = qembedding_prepare, .forward = qembedding_forward};
