/* Tables, numbers for people, files that stay untouched, arguments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/config_text.h"
#include "pipeline/command.h"
#include "pipeline/estimate.h"
#include "pipeline/files.h"
#include "pipeline/report.h"
#include "pipeline/table.h"

static void report__counts_have_commas(void **state)
{
	static const struct {
		double n;
		const char *text;
	} cases[] = {{0, "0"}, {7, "7"}, {999, "999"}, {1000, "1,000"}, {-1234, "-1,234"}, {-123, "-123"},
	    {1234567, "1,234,567"}, {1e12, "1,000,000,000,000"}};
	char buf[32];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(report_count(cases[i].n, buf), cases[i].text);
}

/* A line that is `row` but for spaces. */
static void has_row(const char *table, const char *row)
{
	char plain[4096];
	size_t n = 0;
	for (; *table && n < sizeof(plain) - 1; table++)
		if (*table != ' ')
			plain[n++] = *table;
	plain[n] = '\0';
	if (!strstr(plain, row))
		fail_msg("no row %s in\n%s", row, plain);
}

static void report__ratios_are_against_the_first_and_gaps_are_dashes(void **state)
{
	cJSON *models = cJSON_Parse(
	    "[{\"name\":\"a\",\"technique\":\"baseline\",\"precision\":\"fp32\",\"test_accuracy\":0.9753,"
	    "\"test_f1_macro\":0.97,\"parameters\":12345,\"sparsity_pct\":0,\"bytes\":4000,\"latency_ms_median\":0.5,"
	    "\"latency_ms_p95\":0.6},"
	    "{\"name\":\"b\",\"technique\":\"qat\",\"precision\":\"w4a8\",\"simulated\":true,\"test_accuracy\":0.5,"
	    "\"bytes\":1000,\"latency_ms_median\":0.25}]");
	struct str text = {0};
	(void)state;
	report_models(models, true, &text);
	has_row(str_text(&text), "|a|baseline|fp32|97.53|0.9700|12,345|0.0|4,000|1.00x|0.5000|0.6000|1.00x|");
	has_row(str_text(&text), "|b|qat|w4a8(simulated)|50.00|-|-|-|1,000|4.00x|0.2500|-|2.00x|");
	str_clear(&text);
	report_models(NULL, false, &text); /* nothing evaluated: the head alone */
	assert_non_null(strstr(str_text(&text), "model"));
	str_clear(&text);
	cJSON_Delete(models);
}

