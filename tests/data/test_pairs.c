/* Pairs of texts: which columns they are, what is refused, and that a pair is its two texts wherever samples are told
 * apart. */
#include "data/text_column.h"
#include "data/texts_fixture.h"
#include "data/transfer.h"

#define ROWS "a1,a2,A\nb1,b2,A\nc1,c2,A\nd1,d2,B\ne1,e2,B\nf1,f2,B\n"

/* Sample i of the training split must be there, whichever it is. */
static struct sample_view any(const struct dataset *d)
{
	struct sample_view v;

	assert_int_equal(dataset_sample(d, SPLIT_TRAIN, 0, &v), 0);
	return v;
}

static void is_pair(const struct dataset *d, const char *said)
{
	const struct sample_view v = any(d);

	assert_true(d->pairs);
	assert_non_null(v.pair);
	assert_int_equal(v.bytes, 2);
	assert_int_equal(v.pair_bytes, 2);
	assert_int_equal(v.text[0], v.pair[0]);
	assert_int_equal(v.text[1], '1');
	assert_string_equal(v.pair + 1, "2");
	if (said)
		assert_string_equal(d->notes.of[NOTE_FOUND].name[0], said);
	else
		assert_int_equal(d->notes.of[NOTE_FOUND].n, 0);
}

static void pairs__are_columns_that_belong_together(void **state)
{
	static const char *const header[][2] = {{"sentence1", "sentence2"}, {"Premise", "Hypothesis"},
	    {"question1", "question2"}, {"question", "sentence"}, {"text-a", "text_b"}, {"sentence_A", "sentence_B"},
	    {"text1", "text2"}, {"query", "passage"}};

	(void)state;
	for (size_t i = 0; i < sizeof(header) / sizeof(header[0]); i++) {
		char text[256], said[128];
		struct dataset d;

		snprintf(text, sizeof(text), "%s,%s,label\n" ROWS, header[i][0], header[i][1]);
		put_text("t.csv", text);
		snprintf(said, sizeof(said), "t.csv (first text: %s, second text: %s)", header[i][0], header[i][1]);
		d = must_open("{source: csv, path: DIR/t.csv}", true);
		is_pair(&d, said);
		dataset_close(&d);
	}
}

static void pairs__are_columns_that_options_name(void **state)
{
	static const struct {
		const char *yaml, *said;
	} row[] = {{"{source: csv, path: DIR/t.csv, text: x, text_pair: y}", NULL},
	    {"{source: csv, path: DIR/u.csv, text_pair: hypothesis}", "u.csv (first text: premise)"},
	    {"{source: csv, path: DIR/v.csv, text_pair: y}", "v.csv (first text: text)"}};
	struct dataset d;

	(void)state;
	put_text("t.csv", "x,y,label\n" ROWS);
	put_text("u.csv", "premise,hypothesis,label\n" ROWS);
	put_text("v.csv", "text,y,label\n" ROWS);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		d = must_open(row[i].yaml, true);
		is_pair(&d, row[i].said);
		dataset_close(&d);
	}
	/* One column alone is a single text. */
	d = must_open("{source: csv, path: DIR/u.csv, text: premise}", true);
	assert_false(d.pairs);
	assert_null(any(&d).pair);
	dataset_close(&d);
	put_text(
	    "w.csv", "text,sentence1,sentence2,label\nx1,b,c,A\nx2,b,c,A\nx3,b,c,A\ny1,b,c,B\ny2,b,c,B\ny3,b,c,B\n");
	d = must_open("{source: csv, path: DIR/w.csv}", true);
	assert_false(d.pairs);
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "w.csv (text: text)");
	dataset_close(&d);
	/* So it does beside two pairs. */
	put_text("z.csv", "text,text_a,text_b,text1,text2,label\nx1,b,c,d,e,A\nx2,b,c,d,e,A\nx3,b,c,d,e,A\n"
			  "y1,b,c,d,e,B\ny2,b,c,d,e,B\ny3,b,c,d,e,B\n");
	d = must_open("{source: csv, path: DIR/z.csv}", true);
	assert_false(d.pairs);
	assert_string_equal(any(&d).text, "x1");
	dataset_close(&d);
}

