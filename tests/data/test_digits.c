/* The embedded digits, and what all sources share: splits, hashes, normalisation, key, failing allocations. */
#include "data/fixture.h"

static struct dataset open_digits(const char *yaml_text, uint64_t seed, bool with_test)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open(&d, &o, NULL, seed, with_test) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

static void digits__are_the_1797_images_of_scikit_learn(void **state)
{
	static const int per_class[10] = {178, 182, 177, 183, 181, 182, 181, 179, 174, 180};
	int count[10] = {0};
	struct dataset d = open_digits("{source: digits}", 1, true);

	(void)state;
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int64_t i = 0; i < d.n[s]; i++)
			count[d.split[s].label[i]]++;
	assert_int_equal(d.n[0] + d.n[1] + d.n[2], 1797);
	assert_memory_equal(count, per_class, sizeof(count));
	assert_int_equal(d.height * 1000 + d.width * 10 + d.channels, 8081);
	/* sklearn: digits.images.sum() == 561718 over values 0..16 */
	uint64_t sum = 0;
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int64_t i = 0; i < d.n[s] * 64; i++)
			sum += (uint64_t)((pixels_of(&d, s, i / 64)[i % 64] * 16 + 127) / 255);
	assert_int_equal(sum, 561718);
	dataset_close(&d);
}

static void splits__are_what_the_ranks_of_the_images_say(void **state)
{
	struct dataset d = open_digits("{source: digits, val_fraction: 0.1, test_fraction: 0.2}", 7, true);

	(void)state;
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; i < d.n[s]; i++) {
			struct sample_view v;

			assert_int_equal(dataset_sample(&d, (enum split)s, i, &v), 0);
			assert_int_equal(s, split_of(rank_of(&v, 7, "images"), 0.2, 0.1));
		}
	}
	dataset_close(&d);
}

static void splits__have_about_their_share_of_each_class(void **state)
{
	static const int per_class[10] = {178, 182, 177, 183, 181, 182, 181, 179, 174, 180};
	int64_t all[SPLIT_COUNT] = {0};

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct dataset d = open_digits("{source: digits, val_fraction: 0.1, test_fraction: 0.2}", seed, true);

		for (int s = 0; s < SPLIT_COUNT; s++) {
			all[s] += d.n[s];
			for (int c = 0; c < 10; c++)
				assert_true(likely(dataset_support(&d, (enum split)s, c), per_class[c],
				    (const double[]){0.7, 0.1, 0.2}[s]));
		}
		dataset_close(&d);
	}
	assert_true(likely(all[SPLIT_VAL], 20 * 1797, 0.1) && likely(all[SPLIT_TEST], 20 * 1797, 0.2));
}

static void splits__depend_on_the_seed_alone(void **state)
{
	struct dataset a = open_digits("{source: digits}", 1, true), b = open_digits("{source: digits}", 1, true),
		       c = open_digits("{source: digits}", 2, true);

	(void)state;
	for (int s = 0; s < SPLIT_COUNT; s++) {
		assert_string_equal(a.hash[s], b.hash[s]);
		assert_string_not_equal(a.hash[s], c.hash[s]);
		assert_int_equal(strlen(a.hash[s]), 64);
	}
	dataset_close(&a);
	dataset_close(&b);
	dataset_close(&c);
}

static void splits__test_part_does_not_move_with_the_validation_fraction(void **state)
{
	struct dataset a = open_digits("{source: digits, val_fraction: 0.1}", 1, true),
		       b = open_digits("{source: digits, val_fraction: 0.3, fraction: 0.5}", 1, true);

	(void)state;
	assert_string_equal(a.hash[SPLIT_TEST], b.hash[SPLIT_TEST]);
	assert_string_not_equal(a.hash[SPLIT_VAL], b.hash[SPLIT_VAL]);
	dataset_close(&a);
	dataset_close(&b);
}

static void splits__test_pixels_are_not_loaded_unless_asked_for(void **state)
{
	struct dataset d = open_digits("{source: digits}", 1, false), t = open_digits("{source: digits}", 1, true);

	(void)state;
	assert_null(d.split[SPLIT_TEST].pixels);
	assert_null(d.split[SPLIT_TEST].label);
	assert_string_equal(d.hash[SPLIT_TEST], t.hash[SPLIT_TEST]); /* what is kept apart is known all the same */
	assert_int_equal(d.n[SPLIT_TEST], t.n[SPLIT_TEST]);
	assert_int_equal(d.duplicates_train_test, t.duplicates_train_test);
	assert_string_equal(d.hash[SPLIT_TRAIN], t.hash[SPLIT_TRAIN]);
	dataset_close(&d);
	dataset_close(&t);
}

