/* The sources of texts: what they read, what they make of labels, and what they refuse. */
#include <sys/stat.h>

#include "data/texts_fixture.h"

static void has_set(const struct dataset *d, const char *text, const char *set)
{
	int64_t i = 0;
	int s = find(d, text, &i);

	assert_int_equal(strlen(set), d->classes);
	for (int c = 0; c < d->classes; c++)
		assert_int_equal(d->split[s].label_set[i * d->classes + c], set[c] - '0');
}

static void csv__texts_come_with_class_and_place(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "\xef\xbb\xbf"
			  "id,sentence,label\r\n"
			  "1,\"a \"\"1\"\",\r\n2\", B \r\n"
			  "2, a2\t,A\r\n3,a3,A\r\n4,a4,A\r\n5,\xe0\xa6\x95,B\r\n6,b2,B\r\n\r\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_int_equal(d.kind, SAMPLE_TEXT);
	assert_int_equal(d.target, TARGET_CLASS);
	assert_int_equal(d.classes, 2);
	assert_int_equal(d.rows, 6);
	has_class(&d, "a \"1\",\r\n2", "B", "t.csv:2");
	has_class(&d, "a2", "A", "t.csv:4");
	has_class(&d, "\xe0\xa6\x95", "B", "t.csv:7");
	for (int s = 0; s < SPLIT_COUNT; s++)
		assert_int_equal(d.n[s], 2);
	dataset_close(&d);
}

static void csv__other_delimiters_and_quotes(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.tsv", "text\tlabel\na, \"1\" a\tA\na2\tA\na3\tA\nb1\tB\nb2\tB\nb3\tB\n");
	must_fail("{source: csv, path: DIR/t.tsv}", ERR_DATA,
	    "t.tsv:2:4: a quote inside an unquoted field; quotes: none takes quotes as characters");
	d = must_open("{source: csv, path: DIR/t.tsv, quotes: none}", true);
	has_class(&d, "a, \"1\" a", "A", "t.tsv:2");
	dataset_close(&d);
	put_text("s.csv", "text;label\na,1;A\na2;A\na3;A\nb1;B\nb2;B\nb3;B\n");
	d = must_open("{source: csv, path: DIR/s.csv}", true);
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "s.csv (delimiter: ';')");
	dataset_close(&d);
	d = must_open("{source: csv, path: DIR/s.csv, delimiter: ';'}", true);
	has_class(&d, "a,1", "A", "s.csv:2");
	dataset_close(&d);
	put_text("s.csv", "text;label\na1;A\n");
	must_fail("{source: csv, path: DIR/s.csv, delimiter: ','}", ERR_DATA,
	    "s.csv:1: the header is one column, 'text;label'; is the delimiter ';'?");
	/* Two of them: it is as the name of the file says. */
	put_text("s.csv", "text;a\tlabel\na1;A\n");
	must_fail("{source: csv, path: DIR/s.csv}", ERR_DATA, "the header is one column, ");
	put_text("s.csv", "\"text;\tof, all\"\tlabel\na1\tA\na2\tA\na3\tA\nb1\tB\nb2\tB\nb3\tB\n  \n\n");
	d = must_open("{source: csv, path: DIR/s.csv, text: \"text;\\tof, all\"}", true);
	has_class(&d, "a1", "A", "s.csv:2");
	dataset_close(&d);
	put_text("s.csv", "text,label\n" SIX);
	must_fail("{source: csv, path: DIR/s.csv, delimiter: tab}", ERR_DATA, "is the delimiter ','?");
}

