/* Attention between integers. Each head of each sequence is one piece of work of one thread, on packed copies of its
 * keys and values. Sums are of integers, so their order is free; what is in floats is one chain of operations per
 * probability and per output, the same here, in quant/arith_attention.c and in every vector.
 *
 * With AVX512-VNNI keys become u8 by flipping their highest bit: that adds 128 * sum(q) to each score of a row, which
 * the difference to the row's largest takes away again. Probabilities are the u8 operand of the second product, those
 * of 16 bits as two planes of bytes. AMX multiplies the same operands, signed keys among them, in tiles. Elsewhere both
 * products are of widened integers. */
#include "cpu/int_attention.h"

#include <math.h>
#include <omp.h>

#include "cpu/amx.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "cpu/onednn.h"
#include "cpu/vecmath.h"
#include "quant/arith.h"

#define ROWS      8  /* queries at a time: each packed key is loaded once for them */
#define ROWS_MOST 16 /* with AMX */
#define AMX_LEAST 32 /* rows of a sequence: below, tiles are too empty to be faster */

static int64_t pad(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

/* One head of one sequence. */
struct pair {
	const struct int_attention *a;
	int64_t T, keys, D4, D16; /* keys: T in sixteens, with AMX in sixty-fours */
	const int8_t *q, *k, *v;  /* their first values, rows C apart */
	uint8_t *y;
	float c, factor, top;    /* top: L */
	int32_t *score;          /* (rows, keys), of up to ROWS_MOST rows */
	uint8_t *low, *high;     /* likewise: probabilities */
	int32_t *words;          /* (ROWS, D4): queries, four values to a word */
	int8_t *packed_k;        /* (keys / 16, D4, 16, 4) u8, with AMX s8; or s16 (T, D) */
	int8_t *packed_v;        /* (keys / 4, D16 / 16, 16, 4); or s16 (T, D) */
	float weight[ROWS_MOST]; /* fl(k / f32(S)) */
	int64_t sequence, head;
	const struct map_dropout *dropout; /* or NULL */
	float *stays;                      /* of a row, where it drops */
};

static size_t lay_out(struct pair *w, const struct int_attention *a, char *memory)
{
	const int64_t keys = pad(a->longest, 64), D16 = pad(a->D, 16), D4 = (a->D + 3) / 4;
	size_t total = 0;
	const size_t score = call_reserve(&total, (size_t)(ROWS_MOST * keys) * sizeof(int32_t));
	const size_t low = call_reserve(&total, (size_t)(ROWS_MOST * keys)),
		     high = call_reserve(&total, (size_t)(ROWS_MOST * keys));
	const size_t words = call_reserve(&total, (size_t)(ROWS * D4) * sizeof(int32_t));
	const size_t k = call_reserve(&total, (size_t)(keys * D16) * 2),
		     v = call_reserve(&total, (size_t)(keys * D16) * 2);
	const size_t drawn = a->drops ? (size_t)map_dropout_width(a->longest) : 0,
		     stays = call_reserve(&total, drawn * sizeof(float));
	if (!memory)
		return total;
	w->stays = (float *)(void *)(memory + stays);
	w->score = (int32_t *)(void *)(memory + score);
	w->low = (uint8_t *)memory + low;
	w->high = (uint8_t *)memory + high;
	w->words = (int32_t *)(void *)(memory + words);
	w->packed_k = (int8_t *)memory + k;
	w->packed_v = (int8_t *)memory + v;
	return total;
}

/* Whether a row of a head fills rows of tiles: in words, and in whole tiles if it is longer than one. */
static bool fits_amx(const struct int_attention *a)
{
	return cpu_has_amx_int8() && a->D % 4 == 0 && (a->D <= AMX_STEP || a->D % AMX_STEP == 0);
}

void int_attention_plan(struct int_attention *a, const struct call *s)
{
	*a = (struct int_attention){.N = s->in[ATTENTION_STARTS].shape.dim[0] - 1,
	    .M = s->out.shape.dim[0],
	    .C = s->out.shape.dim[1],
	    .H = s->node->attr.heads,
	    .prob_bits = s->node->attr.prob_bits,
	    .q = s->node->attr.q};
	a->D = a->C / a->H;
	a->amx = fits_amx(a);
	a->drops = map_drops(s);
	a->longest = s->node->attr.longest && s->node->attr.longest < a->M ? s->node->attr.longest : a->M;
	a->bytes = lay_out(&(struct pair){0}, a, NULL);
}

const char *int_attention_impl(const struct int_attention *a)
{
	if (a->amx)
		return "own_attention:avx512_core_amx";
	return cpu_has_avx512_vnni() ? "own_attention:avx512_core_vnni" : "own_attention";
}

/* 1 or 0 for each key of query i. */
static const float *draw(const struct pair *w, int64_t i)
{
	map_dropout_row(w->dropout, w->sequence, w->head * w->T + i, w->T, 1.0f, w->stays);
	return w->stays;
}

/* ---- without VNNI ---- */

CPU_CLONES static int32_t dot(const int16_t *x, const int16_t *y, int64_t n)
{
	int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
	for (int64_t i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

/* p of x, which stays in a float: at most 65535. */
CPU_INLINE float probability(float x)
{
	const float e = rintf(x), f = x - e;
	const float p = fmaf(fmaf(fmaf(QUANT_EXP2_C3, f, QUANT_EXP2_C2), f, QUANT_EXP2_C1), f, 1.0f);
	const int32_t bits = ((int32_t)e + 127) * (1 << 23);
	float power;
	memcpy(&power, &bits, sizeof(power));
	return rintf(p * power);
}

/* Scores become probabilities; returns their sum. */
CPU_CLONES static int64_t softmax_plain(int32_t *score, int64_t T, float c, float top)
{
	int32_t most = INT32_MIN;
	int64_t sum = 0;
	for (int64_t j = 0; j < T; j++)
		most = score[j] > most ? score[j] : most;
#pragma omp simd
	for (int64_t j = 0; j < T; j++) {
		const float x = fmaf((float)(score[j] - most), c, top);
		score[j] = (int32_t)probability(x > QUANT_LEAST ? x : QUANT_LEAST);
	}
	for (int64_t j = 0; j < T; j++)
		sum += score[j];
	return sum;
}

/* The sums of n columns over T rows, of the bytes of p apart, so that they fit 31 bits. */
CPU_CLONES static void weigh_plain(
    int32_t *low, int32_t *high, const int32_t *p, const int16_t *v, int64_t T, int64_t stride, int64_t n)
{
	for (int64_t d = 0; d < n; d++)
		low[d] = high[d] = 0;
	for (int64_t j = 0; j < T; j++) {
		const int32_t l = p[j] & 255, h = p[j] >> 8;
#pragma omp simd
		for (int64_t d = 0; d < n; d++) {
			low[d] += l * v[j * stride + d];
			high[d] += h * v[j * stride + d];
		}
	}
}

static uint8_t rounded(float t, const struct qrange *q)
{
	const float whole = rintf(t) + (float)q->zero, lo = (float)q->lo, hi = (float)q->hi;
	return (uint8_t)(int)(!(whole > lo) ? lo : whole > hi ? hi : whole); /* NaN: lo */
}

#define COLUMNS 64 /* summed at a time */

static void row_plain(const struct pair *w, int64_t i)
{
	const struct int_attention *a = w->a;
	const int16_t *k = (const int16_t *)(const void *)w->packed_k, *v = (const int16_t *)(const void *)w->packed_v;
	int16_t *q = (int16_t *)(void *)w->words;
	int32_t low[COLUMNS], high[COLUMNS];
	for (int64_t d = 0; d < a->D; d++)
		q[d] = w->q[i * a->C + d];
	for (int64_t j = 0; j < w->T; j++)
		w->score[j] = dot(q, k + j * a->D, a->D);
	const float weight = w->factor / (float)softmax_plain(w->score, w->T, w->c, w->top);
	const float *stays = w->dropout ? draw(w, i) : NULL;
	for (int64_t j = 0; stays && j < w->T; j++)
		w->score[j] = stays[j] > 0 ? w->score[j] : 0;
	for (int64_t first = 0; first < a->D; first += COLUMNS) {
		const int64_t n = a->D - first < COLUMNS ? a->D - first : COLUMNS;
		weigh_plain(low, high, w->score, v + first, w->T, a->D, n);
		for (int64_t d = 0; d < n; d++)
			w->y[i * a->C + first + d] = rounded((float)((int64_t)high[d] * 256 + low[d]) * weight, &a->q);
	}
}

static void pair_plain(struct pair *w)
{
	const struct int_attention *a = w->a;
	int16_t *k = (int16_t *)(void *)w->packed_k, *v = (int16_t *)(void *)w->packed_v;
	for (int64_t j = 0; j < w->T; j++)
		for (int64_t d = 0; d < a->D; d++) {
			k[j * a->D + d] = w->k[j * a->C + d];
			v[j * a->D + d] = w->v[j * a->C + d];
		}
	for (int64_t i = 0; i < w->T; i++)
		row_plain(w, i);
}

/* ---- with VNNI ---- */

#if defined(__x86_64__)
#include "cpu/vnni_epilogue.h"

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
TARGET_VNNI static void pack_keys(const struct pair *w, uint32_t flips)
{
	const int64_t D = w->a->D, C = w->a->C;
	int32_t *to = (int32_t *)(void *)w->packed_k;
	for (int64_t j = 0; j < w->keys; j++)
		for (int64_t g = 0; g < w->D4; g++) {
			const int32_t word = j < w->T ? word_of(w->k + j * C + 4 * g, D - 4 * g) : 0;
			to[(j / 16 * w->D4 + g) * 16 + j % 16] = word ^ (int32_t)flips;
		}
}

/* 16 columns of four rows, interleaved. */
TARGET_VNNI static void pack_values(const struct pair *w)
{
	const int64_t D = w->a->D, C = w->a->C;
	for (int64_t j = 0; j < w->keys; j += 4)
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

/* Of R queries, 16 keys at a time. */
VNNI_INLINE void score_rows(const struct pair *w, const int R)
{
	const int8_t *k = w->packed_k;
	for (int64_t j = 0; j < w->keys; j += 16) {
		__m512i acc[ROWS];
		UNROLL
		for (int r = 0; r < R; r++)
			acc[r] = _mm512_setzero_si512();
		for (int64_t g = 0; g < w->D4; g++, k += 64) {
			const __m512i kv = _mm512_loadu_si512(k);
			UNROLL
			for (int r = 0; r < R; r++)
				vnni_dot(&acc[r], kv, _mm512_set1_epi32(w->words[r * w->D4 + g]));
		}
		UNROLL
		for (int r = 0; r < R; r++)
			_mm512_storeu_si512(w->score + r * w->keys + j, acc[r]);
	}
}

/* Scores of row r become bytes of probabilities; beyond T, where values are packed as zeros, they mean nothing. */
TARGET_VNNI static void softmax_row(struct pair *w, int r)
{
	const int32_t *score = w->score + r * w->keys;
	const int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
	__m512i most = _mm512_set1_epi32(INT32_MIN), sum = _mm512_setzero_si512();
	for (int64_t j = 0; j < w->T; j += 16)
		most = _mm512_mask_max_epi32(most, vnni_mask(w->T - j), most, _mm512_loadu_si512(score + j));
	most = _mm512_set1_epi32(_mm512_reduce_max_epi32(most));
	const __m512 c = _mm512_set1_ps(w->c), top = _mm512_set1_ps(w->top), least = _mm512_set1_ps(QUANT_LEAST);
	const __m512 c1 = _mm512_set1_ps(QUANT_EXP2_C1), c2 = _mm512_set1_ps(QUANT_EXP2_C2),
		     c3 = _mm512_set1_ps(QUANT_EXP2_C3), one = _mm512_set1_ps(1.0f);
	for (int64_t j = 0; j < w->T; j += 16) {
		const __m512 below = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(score + j), most));
		const __m512 x = _mm512_max_ps(_mm512_fmadd_ps(below, c, top), least); /* NaN: least */
		const __m512 e = _mm512_roundscale_ps(x, nearest), f = _mm512_sub_ps(x, e);
		const __m512 p = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_fmadd_ps(c3, f, c2), f, c1), f, one);
		const __m512i whole = _mm512_maskz_cvtps_epi32(vnni_mask(w->T - j), _mm512_scalef_ps(p, e));
		sum = _mm512_add_epi32(sum, whole);
		_mm_storeu_si128((__m128i *)(void *)(w->low + r * w->keys + j), _mm512_cvtepi32_epi8(whole));
		if (w->a->prob_bits == 16)
			_mm_storeu_si128((__m128i *)(void *)(w->high + r * w->keys + j),
			    _mm512_cvtepi32_epi8(_mm512_srli_epi32(whole, 8)));
	}
	const __m512i wide = _mm512_add_epi64(_mm512_cvtepu32_epi64(_mm512_castsi512_si256(sum)),
	    _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(sum, 1)));
	w->weight[r] = w->factor / (float)_mm512_reduce_add_epi64(wide);
}

