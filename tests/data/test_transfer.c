/* Transfer texts: what is read, what is left out and counted, and how they lie beside the training samples. */
#include "data/fixture.h"

#include "data/transfer.h"

/* 6 rows for training, 2 for validation, 2 for testing. */
static struct dataset open_data(bool several)
{
	const char *const yaml[] = {"{source: csv, path: DIR, train: train.csv, val: val.csv, test: test.csv}",
	    "{source: csv, path: DIR, train: train.csv, val: val.csv, test: test.csv, labels: [a, b]}"};
	struct dataset d;
	put_text("train.csv", "text,label,a,b\none,x,0,1\ntwo,y,1,1\nthree,x,0,0\nfour,y,1,0\nfive,x,0,1\nsix,y,1,0\n");
	put_text("val.csv", "text,label,a,b\nseven,x,0,1\neight,y,1,0\n");
	put_text("test.csv", "text,label,a,b\nnine,x,0,1\nten ten,y,1,0\n");
	struct data_options o = options(yaml[several]);
	assert_int_equal(dataset_open(&d, &o, ".", 1, false), 0);
	option_clear(data_option_table, &o);
	return d;
}

/* files: names below the test's folder, NULL at the end. */
static int read_files(
    struct transfer *t, const struct dataset *d, const char *const *files, const char *column, const char *like)
{
	struct data_options o = options(like);
	char *name[8], text[64] = "";
	struct transfer_options to = {.files = {.v = name}, .column = column ? text : NULL};
	if (column)
		snprintf(text, sizeof(text), "%s", column);
	for (; files[to.files.n]; to.files.n++)
		name[to.files.n] = mem_strdup(at(files[to.files.n]));
	int rc = transfer_read(t, &to, &o, ".", d);
	for (int i = 0; i < to.files.n; i++)
		mem_free(name[i]);
	option_clear(data_option_table, &o);
	return rc;
}

#define FILES(...)                                                                                                     \
	(const char *const[])                                                                                          \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}

static void texts_are(const struct transfer *t, const char *const *want)
{
	int64_t n = 0;
	for (; want[n]; n++) {
		assert_true(n < t->n);
		assert_string_equal(t->text + t->start[n], want[n]);
		assert_int_equal(t->start[n + 1] - t->start[n], strlen(want[n]) + 1);
	}
	assert_int_equal(t->n, n);
}

static void transfer__texts_of_all_forms_are_read_in_order(void **state)
{
	struct dataset d = open_data(false);
	struct transfer t;
	(void)state;
	put_text("a.txt", "\xef\xbb\xbf  a line, with a comma \r\n\nan \"odd\" quote\n");
	put_text("b.csv", "id,text\n1,\"of a, table\"\n2,\n");
	put_text("c.tsv", "text\tid\nof tabs\t1\n");
	put_text("d.jsonl", "{\"text\": \"of JSON\", \"label\": 3}\n");
	assert_int_equal(read_files(&t, &d, FILES("a.txt", "b.csv", "c.tsv", "d.jsonl"), NULL, "{source: csv}"), 0);
	texts_are(&t, FILES("a line, with a comma", "an \"odd\" quote", "of a, table", "of tabs", "of JSON"));
	assert_int_equal(t.rows, 7);
	assert_int_equal(t.empty, 2);
	transfer_clear(&t);
	put_text("f.csv", "text,comment\na,b\n");
	assert_int_equal(read_files(&t, &d, FILES("f.csv"), NULL, "{source: csv}"), ERR_DATA);
	assert_non_null(
	    strstr(err_message(), "f.csv:1: which column is the text? name it by the option transfer_text; there are"));
	put_text("e.csv", "id;words\n1;it's \"so\n");
	assert_int_equal(
	    read_files(&t, &d, FILES("e.csv"), "words", "{source: csv, delimiter: \";\", quotes: none}"), 0);
	texts_are(&t, FILES("it's \"so"));
	transfer_clear(&t);
	assert_int_equal(
	    read_files(&t, &d, FILES("e.csv"), NULL, "{source: csv, delimiter: \";\", quotes: none, text: words}"), 0);
	transfer_clear(&t);
	dataset_close(&d);
}

