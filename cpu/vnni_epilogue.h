/* The epilogue of struct int_epilogue for one row and 16 columns, in registers. Private to the vnni_*.c files. */
#ifndef CPU_VNNI_EPILOGUE_H
#define CPU_VNNI_EPILOGUE_H

#include <immintrin.h>

#include "cpu/isa.h"
#include "cpu/vnni.h"

#define VNNI_INLINE static inline __attribute__((always_inline)) TARGET_VNNI

/* Loops over a tile's registers have constant counts and must vanish: else the sums live in memory (3 times slower). */
#define UNROLL _Pragma("GCC unroll 16")

/* acc += u8 x s8 products, four to a lane. Assembly because gcc 12 copies and spills the sums of the intrinsic when
 * they are used by more than one loop (3 times slower). */
VNNI_INLINE void vnni_dot(__m512i *acc, __m512i u8, __m512i s8)
{
	__asm__("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(u8), "v"(s8));
}

/* The lanes that exist where `left` columns are left. */
VNNI_INLINE __mmask16 vnni_mask(int64_t left)
{
	return (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1u);
}

/* What the epilogue needs of 16 columns. Loaded before a tile's first store: stores of bytes may alias anything, and
 * would make the compiler load it all again. */
struct vnni_columns {
	__m512 m, c, lo, hi, k;
	__mmask16 mask;
};
VNNI_INLINE struct vnni_columns vnni_columns(const struct int_epilogue *e, int64_t col, int64_t M)
{
	struct vnni_columns v = {.mask = vnni_mask(M - col), .lo = _mm512_set1_ps(e->lo), .hi = _mm512_set1_ps(e->hi)};
	v.m = _mm512_maskz_loadu_ps(v.mask, e->m + col);
	v.c = _mm512_maskz_loadu_ps(v.mask, e->c + col);
	v.k = _mm512_set1_ps(e->k);
	return v;
}

/* y[at .. at+15], of which v->mask exist, from the exact integer sums; `row` picks the row scale. e: a local copy. */
VNNI_INLINE void vnni_store(
    const struct int_epilogue *e, const struct vnni_columns *v, void *y, int64_t at, int64_t row, __m512i acc)
{
	/* the intrinsics are plain operators to the compiler: -ffp-contract=off keeps them two roundings */
	__m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), v->m);
	if (e->row_scale)
		t = _mm512_fmadd_ps(t, _mm512_set1_ps(e->row_scale[row]), v->c);
	else
		t = _mm512_add_ps(t, v->c);
	if (e->r) {
		const __m128i r8 = _mm_maskz_loadu_epi8(v->mask, (const uint8_t *)e->r + at);
		const __m512i r32 = e->r_signed ? _mm512_cvtepi8_epi32(r8) : _mm512_cvtepu8_epi32(r8);
		t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(r32), v->k, t);
	}
	t = _mm512_min_ps(_mm512_max_ps(t, v->lo), v->hi);
	if (e->out == DT_F32) {
		_mm512_mask_storeu_ps((float *)y + at, v->mask, t);
		return;
	}
	/* the bounds are integers, so clamping before rounding gives the same as after; narrowing then drops nothing */
	const __m512i q = _mm512_cvt_roundps_epi32(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
	const __m128i q8 = _mm512_cvtepi32_epi8(q);
	if (v->mask == 0xffff) /* masked stores of bytes are slow on some CPUs */
		_mm_storeu_si128((__m128i *)((uint8_t *)y + at), q8);
	else
		_mm_mask_storeu_epi8((uint8_t *)y + at, v->mask, q8);
}

#endif
