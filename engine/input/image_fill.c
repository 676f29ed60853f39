/* Pixels to float tensors, with augmentation. One row is one sample: rows are independent, so threads and batch splits
 * do not change a value. Normalisation goes through a table of 256 values per channel, which also makes padding exactly
 * what pixel value 0 is.
 *
 * The order of changes: the resized crop; flip, shift and rotation; brightness, contrast, saturation and hue, in an
 * order of their own; normalisation; erasing; mixup, with another sample that was changed likewise. */
#include "input/image_fill.h"

#include <omp.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "input/image_augment.h"
#include "input/mixing.h"

#define PARALLEL_MIN (1 << 15) /* values; below, starting threads costs more than it saves */

struct view {
	int h, w, c;
	const struct image_tap *tap; /* of a resized crop: (h) rows, (w) columns; else NULL */
	bool flip;
	int turns;  /* by 90 degrees, counter-clockwise */
	int dy, dx; /* output (y, x) shows input (y + dy, x + dx) */
};

/* What a batch has in common. */
struct fill {
	const struct encoding *e;
	const struct input_spec *image;
	const struct augment_options *options; /* NULL: none */
	struct augment_streams streams;
	int64_t pixels, values; /* of an image */
	bool in_floats;         /* the pixels are changed before they are normalised, so the table cannot do that */
	float table[4][256];    /* of a byte: what it is at the end, or on the 0..1 scale */
};
/* What a thread has of its own. */
struct scratch {
	struct image_tap *tap; /* (height + width) */
	float *partner;        /* (values) */
};

/* Block 0 of (step, position in the effective batch): word 0 flips, word 1 turns, words 2 and 3 shift. */
static struct view draw_view(const struct fill *f, uint64_t position)
{
	const struct augment_options *a = f->options;
	struct view v = {.h = f->image->height, .w = f->image->width, .c = f->image->channels};
	if (!a)
		return v;
	struct rng_words words = rng_draw(f->streams.view, f->streams.step, position, 0);
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
	return !v->flip && v->turns == 0 && v->dy == 0 && v->dx == 0 && !v->tap;
}

static void fill_plain(const uint8_t *p, int64_t pixels, int channels, const float (*table)[256], float *x)
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

static void fill_view(const struct view *v, const uint8_t *p, const float (*table)[256], float *out)
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

/* Pixel (y, x) of an enlarged crop, on the 0..1 scale. */
static void enlarged(const struct view *v, const uint8_t *p, int y, int x, float *out)
{
	const struct image_tap *row = v->tap + y, *column = v->tap + v->h + x;
	const int64_t upper = (int64_t)row->at * v->w, lower = (int64_t)row->next * v->w;
	const uint8_t *a = p + (upper + column->at) * v->c, *b = p + (upper + column->next) * v->c;
	const uint8_t *c = p + (lower + column->at) * v->c, *d = p + (lower + column->next) * v->c;
	for (int k = 0; k < v->c; k++) {
		const float above = (float)a[k] + column->share * ((float)b[k] - (float)a[k]);
		const float beneath = (float)c[k] + column->share * ((float)d[k] - (float)c[k]);
		out[k] = (above + row->share * (beneath - above)) / 255.0f;
	}
}

static void fill_crop(const struct view *v, const uint8_t *p, float *out)
{
	int sy, sx;

	for (int y = 0; y < v->h; y++) {
		for (int x = 0; x < v->w; x++, out += v->c) {
			if (source_of(v, y, x, &sy, &sx))
				enlarged(v, p, sy, sx, out);
			else
				for (int c = 0; c < v->c; c++)
					out[c] = 0;
		}
	}
}

static void normalise(const struct fill *f, float *x)
{
	const struct adapter *a = f->e->adapter;
	float scale[4], shift[4];
	for (int c = 0; c < f->image->channels; c++) {
		scale[c] = 1 / a->std[c];
		shift[c] = -a->mean[c] / a->std[c];
	}
	for (int64_t i = 0; i < f->pixels; i++, x += f->image->channels)
		for (int c = 0; c < f->image->channels; c++)
			x[c] = x[c] * scale[c] + shift[c];
}

static void jitter(const struct fill *f, uint64_t position, float *x)
{
	const struct augment_options *a = f->options;
	const bool on[CHANGES] = {a->brightness > 0, a->contrast > 0, a->saturation > 0, a->hue > 0};
	const struct image_jitter j = augment_jitter(a, &f->streams, position);
	for (int k = 0; k < CHANGES; k++)
		if (on[j.order[k]])
			image_change(j.order[k], j.amount[j.order[k]], f->pixels, f->image->channels, x);
}

/* 0 is the mean of the channel. */
static void erase(const struct fill *f, uint64_t position, float *x)
{
	const int width = f->image->width, channels = f->image->channels;
	const struct image_box b = augment_erase(f->options, &f->streams, position, f->image->height, width);
	for (int y = b.top; y < b.top + b.height; y++)
		memset(
		    x + ((int64_t)y * width + b.left) * channels, 0, (size_t)b.width * (size_t)channels * sizeof(*x));
}

