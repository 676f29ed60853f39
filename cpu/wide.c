/* Integer layers by 16-bit products; see wide.h. Inputs of some rows (of a convolution: the patches of some pixels)
 * are widened into scratch, then multiplied by all columns. Weights stay bytes, in blocks of 16 columns x 2 inputs. */
#include "cpu/wide.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "cpu/onednn.h"

#define COLS      16                    /* of a packed block */
#define TILE_ROWS 6                     /* 6 x 2 sums, 2 weights and one input fill 15 of AVX2's 16 registers */
#define PART      (WIDE_INPUTS / 2 * 2) /* inputs whose sums are added in 32 bits; even, for they come in pairs */

bool wide_needed(int64_t inputs)
{
	return !cpu_has_vnni() || inputs > WIDE_INPUTS;
}

const char *wide_isa(void)
{
	return cpu_has_avx2() ? "avx2" : "plain";
}

static int64_t ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

/* Of widened inputs: K, even. */
static int64_t row_width(int64_t K)
{
	return ceil_div(K, 2) * 2;
}

/* Rows that are widened together: weights are read once for them. Few where rows are long. */
static int64_t chunk_rows(int64_t K)
{
	return (K > 4096 ? 1 : 4) * TILE_ROWS;
}

size_t wide_packed_bytes(int64_t M, int64_t K)
{
	return (size_t)(ceil_div(M, COLS) * COLS * row_width(K));
}

size_t wide_scratch_bytes(int64_t K)
{
	return (size_t)(chunk_rows(K) * row_width(K)) * sizeof(int16_t) * (size_t)omp_get_max_threads();
}

void wide_pack(const int8_t *w, int64_t M, int64_t K, int8_t *packed)
{
	const int64_t width = row_width(K);
	memset(packed, 0, wide_packed_bytes(M, K));
	for (int64_t o = 0; o < M; o++)
		for (int64_t k = 0; k < K; k++)
			packed[(o / COLS * width + k / 2 * 2) * COLS + o % COLS * 2 + k % 2] = w[o * K + k];
}

/* ---- inputs ---- */

CPU_CLONES static void widen(int16_t *to, const void *from, bool is_signed, int64_t n)
{
	const int8_t *s = from;
	const uint8_t *u = from;
	if (is_signed)
		for (int64_t i = 0; i < n; i++)
			to[i] = s[i];
	else
		for (int64_t i = 0; i < n; i++)
			to[i] = u[i];
}

/* The inputs of one output pixel; outside the image they are the integer 0. */
static void fill_patch(const struct wide_layer *p, int64_t row, int16_t *to)
{
	const int64_t KH = p->K / (p->KW * p->C), line = p->KW * p->C, pixel = row % (p->OH * p->OW);
	const int64_t top = pixel / p->OW * p->stride - p->pad, left = pixel % p->OW * p->stride - p->pad;
	const int64_t first = left < 0 ? -left : 0, last = p->W - left < p->KW ? p->W - left : p->KW;
	const uint8_t *image = (const uint8_t *)p->x + row / (p->OH * p->OW) * p->H * p->W * p->C;
	memset(to, 0, (size_t)row_width(p->K) * sizeof(*to));
	for (int64_t kh = 0; kh < KH; kh++) {
		const int64_t h = top + kh;
		if (h >= 0 && h < p->H && first < last)
			widen(to + kh * line + first * p->C, image + (h * p->W + left + first) * p->C, p->x_signed,
			    (last - first) * p->C);
	}
}

static void fill_row(const struct wide_layer *p, int64_t row, int16_t *to)
{
	if (p->is_conv) {
		fill_patch(p, row, to);
		return;
	}
	widen(to, (const uint8_t *)p->x + row * p->K, p->x_signed, p->K);
	if (p->K % 2)
		to[p->K] = 0;
}

/* ---- products ---- */

/* sum (rows, COLS) = x (rows of `stride` values, `pairs` pairs of each) times a block of weights. */
static void tile_plain(int32_t *sum, const int16_t *x, int64_t stride, const int8_t *w, int64_t pairs, int64_t rows)
{
	for (int64_t r = 0; r < rows; r++, x += stride, sum += COLS) {
		int32_t acc[COLS] = {0};
		for (int64_t k = 0; k < pairs; k++)
			for (int c = 0; c < COLS; c++) {
				const int8_t *pair = w + (k * COLS + c) * 2;
				acc[c] += x[2 * k] * pair[0] + x[2 * k + 1] * pair[1];
			}
		memcpy(sum, acc, sizeof(acc));
	}
}

#if defined(__x86_64__)
#include <immintrin.h>

/* Loops over a tile's registers have constant counts and must vanish: else the sums live in memory. */
#define UNROLL _Pragma("GCC unroll 8")

