/* OP_QPOSITION: OP_POSITION with tables of integers, whose rows are multiplied by their steps while they are added. */
#include "cpu/kernels.h"

/* A row of a table; q NULL: there is none. */
struct row {
	const int8_t *q;
	float step;
};

static int qposition_prepare(struct call *s)
{
	s->inplace = QPOSITION_X;
	call_set_impl(s, "loop");
	return 0;
}

/* y = x + row * step, y may be x; a place outside the table reads nothing. */
CPU_CLONES static void add_row(float *y, const float *x, struct row r, int64_t C)
{
	if (r.q) {
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] = x[c] + (float)r.q[c] * r.step;
	} else if (y != x) {
		memcpy(y, x, (size_t)C * sizeof(*y));
	}
}

static int qposition_forward(struct call *s)
{
	const int64_t N = s->in[QPOSITION_STARTS].shape.dim[0] - 1, M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const int64_t P = s->in[QPOSITION_Q].shape.dim[0];
	const int32_t *starts = s->in[QPOSITION_STARTS].data;
	const float *x = s->in[QPOSITION_X].data, *step = s->in[QPOSITION_STEP].data;
	const int8_t *table = s->in[QPOSITION_Q].data;
	const int32_t *second = s->has_in[QPOSITION_SECOND] ? s->in[QPOSITION_SECOND].data : NULL;
	struct row type[2] = {{0}}; /* of each part */
	float *y = s->out.data;
	if (s->has_in[QPOSITION_TYPE_Q])
		type[0] = (struct row){s->in[QPOSITION_TYPE_Q].data, *(const float *)s->in[QPOSITION_TYPE_STEP].data};
	if (second)
		type[1] = (struct row){type[0].q + C, ((const float *)s->in[QPOSITION_TYPE_STEP].data)[1]};
#pragma omp parallel for schedule(static) if (M * C >= CPU_SERIAL)
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		cpu_segment(starts, n, M, &first, &last);
		for (int64_t m = first; m < last; m++) {
			const int64_t p = m - first;
			const struct row place = {p < P ? table + p * C : NULL, p < P ? step[p] : 0.0f};
			add_row(y + m * C, x + m * C, type[second && p >= second[n]], C);
			add_row(y + m * C, y + m * C, place, C);
		}
	}
	cpu_clear_slack(y, cpu_slack(starts, N, M), M, C);
	return 0;
}

const struct kernel cpu_qposition_kernel = {.prepare = qposition_prepare, .forward = qposition_forward};
