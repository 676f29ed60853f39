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
		count[d.split[SPLIT_TEST].label[i]]++;
	assert_memory_equal(count, test_per_class, sizeof(count));
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
	assert_int_equal(d.duplicates_train_test + d.duplicates_train_val + d.duplicates_val_test, 0);
	dataset_close(&d);
}

static int64_t ones(const struct dataset *d, int label)
{
	int64_t n = 0;

	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int64_t i = 0; i < d->n[s]; i++)
			n += d->target == TARGET_SET ? d->split[s].label_set[i * d->classes + label] == 1
						     : d->split[s].label[i] == label;
	return n;
}

/* The counts that data/README.md of the data gives; texts that occur twice are counted as they are there. */
static void check_texts(const struct dataset *d, int64_t rows, int64_t distinct, int64_t contradicting,
    const char *const *names, const int64_t *count)
{
	assert_int_equal(d->kind, SAMPLE_TEXT);
	assert_int_equal(d->rows, rows);
	assert_int_equal(d->n[0] + d->n[1] + d->n[2], rows);
	assert_int_equal(d->distinct_texts, distinct);
	assert_int_equal(d->contradicting_texts, contradicting);
	for (int c = 0; c < d->classes; c++) {
		assert_string_equal(d->class_name[c], names[c]);
		assert_int_equal(ones(d, c), count[c]);
	}
}

static void real__phrasebank_in_four_grades(void **state)
{
	struct dataset d;

	(void)state;
	if (!real_data())
		skip();
	d = open_real("{source: phrasebank, path: DIR/phrasebank/Sentences_50Agree.txt}", true);
	check_texts(
	    &d, 4121, 4113, 2, (const char *[]){"negative", "neutral", "positive"}, (const int64_t[]){513, 2450, 1158});
	assert_int_equal(d.repeated_texts, 8);
	assert_int_equal(d.duplicates_train_test + d.duplicates_train_val + d.duplicates_val_test, 0);
	dataset_close(&d);
	d = open_real("{source: phrasebank, path: DIR/phrasebank, train: Sentences_AllAgree.txt, classes: [positive, "
		      "neutral, negative], folds: 5, fold: 4}",
	    true);
	check_texts(
	    &d, 1926, 1921, 0, (const char *[]){"positive", "neutral", "negative"}, (const int64_t[]){484, 1184, 258});
	assert_in_range(d.n[SPLIT_TEST], 380, 390);
	dataset_close(&d);
}

static void real__bangla_comments_have_label_sets(void **state)
{
	struct dataset d;

	(void)state;
	if (!real_data())
		skip();
	d = open_real("{source: csv, path: DIR/bangla_cyberbully5/1_Multilablel_Cyberbully_Data.csv, text: comment, "
		      "labels: [bully, sexual, religious, threat, spam]}",
	    true);
	check_texts(&d, 12546, 10206, 367, (const char *[]){"bully", "sexual", "religious", "threat", "spam"},
	    (const int64_t[]){8052, 2059, 1607, 1422, 1089});
	assert_int_equal(d.duplicates_train_test + d.duplicates_train_val + d.duplicates_val_test, 0);
	dataset_close(&d);
	d = open_real("{source: csv, path: DIR/bangla_toxic6/Multi_labeled_toxic_comments.csv, "
		      "labels: [vulgar, hate, religious, threat, troll, Insult]}",
	    true);
	check_texts(&d, 16073, 15913, 12, (const char *[]){"vulgar", "hate", "religious", "threat", "troll", "Insult"},
	    (const int64_t[]){2505, 1898, 1418, 1419, 1643, 2719});
	dataset_close(&d);
}

static void real__sst2_has_its_own_files(void **state)
{
	struct dataset d;

	(void)state;
	if (!real_data())
		skip();
	d = open_real(
	    "{source: csv, path: DIR/sst2, train: train.tsv, test: dev.tsv, classes: [negative, positive]}", true);
	assert_int_equal(d.n[SPLIT_TRAIN] + d.n[SPLIT_VAL], 67349);
	assert_int_equal(d.n[SPLIT_TEST], 436);
	assert_int_equal(d.rows, 67785);
	assert_int_equal(d.distinct_texts, 66978 + 436);
	assert_string_equal(d.class_name[1], "positive");
	assert_int_equal(d.duplicates_train_test + d.duplicates_train_val + d.duplicates_val_test, 0);
	assert_string_equal(d.split[SPLIT_TEST].file[0], "dev.tsv:2");
	dataset_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(real__mnist_has_its_published_figures),
	    cmocka_unit_test(real__eurosat_core_by_its_index),
	    cmocka_unit_test(real__phrasebank_in_four_grades),
	    cmocka_unit_test(real__bangla_comments_have_label_sets),
	    cmocka_unit_test(real__sst2_has_its_own_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
