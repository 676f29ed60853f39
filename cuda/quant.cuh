/* The device form of engine/quant/arith.h, bit for bit, and the cut of tensors whose slices have a step each. Every
 * float operation that decides an integer is an intrinsic that the compiler may not fuse; files that include this also
 * compile with -fmad=false. */
#ifndef CUDA_QUANT_CUH
#define CUDA_QUANT_CUH

#include <math.h>

#include "cuda/grid.cuh"

/* Elements of a block of a sliced tensor. */
#define SLICE_ITEMS 4
#define SLICE_BLOCK (BLOCK * SLICE_ITEMS)

/* A tensor is `steps` slices of n elements; a block takes SLICE_BLOCK elements of one slice. */
static inline int64_t slice_parts(int64_t n)
{
	return cuda_blocks(n, SLICE_BLOCK);
}

/* Where a block works: elements [at, end) of slice i, its threads BLOCK apart. */
struct piece {
	int64_t i, at, end;
};

__device__ static inline struct piece piece_of(int64_t n, int64_t parts)
{
	const int64_t i = blockIdx.x / parts, part = blockIdx.x - i * parts;
	const int64_t first = i * n + part * SLICE_BLOCK, end = (i + 1) * n;
	return {i, first + threadIdx.x, end - first < SLICE_BLOCK ? end : first + SLICE_BLOCK};
}

/* quant_pow2: P(s) = 2^round(log2 s); NaN of what is no step. */
__device__ static inline float pow2_of(float step)
{
	if (!(step > 0.0f) || !isfinite(step))
		return nanf("");
	int exponent;
	const float fraction = frexpf(step, &exponent);
	return ldexpf(1.0f, (double)fraction >= M_SQRT1_2 ? exponent : exponent - 1);
}

/* quant_scale: m. */
__device__ static inline float scale_of(float s_x, float s_w, float s_y, int64_t count)
{
	return (float)((double)s_x * (double)s_w / ((double)s_y * (double)count));
}

/* quant_shift: c. The product is exact: 24 bits of m times at most 2^28 of off. */
__device__ static inline float shift_of(float bias, float s_y, float m, double off, int zero_y)
{
	return (float)((double)bias / (double)s_y - (double)m * off + (double)zero_y);
}

/* quant_residual: k. */
__device__ static inline float residual_of(float s_r, float s_y)
{
	return (float)((double)s_r / (double)s_y);
}

/* rint, then the clamp of quant_round and quant_saturate; NaN: lo. */
__device__ static inline float round_clamp(float t, float lo, float hi)
{
	t = rintf(t);
	t = t >= hi ? hi : t;
	return t > lo ? t : lo;
}

/* q - z of an element, as quant_round has it. */
__device__ static inline float round_element(struct quant_slices q, float x, float inverse)
{
	if (q.binary)
		return x >= 0.0f ? 1.0f : -1.0f;
	return round_clamp(__fmul_rn(x, inverse), q.lo, q.hi);
}

#endif
