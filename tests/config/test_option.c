/* Option tables: values, defaults, messages, JSON, schema, listing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/option.h"

struct inner {
	int64_t depth;
	char *label;
};
struct block {
	bool nesterov;
	int64_t epochs, seed;
	double lr, eps;
	char *name;
	int schedule;
	struct option_ints hidden;
	struct option_floats mean;
	struct option_strings exclude, methods;
	struct inner inner;
};

static const char *const schedules[] = {"constant", "linear", "cosine", NULL};
static const struct option inner_table[] = {{.key = "depth",
						.type = OPT_INT,
						.offset = offsetof(struct inner, depth),
						.def = "3",
						.min = 1,
						.max = 9,
						.help = "levels"},
    {.key = "label", .type = OPT_STRING, .offset = offsetof(struct inner, label), .def = "none", .help = "a label"},
    OPTION_END};
#define ROW(k, t, ...)                                                                                                 \
	{                                                                                                              \
		.key = #k, .type = t, .offset = offsetof(struct block, k), __VA_ARGS__                                 \
	}
static const struct option table[] = {ROW(nesterov, OPT_BOOL, .def = "false", .help = "Nesterov momentum"),
    ROW(epochs, OPT_INT, .required = true, .min = 1, .max = 1000, .help = "passes"),
    ROW(seed, OPT_INT, .def = "42", .help = "any integer"),
    ROW(lr, OPT_FLOAT, .def = "1e-3", .min = 0, .max = 1, .help = "learning rate"),
    ROW(eps, OPT_FLOAT, .def = "0.1", .min = 0, .max = 1e30), ROW(name, OPT_STRING, .help = "a name"),
    ROW(schedule, OPT_CHOICE, .def = "linear", .choices = schedules, .help = "of the learning rate"),
    ROW(hidden, OPT_INTS, .def = "[128, 64]", .min = 1, .max = 4096, .help = "widths"),
    ROW(mean, OPT_FLOATS, .min = -1, .max = 1, .help = "per channel"), ROW(exclude, OPT_STRINGS, .help = "patterns"),
    ROW(methods, OPT_STRINGS, .def = "[cosine]", .choices = schedules, .help = "several"),
    ROW(inner, OPT_BLOCK, .block = inner_table, .help = "a block in a block"), OPTION_END};

static int parse(const char *text, struct yaml *y, struct block *b)
{
	static const char *const skip[] = {"kind", "teacher", NULL};
	memset(b, 0, sizeof(*b));
	int rc = yaml_parse("x.yaml", text, strlen(text), y);
	return rc ? rc : option_parse(table, b, y, y->root, skip);
}

static void assert_refused(const char *text, const char *message)
{
	static const struct block zero;
	struct yaml y;
	struct block b;
	assert_int_equal(parse(text, &y, &b), ERR_CONFIG);
	assert_string_equal(err_message(), message);
	/* Nothing is left behind: every field is released and zero. */
	assert_null(b.name);
	assert_null(b.hidden.v);
	assert_null(b.inner.label);
	assert_memory_equal(&b.exclude, &zero.exclude, sizeof(zero.exclude));
	yaml_clear(&y);
}

static void option__defaults_without_a_mapping(void **state)
{
	(void)state;
	struct block b = {0};
	assert_int_equal(option_parse(table, &b, NULL, NULL, NULL), 0);
	assert_false(b.nesterov);
	assert_int_equal(b.seed, 42);
	assert_true(b.lr == 1e-3);
	assert_null(b.name);
	assert_int_equal(b.schedule, 1);
	assert_int_equal(b.hidden.n, 2);
	assert_int_equal(b.hidden.v[1], 64);
	assert_int_equal(b.mean.n, 0);
	assert_string_equal(b.methods.v[0], "cosine");
	assert_int_equal(b.inner.depth, 3);
	assert_string_equal(b.inner.label, "none");
	option_clear(table, &b);
	static const struct block zero;
	assert_memory_equal(&b, &zero, sizeof(b));
}

static void option__values_of_every_type_are_read(void **state)
{
	(void)state;
	struct yaml y;
	struct block b;
	assert_int_equal(parse("kind: train\nepochs: 7\nnesterov: true\nseed: -9223372036854775808\nlr: .5\neps: 1E+2\n"
			       "name: '12'\nschedule: cosine\nhidden: 5\nmean: [-1, 0.25, +1.]\nexclude: [a*, null*]\n"
			       "methods: [linear, constant]\ninner: {depth: 9}\nteacher: {any: thing}\n",
			     &y, &b),
	    0);
	yaml_clear(&y); /* nothing in the block points into the tree */
	assert_true(b.nesterov);
	assert_int_equal(b.epochs, 7);
	assert_true(b.seed == INT64_MIN);
	assert_true(b.lr == 0.5 && b.eps == 100.0);
	assert_string_equal(b.name, "12");
	assert_int_equal(b.schedule, 2);
	assert_int_equal(b.hidden.n, 1);
	assert_int_equal(b.hidden.v[0], 5);
	assert_int_equal(b.mean.n, 3);
	assert_true(b.mean.v[0] == -1.0 && b.mean.v[1] == 0.25 && b.mean.v[2] == 1.0);
	assert_int_equal(b.exclude.n, 2);
	assert_string_equal(b.exclude.v[1], "null*");
	assert_int_equal(b.methods.n, 2);
	assert_int_equal(b.inner.depth, 9);
	assert_string_equal(b.inner.label, "none");
	option_clear(table, &b);
}