/* Probabilities of row r, query i, that drop out of what they weigh, but not of their sum. */
static void drop_row(const struct pair *w, int64_t i, int r)
{
	const float *stays = draw(w, i);
	uint8_t *low = w->low + r * w->keys, *high = w->high + r * w->keys;
	for (int64_t j = 0; j < w->T; j++) {
		low[j] = stays[j] > 0 ? low[j] : 0;
		if (w->a->prob_bits == 16)
			high[j] = stays[j] > 0 ? high[j] : 0;
	}
}

#define NARROW_KEYS 256 /* so many times 65535 * 128 is below 2^31 */

/* f32(256 * high + low) of T keys, rounded once. */
VNNI_INLINE __m512 total(__m512i low, __m512i high, int64_t T)
{
	if (T <= NARROW_KEYS)
		return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low));
	const __m512i l0 = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(low)),
		      l1 = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(low, 1));
	const __m512i h0 = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(high)),
		      h1 = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(high, 1));
	const __m256 a = _mm512_cvtepi64_ps(_mm512_add_epi64(_mm512_slli_epi64(h0, 8), l0)),
		     b = _mm512_cvtepi64_ps(_mm512_add_epi64(_mm512_slli_epi64(h1, 8), l1));
	return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
}

VNNI_INLINE void store_row(const struct pair *w, int64_t i, int r, int64_t d, __m512i low, __m512i high)
{
	const struct qrange q = w->a->q;
	const int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
	__m512 t = _mm512_roundscale_ps(_mm512_mul_ps(total(low, high, w->T), _mm512_set1_ps(w->weight[r])), nearest);
	t = _mm512_add_ps(t, _mm512_set1_ps((float)q.zero));
	t = _mm512_min_ps(_mm512_max_ps(t, _mm512_set1_ps((float)q.lo)), _mm512_set1_ps((float)q.hi));
	_mm_mask_storeu_epi8(
	    w->y + (i + r) * w->a->C + d, vnni_mask(w->a->D - d), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(t)));
}

