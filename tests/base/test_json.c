/* Strict JSON: what cJSON lets pass is refused, with line and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"

static void refused(const char *text, const char *message)
{
	cJSON *json;

	assert_int_equal(json_parse("t.json", text, strlen(text), &json), ERR_CHECKPOINT);
	assert_string_equal(err_message(), message);
	assert_null(json);
}

static void json__faults_have_a_place(void **state)
{
	cJSON *json;

	(void)state;
	refused("{\"a\":\n x}", "t.json:2:2: not valid JSON");
	refused("{} {}", "t.json:1:4: text after the JSON value");
	refused("{\"a\":1,\"a\":2}", "t.json: key 'a' occurs twice in one object");
	refused("{\"a\":0,\"b\":1,\"b\":2}", "t.json: key 'b' occurs twice in one object");
	refused("[{\"b\":0,\"a\":1,\"b\":2}]", "t.json: key 'b' occurs twice in one object");
	assert_int_equal(json_parse_line("t.jsonl", 7, "{\"a\":x}", 7, &json), ERR_DATA);
	assert_string_equal(err_message(), "t.jsonl:7:6: not valid JSON");
	assert_int_equal(json_parse_line("t.jsonl", 7, "{\"a\":1,\"a\":2}", 13, &json), ERR_DATA);
	assert_string_equal(err_message(), "t.jsonl:7: key 'a' occurs twice in one object");
}

static void json__a_string_is_never_cut_at_a_nul(void **state)
{
	cJSON *json;
	const char *escaped = "{\"a\":\"x\\\\u0000y\\\\\"}";

	(void)state;
	refused("{\"a\":\"x\\u0000y\"}", "t.json:1:8: the character NUL inside a string");
	refused("{\"a\":\"\\\\\\u0000\"}", "t.json:1:9: the character NUL inside a string");
	assert_int_equal(json_parse("t.json", "[\"\0\"]", 5, &json), ERR_CHECKPOINT);
	assert_string_equal(err_message(), "t.json:1:3: a NUL byte inside JSON text");
	assert_int_equal(json_parse("t.json", escaped, strlen(escaped), &json), 0);
	assert_string_equal(cJSON_GetObjectItem(json, "a")->valuestring, "x\\u0000y\\");
	cJSON_Delete(json);
}

static void json__numbers_begin_with_no_zero(void **state)
{
	static const char *const good[] = {"[0, 0.5, -0, -0.5, 10, 1e05, 1.00e-07]", "{\"01\":\"\\\"02, 03\"}"};
	cJSON *json;

	(void)state;
	refused("{\"a\":01}", "t.json:1:6: a number with a leading zero");
	refused("[1, -007]", "t.json:1:5: a number with a leading zero");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(json_parse("t.json", good[i], strlen(good[i]), &json), 0);
		cJSON_Delete(json);
	}
}

static void json__whole_numbers_are_those_that_a_double_holds_exactly(void **state)
{
	static const char *const none[] = {
	    "-1", "0.5", "9007199254740994", "18446744073709551615", "1e300", "\"1\"", "true"};
	static const struct {
		const char *text;
		uint64_t value;
	} known[] = {{"0", 0}, {"7", 7}, {"1e3", 1000}, {"9007199254740992", 9007199254740992U}};
	uint64_t v;
	cJSON *json;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_int_equal(json_parse("t.json", known[i].text, strlen(known[i].text), &json), 0);
		assert_true(json_uint(json, &v));
		assert_int_equal(v, known[i].value);
		cJSON_Delete(json);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_int_equal(json_parse("t.json", none[i], strlen(none[i]), &json), 0);
		if (json_uint(json, &v))
			fail_msg("%s is taken for %llu", none[i], (unsigned long long)v);
		cJSON_Delete(json);
	}
	assert_false(json_uint(NULL, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json__faults_have_a_place),
	    cmocka_unit_test(json__a_string_is_never_cut_at_a_nul),
	    cmocka_unit_test(json__numbers_begin_with_no_zero),
	    cmocka_unit_test(json__whole_numbers_are_those_that_a_double_holds_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
