/* Cutting images: what was in one split stays in it, whatever happens to the files. */
#include "data/fixture.h"

enum { IMAGES = 150, H = 4, W = 3, BYTES = H * W * 3 };

static const char *const classes[] = {"ant", "bee", "cat"};
static char names[IMAGES][64];

/* Image k is of class k % 3; its first pixel says which it is. */
static void put_image(int k, const char *prefix)
{
	snprintf(names[k], sizeof(names[k]), "set/%s/%s%03d.png", classes[k % 3], prefix, k);
	put_png(names[k], H, W, 3, k);
}

static void put_images(int first, int last, const char *prefix)
{
	fs_remove_tree(at("set"));
	for (int k = first; k < last; k++)
		put_image(k, prefix);
}

static struct dataset must_open(const char *yaml_text, uint64_t seed)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open(&d, &o, NULL, seed, true) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

/* In which split each image is; -1: in none. Fails if one is in two. */
static void find_splits(const struct dataset *d, int split[IMAGES])
{
	for (int k = 0; k < IMAGES; k++)
		split[k] = -1;
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; i < d->n[s]; i++) {
			const uint8_t *p = pixels_of(d, s, i);
			uint8_t want[BYTES];
			int k = 0;

			for (ramp(want, BYTES, 0); memcmp(p, want, BYTES) != 0; ramp(want, BYTES, ++k))
				assert_true(k < IMAGES);
			assert_true(split[k] < 0 || split[k] == s);
			split[k] = s;
		}
	}
}

static void open_splits(const char *yaml_text, uint64_t seed, int split[IMAGES])
{
	struct dataset d = must_open(yaml_text, seed);

	find_splits(&d, split);
	dataset_close(&d);
}

#define SET "{source: images, path: DIR/set, val_fraction: 0.2, test_fraction: 0.2}"

static void images__stay_when_others_come_and_go(void **state)
{
	int before[IMAGES], after[IMAGES], moved = 0;

	(void)state;
	put_images(30, 120, "x");
	open_splits(SET, 5, before);
	put_images(0, IMAGES, "x"); /* in front and behind */
	open_splits(SET, 5, after);
	for (int k = 30; k < 120; k++)
		assert_int_equal(before[k], after[k]);
	put_images(60, 120, "x"); /* the first thirty are gone */
	open_splits(SET, 5, after);
	for (int k = 60; k < 120; k++)
		assert_int_equal(before[k], after[k]);
	open_splits(SET, 6, after); /* the seed does move them */
	for (int k = 60; k < 120; k++)
		moved += before[k] != after[k];
	assert_true(moved > 10);
}

static void images__stay_when_they_are_renamed_or_packed(void **state)
{
	const char *member[IMAGES + 1] = {NULL};
	int before[IMAGES], after[IMAGES];

	(void)state;
	put_images(0, IMAGES, "x");
	open_splits(SET, 5, before);
	for (int k = 0; k < IMAGES; k++)
		snprintf(names[k], sizeof(names[k]), "set/%s/x%03d.png", classes[k % 3], k);
	for (int k = 0; k < IMAGES; k++)
		member[k] = names[(k * 7 + 3) % IMAGES];
	pack("a.tar.gz", member);
	open_splits(
	    "{source: images, path: DIR, archives: [a.tar.gz], val_fraction: 0.2, test_fraction: 0.2}", 5, after);
	assert_memory_equal(before, after, sizeof(before));
	member[60] = NULL;
	pack("one.zip", member);
	for (int k = 60; k < IMAGES; k++)
		member[k - 60] = names[(k * 7 + 3) % IMAGES];
	member[IMAGES - 60] = NULL;
	pack("two.tar.gz", member);
	open_splits(
	    "{source: images, path: DIR, archives: [two.tar.gz, one.zip], val_fraction: 0.2, test_fraction: 0.2}", 5,
	    after);
	assert_memory_equal(before, after, sizeof(before));
	fs_remove_tree(at("set"));
	for (int k = 0; k < IMAGES; k++) {
		char prefix[8];

		snprintf(prefix, sizeof(prefix), "%c%d", 'z' - k % 26, k % 10);
		put_image(k, prefix);
	}
	open_splits(SET, 5, after);
	assert_memory_equal(before, after, sizeof(before));
}

