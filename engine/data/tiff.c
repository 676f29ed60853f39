/* TIFF by libtiff, from memory: the first page, of kinds of pixels whose meaning as a picture is known. A program that
 * was built without libtiff knows such a file and says so. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/image.h"

static bool is_tiff(const unsigned char *b, size_t n)
{
	return n >= 4 && (memcmp(b, "II*\0", 4) == 0 || memcmp(b, "MM\0*", 4) == 0 || memcmp(b, "II+\0", 4) == 0 ||
			     memcmp(b, "MM\0+", 4) == 0);
}

#if PIPELINE_TIFF
#include <stdio.h>
#include <tiffio.h>

#include "data/tiff_parts.h"

/* One allocation of libtiff: a strip or tile with all of an image's pixels fits. */
#define MEMORY_MAX ((tmsize_t)8 * IMAGE_MAX_PIXELS)

struct file {
	const unsigned char *bytes;
	size_t n;
	toff_t at;
	bool decoding;  /* pixels, whose warnings are errors */
	char text[256]; /* of the first error */
};

static tmsize_t read_file(thandle_t handle, void *to, tmsize_t n)
{
	struct file *f = handle;
	size_t left = f->at < f->n ? f->n - (size_t)f->at : 0, take = (size_t)n < left ? (size_t)n : left;

	memcpy(to, f->bytes + (left ? f->at : 0), take);
	f->at += take;
	return (tmsize_t)take;
}

static tmsize_t write_file(thandle_t handle, void *from, tmsize_t n)
{
	(void)handle, (void)from, (void)n;
	return -1;
}

static toff_t seek_file(thandle_t handle, toff_t to, int whence)
{
	struct file *f = handle;

	f->at = whence == SEEK_SET ? to : whence == SEEK_CUR ? f->at + to : f->n + to;
	return f->at;
}

static toff_t size_of_file(thandle_t handle)
{
	return ((struct file *)handle)->n;
}

static int close_file(thandle_t handle)
{
	(void)handle;
	return 0;
}

static int on_error(TIFF *t, void *user, const char *module, const char *format, va_list args)
{
	struct file *f = user;

	(void)t, (void)module;
	if (f->text[0] == '\0')
		vsnprintf(f->text, sizeof(f->text), format, args);
	return 1;
}

/* Of a directory libtiff warns where it knows a way out, and so it does under the file's name of a palette. Decoders
 * warn where data is short, long or damaged, and fill up with something; only that it is LZW of the older form is no
 * fault. */
static int on_warning(TIFF *t, void *user, const char *module, const char *format, va_list args)
{
	const struct file *f = user;

	if (!f->decoding || (module && (strcmp(module, "LZWPreDecode") == 0 || strcmp(module, TIFFFileName(t)) == 0)))
		return 1;
	return on_error(t, user, module, format, args);
}

static int fail(const char *name, const struct file *f)
{
	return err_set(ERR_DATA, "%s: %s", name, f->text[0] ? f->text : "a TIFF image that is damaged");
}

static int open_tiff(const char *name, struct file *f, TIFF **out)
{
	TIFFOpenOptions *o = TIFFOpenOptionsAlloc();

	*out = NULL;
	if (!o)
		return err_set(ERR_NOMEM, "%s: out of memory", name);
	TIFFOpenOptionsSetMaxSingleMemAlloc(o, MEMORY_MAX);
	TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, f);
	TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, f);
	/* m: not mapped. */
	*out =
	    TIFFClientOpenExt(name, "rm", f, read_file, write_file, seek_file, close_file, size_of_file, NULL, NULL, o);
	TIFFOpenOptionsFree(o);
	return *out ? 0 : fail(name, f);
}

/* What the samples of a pixel are. */
struct kind {
	uint16_t photometric, bits, samples, extras, orientation, compression, planar, format;
	const uint16_t *extra; /* their kinds */
};

static struct kind read_kind(TIFF *t)
{
	struct kind k = {0};

	TIFFGetFieldDefaulted(t, TIFFTAG_BITSPERSAMPLE, &k.bits);
	TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLESPERPIXEL, &k.samples);
	TIFFGetFieldDefaulted(t, TIFFTAG_ORIENTATION, &k.orientation);
	TIFFGetFieldDefaulted(t, TIFFTAG_COMPRESSION, &k.compression);
	TIFFGetFieldDefaulted(t, TIFFTAG_PLANARCONFIG, &k.planar);
	TIFFGetFieldDefaulted(t, TIFFTAG_SAMPLEFORMAT, &k.format);
	if (!TIFFGetFieldDefaulted(t, TIFFTAG_EXTRASAMPLES, &k.extras, &k.extra))
		k.extras = 0;
	/* libtiff's own rule for files that do not say it. */
	if (!TIFFGetField(t, TIFFTAG_PHOTOMETRIC, &k.photometric))
		k.photometric = k.samples - k.extras >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
	return k;
}

