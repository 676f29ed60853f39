/* Data that a model has never seen: all of it is a test split, and its labels come to mean what the model's do. */
#include "data/fixture.h"
#include "data/text_column.h"

static struct dataset must_open_all(const char *yaml_text)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open_all(&d, &o, NULL) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

static char *const model[] = {"bad", "fine", "good"};

/* What is for testing alone needs no validation split. */
static void all__need_no_other_split(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,label\nt0,bad\nt1,good\n");
	d = must_open_all("{source: csv, path: DIR/t.csv, val_fraction: 0}");
	assert_int_equal(d.n[SPLIT_TEST], 2);
	dataset_close(&d);
}

static void all__are_in_the_test_split_in_their_order(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,label\nt0,bad\nt1,good\nt2,bad\nt1,good\n");
	d = must_open_all("{source: csv, path: DIR/t.csv, val_fraction: 0.5}");
	assert_int_equal(d.n[SPLIT_TEST], 4);
	assert_int_equal(d.n[SPLIT_TRAIN] + d.n[SPLIT_VAL], 0);
	assert_true(dataset_has(&d, SPLIT_TEST) && !dataset_has(&d, SPLIT_TRAIN) && !dataset_has(&d, SPLIT_VAL));
	for (int64_t i = 0; i < 4; i++) {
		static const char *const want[] = {"t0", "t1", "t2", "t1"};
		struct sample_view v;

		assert_int_equal(dataset_sample(&d, SPLIT_TEST, i, &v), 0);
		assert_string_equal(v.text, want[i]);
	}
	assert_string_equal(d.split[SPLIT_TEST].file[2], "t.csv:4");
	assert_int_equal(d.distinct_texts, 3);
	dataset_close(&d);
}

static void all__may_be_of_one_class(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,label\nt0,bad\n");
	d = must_open_all("{source: csv, path: DIR/t.csv}");
	assert_int_equal(d.classes, 1);
	assert_int_equal(d.n[SPLIT_TEST], 1);
	dataset_close(&d);
}

static void all__images_of_class_folders_are_for_testing(void **state)
{
	uint8_t grey[4] = {0, 80, 160, 240};
	struct dataset d;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct bytes b = make_jpeg(grey, 2, 2, 1, 90);
		char name[32];

		snprintf(name, sizeof(name), "im/%s/%d.jpg", i == 1 ? "good" : "bad", i);
		put(name, b.p, b.n);
		free(b.p);
	}
	d = must_open_all("{source: images, path: DIR/im}");
	assert_int_equal(d.n[SPLIT_TEST], 3);
	assert_int_equal(dataset_support(&d, SPLIT_TEST, 0), 2);
	dataset_close(&d);
}

static void classes__are_matched_by_name(void **state)
{
	struct dataset d;
	char before[HASH_HEX];
	int first;

	(void)state;
	put_text("t.csv", "text,label\nt0,good\nt1,bad\nt2,good\n");
	d = must_open_all("{source: csv, path: DIR/t.csv, classes: [good, bad]}");
	memcpy(before, d.hash[SPLIT_TEST], HASH_HEX);
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), 0);
	assert_int_equal(first, -1);
	assert_int_equal(d.classes, 3);
	assert_string_equal(d.class_name[1], "fine");
	assert_int_equal(d.split[SPLIT_TEST].label[0], 2);
	assert_int_equal(d.split[SPLIT_TEST].label[1], 0);
	assert_int_equal(d.split[SPLIT_TEST].label[2], 2);
	assert_int_equal(dataset_support(&d, SPLIT_TEST, 1), 0);
	assert_string_not_equal(before, d.hash[SPLIT_TEST]);
	dataset_close(&d);
}

/* The labels for testing change their numbers too, and stay out of sight. */
static void classes__are_matched_in_a_hidden_split_too(void **state)
{
	struct data_options o = options("{source: csv, path: DIR/t.csv, classes: [good, bad]}");
	struct dataset d, all;
	int first;

	(void)state;
	put_text("t.csv", "text,label\na1,good\na2,good\na3,good\nb1,bad\nb2,bad\nb3,bad\n");
	assert_int_equal(dataset_open(&d, &o, NULL, 1, false), 0);
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), 0);
	assert_false(dataset_has(&d, SPLIT_TEST));
	all = dataset_with_test(&d);
	assert_int_equal(dataset_support(&all, SPLIT_TEST, 0) + dataset_support(&all, SPLIT_TEST, 2), d.n[SPLIT_TEST]);
	assert_int_equal(dataset_support(&all, SPLIT_TEST, 0), 1);
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

static void classes__of_label_sets_are_matched_by_name(void **state)
{
	const uint8_t want[] = {1, 0, 0, 1, 0, 1};
	struct dataset d;
	int first;

	(void)state;
	put_text("t.csv", "text,good,bad\nt0,0,1\nt1,1,1\n");
	d = must_open_all("{source: csv, path: DIR/t.csv, labels: [good, bad]}");
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), 0);
	assert_memory_equal(d.split[SPLIT_TEST].label_set, want, sizeof(want));
	assert_int_equal(dataset_support(&d, SPLIT_TEST, 0), 2);
	dataset_close(&d);
}

static void classes__that_the_model_lacks_are_refused_with_their_place(void **state)
{
	struct dataset d;
	int first;

	(void)state;
	put_text("t.csv", "text,label\nt0,good\nt1,odd\nt2,odd\n");
	d = must_open_all("{source: csv, path: DIR/t.csv}");
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), ERR_DATA);
	assert_non_null(strstr(err_message(), "t.csv:3: "));
	assert_non_null(strstr(err_message(), "'odd'"));
	assert_non_null(strstr(err_message(), "bad, fine, good"));
	assert_int_equal(d.classes, 2); /* as it was */
	assert_string_equal(d.class_name[d.split[SPLIT_TEST].label[0]], "good");
	dataset_close(&d);
}