static void option__bounds_are_inclusive(void **state)
{
	(void)state;
	struct yaml y;
	struct block b;
	assert_int_equal(parse("{epochs: 1000, lr: 1, hidden: [1, 4096], mean: []}", &y, &b), 0);
	assert_int_equal(b.epochs, 1000);
	assert_int_equal(b.mean.n, 0);
	option_clear(table, &b);
	yaml_clear(&y);
	assert_int_equal(parse("{epochs: 1, lr: 0, eps: 0e9}", &y, &b), 0);
	option_clear(table, &b);
	yaml_clear(&y);
}

static void option__unknown_and_missing_keys_are_named(void **state)
{
	(void)state;
	assert_refused("epochs: 1\nshedule: cosine\n", "x.yaml:2:1: unknown key 'shedule'; did you mean 'schedule'?");
	assert_refused("epochs: 1\nkidn: x\n", "x.yaml:2:1: unknown key 'kidn'; did you mean 'kind'?");
	assert_refused("epochs: 1\nzzz: x\n",
	    "x.yaml:2:1: unknown key 'zzz'; allowed: nesterov, epochs, seed, lr, eps, name, schedule, hidden, mean, "
	    "exclude, methods, inner, kind, teacher");
	assert_refused(
	    "epochs: 1\ninner:\n  dept: 2\n", "x.yaml:3:3: inner: unknown key 'dept'; did you mean 'depth'?");
	assert_refused("lr: 1\n", "x.yaml:1:1: missing key 'epochs', a whole number in 1..1000");
	assert_refused("[1, 2]", "x.yaml:1:1: must be a mapping of keys to values, found a list");
	assert_refused("~", "x.yaml:1:1: must be a mapping of keys to values, found no value");
	assert_refused("epochs: 1\nepochs: 2\n", "x.yaml:2:1: duplicate key 'epochs', first given on line 1");
}

static void option__path_of_a_block_is_part_of_the_message(void **state)
{
	(void)state;
	static const char text[] = "stages:\n  prune:\n    epochs: 4\n    shcedule: linear\n";
	struct yaml y;
	struct block b = {0};
	assert_int_equal(yaml_parse("configs/x.yaml", text, strlen(text), &y), 0);
	const struct yaml_node *prune = yaml_get(yaml_get(y.root, "stages"), "prune");
	assert_int_equal(option_parse(table, &b, &y, prune, NULL), ERR_CONFIG);
	assert_string_equal(
	    err_message(), "configs/x.yaml:4:5: stages.prune: unknown key 'shcedule'; did you mean 'schedule'?");
	yaml_clear(&y);
}