static inline __attribute__((always_inline)) TARGET_AVX2 void tile_avx2(
    int32_t *sum, const int16_t *x, int64_t stride, const int8_t *w, int64_t pairs, const int R)
{
	__m256i acc[TILE_ROWS][2];
	UNROLL
	for (int r = 0; r < R; r++)
		acc[r][0] = acc[r][1] = _mm256_setzero_si256();
	for (int64_t k = 0; k < pairs; k++, w += 2 * COLS) {
		const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w));
		const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + COLS)));
		UNROLL
		for (int r = 0; r < R; r++) {
			int pair;
			memcpy(&pair, x + r * stride + 2 * k, sizeof(pair));
			const __m256i xv = _mm256_set1_epi32(pair);
			acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(xv, w0));
			acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(xv, w1));
		}
	}
	UNROLL
	for (int r = 0; r < R; r++) {
		_mm256_storeu_si256((__m256i *)(sum + r * COLS), acc[r][0]);
		_mm256_storeu_si256((__m256i *)(sum + r * COLS + COLS / 2), acc[r][1]);
	}
}

#define TILE(R)                                                                                                        \
	TARGET_AVX2 static void tile_avx2_##R(                                                                         \
	    int32_t *sum, const int16_t *x, int64_t stride, const int8_t *w, int64_t pairs)                            \
	{                                                                                                              \
		tile_avx2(sum, x, stride, w, pairs, R);                                                                \
	}
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

static void tile(int32_t *sum, const int16_t *x, int64_t stride, const int8_t *w, int64_t pairs, int64_t rows)
{
	static void (*const of_rows[TILE_ROWS])(int32_t *, const int16_t *, int64_t, const int8_t *, int64_t) = {
	    tile_avx2_1, tile_avx2_2, tile_avx2_3, tile_avx2_4, tile_avx2_5, tile_avx2_6};
	if (cpu_has_avx2())
		of_rows[rows - 1](sum, x, stride, w, pairs);
	else
		tile_plain(sum, x, stride, w, pairs, rows);
}
#else
static void tile(int32_t *sum, const int16_t *x, int64_t stride, const int8_t *w, int64_t pairs, int64_t rows)
{
	tile_plain(sum, x, stride, w, pairs, rows);
}
#endif

/* Exact sums, rounded to float once. */
static void sums_of(const struct wide_layer *p, float *out, const int16_t *x, const int8_t *w, int64_t rows)
{
	const int64_t width = row_width(p->K), n = rows * COLS;
	int32_t part[TILE_ROWS * COLS];
	if (width <= PART) {
		tile(part, x, width, w, width / 2, rows);
		for (int64_t i = 0; i < n; i++)
			out[i] = (float)part[i];
		return;
	}
	int64_t total[TILE_ROWS * COLS] = {0};
	for (int64_t first = 0; first < width; first += PART) {
		const int64_t inputs = width - first < PART ? width - first : PART;
		tile(part, x + first, width, w + first * COLS, inputs / 2, rows);
		for (int64_t i = 0; i < n; i++)
			total[i] += part[i];
	}
	for (int64_t i = 0; i < n; i++)
		out[i] = (float)total[i];
}

/* Rows [row, end), at most chunk_rows, and blocks [block, last) of columns. */
static void chunk(const struct wide_layer *p, int64_t row, int64_t end, int64_t block, int64_t last, int16_t *x)
{
	const int64_t width = row_width(p->K);
	float sum[TILE_ROWS * COLS];
	for (int64_t r = row; r < end; r++)
		fill_row(p, r, x + (r - row) * width);
	for (; block < last; block++)
		for (int64_t r = row; r < end; r += TILE_ROWS) {
			const int64_t rows = end - r < TILE_ROWS ? end - r : TILE_ROWS, col = block * COLS;
			const int64_t n = p->M - col < COLS ? p->M - col : COLS;
			sums_of(p, sum, x + (r - row) * width, p->packed + block * COLS * width, rows);
			for (int64_t i = 0; i < rows; i++)
				int_epilogue_run(&p->e, sum + i * COLS, p->y, r + i, col, n, p->M);
		}
}

void wide_run(const struct wide_layer *p)
{
	const int64_t height = chunk_rows(p->K), chunks = ceil_div(p->rows, height), blocks = ceil_div(p->M, COLS);
	const int64_t threads = omp_get_max_threads(), stride = height * row_width(p->K);
	/* With fewer chunks of rows than threads, columns are divided too; each part widens the rows for itself. */
	const int64_t parts = chunks >= threads ? 1 : blocks < threads ? blocks : threads;
#pragma omp parallel for collapse(2) schedule(static) if (p->rows * p->M * p->K >= CPU_SERIAL_MACS / 4)
	for (int64_t i = 0; i < chunks; i++)
		for (int64_t j = 0; j < parts; j++) {
			const int64_t row = i * height, end = row + height < p->rows ? row + height : p->rows;
			chunk(p, row, end, j * blocks / parts, (j + 1) * blocks / parts,
			    p->scratch + omp_get_thread_num() * stride);
		}
}

/* ---- calls ---- */

void wide_prepare(struct call *s, int64_t M, int64_t K)
{
	s->packed = wide_packed_bytes(M, K);
	s->scratch = wide_scratch_bytes(K);
	s->layout = LAYOUT_OWN_WIDE;
	snprintf(s->impl, sizeof(s->impl), "own_wide:%s", wide_isa());
}

void wide_forward(struct call *s, struct wide_layer *p)
{
	p->x = s->in[QL_X].data;
	p->packed = s->packed_mem;
	p->scratch = s->scratch_mem;
	p->y = s->out.data;
	int_epilogue_bind(s, &p->e);
	wide_run(p);
}
