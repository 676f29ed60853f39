/* The constants of an integer epilogue: quant_scale, quant_shift and quant_residual for each channel. */
#include "cuda/launches.h"
#include "cuda/quant.cuh"

/* Value o of an optional vector of one or many elements. */
__device__ static inline float value_or(struct rq_input v, int64_t o, float absent)
{
	return !v.data ? absent : v.data[v.n > 1 ? o : 0];
}

__global__ void __launch_bounds__(BLOCK)
    rq_scale(struct rq_input s_x, struct rq_input s_w, struct rq_input s_y, int64_t count, int64_t n, float *m)
{
	const int64_t o = element_index();
	if (o < n)
		m[o] = scale_of(value_or(s_x, 0, 1.0f), value_or(s_w, o, 1.0f), value_or(s_y, 0, 1.0f), count);
}

/* Block o. */
__global__ void __launch_bounds__(FINISH) rq_shift(const float *m, struct rq_input bias, struct rq_input s_y,
    const int8_t *wq, int64_t K, int zero_in, int zero_out, float *c)
{
	__shared__ long long shared[WARP];
	const int64_t o = blockIdx.x;
	long long sum = 0;
	for (int64_t k = threadIdx.x; k < K; k += FINISH)
		sum += wq[o * K + k];
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		c[o] =
		    shift_of(value_or(bias, o, 0.0f), value_or(s_y, 0, 1.0f), m[o], (double)(zero_in * sum), zero_out);
}

__global__ void __launch_bounds__(1) rq_residual(struct rq_input s_r, struct rq_input s_y, float *k)
{
	*k = residual_of(value_or(s_r, 0, 1.0f), value_or(s_y, 0, 1.0f));
}

int cuda_rq_scale(struct cuda_ctx *ctx, struct rq_input s_x, struct rq_input s_w, struct rq_input s_y, int64_t count,
    int64_t n, float *m)
{
	return LAUNCH(rq_scale, cuda_blocks(n, BLOCK), BLOCK, 0, ctx->stream, s_x, s_w, s_y, count, n, m);
}

int cuda_rq_shift(struct cuda_ctx *ctx, const float *m, struct rq_input bias, struct rq_input s_y, const int8_t *wq,
    int64_t K, int zero_in, int zero_out, int64_t M, float *c)
{
	return LAUNCH(rq_shift, (unsigned)M, FINISH, 0, ctx->stream, m, bias, s_y, wq, K, zero_in, zero_out, c);
}

int cuda_rq_residual(struct cuda_ctx *ctx, struct rq_input s_r, struct rq_input s_y, float *k)
{
	return LAUNCH(rq_residual, 1, 1, 0, ctx->stream, s_r, s_y, k);
}
