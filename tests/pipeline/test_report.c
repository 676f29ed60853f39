/* Tables, numbers for people, files that stay untouched, arguments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/config_text.h"
#include "pipeline/command.h"
#include "pipeline/estimate.h"
#include "pipeline/files.h"
#include "pipeline/report.h"
#include "pipeline/screen.h"
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
	cJSON *models =
	    cJSON_Parse("[{\"name\":\"a\",\"technique\":\"baseline\",\"precision\":\"fp32\",\"metric\":\"accuracy\","
			"\"test\":{\"accuracy\":0.9753,\"f1_macro\":0.97,\"f1_micro\":0.5,\"loss\":2},\"parameters\":"
			"12345,\"sparsity_pct\":0,\"bytes\":4000,\"latency_ms_median\":0.5,"
			"\"latency_ms_p95\":0.6},"
			"{\"name\":\"b\",\"technique\":\"qat\",\"precision\":\"w4a8\",\"simulated\":true,\"metric\":"
			"\"accuracy\",\"test\":{\"accuracy\":0.5},"
			"\"bytes\":1000,\"latency_ms_median\":0.25}]");
	struct str text = {0};
	(void)state;
	report_models(models, true, &text);
	has_row(str_text(&text), "|model|technique|precision|testacc%|macroF1|parameters|");
	has_row(str_text(&text), "|a|baseline|fp32|97.53|0.9700|12,345|0.0|4,000|1.00x|0.5000|0.6000|1.00x|");
	has_row(str_text(&text), "|b|qat|w4a8(simulated)|50.00|-|-|-|1,000|4.00x|0.2500|-|2.00x|");
	str_clear(&text);
	report_models(NULL, false, &text); /* nothing evaluated: the head alone */
	assert_non_null(strstr(str_text(&text), "model"));
	str_clear(&text);
	cJSON_Delete(models);
}

/* Several labels: the primary metric is no share, so it is not in per cent. */
static void report__columns_are_the_rows_of_the_task(void **state)
{
	cJSON *models = cJSON_Parse(
	    "[{\"name\":\"a\",\"metric\":\"roc_auc_macro\",\"test\":{\"f1_macro\":0.75,\"f1_micro\":0.7,"
	    "\"exact_match\":0.5,\"hamming_loss\":0.1,\"loss\":0.3}},"
	    "{\"name\":\"b\",\"metric\":\"roc_auc_macro\",\"test\":{\"roc_auc_macro\":0.875,\"exact_match\":0.25}}]");
	struct str text = {0};
	(void)state;
	report_models(models, true, &text);
	has_row(str_text(&text), "|model|technique|precision|testROCAUC|macroF1|exact%|parameters|");
	has_row(str_text(&text), "|a|||-|0.7500|50.00|-|");
	has_row(str_text(&text), "|b|||0.8750|-|25.00|-|");
	str_clear(&text);
	cJSON_Delete(models);
}

static void report__figures_also_have_flat_names(void **state)
{
	cJSON *s = cJSON_Parse("{\"val\":{\"accuracy\":0.5,\"loss\":1.5},\"models\":[{\"metric\":\"accuracy\","
			       "\"test\":{\"accuracy\":0.25,\"f1_macro\":0.125},\"test_interval_95\":[0.2,0.3]}]}");
	(void)state;
	assert_int_equal(report_flatten(s), 0);
	const cJSON *m = cJSON_GetArrayItem(cJSON_GetObjectItem(s, "models"), 0);
	assert_true(cJSON_GetObjectItem(s, "val_accuracy")->valuedouble == 0.5);
	assert_true(cJSON_GetObjectItem(s, "val_loss")->valuedouble == 1.5);
	assert_true(cJSON_GetObjectItem(m, "test_accuracy")->valuedouble == 0.25);
	assert_true(cJSON_GetObjectItem(m, "test_f1_macro")->valuedouble == 0.125);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(m, "test_accuracy_interval_95")), 2);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(m, "test")), 2);
	cJSON_Delete(s);
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
		snprintf(row, sizeof(row), "|model%d|||-|-|%d|", i, 1000 - i);
		has_row(str_text(&out), row);
	}
	str_clear(&out);
	assert_int_equal(setenv("COLUMNS", "1000", 1), 0);
	report_models(models, false, &out);
	assert_int_equal(unsetenv("COLUMNS"), 0);
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
	table_markdown(&t, &out);
	has_row(str_text(&out), "|a\\|b|1|\n|?[31m?red?|22|\n|\xc3\xa9??|3|\n");
	assert_non_null(strstr(str_text(&out), name));
	str_clear(&out);
	table_write(&t, 0, &out);
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

