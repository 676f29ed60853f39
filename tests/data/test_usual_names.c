/* Tables and folders of texts whose options are found by usual names. */
#include "data/texts_fixture.h"

static void csv__other_usual_names_are_taken_and_said(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "Review,id,Sentiment\na1,1,A\na2,2,A\na3,3,A\nb1,4,B\nb2,5,B\nb3,6,B\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	has_class(&d, "a1", "A", "t.csv:2");
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "t.csv (text: Review, label: Sentiment)");
	dataset_close(&d);
	/* What is called text itself comes first, and needs no saying. */
	put_text("t.csv", "review,text,category,label\nx,a1,1,A\nx,a2,2,A\nx,a3,3,A\nx,b1,4,B\nx,b2,5,B\nx,b3,6,B\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	has_class(&d, "a1", "A", "t.csv:2");
	assert_int_equal(d.notes.of[NOTE_FOUND].n, 0);
	dataset_close(&d);
	put_text("t.jsonl",
	    "{\"review\": \"a1\", \"target\": \"A\"}\n{\"review\": \"a2\", \"target\": \"A\"}\n{\"review\": "
	    "\"a3\", \"target\": \"A\"}\n{\"review\": \"b1\", \"target\": \"B\"}\n{\"review\": \"b2\", "
	    "\"target\": \"B\"}\n{\"review\": \"b3\", \"target\": \"B\"}\n");
	d = must_open("{source: jsonl, path: DIR/t.jsonl}", true);
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "t.jsonl (text: review, label: target)");
	dataset_close(&d);
}

static void csv__a_column_may_name_the_splits(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv",
	    "text,label,split\na1,A,train\na2,A,Training\na3,A,dev\na4,A,test\nb1,B,train\nb2,B,\nb3,B,valid\n"
	    "b4,B,test\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_int_equal(d.n[SPLIT_VAL], 2);
	assert_int_equal(d.n[SPLIT_TEST], 2);
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "t.csv (split: split)");
	dataset_close(&d);
	/* Other words: the column means something else. */
	put_text("t.csv", "text,label,set\na1,A,x\na2,A,1\na3,A,y\nb1,B,x\nb2,B,x\nb3,B,x\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_int_equal(d.notes.of[NOTE_FOUND].n, 0);
	assert_int_equal(d.notes.of[NOTE_SPLIT].n, 0);
	dataset_close(&d);
	/* One of several columns that are called like that. */
	put_text("t.csv", "text,label,fold,set\na1,A,0,train\na2,A,1,train\na3,A,0,dev\na4,A,1,test\nb1,B,0,train\n"
			  "b2,B,1,train\nb3,B,0,dev\nb4,B,1,test\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_int_equal(d.n[SPLIT_TEST], 2);
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "t.csv (split: set)");
	dataset_close(&d);
	put_text("t.csv", "text,label,subset,set\na1,A,train,train\nb1,B,test,val\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA,
	    "t.csv:1: which column names the splits? 'subset' and 'set' both do");
}

