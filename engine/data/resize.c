/* Resizing by a triangle filter that is as wide as a pixel of the coarser grid, so that reducing takes the mean of what
 * a pixel covers and no detail becomes a pattern. Weights are integers of 22 bits and each of the two passes rounds to
 * 8 bits: that is what the Python library Pillow does (BILINEAR), whose pixels most models were trained on. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/image.h"

/* With the wider vectors of the processor, where it has them; integers are the same in all. Sanitizer builds keep the
 * baseline: what chooses runs before the sanitizer's own set-up. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

/* 255 times a sum of weights of 1 stays below 2^31. */
#define WEIGHT_BITS 22

/* Which inputs each output of a line is a sum of. */
struct taps {
	int most; /* weights per output */
	int *first, *count;
	int32_t *weight; /* (outputs, most) */
};

static void taps_clear(struct taps *t)
{
	mem_free(t->first);
	mem_free(t->count);
	mem_free(t->weight);
}

/* The weights of one output: of the triangle at the middles of the inputs, so that their sum is 1. */
static void weigh(struct taps *t, int i, int in, double centre, double scale)
{
	int first = (int)(centre - scale + 0.5), end = (int)(centre + scale + 0.5);
	int32_t *weight = t->weight + (size_t)i * (size_t)t->most;
	double sum = 0;

	first = first < 0 ? 0 : first;
	end = end > in ? in : end;
	for (int pass = 0; pass < 2; pass++) {
		for (int k = first; k < end; k++) {
			double off = fabs((k - centre + 0.5) * (1.0 / scale)), w = off < 1 ? 1 - off : 0;

			if (pass == 0)
				sum += w;
			else
				weight[k - first] = (int32_t)(0.5 + w / sum * (1 << WEIGHT_BITS));
		}
	}
	t->first[i] = first;
	t->count[i] = end - first;
}

/* Outputs from `from` on, n of them, of a line of `in` that becomes one of `full`. */
static int taps_make(struct taps *t, int in, int full, int from, int n)
{
	const double step = (double)in / full, scale = step < 1 ? 1 : step;

	t->most = 2 * (int)ceil(scale) + 1;
	t->first = mem_alloc((size_t)n, sizeof(*t->first));
	t->count = mem_alloc((size_t)n, sizeof(*t->count));
	t->weight = mem_alloc((size_t)n * (size_t)t->most, sizeof(*t->weight));
	if (!t->first || !t->count || !t->weight)
		return ERR_NOMEM;
	for (int i = 0; i < n; i++)
		weigh(t, i, in, (from + i + 0.5) * step, scale);
	return 0;
}

/* The weights are not negative and their sum is 1 give or take their rounding, so the result is in 0..255. */
static uint8_t round_sum(int32_t sum)
{
	return (uint8_t)((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS);
}

CLONES static void resize_row_grey(const struct taps *t, const uint8_t *in, int n, uint8_t *out)
{
	for (int i = 0; i < n; i++) {
		const int32_t *w = t->weight + (size_t)i * (size_t)t->most;
		const uint8_t *p = in + t->first[i];
		int32_t sum = 0;

		for (int k = 0; k < t->count[i]; k++)
			sum += w[k] * p[k];
		out[i] = round_sum(sum);
	}
}

CLONES static void resize_row_colour(const struct taps *t, const uint8_t *in, int n, uint8_t *out)
{
	for (int i = 0; i < n; i++) {
		const int32_t *w = t->weight + (size_t)i * (size_t)t->most;
		const uint8_t *p = in + 3 * (size_t)t->first[i];
		int32_t red = 0, green = 0, blue = 0;

		for (int k = 0; k < t->count[i]; k++, p += 3) {
			red += w[k] * p[0];
			green += w[k] * p[1];
			blue += w[k] * p[2];
		}
		out[3 * i] = round_sum(red);
		out[3 * i + 1] = round_sum(green);
		out[3 * i + 2] = round_sum(blue);
	}
}

/* One row of the result from rows that lie `stride` bytes apart. */
CLONES static void add_rows(
    const struct taps *t, int i, const uint8_t *in, size_t stride, size_t n, int32_t *sum, uint8_t *out)
{
	const int32_t *w = t->weight + (size_t)i * (size_t)t->most;

	memset(sum, 0, n * sizeof(*sum));
	for (int k = 0; k < t->count[i]; k++) {
		const uint8_t *p = in + (size_t)k * stride;
		const int32_t by = w[k];

		for (size_t b = 0; b < n; b++)
			sum[b] += by * p[b];
	}
	for (size_t b = 0; b < n; b++)
		out[b] = round_sum(sum[b]);
}

/* Rows first .. first + rows - 1 of the input, each as wide as the result. */
static int scale_rows(const struct image_scale *s, const uint8_t *in, int first, int rows, uint8_t *out)
{
	const size_t stride = (size_t)s->in_width * (size_t)s->c;
	struct taps t = {0};
	int rc = taps_make(&t, s->in_width, s->full_width, s->left, s->width);

	for (int y = 0; y < rows && !rc; y++) {
		const uint8_t *from = in + (size_t)(first + y) * stride;
		uint8_t *to = out + (size_t)y * (size_t)s->width * (size_t)s->c;

		if (s->c == 1)
			resize_row_grey(&t, from, s->width, to);
		else
			resize_row_colour(&t, from, s->width, to);
	}
	taps_clear(&t);
	return rc;
}

int image_scale(const struct image_scale *s, const uint8_t *in, uint8_t *out)
{
	const size_t n = (size_t)s->width * (size_t)s->c;
	size_t stride = (size_t)s->in_width * (size_t)s->c;
	struct taps down = {0};
	int32_t *sum = mem_alloc(n, sizeof(*sum));
	uint8_t *rows = NULL;
	int rc = sum ? taps_make(&down, s->in_height, s->full_height, s->top, s->height) : ERR_NOMEM;

	if (rc)
		goto out;
	/* Of rows that are as wide already, the window is looked at where it lies. */
	int first = down.first[0], end = down.first[s->height - 1] + down.count[s->height - 1];
	const uint8_t *from = in + (size_t)first * stride + (size_t)s->left * (size_t)s->c;
	if (s->full_width != s->in_width) {
		rows = mem_alloc((size_t)(end - first), n);
		rc = rows ? scale_rows(s, in, first, end - first, rows) : ERR_NOMEM;
		from = rows;
		stride = n;
	}
	for (int y = 0; y < s->height && !rc; y++)
		add_rows(
		    &down, y, from + (size_t)(down.first[y] - first) * stride, stride, n, sum, out + (size_t)y * n);
out:
	taps_clear(&down);
	mem_free(rows);
	mem_free(sum);
	return rc;
}

/* Half of what is left over, to the even number where it is between two. */
static int centre(int full, int part)
{
	int over = full - part, half = over / 2;

	return over % 2 != 0 && half % 2 != 0 ? half + 1 : half;
}

struct image_scale image_scale_of(const struct image_fit *fit, int in_height, int in_width, int c)
{
	struct image_scale s = {.in_height = in_height,
	    .in_width = in_width,
	    .c = c,
	    .full_height = fit->height,
	    .full_width = fit->width,
	    .height = fit->height,
	    .width = fit->width};

	if (fit->resize != RESIZE_CROP)
		return s;
	if ((int64_t)fit->height * in_width >= (int64_t)fit->width * in_height)
		s.full_width = (int)((int64_t)fit->height * in_width / in_height);
	else
		s.full_height = (int)((int64_t)fit->width * in_height / in_width);
	s.top = centre(s.full_height, fit->height);
	s.left = centre(s.full_width, fit->width);
	return s;
}
