/* Which images of a folder or an archive are samples of which class, and that all else is said: one rule for both. */
#include "data/tree.h"

#include "base/str.h"

/* "CLASS samples, CLASS samples", and the size of the test split if the folders name one. */
static void describe(const struct dataset *d, bool splits, struct str *out)
{
	for (int c = 0; c < d->classes; c++) {
		int64_t n = 0;

		for (int s = 0; s < SPLIT_COUNT; s++)
			n += dataset_support(d, (enum split)s, c);
		str_addf(out, "%s%s %d", c > 0 ? ", " : "", d->class_name[c], (int)n);
	}
	if (splits)
		str_addf(out, "; %d for testing", (int)d->n[SPLIT_TEST]);
}

static void check_open(const char *text, const char *expected, const char *passed_over)
{
	struct data_options o = options(text);
	struct dataset d;
	struct str found = {0}, passed = {0};
	bool serious;

	if (dataset_open(&d, &o, NULL, 1, true) != 0)
		fail_msg("%s", err_message());
	describe(&d, o.test != NULL, &found);
	assert_string_equal(str_text(&found), expected);
	notes_passed_over(&d.notes, &passed, &serious);
	assert_string_equal(str_text(&passed), passed_over);
	str_clear(&found);
	str_clear(&passed);
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

/* As a folder, as .tar.gz, as .tar, and as .zip if there are no links in it. */
static const char *const places[] = {
    "path: DIR/x", "path: DIR, archives: x.tar.gz", "path: DIR, archives: x.tar", "path: DIR, archives: x.zip"};

static int make(const char *const *entries)
{
	bool links = false;

	fs_remove_tree(at("x"));
	put_tree("x", entries);
	pack_tree("x.tar.gz", entries);
	pack_tree("x.tar", entries);
	for (int i = 0; entries[i]; i++)
		links = links || strstr(entries[i], " => ");
	if (!links)
		pack_tree("x.zip", entries);
	return links ? 3 : 4;
}

static void check_with(const char *const *entries, const char *more, const char *expected, const char *passed_over)
{
	int n = make(entries);

	for (int i = 0; i < n; i++) {
		char text[256];

		snprintf(text, sizeof(text), "{source: images, %s%s}", places[i], more);
		check_open(text, expected, passed_over);
	}
}

static void check(const char *const *entries, const char *expected, const char *passed_over)
{
	check_with(entries, "", expected, passed_over);
}

static void check_refused(const char *const *entries, const char *more, const char *part)
{
	int n = make(entries);

	for (int i = 0; i < n; i++) {
		char text[256];

		snprintf(text, sizeof(text), "{source: images, %s%s}", places[i], more);
		must_fail(text, ERR_DATA, part);
	}
}

#define CAT "cat/1.png", "cat/2.png", "cat/3.png", "cat/4.png"
#define DOG "dog/1.png", "dog/2.png", "dog/3.JPG.png", "dog/4.PNG"

static void tree__folders_with_images_are_the_classes(void **state)
{
	(void)state;
	check((const char *const[]){CAT, DOG, NULL}, "cat 4, dog 4", "");
	check((const char *const[]){"a/b/cat/1.png", "a/b/cat/2.png", "a/b/cat/3.png", "a/b/dog/1.png", "a/b/dog/2.png",
		  "a/b/dog/3.png", NULL},
	    "cat 3, dog 3", "");
}

static void tree__hidden_entries_are_no_classes(void **state)
{
	(void)state;
	check((const char *const[]){".git/x.png", "__MACOSX/cat/1.png", CAT, "cat/.ipynb_checkpoints/1.png",
		  "cat/.ipynb_checkpoints/2.png", DOG, "dog/.hidden.png", "dog/THUMBS.db", NULL},
	    "cat 4, dog 4",
	    "5 hidden entries (.git, __MACOSX, cat/.ipynb_checkpoints, dog/.hidden.png, dog/THUMBS.db)");
}

static void tree__what_is_passed_over_is_named(void **state)
{
	(void)state;
	check((const char *const[]){CAT, DOG, "cat/more/1.png", "cat/more/2.png", "dog/5.gif", "logo.png", "readme.txt",
		  "fox -> /nowhere/fox", "owl/", "owl/wings.png/", NULL},
	    "cat 4, dog 4",
	    "2 files of other suffixes (dog/5.gif, readme.txt), 2 images deeper than their class folder "
	    "(cat/more/1.png, cat/more/2.png), 1 image outside of the class folders (logo.png), 1 class folder without "
	    "an "
	    "image (owl), 1 broken link (fox), 1 entry that is no file (owl/wings.png)");
}

static void tree__links_are_followed(void **state)
{
	(void)state;
	check((const char *const[]){CAT, DOG, "cat/5.png -> ../dog/1.png", "dog/6.png -> 5.png", "dog/5.png -> 4.PNG",
		  NULL},
	    "cat 5, dog 6", "");
	check((const char *const[]){CAT, DOG, "cat/5.png => dog/1.png", NULL}, "cat 5, dog 4", "");
	check((const char *const[]){"x/dog/1.png", "x/dog/2.png", "x/dog/3.png", "x/dog/9.png -> ../../cat/1.png", CAT,
		  "dog -> x/dog", NULL},
	    "cat 4, dog 4",
	    "4 images deeper than their class folder (x/dog/1.png, x/dog/2.png, x/dog/3.png, x/dog/9.png), 1 class "
	    "folder without "
	    "an "
	    "image (x)");
	/* A link beside that folder, in one that only begins like it. */
	check((const char *const[]){"x/dog/1.png", "x/dog/2.png", "x/dog/3.png", "x/dog2/9.png -> ../../cat/1.png", CAT,
		  "dog -> x/dog", NULL},
	    "cat 4, dog 3",
	    "4 images deeper than their class folder (x/dog/1.png, x/dog/2.png, x/dog/3.png, x/dog2/9.png), 1 class "
	    "folder without an image (x)");
}

static void tree__a_link_around_itself_has_an_end(void **state)
{
	(void)state;
	check((const char *const[]){CAT, DOG, "dog/all -> ..", "cat/me -> .", NULL}, "cat 4, dog 4",
	    "2 broken links (cat/me, dog/all)");
	check((const char *const[]){CAT, DOG, "dog/a.png -> b.png", "dog/b.png -> a.png", NULL}, "cat 4, dog 4",
	    "2 broken links (dog/a.png, dog/b.png)");
}

#define SPLITS                                                                                                         \
	"Train/cat/1.png", "Train/cat/2.png", "Train/cat/3.png", "Train/dog/1.png", "Train/dog/2.png",                 \
	    "Train/dog/3.png", "test/cat/4.png", "test/dog/4.png", "test/dog/5.png"

static void tree__folders_of_splits_are_named_or_refused(void **state)
{
	(void)state;
	check_with((const char *const[]){SPLITS, "test/readme.txt", "Tra/cat/1.png", "test/6.png", NULL},
	    ", train: Train, test: test", "cat 4, dog 5; 3 for testing",
	    "1 file of another suffix (test/readme.txt), 1 image outside of the class folders (test/6.png), 1 image in "
	    "a "
	    "folder that no split names (Tra/cat/1.png)");
	check_refused((const char *const[]){SPLITS, NULL}, ", train: Train, test: none",
	    "no images in class folders of a folder 'none' (data.test)");
	check_refused((const char *const[]){CAT, DOG, NULL}, ", train: Train",
	    "none of these folders is named by data.train, data.val or data.test: cat, dog");
	/* An image beside the folder of the splits: it is not gone into, or that image would be lost. */
	check_refused((const char *const[]){"x/1.png", "x/Train/cat/1.png", "x/Train/dog/1.png", NULL},
	    ", train: Train", "none of these folders is named by data.train, data.val or data.test: x");
}

/* As check, and what was found out without options is said. */
static void check_found(const char *const *entries, const char *expected, const char *passed_over, const char *found)
{
	int n = make(entries);

	for (int i = 0; i < n; i++) {
		char text[256];
		struct data_options o;
		struct dataset d;
		struct str is = {0}, passed = {0};
		bool serious;

		snprintf(text, sizeof(text), "{source: images, %s}", places[i]);
		o = options(text);
		if (dataset_open(&d, &o, NULL, 1, true) != 0)
			fail_msg("%s", err_message());
		describe(&d, true, &is);
		assert_string_equal(str_text(&is), expected);
		assert_int_equal(d.notes.of[NOTE_FOUND].n, 1);
		assert_string_equal(d.notes.of[NOTE_FOUND].name[0], found);
		notes_passed_over(&d.notes, &passed, &serious);
		assert_string_equal(str_text(&passed), passed_over);
		str_clear(&is);
		str_clear(&passed);
		dataset_close(&d);
		option_clear(data_option_table, &o);
	}
}

static void tree__folders_called_like_splits_are_found(void **state)
{
	(void)state;
	check_found((const char *const[]){SPLITS, NULL}, "cat 4, dog 5; 3 for testing", "",
	    "folders of splits (train: Train, test: test)");
	/* Below a single folder, beside one of another name, and with a folder of images without classes. */
	check_found((const char *const[]){"set/train/cat/1.png", "set/train/cat/2.png", "set/train/dog/1.png",
			"set/train/dog/2.png", "set/Valid/cat/3.png", "set/Valid/dog/3.png", "set/test/cat/9.png",
			"set/test/dog/9.png", "set/extra/cat/8.png", "set/dev/7.png", "set/readme.txt", NULL},
	    "cat 4, dog 4; 2 for testing",
	    "1 file of another suffix (set/readme.txt), 1 image outside of the class folders (set/dev/7.png), 1 image "
	    "in a folder that no split names (set/extra/cat/8.png)",
	    "folders of splits (train: train, val: Valid, test: test)");
	check_refused((const char *const[]){"train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "val/dog/2.png",
			  "validation/cat/3.png", "validation/dog/3.png", NULL},
	    "", "the folders val and validation may both be for data.val; name one by it");
	check_refused((const char *const[]){"test/cat/1.png", "test/dog/1.png", NULL}, "",
	    "look like splits, not like classes, and none is called train; data.train, data.val and data.test name "
	    "such "
	    "folders");
	/* A class may be called train, with folders in it. */
	check((const char *const[]){CAT, "train/1.png", "train/2.png", "train/3.png", "train/more/4.png", NULL},
	    "cat 4, train 3", "1 image deeper than its class folder (train/more/4.png)");
}

static void tree__an_archive_may_hold_one_split(void **state)
{
	static const char *const train[] = {"train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "train/dog/2.png",
	    NULL},
				 *const test[] = {"test/cat/3.png", "test/dog/3.png", NULL},
				 *const plain[] = {"cat/4.png", "dog/4.png", NULL};
	struct data_options o =
	    options("{source: images, path: DIR, archives: [a.tar.xz, b.tar.bz2], val_fraction: 0.5}");
	struct dataset d;

	(void)state;
	pack_tree("a.tar.xz", train);
	pack_tree("b.tar.bz2", test);
	pack_tree("c.zip", plain);
	if (dataset_open(&d, &o, NULL, 1, true) != 0)
		fail_msg("%s", err_message());
	assert_int_equal(d.n[SPLIT_TEST], 2);
	assert_int_equal(d.n[SPLIT_TRAIN] + d.n[SPLIT_VAL], 4);
	dataset_close(&d);
	option_clear(data_option_table, &o);
	must_fail("{source: images, path: DIR, archives: [a.tar.xz, c.zip]}", ERR_DATA,
	    "a.tar.xz holds folders of splits, and ");
}

static void tree__splits_are_not_tested_as_one(void **state)
{
	struct data_options o = options("{source: images, path: DIR/x}");
	struct dataset d;

	(void)state;
	put_tree("x", (const char *const[]){SPLITS, NULL});
	assert_int_equal(dataset_open_all(&d, &o, NULL), ERR_DATA);
	assert_non_null(strstr(err_message(), "look like splits, not like classes; path must lead into one of them"));
	option_clear(data_option_table, &o);
}

static void tree__what_is_ambiguous_is_refused(void **state)
{
	(void)state;
	check_refused((const char *const[]){"a/cat/1.png", "b/dog/1.png", NULL}, "",
	    "the images in these folders lie deeper than in class folders: a, b");
	check_refused((const char *const[]){"1.png", "readme.txt", NULL}, "", "holds no class folders with images");
}

static void tree__a_class_may_be_called_train(void **state)
{
	(void)state;
	check((const char *const[]){"train/1.png", "train/2.png", "train/3.png", "test/1.png", "test/2.png",
		  "test/3.png", NULL},
	    "test 3, train 3", "");
}

static void tree__what_is_no_file_is_refused(void **state)
{
	static const char *const entries[] = {CAT, DOG, NULL};

	(void)state;
	put_tree("x", entries);
	assert_int_equal(mkfifo(at("x/dog/notes"), 0600), 0);
	check_open("{source: images, path: DIR/x}", "cat 4, dog 4", "1 entry that is no file (dog/notes)");
	assert_int_equal(mkfifo(at("x/dog/9.png"), 0600), 0);
	alarm(100);
	must_fail(
	    "{source: images, path: DIR/x}", ERR_DATA, "x/dog/9.png: is a FIFO, a device or a socket, not a file");
	must_fail("{source: images, path: DIR, archives: x/dog/9.png}", ERR_DATA, "x/dog/9.png: is a FIFO, not a file");
	must_fail("{source: images, path: DIR/x, index: dog/9.png}", ERR_DATA, "x/dog/9.png: is a FIFO, not a file");
	alarm(0);
}

static void tree__class_names_are_printable(void **state)
{
	(void)state;
	check_refused((const char *const[]){CAT, "caf\xe9/1.png", NULL}, "",
	    "the name of class 'caf\\xe9' is not UTF-8 (byte 0xe9)");
	check_refused((const char *const[]){CAT, "do\tg/1.png", NULL}, "",
	    "the name of class 'do\\tg' has a control character (byte 0x09)");
	check((const char *const[]){CAT, "caf\xc3\xa9/1.png", "caf\xc3\xa9/2.png", "caf\xc3\xa9/3.png",
		  "caf\xc3\xa9/L\xc3\xa9.txt", NULL},
	    "caf\xc3\xa9 3, cat 4", "1 file of another suffix (caf\xc3\xa9/L\xc3\xa9.txt)");
}

static void tree__notes_are_in_the_description(void **state)
{
	static const char *const entries[] = {CAT, DOG, "dog/a.gif", "dog/b.gif", NULL};
	struct data_options o;
	struct dataset d;
	const cJSON *note;
	cJSON *j;

	(void)state;
	put_tree("x", entries);
	o = options("{source: images, path: DIR/x}");
	assert_int_equal(dataset_open(&d, &o, NULL, 1, false), 0);
	j = dataset_to_json(&d);
	note = cJSON_GetObjectItem(cJSON_GetObjectItem(j, "passed_over"), "other_suffix");
	assert_int_equal(cJSON_GetObjectItem(note, "count")->valueint, 2);
	assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(note, "first"), 1)->valuestring, "dog/b.gif");
	cJSON_Delete(j);
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

