/* The mean of each sequence's rows of x (M, C), and its gradient. A thread has one column of one sequence and adds its
 * rows one after the other, as graph.h defines it; quotients are rounded once. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"

#define ROWS 8 /* rows whose reads are under way at once */

/* Rows first .. last-1: of sequence n, or, where n is N, of no sequence. Never outside x. */
struct segment {
	int64_t first, last;
};

__device__ static inline segment segment_of(const struct segment_rows &r, int64_t n)
{
	const int64_t first = r.starts[n], last = n < r.N ? r.starts[n + 1] : r.M;
	return {first < 0 ? 0 : first, last < r.M ? last : r.M};
}

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