static void option__wrong_values_say_what_is_allowed(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"lr: fast", "'lr' must be a number in 0..1, found 'fast'"},
	    {"lr: 2", "'lr' must be a number in 0..1, found '2'"},
	    {"lr: -0.1", "'lr' must be a number in 0..1, found '-0.1'"},
	    {"lr: '0.5'", "'lr' must be a number in 0..1, found '0.5' in quotes"},
	    {"lr:", "'lr' must be a number in 0..1, found no value"},
	    {"lr: ~", "'lr' must be a number in 0..1, found no value"},
	    {"lr: .inf", "'lr' must be a number in 0..1, found '.inf'"},
	    {"lr: nan", "'lr' must be a number in 0..1, found 'nan'"},
	    {"lr: 1e999", "'lr' must be a number in 0..1, found '1e999' (too large)"},
	    {"lr: 1e-999", "'lr' must be a number in 0..1, found '1e-999' (too near to zero)"},
	    {"lr: 0x1p-3", "'lr' must be a number in 0..1, found '0x1p-3'"},
	    {"lr: 1_0", "'lr' must be a number in 0..1, found '1_0'"},
	    {"lr: 1e", "'lr' must be a number in 0..1, found '1e'"},
	    {"lr: .", "'lr' must be a number in 0..1, found '.'"},
	    {"lr: 0,5", "'lr' must be a number in 0..1, found '0,5'"},
	    {"lr: [1]", "'lr' must be a number in 0..1, found a list"},
	    {"eps: -1", "'eps' must be a number in 0..1e+30, found '-1'"},
	    {"epochs: 0", "'epochs' must be a whole number in 1..1000, found '0'"},
	    {"epochs: 1.5", "'epochs' must be a whole number in 1..1000, found '1.5'"},
	    {"epochs: 1e2", "'epochs' must be a whole number in 1..1000, found '1e2'"},
	    {"epochs: 010", "'epochs' must be a whole number in 1..1000, found '010' (leading zeros)"},
	    {"epochs: 01", "'epochs' must be a whole number in 1..1000, found '01' (leading zeros)"},
	    {"epochs: 1_000", "'epochs' must be a whole number in 1..1000, found '1_000'"},
	    {"epochs: 0x10", "'epochs' must be a whole number in 1..1000, found '0x10'"},
	    {"epochs: {a: 1}", "'epochs' must be a whole number in 1..1000, found a mapping"},
	    {"seed: 9223372036854775808", "'seed' must be a whole number, found '9223372036854775808' (too large)"},
	    {"seed: -9223372036854775809", "'seed' must be a whole number, found '-9223372036854775809' (too small)"},
	    {"seed: 99999999999999999999999999999999999999999999",
		"'seed' must be a whole number, found '9999999999999999999999999999999999999999...' (too large)"},
	    {"nesterov: yes", "'nesterov' must be true or false, found 'yes'"},
	    {"nesterov: 1", "'nesterov' must be true or false, found '1'"},
	    {"nesterov: 'true'", "'nesterov' must be true or false, found 'true' in quotes"},
	    {"nesterov: TRUE", "'nesterov' must be true or false, found 'TRUE'"},
	    {"name: [a]", "'name' must be a text, found a list"},
	    {"name: null", "'name' must be a text, found no value"},
	    {"schedule: cosin",
		"'schedule' must be one of constant, linear, cosine, found 'cosin'; did you mean 'cosine'?"},
	    {"schedule: 7", "'schedule' must be one of constant, linear, cosine, found '7'"},
	    {"schedule: [linear]", "'schedule' must be one of constant, linear, cosine, found a list"},
	    {"hidden: [1, x]", "'hidden' must be a list of whole numbers in 1..4096, found 'x'"},
	    {"hidden: [1, 0]", "'hidden' must be a list of whole numbers in 1..4096, found '0'"},
	    {"hidden: [[1]]", "'hidden' must be a list of whole numbers in 1..4096, found a list"},
	    {"hidden: {a: 1}", "'hidden' must be a list of whole numbers in 1..4096, found a mapping"},
	    {"hidden:", "'hidden' must be a list of whole numbers in 1..4096, found no value"},
	    {"mean: [0, 2]", "'mean' must be a list of numbers in -1..1, found '2'"},
	    {"exclude: [a, ~]", "'exclude' must be a list of texts, found no value"},
	    {"exclude: [a, {b: 1}]", "'exclude' must be a list of texts, found a mapping"},
	    {"methods: [linear, liner]",
		"'methods' must be a list of constant, linear, cosine, found 'liner'; did you mean 'linear'?"},
	    {"inner: 3", "'inner' must be a mapping of keys to values, found '3'"},
	    {"inner: {depth: 10}", "'depth' must be a whole number in 1..9, found '10'"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct yaml y;
		struct block b;
		struct str text = {0};
		bool own = strncmp(cases[i][0], "epochs", 6) == 0;
		str_addf(&text, "%s%s\n", own ? "" : "epochs: 1\n", cases[i][0]);
		assert_int_equal(parse(str_text(&text), &y, &b), ERR_CONFIG);
		const char *message = err_message();
		assert_memory_equal(message, own ? "x.yaml:1:" : "x.yaml:2:", 9);
		assert_non_null(strstr(message, ": "));
		assert_string_equal(strstr(message, ": ") + 2, cases[i][1]);
		assert_null(b.hidden.v);
		assert_null(b.exclude.v);
		yaml_clear(&y);
		str_clear(&text);
	}
	assert_refused("epochs: 1\n\nlr:      fast\n", "x.yaml:3:10: 'lr' must be a number in 0..1, found 'fast'");
}

static void option__set_values_are_blamed_on_the_command_line(void **state)
{
	(void)state;
	struct yaml y;
	struct block b = {0};
	assert_int_equal(yaml_parse("x.yaml", "epochs: 1\n", 10, &y), 0);
	assert_int_equal(yaml_set(&y, "lr=3"), 0);
	assert_int_equal(option_parse(table, &b, &y, y.root, NULL), ERR_CONFIG);
	assert_string_equal(err_message(), "--set lr=3: 'lr' must be a number in 0..1, found '3'");
	assert_int_equal(yaml_set(&y, "lr=0.5"), 0);
	assert_int_equal(yaml_set(&y, "inner.dpeth=1"), 0);
	assert_int_equal(option_parse(table, &b, &y, y.root, NULL), ERR_CONFIG);
	assert_string_equal(err_message(), "--set inner.dpeth=1: inner: unknown key 'dpeth'; did you mean 'depth'?");
	yaml_clear(&y);
}

static void option__a_default_outside_its_own_row_is_an_error(void **state)
{
	(void)state;
	const struct option bad[] = {
	    {.key = "epochs", .type = OPT_INT, .def = "0", .min = 1, .max = 10, .offset = 0}, OPTION_END};
	int64_t epochs = 0;
	assert_int_equal(option_parse(bad, &epochs, NULL, NULL, NULL), ERR_CONFIG);
	assert_string_equal(
	    err_message(), "default of 'epochs':1:1: 'epochs' must be a whole number in 1..10, found '0'");
}

static void assert_json(cJSON *json, const char *expected)
{
	assert_non_null(json);
	char *text = cJSON_PrintUnformatted(json);
	assert_string_equal(text, expected);
	cJSON_free(text);
	cJSON_Delete(json);
}

