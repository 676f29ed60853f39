/* Decoding of single images: exact where the format is, and an error where pixels would have to be invented. */
#include "data/fixture.h"
#include "data/image.h"

enum { H = 5, W = 7 };

static uint8_t pixels[H * W * 4], out[H * W * 4];

static int decode_as_it_is(const char *name, const unsigned char *p, size_t n, int h, int w, int c, uint8_t *to)
{
	const struct image_fit fit = {.height = h, .width = w, .channels = c};
	unsigned changes;

	return image_decode(name, p, n, &fit, to, &changes);
}

static void fails(struct bytes b, size_t n, int h, int w, int c, const char *part)
{
	unsigned char *copy = malloc(n > 0 ? n : 1); /* its own block, so that a sanitizer sees reads past it */

	memcpy(copy, b.p, n);
	assert_int_equal(decode_as_it_is("x.img", copy, n, h, w, c, out), ERR_DATA);
	if (!strstr(err_message(), part) || strncmp(err_message(), "x.img", 5) != 0)
		fail_msg("message '%s' lacks '%s'", err_message(), part);
	free(copy);
}

static void png__decodes_exactly_in_grey_and_colour(void **state)
{
	struct bytes g, c;

	(void)state;
	ramp(pixels, sizeof(pixels), 3);
	g = make_png(pixels, H, W, SPNG_COLOR_TYPE_GRAYSCALE, 8, H * W);
	c = make_png(pixels, H, W, SPNG_COLOR_TYPE_TRUECOLOR, 8, H * W * 3);
	assert_int_equal(decode_as_it_is("g", g.p, g.n, H, W, 1, out), 0);
	assert_memory_equal(out, pixels, H * W);
	assert_int_equal(decode_as_it_is("g", g.p, g.n, H, W, 3, out), 0); /* repeats grey */
	for (int i = 0; i < H * W * 3; i++)
		assert_int_equal(out[i], pixels[i / 3]);
	assert_int_equal(decode_as_it_is("c", c.p, c.n, H, W, 3, out), 0);
	assert_memory_equal(out, pixels, H * W * 3);
	fails(c, c.n, H, W, 1, "colour image where grey");
	fails(c, c.n, W, H, 3, "image of 5 x 7 (height x width), expected 7 x 5");
	free(g.p);
	free(c.p);
}

/* What `changes` says of a file that is taken as it is. Frees it. */
static unsigned changes_of(struct bytes b, int h, int w, int c)
{
	const struct image_fit fit = {.height = h, .width = w, .channels = c};
	unsigned changes;

	if (image_decode("x.img", b.p, b.n, &fit, out, &changes) != 0)
		fail_msg("%s", err_message());
	free(b.p);
	return changes;
}

static void png__transparency_is_blended_with_white_and_said(void **state)
{
	struct bytes b;

	(void)state;
	ramp(pixels, sizeof(pixels), 3);
	pixels[3] = 0;
	pixels[7] = 128;
	pixels[11] = pixels[15] = 255;
	b = make_png(pixels, 2, 2, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 8, 16);
	assert_int_equal(changes_of(b, 2, 2, 3), CHANGE_BIT(CHANGE_BLENDED));
	for (int c = 0; c < 3; c++) {
		assert_int_equal(out[c], 255);
		assert_int_equal(out[3 + c], (pixels[4 + c] * 128 + 255 * 127 + 127) / 255);
		assert_int_equal(out[6 + c], pixels[8 + c]);
	}
	for (int i = 0; i < 4; i++)
		pixels[4 * i + 3] = 255;
	b = make_png(pixels, 2, 2, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 8, 16);
	assert_int_equal(changes_of(b, 2, 2, 3), 0);
	assert_int_equal(out[3], pixels[4]);
	/* One of the greys is said to be transparent, by a chunk of its own. */
	spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
	struct spng_ihdr head = {.width = 2, .height = 2, .color_type = SPNG_COLOR_TYPE_GRAYSCALE, .bit_depth = 8};
	struct spng_trns grey = {.gray = pixels[1]};
	int code;

	spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
	assert_int_equal(spng_set_ihdr(ctx, &head), 0);
	assert_int_equal(spng_set_trns(ctx, &grey), 0);
	assert_int_equal(spng_encode_image(ctx, pixels, 4, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE), 0);
	b.p = spng_get_png_buffer(ctx, &b.n, &code);
	spng_ctx_free(ctx);
	assert_int_equal(changes_of(b, 2, 2, 1), CHANGE_BIT(CHANGE_BLENDED));
	assert_int_equal(out[0], pixels[0]);
	assert_int_equal(out[1], 255);
}