static void classes__are_in_a_known_order(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "text,label\na1,10\na2,10\na3,10\nb1,9\nb2,9\nb3,9\nc1,-1\nc2,-1\nc3,-1\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_string_equal(d.class_name[0], "-1");
	assert_string_equal(d.class_name[1], "9");
	assert_string_equal(d.class_name[2], "10");
	dataset_close(&d);
	put_text("t.csv", "text,label\na1,10\na2,10\na3,10\nb1,9\nb2,9\nb3,9\nc1,x\nc2,x\nc3,x\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_string_equal(d.class_name[0], "10");
	assert_string_equal(d.class_name[2], "x");
	dataset_close(&d);
	/* 01 is no number: by bytes then, where 10 comes before 9. */
	put_text("t.csv", "text,label\na1,01\na2,01\na3,01\nb1,9\nb2,9\nb3,9\nc1,10\nc2,10\nc3,10\n");
	d = must_open("{source: csv, path: DIR/t.csv}", true);
	assert_string_equal(d.class_name[1], "10");
	dataset_close(&d);
	put_text("t.csv", "text,label\na1,1\na2,1\na3,1\nb1,0\nb2,0\nb3,0\n");
	d = must_open("{source: csv, path: DIR/t.csv, classes: [negative, positive]}", true);
	has_class(&d, "a1", "positive", "t.csv:2");
	has_class(&d, "b1", "negative", "t.csv:5");
	dataset_close(&d);
	put_text("t.csv", "text,label\n" SIX);
	d = must_open("{source: csv, path: DIR/t.csv, classes: [B, A]}", true);
	assert_string_equal(d.class_name[0], "B");
	has_class(&d, "a1", "A", "t.csv:2");
	dataset_close(&d);
}

static void classes__unknown_labels_name_the_row_and_what_there_is(void **state)
{
	(void)state;
	put_text("t.csv", "text,label\n" SIX "c,2\n");
	must_fail("{source: csv, path: DIR/t.csv, classes: [A, B]}", ERR_DATA,
	    "t.csv:8: label '2' is none of data.classes: A, B, nor one of their numbers from 0");
	must_fail("{source: csv, path: DIR/t.csv, classes: [A, B, A]}", ERR_CONFIG, "'A' is named twice");
	must_fail("{source: csv, path: DIR/t.csv, classes: [A, B, '']}", ERR_CONFIG, "'' is no name");
	/* A number is no index where a class is called by a number. */
	put_text("t.csv", "text,label\na1,1\na2,1\na3,1\nb1,0\nb2,0\nb3,0\n");
	must_fail("{source: csv, path: DIR/t.csv, classes: ['1', '2']}", ERR_DATA,
	    "t.csv:5: label '0' is none of data.classes: 1, 2");
	put_text("t.csv", "text,label\na1,-0\na2,0\na3,0\n");
	must_fail("{source: csv, path: DIR/t.csv, classes: [x, y]}", ERR_DATA, "t.csv:2: label '-0'");
	put_text("t.csv", "text,label\na1,0\na2,-1\na3,1\n");
	must_fail("{source: csv, path: DIR/t.csv, classes: [x, y]}", ERR_DATA, "t.csv:3: label '-1'");
	put_text("t.csv", "text,label\na1,0\na2,01\na3,1\n");
	must_fail("{source: csv, path: DIR/t.csv, classes: [x, y]}", ERR_DATA, "t.csv:3: label '01'");
	put_text("t.csv", "text,label\na1,A\na2,A\na3,A\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "all samples are of one class");
	put_text("train.csv", "text,label\n" SIX);
	put_text("test.csv", "text,label\nx,A\ny,C\n");
	must_fail("{source: csv, path: DIR, train: train.csv, test: test.csv}", ERR_DATA,
	    "test.csv:3: label 'C' is none of the labels of the training file: A, B");
}

static void sets__come_from_columns_in_the_order_of_the_option(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.csv", "comment,x,y,z\na,1,0,0\nb,0,1,0\nc,1,1,0\nd,0,0,0\ne,0,0,1\nf,0,0,0\n");
	d = must_open("{source: csv, path: DIR/t.csv, labels: [z, x, y]}", true);
	assert_int_equal(d.target, TARGET_SET);
	assert_null(d.split[SPLIT_TRAIN].label);
	assert_string_equal(d.class_name[0], "z");
	has_set(&d, "a", "010");
	has_set(&d, "c", "011");
	has_set(&d, "d", "000");
	has_set(&d, "e", "100");
	dataset_close(&d);
	must_fail("{source: csv, path: DIR/t.csv, labels: [x, w]}", ERR_DATA,
	    "t.csv:1: no column 'w'; there are: comment, x, y, z");
	must_fail("{source: csv, path: DIR/t.csv, labels: [x, y, x]}", ERR_CONFIG, "data.labels: 'x' is named twice");
	must_fail("{source: csv, path: DIR/t.csv, labels: [x, comment]}", ERR_DATA,
	    "t.csv:2: 'a' in column 'comment'; a label column holds 0 or 1");
	put_text("t.csv", "comment,x,y\na,1,0\nb,0,\nc,1,1\n");
	must_fail("{source: csv, path: DIR/t.csv, labels: [x, y]}", ERR_DATA,
	    "t.csv:3: '' in column 'y'; a label column holds 0 or 1");
	put_text("t.csv", "comment,x,y\na,1,0\nb,1,0\nc,1,0\nd,0,0\n");
	must_fail("{source: csv, path: DIR/t.csv, labels: [x, y]}", ERR_DATA, "label 'y' is on no sample of the train");
	put_text("test.csv", "comment,x,y\ne,1,1\n");
	must_fail("{source: csv, path: DIR, train: t.csv, test: test.csv, labels: [x, y]}", ERR_DATA,
	    "label 'y' is on no sample of the train");
}

static void csv__columns_are_never_guessed_from_two(void **state)
{
	(void)state;
	put_text("t.csv", "text,comment,label\na,b,c\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA,
	    "t.csv:1: which column is the text? name it by the option text; there are: text, comment, label");
	put_text("t.csv", "words,label\na,b\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "which column is the text?");
	put_text("t.csv", "text,mood\na,b\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "which column is the label?");
	must_fail("{source: csv, path: DIR/t.csv, label: Mood}", ERR_DATA, "no column 'Mood'; there are: text, mood");
	must_fail("{source: csv, path: DIR/t.csv, label: text}", ERR_DATA, "text and label are both 'text'");
	put_text("t.csv", "review,body,sentiment\na,b,c\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA,
	    "t.csv:1: which column is the text? name it by the option text; there are: review, body, sentiment");
	put_text("t.csv", "text,label,text\na,b,c\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:1: two columns are called 'text'");
}

static void csv__bad_rows_name_the_line(void **state)
{
	(void)state;
	put_text("t.csv", "text,label\n\"a\n1\",A\n  \t,B\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:4: the text is empty");
	put_text("t.csv", "text,label\na,A\nb,\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:3: the label is empty");
	put_text("t.csv", "text,label\na,A\n\nb,B\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:3:1: 1 fields, but the header has 2");
	put_text("t.csv", "text,label\na,A\n\"b,B\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:3:1: this quote is never closed");
	put("t.csv", "text,label\na,A\nb\0,B\n", 21);
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:3:2: NUL byte");
	put_text("t.csv", "text,label\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv: no rows");
	put_text("t.csv", "");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv: empty; a header line is needed");
}

static void encoding__is_utf8_or_said(void **state)
{
	static const char *const bad[] = {"\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
	    "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xe2\x82", "\xff", "\xc3("};
	struct dataset d;
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "text,label\nab\ncd%s,A\n", bad[i]);
		put_text("t.csv", text);
		must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:3:3: byte 0x");
		assert_non_null(strstr(err_message(), "is not UTF-8; encoding: latin1 reads ISO-8859-1"));
	}
	put_text("t.csv", "text,label\ncaf\xe9,A\na2,A\na3,A\nb1,B\nb2,B\n\xef\xbf\xbf\xf4\x8f\xbf\xbf,B\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:2:4: byte 0xe9 is not UTF-8");
	d = must_open("{source: csv, path: DIR/t.csv, encoding: latin1}", true);
	has_class(&d, "caf\xc3\xa9", "A", "t.csv:2");
	dataset_close(&d);
	put("t.csv", "\xff\xfet\0e\0", 6);
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:1:1: this is UTF-16; only UTF-8 is read");
	must_fail("{source: csv, path: DIR/t.csv, encoding: latin1}", ERR_DATA, "t.csv:1:1: this is UTF-16");
	put("t.csv", "\xff\xfe", 2);
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:1:1: this is UTF-16; only UTF-8 is read");
	put("t.csv", "\xff\xfe\0\0t\0\0\0", 8);
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv:1:1: this is UTF-32; only UTF-8 is read");
	put_text("t.csv", "\xef\xbb\xbftext,label\n");
	must_fail("{source: csv, path: DIR/t.csv, encoding: latin1}", ERR_DATA,
	    "t.csv:1:1: begins with the byte order mark of UTF-8; encoding: utf8 reads it");
	assert_int_equal(mkfifo(at("fifo.csv"), 0600), 0);
	alarm(100);
	must_fail("{source: csv, path: DIR/fifo.csv}", ERR_DATA, "fifo.csv: is a FIFO, not a file");
	alarm(0);
}

static void phrasebank__is_divided_at_the_last_at_sign(void **state)
{
	struct dataset d;

	(void)state;
	put_text("p.txt", "a@b caf\xe9@up\r\na2@up\r\na3@up\r\nb1@down\r\nb2@down\r\nb3 .@down");
	d = must_open("{source: phrasebank, path: DIR/p.txt}", true);
	has_class(&d, "a@b caf\xc3\xa9", "up", "p.txt:1");
	has_class(&d, "b3 .", "down", "p.txt:6");
	assert_string_equal(d.class_name[0], "down");
	dataset_close(&d);
	must_fail("{source: phrasebank, path: DIR/p.txt, encoding: utf8}", ERR_DATA, "p.txt:1:8: byte 0xe9");
	put_text("p.txt", "a@up\nb down\n");
	must_fail("{source: phrasebank, path: DIR/p.txt}", ERR_DATA, "p.txt:2: no '@' between sentence and label");
	put_text("p.txt", "a@up\n@down\n");
	must_fail("{source: phrasebank, path: DIR/p.txt}", ERR_DATA, "p.txt:2: the text is empty");
	put_text("p.txt", "a@up\nb@ \n");
	must_fail("{source: phrasebank, path: DIR/p.txt}", ERR_DATA, "p.txt:2: the label is empty");
	put("p.txt", "a@up\nb\0@up\n", 11);
	must_fail("{source: phrasebank, path: DIR/p.txt}", ERR_DATA, "p.txt:2: NUL byte");
	put_text("p.txt", "\n\n");
	must_fail("{source: phrasebank, path: DIR/p.txt}", ERR_DATA, "p.txt: no rows");
}

static void jsonl__labels_are_names_numbers_or_truth(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.jsonl", "{\"text\": \"a\\n\\u0995\\ud83d\\ude00\", \"label\": 1, \"more\": {\"x\": []}}\r\n"
			    "{\"label\": 1, \"text\": \"a2\"}\n{\"label\": 1e0, \"text\": \"a3\"}\n"
			    "{\"label\": 0, \"text\": \"b1\"}\n{\"label\": 0, \"text\": \"b2\"}\n"
			    "{\"label\": -0, \"text\": \"b3\"}\n\n");
	d = must_open("{source: jsonl, path: DIR/t.jsonl}", true);
	has_class(&d, "a\n\xe0\xa6\x95\xf0\x9f\x98\x80", "1", "t.jsonl:1");
	has_class(&d, "b3", "0", "t.jsonl:6");
	dataset_close(&d);
	put_text("t.jsonl", "{\"x\":\"a\",\"y\":true}\n{\"x\":\"b\",\"y\":true}\n{\"x\":\"c\",\"y\":true}\n"
			    "{\"x\":\"d\",\"y\":false}\n{\"x\":\"e\",\"y\":false}\n{\"x\":\"f\",\"y\":false}");
	d = must_open("{source: jsonl, path: DIR/t.jsonl, text: x, label: y}", true);
	has_class(&d, "f", "false", "t.jsonl:6");
	has_class(&d, "a", "true", "t.jsonl:1");
	dataset_close(&d);
}

static void jsonl__sets_are_columns_or_lists_of_names(void **state)
{
	struct dataset d;

	(void)state;
	put_text("t.jsonl", "{\"text\":\"a\",\"x\":1,\"y\":false}\n{\"text\":\"b\",\"x\":0,\"y\":true}\n"
			    "{\"text\":\"c\",\"x\":1,\"y\":1}\n{\"text\":\"d\",\"x\":0,\"y\":0}\n");
	d = must_open("{source: jsonl, path: DIR/t.jsonl, labels: [y, x]}", true);
	has_set(&d, "a", "01");
	has_set(&d, "b", "10");
	has_set(&d, "c", "11");
	has_set(&d, "d", "00");
	dataset_close(&d);
	put_text("t.jsonl", "{\"text\":\"a\",\"tags\":[]}\n{\"text\":\"b\",\"tags\":[\"y\",\"x\"]}\n"
			    "{\"text\":\"c\",\"tags\":[\"x\"]}\n{\"text\":\"d\",\"tags\":[\"y\"]}\n");
	d = must_open("{source: jsonl, path: DIR/t.jsonl, label: tags, classes: [y, x]}", true);
	assert_int_equal(d.target, TARGET_SET);
	has_set(&d, "a", "00");
	has_set(&d, "b", "11");
	has_set(&d, "c", "01");
	dataset_close(&d);
	must_fail("{source: jsonl, path: DIR/t.jsonl, label: tags, classes: [y, z]}", ERR_DATA,
	    "t.jsonl:2: label 'x' is none of data.classes: y, z");
	put_text("t.jsonl", "{\"text\":\"a\",\"tags\":[]}\n{\"text\":\"b\",\"tags\":\"y\"}\n");
	must_fail("{source: jsonl, path: DIR/t.jsonl, label: tags}", ERR_DATA,
	    "t.jsonl:2: 'tags' is not a list, as it is on the first line");
	put_text("t.jsonl", "{\"text\":\"a\",\"tags\":[]}\n{\"text\":\"b\",\"tags\":[1]}\n");
	must_fail("{source: jsonl, path: DIR/t.jsonl, label: tags}", ERR_DATA, "t.jsonl:2: 'tags' holds what is not");
	put_text("one.jsonl", "{\"text\":\"a\",\"tags\":\"x\"}\n{\"text\":\"b\",\"tags\":\"y\"}\n");
	put_text("more.jsonl", "{\"text\":\"c\",\"tags\":[\"x\",\"y\"]}\n");
	must_fail("{source: jsonl, path: DIR, train: one.jsonl, val: more.jsonl, label: tags}", ERR_DATA,
	    "more.jsonl: labels are lists of names in this file or in ");
}

static void bad_line(const char *line, const char *part)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"text\":\"a\",\"label\":\"A\"}\n%s\n{\"text\":\"b\",\"label\":\"B\"}\n", line);
	put_text("t.jsonl", text);
	must_fail("{source: jsonl, path: DIR/t.jsonl}", ERR_DATA, part);
}

