/* Images of any size and kind as samples: the pixels are those that Pillow makes, and what was done is said. */
#include "data/fixture.h"
#include "data/image.h"

static const char *const change_names[CHANGE_COUNT] = {
    "resized", "turned", "to_grey", "to_colour", "cmyk", "16_bit", "blended", "faults", "first_page"};

static unsigned changes_by_names(char *said)
{
	unsigned bits = 0;

	for (char *name = strtok(said, ","); name && strcmp(name, "-") != 0; name = strtok(NULL, ",")) {
		int k = 0;

		while (k < CHANGE_COUNT && strcmp(name, change_names[k]) != 0)
			k++;
		assert_true(k < CHANGE_COUNT);
		bits |= CHANGE_BIT(k);
	}
	return bits;
}

static uint8_t *decode_file(const char *file, const struct image_fit *fit, unsigned *changes)
{
	uint8_t *out = malloc((size_t)fit->height * (size_t)fit->width * (size_t)fit->channels);
	char path[1024];
	struct fs_bytes b = {0};

	snprintf(path, sizeof(path), "%s/data/images/%s", TEST_SOURCE_DIR, file);
	assert_int_equal(fs_read(path, &b), 0);
	if (image_decode(path, b.data, b.size, fit, out, changes) != 0)
		fail_msg("%s", err_message());
	fs_bytes_clear(&b);
	return out;
}

static bool is_read(const char *file)
{
	return (PIPELINE_WEBP || !strstr(file, ".webp")) && (PIPELINE_TIFF || !strstr(file, ".tiff"));
}

static void check_case(const char *line)
{
	char file[64], want_file[64], resize[16], said[64];
	struct image_fit fit = {0};
	int off, worst = 0;
	unsigned changes, unused;

	assert_int_equal(sscanf(line, "%63s %63s %d %d %d %15s %d %63s", file, want_file, &fit.height, &fit.width,
			     &fit.channels, resize, &off, said),
	    8);
	if (!is_read(file))
		return;
	struct image_fit exact = fit;
	while (strcmp(resize, image_resize_names[fit.resize]) != 0)
		fit.resize++;
	fit.to_grey = true;
	uint8_t *got = decode_file(file, &fit, &changes), *want = decode_file(want_file, &exact, &unused);
	for (int i = 0; i < fit.height * fit.width * fit.channels; i++)
		worst = abs(got[i] - want[i]) > worst ? abs(got[i] - want[i]) : worst;
	if (worst > off)
		fail_msg("%s: off by %d; %s", file, worst, line);
	if (changes != changes_by_names(said))
		fail_msg("%s: changes %x; %s", file, changes, line);
	free(got);
	free(want);
}

static void image__has_the_pixels_that_pillow_makes(void **state)
{
	char line[256];
	int cases = 0;
	FILE *f = fopen(TEST_SOURCE_DIR "/data/images/cases.txt", "r");

	(void)state;
	assert_non_null(f);
	for (; fgets(line, sizeof(line), f); cases++)
		check_case(line);
	fclose(f);
	assert_true(cases > 60);
}

static void image__of_one_colour_keeps_it_at_any_size(void **state)
{
	static uint8_t in[16384 * 3], out[300 * 200 * 3];
	const int sizes[][2] = {{1, 16384}, {16384, 1}, {64, 255}, {127, 3}};

	(void)state;
	memset(in, 255, sizeof(in));
	for (int k = 0; k < 4; k++) {
		const struct image_fit fit = {300, 200, 1, k % 2 ? RESIZE_CROP : RESIZE_STRETCH, false};
		struct image_scale s = image_scale_of(&fit, sizes[k][0], sizes[k][1], 1);

		memset(out, 0, sizeof(out));
		assert_int_equal(image_scale(&s, in, out), 0);
		for (int i = 0; i < 300 * 200; i++)
			assert_int_equal(out[i], 255);
		const struct image_fit one = {1, 1, 1, RESIZE_STRETCH, false};
		s = image_scale_of(&one, sizes[k][0], sizes[k][1], 1);
		assert_int_equal(image_scale(&s, in, out), 0);
		assert_int_equal(out[0], 255);
	}
}