static void pairs__are_fields_of_json_lines(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.jsonl", "{\"premise\": \" a1 \", \"hypothesis\": \"a2\\n\", \"label\": 0}\n"
			    "{\"premise\": \"b1\", \"hypothesis\": \"b2\", \"label\": 0}\n"
			    "{\"premise\": \"c1\", \"label\": 0, \"hypothesis\": \"c2\"}\n"
			    "{\"premise\": \"d1\", \"hypothesis\": \"d2\", \"label\": 1}\n"
			    "{\"premise\": \"e1\", \"hypothesis\": \"e2\", \"label\": 1}\n"
			    "{\"premise\": \"f1\", \"hypothesis\": \"f2\", \"label\": 1}\n");
	d = must_open("{source: jsonl, path: DIR/t.jsonl}", true);
	is_pair(&d, "t.jsonl (first text: premise, second text: hypothesis)");
	assert_int_equal(d.distinct_texts, 6);
	dataset_close(&d);
}

static void refused(const char *yaml_text, const char *part)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	assert_int_equal(dataset_open(&d, &o, NULL, 1, true), ERR_DATA);
	if (!strstr(err_message(), part))
		fail_msg("'%s' instead of '%s'", err_message(), part);
	option_clear(data_option_table, &o);
}

static void pairs__that_are_none_are_refused(void **state)
{
	(void)state;
	put_text("t.csv", "x,y,label\na,b,A\nc, ,A\n");
	refused("{source: csv, path: DIR/t.csv, text: x, text_pair: y}", "t.csv:3: the second text is empty");
	refused("{source: csv, path: DIR/t.csv, text: y, text_pair: x}", "t.csv:3: the first text is empty");
	refused("{source: csv, path: DIR/t.csv, text: x, text_pair: x}", "text and text_pair are both 'x'");
	refused("{source: csv, path: DIR/t.csv, text: x, text_pair: label}", "text_pair and label are both 'label'");
	refused("{source: csv, path: DIR/t.csv, text: x, text_pair: z}", "no column 'z'; there are: x, y, label");
	refused("{source: csv, path: DIR/t.csv, text_pair: y}", "which column is the text?");
	put_text("t.csv", "premise,x,label\na,b,A\n"); /* one of two is none */
	refused("{source: csv, path: DIR/t.csv}", "which column is the text?");
	put_text("t.csv", "sentence1,sentence2,premise,hypothesis,label\na,b,c,d,A\n");
	refused("{source: csv, path: DIR/t.csv}", "which columns are the two texts?");
	put_text("t.csv", "premise,hypothesis,question,sentence,label\na,b,c,d,A\n");
	refused("{source: csv, path: DIR/t.csv}", "which columns are the two texts?");
	put_text("t.csv", "Sentence 1,sentence1,sentence2,label\na,b,c,A\n"); /* two that could be the first */
	refused("{source: csv, path: DIR/t.csv}", "which columns are the two texts?");
	refused("{source: csv, path: DIR/t.csv, text_pair: sentence2}", "which column is the text?");
	put_text("t.jsonl",
	    "{\"premise\": \"a\", \"hypothesis\": \"b\", \"label\": 0}\n{\"premise\": \"a\", \"label\": 1}\n");
	refused("{source: jsonl, path: DIR/t.jsonl}", "t.jsonl:2: no field 'hypothesis'");
	put_text("t.jsonl", "{\"premise\": \"a\", \"hypothesis\": 3, \"label\": 0}\n");
	refused("{source: jsonl, path: DIR/t.jsonl}", "t.jsonl:1: 'hypothesis' is not a string");
	put_text("train.csv", "sentence1,sentence2,label\n" ROWS);
	put_text("test.csv", "sentence,label\nx,A\ny,B\n");
	refused("{source: csv, path: DIR, train: train.csv, test: test.csv}",
	    "test.csv: samples are of single texts here, and of pairs in ");
}