/* Width of the longest line, in characters. */
static int widest(const char *text)
{
	int most = 0, wide = 0;
	for (; *text; text++) {
		wide = *text == '\n' ? 0 : wide + 1;
		most = wide > most ? wide : most;
	}
	return most;
}

/* Five columns of nine characters beside a name: blocks, which repeat the name, and no cell is lost. */
static void table__columns_are_folded_to_the_width(void **state)
{
	static const char *const head[] = {"n", "c1234567a", "c1234567b", "c1234567c", "c1234567d", "c1234567e"};
	struct table t;
	struct str out = {0};
	(void)state;
	table_open(&t, head, 6);
	for (int i = 0; i < 6; i++)
		table_add(&t, i ? "v%d" : "name", i);
	table_write(&t, 26, &out); /* 4 + 2 * (2 + 9) are exactly as wide */
	assert_string_equal(str_text(&out), "n     c1234567a  c1234567b\n"
					    "name         v1         v2\n"
					    "\n"
					    "n     c1234567c  c1234567d\n"
					    "name         v3         v4\n"
					    "\n"
					    "n     c1234567e\n"
					    "name         v5\n");
	str_clear(&out);
	table_write(&t, 25, &out);
	assert_int_equal(widest(str_text(&out)), 15);
	str_clear(&out);
	table_write(&t, 1, &out); /* a block has one column at least */
	assert_int_equal(lines_of(str_text(&out)), 5 * 3 - 1);
	str_clear(&out);
	table_write(&t, 59, &out);
	assert_int_equal(lines_of(str_text(&out)), 2);
	str_clear(&out);
	table_close(&t);
}

/* Paths of two hundred characters: what tells them apart is at their end. */
static void table__long_names_are_shortened_to_the_width(void **state)
{
	static const char *const head[] = {"n", "c1234567a", "c1234567b"};
	char path[201], both[220];
	struct table t;
	struct str out = {0};
	(void)state;
	memset(path, 'p', sizeof(path));
	path[200] = '\0';
	table_open(&t, head, 3);
	for (int i = 0; i < 2; i++) {
		snprintf(both, sizeof(both), "%s/run%d", path, i);
		table_add(&t, "%s", both);
		table_add(&t, "1");
		table_add(&t, "2");
	}
	table_add(&t, "short");
	table_add(&t, "3");
	table_add(&t, "4");
	table_write(&t, 40, &out);
	assert_int_equal(widest(str_text(&out)), 40);
	assert_non_null(strstr(str_text(&out), "\n...ppppppppppppppppppppp/run0          1"));
	assert_non_null(strstr(str_text(&out), "/run1          2\n"));
	assert_non_null(strstr(str_text(&out), "\nshort "));
	str_clear(&out);
	table_close(&t);
}

