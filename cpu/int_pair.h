/* One head of one sequence of an attention between integers, and what computes it with vectors: private to
 * int_attention.c, int_attention_vnni.c and int_attention_amx.c. */
#ifndef CPU_INT_PAIR_H
#define CPU_INT_PAIR_H

#include "cpu/int_attention.h"

#define PAIR_ROWS      8  /* queries at a time: each packed key is loaded once for them */
#define PAIR_ROWS_MOST 16 /* with AMX */

struct int_pair {
	const struct int_attention *a;
	int64_t T, D4, D16;
	int64_t keys;            /* T in sixty-fours: from a row of scores or probabilities to the next */
	const int8_t *q, *k, *v; /* their first values, rows C apart */
	uint8_t *y;
	float c, factor, top;         /* top: L */
	int32_t *score;               /* (rows, keys), of up to PAIR_ROWS_MOST rows */
	uint8_t *low, *high;          /* likewise: probabilities */
	int32_t *words;               /* (PAIR_ROWS, D4): queries, four values to a word */
	int8_t *packed_k;             /* (keys / 16, D4, 16, 4) u8, with AMX s8; or s16 (T, D) */
	int8_t *packed_v;             /* (keys / 4, D16 / 16, 16, 4); or s16 (T, D) */
	float weight[PAIR_ROWS_MOST]; /* fl(k / f32(S)) */
	int64_t sequence, head;
	const struct map_dropout *dropout; /* or NULL */
	float *stays;                      /* of a row, where it drops */
};

static inline int64_t pair_pad(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

/* 1 or 0 for each key of query i. */
static inline const float *pair_draw(const struct int_pair *w, int64_t i)
{
	map_dropout_row(w->dropout, w->sequence, w->head * w->T + i, w->T, 1.0f, w->stays);
	return w->stays;
}

/* All queries of a pair; they need cpu_has_avx512_vnni() and cpu_has_amx_int8(). */
void int_pair_vnni(struct int_pair *w);
void int_pair_amx(struct int_pair *w);

/* What both use; on x86-64 only. Keys are packed in sixteens, values of `keys` rows; behind a sequence are zeros. */
void int_pair_pack_keys(const struct int_pair *w, uint32_t flips);
void int_pair_pack_values(const struct int_pair *w, int64_t keys);
/* Scores of row r become probabilities, of query i with holes where it drops; and its weight. */
void int_pair_softmax(struct int_pair *w, int r);
void int_pair_drop(const struct int_pair *w, int64_t i, int r);

#if defined(__x86_64__)
#include "cpu/vnni_epilogue.h"

#define PAIR_NARROW_KEYS 256 /* so many times 65535 * 128 is below 2^31 */

/* f32(256 * high + low) of T keys, rounded once. */
VNNI_INLINE __m512 int_pair_total(__m512i low, __m512i high, int64_t T)
{
	if (T <= PAIR_NARROW_KEYS)
		return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low));
	const __m512i l0 = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(low)),
		      l1 = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(low, 1));
	const __m512i h0 = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(high)),
		      h1 = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(high, 1));
	const __m256 a = _mm512_cvtepi64_ps(_mm512_add_epi64(_mm512_slli_epi64(h0, 8), l0)),
		     b = _mm512_cvtepi64_ps(_mm512_add_epi64(_mm512_slli_epi64(h1, 8), l1));
	return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
}

/* 16 columns from d on of row r of the block that begins with query i. */
VNNI_INLINE void int_pair_store(const struct int_pair *w, int64_t i, int r, int64_t d, __m512i low, __m512i high)
{
	const struct qrange q = w->a->q;
	const int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
	__m512 t =
	    _mm512_roundscale_ps(_mm512_mul_ps(int_pair_total(low, high, w->T), _mm512_set1_ps(w->weight[r])), nearest);
	t = _mm512_add_ps(t, _mm512_set1_ps((float)q.zero));
	t = _mm512_min_ps(_mm512_max_ps(t, _mm512_set1_ps((float)q.lo)), _mm512_set1_ps((float)q.hi));
	_mm_mask_storeu_epi8(
	    w->y + (i + r) * w->a->C + d, vnni_mask(w->a->D - d), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(t)));
}
#endif

#endif
