/* Element-wise sum with ReLU. Backward writes both gradients in one pass. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"

/* y may be a. */
__global__ void __launch_bounds__(BLOCK)
    add(const float *a, const float *b, int64_t n, bool relu, float *y, struct cuda_rounded rounded)
{
	const int64_t i = element_index();
	if (i >= n)
		return;
	const float t = a[i] + b[i];
	put_result(y, rounded, i, relu && t < 0.0f ? 0.0f : t); /* NaN stays visible */
}

/* d0 and d1 may be the same memory (add(x, x)): d1 is delivered after d0, by the same thread. */
__global__ void __launch_bounds__(BLOCK)
    add_backward(const float *dy, const float *y, int64_t n, float *d0, bool add0, float *d1, bool add1)
{
	const int64_t i = element_index();
	if (i >= n)
		return;
	const float g = y ? relu_gradient(dy[i], y[i]) : dy[i];
	if (d0)
		deliver(&d0[i], add0, g);
	if (d1)
		deliver(&d1[i], add1, g);
}

int cuda_add(
    struct cuda_ctx *ctx, const float *a, const float *b, int64_t n, bool relu, float *y, struct cuda_rounded rounded)
{
	return LAUNCH(add, cuda_blocks(n, BLOCK), BLOCK, 0, ctx->stream, a, b, n, relu, y, rounded);
}

int cuda_add_backward(
    struct cuda_ctx *ctx, const float *dy, const float *y, int64_t n, float *d0, bool add0, float *d1, bool add1)
{
	return LAUNCH(add_backward, cuda_blocks(n, BLOCK), BLOCK, 0, ctx->stream, dy, y, n, d0, add0, d1, add1);
}
