/* OP_MAXPOOL: own loops for f32; u8 and s8 are in maxpool_int.c. TRAIN keeps the winner of each window as one byte, so
 * that backward reads neither x nor y. The first maximum of a window, row by row, wins;
 * NaN wins over everything.
 *
 * A plain loop over float values and byte winners is one that compilers vectorise badly (20 ms where the AVX-512 code
 * below takes 2): hence two versions of the innermost functions, with the same results. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/isa.h"

#define MAX_WINDOW 16 /* a winner is p * kernel + q in one byte */

struct maxpool {
	int64_t N, H, W, C, OH, OW, kernel, stride, pad;
	bool disjoint; /* windows of different output rows touch different input rows */
	bool winners;
};

/* The part of a window that lies in the image: taps h0 <= h < h1, w0 <= w < w1; `first` is tap (0, 0) as an offset into
 * the image, which may lie outside. */
struct window {
	int64_t h0, h1, w0, w1, first, line;
};

static int maxpool_prepare(struct call *s)
{
	if (s->out.dtype == DT_U8 || s->out.dtype == DT_S8) {
		call_set_impl(s, "loop:int8");
		return 0;
	}
	int rc = call_need_f32(s, "cpu", 1);
	if (rc)
		return rc;
	struct maxpool *p = s->state = mem_alloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	const int64_t *d = s->in[0].shape.dim;
	const struct attr *a = &s->node->attr;
	*p = (struct maxpool){.N = d[0],
	    .H = d[1],
	    .W = d[2],
	    .C = d[3],
	    .OH = s->out.shape.dim[1],
	    .OW = s->out.shape.dim[2],
	    .kernel = a->kernel,
	    .stride = a->stride,
	    .pad = a->pad};
	p->disjoint = p->stride >= p->kernel && p->pad == 0;
	p->winners = s->mode == EXEC_TRAIN && s->want[0];
	if (p->winners && p->kernel > MAX_WINDOW)
		return err_set(ERR_DEVICE, "cpu: node %s (maxpool): windows above %d x %d cannot be trained",
		    s->node->name, MAX_WINDOW, MAX_WINDOW);
	if (p->winners)
		s->saved = (size_t)shape_count(s->out.shape);
	call_set_impl(s, cpu_has_avx512() ? "loop:avx512" : "loop");
	return 0;
}

static struct window window_at(const struct maxpool *p, int64_t i, int64_t j)
{
	int64_t top = i * p->stride - p->pad, left = j * p->stride - p->pad;
	return (struct window){
	    .h0 = top < 0 ? -top : 0,
	    .h1 = top + p->kernel > p->H ? p->H - top : p->kernel,
	    .w0 = left < 0 ? -left : 0,
	    .w1 = left + p->kernel > p->W ? p->W - left : p->kernel,
	    .first = (top * p->W + left) * p->C,
	    .line = p->W * p->C,
	};
}

CPU_CLONES static void tap_next(float *y, uint8_t *win, const float *x, uint8_t tap, int64_t C)
{
	for (int64_t c = 0; win && c < C; c++)
		win[c] = x[c] > y[c] || x[c] != x[c] ? tap : win[c];
#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		y[c] = x[c] > y[c] || x[c] != x[c] ? x[c] : y[c];
}

static void pool_plain(const struct maxpool *p, const struct window *v, const float *x, float *y, uint8_t *win)
{
	bool first = true;
	for (int64_t h = v->h0; h < v->h1; h++) {
		for (int64_t w = v->w0; w < v->w1; w++) {
			const float *tap = x + (v->first + h * v->line + w * p->C);
			uint8_t number = (uint8_t)(h * p->kernel + w);
			if (first) {
				memcpy(y, tap, (size_t)p->C * sizeof(*y));
				if (win)
					memset(win, number, (size_t)p->C);
			} else {
				tap_next(y, win, tap, number, p->C);
			}
			first = false;
		}
	}
}

/* `set`: the window's gradients are written, not added; then every tap of it gets a value. */
static void scatter_plain(
    const struct maxpool *p, const struct window *v, float *dx, const float *dy, const uint8_t *win, bool set)
{
	for (int64_t h = v->h0; h < v->h1; h++) {
		for (int64_t w = v->w0; w < v->w1; w++) {
			float *tap = dx + (v->first + h * v->line + w * p->C);
			uint8_t number = (uint8_t)(h * p->kernel + w);
			for (int64_t c = 0; c < p->C; c++)
				tap[c] = (set ? 0.0f : tap[c]) + (win[c] == number ? dy[c] : 0.0f);
		}
	}
}

#if defined(__x86_64__)
#include <immintrin.h>

