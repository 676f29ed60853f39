/* Integers of 32 bits that are in the range of a byte's type, as bytes. _mm512_cvtepi32_epi8 does that for 16 of them,
 * in several cycles; packing pairs of registers takes less than half of the time for 64. For code that runs after
 * cpu_has_avx512(). */
#ifndef CPU_BYTES_H
#define CPU_BYTES_H

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdbool.h>

#include "cpu/isa.h"

/* What packing within each 128 bits has mixed: word w of each quarter goes to quarter w. */
TARGET_AVX512 static inline __m512i cpu_unmix(__m512i packed)
{
	return _mm512_permutexvar_epi32(
	    _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}

/* The 64 values of v[0] to v[3] in order, u8 or s8. */
TARGET_AVX512 static inline __m512i cpu_bytes64(const __m512i v[4], bool is_signed)
{
	const __m512i low = _mm512_packs_epi32(v[0], v[1]), high = _mm512_packs_epi32(v[2], v[3]);
	return cpu_unmix(is_signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high));
}
#endif

#endif
