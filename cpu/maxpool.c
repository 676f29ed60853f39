/* OP_MAXPOOL: own loops for f32; u8 and s8 are in maxpool_int.c. TRAIN keeps the winner of each window as one byte, so
 * that backward reads neither x nor y. The first maximum of a window, row by row, wins. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define MAX_WINDOW 16 /* a winner is p * kernel + q in one byte */

struct maxpool {
	int64_t N, H, W, C, OH, OW, kernel, stride, pad;
	bool disjoint; /* windows of different output rows touch different input rows */
	bool winners;
};

static int maxpool_prepare(struct step *s)
{
	if (s->out.dtype == DT_U8 || s->out.dtype == DT_S8) {
		cpu_set_impl(s, "loop:int8");
		return 0;
	}
	int rc = cpu_need_f32(s, 1);
	if (rc)
		return rc;
	struct maxpool *p = s->state = mem_alloc(1, sizeof *p);
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
		s->keep = (size_t)shape_count(s->out.shape);
	cpu_set_impl(s, "loop");
	return 0;
}

/* Taps first <= t < last of a window that starts at `at` and may reach over the edge of `size`. */
static void clip_taps(const struct maxpool *p, int64_t at, int64_t size, int64_t *first, int64_t *last)
{
	*first = at < 0 ? -at : 0;
	*last = at + p->kernel > size ? size - at : p->kernel;
}

CPU_CLONES static void tap_first(float *y, uint8_t *win, const float *x, uint8_t tap, int64_t C)
{
	memcpy(y, x, (size_t)C * sizeof *y);
	if (win)
		memset(win, tap, (size_t)C);
}

CPU_CLONES static void tap_next(float *y, uint8_t *win, const float *x, uint8_t tap, int64_t C)
{
	if (!win) {
#pragma omp simd
		for (int64_t c = 0; c < C; c++)
			y[c] = x[c] > y[c] ? x[c] : y[c];
		return;
	}
#pragma omp simd
	for (int64_t c = 0; c < C; c++) {
		win[c] = x[c] > y[c] ? tap : win[c];
		y[c] = x[c] > y[c] ? x[c] : y[c];
	}
}

/* The common 2 x 2 window, in one pass; x1 is the pixel below x0. */
CPU_CLONES static void window_2x2(float *y, uint8_t *win, const float *x0, const float *x1, int64_t C)
{
	if (!win) {
#pragma omp simd
		for (int64_t c = 0; c < C; c++) {
			float a = x0[C + c] > x0[c] ? x0[C + c] : x0[c];
			float b = x1[C + c] > x1[c] ? x1[C + c] : x1[c];
			y[c] = b > a ? b : a;
		}
		return;
	}
#pragma omp simd
	for (int64_t c = 0; c < C; c++) {
		int ka = x0[C + c] > x0[c] ? 1 : 0, kb = x1[C + c] > x1[c] ? 3 : 2;
		float a = x0[C + c] > x0[c] ? x0[C + c] : x0[c];
		float b = x1[C + c] > x1[c] ? x1[C + c] : x1[c];
		win[c] = (uint8_t)(b > a ? kb : ka);
		y[c] = b > a ? b : a;
	}
}

/* Output pixel (i, j) of one image. */
static void pool_pixel(const struct maxpool *p, const float *x, int64_t i, int64_t j, float *y, uint8_t *win)
{
	int64_t top = i * p->stride - p->pad, left = j * p->stride - p->pad, h0, h1, w0, w1;
	clip_taps(p, top, p->H, &h0, &h1);
	clip_taps(p, left, p->W, &w0, &w1);
	if (p->kernel == 2 && h1 - h0 == 2 && w1 - w0 == 2) {
		const float *x0 = x + (top * p->W + left) * p->C;
		window_2x2(y, win, x0, x0 + p->W * p->C, p->C);
		return;
	}
	bool first = true;
	for (int64_t h = h0; h < h1; h++) {
		for (int64_t w = w0; w < w1; w++) {
			const float *tap = x + ((top + h) * p->W + left + w) * p->C;
			(first ? tap_first : tap_next)(y, win, tap, (uint8_t)(h * p->kernel + w), p->C);
			first = false;
		}
	}
}

static int maxpool_forward(struct step *s)
{
	const struct maxpool *p = s->state;
	if (!p)
		return cpu_maxpool_int_forward(s);
	const float *x = s->in[0].data;
	float *y = s->out.data;
	uint8_t *win = p->winners ? s->keep_mem : NULL;
#pragma omp parallel for schedule(static) if (p->N * p->H * p->W * p->C >= CPU_SERIAL)
	for (int64_t row = 0; row < p->N * p->OH; row++) {
		const float *image = x + row / p->OH * p->H * p->W * p->C;
		for (int64_t j = 0; j < p->OW; j++) {
			int64_t at = (row * p->OW + j) * p->C;
			pool_pixel(p, image, row % p->OH, j, y + at, win ? win + at : NULL);
		}
	}
	return 0;
}

CPU_CLONES static void tap_gradient(float *dx, const float *dy, const uint8_t *win, uint8_t tap, int64_t C)
{
#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		dx[c] += win[c] == tap ? dy[c] : 0.0f;
}

/* Adds the gradients of output row i of one image into dx of that image. */
static void scatter_row(const struct maxpool *p, float *dx, const float *dy, const uint8_t *win, int64_t i)
{
	int64_t top = i * p->stride - p->pad, h0, h1, w0, w1;
	clip_taps(p, top, p->H, &h0, &h1);
	for (int64_t j = 0; j < p->OW; j++, dy += p->C, win += p->C) {
		int64_t left = j * p->stride - p->pad;
		clip_taps(p, left, p->W, &w0, &w1);
		for (int64_t h = h0; h < h1; h++)
			for (int64_t w = w0; w < w1; w++)
				tap_gradient(dx + ((top + h) * p->W + left + w) * p->C, dy, win,
				    (uint8_t)(h * p->kernel + w), p->C);
	}
}

/* One unit of work: an output row where windows are disjoint, else an image. */
static int maxpool_backward(struct step *s)
{
	const struct maxpool *p = s->state;
	const float *dy = s->dout.data;
	const uint8_t *win = s->keep_mem;
	float *dx = s->din[0].data;
	int64_t units = p->disjoint ? p->OH : 1, row = p->OW * p->C, line = p->W * p->C;
	bool accumulate = s->accumulate[0];
#pragma omp parallel for schedule(static) if (p->N * p->H * p->W * p->C >= CPU_SERIAL)
	for (int64_t u = 0; u < p->N * units; u++) {
		int64_t n = u / units, first = p->disjoint ? u % units : 0, last = p->disjoint ? first + 1 : p->OH;
		float *image = dx + n * p->H * line;
		/* The input rows of this unit; the last one also owns the rows that no window reaches. */
		int64_t h0 = p->disjoint ? first * p->stride : 0, h1 = last == p->OH ? p->H : last * p->stride;
		if (!accumulate)
			memset(image + h0 * line, 0, (size_t)((h1 - h0) * line) * sizeof *image);
		for (int64_t i = first; i < last; i++)
			scatter_row(p, image, dy + (n * p->OH + i) * row, win + (n * p->OH + i) * row, i);
	}
	return 0;
}

const struct kernel cpu_maxpool_kernel = {maxpool_prepare, NULL, maxpool_forward, maxpool_backward, cpu_release_state};
