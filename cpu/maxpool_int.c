/* Max pooling of u8 and s8 in NHWC, forward only. Own code because oneDNN's takes several times as long (it pools
 * element by element for 8-bit types). Padding never wins: windows are clipped to the image. */
#include "cpu/kernels.h"

#include "base/err.h"
#include "cpu/isa.h"

#include <string.h>

/* From this many input bytes on, a second thread pays for waking it. */
#define PARALLEL_BYTES (1 << 17)

/* The maximum over `lines` x `taps` pixels of C bytes each; the first at x, `line` bytes from line to line. */
struct window {
	const uint8_t *x;
	int64_t C, line;
	int lines, taps;
};

static void pool_plain(const struct window *w, bool is_signed, uint8_t *y)
{
	const uint8_t flip = is_signed ? 0x80 : 0; /* s8 order is u8 order of q + 128 */
	for (int64_t c = 0; c < w->C; c++) {
		uint8_t best = 0;
		for (int i = 0; i < w->lines; i++)
			for (int j = 0; j < w->taps; j++) {
				const uint8_t v = w->x[i * w->line + j * w->C + c] ^ flip;
				best = v > best ? v : best;
			}
		y[c] = best ^ flip;
	}
}

#if defined(__x86_64__)
#include <immintrin.h>

TARGET_AVX512 static void pool_avx512(const struct window *w, bool is_signed, uint8_t *y)
{
	const __m512i flip = _mm512_set1_epi8(is_signed ? (char)-128 : 0);
	for (int64_t c = 0; c < w->C; c += 64) {
		const int64_t left = w->C - c;
		const __mmask64 mask = left >= 64 ? ~0ull : (1ull << left) - 1;
		__m512i best = _mm512_setzero_si512();
		for (int i = 0; i < w->lines; i++)
			for (int j = 0; j < w->taps; j++) {
				const __m512i v = _mm512_maskz_loadu_epi8(mask, w->x + i * w->line + j * w->C + c);
				best = _mm512_max_epu8(best, _mm512_xor_si512(v, flip));
			}
		_mm512_mask_storeu_epi8(y + c, mask, _mm512_xor_si512(best, flip));
	}
}

/* 2x2 windows of stride 2 with C = 32 are half a register: two taps in one load, the halves compared at the end. */
TARGET_AVX512 static void pool_pair32_avx512(const uint8_t *x, int64_t line, int64_t n, bool is_signed, uint8_t *y)
{
	const __m256i flip = _mm256_set1_epi8(is_signed ? (char)-128 : 0);
	const __m512i flips = _mm512_broadcast_i64x4(flip);
	for (int64_t i = 0; i < n; i++, x += 64, y += 32) {
		const __m512i top = _mm512_xor_si512(_mm512_loadu_si512(x), flips);
		const __m512i both = _mm512_max_epu8(top, _mm512_xor_si512(_mm512_loadu_si512(x + line), flips));
		const __m256i best = _mm256_max_epu8(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
		_mm256_storeu_si256((__m256i *)y, _mm256_xor_si256(best, flip));
	}
}
#endif

/* One output row; `wide`: AVX-512. */
static void pool_row(const struct step *s, int64_t n, int64_t oh, bool wide)
{
	const struct attr *a = &s->node->attr;
	const int64_t *d = s->in[0].shape.dim, H = d[1], W = d[2], C = d[3], OW = s->out.shape.dim[2];
	const bool is_signed = s->out.dtype == DT_S8;
	uint8_t *y = (uint8_t *)s->out.data + (n * s->out.shape.dim[1] + oh) * OW * C;
	int64_t top = oh * a->stride - a->pad, bottom = top + a->kernel;
	top = top < 0 ? 0 : top;
	bottom = bottom > H ? H : bottom;
	const uint8_t *lines = (const uint8_t *)s->in[0].data + (n * H + top) * W * C;
#if defined(__x86_64__)
	if (wide && C == 32 && a->kernel == 2 && a->stride == 2 && a->pad == 0) {
		pool_pair32_avx512(lines, W * C, OW, is_signed, y);
		return;
	}
#endif
	for (int64_t ow = 0; ow < OW; ow++, y += C) {
		int64_t left = ow * a->stride - a->pad, right = left + a->kernel;
		left = left < 0 ? 0 : left;
		right = right > W ? W : right;
		const struct window w = {lines + left * C, C, W * C, (int)(bottom - top), (int)(right - left)};
#if defined(__x86_64__)
		if (wide) {
			pool_avx512(&w, is_signed, y);
			continue;
		}
#endif
		pool_plain(&w, is_signed, y);
	}
}

int cpu_maxpool_int_forward(struct step *s)
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
