/* The embedded digits as a source: 1,797 images of 8x8, one channel, classes 0..9, no split of its own. Values 0..16
 * become pixels 0..255 by round(v * 255 / 16), so that the usual scale of 0..1 means the same as for other sets. */
#include "data/digits_data.h"

#include <string.h>

#include "base/err.h"
#include "data/source.h"

static int digits_list(struct listing *l, const struct source_args *a)
{
	int rc = listing_number_classes(l, 10);

	(void)a;
	l->height = l->width = DIGITS_SIDE;
	l->channels = 1;
	for (int i = 0; i < DIGITS_COUNT && !rc; i++)
		rc = listing_add(l, digits_text[i][0] - '0', SPLIT_NONE, NULL);
	return rc;
}

static int digits_load(struct listing *l, const struct source_args *a, uint8_t *const pixels[SPLIT_COUNT])
{
	const int side2 = DIGITS_SIDE * DIGITS_SIDE;

	(void)a;
	for (int64_t i = 0; i < l->n; i++) {
		const struct sample *s = &l->sample[i];
		const char *from = digits_text[i] + 1;

		if (s->split < 0 || !pixels[s->split])
			continue;
		for (int k = 0; k < side2; k++) {
			int v = from[k] - 'A';

			pixels[s->split][s->place * side2 + k] = (uint8_t)((v * 255 + DIGITS_MAX / 2) / DIGITS_MAX);
		}
	}
	return 0;
}

static void digits_release(struct listing *l)
{
	(void)l;
}

const struct source source_digits = {digits_list, digits_load, digits_release, NULL};
