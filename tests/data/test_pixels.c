/* Where decoded pixels are: in memory or in a file without a name, which makes no difference to anybody. */
#include "data/fixture.h"
#include "base/host_memory.h"
#include "data/pixels.h"

enum { IMAGES = 60, H = 5, W = 3, BYTES = H * W * 3 };

#define SET    "source: images, path: DIR/set, val_fraction: 0.2, test_fraction: 0.2"
#define MEMORY "{" SET ", held: memory}"
#define FILED  "{" SET ", held: file, cache: DIR/cache}"

static void put_images(void)
{
	char name[64];

	for (int k = 0; k < IMAGES; k++) {
		snprintf(name, sizeof(name), "set/%c/%02d.png", "ab"[k % 2], k);
		put_png(name, H, W, 3, k);
	}
	assert_int_equal(fs_mkdirs(at("cache")), 0);
}

static struct dataset must_open(const char *yaml_text)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open(&d, &o, NULL, 7, true) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

static int entries(const char *folder)
{
	struct fs_list l;
	int n;

	assert_int_equal(fs_list(folder, &l), 0);
	n = l.n;
	fs_list_clear(&l);
	return n;
}

static void file__gives_what_memory_gives(void **state)
{
	struct dataset a, b;
	bool a_in_memory, b_in_memory;

	(void)state;
	put_images();
	a = must_open(MEMORY);
	b = must_open(FILED);
	assert_int_equal(entries(at("cache")), 0); /* it has no name */
	assert_int_equal(dataset_held(&a, &a_in_memory), IMAGES * BYTES);
	assert_int_equal(dataset_held(&b, &b_in_memory), IMAGES * BYTES);
	assert_true(a_in_memory && !b_in_memory);
	for (int s = 0; s < SPLIT_COUNT; s++) {
		assert_string_equal(a.hash[s], b.hash[s]);
		for (int64_t i = 0; i < a.n[s]; i++) {
			dataset_read_ahead(&b, (enum split)s, (uint32_t[]){(uint32_t)i}, 1);
			assert_memory_equal(pixels_of(&a, s, i), pixels_of(&b, s, i), BYTES);
		}
	}
	dataset_close(&a);
	dataset_close(&b);
	assert_int_equal(entries(at("cache")), 0);
}

static void file__is_said_and_memory_is_not(void **state)
{
	struct dataset d;
	struct str words = {0};

	(void)state;
	put_images();
	d = must_open(MEMORY);
	dataset_words(&words, &d);
	assert_string_equal(str_text(&words), "");
	dataset_close(&d);
	d = must_open(FILED);
	dataset_words(&words, &d);
	assert_non_null(strstr(str_text(&words), "MiB of pixels are in a file in /"));
	assert_non_null(strstr(str_text(&words), "MiB of memory were available\n"));
	str_clear(&words);
	dataset_close(&d);
}

static void small_sets__are_in_memory(void **state)
{
	struct dataset d;
	bool in_memory;

	(void)state;
	put_images();
	d = must_open("{" SET "}");
	dataset_held(&d, &in_memory);
	assert_true(in_memory);
	dataset_close(&d);
}

/* Rows that need more than half of all memory, so of what is available, too, whatever other programs take or give back
 * meanwhile; no byte of them is ever touched. */
static void large_sets__are_in_a_file_unless_memory_is_asked_for(void **state)
{
	struct data_options o = options("{source: digits, cache: DIR}");
	struct pixels p = {0};
	size_t available, total;
	int rc;

	(void)state;
	assert_int_equal(pixels_open(&p, &o, 16, 4), 0);
	assert_false(p.in_file);
	pixels_close(&p);
	host_memory("", &available, &total);
	o.held = HELD_MEMORY;
	assert_int_equal(pixels_open(&p, &o, 1 << 20, total >> 19), ERR_NOMEM);
	assert_non_null(
	    strstr(err_message(), "MiB of memory are available; data.held: auto or file keeps them in a file"));
	pixels_close(&p);
	o.held = HELD_AUTO;
	rc = pixels_open(&p, &o, 1 << 20, (total >> 21) + 1);
	if (rc == 0)
		assert_true(p.in_file && !p.base); /* where there is room on the disk */
	else
		assert_non_null(strstr(err_message(), "not enough space"));
	pixels_close(&p);
	option_clear(data_option_table, &o);
}

static void folders__that_cannot_take_it_are_named_with_their_reasons(void **state)
{
	(void)state;
	put_images();
	must_fail("{" SET ", held: file, cache: DIR/nowhere}", ERR_IO, "nowhere: No such file or directory");
	put_text("plain", "a file");
	must_fail("{" SET ", held: file, cache: DIR/plain}", ERR_IO, "plain: Not a directory");
	if (fs_is_dir("/dev/shm"))
		must_fail("{" SET ", held: file, cache: /dev/shm}", ERR_IO, "/dev/shm: what is in it is in memory");
}

static void rows__may_come_in_any_order_and_none_need_come(void **state)
{
	struct data_options o = options("{source: digits, held: file, cache: DIR}");
	const uint8_t rows[3][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}}, none[4] = {0};
	struct pixels p;

	(void)state;
	assert_int_equal(pixels_open(&p, &o, 5, 4), 0);
	assert_int_equal(pixels_put(&p, 3, 1, rows[2]), 0);
	assert_int_equal(pixels_put(&p, 0, 2, rows[0]), 0);
	assert_int_equal(pixels_seal(&p), 0);
	assert_memory_equal(p.base, rows, 8);
	assert_memory_equal(p.base + 8, none, 4);
	assert_memory_equal(p.base + 12, rows[2], 4);
	assert_memory_equal(p.base + 16, none, 4);
	pixels_close(&p);
	option_clear(data_option_table, &o);
}

static void file__survives_each_failing_allocation(void **state)
{
	struct data_options o;
	struct dataset d;
	uint64_t n = 0;
	int rc;

	(void)state;
	put_images();
	put_text("set/a/00.png", "junk");
	o = options("{" SET ", skip_bad: 1, held: file, cache: DIR/cache}");
	do {
		mem_fail_at(++n);
		rc = dataset_open(&d, &o, NULL, 1, false);
		mem_fail_at(0);
		dataset_close(&d);
	} while (rc == ERR_NOMEM);
	if (rc != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(file__gives_what_memory_gives),
	    TEST(file__is_said_and_memory_is_not),
	    TEST(small_sets__are_in_memory),
	    TEST(large_sets__are_in_a_file_unless_memory_is_asked_for),
	    TEST(folders__that_cannot_take_it_are_named_with_their_reasons),
	    TEST(rows__may_come_in_any_order_and_none_need_come),
	    TEST(file__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
