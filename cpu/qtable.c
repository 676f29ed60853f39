/* OP_GELU_TABLE and OP_QTABLE: GELU between integers, by the 256 results of quant/arith.h. Inference only; the table is
 * a constant. */
#include "cpu/kernels.h"

#include <omp.h>

#include "cpu/isa.h"
#include "quant/arith.h"

static int gelu_table_forward(struct call *s)
{
	const struct attr *a = &s->node->attr;
	const struct quant_gelu g = {.s_x = *(const float *)s->in[GELU_TABLE_SX].data,
	    .s_y = *(const float *)s->in[GELU_TABLE_SY].data,
	    .x = a->q_in,
	    .y = a->q,
	    .by_tanh = a->gelu_tanh};
	quant_gelu_table(&g, s->out.data);
	return 0;
}

static void look_up_plain(uint8_t *y, const uint8_t *x, int64_t n, const uint8_t *table)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = table[x[i]];
}

#if defined(__x86_64__)
#include <immintrin.h>

/* Each instruction looks 64 bytes up in 128 entries by their low seven bits; the highest bit chooses between two. */
TARGET_VBMI static void look_up_vbmi(uint8_t *y, const uint8_t *x, int64_t n, const uint8_t *table)
{
	const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64),
		      t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
	for (int64_t i = 0; i < n; i += 64) {
		const __mmask64 mask = n - i < 64 ? (UINT64_C(1) << (n - i)) - 1 : ~UINT64_C(0);
		const __m512i v = _mm512_maskz_loadu_epi8(mask, x + i);
		const __m512i low = _mm512_permutex2var_epi8(t0, v, t1), high = _mm512_permutex2var_epi8(t2, v, t3);
		_mm512_mask_storeu_epi8(y + i, mask, _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), low, high));
	}
}
#endif

static void look_up(uint8_t *y, const uint8_t *x, int64_t n, const uint8_t *table)
{
#if defined(__x86_64__)
	if (cpu_has_avx512_vbmi()) {
		look_up_vbmi(y, x, n, table);
		return;
	}
#endif
	look_up_plain(y, x, n, table);
}

static int qtable_prepare(struct call *s)
{
	s->inplace = QTABLE_X;
	call_set_impl(s, cpu_has_avx512_vbmi() ? "loop:avx512_vbmi" : "loop");
	return 0;
}

static int qtable_forward(struct call *s)
{
	const int64_t n = shape_count(s->out.shape), lines = (n + 63) / 64;
#pragma omp parallel if (n >= CPU_SERIAL / 2)
	{
		int64_t first, last;
		cpu_split(lines, omp_get_num_threads(), omp_get_thread_num(), &first, &last);
		first *= 64;
		last = last * 64 < n ? last * 64 : n;
		if (last > first)
			look_up((uint8_t *)s->out.data + first, (const uint8_t *)s->in[QTABLE_X].data + first,
			    last - first, s->in[QTABLE_TABLE].data);
	}
	return 0;
}

const struct kernel cpu_gelu_table_kernel = {.forward = gelu_table_forward};
const struct kernel cpu_qtable_kernel = {.prepare = qtable_prepare, .forward = qtable_forward};