/* In which split each grey image is, in a set that is grey or in colour. */
static void find_grey(int split[IMAGES])
{
	struct dataset d = must_open(SET, 5);

	for (int k = 0; k < IMAGES; k++)
		split[k] = -1;
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; i < d.n[s]; i++) {
			const uint8_t *p = pixels_of(&d, s, i);

			for (int k = 0; k < IMAGES; k++) {
				uint8_t want[H * W];
				int same = 0;

				ramp(want, H * W, k);
				for (int at = 0; at < H * W; at++)
					same += p[at * d.channels] == want[at] &&
						p[at * d.channels + d.channels - 1] == want[at];
				if (same == H * W)
					split[k] = s;
			}
		}
	}
	dataset_close(&d);
}

/* A colour image among grey ones makes the set one of three channels, and moves none of them. */
static void images__that_are_grey_stay_when_the_first_in_colour_comes(void **state)
{
	int before[IMAGES], after[IMAGES];

	(void)state;
	fs_remove_tree(at("set"));
	for (int k = 0; k < IMAGES; k++) {
		snprintf(names[k], sizeof(names[k]), "set/%s/x%03d.png", classes[k % 3], k);
		put_png(names[k], H, W, 1, k);
	}
	find_grey(before);
	put_png("set/ant/colour.png", H, W, 3, 200);
	find_grey(after);
	for (int k = 0; k < IMAGES; k++)
		assert_true(before[k] >= 0);
	assert_memory_equal(before, after, sizeof(before));
}

/* Copies under other names and in other classes: one content is never on two sides. */
static void images__that_are_equal_are_in_one_split(void **state)
{
	struct dataset d;
	int split[IMAGES];

	(void)state;
	put_images(0, IMAGES, "x");
	for (int k = 0; k < IMAGES; k += 2) {
		char name[64];

		snprintf(name, sizeof(name), "set/%s/copy%03d.png", classes[k / 2 % 3], k);
		put_png(name, H, W, 3, k);
	}
	for (uint64_t seed = 1; seed <= 10; seed++) {
		d = must_open(SET, seed);
		find_splits(&d, split); /* asserts it */
		assert_int_equal(d.n[0] + d.n[1] + d.n[2], IMAGES + IMAGES / 2);
		assert_int_equal(d.duplicates_train_test + d.duplicates_train_val + d.duplicates_val_test, 0);
		dataset_close(&d);
	}
}

static void classes__of_three_images_are_in_every_split(void **state)
{
	(void)state;
	put_images(0, 9, "x");
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct dataset d = must_open(SET, seed);

		for (int s = 0; s < SPLIT_COUNT; s++)
			for (int c = 0; c < 3; c++)
				assert_int_equal(dataset_support(&d, (enum split)s, c), 1);
		dataset_close(&d);
	}
	put_images(0, 8, "x");
	must_fail(SET, ERR_DATA, "class 'cat' has 2 distinct images: too few to cut off 2 for validation and test");
	put_png(names[5], H, W, 3, 2); /* two rows of one image are too few as well, and still one image */
	must_fail(SET, ERR_DATA, "class 'cat' has 1 distinct images: too few to cut off 2 for validation and test");
}

static void copies__are_apart_only_where_a_class_has_nothing_else(void **state)
{
	struct dataset d;

	(void)state;
	put_images(0, 36, "x");
	for (int k = 0; k < 6; k++) {
		char name[64];

		snprintf(name, sizeof(name), "set/ant/copy%d.png", k);
		put_png(name, H, W, 3, 3 * k); /* equal to one of ant's */
		snprintf(name, sizeof(name), "set/dodo/%d.png", k);
		put_png(name, H, W, 3, 1000);
	}
	d = must_open(SET, 1);
	assert_int_equal(d.classes, 4);
	for (int s = 0; s < SPLIT_COUNT; s++)
		assert_true(dataset_support(&d, (enum split)s, 3) >= 1);
	assert_int_equal(d.notes.of[NOTE_COPIES].n, 1);
	assert_string_equal(d.notes.of[NOTE_COPIES].name[0], "dodo");
	/* What is in two splits is dodos. */
	assert_int_equal(d.duplicates_train_test, dataset_support(&d, SPLIT_TEST, 3));
	assert_int_equal(d.duplicates_train_val, dataset_support(&d, SPLIT_VAL, 3));
	dataset_close(&d);
}