/* Rows r0 .. r0 + R - 1 of the block that begins with query i. P: planes of bytes. */
VNNI_INLINE void value_rows(const struct pair *w, int64_t i, int r0, const int R, const int P)
{
	for (int64_t d = 0; d < w->D16; d += 16) {
		__m512i low[ROWS / 2], high[ROWS / 2];
		UNROLL
		for (int r = 0; r < R; r++)
			low[r] = high[r] = _mm512_setzero_si512();
		for (int64_t j = 0; j < w->T; j += 4) {
			const __m512i v = _mm512_loadu_si512(w->packed_v + j * w->D16 + d * 4);
			UNROLL
			for (int r = 0; r < R; r++) {
				int32_t p;
				memcpy(&p, w->low + (r0 + r) * w->keys + j, sizeof(p));
				vnni_dot(&low[r], _mm512_set1_epi32(p), v);
				if (P == 1)
					continue;
				memcpy(&p, w->high + (r0 + r) * w->keys + j, sizeof(p));
				vnni_dot(&high[r], _mm512_set1_epi32(p), v);
			}
		}
		UNROLL
		for (int r = 0; r < R; r++)
			store_row(w, i, r0 + r, d, low[r], high[r]);
	}
}

/* One function per shape, so that sums stay in registers. */
#define SCORES(R)                                                                                                      \
	TARGET_VNNI static void score_##R(const struct pair *w)                                                        \
	{                                                                                                              \
		score_rows(w, R);                                                                                      \
	}
