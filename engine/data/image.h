/* Private to engine/data: JPEG and PNG files in memory. */
#ifndef ENGINE_DATA_IMAGE_H
#define ENGINE_DATA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAX_SIDE 4096 /* larger is refused before anything is decoded */

struct image_info {
	int height, width, channels; /* 1 grey, 3 colour */
};
/* Reads the header only. ERR_DATA: neither JPEG nor PNG, a side above IMAGE_MAX_SIDE, CMYK, 16 bits per channel. */
int image_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out);

/* The two formats; out NULL: info only. The caller has checked that out has info's size and 1 or 3 channels. */
int jpeg_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out);
int jpeg_decode(const char *name, const unsigned char *bytes, size_t n, int channels, uint8_t *out);
int png_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out);
int png_decode(const char *name, const unsigned char *bytes, size_t n, int channels, uint8_t *out);

#endif
