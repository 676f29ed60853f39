/* Pooling over all pixels of an image: x (N, pixels, C) -> y (N, C), times a factor. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"

/* Block (n, column tile): its threads walk down all pixels of the image. */
__global__ void __launch_bounds__(BLOCK) avgpool(const float *__restrict__ x, int64_t pixels, int64_t C, float factor,
    float *__restrict__ y, struct cuda_rounded rounded)
{
	__shared__ float shared[BLOCK];
	const int64_t n = blockIdx.x, c = column_index();
	float sum = 0.0f;
	for (int64_t e = threadIdx.y; c < C && e < pixels; e += blockDim.y)
		sum += x[(n * pixels + e) * C + c];
	sum = column_sum(sum, shared);
	if (threadIdx.y == 0 && c < C)
		put_result(y, rounded, n * C + c, sum * factor);
}

__global__ void __launch_bounds__(BLOCK) avgpool_backward(
    const float *__restrict__ dy, int64_t n, int64_t pixels, int64_t C, float factor, float *__restrict__ dx, bool add)
{
	const int64_t i = element_index();
	if (i < n)
		deliver(&dx[i], add, dy[i / (pixels * C) * C + i % C] * factor);
}

int cuda_avgpool(struct cuda_ctx *ctx, const float *x, int64_t N, int64_t pixels, int64_t C, float factor, float *y,
    struct cuda_rounded rounded)
{
	const dim3 grid((unsigned)N, cuda_blocks(C, column_width(C)));
	return LAUNCH(avgpool, grid, column_block(C), 0, ctx->stream, x, pixels, C, factor, y, rounded);
}

int cuda_avgpool_backward(struct cuda_ctx *ctx, const float *dy, int64_t N, int64_t pixels, int64_t C, float factor,
    float *dx, bool accumulate)
{
	const int64_t n = N * pixels * C;
	return LAUNCH(
	    avgpool_backward, cuda_blocks(n, BLOCK), BLOCK, 0, ctx->stream, dy, n, pixels, C, factor, dx, accumulate);
}