/* (ab, c) and (a, bc) are two samples, and none is the text abc. */
static void pairs__are_told_apart_by_where_they_are_divided(void **state)
{
	struct dataset d, e;

	(void)state;
	put_text("t.csv", "sentence1,sentence2,label\nab,c,A\na,bc,A\nab,c,A\nabc,d,A\nc,ab,B\nx,y,B\ny,x,B\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_int_equal(d.distinct_texts, 6);
	assert_int_equal(d.repeated_texts, 1);
	assert_int_equal(d.contradicting_texts, 0);
	put_text("u.csv", "sentence1,sentence2,label\na,bc,A\na,bc,A\nab,c,A\nabc,d,A\nc,ab,B\nx,y,B\ny,x,B\n");
	e = must_open("{source: csv, path: DIR/u.csv}", true);
	assert_string_not_equal(d.hash[SPLIT_TRAIN], e.hash[SPLIT_TRAIN]);
	dataset_close(&d);
	dataset_close(&e);
}

static void pairs__that_repeat_between_splits_are_counted(void **state)
{
	struct dataset d;

	(void)state;
	put_text("train.csv", "sentence1,sentence2,label\n" ROWS);
	put_text("val.csv", "sentence1,sentence2,label\na1,a2,A\nx,y,B\n");
	put_text("test.csv", "sentence1,sentence2,label\nb1,a2,A\nd1,d2,B\n");
	d = must_open("{source: csv, path: DIR, train: train.csv, val: val.csv, test: test.csv}", true);
	assert_int_equal(d.duplicates_train_val, 1);
	assert_int_equal(d.duplicates_train_test, 1);
	dataset_close(&d);
}

static int read_columns(struct text_column *c, const char *file, const char *column, const char *pair_column)
{
	return text_column_read(
	    c, at(file), &(struct text_column_options){.column = column, .pair_column = pair_column, .pairs = true});
}

static void pairs__without_labels_are_lines_or_columns(void **state)
{
	struct text_column c;
	size_t bytes;
	int line;

	(void)state;
	put_text("t.txt", " a 1\ta2 \r\nb\n\tb\n");
	assert_int_equal(read_columns(&c, "t.txt", NULL, NULL), ERR_DATA);
	assert_non_null(strstr(err_message(), "t.txt:2: no tab; a pair is two texts with one tab between them"));
	put_text("t.txt", "a\tb\tc\n");
	assert_int_equal(read_columns(&c, "t.txt", NULL, NULL), ERR_DATA);
	assert_non_null(strstr(err_message(), "t.txt:1: more than one tab"));
	put_text("t.txt", " a 1\ta2 \r\nx\ty\n\tb");
	assert_int_equal(read_columns(&c, "t.txt", NULL, NULL), 0);
	assert_int_equal(c.n, 3);
	assert_memory_equal(text_column_row(&c, 0, &bytes, &line), "a 1\0a2", 6);
	assert_int_equal(bytes, 6);
	assert_memory_equal(text_column_row(&c, 2, &bytes, &line), "\0b", 2);
	assert_int_equal(bytes, 2);
	assert_int_equal(line, 3);
	text_column_clear(&c);
	put_text("t.txt", "\na\tb\n \r\n\t\nc\td\n"); /* as single texts may be empty */
	assert_int_equal(read_columns(&c, "t.txt", NULL, NULL), 0);
	assert_int_equal(c.n, 5);
	for (int i = 0; i < 5; i++) {
		const char *const want[] = {"\0", "a\0b", "\0", "\0", "c\0d"};
		const size_t length[] = {1, 3, 1, 1, 3};

		assert_memory_equal(text_column_row(&c, i, &bytes, &line), want[i], length[i]);
		assert_int_equal(bytes, length[i]);
		assert_int_equal(line, i + 1);
	}
	text_column_clear(&c);
	put_text("t.csv", "x,sentence1,sentence2\n1,\"a\nb\",c\n");
	assert_int_equal(read_columns(&c, "t.csv", NULL, NULL), 0);
	assert_memory_equal(text_column_row(&c, 0, &bytes, &line), "a\nb\0c", 5);
	text_column_clear(&c);
	assert_int_equal(read_columns(&c, "t.csv", "sentence2", "x"), 0);
	assert_memory_equal(text_column_row(&c, 0, &bytes, &line), "c\0001", 3);
	text_column_clear(&c);
	assert_int_equal(read_columns(&c, "t.csv", "x", NULL), ERR_DATA);
	assert_non_null(strstr(err_message(), "pairs of texts are wanted"));
	/* Single texts are wanted: the columns of pairs are no choice. */
	assert_int_equal(text_column_read(&c, at("t.csv"), &(struct text_column_options){0}), ERR_DATA);
	assert_non_null(strstr(err_message(), "which column is the text?"));
}

static void pairs__of_transfer_files_go_with_pairs(void **state)
{
	struct data_options o = options("{source: csv, path: DIR/t.csv}");
	char *file[] = {NULL, NULL};
	struct transfer_options to = {.files = {.v = file, .n = 2}};
	struct transfer t;
	struct dataset d, joined;
	struct sample_view v;
	char words[320];

	(void)state;
	put_text("t.csv", "sentence1,sentence2,label\n" ROWS);
	put_text("more.txt", "a1\ta2\nnew\tpair\n\tempty\n\nnew\tpair\nnewp\tair\n");
	put_text("more.tsv", "sentence1\tsentence2\nb1\tb2\nother\tone\n");
	d = must_open("{source: csv, path: DIR/t.csv}", false);
	file[0] = mem_strdup(at("more.txt"));
	file[1] = mem_strdup(at("more.tsv"));
	assert_int_equal(transfer_read(&t, &to, &o, ".", &d), 0);
	assert_int_equal(t.n, 3);
	assert_int_equal(t.rows, 8);
	assert_int_equal(t.empty, 2);
	assert_int_equal(t.repeated, 1);
	transfer_words(&t, words, sizeof(words));
	assert_non_null(strstr(words, "3 of 8 transfer pairs; left out: "));
	assert_int_equal(t.in_split[SPLIT_TRAIN] + t.in_split[SPLIT_VAL] + t.in_split[SPLIT_TEST], 2);
	assert_int_equal(dataset_join_transfer(&joined, &d, &t), 0);
	assert_int_equal(dataset_sample(&joined, SPLIT_TRAIN, d.n[SPLIT_TRAIN] + 1, &v), 0);
	assert_string_equal(v.text, "newp");
	assert_string_equal(v.pair, "air");
	dataset_leave_transfer(&joined);
	transfer_clear(&t);
	put_text("more.tsv", "x\ty\nb1\tb2\n");
	assert_int_equal(transfer_read(&t, &to, &o, ".", &d), ERR_DATA);
	assert_non_null(
	    strstr(err_message(), "more.tsv:1: pairs of texts are wanted, and one column is not known; name "
				  "them by the options transfer_text and transfer_text_pair; there are: x, y"));
	dataset_close(&d);
	/* Beside single texts a second column would be passed over in silence. */
	put_text("t.csv", "text,label\n" SIX);
	d = must_open("{source: csv, path: DIR/t.csv}", false);
	to.pair_column = file[0];
	assert_int_equal(transfer_read(&t, &to, &o, ".", &d), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "transfer_text_pair has no effect"));
	dataset_close(&d);
	mem_free(file[0]);
	mem_free(file[1]);
	option_clear(data_option_table, &o);
}

static void pairs__survive_each_failing_allocation(void **state)
{
	int rc = ERR_NOMEM;

	(void)state;
	put_text("t.csv", "sentence1,sentence2,label\n" ROWS);
	for (uint64_t i = 1; rc; i++) {
		struct data_options o = options("{source: csv, path: DIR/t.csv}");
		struct dataset d;

		mem_fail_at(i);
		rc = dataset_open(&d, &o, NULL, 1, true);
		mem_fail_at(0);
		if (!rc)
			dataset_close(&d);
		else
			assert_int_equal(rc, ERR_NOMEM);
		option_clear(data_option_table, &o);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(pairs__are_columns_that_belong_together),
	    TEST(pairs__are_columns_that_options_name),
	    TEST(pairs__are_fields_of_json_lines),
	    TEST(pairs__that_are_none_are_refused),
	    TEST(pairs__are_told_apart_by_where_they_are_divided),
	    TEST(pairs__that_repeat_between_splits_are_counted),
	    TEST(pairs__without_labels_are_lines_or_columns),
	    TEST(pairs__of_transfer_files_go_with_pairs),
	    TEST(pairs__survive_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
