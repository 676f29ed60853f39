/* Prints find samples again in another data set, and their file is refused if a byte of it is wrong. */
#include "data/fixture.h"
#include "data/prints.h"

static struct dataset must_open(const char *yaml_text, uint64_t seed)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open(&d, &o, NULL, seed, true) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

static struct prints of(const struct dataset *d, enum split s)
{
	struct prints p;

	assert_int_equal(dataset_split_prints(d, s, &p), 0);
	assert_int_equal(p.n, d->n[s]);
	for (int64_t i = 1; i < p.n; i++)
		assert_true(p.v[i - 1] <= p.v[i]);
	return p;
}

static bool holds(const struct prints *p, uint64_t v)
{
	const struct prints one = {&v, 1};

	return prints_overlap(&one, p) == 1;
}

/* printf 'a1' | sha256sum; an image's by Python: sha256(pack("<3Q", 8, 8, 1) + pixels). */
static void prints__are_the_first_digits_of_the_hash(void **state)
{
	struct dataset d;
	struct prints p[SPLIT_COUNT];
	struct sample_view v;
	unsigned char bytes[24 + 64] = {8, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1};
	char hex[HASH_HEX], digits[17];
	uint64_t print;

	(void)state;
	assert_int_equal(print_bytes("a1", 2, &print), 0);
	assert_true(print == 0xf55ff16f66f43360u);
	put_text("t.csv", "text,label\na1,A\na2,A\na3,A\nb1,B\nb2,B\nb3,B\n");
	d = must_open("{source: csv, path: DIR/t.csv}", 1);
	for (int s = 0; s < SPLIT_COUNT; s++)
		p[s] = of(&d, (enum split)s);
	assert_int_equal(holds(&p[0], print) + holds(&p[1], print) + holds(&p[2], print), 1);
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&p[s]);
	dataset_close(&d);
	d = must_open("{source: digits}", 1);
	p[0] = of(&d, SPLIT_VAL);
	assert_int_equal(dataset_sample(&d, SPLIT_VAL, 5, &v), 0);
	memcpy(bytes + 24, v.pixels, 64);
	assert_int_equal(hash_bytes(bytes, sizeof(bytes), hex), 0);
	snprintf(digits, sizeof(digits), "%.16s", hex);
	assert_true(holds(&p[0], strtoull(digits, NULL, 16)));
	prints_clear(&p[0]);
	dataset_close(&d);
}

static uint64_t print_of(const uint8_t *pixels, int side, int channels)
{
	const struct sample_view v = {
	    .kind = SAMPLE_IMAGE, .pixels = pixels, .height = side, .width = side, .channels = channels};
	uint64_t print;

	assert_int_equal(print_sample(&v, &print), 0);
	return print;
}

/* Also where there is more of it than is hashed at a time. */
static void prints__of_grey_images_do_not_know_their_channels(void **state)
{
	enum { SIDE = 70 };
	uint8_t grey[SIDE * SIDE], colour[3 * SIDE * SIDE];
	uint64_t before;

	(void)state;
	for (size_t i = 0; i < sizeof(grey); i++)
		grey[i] = (uint8_t)(i * i >> 7);
	for (size_t i = 0; i < sizeof(colour); i++)
		colour[i] = grey[i / 3];
	before = print_of(grey, SIDE, 1);
	assert_true(print_of(colour, SIDE, 3) == before);
	grey[SIDE * SIDE - 1] ^= 1;
	assert_false(print_of(grey, SIDE, 1) == before);
	/* What has red and green alike is not grey. */
	for (size_t i = 2; i < sizeof(colour); i += 3)
		colour[i] ^= 1;
	before = print_of(colour, SIDE, 3);
	colour[2] ^= 2;
	assert_false(print_of(colour, SIDE, 3) == before);
}

static void join__adds_what_is_missing_in_order(void **state)
{
	uint64_t more[] = {1, 4, 4, 5, 9}, few[] = {4, 5};
	const uint64_t have[] = {2, 4, 5, 5}, want[] = {1, 2, 4, 5, 5, 9};
	struct prints p = {mem_alloc(4, sizeof(uint64_t)), 4};

	(void)state;
	memcpy(p.v, have, sizeof(have));
	assert_int_equal(prints_join(&p, &(struct prints){few, 2}), 0);
	assert_int_equal(p.n, 4);
	assert_int_equal(prints_join(&p, &(struct prints){more, 5}), 0);
	assert_int_equal(p.n, 6);
	assert_memory_equal(p.v, want, sizeof(want));
	prints_clear(&p);
}

static void overlap__counts_samples_that_were_trained_on(void **state)
{
	struct dataset a, b;
	struct prints train, test;
	int64_t shared;

	(void)state;
	/* The same seed: nothing. Another seed: as many of the test split as lay in the other's train split. */
	a = must_open("{source: digits}", 1);
	b = must_open("{source: digits}", 2);
	train = of(&a, SPLIT_TRAIN);
	test = of(&a, SPLIT_TEST);
	assert_int_equal(prints_overlap(&test, &train), 0);
	prints_clear(&test);
	test = of(&b, SPLIT_TEST);
	shared = prints_overlap(&test, &train);
	assert_in_range(shared, test.n * 6 / 10, test.n * 8 / 10);
	prints_clear(&test);
	prints_clear(&train);
	dataset_close(&a);
	dataset_close(&b);
	uint64_t x[] = {1, 3, 3, 9}, y[] = {2, 3, 9, 9, 9};
	assert_int_equal(prints_overlap(&(struct prints){x, 4}, &(struct prints){y, 5}), 3);
	assert_int_equal(prints_overlap(&(struct prints){y, 5}, &(struct prints){x, 4}), 4);
	assert_int_equal(prints_overlap(&(struct prints){NULL, 0}, &(struct prints){x, 4}), 0);
	assert_int_equal(prints_overlap(&(struct prints){x, 4}, &(struct prints){NULL, 0}), 0);
}