#define VALUES(R, P)                                                                                                   \
	TARGET_VNNI static void value_##R##_##P(const struct pair *w, int64_t i, int r0)                               \
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

TARGET_VNNI static void block_vnni(struct pair *w, int64_t i, int rows)
{
	const struct int_attention *a = w->a;
	for (int r = 0; r < rows; r++)
		for (int64_t g = 0; g < w->D4; g++)
			w->words[r * w->D4 + g] = word_of(w->q + (i + r) * a->C + 4 * g, a->D - 4 * g);
	(rows == 8 ? score_8 : rows == 4 ? score_4 : score_1)(w);
	for (int r = 0; r < rows; r++)
		softmax_row(w, r);
	for (int r = 0; w->dropout && r < rows; r++)
		drop_row(w, i + r, r);
	for (int r = 0; r < rows; r += 4)
		if (rows >= 4)
			(a->prob_bits == 16 ? value_4_2 : value_4_1)(w, i, r);
		else
			(a->prob_bits == 16 ? value_1_2 : value_1_1)(w, i, r);
}

static void pair_vnni(struct pair *w)
{
	pack_keys(w, 0x80808080u);
	pack_values(w);
	for (int64_t i = 0; i < w->T;) {
		const int64_t left = w->T - i;
		const int rows = left >= 8 ? 8 : left >= 4 ? 4 : 1;
		block_vnni(w, i, rows);
		i += rows;
	}
}