static void exif__what_is_wrong_in_it_says_nothing(void **state)
{
	/* One entry: the orientation, a short number, once, 6. */
	const unsigned char good[26] = {
	    'M', 'M', 0, '*', 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0};
	static const struct {
		int at;
		unsigned char value;
	} faults[] = {{0, 'x'}, {1, 'I'}, {3, 0}, {4, 0xff}, {7, 7}, {7, 25}, {9, 0}, {11, 0x13}, {13, 2}, {17, 2},
	    {17, 0}, {18, 1}, {19, 0}, {19, 9}};

	(void)state;
	assert_int_equal(exif_orientation(good, sizeof(good)), 6);
	for (size_t n = 0; n < 22; n++) {
		unsigned char *copy = malloc(n + !n);

		memcpy(copy, good, n);
		assert_int_equal(exif_orientation(copy, n), 1);
		free(copy);
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		unsigned char bad[26];

		memcpy(bad, good, sizeof(bad));
		bad[faults[i].at] = faults[i].value;
		assert_int_equal(exif_orientation(bad, sizeof(bad)), 1);
	}
}

/* As many bytes as tell: the others may not have come yet. */
static void image__is_told_from_a_line_by_its_first_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		bool is, more;
	} cases[] = {{"", 0, false, true}, {"\xff", 1, true, false}, {"\x89", 1, true, false}, {"a", 1, false, false},
	    {"II", 2, false, true}, {"II*", 3, false, true}, {"II*\0", 4, true, false}, {"MM\0*", 4, true, false},
	    {"II+\0", 4, true, false}, {"MM\0+", 4, true, false}, {"II.", 3, false, false}, {"MM.j", 4, false, false},
	    {"RIFF\n\n\n", 7, false, true}, {"RIFF\n\n\n\x01", 8, true, false}, {"RIFF\n\n\na", 8, false, false},
	    {"BM\n\n\n", 5, false, true}, {"BM\n\n\n\0", 6, true, false}, {"BMW1.j", 6, false, false},
	    {"BM\n\n\n\n", 6, false, false}};
	bool more;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const bool is = image_begins((const unsigned char *)cases[i].bytes, cases[i].n, &more);

		if (is != cases[i].is || more != cases[i].more)
			fail_msg("case %zu: %d, more %d", i, is, more);
		assert_true(cases[i].n < IMAGE_HEAD || !more);
	}
}

#if PIPELINE_TIFF
#include <zlib.h>

static void put_number(struct bytes *b, unsigned v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		b->p[b->n++] = (unsigned char)(v >> 8 * i);
}

/* 4 x 3 pixels of `samples` numbers without compression; extra: 2 is opacity that colours are not multiplied with. */
static struct bytes make_tiff(unsigned photometric, unsigned bits, unsigned samples, unsigned extra, unsigned format)
{
	const unsigned map = 512, pixels = map + 3 * 256 * 2,
		       entries[][3] = {{256, 3, 4}, {257, 3, 3}, {258, 3, bits}, {259, 3, 1}, {262, 3, photometric},
			   {273, 4, pixels}, {277, 3, samples}, {278, 3, 3}, {279, 4, 12 * samples * bits / 8},
			   {320, 3, map}, {338, 3, extra}, {339, 3, format}};
	struct bytes b = {.p = calloc(1, 4096)};

	memcpy(b.p, "II*\0\x08\0\0\0", b.n = 8);
	put_number(&b, 12, 2);
	for (int i = 0; i < 12; i++) {
		const unsigned tag = entries[i][0], each = tag == 258 || tag == 339 ? samples : 1;

		put_number(&b, tag, 2);
		put_number(&b, entries[i][1], 2);
		put_number(&b, tag == 320 ? 3u << bits : tag == 338 ? (samples == 2 ? 1 : 0) : each, 4);
		/* Three numbers do not fit into an entry: they are where other files have the palette. */
		put_number(&b, each < 3 ? entries[i][2] : tag == 258 ? map : map + 6, 2);
		put_number(&b, each == 2 ? entries[i][2] : 0, 2);
	}
	for (unsigned i = 0; samples == 3 && i < 6; i++) {
		b.n = map + 2 * i;
		put_number(&b, i < 3 ? bits : format, 2);
	}
	b.n = pixels;
	for (unsigned i = 0; i < 12 * samples * bits / 8; i++)
		b.p[b.n++] = (unsigned char)(i * 7);
	return b;
}

