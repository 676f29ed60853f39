/* A head of an attention between integers, with AVX512-VNNI. Products have 16 sums in registers: two blocks of keys or
 * of columns share each load of a query or a probability, for a core loads two operands while it multiplies two. */
#include "cpu/int_pair.h"

#include <string.h>

#include "cpu/vnni.h"
#include "quant/arith.h"

#if defined(__x86_64__)
#include "cpu/bytes.h"

/* Four values of a row as a word; what is beyond its end is 0. */
VNNI_INLINE int32_t word_of(const int8_t *x, int64_t left)
{
	int32_t word = 0;
	if (left >= 4)
		memcpy(&word, x, 4);
	else
		memcpy(&word, x, (size_t)left);
	return word;
}

/* flips: 0x80 for each byte whose sign is to go. */
TARGET_VNNI void int_pair_pack_keys(const struct int_pair *w, uint32_t flips)
{
	const int64_t D = w->a->D, C = w->a->C;
	const __m512i flip = _mm512_set1_epi32((int)flips);
	for (int64_t j = 0; j < w->T; j += 16) {
		int8_t *to = w->packed_k + j * w->D4 * 4;
		int64_t g = 0;
		for (; j + 16 <= w->T && g + 4 <= D / 4; g += 4)
			vnni_pack_steps(to + g * 64, 64, w->k + j * C + 4 * g, C);
		for (; g < w->D4; g++)
			for (int64_t row = 0; row < 16; row++) {
				const int32_t word =
				    j + row < w->T ? word_of(w->k + (j + row) * C + 4 * g, D - 4 * g) : 0;
				memcpy(to + g * 64 + row * 4, &word, sizeof(word));
			}
		for (g = 0; g < w->D4; g++)
			_mm512_storeu_si512(to + g * 64, _mm512_xor_si512(_mm512_loadu_si512(to + g * 64), flip));
	}
}

/* 16 columns of four rows, interleaved. */
TARGET_VNNI void int_pair_pack_values(const struct int_pair *w, int64_t keys)
{
	const int64_t D = w->a->D, C = w->a->C;
	for (int64_t j = 0; j < keys; j += 4)
		for (int64_t d = 0; d < w->D16; d += 16) {
			__m128i r[4];
			for (int i = 0; i < 4; i++)
				r[i] = j + i < w->T ? _mm_maskz_loadu_epi8(vnni_mask(D - d), w->v + (j + i) * C + d)
						    : _mm_setzero_si128();
			const __m128i a = _mm_unpacklo_epi8(r[0], r[1]), b = _mm_unpackhi_epi8(r[0], r[1]);
			const __m128i c = _mm_unpacklo_epi8(r[2], r[3]), e = _mm_unpackhi_epi8(r[2], r[3]);
			__m128i *to = (__m128i *)(void *)(w->packed_v + j * w->D16 + d * 4);
			_mm_storeu_si128(to, _mm_unpacklo_epi16(a, c));
			_mm_storeu_si128(to + 1, _mm_unpackhi_epi16(a, c));
			_mm_storeu_si128(to + 2, _mm_unpacklo_epi16(b, e));
			_mm_storeu_si128(to + 3, _mm_unpackhi_epi16(b, e));
		}
}

/* Queries of a block, four values to a word, rows `stride` bytes apart. */
struct queries {
	const int8_t *first;
	int64_t stride;
};

/* A row of a head is read in words where it fills them; else a copy with zeros behind it is. */
TARGET_VNNI static struct queries queries_of(const struct int_pair *w, int64_t i, int rows)
{
	const struct int_attention *a = w->a;
	if (a->D % 4 == 0)
		return (struct queries){w->q + i * a->C, a->C};
	for (int r = 0; r < rows; r++)
		for (int64_t g = 0; g < w->D4; g++)
			w->words[r * w->D4 + g] = word_of(w->q + (i + r) * a->C + 4 * g, a->D - 4 * g);
	return (struct queries){(const int8_t *)w->words, w->D4 * 4};
}