static void tree__survives_each_failing_allocation(void **state)
{
	static const char *const entries[] = {
	    CAT, DOG, "dog/5.png -> 4.PNG", "cat/deep/1.png", "fox -> /nowhere", NULL};

	(void)state;
	make(entries);
	for (int i = 0; i < 2; i++) {
		char text[256];
		struct data_options o;
		struct dataset d;
		uint64_t n = 0;
		int rc;

		snprintf(text, sizeof(text), "{source: images, %s}", places[i]);
		o = options(text);
		do {
			mem_fail_at(++n);
			rc = dataset_open(&d, &o, NULL, 1, true);
			mem_fail_at(0);
			dataset_close(&d);
		} while (rc == ERR_NOMEM);
		if (rc != 0)
			fail_msg("%s", err_message());
		option_clear(data_option_table, &o);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(tree__folders_with_images_are_the_classes),
	    TEST(tree__hidden_entries_are_no_classes),
	    TEST(tree__what_is_passed_over_is_named),
	    TEST(tree__links_are_followed),
	    TEST(tree__a_link_around_itself_has_an_end),
	    TEST(tree__folders_of_splits_are_named_or_refused),
	    TEST(tree__folders_called_like_splits_are_found),
	    TEST(tree__an_archive_may_hold_one_split),
	    TEST(tree__splits_are_not_tested_as_one),
	    TEST(tree__what_is_ambiguous_is_refused),
	    TEST(tree__a_class_may_be_called_train),
	    TEST(tree__what_is_no_file_is_refused),
	    TEST(tree__class_names_are_printable),
	    TEST(tree__notes_are_in_the_description),
	    TEST(tree__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