static void jsonl__bad_lines_are_named(void **state)
{
	(void)state;
	bad_line("{\"text\":\"a\",\"label\":}", "t.jsonl:2:21: not valid JSON");
	bad_line("", "t.jsonl:2:1: not valid JSON");
	bad_line("[]", "t.jsonl:2: not an object");
	bad_line("{\"text\":\"a\"}", "t.jsonl:2: no field 'label'; there are: text");
	bad_line("{\"label\":\"a\"}", "t.jsonl:2: no field 'text'; there are: label");
	bad_line("{\"Text\":\"a\",\"label\":\"A\"}", "t.jsonl:2: no field 'text'; there are: Text, label");
	bad_line("{\"text\":1,\"label\":\"A\"}", "t.jsonl:2: 'text' is not a string");
	bad_line("{\"text\":\"\",\"label\":\"A\"}", "t.jsonl:2: the text is empty");
	bad_line("{\"text\":\"a\",\"label\":\"\"}", "t.jsonl:2: the label is empty");
	bad_line("{\"text\":\"a\",\"label\":null}", "t.jsonl:2: the label is neither");
	bad_line("{\"text\":\"a\",\"label\":0.5}", "t.jsonl:2: the label is neither");
	bad_line("{\"text\":\"a\",\"label\":1e300}", "t.jsonl:2: the label is neither");
	bad_line("{\"text\":\"a\",\"label\":9007199254740993}", "t.jsonl:2: the label is neither");
	bad_line("{\"text\":\"a\",\"label\":01}", "t.jsonl:2:21: a number with a leading zero");
	bad_line("{\"text\":\"a\",\"label\":[\"A\"]}", "t.jsonl:2: the label is neither");
	bad_line("{\"text\":\"a\\u0000b\",\"label\":\"A\"}", "t.jsonl:2:11: the character NUL inside a string");
	bad_line("{\"text\":\"a\",\"text\":\"b\",\"label\":\"A\"}", "t.jsonl:2: key 'text' occurs twice");
	bad_line("{\"text\":\"\xe9\",\"label\":\"A\"}", "t.jsonl:2:10: byte 0xe9 is not UTF-8");
	put_text("t.jsonl", "{\"text\":\"a\",\"x\":2}\n");
	must_fail("{source: jsonl, path: DIR/t.jsonl, labels: [x]}", ERR_DATA, "t.jsonl:1: 'x' is not 0, 1, true or");
	must_fail("{source: jsonl, path: DIR/t.jsonl, labels: [y]}", ERR_DATA, "t.jsonl:1: no field 'y'");
	must_fail("{source: jsonl, path: DIR/t.jsonl, label: text}", ERR_DATA, "text and label are both 'text'");
}