/* Of R queries with B blocks of 16 keys, from key j on. */
VNNI_INLINE void score_block(const struct int_pair *w, const struct queries *q, int64_t j, const int R, const int B)
{
	const int8_t *k = w->packed_k + j * w->D4 * 4;
	__m512i acc[PAIR_ROWS][2];
	UNROLL
	for (int r = 0; r < R; r++)
		acc[r][0] = acc[r][1] = _mm512_setzero_si512();
	for (int64_t g = 0; g < w->D4; g++) {
		__m512i keys[2];
		UNROLL
		for (int b = 0; b < B; b++)
			keys[b] = _mm512_loadu_si512(k + (b * w->D4 + g) * 64);
		UNROLL
		for (int r = 0; r < R; r++) {
			int32_t word;
			memcpy(&word, q->first + r * q->stride + 4 * g, sizeof(word));
			const __m512i query = _mm512_set1_epi32(word);
			UNROLL
			for (int b = 0; b < B; b++)
				vnni_dot(&acc[r][b], keys[b], query);
		}
	}
	UNROLL
	for (int r = 0; r < R; r++)
		UNROLL
	for (int b = 0; b < B; b++)
		_mm512_storeu_si512(w->score + r * w->keys + j + 16 * b, acc[r][b]);
}

VNNI_INLINE void score_rows(const struct int_pair *w, const struct queries *q, const int R)
{
	int64_t j = 0;
	for (; j + 16 < w->T; j += 32)
		score_block(w, q, j, R, 2);
	if (j < w->T)
		score_block(w, q, j, R, 1);
}

/* What all probabilities of a row share. */
struct exponents {
	__m512 c, top;
	__m512i most;
};

VNNI_INLINE __m512i probabilities(const struct exponents *s, __m512i score, __mmask16 lanes)
{
	const int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
	const __m512 c1 = _mm512_set1_ps(QUANT_EXP2_C1), c2 = _mm512_set1_ps(QUANT_EXP2_C2),
		     c3 = _mm512_set1_ps(QUANT_EXP2_C3), one = _mm512_set1_ps(1.0f),
		     least = _mm512_set1_ps(QUANT_LEAST);
	const __m512 below = _mm512_cvtepi32_ps(_mm512_sub_epi32(score, s->most));
	const __m512 x = _mm512_max_ps(_mm512_fmadd_ps(below, s->c, s->top), least); /* NaN: least */
	const __m512 e = _mm512_roundscale_ps(x, nearest), f = _mm512_sub_ps(x, e);
	const __m512 p = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_fmadd_ps(c3, f, c2), f, c1), f, one);
	return _mm512_maskz_cvtps_epi32(lanes, _mm512_scalef_ps(p, e));
}

/* The bytes of 64 probabilities, which have 16 bits at most, as one plane or two. */
VNNI_INLINE void store_planes(const struct int_pair *w, int64_t at, const __m512i v[4])
{
	const __m512i first = _mm512_packus_epi32(v[0], v[1]), second = _mm512_packus_epi32(v[2], v[3]);
	const __m512i byte = _mm512_set1_epi16(255);
	const __m512i low = _mm512_packus_epi16(_mm512_and_si512(first, byte), _mm512_and_si512(second, byte));
	_mm512_storeu_si512(w->low + at, cpu_unmix(low));
	if (w->a->prob_bits != 16)
		return;
	const __m512i high = _mm512_packus_epi16(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8));
	_mm512_storeu_si512(w->high + at, cpu_unmix(high));
}

TARGET_VNNI void int_pair_softmax(struct int_pair *w, int r)
{
	const int32_t *score = w->score + r * w->keys;
	__m512i most = _mm512_set1_epi32(INT32_MIN), sum = _mm512_setzero_si512();
	for (int64_t j = 0; j < w->T; j += 16)
		most = _mm512_mask_max_epi32(most, vnni_mask(w->T - j), most, _mm512_loadu_si512(score + j));
	const struct exponents s = {
	    _mm512_set1_ps(w->c), _mm512_set1_ps(w->top), _mm512_set1_epi32(_mm512_reduce_max_epi32(most))};
	for (int64_t j = 0; j < w->T; j += 64) {
		__m512i v[4];
		UNROLL
		for (int part = 0; part < 4; part++) {
			const int64_t at = j + 16 * part, left = w->T - at;
			v[part] = left > 0 ? probabilities(&s, _mm512_loadu_si512(score + at), vnni_mask(left))
					   : _mm512_setzero_si512();
			sum = _mm512_add_epi32(sum, v[part]);
		}
		store_planes(w, r * w->keys + j, v);
	}
	const __m512i wide = _mm512_add_epi64(_mm512_cvtepu32_epi64(_mm512_castsi512_si256(sum)),
	    _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(sum, 1)));
	w->weight[r] = w->factor / (float)_mm512_reduce_add_epi64(wide);
}

