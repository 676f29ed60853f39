/* The embedded digits as a source: 1,797 images of 8x8, one channel, classes 0..9, no split of its own. Values 0..16
 * become pixels 0..255 by round(v * 255 / 16), so that the usual scale of 0..1 means the same as for other sets. */
#include "data/digits_data.h"

#include <string.h>

#include "base/err.h"
#include "data/source.h"

static const struct stored stored = {DIGITS_SIDE, DIGITS_SIDE, 1};

static int digits_list(struct listing *l, const struct source_args *a)
{
	int rc = listing_number_classes(l, 0, 10);

	if (!rc)
		rc = listing_shape(l, a->o, &stored);
	for (int i = 0; i < DIGITS_COUNT && !rc; i++)
		rc = listing_add(l, digits_text[i][0] - '0', SPLIT_NONE, NULL);
	return rc;
}

static int digits_load(struct listing *l, const struct source_args *a, struct pixels *pixels)
{
	uint8_t image[DIGITS_SIDE * DIGITS_SIDE];
	int rc = 0;

	(void)a;
	for (int64_t i = 0; i < l->n && !rc; i++) {
		for (int k = 0; k < DIGITS_SIDE * DIGITS_SIDE; k++)
			image[k] = (uint8_t)(((digits_text[i][1 + k] - 'A') * 255 + DIGITS_MAX / 2) / DIGITS_MAX);
		rc = source_put_stored(l, pixels, i, 1, &stored, image);
	}
	return !rc ? source_note_stored(l, &stored) : rc;
}

static void digits_release(struct listing *l)
{
	(void)l;
}

const struct source source_digits = {digits_list, digits_load, digits_release};
