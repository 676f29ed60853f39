/* PNG by libspng, with checksums verified and memory bounded by the limits of images. */
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
	if ((uint64_t)head->width * head->height > IMAGE_MAX_PIXELS)
		return err_set(ERR_DATA, "%s: image of %u x %u; at most %d million pixels are allowed", name,
		    (unsigned)head->height, (unsigned)head->width, IMAGE_MAX_PIXELS >> 20);
	return 0;
}

static bool is_png(const unsigned char *b, size_t n)
{
	return n >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static int png_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	spng_ctx *ctx = NULL;
	struct spng_ihdr head = {0};
	struct spng_exif exif;
	int rc = start(name, bytes, n, &ctx, &head);

	if (!rc) {
		const bool grey =
		    head.color_type == SPNG_COLOR_TYPE_GRAYSCALE || head.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA;

		out->height = (int)head.height;
		out->width = (int)head.width;
		out->channels = grey ? 1 : 3;
		out->changes = head.bit_depth == 16 ? CHANGE_BIT(CHANGE_16_BIT) : 0;
		/* Damage in front of the pixels is found when they are decoded. */
		if (spng_get_exif(ctx, &exif) == 0)
			out->orientation = exif_orientation((const unsigned char *)exif.data, exif.length);
	}
	spng_ctx_free(ctx);
	return rc;
}

/* RGBA of 8 or 16 bits to RGB or, where the source is grey (r = g = b), to one channel. */
static void pack_pixels(const void *rgba, bool wide, size_t pixels, int channels, uint8_t *out, unsigned *changes)
{
	const uint8_t *narrow = rgba;
	const uint16_t *full = rgba;

	for (size_t i = 0; i < pixels; i++, out += channels) {
		unsigned alpha = wide ? image_narrow(full[4 * i + 3]) : narrow[4 * i + 3];

		for (int c = 0; c < channels; c++) {
			size_t at = 4 * i + (size_t)c;

			out[c] = wide ? image_narrow(full[at]) : narrow[at];
		}
		if (alpha == 255)
			continue;
		*changes |= CHANGE_BIT(CHANGE_BLENDED);
		for (int c = 0; c < channels; c++)
			out[c] = image_blend(out[c], alpha);
	}
}

static int png_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_info *info,
    uint8_t *out, unsigned *changes)
{
	spng_ctx *ctx = NULL;
	struct spng_ihdr head = {0};
	void *rgba = NULL;
	size_t size = 0;
	int code, format, rc = start(name, bytes, n, &ctx, &head);

	if (rc)
		goto out;
	format = head.bit_depth == 16 ? SPNG_FMT_RGBA16 : SPNG_FMT_RGBA8;
	code = spng_decoded_image_size(ctx, format, &size);
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
	code = spng_decode_image(ctx, rgba, size, format, SPNG_DECODE_TRNS);
	/* Reads on to the end chunk: only then is the checksum of the last pixels verified. */
	if (code == 0)
		code = spng_decode_chunks(ctx);
	if (code != 0)
		rc = fail(name, code);
	else
		pack_pixels(
		    rgba, format == SPNG_FMT_RGBA16, (size_t)head.height * head.width, info->channels, out, changes);
out:
	mem_free(rgba);
	spng_ctx_free(ctx);
	return rc;
}

const struct image_format image_png = {"PNG", is_png, png_info, png_decode};
