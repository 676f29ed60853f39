/* Decoding of single images: exact where the format is, and an error where pixels would have to be invented. */
#include "data/fixture.h"
#include "data/image.h"

enum { H = 5, W = 7 };

static uint8_t pixels[H * W * 4], out[H * W * 4];

static void fails(struct bytes b, size_t n, int h, int w, int c, const char *part)
{
	unsigned char *copy = malloc(n > 0 ? n : 1); /* its own block, so that a sanitizer sees reads past it */

	memcpy(copy, b.p, n);
	assert_int_equal(image_decode("x.img", copy, n, h, w, c, out), ERR_DATA);
	if (strstr(err_message(), part) == NULL || strncmp(err_message(), "x.img", 5) != 0)
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
	assert_int_equal(image_decode("g", g.p, g.n, H, W, 1, out), 0);
	assert_memory_equal(out, pixels, H * W);
	assert_int_equal(image_decode("g", g.p, g.n, H, W, 3, out), 0); /* repeats grey */
	for (int i = 0; i < H * W * 3; i++)
		assert_int_equal(out[i], pixels[i / 3]);
	assert_int_equal(image_decode("c", c.p, c.n, H, W, 3, out), 0);
	assert_memory_equal(out, pixels, H * W * 3);
	fails(c, c.n, H, W, 1, "colour image where grey");
	fails(c, c.n, W, H, 3, "image of 5 x 7 (height x width), expected 7 x 5");
	free(g.p);
	free(c.p);
}

static void png__what_8_bit_opaque_pixels_cannot_hold_is_an_error(void **state)
{
	struct bytes b;

	(void)state;
	ramp(pixels, sizeof(pixels), 3);
	b = make_png(pixels, 2, 2, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 8, 16);
	fails(b, b.n, 2, 2, 3, "transparent");
	free(b.p);
	for (int i = 0; i < 4; i++)
		pixels[4 * i + 3] = 255;
	b = make_png(pixels, 2, 2, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 8, 16);
	assert_int_equal(image_decode("b", b.p, b.n, 2, 2, 3, out), 0);
	assert_int_equal(out[3], pixels[4]);
	free(b.p);
	b = make_png(pixels, 2, 2, SPNG_COLOR_TYPE_GRAYSCALE, 16, 8);
	fails(b, b.n, 2, 2, 1, "16 bits");
	free(b.p);
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
	fails(b, b.n, 2, 2, 1, "transparent");
	free(b.p);
}

static void jpeg__decodes_closely_in_grey_and_colour(void **state)
{
	struct bytes b;

	(void)state;
	for (int i = 0; i < H * W; i++)
		pixels[i] = (uint8_t)(100 + 3 * (i / W));
	b = make_jpeg(pixels, H, W, 1, 100);
	assert_int_equal(image_decode("g", b.p, b.n, H, W, 1, out), 0);
	for (int i = 0; i < H * W; i++)
		assert_true(out[i] >= pixels[i] - 2 && out[i] <= pixels[i] + 2);
	assert_int_equal(image_decode("g", b.p, b.n, H, W, 3, out), 0);
	assert_int_equal(out[0], out[2]);
	free(b.p);
	memset(pixels, 200, H * W * 3);
	b = make_jpeg(pixels, H, W, 3, 95);
	assert_int_equal(image_decode("c", b.p, b.n, H, W, 3, out), 0);
	for (int i = 0; i < H * W * 3; i++)
		assert_true(out[i] >= 198 && out[i] <= 202);
	fails(b, b.n, H, W, 1, "colour image where grey");
	fails(b, b.n, H + 1, W, 3, "expected 6 x 7");
	free(b.p);
	memset(pixels, 10, sizeof(pixels));
	b = make_jpeg(pixels, H, W, 4, 95);
	fails(b, b.n, H, W, 3, "CMYK");
	free(b.p);
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

	assert_int_equal(image_decode("good", good.p, good.n, H, W, 3, want), 0);
	if (image_decode("x.img", x.p, x.n, H, W, 3, out) != 0)
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
	/* What may be the rest of damaged data, or stand for a table that is not there. */
	fails_and_free(with_bytes(b, b.n - 2, 14, 0x5a), "extraneous bytes");
	dht = find_marker(b, 0xc4);
	x = with_bytes(b, dht, 0, 0);
	memmove(x.p + dht, x.p + sos, x.n - sos);
	x.n -= sos - dht;
	same_pixels(b, with_bytes(x, x.n, 0, 0)); /* as in films */
	fails_and_free(with_bytes(x, dht, 2, 0x11), "no Huffman table");
	free(x.p);
	free(b.p);
}

static void image__each_cut_of_a_file_is_an_error(void **state)
{
	struct bytes p, j;

	(void)state;
	ramp(pixels, sizeof(pixels), 9);
	p = make_png(pixels, H, W, SPNG_COLOR_TYPE_TRUECOLOR, 8, H * W * 3);
	j = make_jpeg(pixels, H, W, 3, 90);
	/* Without its closing marker a JPEG is cut too, although all pixels are there. */
	for (size_t n = 0; n < j.n; n++)
		fails(j, n, H, W, 3, "");
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
	fails(p, p.n, H, W, 3, "neither a JPEG nor a PNG");
	fails(p, 0, H, W, 3, "empty file");
	free(p.p);
}

static void image__huge_ones_are_refused_unread(void **state)
{
	struct bytes j, p;

	(void)state;
	j = make_jpeg(pixels, H, W, 1, 90);
	for (size_t i = 0; i + 9 < j.n; i++) {
		if (j.p[i] == 0xff && j.p[i + 1] == 0xc0) { /* SOF0: height and width follow 5 bytes later */
			j.p[i + 5] = j.p[i + 7] = 0x20;     /* 0x20.. x 0x20.. */
			break;
		}
	}
	fails(j, j.n, H, W, 1, "image of 8197 x 8199");
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
	    cmocka_unit_test(png__what_8_bit_opaque_pixels_cannot_hold_is_an_error),
	    cmocka_unit_test(jpeg__decodes_closely_in_grey_and_colour),
	    cmocka_unit_test(jpeg__faults_that_change_no_pixel_are_taken),
	    cmocka_unit_test(image__each_cut_of_a_file_is_an_error),
	    cmocka_unit_test(image__damage_is_an_error),
	    cmocka_unit_test(image__huge_ones_are_refused_unread),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
