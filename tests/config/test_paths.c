/* Paths of a config: what stands for other text in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "config/option.h"

struct places {
	char *one, *plain;
	struct option_strings many;
};

static const struct option places_table[] = {
    {.key = "one", .type = OPT_STRING, .offset = offsetof(struct places, one), .path = true, .help = "a path"},
    {.key = "plain", .type = OPT_STRING, .offset = offsetof(struct places, plain), .help = "no path"},
    {.key = "many", .type = OPT_STRINGS, .offset = offsetof(struct places, many), .path = true, .help = "paths"},
    OPTION_END,
};

static void paths__have_home_and_variables_replaced(void **state)
{
	static const char text[] = "{one: ~/x, plain: ~/$A, many: [$A/y, '${A}b$A', a~, '$$A$', '/$.c', '~']}";
	static const char *const many[] = {"/at a/y", "/at ab/at a", "a~", "$A$", "/$.c", "/home/me"};
	struct places p = {0};
	struct yaml y;
	(void)state;
	setenv("HOME", "/home/me", 1);
	setenv("A", "/at a", 1);
	assert_int_equal(yaml_parse("t", text, strlen(text), &y), 0);
	if (option_parse(places_table, &p, &y, y.root, NULL) != 0)
		fail_msg("%s", err_message());
	assert_string_equal(p.one, "/home/me/x");
	assert_string_equal(p.plain, "~/$A");
	assert_int_equal(p.many.n, 6);
	for (int i = 0; i < 6; i++)
		assert_string_equal(p.many.v[i], many[i]);
	option_clear(places_table, &p);
	/* What was resolved is not resolved again. */
	assert_int_equal(option_parse_resolved(places_table, &p, &y, y.root), 0);
	assert_string_equal(p.one, "~/x");
	assert_string_equal(p.many.v[3], "$$A$");
	option_clear(places_table, &p);
	yaml_clear(&y);
}

static void paths__with_unset_variables_are_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {{"{one: $NOT_SET_1/x}", "t:1:7: '$NOT_SET_1/x': the environment variable NOT_SET_1 is not set"},
	    {"{many: [a, '${EMPTY}']}", "t:1:12: '${EMPTY}': the environment variable EMPTY is empty"},
	    {"{one: '${A'}", "'${A': '${' must be followed by the name"}, {"{one: '${1}'}", "'${' must be followed by"},
	    {"{one: ~/x}", "the environment variable HOME is not set"}};
	struct places p = {0};
	struct yaml y;
	(void)state;
	setenv("EMPTY", "", 1);
	unsetenv("NOT_SET_1");
	unsetenv("HOME");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(yaml_parse("t", cases[i].text, strlen(cases[i].text), &y), 0);
		assert_int_equal(option_parse(places_table, &p, &y, y.root, NULL), ERR_CONFIG);
		if (!strstr(err_message(), cases[i].says))
			fail_msg("%s", err_message());
		yaml_clear(&y);
	}
}

static void paths__have_a_length(void **state)
{
	static const char text[] = "{one: $LONG$LONG$LONG$LONG}";
	static char value[20000];
	struct places p = {0};
	struct yaml y;
	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	setenv("LONG", value, 1);
	assert_int_equal(yaml_parse("t", text, strlen(text), &y), 0);
	assert_int_equal(option_parse(places_table, &p, &y, y.root, NULL), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "stands for more than 65536 bytes"));
	yaml_clear(&y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(paths__have_home_and_variables_replaced),
	    cmocka_unit_test(paths__with_unset_variables_are_refused),
	    cmocka_unit_test(paths__have_a_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
