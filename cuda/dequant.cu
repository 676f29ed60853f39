/* Real values from integers or grid values of slices with a step each, and the gradients of the latter. */
#include "cuda/launches.h"
#include "cuda/quant.cuh"

template <typename T>
__global__ void __launch_bounds__(BLOCK)
    dequant(struct quant_slices q, const T *__restrict__ x, float zero, float *__restrict__ y)
{
	const int64_t e = element_index();
	if (e < q.steps * q.n)
		y[e] = __fmul_rn(__fsub_rn((float)x[e], zero), q.step[e / q.n]);
}

/* 1/P, a power of two: products with it are exact, so that a result rounds once, as the integer form does. */
__device__ static inline float inverse_pow2_of(float step)
{
	return __fdiv_rn(1.0f, pow2_of(step));
}

__global__ void __launch_bounds__(BLOCK)
    dequant_grid(struct quant_slices q, const float *__restrict__ x, float *__restrict__ y)
{
	const int64_t e = element_index();
	if (e < q.steps * q.n)
		y[e] = __fmul_rn(x[e], __fmul_rn(q.step[e / q.n], inverse_pow2_of(q.step[e / q.n])));
}

/* dx, and the block's part of the step's sum: delivered where a slice is one part, else into partial (steps, parts). */
__global__ void __launch_bounds__(BLOCK)
    dequant_backward(struct quant_slices q, int64_t parts, const float *__restrict__ x, const float *__restrict__ dy,
	float *__restrict__ dx, bool add_x, float *__restrict__ dstep, bool add_step, double *__restrict__ partial)
{
	__shared__ double shared[WARP];
	const struct piece p = piece_of(q.n, parts);
	const float inverse = inverse_pow2_of(q.step[p.i]), factor = __fmul_rn(q.step[p.i], inverse);
	double sum = 0.0;
	for (int64_t e = p.at; e < p.end; e += BLOCK) {
		const float d = dy[e];
		sum += (double)d * (double)x[e];
		if (dx)
			deliver(&dx[e], add_x, d * factor);
	}
	if (!dstep)
		return;
	sum = block_sum(sum, shared);
	if (threadIdx.x != 0)
		return;
	if (parts == 1)
		deliver(&dstep[p.i], add_step, sum * (double)inverse);
	else
		partial[blockIdx.x] = sum;
}

/* Block i: slice i. */
__global__ void __launch_bounds__(FINISH) dequant_step(struct quant_slices q, int64_t parts,
    const double *__restrict__ partial, float *__restrict__ dstep, bool accumulate)
{
	__shared__ double shared[WARP];
	const int64_t i = blockIdx.x;
	double sum = 0.0;
	for (int64_t k = threadIdx.x; k < parts; k += FINISH)
		sum += partial[i * parts + k];
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		deliver(&dstep[i], accumulate, sum * (double)inverse_pow2_of(q.step[i]));
}

int cuda_dequant(struct cuda_ctx *ctx, struct quant_slices q, const void *x, enum dtype type, int zero, float *y)
{
	const unsigned blocks = cuda_blocks(q.steps * q.n, BLOCK);
	const float z = (float)zero;
	if (type == DT_U8)
		return LAUNCH(dequant<uint8_t>, blocks, BLOCK, 0, ctx->stream, q, (const uint8_t *)x, z, y);
	if (type == DT_S8)
		return LAUNCH(dequant<int8_t>, blocks, BLOCK, 0, ctx->stream, q, (const int8_t *)x, z, y);
	return LAUNCH(dequant_grid, blocks, BLOCK, 0, ctx->stream, q, (const float *)x, y);
}

size_t cuda_dequant_scratch(struct quant_slices q)
{
	const int64_t parts = slice_parts(q.n);
	return parts > 1 ? (size_t)(q.steps * parts) * sizeof(double) : 0;
}

int cuda_dequant_backward(struct cuda_ctx *ctx, struct quant_slices q, const float *x, const float *dy, float *dx,
    bool add_x, float *dstep, bool add_step, void *scratch)
{
	const int64_t parts = slice_parts(q.n);
	double *partial = (double *)scratch;
	int rc = LAUNCH(dequant_backward, (unsigned)(q.steps * parts), BLOCK, 0, ctx->stream, q, parts, x, dy, dx,
	    add_x, dstep, add_step, partial);
	if (rc || !dstep || parts == 1)
		return rc;
	return LAUNCH(dequant_step, (unsigned)q.steps, FINISH, 0, ctx->stream, q, parts, partial, dstep, add_step);
}
