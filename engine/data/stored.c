/* Images that a source holds as pixels of one shape, made samples of another where the options ask for it. */
#include "base/err.h"
#include "base/mem.h"
#include "data/image.h"
#include "data/source.h"

static size_t bytes_of(const struct stored *s)
{
	return (size_t)s->height * (size_t)s->width * (size_t)s->channels;
}

static struct image_fit fit_of(const struct listing *l)
{
	return (struct image_fit){l->height, l->width, l->channels, l->resize, l->to_grey};
}

static bool as_it_is(const struct listing *l, const struct stored *s)
{
	return l->height == s->height && l->width == s->width && l->channels == s->channels;
}

int listing_shape(struct listing *l, const struct data_options *o, const struct stored *s)
{
	const struct image_fit fit = data_options_fit(o);

	l->resize = fit.resize;
	l->to_grey = fit.to_grey;
	l->height = fit.resize == RESIZE_NONE ? s->height : fit.height;
	l->width = fit.resize == RESIZE_NONE ? s->width : fit.width;
	l->channels = fit.channels ? fit.channels : s->channels;
	if (!as_it_is(l, s) && s->channels != 1 && s->channels != 3)
		return err_set(ERR_DATA, "images of %d channels; data.size and data.channels are for images of 1 or 3",
		    s->channels);
	return 0;
}

int source_put_stored(
    struct listing *l, struct pixels *p, int64_t first, int64_t n, const struct stored *s, uint8_t *pixels)
{
	const struct image_fit fit = fit_of(l);
	int rc = 0;

	if (as_it_is(l, s))
		return source_put(l, p, first, n, pixels);
	uint8_t *sample = mem_alloc(1, p->bytes);
	if (!sample)
		return ERR_NOMEM;
	for (int64_t i = 0; i < n && !rc; i++) {
		uint8_t *stored = pixels + (size_t)i * bytes_of(s);

		rc = image_fit_pixels(
		    stored, s->height, s->width, s->channels, &fit, sample, &l->sample[first + i].changes);
		if (!rc)
			rc = source_put(l, p, first + i, 1, sample);
	}
	mem_free(sample);
	return rc;
}

int source_note_stored(struct listing *l, const struct stored *s)
{
	const bool is[CHANGE_COUNT] = {[CHANGE_RESIZED] = l->height != s->height || l->width != s->width,
	    [CHANGE_GREY] = l->channels<s->channels, [CHANGE_COLOUR] = l->channels> s->channels};
	int rc = 0;

	for (int k = 0; k < CHANGE_COUNT && !rc; k++)
		if (is[k])
			rc = note_all(&l->notes, (enum note_kind)(NOTE_RESIZED + k), l->n, "all, of %d x %d", s->height,
			    s->width);
	return rc;
}
