/* The CSV reader against RFC 4180 and against broken files. */
#include "data/csv.h"
#include "data/fixture.h"

static void expect(const char *text, int rows, int columns, const char *const *fields)
{
	struct csv c;

	if (csv_parse(&c, "t.csv", text, strlen(text), &csv_rfc4180) != 0)
		fail_msg("%s", err_message());
	assert_int_equal(c.rows, rows);
	assert_int_equal(c.columns, columns);
	for (int i = 0; i < rows * columns; i++)
		assert_string_equal(csv_field(&c, i / columns, i % columns), fields[i]);
	csv_clear(&c);
}

static void expect_error(const char *text, size_t n, const char *message)
{
	struct csv c;

	assert_int_equal(csv_parse(&c, "t.csv", text, n, &csv_rfc4180), ERR_DATA);
	assert_string_equal(err_message(), message);
	csv_clear(&c);
}

static void csv__reads_what_rfc_4180_allows(void **state)
{
	(void)state;
	expect("a,b\n1,2\n", 2, 2, (const char *[]){"a", "b", "1", "2"});
	expect("a,b\r\n1,2", 2, 2, (const char *[]){"a", "b", "1", "2"});
	expect("\xef\xbb\xbf"
	       "a,b\n,\n",
	    2, 2, (const char *[]){"a", "b", "", ""});
	expect("\"a\"\"x\",\"b\r\ny,\"\n\"\",z\n", 2, 2, (const char *[]){"a\"x", "b\r\ny,", "", "z"});
	expect("a\n\"\"", 2, 1, (const char *[]){"a", ""});
	expect("a,", 1, 2, (const char *[]){"a", ""});
}

static void csv__knows_the_line_of_each_row(void **state)
{
	struct csv c;
	const char *text = "a,b\n\"x\ny\",1\nz,2\n";

	(void)state;
	assert_int_equal(csv_parse(&c, "t", text, strlen(text), &csv_rfc4180), 0);
	assert_int_equal(c.line[1], 2);
	assert_int_equal(c.line[2], 4);
	assert_int_equal(csv_column(&c, "b"), 1);
	assert_int_equal(csv_column(&c, "c"), -1);
	csv_clear(&c);
}

static void csv__names_line_and_column_of_errors(void **state)
{
	(void)state;
	expect_error("a,b\n1,x\"y\n", 10, "t.csv:2:4: a quote inside an unquoted field");
	expect_error("a,b\n1,\"x\"y\n", 11, "t.csv:2:6: text after a closing quote");
	expect_error("a,b\n1,\"x\n\n", 10, "t.csv:2:3: this quote is never closed");
	expect_error("a,b\n1,2\n1\n", 10, "t.csv:3:1: 1 fields, but the header has 2");
	expect_error("a,b\n1,2,3\n", 10, "t.csv:2:1: 3 fields, but the header has 2");
	expect_error("a,b\n1,\0\n", 8, "t.csv:2:3: NUL byte");
	expect_error("a,b\n\"\0\",1\n", 10, "t.csv:2:2: NUL byte");
	expect_error("a,b\n1\r,2\n", 9, "t.csv:2:2: a carriage return without a line feed");
	expect_error("", 0, "t.csv: empty; a header line is needed");
	expect_error("\xef\xbb\xbf", 3, "t.csv: empty; a header line is needed");
}

static void csv__columns_have_a_limit(void **state)
{
	static char text[2 * 16385 + 8];
	struct csv c;
	int n = 0;

	(void)state;
	for (int i = 0; i < 16384; i++)
		n += snprintf(text + n, 3, "%s", i ? ",a" : "a");
	assert_int_equal(csv_parse(&c, "t.csv", text, (size_t)n, &csv_rfc4180), 0);
	assert_int_equal(c.columns, 16384);
	csv_clear(&c);
	n += snprintf(text + n, 3, ",a");
	assert_int_equal(csv_parse(&c, "t.csv", text, (size_t)n, &csv_rfc4180), ERR_DATA);
	assert_string_equal(err_message(), "t.csv:1:1: more than 16384 fields");
}

static void csv__survives_each_failing_allocation(void **state)
{
	struct csv c;
	char text[4096] = "a,b\n";
	uint64_t n = 0;
	int rc;

	(void)state;
	for (int i = 0; i < 400; i++)
		strcat(text, "1,\"2\"\n");
	do {
		mem_fail_at(++n);
		rc = csv_parse(&c, "t", text, strlen(text), &csv_rfc4180);
		mem_fail_at(0);
		csv_clear(&c);
	} while (rc == ERR_NOMEM);
	assert_int_equal(rc, 0);
	assert_true(n > 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(csv__reads_what_rfc_4180_allows),
	    cmocka_unit_test(csv__knows_the_line_of_each_row),
	    cmocka_unit_test(csv__names_line_and_column_of_errors),
	    cmocka_unit_test(csv__columns_have_a_limit),
	    cmocka_unit_test(csv__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