static void jsonl__a_line_has_a_limit(void **state)
{
	size_t n = (1 << 24) + 100;
	char *text = malloc(n);
	int start = snprintf(text, n, "{\"text\":\"a\",\"label\":\"A\"}\n[");

	(void)state;
	memset(text + start, '[', n - (size_t)start);
	put("t.jsonl", text, n);
	free(text);
	must_fail("{source: jsonl, path: DIR/t.jsonl}", ERR_DATA,
	    "t.jsonl:2: a line of 16777291 bytes; at most 16777216 are read");
}

static void labels__of_one_number_are_said(void **state)
{
	static const char *const label[] = {
	    "1", "01", "+1", "1.0", "-0", "0", "10", "1x", "x1", "+", "1.5", ".", "1.5.0"};
	enum { N = sizeof(label) / sizeof(label[0]) };
	char text[2048] = "text,label\n";
	struct dataset d;

	(void)state;
	for (int i = 0; i < 3 * N; i++)
		snprintf(text + strlen(text), 32, "t%d,%s\n", i, label[i % N]);
	put_text("t.csv", text);
	d = must_open("{source: csv, path: DIR/t.csv}", false);
	assert_int_equal(d.classes, N);
	assert_int_equal(d.notes.of[NOTE_SPELLING].n, 2);
	assert_string_equal(d.notes.of[NOTE_SPELLING].name[0], "'-0' and '0'");
	assert_string_equal(d.notes.of[NOTE_SPELLING].name[1], "'+1' and '01' and '1' and '1.0'");
	dataset_close(&d);
}