static void with_test__shows_what_was_read_before(void **state)
{
	struct dataset d = open_digits("{source: digits}", 1, false), t = open_digits("{source: digits}", 1, true),
		       view = dataset_with_test(&d);

	(void)state;
	assert_false(dataset_has(&d, SPLIT_TEST));
	assert_true(dataset_has(&view, SPLIT_TEST));
	assert_int_equal(view.n[SPLIT_TEST], t.n[SPLIT_TEST]);
	assert_memory_equal(
	    view.split[SPLIT_TEST].label, t.split[SPLIT_TEST].label, (size_t)t.n[SPLIT_TEST] * sizeof(int32_t));
	for (int64_t i = 0; i < t.n[SPLIT_TEST]; i++)
		assert_memory_equal(pixels_of(&view, SPLIT_TEST, i), pixels_of(&t, SPLIT_TEST, i), 64);
	assert_ptr_equal(pixels_of(&view, SPLIT_VAL, 3), pixels_of(&d, SPLIT_VAL, 3));
	dataset_close(&d);
	dataset_close(&t);
}

static void fraction__thins_each_class_of_the_train_split_only(void **state)
{
	struct dataset a = open_digits("{source: digits}", 3, true),
		       b = open_digits("{source: digits, fraction: 0.25}", 3, true);
	int64_t kept = 0;

	(void)state;
	for (int64_t i = 0; i < a.n[SPLIT_TRAIN]; i++) {
		struct sample_view v;

		assert_int_equal(dataset_sample(&a, SPLIT_TRAIN, i, &v), 0);
		if (rank_of(&v, 3, "fraction") < 0.25)
			assert_memory_equal(pixels_of(&b, SPLIT_TRAIN, kept++), v.pixels, 64);
	}
	assert_int_equal(kept, b.n[SPLIT_TRAIN]);
	for (int c = 0; c < 10; c++)
		assert_true(likely(dataset_support(&b, SPLIT_TRAIN, c), dataset_support(&a, SPLIT_TRAIN, c), 0.25));
	assert_string_equal(a.hash[SPLIT_VAL], b.hash[SPLIT_VAL]);
	assert_string_equal(a.hash[SPLIT_TEST], b.hash[SPLIT_TEST]);
	dataset_close(&a);
	dataset_close(&b);
}

static void fraction__keeps_one_sample_of_each_class(void **state)
{
	struct dataset d = open_digits("{source: digits, fraction: 0.0001}", 3, false);

	(void)state;
	assert_int_equal(d.n[SPLIT_TRAIN], 10);
	dataset_close(&d);
}

static void key__changes_with_each_option_that_matters(void **state)
{
	static const char *const variants[] = {"{source: digits}", "{source: digits, val_fraction: 0.11}",
	    "{source: digits, test_fraction: 0.21}", "{source: digits, fraction: 0.9}", "{source: digits, size: 8}",
	    "{source: digits, size: 9}", "{source: digits, folds: 4}", "{source: digits, augment: {flip: true}}",
	    "{source: digits, augment: {rotate90: true}}", "{source: digits, augment: {crop_padding: 1}}"};
	enum { N = sizeof(variants) / sizeof(variants[0]) };
	char hex[N][HASH_HEX], again[HASH_HEX];

	(void)state;
	for (int i = 0; i < N; i++) {
		struct data_options o = options(variants[i]);
		struct dataset d;

		assert_int_equal(dataset_open(&d, &o, NULL, 1, false), 0);
		assert_int_equal(dataset_key(&d, &o, hex[i]), 0);
		assert_int_equal(dataset_key(&d, &o, again), 0);
		assert_string_equal(hex[i], again);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(hex[i], hex[j]);
		dataset_close(&d);
		option_clear(data_option_table, &o);
	}
}

static void digits__come_to_another_size(void **state)
{
	struct dataset d = open_digits("{source: digits, size: 16}", 1, false);

	(void)state;
	assert_int_equal(d.height * 100 + d.width, 1616);
	assert_int_equal(d.resize, RESIZE_CROP);
	assert_int_equal(d.notes.of[NOTE_RESIZED].n, 1797);
	assert_string_equal(d.notes.of[NOTE_RESIZED].name[0], "all, of 8 x 8");
	dataset_close(&d);
}

