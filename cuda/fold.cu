/* Folding of batch norm, in double: the same integers must follow from the folded weights on every backend, so the
 * order of operations is that of cpu/fold.c. Weights are (O, K), a block per row. */
#include "cuda/grid.cuh"
#include "cuda/launches.h"

__device__ static inline double fold_rstd(float var, float eps)
{
	return 1.0 / sqrt((double)var + (double)eps);
}

__global__ void __launch_bounds__(BLOCK) fold_weight(const float *__restrict__ w, const float *__restrict__ gamma,
    const float *__restrict__ var, float eps, int64_t K, float *__restrict__ y)
{
	const int64_t o = blockIdx.x;
	const double scale = (double)gamma[o], r = fold_rstd(var[o], eps);
	for (int64_t k = threadIdx.x; k < K; k += BLOCK)
		y[o * K + k] = (float)((double)w[o * K + k] * scale * r);
}

__global__ void __launch_bounds__(BLOCK) fold_weight_backward(struct fold_weight_gradients g)
{
	__shared__ double shared[WARP];
	const int64_t o = blockIdx.x;
	const double scale = (double)g.gamma[o], r = fold_rstd(g.var[o], g.eps);
	double sum = 0.0;
	for (int64_t i = o * g.K + threadIdx.x; i < (o + 1) * g.K; i += BLOCK) {
		const double dy = (double)g.dy[i];
		sum += dy * (double)g.w[i];
		if (g.dw)
			deliver(&g.dw[i], g.add_w, dy * scale * r);
	}
	sum = block_sum(sum, shared);
	if (g.dgamma && threadIdx.x == 0)
		deliver(&g.dgamma[o], g.add_gamma, sum * r);
}

/* b - mean, where an absent bias is 0. */
__device__ static inline double centred_bias(const struct fold_bias_inputs &f, int64_t o)
{
	return (f.b ? (double)f.b[o] : 0.0) - (double)f.mean[o];
}

__global__ void __launch_bounds__(BLOCK) fold_bias(struct fold_bias_inputs f, float *y)
{
	const int64_t o = element_index();
	if (o < f.O)
		y[o] =
		    (float)((double)f.beta[o] + centred_bias(f, o) * (double)f.gamma[o] * fold_rstd(f.var[o], f.eps));
}

__global__ void __launch_bounds__(BLOCK)
    fold_bias_backward(struct fold_bias_inputs f, const float *dy, struct fold_bias_gradients g)
{
	const int64_t o = element_index();
	if (o >= f.O)
		return;
	const double d = (double)dy[o], r = fold_rstd(f.var[o], f.eps);
	if (g.db)
		deliver(&g.db[o], g.accumulate[0], d * (double)f.gamma[o] * r);
	if (g.dgamma)
		deliver(&g.dgamma[o], g.accumulate[1], d * centred_bias(f, o) * r);
	if (g.dbeta)
		deliver(&g.dbeta[o], g.accumulate[2], d);
}

int cuda_fold_weight(struct cuda_ctx *ctx, const float *w, const float *gamma, const float *var, float eps, int64_t O,
    int64_t K, float *y)
{
	return LAUNCH(fold_weight, (unsigned)O, BLOCK, 0, ctx->stream, w, gamma, var, eps, K, y);
}

int cuda_fold_weight_backward(struct cuda_ctx *ctx, struct fold_weight_gradients g)
{
	return LAUNCH(fold_weight_backward, (unsigned)g.O, BLOCK, 0, ctx->stream, g);
}

int cuda_fold_bias(struct cuda_ctx *ctx, struct fold_bias_inputs f, float *y)
{
	return LAUNCH(fold_bias, cuda_blocks(f.O, BLOCK), BLOCK, 0, ctx->stream, f, y);
}

int cuda_fold_bias_backward(
    struct cuda_ctx *ctx, struct fold_bias_inputs f, const float *dy, struct fold_bias_gradients g)
{
	return LAUNCH(fold_bias_backward, cuda_blocks(f.O, BLOCK), BLOCK, 0, ctx->stream, f, dy, g);
}