static void labels__that_look_alike_are_said(void **state)
{
	/* In case, in a space of no width, in what é is made of, in white space; accents make another name. */
	static const char *const label[] = {"cat", "Cat", "dog", "dog\xe2\x80\x8b", "\xc3\xa9t\xc3\xa9",
	    "e\xcc\x81t\xc3\xa9", "ete", "big  cat",
	    "big\xc2\xa0"
	    "cat",
	    "bigcat"};
	enum { N = sizeof(label) / sizeof(label[0]) };
	char text[2048] = "text,label\n";
	struct dataset d;

	(void)state;
	for (int i = 0; i < 3 * N; i++)
		snprintf(text + strlen(text), 48, "t%d,%s\n", i, label[i % N]);
	put_text("t.csv", text);
	d = must_open("{source: csv, path: DIR/t.csv}", false);
	assert_int_equal(d.classes, N);
	assert_int_equal(d.notes.of[NOTE_SPELLING].n, 4);
	assert_string_equal(d.notes.of[NOTE_SPELLING].name[1], "'Cat' and 'cat'");
	dataset_close(&d);
}

static void labels__are_printable(void **state)
{
	(void)state;
	put_text("t.csv", "text,label\na,\"A\nB\"\nb,C\n");
	must_fail(
	    "{source: csv, path: DIR/t.csv}", ERR_DATA, "t.csv: the name of class 'A\\nB' has a control character");
	put_text("t.csv", "text,label\na,A\x7f\nb,C\n");
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "has a control character (byte 0x7f)");
	put_text("t.csv", "text,label\na,A\nb,\xc2\x9b[2J\n"); /* an escape in one character */
	must_fail("{source: csv, path: DIR/t.csv}", ERR_DATA, "has a control character (byte 0xc2)");
}

