/* Direct convolution of 8-bit images with up to 4 channels (first layers) for AVX512-VNNI. oneDNN pads such inputs to
 * 16 channels or more; here one row of a kernel, KW*C contiguous bytes, is cut into steps of 4 bytes, so 5 taps x 3
 * channels cost 4 steps. Images are copied with their padding into scratch first, a fraction of the work. No residual
 * and no input channels above 4: those go through oneDNN. */
#include "cpu/vnni.h"

#include <omp.h>
#include <string.h>

#include "cpu/kernels.h"

#define COLS  16 /* output channels of a packed block */
#define SLACK 64 /* the last step of the last pixel reads up to 3 bytes past its row */

static int64_t ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}
static int64_t row_steps(const struct vnni_conv *p)
{
	return ceil_div(p->KW * p->C, 4);
}
static int64_t line_bytes(const struct vnni_conv *p)
{
	return (p->W + 2 * p->pad) * p->C;
}

static size_t image_bytes(const struct vnni_conv *p)
{
	const int64_t bytes = (p->H + 2 * p->pad) * line_bytes(p) + SLACK;
	return (size_t)(ceil_div(bytes, 64) * 64);
}

size_t vnni_conv_scratch_bytes(const struct vnni_conv *p)
{
	return image_bytes(p) * (size_t)omp_get_max_threads();
}

size_t vnni_conv_packed_bytes(const struct vnni_conv *p)
{
	return (size_t)(ceil_div(p->O, COLS) * p->KH * row_steps(p)) * COLS * 4;
}

void vnni_conv_pack(const struct vnni_conv *p, const int8_t *w, int8_t *packed, int32_t *sums)
{
	const int64_t steps = row_steps(p), row = p->KW * p->C;
	memset(packed, 0, vnni_conv_packed_bytes(p));
	memset(sums, 0, (size_t)(ceil_div(p->O, COLS) * COLS) * sizeof(*sums));
	for (int64_t o = 0; o < p->O; o++)
		for (int64_t kh = 0; kh < p->KH; kh++)
			for (int64_t i = 0; i < row; i++) {
				const int8_t v = w[(o * p->KH + kh) * row + i];
				const int64_t step = (o / COLS * p->KH + kh) * steps + i / 4;
				packed[(step * COLS + o % COLS) * 4 + i % 4] = v;
				sums[o] += v;
			}
}

#if defined(__x86_64__)
#include "cpu/vnni_epilogue.h"

/* Input lines [first, last) of the padded image, as unsigned integers; a padded pixel is the integer 0. */
TARGET_VNNI static void copy_lines(const struct vnni_conv *p, int64_t n, int64_t first, int64_t last, uint8_t *image)
{
	const int64_t line = line_bytes(p), inner = p->W * p->C, edge = p->pad * p->C;
	const uint8_t flip = p->x_signed ? 0x80 : 0;
	for (int64_t h = first; h < last; h++) {
		uint8_t *dst = image + h * line;
		if (h < p->pad || h >= p->H + p->pad) {
			memset(dst, flip, (size_t)line);
			continue;
		}
		const uint8_t *src = (const uint8_t *)p->x + (n * p->H + h - p->pad) * inner;
		memset(dst, flip, (size_t)edge);
		for (int64_t i = 0; i < inner; i++)
			dst[edge + i] = src[i] ^ flip;
		memset(dst + edge + inner, flip, (size_t)edge);
	}
}

