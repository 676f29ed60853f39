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
			count[d.label[s][i]]++;
	assert_int_equal(d.n[0] + d.n[1] + d.n[2], 1797);
	assert_memory_equal(count, per_class, sizeof(count));
	assert_int_equal(d.height * 1000 + d.width * 10 + d.channels, 8081);
	/* sklearn: digits.images.sum() == 561718 over values 0..16 */
	uint64_t sum = 0;
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int64_t i = 0; i < d.n[s] * 64; i++)
			sum += (uint64_t)((d.pixels[s][i] * 16 + 127) / 255);
	assert_int_equal(sum, 561718);
	dataset_close(&d);
}

static void splits__are_stratified_and_sum_up(void **state)
{
	struct dataset d = open_digits("{source: digits, val_fraction: 0.1, test_fraction: 0.2}", 7, true);
	static const int per_class[10] = {178, 182, 177, 183, 181, 182, 181, 179, 174, 180};

	(void)state;
	for (int s = SPLIT_VAL; s <= SPLIT_TEST; s++) {
		int count[10] = {0};

		for (int64_t i = 0; i < d.n[s]; i++)
			count[d.label[s][i]]++;
		for (int c = 0; c < 10; c++)
			assert_int_equal(count[c], (int)(per_class[c] * (s == SPLIT_VAL ? 0.1 : 0.2) + 0.5));
	}
	dataset_close(&d);
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
	assert_null(d.pixels[SPLIT_TEST]);
	assert_null(d.label[SPLIT_TEST]);
	assert_string_equal(d.hash[SPLIT_TEST], "");
	assert_int_equal(d.n[SPLIT_TEST], t.n[SPLIT_TEST]);
	assert_int_equal(d.duplicates_train_test, -1);
	assert_true(t.duplicates_train_test >= 0);
	assert_string_equal(d.hash[SPLIT_TRAIN], t.hash[SPLIT_TRAIN]);
	dataset_close(&d);
	dataset_close(&t);
}

static void fraction__thins_each_class_of_the_train_split_only(void **state)
{
	struct dataset a = open_digits("{source: digits}", 3, true),
		       b = open_digits("{source: digits, fraction: 0.25}", 3, true);
	int full[10] = {0}, thin[10] = {0};

	(void)state;
	for (int64_t i = 0; i < a.n[SPLIT_TRAIN]; i++)
		full[a.label[SPLIT_TRAIN][i]]++;
	for (int64_t i = 0; i < b.n[SPLIT_TRAIN]; i++)
		thin[b.label[SPLIT_TRAIN][i]]++;
	for (int c = 0; c < 10; c++)
		assert_int_equal(thin[c], (int)(full[c] * 0.25 + 0.5));
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
	    "{source: digits, test_fraction: 0.21}", "{source: digits, fraction: 0.9}",
	    "{source: digits, augment: {flip: true}}", "{source: digits, augment: {rotate90: true}}",
	    "{source: digits, augment: {crop_padding: 1}}"};
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
	assert_ptr_equal(v.pixels, d.pixels[SPLIT_VAL] + last * 64);
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
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(splits, "test"), "sha256")));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "duplicates"), "train_test")));
	cJSON_Delete(j);
	dataset_close(&d);
}

static void splits__empty_ones_are_errors(void **state)
{
	(void)state;
	must_fail("{source: digits, val_fraction: 0}", ERR_DATA, "class '0' has no sample in the validation split");
	must_fail("{source: digits, test_fraction: 0}", ERR_DATA, "no test split");
	must_fail("{source: digits, test_fraction: 0.9, val_fraction: 0.5}", ERR_DATA, "too few to cut off");
	must_fail("{source: digits, augment: {crop_padding: 8}}", ERR_CONFIG, "at most 7");
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
	    cmocka_unit_test(splits__are_stratified_and_sum_up),
	    cmocka_unit_test(splits__depend_on_the_seed_alone),
	    cmocka_unit_test(splits__test_part_does_not_move_with_the_validation_fraction),
	    cmocka_unit_test(splits__test_pixels_are_not_loaded_unless_asked_for),
	    cmocka_unit_test(fraction__thins_each_class_of_the_train_split_only),
	    cmocka_unit_test(fraction__keeps_one_sample_of_each_class),
	    cmocka_unit_test(key__changes_with_each_option_that_matters),
	    cmocka_unit_test(sample__is_a_view_of_the_split),
	    cmocka_unit_test(json__names_everything_a_report_needs),
	    cmocka_unit_test(splits__empty_ones_are_errors),
	    cmocka_unit_test(open__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
