/* Real values from integers or grid values of one step, and the gradients of the latter. */
#include "cuda/launches.h"
#include "cuda/quant.cuh"

template <typename T>
__global__ void __launch_bounds__(BLOCK)
    dequant(const T *__restrict__ x, const float *__restrict__ step, float zero, int64_t n, float *__restrict__ y)
{
	const int64_t i = element_index();
	if (i < n)
		y[i] = __fmul_rn(__fsub_rn((float)x[i], zero), *step);
}

/* s/P is exact, so this rounds once, as the integer form does. */
__global__ void __launch_bounds__(BLOCK)
    dequant_grid(const float *__restrict__ x, const float *__restrict__ step, int64_t n, float *__restrict__ y)
{
	const int64_t i = element_index();
	if (i < n)
		y[i] = __fmul_rn(x[i], __fdiv_rn(*step, pow2_of(*step)));
}

/* dx, and partial (blocks) = sums of dy * x. */
__global__ void __launch_bounds__(BLOCK) dequant_backward(const float *__restrict__ x, const float *__restrict__ step,
    const float *__restrict__ dy, int64_t n, float *__restrict__ dx, bool accumulate, double *__restrict__ partial)
{
	__shared__ double shared[WARP];
	const float factor = __fdiv_rn(*step, pow2_of(*step));
	const int64_t first = (int64_t)blockIdx.x * SLICE_BLOCK,
		      end = n - first < SLICE_BLOCK ? n : first + SLICE_BLOCK;
	double sum = 0.0;
	for (int64_t i = first + threadIdx.x; i < end; i += BLOCK) {
		sum += (double)dy[i] * (double)x[i];
		if (dx)
			deliver(&dx[i], accumulate, dy[i] * factor);
	}
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		partial[blockIdx.x] = sum;
}

/* One block. */
__global__ void __launch_bounds__(BLOCK) dequant_step(const double *__restrict__ partial, int64_t parts,
    const float *__restrict__ step, float *__restrict__ dstep, bool accumulate)
{
	__shared__ double shared[WARP];
	double sum = 0.0;
	for (int64_t i = threadIdx.x; i < parts; i += BLOCK)
		sum += partial[i];
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		deliver(dstep, accumulate, sum / (double)pow2_of(*step));
}

int cuda_dequant(struct cuda_ctx *ctx, const void *x, enum dtype type, const float *step, int zero, int64_t n, float *y)
{
	const unsigned blocks = cuda_blocks(n, BLOCK);
	const float z = (float)zero;
	if (type == DT_U8)
		return LAUNCH(dequant<uint8_t>, blocks, BLOCK, 0, ctx->stream, (const uint8_t *)x, step, z, n, y);
	if (type == DT_S8)
		return LAUNCH(dequant<int8_t>, blocks, BLOCK, 0, ctx->stream, (const int8_t *)x, step, z, n, y);
	return LAUNCH(dequant_grid, blocks, BLOCK, 0, ctx->stream, (const float *)x, step, n, y);
}

size_t cuda_dequant_scratch(int64_t n)
{
	return (size_t)slice_parts(n) * sizeof(double);
}

int cuda_dequant_backward(struct cuda_ctx *ctx, const float *x, const float *step, const float *dy, int64_t n,
    float *dx, bool add_x, float *dstep, bool add_step, void *scratch)
{
	const int64_t parts = slice_parts(n);
	double *partial = (double *)scratch;
	int rc = LAUNCH(dequant_backward, (unsigned)parts, BLOCK, 0, ctx->stream, x, step, dy, n, dx, add_x, partial);
	if (rc || !dstep)
		return rc;
	return LAUNCH(dequant_step, 1, BLOCK, 0, ctx->stream, partial, parts, step, dstep, add_step);
}
