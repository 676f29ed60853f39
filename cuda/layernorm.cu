/* Layer norm over the rows of (rows, C), in the order of op.h: a warp has a row, lane l the values l, l + 32, ..., and
 * the butterfly of warp_sum adds the same pairs as the folds, on both sides. x + r is made anew for each of the passes
 * over a row, which stays in the first-level cache. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"

#define ROWS (BLOCK / WARP) /* of a block */

/* x with the residual added. */
__device__ static inline float sum_at(const struct layernorm_rows &p, int64_t i)
{
	return p.r ? p.x[i] + p.r[i] : p.x[i];
}

__device__ static inline float normal(float v, float2 kept)
{
	return (v - kept.x) * kept.y;
}

/* Mean and 1 / deviation of the row that begins at `row`. */
__device__ static inline float2 statistics(const struct layernorm_rows &p, int64_t row, unsigned lane)
{
	float sum = 0.0f, square = 0.0f;
	for (int64_t c = lane; c < p.C; c += WARP)
		sum += sum_at(p, row + c);
	const float mean = __fdiv_rn(warp_sum(sum), (float)p.C);
	for (int64_t c = lane; c < p.C; c += WARP) {
		const float d = sum_at(p, row + c) - mean;
		square = __fmaf_rn(d, d, square);
	}
	const float var = __fdiv_rn(warp_sum(square), (float)p.C) + p.eps;
	return make_float2(mean, __fdiv_rn(1.0f, __fsqrt_rn(var)));
}

/* y may be x; kept (rows) or NULL. */
__global__ void __launch_bounds__(BLOCK)
    layernorm(struct layernorm_rows p, float *y, float2 *__restrict__ kept, struct cuda_rounded rounded)
{
	const unsigned lane = threadIdx.x % WARP;
	const int64_t m = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP, row = m * p.C;
	if (m >= p.rows) /* whole warps */
		return;
	const float2 of = statistics(p, row, lane);
	for (int64_t c = lane; c < p.C; c += WARP)
		put_result(y, rounded, row + c, __fmaf_rn(normal(sum_at(p, row + c), of), p.gamma[c], p.beta[c]));
	if (kept && lane == 0)
		kept[m] = of;
}

/* d = rstd * (g - mean(g) - n * mean(g * n)), n the normalised value and g = dy * gamma, to dx and dr. Both may be the
 * same memory: dr is delivered after dx, by the same thread. */
__global__ void __launch_bounds__(BLOCK) layernorm_dx(struct layernorm_rows p, const float2 *__restrict__ kept,
    const float *__restrict__ dy, float *dx, bool add_x, float *dr, bool add_r)
{
	const unsigned lane = threadIdx.x % WARP;
	const int64_t m = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP, row = m * p.C;
	if (m >= p.rows)
		return;
	const float2 of = kept[m];
	float sum = 0.0f, product = 0.0f;
	for (int64_t c = lane; c < p.C; c += WARP) {
		const float g = dy[row + c] * p.gamma[c];
		sum += g;
		product = __fmaf_rn(g, normal(sum_at(p, row + c), of), product);
	}
	sum = __fdiv_rn(warp_sum(sum), (float)p.C);
	product = __fdiv_rn(warp_sum(product), (float)p.C);
	for (int64_t c = lane; c < p.C; c += WARP) {
		const float n = normal(sum_at(p, row + c), of);
		const float d = of.y * __fmaf_rn(-n, product, dy[row + c] * p.gamma[c] - sum);
		if (dx)
			deliver(&dx[row + c], add_x, d);
		if (dr)
			deliver(&dr[row + c], add_r, d);
	}
}

/* partial (2, parts, C): sums of dy * n and of dy over the block's rows. */
__global__ void __launch_bounds__(BLOCK) layernorm_parts(
    struct layernorm_rows p, const float2 *__restrict__ kept, const float *__restrict__ dy, float *__restrict__ partial)
{
	__shared__ float shared[BLOCK];
	const int64_t c = column_index();
	float gamma = 0.0f, beta = 0.0f;
	for (int k = 0; k < COLUMN_ITEMS; k++) {
		const int64_t m = column_first_row() + k * (int64_t)blockDim.y, i = m * p.C + c;
		if (c >= p.C || m >= p.rows)
			continue;
		gamma = __fmaf_rn(dy[i], normal(sum_at(p, i), kept[m]), gamma);
		beta += dy[i];
	}
	gamma = column_sum(gamma, shared);
	beta = column_sum(beta, shared);
	if (threadIdx.y == 0 && c < p.C) {
		partial[blockIdx.x * p.C + c] = gamma;
		partial[(gridDim.x + blockIdx.x) * p.C + c] = beta;
	}
}

int cuda_layernorm(struct cuda_ctx *ctx, struct layernorm_rows p, float *y, void *kept, struct cuda_rounded rounded)
{
	return LAUNCH(layernorm, cuda_blocks(p.rows, ROWS), BLOCK, 0, ctx->stream, p, y, (float2 *)kept, rounded);
}

size_t cuda_layernorm_kept(int64_t rows)
{
	return (size_t)rows * sizeof(float2);
}

size_t cuda_layernorm_scratch(int64_t rows, int64_t C)
{
	return (size_t)(2 * column_parts(rows, C) * C) * sizeof(float);
}

int cuda_layernorm_backward(struct cuda_ctx *ctx, struct layernorm_rows p, const void *kept, const float *dy,
    struct layernorm_gradients g, void *scratch)
{
	const int64_t parts = column_parts(p.rows, p.C);
	float *partial = (float *)scratch;
	int rc = 0;
	if (g.dx || g.dr)
		rc = LAUNCH(layernorm_dx, cuda_blocks(p.rows, ROWS), BLOCK, 0, ctx->stream, p, (const float2 *)kept, dy,
		    g.dx, g.add_x, g.dr, g.add_r);
	if (!rc && (g.dgamma || g.dbeta))
		rc = LAUNCH(layernorm_parts, column_grid(p.rows, p.C), column_block(p.C), 0, ctx->stream, p,
		    (const float2 *)kept, dy, partial);
	if (!rc && g.dgamma)
		rc = cuda_add_parts(ctx, partial, parts, p.C, g.dgamma, g.add_gamma);
	if (!rc && g.dbeta)
		rc = cuda_add_parts(ctx, partial + parts * p.C, parts, p.C, g.dbeta, g.add_beta);
	return rc;
}