static void sample__is_a_view_of_the_split(void **state)
{
	struct dataset d = open_digits("{source: digits}", 1, false);
	struct sample_view v;
	int64_t last = d.n[SPLIT_VAL] - 1;

	(void)state;
	assert_int_equal(d.kind, SAMPLE_IMAGE);
	assert_int_equal(d.target, TARGET_CLASS);
	assert_int_equal(dataset_sample(&d, SPLIT_VAL, last, &v), 0);
	assert_int_equal(v.kind, SAMPLE_IMAGE);
	assert_int_equal(v.height * 1000 + v.width * 10 + v.channels, 8081);
	assert_ptr_equal(v.pixels, d.split[SPLIT_VAL].pixels + d.split[SPLIT_VAL].row[last] * 64);
	assert_int_equal(dataset_sample(&d, SPLIT_VAL, last + 1, &v), ERR_FAIL);
	assert_int_equal(dataset_sample(&d, SPLIT_VAL, -1, &v), ERR_FAIL);
	assert_true(dataset_has(&d, SPLIT_VAL) && !dataset_has(&d, SPLIT_TEST));
	assert_int_equal(dataset_sample(&d, SPLIT_TEST, 0, &v), ERR_FAIL);
	assert_non_null(strstr(err_message(), "the test split is not loaded"));
	dataset_close(&d);
}

static void json__names_everything_a_report_needs(void **state)
{
	struct dataset d = open_digits("{source: digits}", 1, false);
	cJSON *j = dataset_to_json(&d);
	const cJSON *splits = cJSON_GetObjectItem(j, "splits");

	(void)state;
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "class_names")), 10);
	assert_int_equal(
	    cJSON_GetObjectItem(cJSON_GetObjectItem(splits, "validation"), "samples")->valueint, d.n[SPLIT_VAL]);
	assert_string_equal(
	    cJSON_GetObjectItem(cJSON_GetObjectItem(splits, "train"), "sha256")->valuestring, d.hash[SPLIT_TRAIN]);
	assert_string_equal(
	    cJSON_GetObjectItem(cJSON_GetObjectItem(splits, "test"), "sha256")->valuestring, d.hash[SPLIT_TEST]);
	assert_int_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "duplicates"), "train_test")->valueint, 0);
	cJSON_Delete(j);
	dataset_close(&d);
}

static void splits__empty_ones_are_errors(void **state)
{
	(void)state;
	must_fail("{source: digits, val_fraction: 0}", ERR_CONFIG, "names no validation split");
	must_fail("{source: digits, test_fraction: 0}", ERR_DATA, "no test split");
	must_fail("{source: digits, test_fraction: 0.9, val_fraction: 0.5}", ERR_CONFIG,
	    "test_fraction 0.9 and val_fraction 0.5 are the whole: nothing is left for training");
	must_fail("{source: digits, augment: {crop_padding: 8}}", ERR_CONFIG, "at most 7");
	must_fail("{source: digits, augment: {saturation: 0.1}}", ERR_CONFIG,
	    "data.augment.saturation has no effect on images of 1 channel; it is of colours");
	must_fail("{source: digits, augment: {hue: 0.1}}", ERR_CONFIG, "data.augment.hue has no effect on images of 1");
}

static void open__survives_each_failing_allocation(void **state)
{
	struct data_options o = options("{source: digits}");
	struct dataset d;
	uint64_t n = 0;
	int rc;

	(void)state;
	do {
		mem_fail_at(++n);
		rc = dataset_open(&d, &o, NULL, 1, true);
		mem_fail_at(0);
		if (rc != 0)
			assert_int_equal(rc, ERR_NOMEM);
		dataset_close(&d);
	} while (rc != 0);
	assert_true(n > 10);
	option_clear(data_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(digits__are_the_1797_images_of_scikit_learn),
	    cmocka_unit_test(splits__are_what_the_ranks_of_the_images_say),
	    cmocka_unit_test(splits__have_about_their_share_of_each_class),
	    cmocka_unit_test(with_test__shows_what_was_read_before),
	    cmocka_unit_test(splits__depend_on_the_seed_alone),
	    cmocka_unit_test(splits__test_part_does_not_move_with_the_validation_fraction),
	    cmocka_unit_test(splits__test_pixels_are_not_loaded_unless_asked_for),
	    cmocka_unit_test(fraction__thins_each_class_of_the_train_split_only),
	    cmocka_unit_test(fraction__keeps_one_sample_of_each_class),
	    cmocka_unit_test(key__changes_with_each_option_that_matters),
	    cmocka_unit_test(digits__come_to_another_size),
	    cmocka_unit_test(sample__is_a_view_of_the_split),
	    cmocka_unit_test(json__names_everything_a_report_needs),
	    cmocka_unit_test(splits__empty_ones_are_errors),
	    cmocka_unit_test(open__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