static size_t lines_of(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void report__has_a_row_for_each_of_a_hundred_models(void **state)
{
	cJSON *models = cJSON_CreateArray();
	char name[32], row[64];
	struct str out = {0};
	(void)state;
	for (int i = 0; i < 100; i++) {
		cJSON *m = cJSON_CreateObject();
		snprintf(name, sizeof(name), "model%d", i);
		cJSON_AddStringToObject(m, "name", name);
		cJSON_AddNumberToObject(m, "bytes", 1000 - i);
		cJSON_AddItemToArray(models, m);
	}
	report_models(models, true, &out);
	assert_false(out.failed);
	assert_int_equal(lines_of(str_text(&out)), 102);
	for (int i = 1; i < 100; i++) {
		snprintf(row, sizeof(row), "|model%d|||-|-|-|-|%d|", i, 1000 - i);
		has_row(str_text(&out), row);
	}
	str_clear(&out);
	report_models(models, false, &out);
	assert_int_equal(lines_of(str_text(&out)), 101);
	str_clear(&out);
	cJSON_Delete(models);
}

static void table__cells_are_whole_and_break_no_column(void **state)
{
	static const char *const head[] = {"name", "n"};
	char name[301];
	struct table t;
	struct str out = {0};
	(void)state;
	table_open(&t, head, 2);
	memset(name, 'x', 300);
	name[300] = '\0';
	const char *const cells[] = {"a|b", "1", "\033[31m\tred\n", "22", "\xc3\xa9\xc2\x9b", "3", name, "4"};
	for (size_t i = 0; i < sizeof(cells) / sizeof(*cells); i++)
		table_add(&t, "%s", cells[i]);
	table_write(&t, true, &out);
	has_row(str_text(&out), "|a\\|b|1|\n|?[31m?red?|22|\n|\xc3\xa9??|3|\n");
	assert_non_null(strstr(str_text(&out), name));
	str_clear(&out);
	table_write(&t, false, &out);
	int width = 0; /* of each line, in characters */
	for (const char *p = str_text(&out), *start = p; *p; p++) {
		if (*p != '\n')
			continue;
		int wide = 0;
		for (; start <= p; start++)
			wide += (*start & 0xc0) != 0x80;
		width = width ? width : wide;
		assert_int_equal(wide, width);
	}
	assert_int_equal(width, 300 + 2 + 2 + 1);
	str_clear(&out);
	table_close(&t);
}

static void table__a_failed_allocation_fails_what_is_written(void **state)
{
	static const char *const head[] = {"name"};
	(void)state;
	for (uint64_t n = 1, failed = true; failed; n++) {
		struct table t;
		struct str out = {0};
		mem_fail_at(n);
		table_open(&t, head, 1);
		for (int i = 0; i < 100; i++)
			table_add(&t, "row %d", i);
		table_write(&t, false, &out);
		failed = mem_count() >= n;
		mem_fail_at(0);
		assert_true(out.failed == (bool)failed);
		table_close(&t);
		str_clear(&out);
		assert_true(n < 1000);
	}
}

static void estimate__texts_have_a_fitting_unit(void **state)
{
	static const struct {
		double s;
		const char *text;
	} cases[] = {{0.04, "0.0 s"}, {0.26, "0.3 s"}, {9.94, "9.9 s"}, {9.97, "10 s"}, {89, "89 s"}, {120, "2 min"},
	    {5399, "90 min"}, {5400, "1.5 h"}};
	char buf[32];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(estimate_text(cases[i].s, buf), cases[i].text);
}

/* A finished stage of the same name gives the rate; else one of the same kind; else one that trained; else a guess. */
static void estimate__prefers_the_stage_of_the_same_name(void **state)
{
	struct stage_config config[] = {{.kind = &stage_train}, {.kind = &stage_train}, {.kind = &stage_quantize}};
	struct chain_stage stage[3] = {{.config = &config[0], .plan.macs = 100, .past_macs = 50, .past_seconds = 1},
	    {.config = &config[1], .plan.macs = 100, .past_macs = 10, .past_seconds = 1},
	    {.config = &config[2], .plan.macs = 60}};
	struct chain c = {.stage = stage, .n = 3, .threads = 1};
	enum estimate_basis basis;
	(void)state;
	assert_true(estimate_seconds(&c, &stage[0], &basis) == 2);
	assert_int_equal(basis, ESTIMATE_MEASURED);
	assert_true(estimate_seconds(&c, &stage[1], &basis) == 10);
	assert_true(estimate_seconds(&c, &stage[2], &basis) == 1.2); /* 50 macs in 1 second: the first that trained */
	stage[0].past_seconds = stage[0].past_macs = 0;
	assert_true(estimate_seconds(&c, &stage[0], &basis) == 10); /* from the other of its kind */
	stage[1].past_seconds = stage[1].past_macs = 0;
	assert_true(estimate_seconds(&c, &stage[0], &basis) > 0);
	assert_int_equal(basis, ESTIMATE_GUESS);
	stage[0].state = STAGE_DONE;
	assert_true(estimate_seconds(&c, &stage[0], &basis) == 0);
}

static void files__that_say_the_same_stay_untouched(void **state)
{
	struct stat before, after;
	(void)state;
	assert_int_equal(files_write_text(".", "a.txt", "one"), 0);
	assert_int_equal(stat("a.txt", &before), 0);
	assert_int_equal(files_write_text(".", "a.txt", "one"), 0);
	assert_int_equal(stat("a.txt", &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(files_write_text(".", "a.txt", "two"), 0);
	assert_int_equal(stat("a.txt", &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	cJSON *json;
	assert_int_equal(files_read_json(".", "a.txt", &json), 0);
	assert_null(json);
	assert_int_equal(files_read_json(".", "none.json", &json), 0);
	assert_null(json);
	assert_string_equal(err_message(), "");
	assert_int_equal(files_write_text("none", "a.txt", "one"), ERR_IO);
}

static int parse(struct args *a, const char *values[4], int argc, char **argv)
{
	static const struct flag flags[] = {{"out", true, 'o'}, {"json", false, 'j'}, {NULL, false, 0}};
	int id, n = 0;
	args_init(a, flags, argc, argv);
	while ((id = args_next(a)) > 0)
		values[n++] = id == 'o' ? a->value : "json";
	return id;
}

static void args__come_in_every_form(void **state)
{
	char *argv[] = {"run", "a", "--out", "x", "--out=y=z", "--json", "--", "--out", "-"};
	const char *values[4] = {0};
	struct args a;
	long n;
	(void)state;
	assert_int_equal(parse(&a, values, 9, argv), 0);
	assert_string_equal(values[0], "x");
	assert_string_equal(values[1], "y=z");
	assert_string_equal(values[2], "json");
	assert_int_equal(a.n, 3);
	assert_string_equal(a.positional[0], "a");
	assert_string_equal(a.positional[1], "--out");
	assert_string_equal(a.positional[2], "-");
	assert_int_equal(parse(&a, values, 2, (char *[]){"run", "--json=1"}), ERR_CONFIG);
	assert_int_equal(parse(&a, values, 2, (char *[]){"run", "--out"}), ERR_CONFIG);
	assert_int_equal(parse(&a, values, 2, (char *[]){"run", "-x"}), ERR_CONFIG);
	assert_int_equal(parse(&a, values, 2, (char *[]){"run", "-h"}), COMMAND_HELP);
	assert_int_equal(args_number("--n", "12", 1, 12, &n), 0);
	assert_int_equal(n, 12);
	assert_int_equal(args_number("--n", "13", 1, 12, &n), ERR_CONFIG);
	assert_int_equal(args_number("--n", "1x", 1, 12, &n), ERR_CONFIG);
	assert_int_equal(args_number("--n", "", 0, 12, &n), ERR_CONFIG);
	assert_int_equal(args_number("--n", "99999999999999999999", 0, 12, &n), ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(report__counts_have_commas),
	    cmocka_unit_test(report__ratios_are_against_the_first_and_gaps_are_dashes),
	    cmocka_unit_test(report__has_a_row_for_each_of_a_hundred_models),
	    cmocka_unit_test(table__cells_are_whole_and_break_no_column),
	    cmocka_unit_test(table__a_failed_allocation_fails_what_is_written),
	    cmocka_unit_test(estimate__texts_have_a_fitting_unit),
	    cmocka_unit_test(estimate__prefers_the_stage_of_the_same_name),
	    cmocka_unit_test(files__that_say_the_same_stay_untouched), cmocka_unit_test(args__come_in_every_form)};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
