/* PNG by libspng, with checksums verified and memory bounded by the side limit. 16-bit images and real transparency
 * are errors, because 8-bit opaque pixels cannot hold them; alpha that is opaque everywhere is dropped. */
#include <spng.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/image.h"

static int fail(const char *name, int code)
{
	if (code == SPNG_EMEM)
		return err_set(ERR_NOMEM, "%s: out of memory", name);
	return err_set(ERR_DATA, "%s: %s", name, spng_strerror(code));
}

static int start(const char *name, const unsigned char *bytes, size_t n, spng_ctx **out, struct spng_ihdr *head)
{
	spng_ctx *ctx = spng_ctx_new(0);
	int code;

	*out = ctx;
	if (!ctx)
		return err_set(ERR_NOMEM, "%s: out of memory", name);
	code = spng_set_image_limits(ctx, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
	if (code == 0)
		code = spng_set_chunk_limits(ctx, 1u << 20, 8u << 20);
	if (code == 0)
		code = spng_set_crc_action(ctx, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
	if (code == 0)
		code = spng_set_png_buffer(ctx, bytes, n);
	if (code == 0)
		code = spng_get_ihdr(ctx, head);
	if (code != 0)
		return fail(name, code);
	if (head->bit_depth == 16)
		return err_set(ERR_DATA, "%s: 16 bits per channel; 8 are allowed", name);
	return 0;
}

int png_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	spng_ctx *ctx = NULL;
	struct spng_ihdr head = {0};
	int rc = start(name, bytes, n, &ctx, &head);

	if (!rc) {
		out->height = (int)head.height;
		out->width = (int)head.width;
		out->channels =
		    head.color_type == SPNG_COLOR_TYPE_GRAYSCALE || head.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA
			? 1
			: 3;
	}
	spng_ctx_free(ctx);
	return rc;
}

/* RGBA to RGB or, where the source is grey (r = g = b), to one channel. */
static int pack_pixels(const char *name, const uint8_t *rgba, size_t pixels, int channels, uint8_t *out)
{
	for (size_t i = 0; i < pixels; i++) {
		if (rgba[4 * i + 3] != 255)
			return err_set(ERR_DATA, "%s: transparent pixels are not supported", name);
		for (int c = 0; c < channels; c++)
			out[i * (size_t)channels + (size_t)c] = rgba[4 * i + (size_t)c];
	}
	return 0;
}

int png_decode(const char *name, const unsigned char *bytes, size_t n, int channels, uint8_t *out)
{
	spng_ctx *ctx = NULL;
	struct spng_ihdr head = {0};
	uint8_t *rgba = NULL;
	size_t size = 0;
	int code, rc = start(name, bytes, n, &ctx, &head);

	if (rc != 0)
		goto out;
	code = spng_decoded_image_size(ctx, SPNG_FMT_RGBA8, &size);
	if (code != 0) {
		rc = fail(name, code);
		goto out;
	}
	rgba = mem_alloc(size, 1);
	if (!rgba) {
		rc = ERR_NOMEM;
		goto out;
	}
	/* SPNG_DECODE_TRNS: transparency from a tRNS chunk must be seen, not ignored. */
	code = spng_decode_image(ctx, rgba, size, SPNG_FMT_RGBA8, SPNG_DECODE_TRNS);
	/* Reads on to the end chunk: only then is the checksum of the last pixels verified. */
	if (code == 0)
		code = spng_decode_chunks(ctx);
	rc = code != 0 ? fail(name, code) : pack_pixels(name, rgba, size / 4, channels, out);
out:
	mem_free(rgba);
	spng_ctx_free(ctx);
	return rc;
}