/* Each copy has a rank of its own, or all of them would go where the first goes. */
static void copies__that_are_apart_come_near_their_shares(void **state)
{
	enum { COPIES = 60 };

	(void)state;
	put_images(0, 36, "x");
	for (int k = 0; k < COPIES; k++) {
		char name[64];

		snprintf(name, sizeof(name), "set/dodo/%d.png", k);
		put_png(name, H, W, 3, 1000);
	}
	for (uint64_t seed = 1; seed <= 5; seed++) {
		static const double share[SPLIT_COUNT] = {0.6, 0.2, 0.2};
		struct dataset d = must_open(SET, seed);

		for (int s = 0; s < SPLIT_COUNT; s++)
			assert_true(likely(dataset_support(&d, (enum split)s, 3), COPIES, share[s]));
		dataset_close(&d);
	}
}

/* Where the test split is given, two images are enough for the others, and copies stay together. */
static void copies__stay_together_where_a_split_is_given(void **state)
{
	char text[2048] = "file,class,split\n";
	struct dataset d;

	(void)state;
	put_images(0, 36, "x");
	put_png("set/dodo/1.png", H, W, 3, 1000);
	put_png("set/dodo/2.png", H, W, 3, 1000);
	put_png("set/dodo/3.png", H, W, 3, 1001);
	put_png("set/dodo/4.png", H, W, 3, 1002);
	for (int k = 0; k < 36; k++)
		sprintf(text + strlen(text), "%s,%s,%s\n", names[k] + 4, classes[k % 3], k < 6 ? "test" : "");
	strcat(text, "dodo/1.png,dodo,\ndodo/2.png,dodo,\ndodo/3.png,dodo,\ndodo/4.png,dodo,test\n");
	put_text("set/index.csv", text);
	d = must_open("{source: images, path: DIR/set, index: index.csv, val_fraction: 0.2}", 1);
	assert_int_equal(d.notes.of[NOTE_COPIES].n, 0);
	assert_int_equal(d.duplicates_train_val, 0);
	dataset_close(&d);
}

/* A given test split is kept, and validation is cut off the rest by the same ranks. */
static void index__keeps_the_test_split_that_it_names(void **state)
{
	char text[IMAGES * 64] = "file,class,split\n";
	struct dataset d;
	int split[IMAGES];

	(void)state;
	put_images(0, IMAGES, "x");
	for (int k = 0; k < IMAGES; k++)
		sprintf(text + strlen(text), "%s,%s,%s\n", names[k] + 4, classes[k % 3],
		    k < 40  ? "test"
		    : k % 2 ? "train"
			    : "");
	put_text("set/index.csv", text);
	d = must_open("{source: images, path: DIR/set, index: index.csv, val_fraction: 0.2}", 5);
	find_splits(&d, split);
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; i < d.n[s]; i++) {
			struct sample_view v;

			assert_int_equal(dataset_sample(&d, (enum split)s, i, &v), 0);
			assert_true(s == SPLIT_TEST || s == split_of(rank_of(&v, 5, "images"), 0, 0.2));
		}
	}
	for (int k = 0; k < IMAGES; k++)
		assert_true((split[k] == SPLIT_TEST) == (k < 40));
	dataset_close(&d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(images__stay_when_others_come_and_go),
	    TEST(images__stay_when_they_are_renamed_or_packed),
	    TEST(images__that_are_grey_stay_when_the_first_in_colour_comes),
	    TEST(images__that_are_equal_are_in_one_split),
	    TEST(copies__are_apart_only_where_a_class_has_nothing_else),
	    TEST(copies__that_are_apart_come_near_their_shares),
	    TEST(copies__stay_together_where_a_split_is_given),
	    TEST(classes__of_three_images_are_in_every_split),
	    TEST(index__keeps_the_test_split_that_it_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