/* ---- with AMX ---- */

/* Tiles 0 to 3 are sums; 4 is of queries and 5 of keys, 6 of probabilities and 7 of values. */
TARGET_AMX static void configure(const struct pair *w, int rows)
{
	const int64_t depth = w->a->D < AMX_STEP ? w->a->D : AMX_STEP; /* values of a head in a tile */
	struct amx_config c = {.palette = 1};
	for (int i = 0; i < 8; i++) {
		c.bytes[i] = AMX_STEP;
		c.rows[i] = (uint8_t)rows;
	}
	c.bytes[4] = (uint16_t)depth;
	c.rows[5] = (uint8_t)(depth / 4);
	c.rows[7] = AMX_SIDE;
	AMX_MEMORY_IS_USED();
	_tile_loadconfig(&c);
}

TARGET_AMX static void score_amx(const struct pair *w, int64_t i)
{
	const int64_t C = w->a->C, steps = w->a->D <= AMX_STEP ? 1 : w->a->D / AMX_STEP;
	const int8_t *q = w->q + i * C, *k = w->packed_k;
	for (int64_t j = 0; j < w->T; j += AMX_SIDE) {
		_tile_zero(0);
		for (int64_t s = 0; s < steps; s++, k += w->D4 / steps * AMX_STEP) {
			_tile_loadd(4, q + s * AMX_STEP, C);
			_tile_loadd(5, k, AMX_STEP);
			_tile_dpbssd(0, 4, 5);
		}
		_tile_stored(0, w->score + j, w->keys * (int64_t)sizeof(int32_t));
	}
	AMX_MEMORY_IS_USED();
}

/* Of 16 columns, or with `right` of 32: sums 0 and 2, those of high bytes in 1 and 3. P: planes of bytes. */
static inline __attribute__((always_inline)) TARGET_AMX void weigh_amx(
    const struct pair *w, int64_t d, const bool right, const int P)
{
	const int64_t stride = w->D16 * 4; /* from four keys to the next four */
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	for (int64_t j = 0; j < w->T; j += AMX_STEP) {
		const int8_t *v = w->packed_v + j * w->D16 + d * 4;
		_tile_loadd(6, w->low + j, w->keys);
		_tile_loadd(7, v, stride);
		_tile_dpbusd(0, 6, 7);
		if (P == 2) {
			_tile_loadd(6, w->high + j, w->keys);
			_tile_dpbusd(1, 6, 7);
		}
		if (!right)
			continue;
		_tile_loadd(7, v + AMX_STEP, stride);
		if (P == 2) {
			_tile_dpbusd(3, 6, 7);
			_tile_loadd(6, w->low + j, w->keys);
		}
		_tile_dpbusd(2, 6, 7);
	}
}