static void files__are_named_each_for_its_split(void **state)
{
	struct dataset d, t;

	(void)state;
	put_text("train.csv", "text,label\n" SIX "a1,B\n");
	put_text("val.csv", "text,label\nva,A\nvb,B\nb1,B\n");
	put_text("test.csv", "text,label\na1,A\ntb,B\nva,A\nva,A\n");
	d = must_open("{source: csv, path: DIR, train: train.csv, val: val.csv, test: test.csv}", true);
	assert_int_equal(d.n[SPLIT_TRAIN], 7);
	assert_int_equal(d.n[SPLIT_VAL], 3);
	assert_int_equal(d.n[SPLIT_TEST], 4);
	assert_int_equal(d.duplicates_train_val, 1);
	assert_int_equal(d.duplicates_train_test, 1);
	assert_int_equal(d.duplicates_val_test, 2);
	assert_int_equal(d.rows, 14);
	assert_int_equal(d.distinct_texts, 9);
	assert_int_equal(d.repeated_texts, 3);
	assert_int_equal(d.contradicting_texts, 1);
	assert_string_equal(d.split[SPLIT_VAL].file[2], "val.csv:4");
	/* Without the test split: its rows are checked and counted, and nothing of them is handed out. */
	t = must_open("{source: csv, path: DIR, train: train.csv, val: val.csv, test: test.csv}", false);
	assert_int_equal(t.n[SPLIT_TEST], 4);
	assert_null(t.split[SPLIT_TEST].text);
	assert_null(t.split[SPLIT_TEST].label);
	assert_string_equal(t.hash[SPLIT_TEST], d.hash[SPLIT_TEST]);
	assert_string_equal(t.hash[SPLIT_TRAIN], d.hash[SPLIT_TRAIN]);
	assert_int_equal(t.duplicates_train_test, 1);
	dataset_close(&t);
	t = must_open("{source: csv, path: DIR}", false);
	assert_string_equal(t.hash[SPLIT_TEST], d.hash[SPLIT_TEST]);
	assert_string_equal(t.hash[SPLIT_TRAIN], d.hash[SPLIT_TRAIN]);
	dataset_close(&t);
	dataset_close(&d);
	must_fail("{source: jsonl, path: DIR}", ERR_DATA,
	    "is a folder; data.train names the file in it; there are: test.csv, train.csv, val.csv");
	must_fail("{source: csv, path: DIR/train.csv, train: val.csv}", ERR_CONFIG, "data.path is a file");
	must_fail("{source: csv, path: DIR, train: train.csv, test: train.csv}", ERR_CONFIG, "named for two splits");
	must_fail("{source: csv, path: DIR, train: nix.csv}", ERR_DATA, "nix.csv: no such file");
	must_fail("{source: csv}", ERR_CONFIG, "data.path must name the file");
}

static void check_options(const char *yaml_text, const char *key, const char *part)
{
	struct data_options o = options(yaml_text);
	const char *at;
	int rc = data_options_check(&o, &at);

	if (!part) {
		assert_int_equal(rc, 0);
	} else {
		assert_int_equal(rc, ERR_CONFIG);
		assert_string_equal(at, key);
		if (!strstr(err_message(), part))
			fail_msg("message '%s' lacks '%s'", err_message(), part);
	}
	option_clear(data_option_table, &o);
}

