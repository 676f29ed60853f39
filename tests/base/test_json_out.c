/* JSON that is written: its text, and that one failed allocation anywhere fails the whole document. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"

static int allocations, fail_at; /* 1: the first */

static void *allocate(size_t n)
{
	return ++allocations == fail_at ? NULL : malloc(n);
}

static int write_all(cJSON **out)
{
	bool ok;
	struct json_out root = json_out_begin(&ok), list, in;

	json_out_text(root, "name", "fc1");
	json_out_text(root, "why", NULL);
	list = json_out_list(root, "layers");
	json_out_number(json_out_object(list, NULL), "ms", 1.5);
	json_out_number(list, NULL, 7);
	json_out_text(list, NULL, "seven");
	in = json_out_object(root, "in");
	json_out_bool(in, "yes", true);
	json_out_null(in, "no");
	json_out_exact(in, "third", 1.0 / 3);
	json_out_number(in, "none", NAN);
	json_out_exact(in, "more", INFINITY);
	json_out_item(in, "item", cJSON_CreateArray());
	return json_out_end(root, out);
}

static void json_out__writes_what_it_is_told(void **state)
{
	cJSON *json;
	char *text;

	(void)state;
	assert_int_equal(write_all(&json), 0);
	text = cJSON_PrintUnformatted(json);
	assert_string_equal(text,
	    "{\"name\":\"fc1\",\"why\":null,\"layers\":[{\"ms\":1.5},7,\"seven\"],"
	    "\"in\":{\"yes\":true,\"no\":null,\"third\":0.33333333333333331,\"none\":null,\"more\":null,\"item\":[]}}");
	cJSON_free(text);
	cJSON_Delete(json);
}

/* A path may have any bytes; a document may not. */
static void json_print__gives_utf8_whatever_the_names_are(void **state)
{
	static const char *const texts[][2] = {{"caf\xe9", "\"caf\xef\xbf\xbd\""},
	    {"\xf0\x9f\x98", "\"\xef\xbf\xbd\""}, /* as long as what stands for it */
	    {"\xff\xfe", "\"\xef\xbf\xbd\xef\xbf\xbd\""}, {"caf\xc3\xa9", "\"caf\xc3\xa9\""}};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		cJSON *json = cJSON_CreateString(texts[i][0]);
		char *text = json_print(json, i % 2);
		assert_string_equal(text, texts[i][1]);
		cJSON_free(text);
		cJSON_Delete(json);
	}
}

static void json_out__one_failure_fails_the_document(void **state)
{
	cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};
	cJSON *json = NULL;
	int n;

	(void)state;
	cJSON_InitHooks(&hooks);
	allocations = fail_at = 0;
	assert_int_equal(write_all(&json), 0);
	cJSON_Delete(json);
	n = allocations;
	assert_true(n > 15);
	for (fail_at = 1; fail_at <= n; fail_at++) {
		allocations = 0;
		json = (cJSON *)state;
		assert_int_equal(write_all(&json), ERR_NOMEM);
		assert_null(json);
	}
	fail_at = 0;
	cJSON_InitHooks(NULL);
}

static void json_out__adds_to_an_object_that_stays_its_owners(void **state)
{
	cJSON *mine = cJSON_CreateObject();
	bool ok = false;
	struct json_out j = json_out_into(mine, &ok);

	(void)state;
	json_out_number(j, "a", 1);
	assert_int_equal(json_out_check(j), 0);
	json_out_item(j, "b", NULL); /* what a caller could not make */
	json_out_number(j, "c", 3);
	assert_int_equal(json_out_check(j), ERR_NOMEM);
	assert_int_equal(cJSON_GetArraySize(mine), 1);
	cJSON_Delete(mine);
	j = json_out_into(NULL, &ok);
	json_out_number(j, "a", 1);
	assert_int_equal(json_out_check(j), ERR_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_out__writes_what_it_is_told),
	    cmocka_unit_test(json_print__gives_utf8_whatever_the_names_are),
	    cmocka_unit_test(json_out__one_failure_fails_the_document),
	    cmocka_unit_test(json_out__adds_to_an_object_that_stays_its_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