/* Probabilities of row r, query i, that drop out of what they weigh, but not of their sum. */
void int_pair_drop(const struct int_pair *w, int64_t i, int r)
{
	const float *stays = pair_draw(w, i);
	uint8_t *low = w->low + r * w->keys, *high = w->high + r * w->keys;
	for (int64_t j = 0; j < w->T; j++) {
		low[j] = stays[j] > 0 ? low[j] : 0;
		if (w->a->prob_bits == 16)
			high[j] = stays[j] > 0 ? high[j] : 0;
	}
}

/* The next four probabilities of a row, in every lane. */
VNNI_INLINE __m512i four(const uint8_t *plane)
{
	int32_t word;
	memcpy(&word, plane, sizeof(word));
	return _mm512_set1_epi32(word);
}

/* Rows r0 .. r0 + R - 1 of the block that begins with query i, B blocks of 16 columns from d on. P: planes of bytes. */
VNNI_INLINE void value_block(
    const struct int_pair *w, int64_t i, int r0, int64_t d, const int R, const int P, const int B)
{
	const uint8_t *first = w->low + r0 * w->keys, *second = w->high + r0 * w->keys;
	const int8_t *values = w->packed_v + d * 4;
	__m512i low[PAIR_ROWS / 2][2], high[PAIR_ROWS / 2][2];
	UNROLL
	for (int r = 0; r < R; r++)
		low[r][0] = low[r][1] = high[r][0] = high[r][1] = _mm512_setzero_si512();
	for (int64_t j = 0; j < w->T; j += 4, values += w->D16 * 4) {
		__m512i v[2];
		UNROLL
		for (int b = 0; b < B; b++)
			v[b] = _mm512_loadu_si512(values + 64 * b);
		UNROLL
		for (int r = 0; r < R; r++) {
			const __m512i p = four(first + r * w->keys + j);
			UNROLL
			for (int b = 0; b < B; b++)
				vnni_dot(&low[r][b], p, v[b]);
			if (P == 1)
				continue;
			const __m512i upper = four(second + r * w->keys + j);
			UNROLL
			for (int b = 0; b < B; b++)
				vnni_dot(&high[r][b], upper, v[b]);
		}
	}
	UNROLL
	for (int r = 0; r < R; r++)
		UNROLL
	for (int b = 0; b < B; b++)
		int_pair_store(w, i, r0 + r, d + 16 * b, low[r][b], high[r][b]);
}

VNNI_INLINE void value_rows(const struct int_pair *w, int64_t i, int r0, const int R, const int P)
{
	int64_t d = 0;
	for (; d + 16 < w->D16; d += 32)
		value_block(w, i, r0, d, R, P, 2);
	if (d < w->D16)
		value_block(w, i, r0, d, R, P, 1);
}

/* One function per shape, so that sums stay in registers. */
#define SCORES(R)                                                                                                      \
	TARGET_VNNI static void score_##R(const struct int_pair *w, const struct queries *q)                           \
	{                                                                                                              \
		score_rows(w, q, R);                                                                                   \
	}
#define VALUES(R, P)                                                                                                   \
	TARGET_VNNI static void value_##R##_##P(const struct int_pair *w, int64_t i, int r0)                           \
	{                                                                                                              \
		value_rows(w, i, r0, R, P);                                                                            \
	}
SCORES(1)
SCORES(4)
SCORES(8)
VALUES(1, 1)
VALUES(1, 2)
VALUES(4, 1)
VALUES(4, 2)

TARGET_VNNI static void block_of(struct int_pair *w, int64_t i, int rows)
{
	const struct queries q = queries_of(w, i, rows);
	const bool two = w->a->prob_bits == 16;
	(rows == 8 ? score_8 : rows == 4 ? score_4 : score_1)(w, &q);
	for (int r = 0; r < rows; r++)
		int_pair_softmax(w, r);
	for (int r = 0; w->dropout && r < rows; r++)
		int_pair_drop(w, i + r, r);
	for (int r = 0; r < rows; r += 4)
		if (rows >= 4)
			(two ? value_4_2 : value_4_1)(w, i, r);
		else
			(two ? value_1_2 : value_1_1)(w, i, r);
}

void int_pair_vnni(struct int_pair *w)
{
	int_pair_pack_keys(w, 0x80808080u);
	int_pair_pack_values(w, pair_pad(w->T, 4));
	for (int64_t i = 0; i < w->T;) {
		const int64_t left = w->T - i;
		const int rows = left >= 8 ? 8 : left >= 4 ? 4 : 1;
		block_of(w, i, rows);
		i += rows;
	}
}
#else
/* Never called: cpu_has_avx512_vnni() is false. */
void int_pair_vnni(struct int_pair *w)
{
	(void)w;
}
#endif