static void option__json_has_every_key_and_reads_back(void **state)
{
	(void)state;
	struct yaml y;
	struct block b;
	assert_int_equal(
	    parse("{epochs: 5, seed: 9007199254740993, lr: 0.1, mean: [0.1, -1], exclude: ['a\"b']}", &y, &b), 0);
	cJSON *json = option_to_json(table, &b, NULL);
	option_clear(table, &b);
	yaml_clear(&y);
	assert_json(json,
	    "{\"nesterov\":false,\"epochs\":5,\"seed\":9007199254740993,\"lr\":0.1,\"eps\":0.1,\"name\":null,"
	    "\"schedule\":\"linear\",\"hidden\":[128,64],\"mean\":[0.1,-1],\"exclude\":[\"a\\\"b\"],"
	    "\"methods\":[\"cosine\"],\"inner\":{\"depth\":3,\"label\":\"none\"}}");
}

static void option__schema_repeats_the_table(void **state)
{
	(void)state;
	cJSON *schema = option_schema(table);
	assert_non_null(schema);
	cJSON *p = cJSON_GetObjectItem(schema, "properties");
	assert_int_equal(cJSON_GetArraySize(p), 12);
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(p, "lr"), true),
	    "{\"type\":\"number\",\"minimum\":0,\"maximum\":1,\"description\":\"learning rate\",\"default\":0.001}");
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(p, "seed"), true),
	    "{\"type\":\"integer\",\"description\":\"any integer\",\"default\":42}");
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(p, "schedule"), true),
	    "{\"enum\":[\"constant\",\"linear\",\"cosine\"],\"description\":\"of the learning "
	    "rate\","
	    "\"default\":\"linear\"}");
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(p, "hidden"), true),
	    "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":1,\"maximum\":4096},{\"type\":\"array\",\"items\":"
	    "{\"type\":\"integer\",\"minimum\":1,\"maximum\":4096}}],\"description\":\"widths\",\"default\":[128,64]}");
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(p, "inner"), true),
	    "{\"type\":\"object\",\"properties\":{\"depth\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9,"
	    "\"description\":\"levels\",\"default\":3},\"label\":{\"type\":\"string\",\"description\":\"a label\","
	    "\"default\":\"none\"}},\"required\":[],\"additionalProperties\":false,\"description\":\"a block in a "
	    "block\"}");
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(schema, "required"), true), "[\"epochs\"]");
	assert_true(cJSON_IsFalse(cJSON_GetObjectItem(schema, "additionalProperties")));
	cJSON_Delete(schema);
}

static void option__schema_takes_true_for_what_yaml_does(void **state)
{
	(void)state;
	static const char *const auto_or_bool[] = {"auto", "true", "false", NULL};
	const struct option rows[] = {
	    {.key = "batchnorm", .type = OPT_CHOICE, .def = "true", .choices = auto_or_bool}, OPTION_END};
	int choice = 0;
	assert_int_equal(option_parse(rows, &choice, NULL, NULL, NULL), 0);
	assert_int_equal(choice, 1);
	cJSON *schema = option_schema(rows);
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(cJSON_GetObjectItem(schema, "properties"), "batchnorm"), true),
	    "{\"enum\":[\"auto\",true,false],\"default\":true}");
	cJSON_Delete(schema);
}

static void option__explain_lists_every_row_in_columns(void **state)
{
	(void)state;
	struct str s = {0};
	option_explain(table, &s);
	const char *text = str_text(&s);
	assert_non_null(strstr(text, "\nlr        number      1e-3        0..1                      learning rate\n"));
	assert_non_null(strstr(text, "\nepochs    integer     (required)  1..1000                   passes\n"));
	assert_non_null(strstr(text, "\nschedule  choice      linear      constant, linear, cosine  of the"));
	assert_non_null(
	    strstr(text, "\ninner     block                                             a block in a block\n"));
	assert_non_null(strstr(text, "\n  depth   integer     3           1..9                      levels\n"));
	char *whole = s.text;
	s = (struct str){0};
	/* Wherever memory runs out, the result is marked as failed. */
	bool reached = true;
	for (uint64_t n = 1; reached; n++) {
		mem_fail_at(n);
		option_explain(table, &s);
		reached = mem_count() >= n;
		mem_fail_at(0);
		assert_int_equal(s.failed, reached);
		if (!reached)
			assert_string_equal(str_text(&s), whole);
		str_clear(&s);
	}
	mem_free(whole);
}