/* P output pixels of one row from (oh, ow) on, B channel blocks. */
VNNI_INLINE void tile(const struct vnni_conv *p, const uint8_t *image, int64_t n, int64_t oh, int64_t ow, int64_t block,
    const int P, const int B)
{
	const int64_t steps = row_steps(p), line = line_bytes(p), hop = p->stride * p->C;
	const int64_t block_bytes = p->KH * steps * 64;
	const int8_t *w = p->packed + block * block_bytes;
	__m512i acc[12][4];

	UNROLL
	for (int b = 0; b < B; b++) {
		const __m512i sum = _mm512_loadu_si512(p->sums + (block + b) * COLS);
		const __m512i start = p->x_signed ? _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7))
						  : _mm512_setzero_si512();
		UNROLL
		for (int i = 0; i < P; i++)
			acc[i][b] = start;
	}
	for (int64_t kh = 0; kh < p->KH; kh++) {
		const uint8_t *x = image + (oh * p->stride + kh) * line + ow * hop;
		for (int64_t s = 0; s < steps; s++, w += 64, x += 4) {
			__m512i wv[4];
			UNROLL
			for (int b = 0; b < B; b++)
				wv[b] = _mm512_loadu_si512(w + b * block_bytes);
			UNROLL
			for (int i = 0; i < P; i++) {
				int v;
				memcpy(&v, x + i * hop, 4);
				const __m512i xv = _mm512_set1_epi32(v);
				UNROLL
				for (int b = 0; b < B; b++)
					vnni_dot(&acc[i][b], xv, wv[b]);
			}
		}
	}
	const struct int_epilogue e = p->e;
	void *y = p->y;
	const int64_t O = p->O, row = (n * p->OH + oh) * p->OW + ow;
	UNROLL
	for (int b = 0; b < B; b++) {
		const int64_t col = (block + b) * COLS;
		const struct vnni_columns v = vnni_columns(&e, col, O);
		UNROLL
		for (int i = 0; i < P; i++)
			vnni_store(&e, &v, y, (row + i) * O + col, row + i, acc[i][b]);
	}
}

/* One output row: tiles of P pixels, the last one moved back to overlap its neighbour (equal results, no residual). */
#define ROW(P, B)                                                                                                      \
	TARGET_VNNI static void row_##P##_##B(                                                                         \
	    const struct vnni_conv *p, const uint8_t *image, int64_t n, int64_t oh, int64_t block)                     \
	{                                                                                                              \
		for (int64_t ow = 0; ow < p->OW; ow += P)                                                              \
			tile(p, image, n, oh, ow + P <= p->OW ? ow : p->OW - P, block, P, B);                          \
	}
ROW(1, 1)
ROW(1, 2)
ROW(1, 4)
ROW(12, 1)
ROW(12, 2) /* 24 sums, 2 weights */
ROW(6, 4)  /* 24 sums, 4 weights */

typedef void (*row_fn)(const struct vnni_conv *, const uint8_t *, int64_t, int64_t, int64_t);

static row_fn row_choose(int64_t OW, int64_t blocks)
{
	if (blocks >= 4)
		return OW >= 6 ? row_6_4 : row_1_4;
	if (blocks >= 2)
		return OW >= 12 ? row_12_2 : row_1_2;
	return OW >= 12 ? row_12_1 : row_1_1;
}

static void rows(const struct vnni_conv *p, int64_t n, int64_t first, int64_t last, uint8_t *image)
{
	const int64_t blocks = ceil_div(p->O, COLS);
	copy_lines(p, n, first * p->stride, (last - 1) * p->stride + p->KH, image);
	for (int64_t b = 0; b < blocks;) {
		const row_fn row = row_choose(p->OW, blocks - b);
		for (int64_t oh = first; oh < last; oh++)
			row(p, image, n, oh, b);
		b += blocks - b >= 4 ? 4 : blocks - b >= 2 ? 2 : 1;
	}
}

void vnni_conv_run(const struct vnni_conv *p)
{
	const int64_t macs = p->N * p->OH * p->OW * p->O * p->KH * p->KW * p->C;
	const int threads = omp_get_max_threads();
	/* with fewer images than threads, images are cut into bands of rows */
	const int64_t bands = p->N >= threads ? 1 : p->OH < threads ? p->OH : threads;
#pragma omp parallel for collapse(2) schedule(static) if (macs >= CPU_SERIAL_MACS)
	for (int64_t n = 0; n < p->N; n++)
		for (int64_t b = 0; b < bands; b++) {
			const int64_t first = b * p->OH / bands, last = (b + 1) * p->OH / bands;
			rows(p, n, first, last, p->scratch + image_bytes(p) * (size_t)omp_get_thread_num());
		}
}
#else
/* Never called: cpu_has_avx512_vnni() is false. */
void vnni_conv_run(const struct vnni_conv *p)
{
	(void)p;
}
#endif