static void tiff__of_numbers_that_would_be_taken_for_others_is_refused(void **state)
{
	static const struct {
		unsigned photometric, bits, samples, extra, format;
		const char *message; /* NULL: it is read */
	} cases[] = {{1, 8, 1, 0, 1, NULL}, {1, 8, 1, 0, 4, NULL}, {1, 16, 1, 0, 1, NULL}, {0, 8, 1, 0, 1, NULL},
	    {3, 8, 1, 0, 1, NULL}, {1, 8, 2, 2, 1, NULL}, {1, 8, 2, 1, 1, NULL}, {2, 8, 3, 0, 1, NULL},
	    {1, 8, 1, 0, 2, "x.tiff: a TIFF image of signed integers; unsigned integers are read"},
	    {8, 8, 3, 0, 1, "x.tiff: a TIFF image of a kind that is not read (photometric 8, compression 1)"},
	    {1, 16, 1, 0, 2, "a TIFF image of signed integers"}, {1, 16, 1, 0, 3, "a TIFF image of floats"},
	    {1, 16, 2, 2, 1, NULL}, {1, 16, 2, 1, 1, NULL}, {0, 8, 2, 2, 1, NULL}, {0, 16, 2, 2, 1, NULL},
	    {3, 8, 2, 2, 1, NULL},
	    {0, 8, 2, 1, 1,
		"a TIFF image of inverted grey, 8 bits and premultiplied opacity; with opacity, grey of 8 and 16 bits"},
	    {3, 8, 2, 1, 1, "of a palette, 8 bits and premultiplied opacity"}};
	const struct image_fit fit = {.height = 3, .width = 4, .channels = 1, .to_grey = true};
	uint8_t grey[12];
	unsigned changes;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bytes b =
		    make_tiff(cases[i].photometric, cases[i].bits, cases[i].samples, cases[i].extra, cases[i].format);
		const int rc = image_decode("x.tiff", b.p, b.n, &fit, grey, &changes);

		if (rc != (cases[i].message ? ERR_DATA : 0))
			fail_msg("case %zu: %d, %s", i, rc, rc ? err_message() : "");
		if (cases[i].message && !strstr(err_message(), cases[i].message))
			fail_msg("case %zu: %s", i, err_message());
		free(b.p);
	}
}

/* The value of an entry of make_tiff's directory. */
static void set_entry(struct bytes *b, int entry, unsigned value)
{
	const size_t end = b->n;

	b->n = 8 + 2 + 12 * (size_t)entry + 8;
	put_number(b, value, 2);
	b->n = end;
}

enum { HEIGHT = 1, COMPRESSION = 3, ROWS_PER_STRIP = 7, STRIP_BYTES = 8, PIXELS_AT = 512 + 3 * 256 * 2 };

/* 4 x 3 grey pixels in a strip of so many rows, deflated. */
static struct bytes make_deflated(unsigned rows, int level)
{
	struct bytes b = make_tiff(1, 8, 1, 0, 1);
	unsigned char pixels[64];
	uLongf n = 1024;

	for (unsigned i = 0; i < 4 * rows; i++)
		pixels[i] = (unsigned char)(i < 12 ? i * 7 : 200);
	assert_int_equal(compress2(b.p + PIXELS_AT, &n, pixels, 4 * rows, level), Z_OK);
	b.n = PIXELS_AT + n;
	set_entry(&b, COMPRESSION, 8);
	set_entry(&b, ROWS_PER_STRIP, rows);
	set_entry(&b, STRIP_BYTES, (unsigned)n);
	return b;
}

/* Pixels i * 7 or an error: 0 or ERR_DATA. */
static int decode_ramp(const struct bytes *b, int height)
{
	const struct image_fit fit = {.height = height, .width = 4, .channels = 1};
	uint8_t grey[64];
	unsigned changes;
	const int rc = image_decode("x.tiff", b->p, b->n, &fit, grey, &changes);

	for (int i = 0; i < 12 && !rc; i++)
		assert_int_equal(grey[i], i * 7);
	return rc;
}

