/* Sums over a warp and over a block, in a fixed order: the same bits in every run and in every thread. */
#ifndef CUDA_REDUCE_CUH
#define CUDA_REDUCE_CUH

#include <cuda_runtime.h>

#define WARP      32
#define FULL_WARP 0xffffffffU

/* All lanes call it; all get the sum (a butterfly adds the same pairs on both sides). */
template <typename T> __device__ static inline T warp_sum(T v)
{
	for (int offset = WARP / 2; offset > 0; offset /= 2)
		v += __shfl_xor_sync(FULL_WARP, v, offset);
	return v;
}

template <typename T> __device__ static inline T warp_max(T v)
{
	for (int offset = WARP / 2; offset > 0; offset /= 2) {
		T other = __shfl_xor_sync(FULL_WARP, v, offset);
		v = other > v ? other : v;
	}
	return v;
}

/* Over a one-dimensional block of a multiple of 32 threads; all call it, all get the sum. shared: 32 values, free again
 * on return. */
template <typename T> __device__ static inline T block_sum(T v, T *shared)
{
	unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
	v = warp_sum(v);
	if (lane == 0)
		shared[warp] = v;
	__syncthreads();
	v = warp_sum(lane < warps ? shared[lane] : T(0));
	__syncthreads();
	return v;
}

#endif
