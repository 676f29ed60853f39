/* Fuzz target: any bytes as an image, decoded to the size that its header announces, and resized. */
#include <stdlib.h>

#include "base/err.h"
#include "data/dataset.h"
#include "data/image.h"

enum { MAX_PIXELS = 1 << 20 }; /* larger ones only cost time */

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void decode(const uint8_t *data, size_t size, const struct image_info *info, const struct image_fit *fit)
{
	/* A block of its own, so that a sanitizer sees what is written past it. */
	uint8_t *out = malloc((size_t)fit->height * (size_t)fit->width * (size_t)fit->channels);
	unsigned changes;
	int rc = image_decode("fuzz.img", data, size, fit, out, &changes);

	require(out && (!rc || rc == ERR_DATA));
	require(!rc || err_message()[0] != '\0');
	require(rc != 0 || fit->channels >= info->channels || fit->to_grey);
	require(rc != 0 || changes >> CHANGE_COUNT == 0);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_info info;
	int rc = image_info("fuzz.img", data, size, &info);

	require(!rc || (rc == ERR_DATA && err_message()[0] != '\0'));
	if (rc != 0)
		return 0;
	require(info.height >= 1 && info.height <= IMAGE_MAX_SIDE && info.width >= 1 && info.width <= IMAGE_MAX_SIDE);
	require(info.channels == 1 || info.channels == 3);
	if ((int64_t)info.height * info.width > MAX_PIXELS)
		return 0;
	require(info.orientation >= 1 && info.orientation <= 8);
	struct image_fit fit = {.channels = 1};
	image_shown_size(&info, &fit.height, &fit.width);
	decode(data, size, &info, &fit);
	fit.channels = 3;
	decode(data, size, &info, &fit);
	decode(data, size, &info, &(struct image_fit){9, 5, 1, RESIZE_CROP, true});
	decode(data, size, &info, &(struct image_fit){3, 17, 3, RESIZE_STRETCH, false});
	return 0;
}