static int colours_of(const struct kind *k)
{
	switch (k->photometric) {
	case PHOTOMETRIC_MINISWHITE:
	case PHOTOMETRIC_MINISBLACK:
	case PHOTOMETRIC_PALETTE:
		return 1;
	case PHOTOMETRIC_RGB:
	case PHOTOMETRIC_YCBCR:
		return 3;
	case PHOTOMETRIC_SEPARATED:
		return 4;
	default: /* CIE L*a*b* too: libtiff reads it as of a white that is none of a screen, so grey is no grey */
		return 0;
	}
}

static bool has_opacity(const struct kind *k)
{
	return k->extras == 1 && (k->extra[0] == EXTRASAMPLE_ASSOCALPHA || k->extra[0] == EXTRASAMPLE_UNASSALPHA);
}

/* One channel with opacity, which is read here: libtiff leaves the opacity out, but of 8 bits. */
static bool is_single(const struct kind *k)
{
	return colours_of(k) == 1 && has_opacity(k);
}

/* Of what is premultiplied, only grey that is bright where its numbers are large has a meaning of its own. */
static bool is_single_read(const struct kind *k)
{
	if (k->extra[0] == EXTRASAMPLE_ASSOCALPHA && k->photometric != PHOTOMETRIC_MINISBLACK)
		return false;
	return k->bits == 8 || (k->bits == 16 && k->photometric != PHOTOMETRIC_PALETTE);
}

/* Signed numbers are taken for unsigned ones by libtiff. */
static int check_numbers(const char *name, const struct kind *k)
{
	if (k->format != SAMPLEFORMAT_UINT && k->format != SAMPLEFORMAT_VOID)
		return err_set(ERR_DATA, "%s: a TIFF image of %s; unsigned integers are read", name,
		    k->format == SAMPLEFORMAT_INT      ? "signed integers"
		    : k->format == SAMPLEFORMAT_IEEEFP ? "floats"
						       : "complex numbers");
	if (is_single(k) && !is_single_read(k))
		return err_set(ERR_DATA, "%s: a TIFF image of %s, %d bits and %sopacity; with opacity, %s", name,
		    k->photometric == PHOTOMETRIC_PALETTE      ? "a palette"
		    : k->photometric == PHOTOMETRIC_MINISWHITE ? "inverted grey"
							       : "grey",
		    k->bits, k->extra[0] == EXTRASAMPLE_ASSOCALPHA ? "premultiplied " : "",
		    "grey of 8 and 16 bits, palettes of 8 and RGB are read, premultiplied grey and RGB");
	return 0;
}

/* Further channels than colours and opacity are no picture. */
static int check_kind(const char *name, const struct kind *k)
{
	const int colours = colours_of(k);
	const bool opacity = has_opacity(k);

	if (colours == 0 || k->compression == COMPRESSION_OJPEG)
		return err_set(ERR_DATA, "%s: a TIFF image of a kind that is not read (photometric %d, compression %d)",
		    name, k->photometric, k->compression);
	if (k->bits > 16)
		return err_set(ERR_DATA, "%s: a TIFF image of %d bits per channel; up to 16 are read", name, k->bits);
	if (k->samples != colours + (opacity && colours < 4 ? 1 : 0))
		return err_set(ERR_DATA,
		    "%s: a TIFF image of %d channels; grey and RGB are read, with or without opacity, a palette and "
		    "CMYK",
		    name, k->samples);
	return check_numbers(name, k);
}

static int tiff_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	struct file f = {.bytes = bytes, .n = n};
	uint32_t height = 0, width = 0;
	TIFF *t;
	int rc = open_tiff(name, &f, &t);

	if (rc)
		return rc;
	struct kind k = read_kind(t);
	TIFFGetField(t, TIFFTAG_IMAGELENGTH, &height);
	TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &width);
	rc = check_kind(name, &k);
	out->height = height > INT32_MAX ? INT32_MAX : (int)height;
	out->width = width > INT32_MAX ? INT32_MAX : (int)width;
	out->channels = colours_of(&k) == 1 && k.photometric != PHOTOMETRIC_PALETTE ? 1 : 3;
	out->orientation = k.orientation >= 1 && k.orientation <= 8 ? k.orientation : 1;
	out->changes = (k.bits == 16 ? CHANGE_BIT(CHANGE_16_BIT) : 0) |
		       (k.photometric == PHOTOMETRIC_SEPARATED ? CHANGE_BIT(CHANGE_CMYK) : 0) |
		       (TIFFLastDirectory(t) ? 0 : CHANGE_BIT(CHANGE_PAGE));
	TIFFClose(t);
	return rc;
}