static void prints__need_a_loaded_split(void **state)
{
	struct data_options o = options("{source: digits}");
	struct dataset d;
	struct prints p;

	(void)state;
	assert_int_equal(dataset_open(&d, &o, NULL, 1, false), 0);
	assert_int_equal(dataset_split_prints(&d, SPLIT_TEST, &p), ERR_FAIL);
	assert_null(p.v);
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

static void file__comes_back_as_it_was(void **state)
{
	uint64_t x[] = {1, 3, 3, UINT64_MAX}, y[] = {2};
	const struct prints out[SPLIT_COUNT] = {{x, 4}, {y, 1}, {NULL, 0}};
	struct prints in[SPLIT_COUNT];
	char hex[HASH_HEX];

	(void)state;
	assert_int_equal(prints_write(at("p.bin"), out), 0);
	assert_int_equal(prints_read(in, at("p.bin"), hex), 0);
	char of_file[HASH_HEX];
	assert_int_equal(hash_file(at("p.bin"), of_file), 0);
	assert_string_equal(hex, of_file);
	for (int s = 0; s < SPLIT_COUNT; s++) {
		assert_int_equal(in[s].n, out[s].n);
		for (int64_t i = 0; i < in[s].n; i++)
			assert_true(in[s].v[i] == out[s].v[i]);
		prints_clear(&in[s]);
	}
	assert_int_equal(prints_read(in, at("none.bin"), hex), ERR_IO);
}

static void file__no_changed_bit_passes(void **state)
{
	uint64_t x[] = {1, 3, 3, 9}, y[] = {2};
	const struct prints out[SPLIT_COUNT] = {{x, 4}, {y, 1}, {NULL, 0}};
	struct prints in[SPLIT_COUNT];
	struct fs_bytes b;

	(void)state;
	assert_int_equal(prints_write(at("p.bin"), out), 0);
	assert_int_equal(fs_read(at("p.bin"), &b), 0);
	for (size_t i = 0; i < b.size * 8; i++) {
		b.data[i / 8] ^= (unsigned char)(1u << i % 8);
		assert_int_equal(prints_parse(in, "p.bin", b.data, b.size), ERR_CHECKPOINT);
		assert_int_equal(strncmp(err_message(), "p.bin: ", 7), 0);
		b.data[i / 8] ^= (unsigned char)(1u << i % 8);
	}
	for (size_t n = 0; n < b.size; n++)
		assert_int_equal(prints_parse(in, "p.bin", b.data, n), ERR_CHECKPOINT);
	fs_bytes_clear(&b);
}

/* Counts whose bytes come to nothing in 64 bits, with a hash that fits. */
static void file__has_no_more_prints_than_bytes(void **state)
{
	const struct prints out[SPLIT_COUNT] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
	struct prints in[SPLIT_COUNT];
	struct fs_bytes b;
	char hex[HASH_HEX];
	size_t n;

	(void)state;
	assert_int_equal(prints_write(at("p.bin"), out), 0);
	assert_int_equal(fs_read(at("p.bin"), &b), 0);
	n = b.size - (HASH_HEX - 1);
	b.data[15] = 0x20; /* 2^61 of the first split */
	assert_int_equal(hash_bytes(b.data, n, hex), 0);
	memcpy(b.data + n, hex, HASH_HEX - 1);
	assert_int_equal(prints_parse(in, "p.bin", b.data, b.size), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "2305843009213693952 prints do not fit into "));
	fs_bytes_clear(&b);
}

static void file__must_be_ascending(void **state)
{
	uint64_t x[] = {3, 1};
	const struct prints out[SPLIT_COUNT] = {{NULL, 0}, {x, 2}, {NULL, 0}};
	struct prints in[SPLIT_COUNT];
	char hex[HASH_HEX];

	(void)state;
	assert_int_equal(prints_write(at("p.bin"), out), 0);
	assert_int_equal(prints_read(in, at("p.bin"), hex), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "the prints of the validation split are not ascending"));
	assert_null(in[SPLIT_VAL].v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(prints__are_the_first_digits_of_the_hash),
	    cmocka_unit_test(prints__of_grey_images_do_not_know_their_channels),
	    cmocka_unit_test(join__adds_what_is_missing_in_order),
	    cmocka_unit_test(overlap__counts_samples_that_were_trained_on),
	    cmocka_unit_test(prints__need_a_loaded_split),
	    cmocka_unit_test(file__comes_back_as_it_was),
	    cmocka_unit_test(file__no_changed_bit_passes),
	    cmocka_unit_test(file__has_no_more_prints_than_bytes),
	    cmocka_unit_test(file__must_be_ascending),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
