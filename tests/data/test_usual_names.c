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

/* Splits that the data name, but not as they are read, would otherwise be cut anew without a word. */
static void splits__that_are_not_taken_are_said(void **state)
{
	static const char *const names[] = {"split", "set", "Partition"};
	struct dataset d;

	(void)state;
	for (int i = 0; i < 3; i++) {
		char text[256], want[128];

		snprintf(text, sizeof(text),
		    "text,label,%s\na1,A,train\na2,A,holdout\na3,A,test\nb1,B,train\nb2,B,holdout\nb3,B,\n", names[i]);
		snprintf(want, sizeof(want), "t.csv: %s, 2 of 6 rows, the first in line 3: 'holdout'", names[i]);
		put_text("t.csv", text);
		d = must_open("{source: csv, path: DIR/t.csv}", true);
		assert_int_equal(d.notes.of[NOTE_SPLIT].n, 1);
		assert_string_equal(d.notes.of[NOTE_SPLIT].name[0], want);
		dataset_close(&d);
	}
	put_text("t.jsonl", "{\"text\": \"a1\", \"label\": 0, \"split\": \"train\"}\n{\"text\": \"a2\", \"label\": 0}\n"
			    "{\"text\": \"a3\", \"label\": 0}\n{\"text\": \"b1\", \"label\": 1}\n"
			    "{\"text\": \"b2\", \"label\": 1}\n{\"text\": \"b3\", \"label\": 1}\n");
	d = must_open("{source: jsonl, path: DIR/t.jsonl}", true);
	assert_string_equal(d.notes.of[NOTE_FIELD].name[0], "t.jsonl:1: field split");
	dataset_close(&d);
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
	    TEST(splits__that_are_not_taken_are_said),
	    TEST(splits__that_the_data_name_are_cut_by_no_option),
	    TEST(files__called_like_splits_are_found),
	    TEST(classes__may_be_numbered_from_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