/* The whole page as one number a pixel, multiplied with its opacity; rows as they are stored. */
static int read_raster(const char *name, struct file *f, TIFF *t, const struct image_info *info, uint32_t *raster)
{
	const struct kind k = read_kind(t);
	TIFFRGBAImage image;
	char why[1024] = "";
	int ok;

	if (!TIFFRGBAImageOK(t, why) || !TIFFRGBAImageBegin(&image, t, 1, why))
		return err_set(ERR_DATA, "%s: a TIFF image of a kind that is not read (%d channels of %d bits): %s",
		    name, k.samples, k.bits, why[0] ? why : "libtiff does not say why");
	image.req_orientation = image.orientation;
	ok = TIFFRGBAImageGet(&image, raster, (uint32_t)info->width, (uint32_t)info->height);
	TIFFRGBAImageEnd(&image);
	return ok && f->text[0] == '\0' ? 0 : fail(name, f);
}

/* ---- one channel with opacity ---- */

struct single {
	TIFF *t;
	struct kind k;
	uint32_t height, width;
	uint8_t *out;       /* the samples, (height, width, 2) of their bits */
	unsigned char *row; /* of the file, or a tile of it */
};

static size_t sample_bytes(const struct single *s)
{
	return s->k.bits / 8;
}

/* n samples of the plane from (y, x) on; of two, of both of each pixel. */
static void put_samples(
    const struct single *s, const unsigned char *from, uint32_t y, uint32_t x, uint32_t n, int planes, int plane)
{
	const size_t bytes = sample_bytes(s), step = 2 * bytes;
	uint8_t *to = s->out + ((size_t)y * s->width + x) * step + (size_t)plane * bytes;

	if (planes == 1)
		memcpy(to, from, n * step);
	for (uint32_t i = 0; planes == 2 && i < n; i++)
		memcpy(to + i * step, from + i * bytes, bytes);
}

static bool read_rows(const struct single *s, int planes, int plane)
{
	for (uint32_t y = 0; y < s->height; y++) {
		if (TIFFReadScanline(s->t, s->row, y, (uint16_t)plane) < 0)
			return false;
		put_samples(s, s->row, y, 0, s->width, planes, plane);
	}
	return true;
}

static bool read_tiles(const struct single *s, int planes, int plane)
{
	uint32_t height = 0, width = 0;

	TIFFGetField(s->t, TIFFTAG_TILELENGTH, &height);
	TIFFGetField(s->t, TIFFTAG_TILEWIDTH, &width);
	for (uint32_t y = 0; y < s->height; y += height) {
		for (uint32_t x = 0; x < s->width; x += width) {
			const uint32_t n = s->width - x < width ? s->width - x : width;
			const size_t line = (size_t)width * sample_bytes(s) * (planes == 1 ? 2 : 1);

			if (TIFFReadTile(s->t, s->row, x, y, 0, (uint16_t)plane) < 0)
				return false;
			for (uint32_t i = 0; i < height && y + i < s->height; i++)
				put_samples(s, s->row + i * line, y + i, x, n, planes, plane);
		}
	}
	return true;
}

static int read_samples(const char *name, struct file *f, struct single *s)
{
	const bool tiled = TIFFIsTiled(s->t);
	const int planes = s->k.planar == PLANARCONFIG_SEPARATE ? 2 : 1;
	const tmsize_t size = tiled ? TIFFTileSize(s->t) : TIFFScanlineSize(s->t);
	bool ok = size > 0 && size <= MEMORY_MAX;
	int rc = 0;

	if (ok) {
		s->row = mem_alloc((size_t)size, 1);
		s->out = mem_alloc((size_t)s->height * s->width, 2 * sample_bytes(s));
		rc = s->row && s->out ? 0 : ERR_NOMEM;
	}
	for (int plane = 0; plane < planes && ok && !rc; plane++)
		ok = tiled ? read_tiles(s, planes, plane) : read_rows(s, planes, plane);
	return rc ? rc : ok && f->text[0] == '\0' ? 0 : fail(name, f);
}

static unsigned sample_of(const struct single *s, size_t i)
{
	uint16_t wide;

	if (s->k.bits == 8)
		return s->out[i];
	memcpy(&wide, s->out + 2 * i, sizeof(wide));
	return wide;
}

/* White behind a value of so many bits, as 8. */
static uint8_t blend_single(const struct kind *k, unsigned value, unsigned alpha)
{
	const uint64_t most = k->bits == 8 ? 255 : 65535;
	uint64_t v = value + (most - alpha);

	if (k->extra[0] == EXTRASAMPLE_UNASSALPHA)
		v = (value * (uint64_t)alpha + most * (most - alpha) + most / 2) / most;
	v = v < most ? v : most;
	return k->bits == 8 ? (uint8_t)v : image_narrow((unsigned)v);
}

