/* Conversions between f32 and the 16-bit formats, round to nearest, ties to even; C and C++. Written apart from
 * engine/base so that the kernels and the engine check each other. */
#ifndef SIMT_HALF_H
#define SIMT_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t simt_float_bits(float f)
{
	uint32_t u;
	memcpy(&u, &f, sizeof(u));
	return u;
}

static inline float simt_bits_float(uint32_t u)
{
	float f;
	memcpy(&f, &u, sizeof(f));
	return f;
}

/* NaN is the canonical 0x7fff, as the hardware gives. */
static inline uint16_t simt_float_to_bf16(float f)
{
	uint32_t u = simt_float_bits(f);
	if ((u & 0x7fffffffu) > 0x7f800000u)
		return 0x7fff;
	return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static inline float simt_bf16_to_float(uint16_t h)
{
	return simt_bits_float((uint32_t)h << 16);
}

static inline uint16_t simt_float_to_half(float f)
{
	uint32_t u = simt_float_bits(f), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
	if (magnitude > 0x7f800000u)
		return 0x7fff;
	if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity */
		return (uint16_t)(sign | 0x7c00u);
	if (magnitude < 0x38800000u) {
		/* Subnormal: adding 0.5 puts the last bit of the half at the last bit of the float's fraction, so that
		 * the float addition itself rounds to even. */
		float shifted = simt_bits_float(magnitude) + 0.5f;
		return (uint16_t)(sign | (simt_float_bits(shifted) - 0x3f000000u));
	}
	magnitude += 0xfffu + (magnitude >> 13 & 1u);
	return (uint16_t)(sign | ((magnitude - 0x38000000u) >> 13));
}

static inline float simt_half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, fraction = h & 0x3ffu;
	if (exponent == 31)
		return simt_bits_float(sign | 0x7f800000u | fraction << 13);
	if (exponent == 0) {
		float value = (float)fraction * 0x1p-24f;
		return simt_bits_float(sign | simt_float_bits(value));
	}
	return simt_bits_float(sign | (exponent + 112u) << 23 | fraction << 13);
}

#endif