/* The numbers of fewer classes could be those of any of the model's. */
static void numbers__are_positions_only_of_as_many_classes(void **state)
{
	static char *const digits[] = {"2", "1", "0"};
	struct dataset d;
	int first;

	(void)state;
	put_text("t.csv", "text,label\nt0,2\nt1,0\nt2,1\n");
	put_text("few.csv", "text,label\nt0,1\nt1,0\n");
	d = must_open_all("{source: csv, path: DIR/t.csv}");
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), 0);
	assert_int_equal(first, 0);
	assert_int_equal(d.split[SPLIT_TEST].label[0], 2);
	assert_string_equal(d.class_name[2], "good");
	dataset_close(&d);
	d = must_open_all("{source: csv, path: DIR/few.csv}");
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), ERR_DATA);
	dataset_close(&d);
	d = must_open_all("{source: csv, path: DIR/t.csv}");
	assert_int_equal(dataset_take_classes(&d, digits, 3, &first), 0);
	assert_int_equal(first, -1);
	assert_int_equal(d.split[SPLIT_TEST].label[0], 0); /* "2" is the first name */
	dataset_close(&d);
}

/* As training takes them: with data.classes, labels from 1 to that many are the names in their order. */
static void numbers__from_1_to_as_many_as_there_are_classes_are_positions_from_1(void **state)
{
	struct dataset d;
	int first;

	(void)state;
	put_text("t.csv", "text,label\nt0,3\nt1,1\nt2,2\n");
	d = must_open_all("{source: csv, path: DIR/t.csv}");
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), 0);
	assert_int_equal(first, 1);
	assert_int_equal(d.split[SPLIT_TEST].label[0], 2);
	assert_int_equal(d.split[SPLIT_TEST].label[1], 0);
	assert_string_equal(d.class_name[0], "bad");
	dataset_close(&d);
	put_text("two.csv", "text,label\nt0,1\nt1,2\n"); /* of three: from 0 or from 1 */
	d = must_open_all("{source: csv, path: DIR/two.csv}");
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), ERR_DATA);
	dataset_close(&d);
	put_text("far.csv", "text,label\nt0,1\nt1,2\nt2,4\n");
	d = must_open_all("{source: csv, path: DIR/far.csv}");
	assert_int_equal(dataset_take_classes(&d, model, 3, &first), ERR_DATA);
	dataset_close(&d);
}

static void taking_classes__without_memory_changes_nothing(void **state)
{
	struct dataset d;
	int first;
	int rc = ERR_NOMEM;

	(void)state;
	put_text("t.csv", "text,good,bad\nt0,0,1\nt1,1,1\n");
	d = must_open_all("{source: csv, path: DIR/t.csv, labels: [good, bad]}");
	for (uint64_t n = 1; rc != 0 && n < 20; n++) {
		mem_fail_at(n);
		rc = dataset_take_classes(&d, model, 3, &first);
		mem_fail_at(0);
		if (rc != 0 && d.classes == 2)
			assert_true(d.split[SPLIT_TEST].label_set[1] == 1 && strcmp(d.class_name[0], "good") == 0);
	}
	assert_int_equal(rc, 0);
	dataset_close(&d);
}

static void column__is_read_without_labels(void **state)
{
	struct text_column c;
	size_t bytes;
	int line;

	(void)state;
	put_text("t.csv", "id,text\n1,\" a,\nb \"\n2,\n3,c\n");
	assert_int_equal(text_column_read(&c, at("t.csv"), &(struct text_column_options){0}), 0);
	assert_int_equal(c.n, 3);
	assert_memory_equal(text_column_row(&c, 0, &bytes, &line), "a,\nb", 4);
	assert_int_equal(bytes, 4);
	text_column_row(&c, 1, &bytes, &line);
	assert_int_equal(bytes, 0);
	text_column_row(&c, 2, &bytes, &line);
	assert_int_equal(line, 5);
	text_column_clear(&c);
	put_text("t.jsonl", "{\"words\": \"x y\", \"label\": [1.5]}\n{\"words\": \"z\"}\n");
	assert_int_equal(text_column_read(&c, at("t.jsonl"), &(struct text_column_options){.column = "words"}), 0);
	assert_int_equal(c.n, 2);
	assert_memory_equal(text_column_row(&c, 0, &bytes, &line), "x y", 3);
	text_column_clear(&c);
	assert_int_equal(
	    text_column_read(&c, at("t.jsonl"), &(struct text_column_options){.column = "wrods"}), ERR_DATA);
	assert_non_null(strstr(err_message(), "t.jsonl:1: no column 'wrods'; there are: words, label"));
	assert_true(text_column_has_suffix("a/b.tsv") && !text_column_has_suffix("b.txt"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(all__are_in_the_test_split_in_their_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(all__may_be_of_one_class, setup, teardown),
	    cmocka_unit_test_setup_teardown(all__need_no_other_split, setup, teardown),
	    cmocka_unit_test_setup_teardown(classes__are_matched_in_a_hidden_split_too, setup, teardown),
	    cmocka_unit_test_setup_teardown(all__images_of_class_folders_are_for_testing, setup, teardown),
	    cmocka_unit_test_setup_teardown(classes__are_matched_by_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(classes__of_label_sets_are_matched_by_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		classes__that_the_model_lacks_are_refused_with_their_place, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		numbers__from_1_to_as_many_as_there_are_classes_are_positions_from_1, setup, teardown),
	    cmocka_unit_test_setup_teardown(numbers__are_positions_only_of_as_many_classes, setup, teardown),
	    cmocka_unit_test_setup_teardown(taking_classes__without_memory_changes_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(column__is_read_without_labels, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
