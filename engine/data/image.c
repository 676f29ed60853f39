/* One front for the image formats: which it is, its size, and the way from its pixels to those of a sample. */
#include "data/image.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"

/* Images above this size are decoded one at a time, so that many threads do not hold one each. */
#define LARGE_PIXELS (1 << 25)

const char *const image_resize_names[RESIZE_COUNT + 1] = {"none", "crop", "stretch", NULL};

static const struct image_format *const formats[] = {&image_jpeg, &image_png, &image_webp, &image_tiff, &image_bmp};

static const struct image_format *format_of(const unsigned char *b, size_t n)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (formats[i]->is(b, n))
			return formats[i];
	return NULL;
}

/* What people have instead under the suffix of an image, or NULL. */
static const char *name_of_other(const unsigned char *b, size_t n)
{
	static const struct {
		size_t at;
		const char *text, *name;
	} known[] = {{0, "GIF8", "a GIF image"}, {4, "ftypheic", "a HEIC image"}, {4, "ftypheix", "a HEIC image"},
	    {4, "ftypmif1", "a HEIF image"}, {4, "ftypavif", "an AVIF image"}, {4, "JXL \r\n", "a JPEG XL image"},
	    {4, "jP  \r\n", "a JPEG 2000 image"}, {0, "8BPS", "a Photoshop file"}, {0, "%PDF", "a PDF file"},
	    {0, "<!DOCTYPE", "a page of HTML"}, {0, "<html", "a page of HTML"}, {0, "<svg", "an SVG drawing"},
	    {0, "version https://git-lfs", "a pointer of Git LFS in the place of the file"}};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		size_t length = strlen(known[i].text);

		if (n >= known[i].at + length && !strncasecmp((const char *)b + known[i].at, known[i].text, length))
			return known[i].name;
	}
	return NULL;
}

static int refuse_other(const char *name, const unsigned char *bytes, size_t n)
{
	const char *other = name_of_other(bytes, n);

	if (other)
		return err_set(ERR_DATA, "%s: %s; JPEG, PNG, WebP, TIFF and BMP are read", name, other);
	return err_set(
	    ERR_DATA, "%s: %s", name, n == 0 ? "empty file" : "neither a JPEG, PNG, WebP, TIFF nor BMP image");
}

bool image_has_suffix(const char *path)
{
	static const char *const suffix[] = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"};
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < sizeof(suffix) / sizeof(*suffix); i++)
		if (!strcasecmp(dot, suffix[i]))
			return true;
	return false;
}

bool image_begins(const unsigned char *bytes, size_t n, bool *more)
{
	/* Of a WebP and a BMP file the length follows, whose highest byte, of files that are not too large, is a number
	 * that no text has; of the others nothing that a text begins with. */
	static const struct {
		unsigned char text[4];
		size_t bytes, highest;
	} head[] = {{{0xff}, 1, 0}, {{0x89}, 1, 0}, {{'I', 'I', '*', 0}, 4, 0}, {{'M', 'M', 0, '*'}, 4, 0},
	    {{'I', 'I', '+', 0}, 4, 0}, {{'M', 'M', 0, '+'}, 4, 0}, {{'R', 'I', 'F', 'F'}, 4, 7}, {{'B', 'M'}, 2, 5}};

	*more = false;
	for (size_t i = 0; i < sizeof(head) / sizeof(*head); i++) {
		size_t compared = n < head[i].bytes ? n : head[i].bytes;

		if (memcmp(bytes, head[i].text, compared) != 0)
			continue;
		if (n < head[i].bytes || n <= head[i].highest)
			*more = true;
		else if (head[i].highest == 0 || bytes[head[i].highest] <= IMAGE_FILE_MAX >> 24)
			return true;
	}
	return false;
}

static int read_info(
    const char *name, const unsigned char *bytes, size_t n, const struct image_format *f, struct image_info *out)
{
	int rc;

	*out = (struct image_info){.orientation = 1};
	if (!f)
		return refuse_other(name, bytes, n);
	rc = f->info(name, bytes, n, out);
	if (rc != 0)
		return rc;
	if (out->height < 1 || out->width < 1 || out->height > IMAGE_MAX_SIDE || out->width > IMAGE_MAX_SIDE)
		return err_set(ERR_DATA, "%s: image of %d x %d; sides of 1 to %d are allowed", name, out->height,
		    out->width, IMAGE_MAX_SIDE);
	if ((int64_t)out->height * out->width > IMAGE_MAX_PIXELS)
		return err_set(ERR_DATA, "%s: image of %d x %d; at most %d million pixels are allowed", name,
		    out->height, out->width, IMAGE_MAX_PIXELS >> 20);
	if (out->orientation != 1)
		out->changes |= CHANGE_BIT(CHANGE_TURNED);
	return 0;
}

int image_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	return read_info(name, bytes, n, format_of(bytes, n), out);
}

