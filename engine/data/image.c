/* One front for the image formats: which it is, its size, decoding to an exact size. It never resizes and never drops
 * information: grey becomes colour by repeating the value, colour to grey is an error. */
#include "data/image.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "data/dataset.h"

enum format { FORMAT_NONE, FORMAT_JPEG, FORMAT_PNG };

static enum format format_of(const unsigned char *b, size_t n)
{
	if (n >= 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff)
		return FORMAT_JPEG;
	if (n >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0)
		return FORMAT_PNG;
	return FORMAT_NONE;
}

bool image_has_suffix(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") || !strcasecmp(dot, ".png"));
}

int image_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	enum format f = format_of(bytes, n);
	int rc;

	*out = (struct image_info){0};
	if (f == FORMAT_NONE)
		return err_set(ERR_DATA, "%s: %s", name, n == 0 ? "empty file" : "neither a JPEG nor a PNG image");
	rc = f == FORMAT_JPEG ? jpeg_info(name, bytes, n, out) : png_info(name, bytes, n, out);
	if (rc != 0)
		return rc;
	if (out->height < 1 || out->width < 1 || out->height > IMAGE_MAX_SIDE || out->width > IMAGE_MAX_SIDE)
		return err_set(ERR_DATA, "%s: image of %d x %d; sides of 1 to %d are allowed", name, out->height,
		    out->width, IMAGE_MAX_SIDE);
	return 0;
}

int image_decode(const char *name, const unsigned char *bytes, size_t n, int h, int w, int c, uint8_t *out)
{
	struct image_info info;
	int rc = image_info(name, bytes, n, &info);

	if (rc != 0)
		return rc;
	if (c != 1 && c != 3)
		return err_set(ERR_DATA, "%s: images decode to 1 or 3 channels, not %d", name, c);
	if (info.height != h || info.width != w)
		return err_set(ERR_DATA, "%s: image of %d x %d (height x width), expected %d x %d", name, info.height,
		    info.width, h, w);
	if (info.channels > c)
		return err_set(ERR_DATA, "%s: a colour image where grey ones are expected", name);
	if (format_of(bytes, n) == FORMAT_JPEG)
		return jpeg_decode(name, bytes, n, c, out);
	return png_decode(name, bytes, n, c, out);
}