static void option__every_failing_allocation_is_survived(void **state)
{
	(void)state;
	static const char good[] = "{epochs: 5, name: n, hidden: [1, 2], exclude: [a, b], inner: {label: x}}";
	static const char *const bad[] = {"{epochs: 5, shedule: 1}", "{epochs: 5, lr: 9}", "{lr: 1}", "[1]"};
	static const struct block zero;
	struct yaml y;
	struct block b = {0};
	assert_int_equal(yaml_parse("x.yaml", good, strlen(good), &y), 0);
	uint64_t n = 1;
	for (int rc = -1; rc; n++) {
		mem_fail_at(n);
		rc = option_parse(table, &b, &y, y.root, NULL);
		mem_fail_at(0);
		if (rc) {
			assert_int_equal(rc, ERR_NOMEM);
			assert_memory_equal(&b, &zero, sizeof(b));
		}
	}
	assert_true(n > 40);
	assert_string_equal(b.inner.label, "x");
	option_clear(table, &b);
	yaml_clear(&y);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(yaml_parse("x.yaml", bad[i], strlen(bad[i]), &y), 0);
		for (int rc = ERR_NOMEM, k = 1; rc == ERR_NOMEM; k++) {
			mem_fail_at((uint64_t)k);
			rc = option_parse(table, &b, &y, y.root, NULL);
			mem_fail_at(0);
			assert_true(rc == ERR_NOMEM || rc == ERR_CONFIG);
			assert_memory_equal(&b, &zero, sizeof(b));
		}
		yaml_clear(&y);
	}
}

/* cJSON allocates by hooks of its own. */
static int json_left;
/* Options that depend on a choice, on a choice that depends on another, on a boolean, and on a key of the caller. */
struct dependent {
	int method, observer;
	bool timed;
	double percentile;
	int64_t runs, groups;
	double heat;
};
static const char *const methods[] = {"none", "count", "watch", NULL};
static const char *const observers[] = {"range", "share", NULL};
#define DEP(k, t, ...)                                                                                                 \
	{                                                                                                              \
		.key = #k, .type = t, .offset = offsetof(struct dependent, k), __VA_ARGS__                             \
	}
static const struct option dependent_table[] = {
    DEP(percentile, OPT_FLOAT, .def = "99", .when = "observer", .only = OPTION_BIT(1)),
    DEP(method, OPT_CHOICE, .def = "watch", .choices = methods),
    DEP(observer, OPT_CHOICE, .def = "range", .choices = observers, .when = "method", .only = OPTION_BIT(2)),
    DEP(groups, OPT_INT, .def = "3", .when = "method", .only = OPTION_BIT(1) | OPTION_BIT(2), .help = "of some"),
    DEP(timed, OPT_BOOL, .def = "true"), DEP(runs, OPT_INT, .def = "5", .when = "timed", .only = OPTION_TRUE),
    DEP(heat, OPT_FLOAT, .def = "4", .when = "teacher", .only = OPTION_GIVEN), OPTION_END};

static int parse_dependent(const char *text, struct dependent *d)
{
	static const char *const skip[] = {"teacher", NULL};
	struct yaml y;
	*d = (struct dependent){0};
	assert_int_equal(yaml_parse("t.yaml", text, strlen(text), &y), 0);
	int rc = option_parse(dependent_table, d, &y, y.root, skip);
	yaml_clear(&y);
	return rc;
}

static void only__an_option_without_effect_is_refused_where_it_stands(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"{method: none, groups: 3}",
		"t.yaml:1:16: groups has no effect with method none (only with method count, watch)"},
	    {"{percentile: 99}", "t.yaml:1:2: percentile has no effect with observer range (only with observer share)"},
	    {"{method: count, observer: share}", "observer has no effect with method count (only with method watch)"},
	    {"{timed: false, runs: 5}", "runs has no effect with timed false (only with timed true)"},
	    {"{heat: 4}", "t.yaml:1:2: heat has no effect without 'teacher'"},
	};
	static const char *const fine[] = {"{}", "{groups: 1, runs: 2}", "{method: count, groups: 1}",
	    "{observer: share, percentile: 50}", "{teacher: x, heat: 1}", "{teacher: x, timed: false}"};
	struct dependent d;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse_dependent(cases[i][0], &d), ERR_CONFIG);
		if (!strstr(err_message(), cases[i][1]))
			fail_msg("%s: %s", cases[i][0], err_message());
	}
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		if (parse_dependent(fine[i], &d) != 0)
			fail_msg("%s: %s", fine[i], err_message());
}

/* percentile is right for the observer, but nobody looks at the observer. */
static void only__what_depends_on_an_option_without_effect_has_none(void **state)
{
	(void)state;
	struct dependent d;
	static const struct option table_of_three[] = {DEP(method, OPT_CHOICE, .def = "none", .choices = methods),
	    DEP(observer, OPT_CHOICE, .def = "share", .choices = observers, .when = "method", .only = OPTION_BIT(2)),
	    DEP(percentile, OPT_FLOAT, .def = "99", .when = "observer", .only = OPTION_BIT(1)), OPTION_END};
	struct yaml y;
	const char text[] = "{percentile: 98}";
	assert_int_equal(yaml_parse("t.yaml", text, strlen(text), &y), 0);
	assert_int_equal(option_parse(table_of_three, &d, &y, y.root, NULL), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "percentile has no effect with method none (only with method watch)"));
	assert_int_equal(option_parse_resolved(table_of_three, &d, &y, y.root), 0);
	assert_true(d.percentile == 98);
	yaml_clear(&y);
}

struct parts {
	int method;
	int64_t folds, fold;
	double share;
};
#define PART(name, kind, ...)                                                                                          \
	{                                                                                                              \
		.key = #name, .type = kind, .offset = offsetof(struct parts, name), __VA_ARGS__                        \
	}