/* Of the test split nobody knows the texts yet; they are found all the same. */
static void transfer__texts_of_the_splits_are_left_out_and_counted(void **state)
{
	struct dataset d = open_data(false);
	struct transfer t;
	char words[320];
	(void)state;
	put_text("t.txt", "new\nnine\n one\nnew\nten ten \nother\neight\nsix\n\nnew\nten  ten\n");
	assert_false(dataset_has(&d, SPLIT_TEST));
	assert_int_equal(read_files(&t, &d, FILES("t.txt"), NULL, "{source: csv}"), 0);
	texts_are(&t, FILES("new", "other", "ten  ten"));
	assert_int_equal(t.rows, 11);
	assert_int_equal(t.in_split[SPLIT_TEST], 2);
	assert_int_equal(t.in_split[SPLIT_VAL], 1);
	assert_int_equal(t.in_split[SPLIT_TRAIN], 2);
	assert_int_equal(t.repeated, 2);
	assert_int_equal(t.empty, 1);
	transfer_words(&t, words, sizeof(words));
	assert_string_equal(
	    words, "3 of 11 transfer texts; left out: 2 test, 1 validation, 2 training, 2 repeated, 1 empty");
	transfer_clear(&t);
	put_text("t.txt", "nine\nten ten\n");
	assert_int_equal(read_files(&t, &d, FILES("t.txt"), NULL, "{source: csv}"), ERR_DATA);
	assert_non_null(strstr(err_message(), "transfer: no text is left: 0 of 2 transfer texts; left out: 2 test"));
	dataset_close(&d);
}

static void transfer__hash_is_of_what_is_taken(void **state)
{
	struct dataset d = open_data(false);
	struct transfer a, b;
	(void)state;
	put_text("a.txt", "p\nq\n");
	put_text("b.txt", "p\nnine\np\n\nq\n");
	put_text("c.txt", "q\np\n");
	assert_int_equal(read_files(&a, &d, FILES("a.txt"), NULL, "{source: csv}"), 0);
	assert_int_equal(read_files(&b, &d, FILES("b.txt"), NULL, "{source: csv}"), 0);
	assert_string_equal(a.hash, b.hash);
	transfer_clear(&b);
	assert_int_equal(read_files(&b, &d, FILES("c.txt"), NULL, "{source: csv}"), 0);
	assert_string_not_equal(a.hash, b.hash);
	transfer_clear(&a);
	transfer_clear(&b);
	dataset_close(&d);
}

static void transfer__many_texts_are_taken(void **state)
{
	enum { MANY = 5000 };
	static char text[MANY * 16];
	struct dataset d = open_data(false);
	struct transfer t;
	size_t at_end = 0;
	(void)state;
	for (int i = 0; i < MANY; i++)
		at_end += (size_t)snprintf(text + at_end, sizeof(text) - at_end, "text %d\n", i % (MANY - 1000));
	put_text("t.txt", text);
	assert_int_equal(read_files(&t, &d, FILES("t.txt"), NULL, "{source: csv}"), 0);
	assert_int_equal(t.n, MANY - 1000);
	assert_int_equal(t.repeated, 1000);
	for (int i = 0; i < t.n; i++) {
		char want[32];
		uint64_t print;
		snprintf(want, sizeof(want), "text %d", i);
		assert_string_equal(t.text + t.start[i], want);
		assert_int_equal(print_bytes(want, strlen(want), &print), 0);
		assert_true(print == t.print[i]);
	}
	transfer_clear(&t);
	dataset_close(&d);
}

static void transfer__lies_behind_the_training_samples(void **state)
{
	(void)state;
	put_text("t.txt", "new\nother\n");
	for (int several = 0; several < 2; several++) {
		struct dataset d = open_data(several), joined;
		struct transfer t;
		assert_int_equal(read_files(&t, &d, FILES("t.txt"), NULL, "{source: csv}"), 0);
		assert_int_equal(dataset_join_transfer(&joined, &d, &t), 0);
		assert_int_equal(joined.n[SPLIT_TRAIN], 8);
		assert_int_equal(joined.n[SPLIT_VAL], 2);
		for (int64_t i = 0; i < 8; i++) {
			struct sample_view v, own;
			uint64_t print;
			assert_int_equal(dataset_sample(&joined, SPLIT_TRAIN, i, &v), 0);
			assert_int_equal(print_sample(&v, &print), 0);
			assert_true(print == joined.split[SPLIT_TRAIN].print[i]);
			if (i < 6) {
				assert_int_equal(dataset_sample(&d, SPLIT_TRAIN, i, &own), 0);
				assert_string_equal(v.text, own.text);
			} else {
				assert_string_equal(v.text, i == 6 ? "new" : "other");
			}
			for (int c = 0; several && c < 2; c++)
				assert_int_equal(joined.split[SPLIT_TRAIN].label_set[2 * i + c],
				    i < 6 ? d.split[SPLIT_TRAIN].label_set[2 * i + c] : LABEL_SET_NONE);
			if (!several)
				assert_int_equal(joined.split[SPLIT_TRAIN].label[i],
				    i < 6 ? d.split[SPLIT_TRAIN].label[i] : LABEL_NONE);
		}
		dataset_leave_transfer(&joined);
		transfer_clear(&t);
		dataset_close(&d);
	}
}

