/* Fuzz target: any bytes as an image, decoded to the size that its header announces. */
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

static void decode(const uint8_t *data, size_t size, const struct image_info *info, int channels)
{
	uint8_t *out = malloc((size_t)info->height * (size_t)info->width * (size_t)channels);
	int rc = image_decode("fuzz.img", data, size, info->height, info->width, channels, out);

	require(out && (!rc || rc == ERR_DATA));
	require(!rc || channels >= info->channels || err_message()[0] != '\0');
	require(rc != 0 || channels >= info->channels);
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
	decode(data, size, &info, 1);
	decode(data, size, &info, 3);
	return 0;
}
