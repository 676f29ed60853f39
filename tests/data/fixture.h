/* Small helpers of the data tests: a fresh folder per test, files, archives, images. */
#ifndef TESTS_DATA_FIXTURE_H
#define TESTS_DATA_FIXTURE_H

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <jpeglib.h>
#include <spng.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "config/option.h"
#include "data/dataset.h"
#include "data/prints.h"

static char dir[256];

static inline int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/pipeline-data-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return !mkdtemp(dir);
}
static inline int teardown(void **state)
{
	(void)state;
	return fs_remove_tree(dir);
}

/* A path below the test's folder, in one of four rotating buffers. */
static inline const char *at(const char *name)
{
	static char buf[4][1024];
	static int k;

	k = (k + 1) % 4;
	snprintf(buf[k], sizeof(buf[k]), "%s/%s", dir, name);
	return buf[k];
}

static inline void put(const char *name, const void *bytes, size_t n)
{
	char folder[1024];

	snprintf(folder, sizeof(folder), "%s", at(name));
	*strrchr(folder, '/') = '\0';
	assert_int_equal(fs_mkdirs(folder), 0);
	assert_int_equal(fs_write(at(name), bytes, n), 0);
}

static inline void put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

static inline void put_gz(const char *name, const void *bytes, size_t n)
{
	gzFile f = gzopen(at(name), "wb");

	assert_non_null(f);
	assert_int_equal(gzwrite(f, bytes, (unsigned)n), (int)n);
	assert_int_equal(gzclose(f), Z_OK);
}

struct bytes {
	unsigned char *p;
	size_t n;
};

static inline struct bytes make_jpeg(const uint8_t *pixels, int h, int w, int c, int quality)
{
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr e;
	struct bytes out = {NULL, 0};
	unsigned long n = 0;

	j.err = jpeg_std_error(&e);
	jpeg_create_compress(&j);
	jpeg_mem_dest(&j, &out.p, &n);
	j.image_height = (JDIMENSION)h;
	j.image_width = (JDIMENSION)w;
	j.input_components = c;
	j.in_color_space = c == 1 ? JCS_GRAYSCALE : c == 3 ? JCS_RGB : JCS_CMYK;
	jpeg_set_defaults(&j);
	jpeg_set_quality(&j, quality, TRUE);
	jpeg_start_compress(&j, TRUE);
	for (int y = 0; y < h; y++) {
		JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)(y * w * c));

		jpeg_write_scanlines(&j, &row, 1);
	}
	jpeg_finish_compress(&j);
	jpeg_destroy_compress(&j);
	out.n = n;
	return out;
}

static inline struct bytes make_png(const void *pixels, int h, int w, int color_type, int depth, size_t n)
{
	spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
	struct spng_ihdr head = {.width = (uint32_t)w,
	    .height = (uint32_t)h,
	    .color_type = (uint8_t)color_type,
	    .bit_depth = (uint8_t)depth};
	struct bytes out;
	int code;

	spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
	spng_set_ihdr(ctx, &head);
	assert_int_equal(spng_encode_image(ctx, pixels, n, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE), 0);
	out.p = spng_get_png_buffer(ctx, &out.n, &code);
	spng_ctx_free(ctx);
	return out;
}

/* Pixels that differ from image to image: a ramp with an offset. */
static inline void ramp(uint8_t *p, size_t n, int seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((int)i * 7 + seed * 31);
}

static inline void put_png(const char *name, int h, int w, int c, int seed)
{
	uint8_t *p = malloc((size_t)(h * w * c));
	struct bytes b;

	ramp(p, (size_t)(h * w * c), seed);
	b = make_png(p, h, w, c == 1 ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR, 8, (size_t)(h * w * c));
	put(name, b.p, b.n);
	free(b.p);
	free(p);
}

/* Packs files that `put` wrote into an archive; the format follows the name. */
static inline void pack(const char *archive_name, const char *const *names)
{
	struct archive *a = archive_write_new();

	if (strstr(archive_name, ".zip")) {
		archive_write_set_format_zip(a);
	} else {
		archive_write_set_format_ustar(a);
		archive_write_add_filter_gzip(a);
	}
	assert_int_equal(archive_write_open_filename(a, at(archive_name)), ARCHIVE_OK);
	for (int i = 0; names[i]; i++) {
		struct fs_bytes b = {0};
		struct archive_entry *e = archive_entry_new();

		assert_int_equal(fs_read(at(names[i]), &b), 0);
		archive_entry_set_pathname(e, names[i]);
		archive_entry_set_size(e, (la_int64_t)b.size);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_perm(e, 0644);
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		assert_int_equal(archive_write_data(a, b.data, b.size), (la_ssize_t)b.size);
		archive_entry_free(e);
		fs_bytes_clear(&b);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

/* Options by their table from flow-style YAML, with "DIR" replaced by the test's folder. */
static inline struct data_options options(const char *yaml_text)
{
	struct data_options o = {0};
	struct yaml y = {0};
	char text[4096] = "";
	const char *mark;

	for (; (mark = strstr(yaml_text, "DIR")) != NULL; yaml_text = mark + 3)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s%s", (int)(mark - yaml_text), yaml_text,
		    dir);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", yaml_text);
	assert_int_equal(yaml_parse("test", text, strlen(text), &y), 0);
	if (option_parse(data_option_table, &o, &y, y.root, NULL) != 0)
		fail_msg("%s", err_message());
	yaml_clear(&y);
	return o;
}

/* Opens what must fail, with an exact code and a message that contains `part`. */
static inline void must_fail(const char *yaml_text, int code, const char *part)
{
	struct data_options o = options(yaml_text);
	struct dataset d;
	int rc = dataset_open(&d, &o, NULL, 1, true);

	if (!rc)
		fail_msg("opened, but should fail with '%s'", part);
	assert_int_equal(rc, code);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' lacks '%s'", err_message(), part);
	dataset_close(&d); /* a failed open leaves a closed data set */
	option_clear(data_option_table, &o);
}

/* The pixels of a sample. */
static inline const uint8_t *pixels_of(const struct dataset *d, int split, int64_t i)
{
	struct sample_view v;

	if (dataset_sample(d, (enum split)split, i, &v) != 0)
		fail_msg("%s", err_message());
	return v.pixels;
}

/* What a sample's content gets as its rank: a number in 0..1. Not the code under test: two lines of its own. */
static inline double rank_of(const struct sample_view *v, uint64_t seed, const char *stream)
{
	struct rng_words w;
	uint64_t print;

	assert_int_equal(print_sample(v, &print), 0);
	w = rng_draw(rng_make(seed, "", RNG_SPLIT, stream), 0, print, 0);
	return (w.w[0] * 4294967296.0 + w.w[1]) / 18446744073709551616.0;
}

/* The split that a rank alone gives. */
static inline int split_of(double rank, double test, double val)
{
	return rank < test ? SPLIT_TEST : rank < test + val ? SPLIT_VAL : SPLIT_TRAIN;
}

/* Whether k of n is what a share of f gives by luck: within four standard deviations. */
static inline bool likely(int64_t k, int64_t n, double f)
{
	double off = (double)k - (double)n * f;

	return off * off <= 16 * (double)n * f * (1 - f);
}

/* The folder of real data sets, or NULL. */
static inline const char *real_data(void)
{
	static char path[1024];
	const char *env = getenv("PIPELINE_TEST_DATA");

	snprintf(path, sizeof(path), "%s", env ? env : TEST_SOURCE_DIR "/../../shared/data");
	return fs_is_dir(path) ? path : NULL;
}

#endif