static const struct option parts_table[] = {PART(method, OPT_CHOICE, .def = "none", .choices = methods),
    PART(folds, OPT_INT, .def = "0", .max = 9, .when = "method", .only = OPTION_BIT(1)),
    PART(fold, OPT_INT, .def = "0", .max = 9, .when = "folds", .only = OPTION_POSITIVE),
    PART(share, OPT_FLOAT, .def = "0.5", .when = "folds", .only = OPTION_ZERO), OPTION_END};

/* share has its effect also where folds cannot be given. */
static void only__what_needs_a_number_to_be_0_needs_nothing_further(void **state)
{
	(void)state;
	struct parts p = {0};
	struct yaml y;
	assert_int_equal(yaml_parse("t.yaml", "{share: 1}", strlen("{share: 1}"), &y), 0);
	assert_int_equal(option_parse(parts_table, &p, &y, y.root, NULL), 0);
	yaml_clear(&y);
	assert_json(option_to_json(parts_table, &p, NULL), "{\"method\":\"none\",\"share\":1}");
	p = (struct parts){.method = 1, .folds = 3, .fold = 2, .share = 0.5};
	assert_json(option_to_json(parts_table, &p, NULL), "{\"method\":\"count\",\"folds\":3,\"fold\":2}");
	cJSON *schema = option_schema(parts_table);
	assert_json(cJSON_Duplicate(cJSON_GetArrayItem(cJSON_GetObjectItem(schema, "allOf"), 0), true),
	    "{\"if\":{\"properties\":{\"method\":{\"enum\":[\"none\",\"watch\"]}}},"
	    "\"then\":{\"properties\":{\"folds\":false,\"fold\":false}}}");
	cJSON_Delete(schema);
}

static void only__json_holds_what_has_an_effect(void **state)
{
	(void)state;
	static const char *const given[] = {"teacher", NULL};
	struct dependent d;
	assert_int_equal(parse_dependent("{method: count, timed: false, teacher: x}", &d), 0);
	assert_json(option_to_json(dependent_table, &d, NULL), "{\"method\":\"count\",\"groups\":3,\"timed\":false}");
	assert_json(option_to_json(dependent_table, &d, given),
	    "{\"method\":\"count\",\"groups\":3,\"timed\":false,\"heat\":4}");
	assert_int_equal(parse_dependent("{observer: share}", &d), 0);
	assert_json(option_to_json(dependent_table, &d, NULL),
	    "{\"percentile\":99,\"method\":\"watch\",\"observer\":\"share\",\"groups\":3,\"timed\":true,\"runs\":5}");
}

static void only__the_schema_says_if_and_then(void **state)
{
	(void)state;
	cJSON *schema = option_schema(dependent_table);
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(schema, "allOf"), true),
	    "[{\"if\":{\"properties\":{\"observer\":{\"enum\":[\"range\"]}}},\"then\":{\"properties\":{\"percentile\":"
	    "false}}},"
	    "{\"if\":{\"properties\":{\"method\":{\"enum\":[\"none\",\"count\"]}},\"required\":[\"method\"]},"
	    "\"then\":{\"properties\":{\"percentile\":false,\"observer\":false}}},"
	    "{\"if\":{\"properties\":{\"method\":{\"enum\":[\"none\"]}},\"required\":[\"method\"]},"
	    "\"then\":{\"properties\":{\"groups\":false}}},"
	    "{\"if\":{\"properties\":{\"timed\":{\"enum\":[false]}},\"required\":[\"timed\"]},"
	    "\"then\":{\"properties\":{\"runs\":false}}},"
	    "{\"if\":{\"not\":{\"required\":[\"teacher\"]}},\"then\":{\"properties\":{\"heat\":false}}}]");
	cJSON_Delete(schema);
	schema = option_schema(table);
	assert_null(cJSON_GetObjectItem(schema, "allOf"));
	cJSON_Delete(schema);
}

static void only__explain_groups_by_choice(void **state)
{
	(void)state;
	struct str s = {0};
	option_explain(dependent_table, &s);
	const char *text = str_text(&s), *method = strstr(text, "method "),
		   *group = strstr(text, "only with method watch:\n");
	assert_ptr_equal(method, text);
	assert_true(group && strstr(group, "\n  observer"));
	group = strstr(text, "only with method count, watch:\n  groups");
	assert_true(group && strstr(group, "of some\n"));
	assert_non_null(strstr(text, "only with timed true:\n  runs"));
	assert_non_null(strstr(text, "only with 'teacher':\n  heat"));
	str_clear(&s);
}

/* ---- what depends on a number, a text or a list ---- */

struct led {
	int64_t runs, batch;
	double share, warmth;
	char *file;
	int64_t size, strictness;
	struct option_ints hidden;
	double dropout;
};
#define LED(k, t, ...)                                                                                                 \
	{                                                                                                              \
		.key = #k, .type = t, .offset = offsetof(struct led, k), __VA_ARGS__                                   \
	}