static void png__16_bits_are_rounded_to_8_and_said(void **state)
{
	/* The order of bytes in memory is the machine's. */
	const uint16_t wide[6] = {0, 128, 129, 65535, 65406, 65407};
	static const uint8_t want[6] = {0, 0, 1, 255, 254, 255};
	struct bytes b;

	(void)state;
	b = make_png(wide, 1, 2, SPNG_COLOR_TYPE_TRUECOLOR, 16, sizeof(wide));
	assert_int_equal(changes_of(b, 1, 2, 3), CHANGE_BIT(CHANGE_16_BIT));
	assert_memory_equal(out, want, sizeof(want));
}

static void jpeg__decodes_closely_in_grey_and_colour(void **state)
{
	struct bytes b;

	(void)state;
	for (int i = 0; i < H * W; i++)
		pixels[i] = (uint8_t)(100 + 3 * (i / W));
	b = make_jpeg(pixels, H, W, 1, 100);
	assert_int_equal(decode_as_it_is("g", b.p, b.n, H, W, 1, out), 0);
	for (int i = 0; i < H * W; i++)
		assert_true(out[i] >= pixels[i] - 2 && out[i] <= pixels[i] + 2);
	assert_int_equal(decode_as_it_is("g", b.p, b.n, H, W, 3, out), 0);
	assert_int_equal(out[0], out[2]);
	free(b.p);
	memset(pixels, 200, H * W * 3);
	b = make_jpeg(pixels, H, W, 3, 95);
	assert_int_equal(decode_as_it_is("c", b.p, b.n, H, W, 3, out), 0);
	for (int i = 0; i < H * W * 3; i++)
		assert_true(out[i] >= 198 && out[i] <= 202);
	fails(b, b.n, H, W, 1, "colour image where grey");
	fails(b, b.n, H + 1, W, 3, "expected 6 x 7");
	free(b.p);
}

/* A JPEG file of four channels; all pixels are of one colour. */
static struct bytes make_four(const uint8_t cmyk[4], J_COLOR_SPACE stored, bool adobe)
{
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr e;
	struct bytes b = {NULL, 0};
	unsigned long n = 0;
	uint8_t line[4 * W];
	JSAMPROW row = line;

	for (int i = 0; i < 4 * W; i++)
		line[i] = cmyk[i % 4];
	j.err = jpeg_std_error(&e);
	jpeg_create_compress(&j);
	jpeg_mem_dest(&j, &b.p, &n);
	j.image_height = H;
	j.image_width = W;
	j.input_components = 4;
	j.in_color_space = JCS_CMYK;
	jpeg_set_defaults(&j);
	jpeg_set_colorspace(&j, stored);
	jpeg_set_quality(&j, 100, TRUE);
	j.write_Adobe_marker = adobe;
	jpeg_start_compress(&j, TRUE);
	for (int y = 0; y < H; y++)
		jpeg_write_scanlines(&j, &row, 1);
	jpeg_finish_compress(&j);
	jpeg_destroy_compress(&j);
	b.n = n;
	return b;
}

static void jpeg__cmyk_and_ycck_become_rgb(void **state)
{
	/* Of light: red 200 of 255, all of it at 128 of 255. */
	static const uint8_t light[4] = {200, 90, 20, 128}, ink[4] = {55, 165, 235, 127}, want[3] = {100, 45, 10};
	struct bytes b[3];

	(void)state;
	b[0] = make_four(light, JCS_CMYK, true);
	b[1] = make_four(light, JCS_YCCK, true);
	b[2] = make_four(ink, JCS_CMYK, false);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(changes_of(b[i], H, W, 3), CHANGE_BIT(CHANGE_CMYK));
		for (int k = 0; k < 3 * H * W; k++)
			assert_in_range(out[k], want[k % 3] - 2, want[k % 3] + 2);
	}
}

/* Puts n bytes, all of one value, in front of byte `place`. */
static struct bytes with_bytes(struct bytes b, size_t place, size_t n, unsigned char value)
{
	struct bytes x = {malloc(b.n + n), b.n + n};

	memcpy(x.p, b.p, place);
	memset(x.p + place, value, n);
	memcpy(x.p + place + n, b.p + place, b.n - place);
	return x;
}

static size_t find_marker(struct bytes b, unsigned char marker)
{
	size_t i = 2;

	/* Segment by segment: the length behind a marker counts itself. */
	while (b.p[i + 1] != marker)
		i += 2u + (size_t)(b.p[i + 2] << 8 | b.p[i + 3]);
	return i;
}

