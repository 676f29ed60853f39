/* Max pooling of u8 and s8 in NHWC, forward only. Own code because oneDNN's takes several times as long (it pools
 * element by element for 8-bit types). Padding never wins: windows are clipped to the image. */
#include "cpu/kernels.h"

#include "base/err.h"
#include "cpu/isa.h"

#include <string.h>

/* From this many input bytes on, a second thread pays for waking it. */
#define PARALLEL_BYTES (1 << 17)

/* One output row: `lines` input lines from x on, W pixels of C bytes each. */
struct row {
	const uint8_t *x;
	uint8_t *y;
	int64_t W, C, OW;
	int lines, kernel, stride, pad;
	bool is_signed;
};

/* Columns of the window of output ow, clipped to the image. */
static inline void window(const struct row *r, int64_t ow, int64_t *left, int64_t *right)
{
	*left = ow * r->stride - r->pad;
	*right = *left + r->kernel < r->W ? *left + r->kernel : r->W;
	*left = *left > 0 ? *left : 0;
}

static void row_plain(const struct row *r)
{
	const uint8_t flip = r->is_signed ? 0x80 : 0; /* s8 order is u8 order of q + 128 */
	for (int64_t ow = 0; ow < r->OW; ow++) {
		int64_t left, right;
		window(r, ow, &left, &right);
		for (int64_t c = 0; c < r->C; c++) {
			uint8_t best = 0;
			for (int64_t i = 0; i < r->lines; i++)
				for (int64_t j = left; j < right; j++) {
					const uint8_t v = r->x[(i * r->W + j) * r->C + c] ^ flip;
					best = v > best ? v : best;
				}
			r->y[ow * r->C + c] = best ^ flip;
		}
	}
}

#if defined(__x86_64__)
#include <immintrin.h>

/* 64 channels (those of `mask`) of every output pixel from channel c on. */
TARGET_AVX512 static void row_avx512(const struct row *r, int64_t c, __mmask64 mask)
{
	const struct row w = *r; /* local, so that stores cannot alias it */
	const __m512i flip = _mm512_set1_epi8(w.is_signed ? (char)-128 : 0);
	for (int64_t ow = 0; ow < w.OW; ow++) {
		int64_t left, right;
		window(&w, ow, &left, &right);
		__m512i best = _mm512_setzero_si512();
		for (int64_t i = 0; i < w.lines; i++)
			for (int64_t j = left; j < right; j++) {
				const uint8_t *x = w.x + (i * w.W + j) * w.C + c;
				best = _mm512_max_epu8(best, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, x), flip));
			}
		_mm512_mask_storeu_epi8(w.y + ow * w.C + c, mask, _mm512_xor_si512(best, flip));
	}
}

/* 2x2 windows of stride 2, 64 channels from c on: the usual case without loops and masks. */
TARGET_AVX512 static void row_2x2_avx512(const struct row *r, int64_t c)
{
	const __m512i flip = _mm512_set1_epi8(r->is_signed ? (char)-128 : 0);
	const int64_t C = r->C, line = r->W * C, n = r->OW;
	const uint8_t *x = r->x + c;
	uint8_t *y = r->y + c;
	for (int64_t i = 0; i < n; i++, x += 2 * C, y += C) {
		const __m512i a = _mm512_xor_si512(_mm512_loadu_si512(x), flip);
		const __m512i b = _mm512_xor_si512(_mm512_loadu_si512(x + C), flip);
		const __m512i d = _mm512_xor_si512(_mm512_loadu_si512(x + line), flip);
		const __m512i e = _mm512_xor_si512(_mm512_loadu_si512(x + line + C), flip);
		const __m512i best = _mm512_max_epu8(_mm512_max_epu8(a, b), _mm512_max_epu8(d, e));
		_mm512_storeu_si512(y, _mm512_xor_si512(best, flip));
	}
}

/* The same with C = 32, half a register: two taps in one load, the halves compared at the end. */
TARGET_AVX512 static void row_2x2x32_avx512(const struct row *r)
{
	const __m256i flip = _mm256_set1_epi8(r->is_signed ? (char)-128 : 0);
	const __m512i flips = _mm512_broadcast_i64x4(flip);
	const int64_t line = r->W * 32, n = r->OW;
	const uint8_t *x = r->x;
	uint8_t *y = r->y;
	for (int64_t i = 0; i < n; i++, x += 64, y += 32) {
		const __m512i top = _mm512_xor_si512(_mm512_loadu_si512(x), flips);
		const __m512i both = _mm512_max_epu8(top, _mm512_xor_si512(_mm512_loadu_si512(x + line), flips));
		const __m256i best = _mm256_max_epu8(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
		_mm256_storeu_si256((__m256i *)y, _mm256_xor_si256(best, flip));
	}
}

static void row_wide(const struct row *r)
{
	const bool plain = r->kernel == 2 && r->stride == 2 && r->pad == 0;
	int64_t c = 0;
	if (plain && r->C == 32) {
		row_2x2x32_avx512(r);
		return;
	}
	for (; c + 64 <= r->C; c += 64)
		if (plain)
			row_2x2_avx512(r, c);
		else
			row_avx512(r, c, ~0ull);
	if (c < r->C)
		row_avx512(r, c, (1ull << (r->C - c)) - 1);
}
#else
static void row_wide(const struct row *r)
{
	row_plain(r);
}
#endif

static void pool_row(const struct call *s, int64_t n, int64_t oh, bool wide)
{
	const struct attr *a = &s->node->attr;
	const int64_t *d = s->in[0].shape.dim, H = d[1], W = d[2], C = d[3], OW = s->out.shape.dim[2];
	int64_t top = oh * a->stride - a->pad, bottom = top + a->kernel;
	top = top < 0 ? 0 : top;
	bottom = bottom > H ? H : bottom;
	const struct row r = {.x = (const uint8_t *)s->in[0].data + (n * H + top) * W * C,
	    .y = (uint8_t *)s->out.data + (n * s->out.shape.dim[1] + oh) * OW * C,
	    .W = W,
	    .C = C,
	    .OW = OW,
	    .lines = (int)(bottom - top),
	    .kernel = a->kernel,
	    .stride = a->stride,
	    .pad = a->pad,
	    .is_signed = s->out.dtype == DT_S8};
	if (wide)
		row_wide(&r);
	else
		row_plain(&r);
}

int cpu_maxpool_int_forward(struct call *s)
{
	const int64_t N = s->out.shape.dim[0], OH = s->out.shape.dim[1];
	const bool wide = cpu_has_avx512();
	if (s->out.dtype != DT_U8 && s->out.dtype != DT_S8)
		return err_set(ERR_FAIL, "%s: integer max pooling of %s", s->node->name, dtype_name(s->out.dtype));
#pragma omp parallel for collapse(2) schedule(static) if (shape_count(s->in[0].shape) >= PARALLEL_BYTES)
	for (int64_t n = 0; n < N; n++)
		for (int64_t oh = 0; oh < OH; oh++)
			pool_row(s, n, oh, wide);
	return 0;
}
