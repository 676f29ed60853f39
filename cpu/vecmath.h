/* Elementary functions for loops that compilers vectorise: explicit fmaf, no table, no branch, no division but IEEE's.
 * So a value gets the same bits in every place of a vector, in the loop's rest and with every width of vectors, and
 * what becomes of a row does not depend on how many rows there are. Errors were measured over samples of the floats
 * of the ranges that are named (every 37th for e^x, every 7th for the tail); an ulp is 2^-23 of the value. Coefficients
 * were fitted for the least largest relative error. */
#ifndef CPU_VECMATH_H
#define CPU_VECMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define CPU_INLINE static inline __attribute__((always_inline))

/* e^x to within 0.8 ulp, for x from -87 (e^-87 is 2^-125.5) to 88; of NaN it is NaN. */
CPU_INLINE float cpu_exp(float x)
{
	/* Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits. */
	const float shift = 12582912.0f;
	const float rounded = fmaf(x, 1.44269502f, shift), n = rounded - shift;
	/* ln 2 in two parts: the first has so few bits that n times it is exact. */
	const float f = fmaf(n, -1.42860677e-6f, fmaf(n, -0.693145752f, x));
	float p = 0x1.6a4740p-10f;
	p = fmaf(p, f, 0x1.1239a2p-7f);
	p = fmaf(p, f, 0x1.5558b6p-5f);
	p = fmaf(p, f, 0x1.555492p-3f);
	p = fmaf(p, f, 0x1.fffffcp-2f);
	p = fmaf(p * f, f, f) + 1.0f;
	int32_t bits;
	float scale;
	memcpy(&bits, &rounded, sizeof(bits));
	bits =
	    (int32_t)((uint32_t)bits << 23) + 0x3f800000; /* 2^n; the bits of `shift` above the lowest nine fall out */
	memcpy(&scale, &bits, sizeof(scale));
	return p * scale;
}

/* What brings x into that range; NaN stays. */
CPU_INLINE float cpu_at_least(float x, float least)
{
	return x < least ? least : x;
}

CPU_INLINE float cpu_at_most(float x, float most)
{
	return x > most ? most : x;
}

/* The tail of the normal distribution beyond |x|, 1 - Phi(|x|), to within 5 ulp where it is above 1e-37; and in
 * *density e^(-x^2 / 2). Beyond 13.2 both are below 1e-37 and count as 0: any x times them is 0 then, and no square is
 * infinite. The tail is the density times a polynomial in 1 / (1 + 0.21 |x|), without constant term. */
CPU_INLINE float cpu_normal_tail(float x, float *density)
{
	const float t = cpu_at_most(fabsf(x), 14.0f), square = t * t;
	const float u = 1.0f / fmaf(0.21f, t, 1.0f);
	float p = -0x1.27b0b4p-4f;
	p = fmaf(p, u, 0x1.2517eep-2f);
	p = fmaf(p, u, -0x1.57e0b2p-2f);
	p = fmaf(p, u, 0x1.6c7f16p-2f);
	p = fmaf(p, u, -0x1.93f838p-4f);
	p = fmaf(p, u, 0x1.040a8ep-3f);
	p = fmaf(p, u, 0x1.1912fap-4f);
	p = fmaf(p, u, 0x1.5ccb64p-4f);
	p = fmaf(p, u, 0x1.56dc2ap-4f);
	/* What rounding took from the square, times the derivative: far out it is many ulps. */
	const float lost = fmaf(t, t, -square), e = cpu_exp(cpu_at_least(-0.5f * square, -87.0f));
	*density = t > 13.19f ? 0.0f : fmaf(-0.5f * lost, e, e);
	return p * u * *density;
}

#endif
