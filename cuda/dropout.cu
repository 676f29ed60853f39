/* y = (or +=) x times 0 or the factor, in either direction. A thread takes the elements that one draw decides. */
#include <cuda_runtime.h>

#define PHILOX_FN __device__ static inline
#include "base/philox.h"

#include "cuda/grid.cuh"
#include "cuda/half.cuh"
#include "cuda/segment.cuh"

#define DRAW 4 /* elements that a draw decides */

/* Draw `draw` of a sample of n elements, whose first is x[0], y[0] and element `at` of y's half-precision copy. */
__device__ static inline void drop(const struct dropout_draw &d, int64_t sample, int64_t draw, int64_t n,
    const float *__restrict__ x, float *__restrict__ y, int64_t at, bool add, const struct cuda_rounded &rounded)
{
	const struct rng_words w =
	    philox_draw(d.stream, d.time->step, d.time->first_sample + (uint64_t)sample, (uint32_t)draw);
	for (int k = 0; k < DRAW && draw * DRAW + k < n; k++) {
		const int64_t e = at + draw * DRAW + k;
		const float v = philox_uniform(w.w[k]) >= d.rate ? x[e] * d.factor : 0.0f;
		put_result(y, rounded, e, add ? y[e] + v : v);
	}
}

/* x (N, n); `draws` = ceil(n / DRAW). */
__global__ void __launch_bounds__(BLOCK) dropout(struct dropout_draw d, const float *__restrict__ x, int64_t N,
    int64_t n, int64_t draws, float *__restrict__ y, bool add, struct cuda_rounded rounded)
{
	const int64_t i = element_index(), row = i / draws;
	if (row < N)
		drop(d, row, i - row * draws, n, x, y, row * n, add, rounded);
}

/* A draw is a piece of a sequence; the rows of no sequence come in fours as well. */
__global__ void __launch_bounds__(BLOCK) dropout_rows(struct dropout_draw d, struct segment_rows r,
    const float *__restrict__ x, float *__restrict__ y, bool add, struct cuda_rounded rounded)
{
	const segment_piece p = segment_piece_at(r, element_index(), r.C, DRAW);
	const int64_t at = p.rows.first * r.C, size = (p.rows.last - p.rows.first) * r.C;
	if (p.n < r.N) {
		drop(d, p.n, p.index, size, x, y, at, add, rounded);
		return;
	}
	for (int64_t e = p.index * DRAW; e < (p.index + 1) * DRAW && e < size && !add; e++)
		put_result(y, rounded, at + e, 0.0f);
}

int cuda_dropout(struct cuda_ctx *ctx, struct dropout_draw d, const float *x, int64_t N, int64_t n, float *y,
    bool accumulate, struct cuda_rounded rounded)
{
	const int64_t draws = (n + DRAW - 1) / DRAW;
	return LAUNCH(
	    dropout, cuda_blocks(N * draws, BLOCK), BLOCK, 0, ctx->stream, d, x, N, n, draws, y, accumulate, rounded);
}

int cuda_dropout_rows(struct cuda_ctx *ctx, struct dropout_draw d, struct segment_rows r, const float *x, float *y,
    bool accumulate, struct cuda_rounded rounded)
{
	return LAUNCH(dropout_rows, cuda_blocks(segment_pieces(r, r.C, DRAW), BLOCK), BLOCK, 0, ctx->stream, d, r, x, y,
	    accumulate, rounded);
}