static void refused(const struct dataset *d, const char *file, const char *column, const char *why)
{
	struct transfer t;
	assert_int_equal(read_files(&t, d, FILES(file), column, "{source: csv}"), ERR_DATA);
	if (!strstr(err_message(), why))
		fail_msg("'%s' is not in '%s'", why, err_message());
	assert_null(t.text);
}

static void transfer__bad_files_are_named(void **state)
{
	struct dataset d = open_data(false);
	(void)state;
	put("nul.txt", "a\nb\0c\n", 6);
	put_text("bytes.txt", "a\nb \xff\n");
	put_text("t.csv", "id,words\n1,a\n");
	put_text("open.csv", "text\n\"a\n");
	put_text("t.jsonl", "{\"text\": \"a\"}\n{\"text\": 1}\n");
	put_text("none.txt", "");
	assert_int_equal(fs_mkdirs(at("folder.txt")), 0);
	refused(&d, "nul.txt", NULL, "nul.txt:2:2: a NUL byte");
	refused(&d, "bytes.txt", NULL, "bytes.txt:2:3: byte 0xff is not UTF-8");
	refused(&d, "t.csv", NULL, "t.csv:1: which column is the text?");
	refused(&d, "t.csv", "wrods", "t.csv:1: no column 'wrods'");
	refused(&d, "open.csv", NULL, "open.csv:2");
	refused(&d, "t.jsonl", NULL, "t.jsonl:2: 'text' is not a string");
	refused(&d, "none.txt", NULL, "transfer: no text is left");
	refused(&d, "absent.txt", NULL, "no such file or folder");
	refused(&d, "folder.txt", NULL, "is a folder, not a file");
	dataset_close(&d);
}

static void transfer__goes_with_texts_alone(void **state)
{
	struct data_options o = options("{source: digits}");
	struct dataset d;
	struct transfer t;
	(void)state;
	put_text("t.txt", "new\n");
	assert_int_equal(dataset_open(&d, &o, ".", 1, false), 0);
	assert_int_equal(read_files(&t, &d, FILES("t.txt"), NULL, "{source: digits}"), ERR_CONFIG);
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

static void transfer__running_out_of_memory_is_an_error(void **state)
{
	struct dataset d = open_data(true);
	struct data_options o = options("{source: csv}");
	char name[1024], *names[] = {name};
	const struct transfer_options to = {.files = {.v = names, .n = 1}};
	bool reached = true;
	(void)state;
	put_text("t.txt", "new\nother\nnew\n");
	snprintf(name, sizeof(name), "%s", at("t.txt"));
	for (uint64_t n = 1; reached; n++) {
		struct transfer t;
		struct dataset joined = {0};
		mem_fail_at(n);
		int rc = transfer_read(&t, &to, &o, ".", &d);
		if (!rc)
			rc = dataset_join_transfer(&joined, &d, &t);
		reached = mem_count() >= n;
		mem_fail_at(0);
		dataset_leave_transfer(&joined);
		transfer_clear(&t);
		assert_int_equal(rc, reached ? ERR_NOMEM : 0);
	}
	option_clear(data_option_table, &o);
	dataset_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(transfer__texts_of_all_forms_are_read_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(transfer__texts_of_the_splits_are_left_out_and_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(transfer__hash_is_of_what_is_taken, setup, teardown),
	    cmocka_unit_test_setup_teardown(transfer__many_texts_are_taken, setup, teardown),
	    cmocka_unit_test_setup_teardown(transfer__lies_behind_the_training_samples, setup, teardown),
	    cmocka_unit_test_setup_teardown(transfer__bad_files_are_named, setup, teardown),
	    cmocka_unit_test_setup_teardown(transfer__goes_with_texts_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(transfer__running_out_of_memory_is_an_error, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
