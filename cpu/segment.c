/* OP_SEGMENT_MEAN and OP_SEGMENT_FIRST: one row for each sequence. Sum and quotient of the mean are taken as op.h
 * defines them, so that all backends give the same bits and a sequence the same whatever stands beside it. */
#include "cpu/kernels.h"

#include <string.h>

static int segment_prepare(struct call *s)
{
	call_set_impl(s, "loop");
	return 0;
}

static void segment(const struct call *s, int64_t n, int64_t *first, int64_t *last)
{
	cpu_segment(s->in[SEGMENT_STARTS].data, n, s->in[SEGMENT_X].shape.dim[0], first, last);
}

CPU_CLONES static void divide(float *y, float count, int64_t C)
{
#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		y[c] /= count;
}

CPU_CLONES static void share(float *dx, const float *dy, float count, int64_t C, bool add)
{
#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		dx[c] = add ? dx[c] + dy[c] / count : dy[c] / count;
}

static int segment_mean_forward(struct call *s)
{
	const int64_t N = s->out.shape.dim[0], C = s->out.shape.dim[1], M = s->in[SEGMENT_X].shape.dim[0];
	const float *x = s->in[SEGMENT_X].data;
	float *y = s->out.data;
#pragma omp parallel for schedule(static) if (M * C >= CPU_SERIAL)
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		segment(s, n, &first, &last);
		cpu_sum_period(y + n * C, x + first * C, (last - first) * C, C);
		if (last > first)
			divide(y + n * C, (float)(last - first), C);
	}
	return 0;
}

static int segment_mean_backward(struct call *s)
{
	const int64_t N = s->out.shape.dim[0], C = s->out.shape.dim[1], M = s->in[SEGMENT_X].shape.dim[0];
	const float *dy = s->dout.data;
	float *dx = s->din[SEGMENT_X].data;
	const bool add = s->accumulate[SEGMENT_X];
	if (!s->want[SEGMENT_X])
		return 0;
#pragma omp parallel for schedule(static) if (M * C >= CPU_SERIAL)
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		segment(s, n, &first, &last);
		for (int64_t m = first; m < last; m++)
			share(dx + m * C, dy + n * C, (float)(last - first), C, add);
	}
	if (!add)
		cpu_clear_slack(dx, cpu_slack(s->in[SEGMENT_STARTS].data, N, M), M, C);
	return 0;
}

const struct kernel cpu_segment_mean_kernel = {
    segment_prepare, NULL, segment_mean_forward, segment_mean_backward, NULL};

static int segment_first_forward(struct call *s)
{
	const int64_t N = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const float *x = s->in[SEGMENT_X].data;
	float *y = s->out.data;
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		segment(s, n, &first, &last);
		if (last > first)
			memcpy(y + n * C, x + first * C, (size_t)C * sizeof(*y));
		else
			memset(y + n * C, 0, (size_t)C * sizeof(*y));
	}
	return 0;
}

static int segment_first_backward(struct call *s)
{
	const int64_t N = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const float *dy = s->dout.data;
	float *dx = s->din[SEGMENT_X].data;
	if (!s->want[SEGMENT_X])
		return 0;
	cpu_no_gradient(s, SEGMENT_X);
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		segment(s, n, &first, &last);
		if (last > first)
			cpu_vec(VEC_ADD, dx + first * C, dx + first * C, dy + n * C, C);
	}
	return 0;
}

const struct kernel cpu_segment_first_kernel = {
    segment_prepare, NULL, segment_first_forward, segment_first_backward, NULL};
