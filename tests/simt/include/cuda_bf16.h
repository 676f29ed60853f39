/* __nv_bfloat16 on the host: storage and conversions. */
#ifndef SIMT_CUDA_BF16_H
#define SIMT_CUDA_BF16_H

#include "simt_half.h"

#ifdef __cplusplus
struct __attribute__((aligned(2))) __nv_bfloat16 {
	unsigned short __x;
	__nv_bfloat16() = default;
	__nv_bfloat16(float f) : __x(simt_float_to_bf16(f)) {}
	operator float() const { return simt_bf16_to_float(__x); }
};
typedef __nv_bfloat16 nv_bfloat16;

static inline __nv_bfloat16 __float2bfloat16(float f)
{
	return __nv_bfloat16(f);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float f)
{
	return __nv_bfloat16(f);
}
static inline float __bfloat162float(__nv_bfloat16 h)
{
	return simt_bf16_to_float(h.__x);
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h)
{
	return h.__x;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
	__nv_bfloat16 h;
	h.__x = bits;
	return h;
}
#endif

#endif