/* Not the narrowing masked store: microcode on some CPUs. */
TARGET_AVX512 static inline void store_winners(uint8_t *win, __mmask16 lanes, __m512i winner)
{
	const __m128i bytes = _mm512_cvtepi32_epi8(winner);
	if (win && lanes == 0xffff)
		_mm_storeu_si128((__m128i *)win, bytes);
	else if (win)
		_mm_mask_storeu_epi8(win, lanes, bytes);
}

TARGET_AVX512 static void pool_avx512(
    const struct maxpool *p, const struct window *v, const float *x, float *y, uint8_t *win)
{
	for (int64_t c = 0; c < p->C; c += 16) {
		const __mmask16 lanes = (__mmask16)(p->C - c >= 16 ? 0xffffu : (1u << (p->C - c)) - 1);
		const float *at = x + (v->first + c);
		__m512 best = _mm512_maskz_loadu_ps(lanes, at + (v->h0 * v->line + v->w0 * p->C));
		__m512i winner = _mm512_set1_epi32((int)(v->h0 * p->kernel + v->w0));
		for (int64_t h = v->h0; h < v->h1; h++) {
			for (int64_t w = v->w0; w < v->w1; w++) {
				const float *tap = at + (h * v->line + w * p->C);
				_mm_prefetch((const char *)(tap + 512), _MM_HINT_T0);
				const __m512 t = _mm512_maskz_loadu_ps(lanes, tap);
				const __mmask16 above =
				    _mm512_cmp_ps_mask(t, best, _CMP_GT_OQ) | _mm512_cmp_ps_mask(t, t, _CMP_UNORD_Q);
				best = _mm512_mask_mov_ps(best, above, t);
				winner =
				    _mm512_mask_mov_epi32(winner, above, _mm512_set1_epi32((int)(h * p->kernel + w)));
			}
		}
		_mm512_mask_storeu_ps(y + c, lanes, best);
		store_winners(win ? win + c : NULL, lanes, winner);
	}
}

/* Floats to prefetch: one thread pools 32 x 60 x 60 x 32 values in 0.64 ms with this, in 1.2 ms without. */
#define AHEAD 2048

/* Best of `best` and tap `number` at `from`, where it wins; see the head of the file. */
#define TAKE(number, from)                                                                                             \
	do {                                                                                                           \
		const __m512 value = _mm512_maskz_loadu_ps(lanes, from);                                               \
		_mm_prefetch((const char *)((from) + AHEAD), _MM_HINT_T0);                                             \
		const __mmask16 above =                                                                                \
		    _mm512_cmp_ps_mask(value, best, _CMP_GT_OQ) | _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);      \
		best = _mm512_mask_mov_ps(best, above, value);                                                         \
		winner = _mm512_mask_mov_epi32(winner, above, _mm512_set1_epi32(number));                              \
	} while (0)

/* Output row i of 2x2 windows of stride 2 without padding, the usual case: a call per window took longer than its
 * work. */
TARGET_AVX512 static void row_2x2_avx512(const struct maxpool *p, int64_t i, const float *image, float *y, uint8_t *win)
{
	const int64_t C = p->C, line = p->W * C, n = p->OW;
	const float *x = image + 2 * i * line;
	for (int64_t j = 0; j < n; j++, x += 2 * C, y += C, win = win ? win + C : NULL) {
		for (int64_t c = 0; c < C; c += 16) {
			const __mmask16 lanes = (__mmask16)(C - c >= 16 ? 0xffffu : (1u << (C - c)) - 1);
			_mm_prefetch((const char *)(x + c + AHEAD), _MM_HINT_T0);
			__m512 best = _mm512_maskz_loadu_ps(lanes, x + c);
			__m512i winner = _mm512_setzero_si512();
			TAKE(1, x + C + c);
			TAKE(2, x + line + c);
			TAKE(3, x + line + C + c);
			_mm512_mask_storeu_ps(y + c, lanes, best);
			store_winners(win ? win + c : NULL, lanes, winner);
		}
	}
}

TARGET_AVX512 static void scatter_avx512(
    const struct maxpool *p, const struct window *v, float *dx, const float *dy, const uint8_t *win, bool set)
{
	for (int64_t c = 0; c < p->C; c += 16) {
		const __mmask16 lanes = (__mmask16)(p->C - c >= 16 ? 0xffffu : (1u << (p->C - c)) - 1);
		const __m512 g = _mm512_maskz_loadu_ps(lanes, dy + c);
		const __m512i winner = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, win + c));
		for (int64_t h = v->h0; h < v->h1; h++) {
			for (int64_t w = v->w0; w < v->w1; w++) {
				float *tap = dx + (v->first + h * v->line + w * p->C + c);
				__builtin_prefetch(tap + 512, 1);
				const __mmask16 won =
				    _mm512_cmpeq_epi32_mask(winner, _mm512_set1_epi32((int)(h * p->kernel + w)));
				const __m512 old = set ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, tap);
				_mm512_mask_storeu_ps(tap, lanes, _mm512_mask_add_ps(old, won, old, g));
			}
		}
	}
}
#else
/* Never called: cpu_has_avx512() is false. */
static void row_2x2_avx512(const struct maxpool *p, int64_t i, const float *image, float *y, uint8_t *win)
{
	(void)p, (void)i, (void)image, (void)y, (void)win;
}
#endif

