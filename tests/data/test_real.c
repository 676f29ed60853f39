/* Real data sets, where they are (PIPELINE_TEST_DATA, or shared/data beside the project); skipped elsewhere. */
#include "base/clock.h"
#include "data/fixture.h"

static struct dataset open_real(const char *yaml_text, bool with_test)
{
	struct data_options o;
	struct dataset d;
	double start = clock_now();

	snprintf(dir, sizeof(dir), "%s", real_data());
	o = options(yaml_text);
	if (dataset_open(&d, &o, NULL, 42, with_test) != 0)
		fail_msg("%s", err_message());
	print_message("opened in %.2f s\n", clock_now() - start);
	option_clear(data_option_table, &o);
	return d;
}

static void real__mnist_has_its_published_figures(void **state)
{
	static const int test_per_class[10] = {833, 965, 877, 858, 835, 758, 814, 874, 828, 858};
	struct dataset d;
	int count[10] = {0};

	(void)state;
	if (!real_data())
		skip();
	d = open_real("{source: idx, path: DIR/mnist, val_fraction: 0.1}", true);
	assert_int_equal(d.n[SPLIT_TRAIN] + d.n[SPLIT_VAL], 51000);
	assert_int_equal(d.n[SPLIT_TEST], 8500);
	for (int64_t i = 0; i < d.n[SPLIT_TEST]; i++)
		count[d.label[SPLIT_TEST][i]]++;
	assert_memory_equal(count, test_per_class, sizeof(count));
	assert_true(d.mean[0] > 0.130f && d.mean[0] < 0.1315f);
	assert_true(d.std[0] > 0.307f && d.std[0] < 0.309f);
	dataset_close(&d);
}

static void real__eurosat_core_by_its_index(void **state)
{
	struct dataset d;

	(void)state;
	if (!real_data())
		skip();
	d = open_real(
	    "{source: images, path: DIR/eurosat, archives: [eurosat_rgb_core.tar.gz], index: index.csv}", true);
	assert_int_equal(d.n[0] + d.n[1] + d.n[2], 10000);
	assert_int_equal(d.height * 100000 + d.width * 1000 + d.channels, 6464003);
	assert_int_equal(d.classes, 10);
	assert_string_equal(d.class_name[9], "SeaLake");
	assert_true(d.mean[0] > 0.33f && d.mean[0] < 0.36f && d.mean[2] > 0.395f && d.mean[2] < 0.42f);
	assert_int_equal(d.duplicates_train_test + d.duplicates_train_val + d.duplicates_val_test, 0);
	dataset_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(real__mnist_has_its_published_figures),
	    cmocka_unit_test(real__eurosat_core_by_its_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