/* Splits that the data name, but not as they are read, would otherwise be cut anew. */
static void splits__that_are_not_taken_are_refused_or_said(void **state)
{
	static const char *const names[] = {"split", "set", "Partition"};
	struct dataset d;

	(void)state;
	for (int i = 0; i < 3; i++) {
		char text[256], want[128];

		snprintf(text, sizeof(text),
		    "text,label,%s\na1,A,train\na2,A,holdout\na3,A,test\nb1,B,train\nb2,B,holdout\nb3,B,\n", names[i]);
		snprintf(want, sizeof(want),
		    "t.csv:3: the column '%s' names splits in 3 rows, and 'holdout' here, which is not train",
		    names[i]);
		put_text("t.csv", text);
		must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, want);
		must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "; split_column: \"\" passes it over");
		d = must_open("{source: csv, path: DIR/t.csv, split_column: ''}", true);
		assert_int_equal(d.n[SPLIT_TRAIN] + d.n[SPLIT_VAL] + d.n[SPLIT_TEST], 6);
		dataset_close(&d);
	}
	/* A column that is called split, and names none at all. */
	put_text("t.csv", "text,label,split\na1,A,x\na2,A,y\na3,A,\nb1,B,x\nb2,B,y\nb3,B,\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_string_equal(d.notes.of[NOTE_SPLIT].name[0], "t.csv: split, 4 of 6 rows, the first in line 2: 'x'");
	dataset_close(&d);
	put_text("t.jsonl", "{\"text\": \"a1\", \"label\": 0, \"split\": \"train\"}\n{\"text\": \"a2\", \"label\": 0}\n"
			    "{\"text\": \"a3\", \"label\": 0}\n{\"text\": \"b1\", \"label\": 1}\n"
			    "{\"text\": \"b2\", \"label\": 1}\n{\"text\": \"b3\", \"label\": 1}\n");
	d = must_open("{source: jsonl, path: DIR/t.jsonl}", true);
	assert_string_equal(d.notes.of[NOTE_FIELD].name[0], "t.jsonl:1: field split");
	dataset_close(&d);
}

static void splits__are_those_of_the_column_that_is_named(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,label,subset,use\na1,A,train,train\na2,A,train,dev\na3,A,test,train\na4,A,test,test\n"
			  "b1,B,train,train\nb2,B,train,dev\nb3,B,test,train\nb4,B,test,test\n");
	d = must_open("{source: csv, path: DIR/t.csv, split_column: use}", true);
	assert_int_equal(d.n[SPLIT_VAL], 2);
	assert_int_equal(d.n[SPLIT_TEST], 2);
	dataset_close(&d);
	must_fail("{source: csv, path: DIR/t.csv, split_column: uses}", ERR_DATA,
	    "t.csv:1: split_column: there is no column 'uses'; there are: text, label, subset, use");
	put_text("t.csv", "text,label,use\na1,A,train\na2,A,later\n");
	must_fail("{source: csv, path: DIR/t.csv, split_column: use}", ERR_DATA, "t.csv:3: split 'later' is not train");
	put_text("cut/train.csv", "text,label\n" SIX);
	put_text("cut/test.csv", "text,label\nt1,A\nt2,B\n");
	must_fail("{source: csv, path: DIR/cut, split_column: use}", ERR_CONFIG,
	    "data.split_column has no effect: files are named for the splits");
}

#define FOLDED "{source: csv, path: DIR/t.csv, fold_column: fold, folds: 3, fold: "

/* Rows of three folds, numbered from `first`; the text says which. */
static void put_folds(int first)
{
	char text[2048] = "text,label,fold\n";

	for (int i = 0; i < 24; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d of %d,%c,%d\n", i, i / 2 % 3,
		    i % 2 ? 'A' : 'B', i / 2 % 3 + first);
	put_text("t.csv", text);
}

static void folds__may_be_those_of_a_column(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		put_folds(first);
		for (int fold = 0; fold < 3; fold++) {
			char yaml[128];

			snprintf(yaml, sizeof(yaml), FOLDED "%d}", fold);
			struct dataset d = must_open(yaml, true);
			assert_int_equal(d.n[SPLIT_TEST], 8);
			assert_true(d.n[SPLIT_VAL] >= 2);
			for (int64_t i = 0; i < 8; i++) {
				struct sample_view v;

				assert_int_equal(dataset_sample(&d, SPLIT_TEST, i, &v), 0);
				assert_int_equal(v.text[v.bytes - 1] - '0', fold);
			}
			assert_int_equal(d.notes.of[NOTE_FOUND].n, first);
			dataset_close(&d);
		}
	}
}

