/* WebP by libwebp. A program that was built without it knows such a file and says so. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/image.h"

static bool is_webp(const unsigned char *b, size_t n)
{
	return n >= 12 && memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "WEBP", 4) == 0;
}

#if PIPELINE_WEBP
#include <webp/decode.h>

static int fail(const char *name, VP8StatusCode code)
{
	static const char *const what[] = {[VP8_STATUS_INVALID_PARAM] = "invalid parameters",
	    [VP8_STATUS_BITSTREAM_ERROR] = "damaged",
	    [VP8_STATUS_UNSUPPORTED_FEATURE] = "of a kind that libwebp does not read",
	    [VP8_STATUS_SUSPENDED] = "cut off",
	    [VP8_STATUS_USER_ABORT] = "stopped",
	    [VP8_STATUS_NOT_ENOUGH_DATA] = "cut off"};
	bool known = (size_t)code < sizeof(what) / sizeof(*what) && what[code];

	if (code == VP8_STATUS_OUT_OF_MEMORY)
		return err_set(ERR_NOMEM, "%s: out of memory", name);
	return err_set(ERR_DATA, "%s: a WebP image that is %s", name, known ? what[code] : "damaged");
}

/* The body of the chunk EXIF; each chunk has a name, the length of its body and that, filled up to an even length. */
static const unsigned char *find_exif(const unsigned char *b, size_t n, size_t *bytes)
{
	for (size_t at = 12; at + 8 <= n;) {
		size_t size =
		    (size_t)b[at + 4] | (size_t)b[at + 5] << 8 | (size_t)b[at + 6] << 16 | (size_t)b[at + 7] << 24;

		if (size > n - at - 8)
			return NULL;
		*bytes = size;
		if (memcmp(b + at, "EXIF", 4) == 0)
			return b + at + 8;
		at += 8 + size + size % 2;
	}
	return NULL;
}

static int webp_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	WebPBitstreamFeatures f;
	VP8StatusCode code = WebPGetFeatures(bytes, n, &f);
	const unsigned char *exif;
	size_t size;

	if (code != VP8_STATUS_OK)
		return fail(name, code);
	if (f.has_animation)
		return err_set(ERR_DATA, "%s: an animated WebP image; single ones are read", name);
	out->height = f.height;
	out->width = f.width;
	out->channels = 3;
	exif = find_exif(bytes, n, &size);
	/* Some programs write the head that the block has in a JPEG file. */
	if (exif && size > 6 && memcmp(exif, "Exif\0\0", 6) == 0)
		out->orientation = exif_orientation(exif + 6, size - 6);
	else if (exif)
		out->orientation = exif_orientation(exif, size);
	return 0;
}

static int decode_into(
    const char *name, const unsigned char *bytes, size_t n, WEBP_CSP_MODE mode, int height, size_t stride, uint8_t *out)
{
	WebPDecoderConfig config;
	VP8StatusCode code;

	if (!WebPInitDecoderConfig(&config))
		return err_set(ERR_FAIL, "libwebp is of another version than its headers");
	config.output.colorspace = mode;
	config.output.is_external_memory = 1;
	config.output.u.RGBA.rgba = out;
	config.output.u.RGBA.stride = (int)stride;
	config.output.u.RGBA.size = stride * (size_t)height;
	code = WebPDecode(bytes, n, &config);
	WebPFreeDecBuffer(&config.output);
	return code == VP8_STATUS_OK ? 0 : fail(name, code);
}

static int webp_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_info *info,
    uint8_t *out, unsigned *changes)
{
	const size_t width = (size_t)info->width, pixels = width * (size_t)info->height;
	WebPBitstreamFeatures f;
	uint8_t *rgba;
	int rc;

	if (WebPGetFeatures(bytes, n, &f) != VP8_STATUS_OK || !f.has_alpha)
		return decode_into(name, bytes, n, MODE_RGB, info->height, 3 * width, out);
	rgba = mem_alloc(pixels, 4);
	rc = rgba ? decode_into(name, bytes, n, MODE_RGBA, info->height, 4 * width, rgba) : ERR_NOMEM;
	for (size_t i = 0; i < pixels && !rc; i++) {
		unsigned alpha = rgba[4 * i + 3];

		if (alpha != 255)
			*changes |= CHANGE_BIT(CHANGE_BLENDED);
		for (size_t c = 0; c < 3; c++)
			out[3 * i + c] = image_blend(rgba[4 * i + c], alpha);
	}
	mem_free(rgba);
	return rc;
}
#else
static int webp_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	(void)bytes, (void)n, (void)out;
	return err_set(ERR_DATA, "%s: a WebP image, and this program was built without libwebp", name);
}

static int webp_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_info *info,
    uint8_t *out, unsigned *changes)
{
	(void)info, (void)out, (void)changes;
	return webp_info(name, bytes, n, NULL);
}
#endif

const struct image_format image_webp = {"WebP", is_webp, webp_info, webp_decode};