TARGET_AMX static void value_amx(const struct pair *w, int64_t i, int rows)
{
	int32_t sum[4][AMX_SIDE][AMX_SIDE] __attribute__((aligned(64)));
	for (int64_t d = 0; d < w->D16; d += 2 * AMX_SIDE) {
		const bool right = d + AMX_SIDE < w->D16, two = w->a->prob_bits == 16;
		if (right && two)
			weigh_amx(w, d, true, 2);
		else
			weigh_amx(w, d, right, two ? 2 : 1);
		_tile_stored(0, sum[0], AMX_STEP);
		_tile_stored(1, sum[1], AMX_STEP); /* of one plane: zeros */
		_tile_stored(2, sum[2], AMX_STEP);
		_tile_stored(3, sum[3], AMX_STEP);
		AMX_MEMORY_IS_USED();
		for (int b = 0; b < (right ? 2 : 1); b++)
			for (int r = 0; r < rows; r++)
				store_row(w, i, r, d + b * AMX_SIDE, _mm512_load_si512(sum[2 * b][r]),
				    _mm512_load_si512(sum[2 * b + 1][r]));
	}
}

TARGET_AMX static void pair_amx(struct pair *w)
{
	struct amx_config before;
	int configured = 0;
	_tile_storeconfig(&before);
	AMX_MEMORY_IS_USED();
	w->keys = pad(w->T, AMX_STEP);
	pack_keys(w, 0);
	pack_values(w);
	for (int64_t i = 0; i < w->T; i += AMX_SIDE) {
		const int rows = w->T - i < AMX_SIDE ? (int)(w->T - i) : AMX_SIDE;
		if (rows != configured)
			configure(w, configured = rows);
		score_amx(w, i);
		for (int r = 0; r < rows; r++)
			softmax_row(w, r);
		for (int r = 0; w->dropout && r < rows; r++)
			drop_row(w, i + r, r);
		AMX_MEMORY_IS_USED();
		value_amx(w, i, rows);
	}
	AMX_MEMORY_IS_USED();
	_tile_loadconfig(&before);
}
#else
static void pair_vnni(struct pair *w)
{
	pair_plain(w);
}

static void pair_amx(struct pair *w)
{
	pair_plain(w);
}
#endif

int64_t int_attention_work(const struct int_attention *a, const int32_t *starts)
{
	int64_t sum = 0;
	for (int64_t n = 0; n < a->N; n++) {
		int64_t first, last;
		cpu_segment(starts, n, a->M, &first, &last);
		sum += last > first ? (last - first) * (last - first) * a->C : 0;
	}
	return sum;
}

/* Rows of no sequence, or beyond the longest that was promised. */
static void clear_rows(const struct int_attention *a, uint8_t *y, int64_t first, int64_t last)
{
	if (first < last)
		memset(y + first * a->C, a->q.zero, (size_t)((last - first) * a->C));
}

void int_attention_run(const struct int_attention *a, const struct int_attention_data *data)
{
	void (*const few)(struct pair * w) = cpu_has_avx512_vnni() ? pair_vnni : pair_plain;
	const bool alone = int_attention_work(a, data->starts) < CPU_SERIAL_MACS / 2;
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
	for (int64_t n = 0; n < a->N * a->H; n++) {
		struct pair w = {.a = a,
		    .c = data->c,
		    .factor = data->factor,
		    .top = quant_prob_log(a->prob_bits),
		    .sequence = n / a->H,
		    .head = n % a->H,
		    .dropout = data->dropout};
		int64_t first, last;
		cpu_segment(data->starts, n / a->H, a->M, &first, &last);
		w.T = last - first < a->longest ? last - first : a->longest;
		if (w.T <= 0)
			continue;
		const int64_t at = first * a->C + n % a->H * a->D;
		lay_out(&w, a, data->scratch + (size_t)omp_get_thread_num() * a->bytes);
		w.keys = pad(w.T, 16);
		w.D4 = (a->D + 3) / 4;
		w.D16 = pad(a->D, 16);
		w.q = data->q + at;
		w.k = data->k + at;
		w.v = data->v + at;
		w.y = data->y + at;
		(a->amx && w.T >= AMX_LEAST ? pair_amx : few)(&w);
		if (n % a->H == 0)
			clear_rows(a, data->y, first + w.T, last);
	}
	clear_rows(a, data->y, cpu_slack(data->starts, a->N, a->M), a->M);
}
