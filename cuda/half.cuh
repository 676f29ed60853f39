/* Half precision: conversions, round to nearest even, the bits of engine/graph/tensor.h. Rounding of a result where it
 * is written saves a kernel that reads it again: see struct call, rounds. */
#ifndef CUDA_HALF_CUH
#define CUDA_HALF_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/launches.h"

__device__ static inline float widen(float v)
{
	return v;
}

__device__ static inline float widen(__half v)
{
	return __half2float(v);
}

__device__ static inline float widen(__nv_bfloat16 v)
{
	return __bfloat162float(v);
}

__device__ static inline void narrow(float *to, float v)
{
	*to = v;
}

__device__ static inline void narrow(__half *to, float v)
{
	*to = __float2half_rn(v);
}

__device__ static inline void narrow(__nv_bfloat16 *to, float v)
{
	*to = __float2bfloat16_rn(v);
}

/* Stores result i, and again where it is wanted in half precision. */
__device__ static inline void put_result(float *y, const struct cuda_rounded &r, int64_t i, float v)
{
	y[i] = v;
	if (!r.data)
		return;
	if (r.bf16)
		narrow(&((__nv_bfloat16 *)r.data)[i], v);
	else
		narrow(&((__half *)r.data)[i], v);
}

/* The same for a kernel compiled for each type H (float: y alone), where the test above costs registers that others
 * need: kernels that keep the addresses of several rows (column_walk) lose a third of their threads by it. */
template <typename H> __device__ static inline void put_result(float *y, H *half, int64_t i, float v)
{
	y[i] = v;
	if (sizeof(H) < sizeof(float))
		narrow(&half[i], v);
}

#endif
