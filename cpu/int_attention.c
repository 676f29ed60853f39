/* Attention between integers. Each head of each sequence is one piece of work of one thread, on packed copies of its
 * keys and values. Sums are of integers, so their order is free; what is in floats is one chain of operations per
 * probability and per output, the same here, in quant/arith_attention.c and in every vector.
 *
 * With AVX512-VNNI keys become u8 by flipping their highest bit: that adds 128 * sum(q) to each score of a row, which
 * the difference to the row's largest takes away again. Probabilities are the u8 operand of the second product, those
 * of 16 bits as two planes of bytes. AMX multiplies the same operands, signed keys among them, in tiles. Elsewhere both
 * products are of widened integers. */
#include "cpu/int_pair.h"

#include <math.h>
#include <omp.h>

#include "cpu/amx.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "cpu/onednn.h"
#include "cpu/vecmath.h"
#include "quant/arith.h"

#define AMX_LEAST 32 /* rows of a sequence: below, tiles are too empty to be faster */

static size_t lay_out(struct int_pair *w, const struct int_attention *a, char *memory)
{
	const int64_t keys = pair_pad(a->longest, 64), D16 = pair_pad(a->D, 16), D4 = (a->D + 3) / 4;
	size_t total = 0;
	const size_t score = call_reserve(&total, (size_t)(PAIR_ROWS_MOST * keys) * sizeof(int32_t));
	const size_t low = call_reserve(&total, (size_t)(PAIR_ROWS_MOST * keys)),
		     high = call_reserve(&total, (size_t)(PAIR_ROWS_MOST * keys));
	const size_t words = call_reserve(&total, (size_t)(PAIR_ROWS * D4) * sizeof(int32_t));
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
	a->bytes = lay_out(&(struct int_pair){0}, a, NULL);
}

const char *int_attention_impl(const struct int_attention *a)
{
	if (a->amx)
		return "own_attention:avx512_core_amx";
	return cpu_has_avx512_vnni() ? "own_attention:avx512_core_vnni" : "own_attention";
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

static void row_plain(const struct int_pair *w, int64_t i)
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
	const float *stays = w->dropout ? pair_draw(w, i) : NULL;
	for (int64_t j = 0; stays && j < w->T; j++)
		w->score[j] = stays[j] > 0 ? w->score[j] : 0;
	for (int64_t first = 0; first < a->D; first += COLUMNS) {
		const int64_t n = a->D - first < COLUMNS ? a->D - first : COLUMNS;
		weigh_plain(low, high, w->score, v + first, w->T, a->D, n);
		for (int64_t d = 0; d < n; d++)
			w->y[i * a->C + first + d] = rounded((float)((int64_t)high[d] * 256 + low[d]) * weight, &a->q);
	}
}

static void pair_plain(struct int_pair *w)
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
	void (*const few)(struct int_pair * w) = cpu_has_avx512_vnni() ? int_pair_vnni : pair_plain;
	const bool alone = int_attention_work(a, data->starts) < CPU_SERIAL_MACS / 2;
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
	for (int64_t n = 0; n < a->N * a->H; n++) {
		struct int_pair w = {.a = a,
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
		w.keys = pair_pad(w.T, 64);
		w.D4 = (a->D + 3) / 4;
		w.D16 = pair_pad(a->D, 16);
		w.q = data->q + at;
		w.k = data->k + at;
		w.v = data->v + at;
		w.y = data->y + at;
		(a->amx && w.T >= AMX_LEAST ? int_pair_amx : few)(&w);
		if (n % a->H == 0)
			clear_rows(a, data->y, first + w.T, last);
	}
	clear_rows(a, data->y, cpu_slack(data->starts, a->N, a->M), a->M);
}