static void tiff__with_any_bit_of_its_deflated_data_turned_is_refused(void **state)
{
	struct bytes b = make_deflated(3, 9);
	size_t refused = 0;

	(void)state;
	assert_int_equal(decode_ramp(&b, 3), 0);
	/* The first two bytes say how the stream was made; up to 7 bits in front of the checksum fill up a byte. */
	for (size_t i = PIXELS_AT + 2; i < b.n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			b.p[i] ^= (unsigned char)(1 << bit);
			refused += decode_ramp(&b, 3) == ERR_DATA;
			b.p[i] ^= (unsigned char)(1 << bit);
		}
	}
	assert_true(refused + 7 >= 8 * (b.n - PIXELS_AT - 2));
	set_entry(&b, STRIP_BYTES, (unsigned)(b.n - PIXELS_AT) - 5);
	assert_int_equal(decode_ramp(&b, 3), ERR_DATA);
	assert_non_null(strstr(err_message(), "x.tiff: strip 1 of 1 is cut off"));
	free(b.p);
}

static void tiff__may_have_rows_below_its_page_in_the_last_strip_alone(void **state)
{
	(void)state;
	for (int level = 0; level <= 9; level += 9) {
		struct bytes b = make_deflated(5, level);

		assert_int_equal(decode_ramp(&b, 3), 0);
		set_entry(&b, ROWS_PER_STRIP, 4);
		assert_int_equal(decode_ramp(&b, 3), ERR_DATA);
		assert_non_null(strstr(err_message(), "strip 1 of 1 has another number of bytes than its pixels"));
		free(b.p);
	}
}

static void tiff__that_lacks_pixels_or_has_too_many_is_refused(void **state)
{
	struct bytes b = make_tiff(1, 8, 1, 0, 1);

	(void)state;
	assert_int_equal(decode_ramp(&b, 3), 0);
	set_entry(&b, HEIGHT, 9);
	assert_int_equal(decode_ramp(&b, 9), ERR_DATA);
	assert_non_null(strstr(err_message(), "x.tiff: strip 2 of 3 lies nowhere in the file"));

	/* PackBits: one run of 24 bytes. */
	set_entry(&b, HEIGHT, 3);
	set_entry(&b, COMPRESSION, 32773);
	set_entry(&b, STRIP_BYTES, 25);
	memmove(b.p + PIXELS_AT + 1, b.p + PIXELS_AT, 24);
	b.p[PIXELS_AT] = 23;
	b.n = PIXELS_AT + 25;
	assert_int_equal(decode_ramp(&b, 3), ERR_DATA);
	b.p[PIXELS_AT] = 11;
	b.n = PIXELS_AT + 13;
	set_entry(&b, STRIP_BYTES, 13);
	assert_int_equal(decode_ramp(&b, 3), 0);
	free(b.p);
}
#endif

/* ---- data sets ---- */

static struct dataset must_open(const char *yaml_text)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open(&d, &o, NULL, 1, true) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

/* Two classes of ten images each, one of them of another size, and one grey. */
static void put_mixed(void)
{
	for (int k = 0; k < 20; k++) {
		char name[64];

		snprintf(name, sizeof(name), "mixed/%s/%02d.png", k < 10 ? "a" : "b", k);
		put_png(name, k == 3 ? 12 : 8, k == 3 ? 20 : 6, k == 5 ? 1 : 3, k);
	}
}

static void sizes__that_differ_are_an_error_that_names_the_option(void **state)
{
	(void)state;
	put_mixed();
	must_fail("{source: images, path: DIR/mixed}", ERR_DATA, "image of 12 x 20 (height x width), expected 8 x 6");
	must_fail("{source: images, path: DIR/mixed}", ERR_DATA, "data.size: 6 resizes all images to one size");
}

static void sizes__become_one_by_the_option_and_that_is_said(void **state)
{
	struct dataset d;
	struct str words = {0};

	(void)state;
	put_mixed();
	d = must_open("{source: images, path: DIR/mixed, size: [8, 6]}");
	assert_int_equal(d.height, 8);
	assert_int_equal(d.width, 6);
	assert_int_equal(d.channels, 3);
	assert_int_equal(d.resize, RESIZE_CROP);
	assert_int_equal(d.notes.of[NOTE_RESIZED].n, 1);
	assert_string_equal(d.notes.of[NOTE_RESIZED].name[0], "a/03.png");
	assert_int_equal(d.notes.of[NOTE_COLOUR].n, 1);
	notes_converted(&d.notes, &words);
	assert_string_equal(str_text(&words), "1 image resized (a/03.png), 1 grey image repeated as colour (a/05.png)");
	cJSON *json = dataset_to_json(&d),
	      *resized = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "converted"), "resized");
	assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(resized, "count")), 1);
	assert_null(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "passed_over"), "resized"));
	cJSON_Delete(json);
	str_clear(&words);
	dataset_close(&d);
	d = must_open("{source: images, path: DIR/mixed, size: 5, channels: 1, held: file, cache: DIR}");
	assert_int_equal(d.height * d.width * d.channels, 25);
	assert_int_equal(d.notes.of[NOTE_RESIZED].n, 20);
	assert_int_equal(d.notes.of[NOTE_GREY].n, 19);
	dataset_close(&d);
}

