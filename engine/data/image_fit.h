/* How an image file of any size and kind becomes the 8-bit pixels of a sample. It is decided once, for a data set or a
 * model, and belongs to the model from then on.
 *
 * An image is turned as its EXIF orientation says; then what it was stored as becomes grey or RGB of 8 bits:
 * CMYK and YCCK by R = C K / 255 of the inverted values (where an Adobe marker says so, they are stored inverted), 16
 * bits by round(v * 255 / 65535), transparency by blending with white; then colour becomes grey, if grey is asked for,
 * by the luma of ITU-R 601 (0.299 R + 0.587 G + 0.114 B); then it is resized by a triangle filter as wide as a pixel of
 * the coarser grid; grey becomes colour by repetition. */
#ifndef ENGINE_DATA_IMAGE_FIT_H
#define ENGINE_DATA_IMAGE_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum image_resize {
	RESIZE_NONE,    /* an image of another size is an error */
	RESIZE_CROP,    /* to the least size, of the same shape, that covers the sample; then its centre is cut out */
	RESIZE_STRETCH, /* each side for itself */
	RESIZE_COUNT
};
extern const char *const image_resize_names[RESIZE_COUNT + 1]; /* none, crop, stretch */

struct image_fit {
	int height, width, channels; /* of the sample; 1 or 3 channels */
	enum image_resize resize;
	bool to_grey; /* colour becomes grey where 1 channel is asked for; else it is an error */
};

/* What was done to an image so that it fits, as bits. */
enum image_conversion {
	CHANGE_RESIZED,
	CHANGE_TURNED,  /* by its EXIF orientation */
	CHANGE_GREY,    /* colour to grey */
	CHANGE_COLOUR,  /* grey to colour */
	CHANGE_CMYK,    /* CMYK or YCCK to RGB */
	CHANGE_16_BIT,  /* to 8 */
	CHANGE_BLENDED, /* transparency, with white */
	CHANGE_FAULT,   /* faults of the file that change no pixel */
	CHANGE_PAGE,    /* the first of several pages */
	CHANGE_COUNT
};
#define CHANGE_BIT(change) (1u << (change))

#define IMAGE_FILE_MAX  (64u << 20) /* bytes of one image file; larger ones are not read */
#define SAMPLE_MAX_SIDE 4096        /* of a sample */

/* Decodes one image file to height x width x channels of 8 bits. *changes: bits of enum image_conversion. ERR_DATA: no
 * image that is read, damaged, too large; without resizing, of another size; without to_grey, colour for 1 channel. */
int image_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_fit *fit, uint8_t *out,
    unsigned *changes);

bool image_has_suffix(const char *path); /* of the formats that are read, in any case */

#define IMAGE_HEAD 8 /* bytes, by which image_begins has decided at the latest */
/* Whether these are the first bytes of an image that is read, and not of a line of text. *more: n bytes, fewer than
 * IMAGE_HEAD, do not tell; no more are asked for than a line that is no image's beginning is likely to have. */
bool image_begins(const unsigned char *bytes, size_t n, bool *more);

#endif