static void fill_sample(const struct fill *f, struct scratch *s, uint32_t index, uint64_t position, float *x)
{
	const struct input_spec *image = f->image;
	struct sample_view sample;
	encoding_sample(f->e, index, &sample);
	struct view v = draw_view(f, position);
	if (f->options && f->options->resized_crop) {
		const struct image_box b = augment_crop(f->options, &f->streams, position, image->height, image->width);
		image_taps(image->height, b.top, b.height, s->tap);
		image_taps(image->width, b.left, b.width, s->tap + image->height);
		v.tap = s->tap;
	}
	if (v.tap)
		fill_crop(&v, sample.pixels, x);
	else if (is_identity(&v))
		fill_plain(sample.pixels, f->pixels, image->channels, f->table, x);
	else
		fill_view(&v, sample.pixels, f->table, x);
	if (f->in_floats) {
		jitter(f, position, x);
		normalise(f, x);
	}
	if (f->options)
		erase(f, position, x);
}

/* The table is of what is left to do for a byte. */
static void make_table(struct fill *f)
{
	const struct adapter *a = f->e->adapter;
	for (int c = 0; c < f->image->channels; c++) {
		const float mean = f->in_floats ? 0 : a->mean[c], std = f->in_floats ? 1 : a->std[c];
		for (int v = 0; v < 256; v++)
			f->table[c][v] = ((float)v / 255.0f - mean) / std;
	}
}

static int make_scratch(const struct fill *f, int threads, bool mixed, struct scratch *out)
{
	const size_t taps = (size_t)threads * (size_t)(f->image->height + f->image->width);
	*out = (struct scratch){0};
	if (f->options && f->options->resized_crop && !(out->tap = mem_alloc(taps, sizeof(*out->tap))))
		return ERR_NOMEM;
	if (mixed && !(out->partner = mem_alloc((size_t)threads * (size_t)f->values, sizeof(*out->partner))))
		return ERR_NOMEM;
	return 0;
}

static void release_scratch(struct scratch *s)
{
	mem_free(s->tap);
	mem_free(s->partner);
}

static void blend(float share, int64_t n, const float *partner, float *x)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = share * x[i] + (1 - share) * partner[i];
}

/* The partner is in another part of the effective batch, or will be: it is made for this sample alone. */
static void mix_one(const struct fill *f, struct scratch *s, const struct mixing *m, uint64_t position, float *x)
{
	const uint32_t partner = m->partner[position];
	fill_sample(f, s, m->sample[partner], partner, s->partner);
	blend(m->share[position], f->values, s->partner, x);
}

/* All of the effective batch is there, each once. Partners are a permutation: along one of its cycles a row is a
 * partner once, just before it is mixed itself; only the first one's values are needed again at the end. */
static int mix_all(const struct fill *f, struct scratch *s, const struct mixing *m, float *x)
{
	bool *done = mem_alloc((size_t)m->count, sizeof(*done));
	if (!done)
		return ERR_NOMEM;
	for (uint32_t first = 0; first < (uint32_t)m->count; first++) {
		if (done[first])
			continue;
		memcpy(s->partner, x + first * f->values, (size_t)f->values * sizeof(*x));
		for (uint32_t i = first, next; !done[i]; i = next) {
			next = m->partner[i];
			blend(m->share[i], f->values, next == first ? s->partner : x + next * f->values,
			    x + i * f->values);
			done[i] = true;
		}
	}
	mem_free(done);
	return 0;
}

int image_fill(const struct encoding *e, const uint32_t *index, int count, const struct augmentation *g, float *x)
{
	struct fill f = {.e = e, .image = &e->adapter->spec, .options = g ? g->options : NULL};
	const struct mixing *m = g ? g->mixing : NULL;
	const uint64_t first = g ? g->first_sample : 0;
	struct scratch all;
	f.pixels = (int64_t)f.image->height * f.image->width;
	f.values = f.pixels * f.image->channels;
	if (f.options && f.options->rotate90 && f.image->height != f.image->width)
		return err_set(ERR_CONFIG, "rotation by 90 degrees needs square images; these are %d x %d",
		    f.image->height, f.image->width);
	if (f.options)
		f.streams = augment_streams_make(g);
	f.in_floats = f.options && (f.options->resized_crop || augment_jitters(f.options));
	make_table(&f);
	const int threads = count * f.values >= PARALLEL_MIN ? omp_get_max_threads() : 1;
	int rc = make_scratch(&f, threads, m, &all);
	if (!rc && e->data)
		dataset_read_ahead(e->data, e->split, index, count);
#pragma omp parallel for num_threads(threads) if (threads > 1)
	for (int i = 0; i < (rc ? 0 : count); i++) {
		const int64_t t = omp_get_thread_num();
		struct scratch s = {.tap = all.tap ? all.tap + t * (f.image->height + f.image->width) : NULL,
		    .partner = all.partner ? all.partner + t * f.values : NULL};
		float *row = x + i * f.values;
		fill_sample(&f, &s, index[i], first + (uint64_t)i, row);
		if (m && count < m->count)
			mix_one(&f, &s, m, first + (uint64_t)i, row);
	}
	if (!rc && m && count == m->count)
		rc = mix_all(&f, &all, m, x);
	release_scratch(&all);
	return rc;
}