/* Decodes to the same pixels as `good`. Frees x. */
static void same_pixels(struct bytes good, struct bytes x)
{
	uint8_t want[H * W * 3];

	assert_int_equal(decode_as_it_is("good", good.p, good.n, H, W, 3, want), 0);
	if (decode_as_it_is("x.img", x.p, x.n, H, W, 3, out) != 0)
		fail_msg("%s", err_message());
	assert_memory_equal(out, want, sizeof(want));
	free(x.p);
}

static void fails_and_free(struct bytes x, const char *part)
{
	fails(x, x.n, H, W, 3, part);
	free(x.p);
}

static void jpeg__faults_that_change_no_pixel_are_taken(void **state)
{
	struct bytes b, x;
	size_t sos, dht;

	(void)state;
	ramp(pixels, sizeof(pixels), 4);
	b = make_jpeg(pixels, H, W, 3, 90);
	x = with_bytes(b, b.n, 0, 0);
	x.p[11] = 2; /* the first part of JFIF's version */
	same_pixels(b, x);
	sos = find_marker(b, 0xda);
	x = with_bytes(b, b.n, 0, 0);
	x.p[sos + 2 + 10] = 0; /* the last coefficient of the scan, which sequential files do not use */
	same_pixels(b, x);
	same_pixels(b, with_bytes(b, b.n - 2, 14, 0));
	same_pixels(b, with_bytes(b, find_marker(b, 0xdb), 2, 0x11));
	same_pixels(b, with_bytes(b, b.n, 9, 'x'));
	same_pixels(b, with_bytes(b, b.n - 2, 14, 0x5a));
	assert_int_equal(changes_of(with_bytes(b, b.n - 2, 14, 0x5a), H, W, 3), CHANGE_BIT(CHANGE_FAULT));
	assert_int_equal(changes_of(with_bytes(b, b.n, 9, 'x'), H, W, 3), 0);
	/* What may stand for a table that is not there. */
	dht = find_marker(b, 0xc4);
	x = with_bytes(b, dht, 0, 0);
	memmove(x.p + dht, x.p + sos, x.n - sos);
	x.n -= sos - dht;
	same_pixels(b, with_bytes(x, x.n, 0, 0)); /* as in films */
	fails_and_free(with_bytes(x, dht, 2, 0x11), "no Huffman table");
	free(x.p);
	free(b.p);
}

/* A JPEG file in grey with a restart marker behind each row of blocks, or with arithmetic coding. */
static struct bytes make_odd(bool arithmetic)
{
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr e;
	struct bytes b = {NULL, 0};
	unsigned long n = 0;
	uint8_t line[64];
	JSAMPROW row = line;

	j.err = jpeg_std_error(&e);
	jpeg_create_compress(&j);
	jpeg_mem_dest(&j, &b.p, &n);
	j.image_height = j.image_width = 64;
	j.input_components = 1;
	j.in_color_space = JCS_GRAYSCALE;
	jpeg_set_defaults(&j);
	j.arith_code = arithmetic;
	j.restart_in_rows = !arithmetic;
	jpeg_start_compress(&j, TRUE);
	for (int y = 0; y < 64; y++) {
		ramp(line, sizeof(line), y);
		jpeg_write_scanlines(&j, &row, 1);
	}
	jpeg_finish_compress(&j);
	jpeg_destroy_compress(&j);
	b.n = n;
	return b;
}

static int decode_odd(struct bytes b, size_t n, unsigned *changes)
{
	static uint8_t grey[64 * 64];
	const struct image_fit fit = {.height = 64, .width = 64, .channels = 1};

	return image_decode("x.img", b.p, n, &fit, grey, changes);
}

static void jpeg__bytes_that_are_left_over_before_a_restart_are_damage(void **state)
{
	struct bytes b = make_odd(false), x;
	size_t place = find_marker(b, 0xda);
	unsigned changes;

	(void)state;
	while (b.p[place] != 0xff || b.p[place + 1] != 0xd2)
		place++;
	assert_int_equal(decode_odd(b, b.n, &changes), 0);
	assert_int_equal(changes, 0);
	x = with_bytes(b, place, 5, 0x5a);
	assert_int_equal(decode_odd(x, x.n, &changes), ERR_DATA);
	assert_non_null(strstr(err_message(), "5 extraneous bytes before marker 0xd2"));
	free(x.p);
	x = with_bytes(b, place, 5, 0);
	assert_int_equal(decode_odd(x, x.n, &changes), 0);
	assert_int_equal(changes, CHANGE_BIT(CHANGE_FAULT));
	free(x.p);
	free(b.p);
}