static void images__that_are_left_out_are_no_duplicates(void **state)
{
	struct dataset d;

	(void)state;
	put_mixed();
	put_text("mixed/a/x.png", "no image");
	put_text("mixed/b/y.png", "none either");
	put_text("mixed/b/z.png", "");
	d = must_open("{source: images, path: DIR/mixed, size: 8, skip_bad: 3}");
	assert_int_equal(d.skipped.n, 3);
	assert_int_equal(d.distinct_texts, 20);
	assert_int_equal(d.repeated_texts, 0);
	assert_int_equal(d.contradicting_texts, 0);
	dataset_close(&d);
}

/* The hashes of two data sets of the same files. */
static bool are_equal(const char *one, const char *other, bool *same_key)
{
	struct data_options o[2] = {options(one), options(other)};
	struct dataset d[2];
	char key[2][HASH_HEX];
	bool same = true;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(dataset_open(&d[i], &o[i], NULL, 1, true), 0);
		assert_int_equal(dataset_key(&d[i], &o[i], key[i]), 0);
	}
	for (int s = 0; s < SPLIT_COUNT; s++)
		same = same && !strcmp(d[0].hash[s], d[1].hash[s]);
	*same_key = !strcmp(key[0], key[1]);
	for (int i = 0; i < 2; i++) {
		dataset_close(&d[i]);
		option_clear(data_option_table, &o[i]);
	}
	return same;
}

static void sizes__are_in_the_hashes_and_keys(void **state)
{
	bool same_key;

	(void)state;
	for (int k = 0; k < 20; k++) {
		char name[64];

		snprintf(name, sizeof(name), "even/%s/%02d.png", k < 10 ? "a" : "b", k);
		put_png(name, 8, 6, 3, k);
	}
	assert_false(are_equal("{source: images, path: DIR/even, size: 4}",
	    "{source: images, path: DIR/even, size: 4, resize: stretch}", &same_key));
	assert_false(same_key);
	assert_false(are_equal("{source: images, path: DIR/even, size: 4}",
	    "{source: images, path: DIR/even, size: 4, channels: 1}", &same_key));
	/* The same pixels, but the models will take other images in other ways. */
	assert_true(
	    are_equal("{source: images, path: DIR/even}", "{source: images, path: DIR/even, size: [8, 6]}", &same_key));
	assert_false(same_key);
}

static void options__that_make_no_sense_are_refused(void **state)
{
	static const char *const wrong[] = {"{source: images, size: [1, 2, 3]}", "{source: images, channels: 2}"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct data_options o = options(wrong[i]);
		const char *key;

		assert_int_equal(data_options_check(&o, &key), ERR_CONFIG);
		assert_string_equal(key, i ? "channels" : "size");
		option_clear(data_option_table, &o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(image__has_the_pixels_that_pillow_makes),
		cmocka_unit_test(image__of_one_colour_keeps_it_at_any_size),
		cmocka_unit_test(exif__what_is_wrong_in_it_says_nothing),
		cmocka_unit_test(image__is_told_from_a_line_by_its_first_bytes),
#if PIPELINE_TIFF
		cmocka_unit_test(tiff__of_numbers_that_would_be_taken_for_others_is_refused),
		cmocka_unit_test(tiff__with_any_bit_of_its_deflated_data_turned_is_refused),
		cmocka_unit_test(tiff__may_have_rows_below_its_page_in_the_last_strip_alone),
		cmocka_unit_test(tiff__that_lacks_pixels_or_has_too_many_is_refused),
#endif
		cmocka_unit_test(sizes__that_differ_are_an_error_that_names_the_option),
		cmocka_unit_test(sizes__become_one_by_the_option_and_that_is_said),
		cmocka_unit_test(images__that_are_left_out_are_no_duplicates),
		cmocka_unit_test(sizes__are_in_the_hashes_and_keys),
		cmocka_unit_test(options__that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