static const struct option led_table[] = {LED(runs, OPT_INT, .def = "20", .max = 99),
    LED(batch, OPT_INT, .def = "32", .when = "runs", .only = OPTION_POSITIVE),
    LED(share, OPT_FLOAT, .def = "0", .max = 1),
    LED(warmth, OPT_FLOAT, .def = "4", .when = "share", .only = OPTION_ZERO), LED(file, OPT_STRING),
    LED(size, OPT_INT, .def = "8", .when = "file", .only = OPTION_ABSENT),
    LED(strictness, OPT_INT, .def = "1", .when = "file", .only = OPTION_GIVEN), LED(hidden, OPT_INTS),
    LED(dropout, OPT_FLOAT, .def = "0", .when = "hidden", .only = OPTION_GIVEN), OPTION_END};

static int parse_led(const char *text)
{
	struct yaml y;
	struct led l = {0};
	assert_int_equal(yaml_parse("t.yaml", text, strlen(text), &y), 0);
	int rc = option_parse(led_table, &l, &y, y.root, NULL);
	yaml_clear(&y);
	option_clear(led_table, &l);
	return rc;
}

static void only__numbers_texts_and_lists_lead_too(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"{runs: 0, batch: 32}", "t.yaml:1:11: batch has no effect with runs 0 (only with runs above 0)"},
	    {"{share: 0.1, warmth: 4}", "warmth has no effect with share above 0 (only with share 0)"},
	    {"{file: a, size: 9}", "size has no effect with file given (only with file not given)"},
	    {"{strictness: 1}", "strictness has no effect with file not given (only with file given)"},
	    {"{dropout: 0}", "dropout has no effect with hidden not given (only with hidden given)"},
	    {"{hidden: [], dropout: 0.5}", "dropout has no effect with hidden not given"},
	};
	static const char *const fine[] = {"{}", "{batch: 1}", "{runs: 1, batch: 1}", "{share: 0, warmth: 1}",
	    "{size: 3}", "{file: a, strictness: 2}", "{hidden: [3], dropout: 0.5}", "{runs: 0, share: 1, file: b}"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse_led(cases[i][0]), ERR_CONFIG);
		if (!strstr(err_message(), cases[i][1]))
			fail_msg("%s: %s", cases[i][0], err_message());
	}
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		if (parse_led(fine[i]) != 0)
			fail_msg("%s: %s", fine[i], err_message());
	cJSON *schema = option_schema(led_table);
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(schema, "allOf"), true),
	    "[{\"if\":{\"properties\":{\"runs\":{\"maximum\":0}},\"required\":[\"runs\"]},"
	    "\"then\":{\"properties\":{\"batch\":false}}},"
	    "{\"if\":{\"properties\":{\"share\":{\"exclusiveMinimum\":0}},\"required\":[\"share\"]},"
	    "\"then\":{\"properties\":{\"warmth\":false}}},"
	    "{\"if\":{\"required\":[\"file\"]},\"then\":{\"properties\":{\"size\":false}}},"
	    "{\"if\":{\"not\":{\"required\":[\"file\"]}},\"then\":{\"properties\":{\"strictness\":false}}},"
	    "{\"if\":{\"not\":{\"required\":[\"hidden\"]}},\"then\":{\"properties\":{\"dropout\":false}}}]");
	cJSON_Delete(schema);
	struct str text = {0};
	option_explain(led_table, &text);
	assert_non_null(strstr(str_text(&text), "only with runs above 0:\n  batch"));
	assert_non_null(strstr(str_text(&text), "only with file not given:\n  size"));
	str_clear(&text);
}

/* ---- former keys ---- */

struct renamed {
	bool on;
	double limit;
};
static const struct option renamed_table[] = {
    {.key = "on", .type = OPT_BOOL, .offset = offsetof(struct renamed, on), .def = "true", .help = "a switch"},
    {.key = "limit",
	.former = "old_limit",
	.type = OPT_FLOAT,
	.offset = offsetof(struct renamed, limit),
	.def = "3",
	.min = 0,
	.max = 9,
	.when = "on",
	.only = OPTION_TRUE,
	.help = "a limit"},
    OPTION_END};

static int parse_renamed(const char *text, struct renamed *r)
{
	struct yaml y;
	*r = (struct renamed){0};
	assert_int_equal(yaml_parse("r.yaml", text, strlen(text), &y), 0);
	int rc = option_parse(renamed_table, r, &y, y.root, NULL);
	yaml_clear(&y);
	return rc;
}

static void former__either_name_is_read_and_the_new_one_written(void **state)
{
	(void)state;
	struct renamed r;
	assert_int_equal(parse_renamed("{limit: 5}", &r), 0);
	assert_true(r.limit == 5);
	assert_int_equal(parse_renamed("{old_limit: 4}", &r), 0);
	assert_true(r.limit == 4);
	assert_json(option_to_json(renamed_table, &r, NULL), "{\"on\":true,\"limit\":4}");
	assert_int_equal(parse_renamed("{}", &r), 0);
	assert_true(r.limit == 3);
}

