/* Small products (product.h): tiles of up to 8 rows and 32 columns in AVX-512 registers, or row by row in plain C. */
#include "cpu/product.h"

#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "cpu/vecmath.h"

CPU_CLONES static void product_plain(const struct product *p)
{
	for (int64_t i = 0; i < p->m; i++) {
		float *c = p->c + i * p->c_row;
		if (!p->add)
			memset(c, 0, (size_t)p->n * sizeof(*c));
		for (int64_t k = 0; k < p->k; k++) {
			const float a = p->a[i * p->a_row + k * p->a_step], *b = p->b + k * p->b_row;
#pragma omp simd
			for (int64_t j = 0; j < p->n; j++)
				c[j] = fmaf(a, b[j], c[j]);
		}
	}
}

#if defined(__x86_64__)
#include <immintrin.h>

#define TILE_ROWS 8

/* `rows` rows and `wide` vectors from row i, column j on; both are constants where it is called, so that all sums are
 * in registers. */
TARGET_AVX512 static inline __attribute__((always_inline)) void tile(
    const struct product *p, int64_t i, int64_t j, const int rows, const int wide)
{
	const float *a = p->a + i * p->a_row, *b = p->b + j;
	float *c = p->c + i * p->c_row + j;
	__m512 sum[TILE_ROWS][2];
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
		for (int w = 0; w < wide; w++)
			sum[r][w] = p->add ? _mm512_loadu_ps(c + r * p->c_row + w * 16) : _mm512_setzero_ps();
	for (int64_t k = 0; k < p->k; k++, a += p->a_step, b += p->b_row) {
		const __m512 b0 = _mm512_loadu_ps(b), b1 = wide > 1 ? _mm512_loadu_ps(b + 16) : b0;
#pragma GCC unroll 8
		for (int r = 0; r < rows; r++) {
			const __m512 v = _mm512_set1_ps(a[r * p->a_row]);
			sum[r][0] = _mm512_fmadd_ps(v, b0, sum[r][0]);
			if (wide > 1)
				sum[r][1] = _mm512_fmadd_ps(v, b1, sum[r][1]);
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
		for (int w = 0; w < wide; w++)
			_mm512_storeu_ps(c + r * p->c_row + w * 16, sum[r][w]);
}

TARGET_AVX512 static inline __attribute__((always_inline)) void tile_rows(
    const struct product *p, int64_t i, int64_t j, const int rows)
{
	if (p->n - j >= 32)
		tile(p, i, j, rows, 2);
	else
		tile(p, i, j, rows, 1);
}

TARGET_AVX512 static void product_avx512(const struct product *p)
{
	for (int64_t j = 0; j < p->n; j += 32) {
		int64_t i = 0;
		for (; i + 8 <= p->m; i += 8)
			tile_rows(p, i, j, 8);
		if (p->m - i >= 4) {
			tile_rows(p, i, j, 4);
			i += 4;
		}
		for (; i < p->m; i++)
			tile_rows(p, i, j, 1);
	}
}
#else
#define product_avx512 product_plain
#endif

product_fn product_choose(void)
{
	return cpu_has_avx512() ? product_avx512 : product_plain;
}