static void folds__of_a_column_must_be_those_that_are_asked_for(void **state)
{
	(void)state;
	put_folds(0);
	must_fail("{source: csv, path: DIR/t.csv, fold_column: fold, folds: 4}", ERR_DATA,
	    "t.csv: the column 'fold' has no fold 3; with 4 folds, and 0 as the first, they are 0 to 3");
	must_fail("{source: csv, path: DIR/t.csv, fold_column: fold, folds: 2}", ERR_DATA,
	    "t.csv: the column 'fold' has fold 2; with 2 folds, and 0 as the first, they are 0 to 1");
	must_fail("{source: csv, path: DIR/t.csv, fold_column: part, folds: 3}", ERR_DATA,
	    "t.csv:1: fold_column: there is no column 'part'; there are: text, label, fold");
	put_text("t.csv", "text,label,fold\na1,A,0\na2,A,1\na3,A,x\n");
	must_fail("{source: csv, path: DIR/t.csv, fold_column: fold, folds: 2}", ERR_DATA,
	    "t.csv:4: fold 'x' is not the number of one of 2 folds, from 0 or from 1");
	put_text("t.csv", "text,label,fold\na1,A,0\na2,A,1\na3,A,99999999999999999999\n");
	must_fail("{source: csv, path: DIR/t.csv, fold_column: fold, folds: 2}", ERR_DATA, "t.csv:4: fold '9999");
	put_text("cut/train.csv", "text,label,fold\na1,A,0\nb1,B,1\n");
	put_text("cut/val.csv", "text,label,fold\na1,A,0\nb1,B,1\n");
	must_fail("{source: csv, path: DIR/cut, fold_column: fold, folds: 2}", ERR_CONFIG,
	    "data.fold_column has no effect: files are named for the splits");
}

/* Folds that everyone else uses are not passed over without a word. */
static void folds__of_a_column_that_no_option_names_are_said(void **state)
{
	struct dataset d;

	(void)state;
	put_folds(1);
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_int_equal(d.notes.of[NOTE_FOLD].n, 1);
	assert_string_equal(d.notes.of[NOTE_FOLD].name[0], "t.csv: fold");
	dataset_close(&d);
	d = must_open("{source: csv, path: DIR/t.csv, folds: 3}", true);
	assert_int_equal(d.notes.of[NOTE_FOLD].n, 1);
	dataset_close(&d);
}

/* A table that has both: folds are what is asked for, and the splits are not passed over without a word. */
static void folds__of_a_column_stand_above_splits_of_one(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv",
	    "text,label,subset,fold\na1,A,test,0\na2,A,train,1\na3,A,train,0\na4,A,train,1\nb1,B,test,0\nb2,B,train,1\n"
	    "b3,B,train,0\nb4,B,train,1\n");
	d = must_open("{source: csv, path: DIR/t.csv, fold_column: fold, folds: 2}", true);
	assert_int_equal(d.n[SPLIT_TEST], 4);
	assert_int_equal(d.notes.of[NOTE_FOUND].n, 1);
	assert_string_equal(
	    d.notes.of[NOTE_FOUND].name[0], "t.csv (splits of column subset passed over for data.fold_column)");
	dataset_close(&d);
	d = must_open("{source: csv, path: DIR/t.csv, fold_column: fold, folds: 2, split_column: ''}", true);
	assert_int_equal(d.notes.of[NOTE_FOUND].n, 0);
	dataset_close(&d);

	const char *key;
	struct data_options o = options("{source: csv, path: x, fold_column: fold, folds: 2, split_column: subset}");
	assert_int_equal(data_options_check(&o, &key), ERR_CONFIG);
	assert_string_equal(key, "split_column");
	option_clear(data_option_table, &o);
}