static void options__contradictions_are_found_before_anything_is_read(void **state)
{
	(void)state;
	check_options("{source: csv, path: x, folds: 5, fold: 4, text: t, labels: [a, b]}", NULL, NULL);
	check_options(
	    "{source: csv, path: x, folds: 5, fold: 5}", "fold", "fold is 5; with 5 folds it is one of 0 to 4");
	check_options("{source: csv, path: x, folds: 1}", "folds", "at least 2");
	check_options("{source: csv, path: x, val: v, val_fraction: 0.3}", "val_fraction", "is the file 'v'");
	check_options("{source: jsonl, path: x, test: t, test_fraction: 0.3}", "test_fraction", "is the file 't'");
	check_options(
	    "{source: idx, path: x, test_fraction: 0.3}", "test_fraction", "is the file 't10k-images-idx3-ubyte'");
	check_options("{source: idx, path: x, test_images: '', test_labels: '', test_fraction: 0.3, val_fraction: 0.3}",
	    NULL, NULL);
	check_options("{source: csv, path: x, folds: 5, test: y}", "folds", "not both");
	check_options("{source: csv, path: x, label: a, labels: [a, b]}", "labels", "cannot both be given");
	check_options(
	    "{source: csv, path: x, labels: [a, b], classes: [c, d]}", "classes", "already names the classes");
	check_options("{source: csv, path: x, augment: {flip: true}}", "augment", "have no effect on texts");
	check_options("{source: digits, augment: {token_drop: 0.1}}", "augment", "have no effect on images");
	check_options("{source: csv, path: x, augment: {token_drop: 0.1}}", NULL, NULL);
	check_options("{source: csv, path: x, augment: {resized_crop: true}}", "augment", "have no effect on texts");
	check_options("{source: csv, path: x, augment: {erase: 0.5}}", "augment", "have no effect on texts");
	check_options("{source: csv, path: x, augment: {hue: 0.1}}", "augment", "have no effect on texts");
	check_options("{source: digits, augment: {resized_crop: true, crop_scale: [0.5]}}", "augment",
	    "augment: crop_scale has 1 values; it is the least and the greatest");
	check_options("{source: digits, augment: {resized_crop: true, crop_ratio: [2, 1]}}", "augment",
	    "augment: crop_ratio is [2, 1]; the first must not be above the second");
	check_options("{source: digits, augment: {erase: 0.5, erase_scale: [0.1, 0.2, 0.3]}}", "augment",
	    "augment: erase_scale has 3 values");
	check_options("{source: digits, augment: {resized_crop: true, crop_scale: [0.5, 0.5], erase: 1}}", NULL, NULL);
	const struct {
		const char *yaml, *part;
	} without_effect[] = {
	    {"{source: digits, augment: {crop_scale: [0.5, 1]}}",
		"crop_scale has no effect with resized_crop false (only with resized_crop true)"},
	    {"{source: digits, augment: {erase_ratio: [0.5, 1]}}",
		"erase_ratio has no effect with erase 0 (only with erase above 0)"},
	    {"{source: digits, fold: 0}", "fold has no effect with folds 0 (only with folds above 0)"},
	    {"{source: csv, path: x, fold_column: f}",
		"fold_column has no effect with folds 0 (only with folds above 0)"},
	    {"{source: csv, path: x, fold: 1}", "fold has no effect with folds 0 (only with folds above 0)"},
	    {"{source: csv, path: x, folds: 5, test_fraction: 0.7}",
		"test_fraction has no effect with folds above 0 (only with folds 0)"},
	    {"{source: csv, path: x, folds: 5, test_fraction: 0.2}",
		"test_fraction has no effect with folds above 0 (only with folds 0)"},
	    {"{source: jsonl, path: x, encoding: latin1}", "encoding has no effect with source jsonl"},
	    {"{source: phrasebank, path: x, quotes: none}", "quotes has no effect with source phrasebank"},
	    {"{source: csv, path: x, mean: 0.5, std: 0.5}", "mean has no effect with source csv"},
	    {"{source: phrasebank, path: x, label: y}", "label has no effect with source phrasebank"},
	};
	for (size_t i = 0; i < sizeof(without_effect) / sizeof(without_effect[0]); i++) {
		const char *text = without_effect[i].yaml;
		struct data_options o = {0};
		struct yaml y;
		assert_int_equal(yaml_parse("t.yaml", text, strlen(text), &y), 0);
		assert_int_equal(option_parse(data_option_table, &o, &y, y.root, NULL), ERR_CONFIG);
		if (!strstr(err_message(), without_effect[i].part))
			fail_msg("%s: %s", text, err_message());
		yaml_clear(&y);
	}
}

/* What a key and a hash must tell apart. */
static void key__knows_texts_labels_and_folds(void **state)
{
	static const struct {
		const char *file, *yaml;
	} variant[] = {
	    {"text,label\n" SIX, "{source: csv, path: DIR/t.csv}"},
	    {"text,label\n" SIX, "{source: csv, path: DIR/t.csv, folds: 3, fold: 2}"},
	    {"text,label\n" SIX, "{source: csv, path: DIR/t.csv, folds: 3, fold: 0}"},
	    {"text,label\n" SIX, "{source: csv, path: DIR/t.csv, classes: [B, A]}"},
	    {"text,label\na1,A\na2,A\na3,A\nb1,C\nb2,C\nb3,C\n", "{source: csv, path: DIR/t.csv}"},
	    {"text,label\nax,A\nay,A\naz,A\nb1,B\nb2,B\nb3,B\n", "{source: csv, path: DIR/t.csv}"},
	};
	enum { N = sizeof(variant) / sizeof(variant[0]) };
	char hex[N][HASH_HEX];

	(void)state;
	for (int i = 0; i < N; i++) {
		struct data_options o;
		struct dataset d;

		put_text("t.csv", variant[i].file);
		o = options(variant[i].yaml);
		assert_int_equal(dataset_open(&d, &o, NULL, 1, false), 0);
		assert_int_equal(dataset_key(&d, &o, hex[i]), 0);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(hex[i], hex[j]);
		dataset_close(&d);
		option_clear(data_option_table, &o);
	}
}

static void hash_of_test(const char *yaml_text, char hex[HASH_HEX])
{
	struct dataset d = must_open(yaml_text, false);

	memcpy(hex, d.hash[SPLIT_TEST], HASH_HEX);
	dataset_close(&d);
}

