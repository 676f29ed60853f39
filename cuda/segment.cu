/* The mean of each sequence's rows of x (M, C), its first row, and their gradients. Of the mean a thread has one column
 * of one sequence and adds its rows one after the other, as op.h defines it; quotients are rounded once. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"
#include "cuda/segment.cuh"

#define ROWS 8 /* rows whose reads are under way at once */

__global__ void __launch_bounds__(BLOCK)
    segment_mean(struct segment_rows r, const float *__restrict__ x, float *__restrict__ y, struct cuda_rounded rounded)
{
	const int64_t i = element_index(), n = i / r.C, c = i - n * r.C;
	if (n >= r.N)
		return;
	const segment s = segment_of(r, n);
	float sum = 0.0f;
	for (int64_t m = s.first; m < s.last; m += ROWS) {
		float v[ROWS] = {};
		for (int u = 0; u < ROWS; u++)
			if (m + u < s.last)
				v[u] = x[(m + u) * r.C + c];
		for (int u = 0; u < ROWS; u++)
			sum += v[u]; /* rows that are not there are 0 */
	}
	put_result(y, rounded, i, s.first < s.last ? __fdiv_rn(sum, (float)(s.last - s.first)) : 0.0f);
}

/* The rows behind the last sequence come as one more, whose gradient is 0. */
__global__ void __launch_bounds__(BLOCK)
    segment_mean_backward(struct segment_rows r, const float *__restrict__ dy, float *__restrict__ dx, bool accumulate)
{
	const int64_t i = element_index(), n = i / r.C, c = i - n * r.C;
	if (n > r.N)
		return;
	const segment s = segment_of(r, n);
	const float g = n < r.N ? __fdiv_rn(dy[i], (float)(s.last - s.first)) : 0.0f;
	for (int64_t m = s.first; m < s.last; m++)
		deliver(&dx[m * r.C + c], accumulate, g);
}

__global__ void __launch_bounds__(BLOCK) segment_first(
    struct segment_rows r, const float *__restrict__ x, float *__restrict__ y, struct cuda_rounded rounded)
{
	const int64_t i = element_index(), n = i / r.C, c = i - n * r.C;
	if (n >= r.N)
		return;
	const segment s = segment_of(r, n);
	put_result(y, rounded, i, s.first < s.last ? x[s.first * r.C + c] : 0.0f);
}

/* A thread for each value of dx: all of them are written, unless they are added to. */
__global__ void __launch_bounds__(BLOCK)
    segment_first_backward(struct segment_rows r, const float *__restrict__ dy, float *__restrict__ dx, bool accumulate)
{
	const int64_t i = element_index(), m = i / r.C, c = i - m * r.C;
	if (m >= r.M)
		return;
	const int64_t n = segment_at(r, m);
	if (n < r.N && m == segment_of(r, n).first)
		deliver(&dx[i], accumulate, dy[n * r.C + c]);
	else if (!accumulate)
		dx[i] = 0.0f;
}

/* y may be x. */
__global__ void __launch_bounds__(BLOCK) segment_copy(struct segment_rows r, const float *x, float *y, bool accumulate)
{
	const int64_t i = element_index();
	if (i >= r.M * r.C)
		return;
	if (i < r.starts[r.N] * r.C)
		deliver(&y[i], accumulate, x[i]);
	else if (!accumulate)
		y[i] = 0.0f;
}

int cuda_segment_mean(
    struct cuda_ctx *ctx, struct segment_rows r, const float *x, float *y, struct cuda_rounded rounded)
{
	return LAUNCH(segment_mean, cuda_blocks(r.N * r.C, BLOCK), BLOCK, 0, ctx->stream, r, x, y, rounded);
}

int cuda_segment_mean_backward(struct cuda_ctx *ctx, struct segment_rows r, const float *dy, float *dx, bool accumulate)
{
	return LAUNCH(
	    segment_mean_backward, cuda_blocks((r.N + 1) * r.C, BLOCK), BLOCK, 0, ctx->stream, r, dy, dx, accumulate);
}

int cuda_segment_first(
    struct cuda_ctx *ctx, struct segment_rows r, const float *x, float *y, struct cuda_rounded rounded)
{
	return LAUNCH(segment_first, cuda_blocks(r.N * r.C, BLOCK), BLOCK, 0, ctx->stream, r, x, y, rounded);
}

int cuda_segment_first_backward(
    struct cuda_ctx *ctx, struct segment_rows r, const float *dy, float *dx, bool accumulate)
{
	return LAUNCH(
	    segment_first_backward, cuda_blocks(r.M * r.C, BLOCK), BLOCK, 0, ctx->stream, r, dy, dx, accumulate);
}

int cuda_segment_copy(struct cuda_ctx *ctx, struct segment_rows r, const float *x, float *y, bool accumulate)
{
	return LAUNCH(segment_copy, cuda_blocks(r.M * r.C, BLOCK), BLOCK, 0, ctx->stream, r, x, y, accumulate);
}