static void former__names_are_checked_like_the_new_ones(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"{limit: 5, old_limit: 5}", "r.yaml:1:12: 'old_limit' is the former name of 'limit', which is given too"},
	    {"{old_limit: 4, limit: 5}", "r.yaml:1:2: 'old_limit' is the former name of 'limit', which is given too"},
	    {"{old_limit: 10}", "r.yaml:1:13: 'limit' must be a number in 0..9, found '10'"},
	    {"{on: false, old_limit: 4}", "r.yaml:1:13: old_limit has no effect with on false (only with on true)"},
	    {"{old_limt: 4}", "r.yaml:1:2: unknown key 'old_limt'; allowed: on, limit"}};
	struct renamed r;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse_renamed(cases[i][0], &r), ERR_CONFIG);
		assert_string_equal(err_message(), cases[i][1]);
	}
}

static void former__the_schema_takes_one_of_the_names(void **state)
{
	(void)state;
	cJSON *schema = option_schema(renamed_table);
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(schema, "properties"), true),
	    "{\"on\":{\"type\":\"boolean\",\"description\":\"a switch\",\"default\":true},"
	    "\"limit\":{\"type\":\"number\",\"minimum\":0,\"maximum\":9,\"description\":\"a limit\",\"default\":3},"
	    "\"old_limit\":{\"type\":\"number\",\"minimum\":0,\"maximum\":9,\"description\":\"a limit\",\"default\":3,"
	    "\"deprecated\":true}}");
	assert_json(cJSON_Duplicate(cJSON_GetObjectItem(schema, "allOf"), true),
	    "[{\"if\":{\"properties\":{\"on\":{\"enum\":[false]}},\"required\":[\"on\"]},"
	    "\"then\":{\"properties\":{\"limit\":false,\"old_limit\":false}}},"
	    "{\"not\":{\"required\":[\"limit\",\"old_limit\"]}}]");
	cJSON_Delete(schema);
}

static void former__names_are_not_explained(void **state)
{
	(void)state;
	struct str s = {0};
	option_explain(renamed_table, &s);
	assert_non_null(strstr(str_text(&s), "limit"));
	assert_null(strstr(str_text(&s), "old_limit"));
	str_clear(&s);
}

static void *failing_malloc(size_t n)
{
	return json_left-- > 0 ? malloc(n) : NULL;
}

static void option__json_survives_every_failing_allocation(void **state)
{
	(void)state;
	struct block b = {0};
	assert_int_equal(option_parse(table, &b, NULL, NULL, NULL), 0);
	cJSON_Hooks hooks = {failing_malloc, free};
	for (int which = 0; which < 4; which++) {
		int n = 0;
		for (cJSON *json = NULL; !json; n++) {
			json_left = n;
			cJSON_InitHooks(&hooks);
			json = which == 0   ? option_to_json(table, &b, NULL)
			       : which == 1 ? option_schema(table)
			       : which == 2 ? option_schema(dependent_table)
					    : option_schema(renamed_table);
			cJSON_InitHooks(NULL);
			if (json) {
				cJSON_Delete(json);
				break;
			}
		}
		assert_true(n > 20);
	}
	/* The schema reads defaults, which allocates by ours. */
	const struct option *const tables[] = {table, dependent_table};
	for (int which = 0; which < 2; which++) {
		bool reached = true;
		for (uint64_t n = 1; reached; n++) {
			mem_fail_at(n);
			cJSON *schema = option_schema(tables[which]);
			reached = mem_count() >= n;
			mem_fail_at(0);
			assert_int_equal(!schema, reached);
			cJSON_Delete(schema);
		}
	}
	option_clear(table, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(option__defaults_without_a_mapping),
	    cmocka_unit_test(option__values_of_every_type_are_read),
	    cmocka_unit_test(option__bounds_are_inclusive),
	    cmocka_unit_test(option__unknown_and_missing_keys_are_named),
	    cmocka_unit_test(option__path_of_a_block_is_part_of_the_message),
	    cmocka_unit_test(option__wrong_values_say_what_is_allowed),
	    cmocka_unit_test(option__set_values_are_blamed_on_the_command_line),
	    cmocka_unit_test(option__a_default_outside_its_own_row_is_an_error),
	    cmocka_unit_test(option__json_has_every_key_and_reads_back),
	    cmocka_unit_test(option__schema_repeats_the_table),
	    cmocka_unit_test(option__schema_takes_true_for_what_yaml_does),
	    cmocka_unit_test(option__explain_lists_every_row_in_columns),
	    cmocka_unit_test(only__an_option_without_effect_is_refused_where_it_stands),
	    cmocka_unit_test(only__what_depends_on_an_option_without_effect_has_none),
	    cmocka_unit_test(only__what_needs_a_number_to_be_0_needs_nothing_further),
	    cmocka_unit_test(only__json_holds_what_has_an_effect),
	    cmocka_unit_test(only__the_schema_says_if_and_then),
	    cmocka_unit_test(only__explain_groups_by_choice),
	    cmocka_unit_test(only__numbers_texts_and_lists_lead_too),
	    cmocka_unit_test(option__every_failing_allocation_is_survived),
	    cmocka_unit_test(former__either_name_is_read_and_the_new_one_written),
	    cmocka_unit_test(former__names_are_checked_like_the_new_ones),
	    cmocka_unit_test(former__the_schema_takes_one_of_the_names),
	    cmocka_unit_test(former__names_are_not_explained),
	    cmocka_unit_test(option__json_survives_every_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
