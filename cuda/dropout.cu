/* y = (or +=) x times 0 or the factor, in either direction. A thread takes the four elements that one draw decides. */
#include <cuda_runtime.h>

#define PHILOX_FN __device__ static inline
#include "base/philox.h"

#include "cuda/grid.cuh"
#include "cuda/half.cuh"
#include "cuda/segment.cuh"

/* Draw `draw` of a sample of n elements, whose first is x[0], y[0] and element `at` of y's half-precision copy. */
__device__ static inline void drop(const struct dropout_draw &d, int64_t sample, int64_t draw, int64_t n,
    const float *__restrict__ x, float *__restrict__ y, int64_t at, bool add, const struct cuda_rounded &rounded)
{
	const struct rng_words w =
	    philox_draw(d.stream, d.time->step, d.time->first_sample + (uint64_t)sample, (uint32_t)draw);
	for (int k = 0; k < 4 && draw * 4 + k < n; k++) {
		const int64_t e = at + draw * 4 + k;
		const float v = philox_uniform(w.w[k]) >= d.rate ? x[e] * d.factor : 0.0f;
		put_result(y, rounded, e, add ? y[e] + v : v);
	}
}

/* x (N, n); `draws` = ceil(n / 4). */
__global__ void __launch_bounds__(BLOCK) dropout(struct dropout_draw d, const float *__restrict__ x, int64_t N,
    int64_t n, int64_t draws, float *__restrict__ y, bool add, struct cuda_rounded rounded)
{
	const int64_t i = element_index(), row = i / draws;
	if (row < N)
		drop(d, row, i - row * draws, n, x, y, row * n, add, rounded);
}

/* The draws of sequence n, and the rows of no sequence in groups of four elements for n = N, are numbered from here on:
 * a number for each of its whole groups, as if groups were not cut at sequences' ends, and one for the rest. */
__device__ static inline int64_t first_draw(const struct segment_rows &r, int64_t n)
{
	return segment_of(r, n).first * r.C / 4 + n;
}

__global__ void __launch_bounds__(BLOCK) dropout_rows(struct dropout_draw d, struct segment_rows r,
    const float *__restrict__ x, float *__restrict__ y, bool add, struct cuda_rounded rounded)
{
	const int64_t i = element_index();
	int64_t n = 0, end = r.N + 1;
	while (end - n > 1) {
		const int64_t middle = (n + end) / 2;
		if (first_draw(r, middle) <= i)
			n = middle;
		else
			end = middle;
	}
	const segment s = segment_of(r, n);
	const int64_t draw = i - first_draw(r, n), at = s.first * r.C, size = (s.last - s.first) * r.C;
	if (n < r.N) {
		if (draw * 4 < size)
			drop(d, n, draw, size, x, y, at, add, rounded);
		return;
	}
	for (int k = 0; k < 4 && !add; k++)
		if (draw * 4 + k < size)
			put_result(y, rounded, at + draw * 4 + k, 0.0f);
}

int cuda_dropout(struct cuda_ctx *ctx, struct dropout_draw d, const float *x, int64_t N, int64_t n, float *y,
    bool accumulate, struct cuda_rounded rounded)
{
	const int64_t draws = (n + 3) / 4;
	return LAUNCH(
	    dropout, cuda_blocks(N * draws, BLOCK), BLOCK, 0, ctx->stream, d, x, N, n, draws, y, accumulate, rounded);
}

int cuda_dropout_rows(struct cuda_ctx *ctx, struct dropout_draw d, struct segment_rows r, const float *x, float *y,
    bool accumulate, struct cuda_rounded rounded)
{
	const int64_t draws = r.M * r.C / 4 + r.N + 1;
	return LAUNCH(dropout_rows, cuda_blocks(draws, BLOCK), BLOCK, 0, ctx->stream, d, r, x, y, accumulate, rounded);
}
