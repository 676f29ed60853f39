/* __half on the host: storage and conversions; no arithmetic in half precision, which cuda/ does not use. */
#ifndef SIMT_CUDA_FP16_H
#define SIMT_CUDA_FP16_H

#include "simt_half.h"

#ifdef __cplusplus
struct __attribute__((aligned(2))) __half {
	unsigned short __x;
	__half() = default;
	__half(float f) : __x(simt_float_to_half(f)) {}
	operator float() const { return simt_half_to_float(__x); }
};

static inline __half __float2half(float f)
{
	return __half(f);
}
static inline __half __float2half_rn(float f)
{
	return __half(f);
}
static inline float __half2float(__half h)
{
	return simt_half_to_float(h.__x);
}
static inline unsigned short __half_as_ushort(__half h)
{
	return h.__x;
}
static inline __half __ushort_as_half(unsigned short bits)
{
	__half h;
	h.__x = bits;
	return h;
}
#endif

#endif
