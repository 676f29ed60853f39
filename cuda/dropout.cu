/* y = (or +=) x times 0 or the factor, in either direction. A thread takes the four elements that one draw decides. */
#include <cuda_runtime.h>

#define PHILOX_FN __device__ static inline
#include "base/philox.h"

#include "cuda/grid.cuh"
#include "cuda/half.cuh"

/* x (N, n); `draws` = ceil(n / 4). */
__global__ void __launch_bounds__(BLOCK) dropout(struct dropout_draw d, const float *__restrict__ x, int64_t N,
    int64_t n, int64_t draws, float *__restrict__ y, bool add, struct cuda_rounded rounded)
{
	const int64_t i = element_index(), row = i / draws, first = (i - row * draws) * 4;
	if (row >= N)
		return;
	const struct rng_words w =
	    philox_draw(d.stream, d.time->step, d.time->first_sample + (uint64_t)row, (uint32_t)(first / 4));
	for (int k = 0; k < 4 && first + k < n; k++) {
		const int64_t e = row * n + first + k;
		const float v = philox_uniform(w.w[k]) >= d.rate ? x[e] * d.factor : 0.0f;
		put_result(y, rounded, e, add ? y[e] + v : v);
	}
}

int cuda_dropout(struct cuda_ctx *ctx, struct dropout_draw d, const float *x, int64_t N, int64_t n, float *y,
    bool accumulate, struct cuda_rounded rounded)
{
	const int64_t draws = (n + 3) / 4;
	return LAUNCH(
	    dropout, cuda_blocks(N * draws, BLOCK), BLOCK, 0, ctx->stream, d, x, N, n, draws, y, accumulate, rounded);
}
