/* What the tests of inputs share: options from YAML, JSON with a fault, a folder of the test's own. */
#ifndef TESTS_INPUT_RIG_H
#define TESTS_INPUT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "input/encoding.h"

#define assert_ok(call) assert_string_equal((call) == 0 ? "" : err_message(), "")
#define assert_error(call, code, part)                                                                                 \
	do {                                                                                                           \
		assert_int_equal(call, code);                                                                          \
		if (!strstr(err_message(), part))                                                                      \
			fail_msg("'%s' is not in '%s'", part, err_message());                                          \
	} while (0)

static inline void parse(const struct option *table, void *block, const char *text)
{
	struct yaml y;
	assert_ok(yaml_parse("t", text, strlen(text), &y));
	assert_ok(option_parse(table, block, &y, y.root, NULL));
	yaml_clear(&y);
}

/* `json`, written with single quotes, with `from` replaced by `to`. */
static inline cJSON *damaged(const char *json, const char *from, const char *to)
{
	char text[2048];
	const char *at = strstr(json, from);
	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	cJSON *out = cJSON_Parse(text);
	if (!out)
		fail_msg("no JSON: %s", text);
	return out;
}

#endif