/* Ideographs take two columns of the terminal, marks that sit on a letter none. */
static void table__columns_are_those_of_the_terminal(void **state)
{
	static const char *const head[] = {"n", "x"};
	struct table t;
	struct str out = {0};
	(void)state;
	table_open(&t, head, 2);
	table_add(&t, "\xe7\x8c\xab\xe7\x8c\xab"); /* two cats */
	table_add(&t, "1");
	table_add(&t, "e\xcc\x81"); /* e and an accent */
	table_add(&t, "2");
	table_add(&t, "\xff"); /* no UTF-8: one column */
	table_add(&t, "%060d", 7);
	table_write(&t, 0, &out);
	assert_string_equal(str_text(&out),
	    "n                                                                x\n"
	    "\xe7\x8c\xab\xe7\x8c\xab                                                             1\n"
	    "e\xcc\x81                                                                2\n"
	    "\xff     000000000000000000000000000000000000000000000000000000000007\n");
	str_clear(&out);
	table_write(&t, 40, &out); /* a cell beside the name is shortened, too */
	assert_non_null(strstr(str_text(&out), "\n\xff     ...00000000000000000000007\n"));
	str_clear(&out);
	table_close(&t);
}

static void table__screen_is_what_columns_says(void **state)
{
	static const struct {
		const char *text;
		int width;
	} cases[] = {{"132", 132}, {"40", 40}, {"", 0}, {"x", 0}, {"7", 0}, {"80x", 0}, {"99999999999999999999", 0}};
	(void)state;
	assert_int_equal(unsetenv("COLUMNS"), 0);
	int usual = screen_width(STDOUT_FILENO); /* of the terminal that the test may run in, else 0: no limit */
	assert_true(usual == 0 || usual >= 20);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(setenv("COLUMNS", cases[i].text, 1), 0);
		assert_int_equal(screen_width(STDOUT_FILENO), cases[i].width ? cases[i].width : usual);
	}
	assert_int_equal(unsetenv("COLUMNS"), 0);
}

/* Of a usual run, with every column filled. */
static void report__fits_eighty_columns(void **state)
{
	cJSON *models =
	    cJSON_Parse("[{\"name\":\"student_small\",\"technique\":\"vanilla_kd\",\"precision\":\"int8 dynamic\","
			"\"simulated\":true,\"metric\":\"accuracy\",\"test\":{\"accuracy\":0.9753,\"f1_macro\":0.97},"
			"\"parameters\":109482240,\"sparsity_pct\":50,\"bytes\":437928960,\"latency_ms_median\":105.5,"
			"\"latency_ms_p95\":120.6}]");
	struct str text = {0};
	(void)state;
	assert_int_equal(setenv("COLUMNS", "80", 1), 0);
	report_models(models, false, &text);
	assert_true(widest(str_text(&text)) <= 80);
	assert_non_null(strstr(str_text(&text), "437,928,960"));
	assert_non_null(strstr(str_text(&text), "120.6"));
	str_clear(&text);
	assert_int_equal(unsetenv("COLUMNS"), 0);
	cJSON_Delete(models);
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
		if (n % 2)
			table_write(&t, 0, &out);
		else
			table_markdown(&t, &out);
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
	    cmocka_unit_test(report__columns_are_the_rows_of_the_task),
	    cmocka_unit_test(report__figures_also_have_flat_names), cmocka_unit_test(report__fits_eighty_columns),
	    cmocka_unit_test(table__columns_are_folded_to_the_width),
	    cmocka_unit_test(table__long_names_are_shortened_to_the_width),
	    cmocka_unit_test(table__columns_are_those_of_the_terminal),
	    cmocka_unit_test(table__screen_is_what_columns_says),
	    cmocka_unit_test(report__has_a_row_for_each_of_a_hundred_models),
	    cmocka_unit_test(table__cells_are_whole_and_break_no_column),
	    cmocka_unit_test(table__a_failed_allocation_fails_what_is_written),
	    cmocka_unit_test(estimate__texts_have_a_fitting_unit),
	    cmocka_unit_test(estimate__prefers_the_stage_of_the_same_name),
	    cmocka_unit_test(files__that_say_the_same_stay_untouched), cmocka_unit_test(args__come_in_every_form)};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
