/* Pixels to float tensors, with augmentation. One row is one sample: rows are independent, so threads and batch splits
 * do not change a value. Normalisation goes through a table of 256 values per channel, which also makes padding exactly
 * what pixel value 0 is. */
#include "input/image_fill.h"

#include "base/err.h"
#include "base/rng.h"

#define PARALLEL_MIN (1 << 15) /* values; below, starting threads costs more than it saves */

struct view {
	int h, w, c;
	bool flip;
	int turns;  /* by 90 degrees, counter-clockwise */
	int dy, dx; /* output (y, x) shows input (y + dy, x + dx) */
};

/* Block 0 of (step, position in the effective batch): word 0 flips, word 1 turns, words 2 and 3 shift. */
static struct view draw_view(
    const struct augmentation *g, const struct input_spec *image, struct rng r, uint64_t position)
{
	const struct augment_options *a = g ? g->options : NULL;
	struct view v = {.h = image->height, .w = image->width, .c = image->channels};
	if (!a)
		return v;
	struct rng_words words = rng_draw(r, g->step, position, 0);
	v.flip = a->flip && (words.w[0] >> 31) != 0;
	v.turns = a->rotate90 ? (int)(words.w[1] >> 30) : 0;
	if (a->crop_padding > 0) {
		uint32_t range = (uint32_t)(2 * a->crop_padding + 1);

		v.dy = (int)rng_below((uint64_t)words.w[2] << 32, range) - (int)a->crop_padding;
		v.dx = (int)rng_below((uint64_t)words.w[3] << 32, range) - (int)a->crop_padding;
	}
	return v;
}

static bool is_identity(const struct view *v)
{
	return !v->flip && v->turns == 0 && v->dy == 0 && v->dx == 0;
}

static void fill_plain(const uint8_t *p, int64_t pixels, int channels, float (*table)[256], float *x)
{
	if (channels == 1) {
		for (int64_t i = 0; i < pixels; i++)
			x[i] = table[0][p[i]];
	} else {
		for (int64_t i = 0; i < pixels; i++)
			for (int c = 0; c < channels; c++)
				x[i * channels + c] = table[c][p[i * channels + c]];
	}
}

/* The input position of output (y, x): undo the rotation, then the flip, then the shift. Returns false in the padding.
 */
static bool source_of(const struct view *v, int y, int x, int *sy, int *sx)
{
	int side = v->h - 1, t;

	for (int k = 0; k < v->turns; k++) { /* square: checked before */
		t = y;
		y = x;
		x = side - t;
	}
	if (v->flip)
		x = v->w - 1 - x;
	*sy = y + v->dy;
	*sx = x + v->dx;
	return *sy >= 0 && *sy < v->h && *sx >= 0 && *sx < v->w;
}

static void fill_view(const struct view *v, const uint8_t *p, float (*table)[256], float *out)
{
	int sy, sx;

	for (int y = 0; y < v->h; y++) {
		for (int x = 0; x < v->w; x++, out += v->c) {
			const uint8_t *q = source_of(v, y, x, &sy, &sx) ? p + ((int64_t)sy * v->w + sx) * v->c : NULL;

			for (int c = 0; c < v->c; c++)
				out[c] = table[c][q ? q[c] : 0];
		}
	}
}

int image_fill(const struct encoding *e, const uint32_t *index, int count, const struct augmentation *g, float *x)
{
	const struct adapter *a = e->adapter;
	const struct input_spec *image = &a->spec;
	int64_t pixels = (int64_t)image->height * image->width, values = pixels * image->channels;
	float table[4][256];
	struct rng r = {{0, 0}};
	if (g && g->options && g->options->rotate90 && image->height != image->width)
		return err_set(ERR_CONFIG, "rotation by 90 degrees needs square images; these are %d x %d",
		    image->height, image->width);
	if (g && g->options)
		r = rng_make(g->seed, g->stage, RNG_AUGMENT, "");
	for (int c = 0; c < image->channels; c++)
		for (int v = 0; v < 256; v++)
			table[c][v] = ((float)v / 255.0f - a->mean[c]) / a->std[c];
	if (e->data)
		dataset_read_ahead(e->data, e->split, index, count);
#pragma omp parallel for if (count * values >= PARALLEL_MIN)
	for (int i = 0; i < count; i++) {
		struct sample_view sample;
		encoding_sample(e, index[i], &sample);
		struct view v = draw_view(g, image, r, (g ? g->first_sample : 0) + (uint64_t)i);
		if (is_identity(&v))
			fill_plain(sample.pixels, pixels, image->channels, table, x + i * values);
		else
			fill_view(&v, sample.pixels, table, x + i * values);
	}
	return 0;
}
