/* Private to engine/data: image files in memory. */
#ifndef ENGINE_DATA_IMAGE_H
#define ENGINE_DATA_IMAGE_H

#include "data/image_fit.h"

/* Larger images are refused before anything is decoded. */
#define IMAGE_MAX_SIDE   16384
#define IMAGE_MAX_PIXELS (1 << 26)

struct image_info {
	int height, width; /* as stored */
	int channels;      /* 1 grey, 3 colour */
	int orientation;   /* EXIF: 1 as stored, to 8; from 5 on height and width are exchanged */
	unsigned changes;  /* that the header tells: bits of enum image_conversion */
};
/* Reads the header only. ERR_DATA: no image that is read, a side above IMAGE_MAX_SIDE, more than IMAGE_MAX_PIXELS. */
int image_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out);
/* The size when it is turned. */
void image_shown_size(const struct image_info *info, int *height, int *width);

/* One format: its header, and its pixels as they are stored, info->channels of 8 bits each. Both set
 * changes. Limits are the caller's. */
struct image_format {
	const char *name;
	bool (*is)(const unsigned char *bytes, size_t n);
	int (*info)(const char *name, const unsigned char *bytes, size_t n, struct image_info *out);
	int (*decode)(const char *name, const unsigned char *bytes, size_t n, const struct image_info *info,
	    uint8_t *out, unsigned *changes);
};
extern const struct image_format image_jpeg, image_png, image_webp, image_tiff, image_bmp;

/* The orientation in the body of an EXIF block (a TIFF header, then its first directory); 1 if it has none. */
int exif_orientation(const unsigned char *bytes, size_t n);
/* `to` is `from` of height x width pixels of c bytes, turned. */
void image_turn(const uint8_t *from, int height, int width, int c, int orientation, uint8_t *to);

/* White behind a colour of this opacity. */
static inline uint8_t image_blend(unsigned value, unsigned alpha)
{
	return (uint8_t)((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

/* 16 bits to 8, to the nearest. */
static inline uint8_t image_narrow(unsigned value)
{
	return (uint8_t)((value * 255 + 32767) / 65535);
}

/* Resizes in_height x in_width pixels of c bytes to full_height x full_width, of which the window from (top, left) on
 * of height x width is made. */
struct image_scale {
	int in_height, in_width, c;
	int full_height, full_width;
	int top, left, height, width;
};
/* The scale of a fit for an image of this size. */
struct image_scale image_scale_of(const struct image_fit *fit, int in_height, int in_width, int c);
/* The results are those of the Python library Pillow 11, to the bit: a triangle filter of integer weights of 22 bits,
 * along the rows, rounded to 8 bits, then along the columns. ERR_NOMEM. */
int image_scale(const struct image_scale *s, const uint8_t *in, uint8_t *out);
/* h x w pixels of 1 or 3 channels, the right way up, become a sample; they may be overwritten. Sets bits of *changes.
 * ERR_NOMEM. */
int image_fit_pixels(
    uint8_t *pixels, int h, int w, int channels, const struct image_fit *fit, uint8_t *out, unsigned *changes);

#endif