typedef void (*pool_fn)(const struct maxpool *, const struct window *, const float *, float *, uint8_t *);
typedef void (*scatter_fn)(
    const struct maxpool *, const struct window *, float *, const float *, const uint8_t *, bool);

static pool_fn pool_choose(void)
{
#if defined(__x86_64__)
	if (cpu_has_avx512())
		return pool_avx512;
#endif
	return pool_plain;
}

static scatter_fn scatter_choose(void)
{
#if defined(__x86_64__)
	if (cpu_has_avx512())
		return scatter_avx512;
#endif
	return scatter_plain;
}

static int maxpool_forward(struct call *s)
{
	const struct maxpool *p = s->state;
	if (!p)
		return cpu_maxpool_int_forward(s);
	const pool_fn pool = pool_choose();
	const float *x = s->in[0].data;
	float *y = s->out.data;
	uint8_t *win = p->winners ? s->saved_mem : NULL;
	const bool usual = p->kernel == 2 && p->stride == 2 && p->pad == 0 && cpu_has_avx512();
#pragma omp parallel for schedule(static) if (p->N * p->H * p->W * p->C >= CPU_SERIAL)
	for (int64_t row = 0; row < p->N * p->OH; row++) {
		const float *image = x + row / p->OH * p->H * p->W * p->C;
		const int64_t begin = row * p->OW * p->C;
		if (usual) {
			row_2x2_avx512(p, row % p->OH, image, y + begin, win ? win + begin : NULL);
			continue;
		}
		for (int64_t j = 0; j < p->OW; j++) {
			const struct window v = window_at(p, row % p->OH, j);
			int64_t at = (row * p->OW + j) * p->C;
			pool(p, &v, image, y + at, win ? win + at : NULL);
		}
	}
	return 0;
}

/* Input rows [h0, h1) of an image that hold what output rows [first, last) touch; zeroes what no window will set. */
static void clear_rows(const struct maxpool *p, float *image, int64_t h0, int64_t h1, bool set)
{
	int64_t line = p->W * p->C;
	/* With `set`, windows tile the image but for a margin on the right and below. */
	int64_t reach_h = set ? p->OH * p->stride : 0, reach_w = set ? p->OW * p->stride * p->C : 0;
	for (int64_t h = h0; h < h1; h++) {
		int64_t from = h < reach_h ? reach_w : 0;
		if (from < line)
			memset(image + h * line + from, 0, (size_t)(line - from) * sizeof(*image));
	}
}

/* One unit of work: an output row where windows are disjoint, else an image. */
static int maxpool_backward(struct call *s)
{
	const struct maxpool *p = s->state;
	const scatter_fn scatter = scatter_choose();
	const float *dy = s->dout.data;
	const uint8_t *win = s->saved_mem;
	float *dx = s->din[0].data;
	const bool accumulate = s->accumulate[0], set = !accumulate && p->disjoint && p->stride == p->kernel;
	const int64_t units = p->disjoint ? p->OH : 1;
#pragma omp parallel for schedule(static) if (p->N * p->H * p->W * p->C >= CPU_SERIAL)
	for (int64_t u = 0; u < p->N * units; u++) {
		int64_t n = u / units, first = p->disjoint ? u % units : 0, last = p->disjoint ? first + 1 : p->OH;
		float *image = dx + n * p->H * p->W * p->C;
		/* The input rows of this unit; the last one also owns the rows that no window reaches. */
		if (!accumulate)
			clear_rows(
			    p, image, first * p->stride * p->disjoint, last == p->OH ? p->H : last * p->stride, set);
		for (int64_t i = first; i < last; i++) {
			for (int64_t j = 0; j < p->OW; j++) {
				const struct window v = window_at(p, i, j);
				int64_t at = ((n * p->OH + i) * p->OW + j) * p->C;
				scatter(p, &v, image, dy + at, win + at, set);
			}
		}
	}
	return 0;
}

const struct kernel cpu_maxpool_kernel = {maxpool_prepare, NULL, maxpool_forward, maxpool_backward, call_release_state};
