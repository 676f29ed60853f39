/* Conversion between float types, round to nearest even. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/grid.cuh"
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

template <typename From, typename To>
__global__ void __launch_bounds__(BLOCK) cast(const From *__restrict__ x, int64_t n, To *__restrict__ y)
{
	const int64_t i = element_index();
	if (i < n)
		narrow(&y[i], widen(x[i]));
}

template <typename From, typename To> static int launch(struct cuda_ctx *ctx, const From *x, int64_t n, void *y)
{
	return LAUNCH((cast<From, To>), cuda_blocks(n, BLOCK), BLOCK, 0, ctx->stream, x, n, (To *)y);
}

template <typename From> static int cast_from(struct cuda_ctx *ctx, const void *x, int64_t n, void *y, enum dtype to)
{
	const From *from = (const From *)x;
	if (to == DT_F16)
		return launch<From, __half>(ctx, from, n, y);
	if (to == DT_BF16)
		return launch<From, __nv_bfloat16>(ctx, from, n, y);
	return launch<From, float>(ctx, from, n, y);
}

int cuda_cast(struct cuda_ctx *ctx, const void *x, enum dtype from, int64_t n, void *y, enum dtype to)
{
	if (from == DT_F16)
		return cast_from<__half>(ctx, x, n, y, to);
	if (from == DT_BF16)
		return cast_from<__nv_bfloat16>(ctx, x, n, y, to);
	return cast_from<float>(ctx, x, n, y, to);
}