/* Colours of a palette are of 16 bits; files that have them of 8 are known by their small numbers, as libtiff does. */
static bool read_palette(TIFF *t, uint16_t *map[3], bool *wide)
{
	if (!TIFFGetField(t, TIFFTAG_COLORMAP, map, map + 1, map + 2))
		return false;
	*wide = false;
	for (int c = 0; c < 3; c++)
		for (int i = 0; i < 256; i++)
			*wide = *wide || map[c][i] > 255;
	return true;
}

static int single_pixels(const char *name, struct file *f, const struct single *s, uint8_t *out, unsigned *changes)
{
	const unsigned most = s->k.bits == 8 ? 255 : 65535;
	const bool palette = s->k.photometric == PHOTOMETRIC_PALETTE;
	uint16_t *map[3] = {NULL, NULL, NULL};
	bool wide = false;

	if (palette && !read_palette(s->t, map, &wide))
		return fail(name, f);
	for (size_t i = 0; i < (size_t)s->height * s->width; i++) {
		const unsigned v = sample_of(s, 2 * i), alpha = sample_of(s, 2 * i + 1);

		if (alpha < most)
			*changes |= CHANGE_BIT(CHANGE_BLENDED);
		if (!palette)
			*out++ = blend_single(&s->k, s->k.photometric == PHOTOMETRIC_MINISWHITE ? most - v : v, alpha);
		for (int c = 0; palette && c < 3; c++)
			*out++ = blend_single(&s->k, wide ? image_narrow(map[c][v]) : map[c][v], alpha);
	}
	return 0;
}

static int decode_single(
    const char *name, struct file *f, TIFF *t, const struct image_info *info, uint8_t *out, unsigned *changes)
{
	struct single s = {.t = t, .k = read_kind(t), .height = (uint32_t)info->height, .width = (uint32_t)info->width};
	int rc = read_samples(name, f, &s);

	if (!rc)
		rc = single_pixels(name, f, &s, out, changes);
	mem_free(s.row);
	mem_free(s.out);
	return rc;
}

/* ---- all others ---- */

static int decode_raster(
    const char *name, struct file *f, TIFF *t, const struct image_info *info, uint8_t *out, unsigned *changes)
{
	const size_t pixels = (size_t)info->height * (size_t)info->width;
	uint32_t *raster = mem_alloc(pixels, sizeof(*raster));
	int rc = raster ? read_raster(name, f, t, info, raster) : ERR_NOMEM;

	for (size_t i = 0; i < pixels && !rc; i++) {
		const unsigned rest = 255 - TIFFGetA(raster[i]);
		const unsigned rgb[3] = {TIFFGetR(raster[i]), TIFFGetG(raster[i]), TIFFGetB(raster[i])};

		if (rest > 0)
			*changes |= CHANGE_BIT(CHANGE_BLENDED);
		for (int c = 0; c < info->channels; c++)
			*out++ = (uint8_t)(rgb[c] + rest < 255 ? rgb[c] + rest : 255);
	}
	mem_free(raster);
	return rc;
}

/* libdeflate, which libtiff may have been built with, gives no pixels where a last strip holds rows below the page. */
static void use_zlib(TIFF *t, const struct kind *k)
{
#ifdef TIFFTAG_DEFLATE_SUBCODEC
	if (k->compression == COMPRESSION_DEFLATE || k->compression == COMPRESSION_ADOBE_DEFLATE)
		TIFFSetField(t, TIFFTAG_DEFLATE_SUBCODEC, DEFLATE_SUBCODEC_ZLIB);
#else
	(void)t, (void)k;
#endif
}

static int tiff_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_info *info,
    uint8_t *out, unsigned *changes)
{
	struct file f = {.bytes = bytes, .n = n};
	TIFF *t;
	int rc = open_tiff(name, &f, &t);

	if (rc)
		return rc;
	const struct kind k = read_kind(t);
	rc = tiff_parts_check(name, t, bytes, n);
	if (!rc && f.text[0])
		rc = fail(name, &f);
	use_zlib(t, &k);
	f.decoding = true;
	if (!rc)
		rc = is_single(&k) ? decode_single(name, &f, t, info, out, changes)
				   : decode_raster(name, &f, t, info, out, changes);
	TIFFClose(t);
	return rc;
}
#else
static int tiff_info(const char *name, const unsigned char *bytes, size_t n, struct image_info *out)
{
	(void)bytes, (void)n, (void)out;
	return err_set(ERR_DATA, "%s: a TIFF image, and this program was built without libtiff", name);
}

static int tiff_decode(const char *name, const unsigned char *bytes, size_t n, const struct image_info *info,
    uint8_t *out, unsigned *changes)
{
	(void)info, (void)out, (void)changes;
	return tiff_info(name, bytes, n, NULL);
}
#endif

const struct image_format image_tiff = {"TIFF", is_tiff, tiff_info, tiff_decode};