void image_shown_size(const struct image_info *info, int *height, int *width)
{
	*height = info->orientation >= 5 ? info->width : info->height;
	*width = info->orientation >= 5 ? info->height : info->width;
}

static int check_fit(const char *name, const struct image_info *info, const struct image_fit *fit)
{
	int h, w;

	image_shown_size(info, &h, &w);
	if (fit->channels != 1 && fit->channels != 3)
		return err_set(ERR_DATA, "%s: images decode to 1 or 3 channels, not %d", name, fit->channels);
	if (fit->resize == RESIZE_NONE && (h != fit->height || w != fit->width))
		return err_set(ERR_DATA, "%s: image of %d x %d (height x width), expected %d x %d", name, h, w,
		    fit->height, fit->width);
	if (info->channels > fit->channels && !fit->to_grey)
		return err_set(ERR_DATA, "%s: a colour image where grey ones are expected", name);
	return 0;
}

/* In place, by integers of 16 bits that sum to 65536. */
static void make_grey(uint8_t *p, size_t pixels)
{
	for (size_t i = 0; i < pixels; i++)
		p[i] = (uint8_t)((19595u * p[3 * i] + 38470u * p[3 * i + 1] + 7471u * p[3 * i + 2] + 0x8000u) >> 16);
}

/* In place, from the last pixel on, which none of the others is behind. */
static void make_colour(uint8_t *p, size_t pixels)
{
	for (size_t i = pixels; i-- > 0;) {
		uint8_t v = p[i];

		p[3 * i] = p[3 * i + 1] = p[3 * i + 2] = v;
	}
}

static int turn(uint8_t **pixels, const struct image_info *info)
{
	uint8_t *turned;

	if (info->orientation == 1)
		return 0;
	turned = mem_alloc((size_t)info->height * (size_t)info->width, (size_t)info->channels);
	if (!turned)
		return ERR_NOMEM;
	image_turn(*pixels, info->height, info->width, info->channels, info->orientation, turned);
	mem_free(*pixels);
	*pixels = turned;
	return 0;
}

int image_fit_pixels(
    uint8_t *pixels, int h, int w, int channels, const struct image_fit *fit, uint8_t *out, unsigned *changes)
{
	int c = channels < fit->channels ? channels : fit->channels, rc = 0;

	if (c < channels) {
		make_grey(pixels, (size_t)h * (size_t)w);
		*changes |= CHANGE_BIT(CHANGE_GREY);
	}
	if (h != fit->height || w != fit->width) {
		struct image_scale s = image_scale_of(fit, h, w, c);

		*changes |= CHANGE_BIT(CHANGE_RESIZED);
		rc = image_scale(&s, pixels, out);
	} else {
		memcpy(out, pixels, (size_t)h * (size_t)w * (size_t)c);
	}
	if (c < fit->channels)
		make_colour(out, (size_t)fit->height * (size_t)fit->width);
	return rc;
}

/* Pixels as they are stored become a sample. */
static int fit_stored(
    uint8_t **pixels, const struct image_info *info, const struct image_fit *fit, uint8_t *out, unsigned *changes)
{
	int h, w, rc = turn(pixels, info);

	if (rc)
		return rc;
	image_shown_size(info, &h, &w);
	return image_fit_pixels(*pixels, h, w, info->channels, fit, out, changes);
}

static int decode(const char *name, const unsigned char *bytes, size_t n, const struct image_format *f,
    const struct image_info *info, const struct image_fit *fit, uint8_t *out, unsigned *changes)
{
	const bool as_it_is = info->orientation == 1 && info->height == fit->height && info->width == fit->width &&
			      info->channels <= fit->channels;
	uint8_t *pixels =
	    as_it_is ? out : mem_alloc((size_t)info->height * (size_t)info->width, (size_t)info->channels);
	int rc = pixels ? f->decode(name, bytes, n, info, pixels, changes) : ERR_NOMEM;

	if (!rc && !as_it_is)
		rc = fit_stored(&pixels, info, fit, out, changes);
	else if (!rc && info->channels < fit->channels)
		make_colour(out, (size_t)fit->height * (size_t)fit->width);
	if (!as_it_is)
		mem_free(pixels);
	return rc;
}

int image_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_fit *fit, uint8_t *out,
    unsigned *changes)
{
	const struct image_format *f = format_of(bytes, n);
	struct image_info info;
	int rc = read_info(name, bytes, n, f, &info);

	*changes = 0;
	if (!rc)
		rc = check_fit(name, &info, fit);
	if (rc)
		return rc;
	*changes = info.changes | (info.channels < fit->channels ? CHANGE_BIT(CHANGE_COLOUR) : 0);
	if ((int64_t)info.height * info.width <= LARGE_PIXELS)
		return decode(name, bytes, n, f, &info, fit, out, changes);
#pragma omp critical(large_image)
	rc = decode(name, bytes, n, f, &info, fit, out, changes);
	return rc;
}
