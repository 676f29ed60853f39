/* BMP as programs write it today: a header of 40 bytes or more, pixels that are not compressed, by a palette of 1, 4 or
 * 8 bits, or of 24 or 32 bits. Anything else is refused by name. */
#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "data/image.h"

#define FILE_HEADER 14
#define RGB         0 /* compression: none */
#define BITFIELDS   3 /* none, with masks that say where the channels are */

struct bmp {
	int height, width;
	bool upside_down; /* the last row first, as usual */
	unsigned bits, colours;
	const unsigned char *palette, *pixels; /* palette: blue, green, red, 0 */
	int shift[4];                          /* of red, green, blue, opacity in a pixel of 32 bits; -1: none */
	size_t stride;
};

static uint32_t number(const unsigned char *p, int bytes)
{
	uint32_t v = 0;

	for (int i = 0; i < bytes; i++)
		v |= (uint32_t)p[i] << 8 * i;
	return v;
}

/* Where a channel of 8 bits begins; -1: there is none; -2: it is none of 8 bits. */
static int shift_of(uint32_t mask)
{
	for (int shift = 0; shift < 32; shift += 8)
		if (mask == (uint32_t)0xff << shift)
			return shift;
	return mask == 0 ? -1 : -2;
}

/* The masks stand behind the first 40 bytes, whatever the header's length; that of opacity from 56 on. */
static bool read_masks(struct bmp *b, const unsigned char *head, size_t left, uint32_t length)
{
	if (left < (length >= 56 ? 56u : 52u))
		return false;
	for (int i = 0; i < 4; i++)
		b->shift[i] = i < 3 || length >= 56 ? shift_of(number(head + 40 + 4 * i, 4)) : -1;
	return b->shift[0] >= 0 && b->shift[1] >= 0 && b->shift[2] >= 0 && b->shift[3] >= -1;
}

static int read_head(struct bmp *b, const char *name, const unsigned char *bytes, size_t n, size_t *at)
{
	const unsigned char *head = bytes + FILE_HEADER;
	uint32_t length, compression;
	int64_t height, width;

	if (n < FILE_HEADER + 40)
		return err_set(ERR_DATA, "%s: a BMP image that is cut off", name);
	length = number(head, 4);
	if (length < 40 || length > n - FILE_HEADER)
		return err_set(
		    ERR_DATA, "%s: a BMP image with a header of %u bytes; 40 or more are read", name, (unsigned)length);
	width = (int32_t)number(head + 4, 4);
	height = (int32_t)number(head + 8, 4);
	b->upside_down = height > 0;
	height = height < 0 ? -height : height;
	if (width < 1 || height < 1 || width > INT_MAX || height > INT_MAX)
		return err_set(ERR_DATA, "%s: a BMP image of no size", name);
	b->width = (int)width;
	b->height = (int)height;
	b->bits = number(head + 14, 2);
	compression = number(head + 16, 4);
	memcpy(b->shift, (const int[]){16, 8, 0, -1}, sizeof(b->shift));
	if ((compression != RGB && (compression != BITFIELDS || b->bits != 32)) ||
	    !(b->bits == 1 || b->bits == 4 || b->bits == 8 || b->bits == 24 || b->bits == 32) ||
	    (compression == BITFIELDS && !read_masks(b, head, n - FILE_HEADER, length)))
		return err_set(ERR_DATA,
		    "%s: a BMP image of %u bits, compression %u; 1, 4, 8, 24 and 32 bits without compression are read",
		    name, b->bits, (unsigned)compression);
	*at = FILE_HEADER + length;
	b->colours = number(head + 32, 4);
	return 0;
}

static int read_bmp(struct bmp *b, const char *name, const unsigned char *bytes, size_t n)
{
	size_t at = 0, pixels;
	int rc = read_head(b, name, bytes, n, &at);

	if (rc)
		return rc;
	if (b->bits <= 8) {
		unsigned most = 1u << b->bits;

		b->colours = b->colours == 0 || b->colours > most ? most : b->colours;
		if (4u * b->colours > n - at)
			return err_set(ERR_DATA, "%s: a BMP image that is cut off", name);
		b->palette = bytes + at;
	}
	b->stride = ((size_t)b->width * b->bits + 31) / 32 * 4;
	pixels = number(bytes + 10, 4);
	if (pixels < at || pixels > n || b->stride > (n - pixels) / (size_t)b->height)
		return err_set(ERR_DATA, "%s: a BMP image of %d x %d that is cut off", name, b->height, b->width);
	b->pixels = bytes + pixels;
	return 0;
}

static bool has_grey_palette(const struct bmp *b)
{
	for (unsigned i = 0; b->palette && i < b->colours; i++)
		if (b->palette[4 * i] != b->palette[4 * i + 1] || b->palette[4 * i] != b->palette[4 * i + 2])
			return false;
	return b->palette;
}

static bool is_bmp(const unsigned char *b, size_t n)
{
	return n >= FILE_HEADER && b[0] == 'B' && b[1] == 'M';
}

static int bmp_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	struct bmp b = {0};
	int rc = read_bmp(&b, name, bytes, n);

	if (rc)
		return rc;
	out->height = b.height;
	out->width = b.width;
	out->channels = has_grey_palette(&b) ? 1 : 3;
	return 0;
}

/* Red, green, blue, opacity of pixel x of a row. false: a colour that the palette does not have. */
static bool read_pixel(const struct bmp *b, const unsigned char *row, size_t x, uint8_t rgba[4])
{
	const unsigned char *p = row + x * b->bits / 8;

	rgba[3] = 255;
	if (b->bits <= 8) {
		unsigned per = 8 / b->bits, i = *p >> (per - 1 - x % per) * b->bits & ((1u << b->bits) - 1);

		for (int c = 0; c < 3 && i < b->colours; c++)
			rgba[c] = b->palette[4 * i + 2 - (unsigned)c];
		return i < b->colours;
	}
	for (int c = 0; c < 4; c++)
		if (b->shift[c] >= 0)
			rgba[c] = p[b->shift[c] / 8];
	return true;
}

static int bmp_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_info *info,
    uint8_t *out, unsigned *changes)
{
	struct bmp b = {0};
	uint8_t rgba[4];
	int rc = read_bmp(&b, name, bytes, n);

	for (int y = 0; y < info->height && !rc; y++) {
		const unsigned char *row = b.pixels + b.stride * (size_t)(b.upside_down ? info->height - 1 - y : y);

		for (int x = 0; x < info->width; x++, out += info->channels) {
			if (!read_pixel(&b, row, (size_t)x, rgba))
				return err_set(ERR_DATA, "%s: a BMP image with a colour that its palette lacks", name);
			if (rgba[3] != 255)
				*changes |= CHANGE_BIT(CHANGE_BLENDED);
			for (int c = 0; c < info->channels; c++)
				out[c] = image_blend(rgba[c], rgba[3]);
		}
	}
	return rc;
}

const struct image_format image_bmp = {"BMP", is_bmp, bmp_info, bmp_decode};