/* What would cut off a split that is there already would be ignored, and that is an error. */
static void splits__that_the_data_name_are_cut_by_no_option(void **state)
{
	static const char *const rows = "text,label,split\na1,A,train\na2,A,train\na3,A,dev\na4,A,test\nb1,B,train\nb2,"
					"B,train\nb3,B,dev\nb4,B,test\n";
	struct dataset d;

	(void)state;
	put_text("t.csv", rows);
	must_fail("{source: csv, path: DIR/t.csv, test_fraction: 0.3}", ERR_CONFIG,
	    "data.test_fraction has no effect: the data name a test split");
	must_fail("{source: csv, path: DIR/t.csv, folds: 2}", ERR_CONFIG,
	    "data.folds has no effect: the data name a test split");
	must_fail("{source: csv, path: DIR/t.csv, val_fraction: 0.3}", ERR_CONFIG,
	    "data.val_fraction has no effect: the data name a validation split");
	d = must_open("{source: csv, path: DIR/t.csv, val_fraction: 0.1, test_fraction: 0.2}", true);
	dataset_close(&d);
	put_text("cut/train.csv", "text,label\n" SIX);
	put_text("cut/test.csv", "text,label\nt1,A\nt2,B\n");
	must_fail("{source: csv, path: DIR/cut, folds: 3}", ERR_CONFIG,
	    "data.folds has no effect: the data name a test split");
	d = must_open("{source: csv, path: DIR/cut, val_fraction: 0.4}", true);
	assert_int_equal(d.n[SPLIT_TEST], 2);
	dataset_close(&d);
}

static void files__called_like_splits_are_found(void **state)
{
	struct dataset d;

	(void)state;
	put_text("set/train.csv", "text,label\n" SIX);
	put_text("set/Dev.tsv", "text\tlabel\nv1\tA\nv2\tB\n");
	put_text("set/test.txt", "nothing\n");
	d = must_open("{source: csv, path: DIR/set}", true);
	assert_int_equal(d.n[SPLIT_VAL], 2);
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "files of splits (train.csv, Dev.tsv)");
	dataset_close(&d);
	put_text("set/validation.csv", "text,label\n" SIX);
	must_fail("{source: csv, path: DIR/set}", ERR_DATA, "Dev.tsv and validation.csv may both be for data.val");
	must_fail("{source: jsonl, path: DIR/set}", ERR_DATA, "is a folder; data.train names the file in it");
}

static void classes__may_be_numbered_from_1(void **state)
{
	static const char from_one[] = "{source: csv, path: DIR/t.csv, classes: [negative, positive]}";
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,label\na1,2\na2,2\na3,2\nb1,1\nb2,1\nb3,1\n");
	d = must_open(from_one, true);
	has_class(&d, "a1", "positive", "t.csv:2");
	has_class(&d, "b1", "negative", "t.csv:5");
	assert_string_equal(
	    d.notes.of[NOTE_FOUND].name[0], "labels from 1 to 2, which are data.classes in their order");
	dataset_close(&d);
	put_text("t.csv", "text,label\na1,2\na2,2\na3,0\nb1,1\nb2,1\nb3,1\n");
	must_fail(from_one, ERR_DATA,
	    "t.csv:2: label '2' is none of data.classes: negative, positive, nor one of their "
	    "numbers from 0");
	/* Neither does a single number among names count from 1, nor one that is too large. */
	put_text("t.csv", "text,label\na1,2\na2,2\na3,3\nb1,1\nb2,1\nb3,1\n");
	must_fail(from_one, ERR_DATA, "t.csv:2: label '2' is none of data.classes");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(csv__other_usual_names_are_taken_and_said),
	    TEST(csv__a_column_may_name_the_splits),
	    TEST(splits__that_are_not_taken_are_refused_or_said),
	    TEST(splits__are_those_of_the_column_that_is_named),
	    TEST(folds__may_be_those_of_a_column),
	    TEST(folds__of_a_column_must_be_those_that_are_asked_for),
	    TEST(folds__of_a_column_that_no_option_names_are_said),
	    TEST(folds__of_a_column_stand_above_splits_of_one),
	    TEST(splits__that_the_data_name_are_cut_by_no_option),
	    TEST(files__called_like_splits_are_found),
	    TEST(classes__may_be_numbered_from_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