static void hash_of_test__follows_the_samples_for_testing_alone(void **state)
{
	char before[HASH_HEX], after[HASH_HEX];

	(void)state;
	put_text("train.csv", "text,label\n" SIX);
	put_text("test.csv", "text,label\nx,A\ny,B\n");
	hash_of_test("{source: csv, path: DIR, train: train.csv, test: test.csv}", before);
	put_text("train.csv", "text,label\n" SIX "a4,A\n");
	hash_of_test("{source: csv, path: DIR, train: train.csv, test: test.csv}", after);
	assert_string_equal(before, after);
	put_text("test.csv", "text,label\nx,A\nz,B\n");
	hash_of_test("{source: csv, path: DIR, train: train.csv, test: test.csv}", after);
	assert_string_not_equal(before, after);
	put_text("train.csv", "text,label\n" SIX);
	hash_of_test("{source: csv, path: DIR/train.csv}", before);
	put_text("train.csv", "text,label\na1,A\nx2,A\nx3,A\nb1,B\nx5,B\nx6,B\n");
	hash_of_test("{source: csv, path: DIR/train.csv}", after);
	assert_string_not_equal(before, after);
}

static void json__says_what_repeats_and_contradicts(void **state)
{
	struct dataset d;
	const cJSON *texts;
	cJSON *j;

	(void)state;
	put_text("t.csv", "text,label\n" SIX "a1,A\n b1 ,A\na1,A\nb1,B\n");
	d = must_open("{source: csv, path: DIR/t.csv}", false);
	j = dataset_to_json(&d);
	texts = cJSON_GetObjectItem(j, "texts");
	assert_int_equal(cJSON_GetObjectItem(texts, "rows")->valueint, 10);
	assert_int_equal(cJSON_GetObjectItem(texts, "distinct")->valueint, 6);
	assert_int_equal(cJSON_GetObjectItem(texts, "repeated")->valueint, 2);
	assert_int_equal(cJSON_GetObjectItem(texts, "contradicting")->valueint, 1);
	assert_string_equal(cJSON_GetObjectItem(j, "kind")->valuestring, "text");
	assert_string_equal(cJSON_GetObjectItem(j, "target")->valuestring, "class");
	assert_null(cJSON_GetObjectItem(j, "normalisation"));
	assert_int_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(j, "duplicates"), "train_validation")->valueint, 0);
	cJSON_Delete(j);
	dataset_close(&d);
}

static void survives(const char *yaml_text)
{
	struct data_options o = options(yaml_text);
	struct dataset d;
	uint64_t n = 0;
	int rc;

	do {
		mem_fail_at(++n);
		rc = dataset_open(&d, &o, NULL, 1, true);
		mem_fail_at(0);
		dataset_close(&d);
	} while (rc == ERR_NOMEM);
	if (rc != 0)
		fail_msg("%s", err_message());
	assert_true(n > 20);
	option_clear(data_option_table, &o);
}

static void texts__survive_each_failing_allocation(void **state)
{
	(void)state;
	put_text("train.csv", "text,label\n" SIX);
	put_text("val.csv", "text,label\nx,A\ny,B\n");
	put_text("p.txt", "a@up\nb@up\nc\xe9@up\nd@down\ne@down\nf@down\n");
	put_text("t.jsonl", "{\"text\":\"a\",\"tags\":[]}\n{\"text\":\"b\",\"tags\":[\"y\",\"x\"]}\n"
			    "{\"text\":\"c\",\"tags\":[\"x\"]}\n{\"text\":\"d\",\"tags\":[\"y\"]}\n");
	survives("{source: csv, path: DIR, train: train.csv, val: val.csv, fraction: 0.9}");
	survives("{source: phrasebank, path: DIR/p.txt, folds: 3}");
	survives("{source: jsonl, path: DIR/t.jsonl, label: tags, classes: [x, y]}");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(csv__texts_come_with_class_and_place),
	    TEST(csv__other_delimiters_and_quotes),
	    TEST(classes__are_in_a_known_order),
	    TEST(classes__unknown_labels_name_the_row_and_what_there_is),
	    TEST(sets__come_from_columns_in_the_order_of_the_option),
	    TEST(csv__columns_are_never_guessed_from_two),
	    TEST(csv__bad_rows_name_the_line),
	    TEST(encoding__is_utf8_or_said),
	    TEST(phrasebank__is_divided_at_the_last_at_sign),
	    TEST(jsonl__labels_are_names_numbers_or_truth),
	    TEST(jsonl__sets_are_columns_or_lists_of_names),
	    TEST(jsonl__bad_lines_are_named),
	    TEST(labels__of_one_number_are_said),
	    TEST(labels__that_look_alike_are_said),
	    TEST(jsonl__a_line_has_a_limit),
	    TEST(labels__are_printable),
	    TEST(files__are_named_each_for_its_split),
	    TEST(options__contradictions_are_found_before_anything_is_read),
	    TEST(key__knows_texts_labels_and_folds),
	    TEST(hash_of_test__follows_the_samples_for_testing_alone),
	    TEST(json__says_what_repeats_and_contradicts),
	    TEST(texts__survive_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