static void jpeg__each_cut_of_arithmetic_coding_is_an_error(void **state)
{
	struct bytes b = make_odd(true);
	unsigned changes;

	(void)state;
	assert_int_equal(decode_odd(b, b.n, &changes), 0);
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(decode_odd(b, n, &changes), ERR_DATA);
	free(b.p);
}

static void image__each_cut_of_a_file_is_an_error(void **state)
{
	struct bytes p, j;

	(void)state;
	ramp(pixels, sizeof(pixels), 9);
	p = make_png(pixels, H, W, SPNG_COLOR_TYPE_TRUECOLOR, 8, H * W * 3);
	j = make_jpeg(pixels, H, W, 3, 90);
	for (size_t n = 0; n + 2 < j.n; n++)
		fails(j, n, H, W, 3, "");
	/* Without its closing marker all pixels are there. */
	for (size_t n = j.n - 2; n < j.n; n++) {
		struct bytes x = with_bytes(j, j.n, 0, 0);

		x.n = n;
		same_pixels(j, with_bytes(x, n, 0, 0));
		assert_int_equal(changes_of(x, H, W, 3), CHANGE_BIT(CHANGE_FAULT));
	}
	/* The last 4 bytes of a PNG are the checksum of its empty end chunk, which libspng does not read. */
	for (size_t n = 0; n + 4 < p.n; n++)
		fails(p, n, H, W, 3, "");
	free(p.p);
	free(j.p);
}

static void image__damage_is_an_error(void **state)
{
	struct bytes p;

	(void)state;
	ramp(pixels, sizeof(pixels), 9);
	p = make_png(pixels, H, W, SPNG_COLOR_TYPE_TRUECOLOR, 8, H * W * 3);
	p.p[p.n - 12 - 6] ^= 1; /* the image data's checksum or its end */
	fails(p, p.n, H, W, 3, "");
	p.p[0] = 'x';
	fails(p, p.n, H, W, 3, "neither a JPEG, PNG");
	fails(p, 0, H, W, 3, "empty file");
	free(p.p);
}

static void image__of_other_formats_are_named(void **state)
{
	static const char *const files[][2] = {{"GIF89a.........", "a GIF image; JPEG"},
	    {"....ftypheic...", "a HEIC image; JPEG"}, {"<!doctype html>", "a page of HTML; JPEG"},
	    {"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"}, {"GIF", "neither a JPEG, PNG"}};

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct bytes b = {(unsigned char *)(uintptr_t)files[i][0], strlen(files[i][0])};

		fails(b, b.n, H, W, 3, files[i][1]);
	}
}

static void image__huge_ones_are_refused_unread(void **state)
{
	struct bytes j, p;

	(void)state;
	j = make_jpeg(pixels, H, W, 1, 90);
	for (size_t i = 0; i + 9 < j.n; i++) {
		if (j.p[i] == 0xff && j.p[i + 1] == 0xc0) { /* SOF0: height and width follow 5 bytes later */
			j.p[i + 5] = j.p[i + 7] = 0x40;     /* 0x40.. x 0x40.. */
			break;
		}
	}
	fails(j, j.n, H, W, 1, "image of 16389 x 16391");
	for (size_t i = 0; i + 9 < j.n; i++)
		if (j.p[i] == 0xff && j.p[i + 1] == 0xc0)
			j.p[i + 5] = j.p[i + 7] = 0x20;
	fails(j, j.n, H, W, 1, "image of 8197 x 8199; at most 64 million pixels");
	p = make_png(pixels, H, W, SPNG_COLOR_TYPE_GRAYSCALE, 8, H * W);
	p.p[16] = 0x7f;
	fails(p, p.n, H, W, 1, "");
	free(j.p);
	free(p.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(png__decodes_exactly_in_grey_and_colour),
	    cmocka_unit_test(png__transparency_is_blended_with_white_and_said),
	    cmocka_unit_test(png__16_bits_are_rounded_to_8_and_said),
	    cmocka_unit_test(jpeg__cmyk_and_ycck_become_rgb),
	    cmocka_unit_test(jpeg__decodes_closely_in_grey_and_colour),
	    cmocka_unit_test(jpeg__faults_that_change_no_pixel_are_taken),
	    cmocka_unit_test(jpeg__bytes_that_are_left_over_before_a_restart_are_damage),
	    cmocka_unit_test(jpeg__each_cut_of_arithmetic_coding_is_an_error),
	    cmocka_unit_test(image__each_cut_of_a_file_is_an_error),
	    cmocka_unit_test(image__damage_is_an_error),
	    cmocka_unit_test(image__of_other_formats_are_named),
	    cmocka_unit_test(image__huge_ones_are_refused_unread),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
