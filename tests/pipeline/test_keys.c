/* Why a stage runs again: what is told of the parts of two keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pipeline/keys.h"

#define HASH_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HASH_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void tells(const char *then, const char *now, const char *expected)
{
	static struct stage_config first = {.name = "teacher"},
				   config = {.name = "x", .has_input = true, .input = {.stage = 0}};
	struct chain_stage stage[2] = {{.config = &first}, {.config = &config}};
	struct chain c = {.stage = stage, .n = 2};
	cJSON *parts = then ? cJSON_Parse(then) : NULL;
	char text[400];
	stage[1].key_parts = cJSON_Parse(now);
	assert_non_null(stage[1].key_parts);
	key_differences(&c, &stage[1], parts, text, sizeof(text));
	assert_string_equal(text, expected);
	cJSON_Delete(stage[1].key_parts);
	cJSON_Delete(parts);
}

static void differences__are_options_with_both_values(void **state)
{
	(void)state;
	tells("{\"seed\":1,\"options\":{\"lr\":0.1,\"kd\":{\"t\":2},\"old\":\"a\"}}",
	    "{\"seed\":2,\"options\":{\"lr\":0.1,\"kd\":{\"t\":4},\"new\":null}}",
	    "seed was 1, is 2; stages.x.kd.t was 2, is 4; stages.x.old was a, is "
	    "not given");
	tells("{\"program\":\"0.1.0 (a)\"}", "{\"program\":\"0.1.0 (b)\"}", "the program was 0.1.0 (a), is 0.1.0 (b)");
	tells("{\"device.train\":\"cpu\",\"threads\":1}", "{\"device.train\":\"cuda\",\"threads\":8}",
	    "device.train was cpu, is cuda; threads was 1, is 8");
}

static void differences__name_what_hashes_are_of(void **state)
{
	(void)state;
	tells("{\"input\":\"" HASH_A "\"}", "{\"input\":\"" HASH_B "\"}", "the input 'teacher' has changed");
	tells("{\"inputs_paths\":[\"a/1\",null]}", "{\"inputs_paths\":[\"b/1\",null]}",
	    "the list of input paths was [\"a/1\",null], is [\"b/1\",null]");
	tells("{\"teacher\":\"" HASH_A "\"}", "{\"transfer\":\"" HASH_B "\"}",
	    "the content of the transfer texts is new; teacher is gone");
	tells("{\"data.train\":\"" HASH_A "\",\"data\":\"" HASH_A
	      "\",\"data_options\":{\"path\":\"a\",\"fraction\":1}}",
	    "{\"data.train\":\"" HASH_B "\",\"data\":\"" HASH_B
	    "\",\"data_options\":{\"path\":\"a\",\"fraction\":0.5}}",
	    "data.fraction was 1, is 0.5; the content of the training split has changed");
	tells("{\"data.train\":\"" HASH_A "\",\"data\":\"" HASH_A "\",\"data_options\":{\"path\":\"a\"}}",
	    "{\"data.train\":\"" HASH_B "\",\"data\":\"" HASH_B "\",\"data_options\":{\"path\":\"a\"}}",
	    "the content of the training split has changed");
	/* The same samples from another place decide nothing. */
	tells("{\"seed\":1,\"data\":\"" HASH_A "\",\"data_options\":{\"path\":\"a\"}}",
	    "{\"seed\":2,\"data\":\"" HASH_A "\",\"data_options\":{\"path\":\"b\"}}", "seed was 1, is 2");
}

static void differences__that_are_unknown_are_called_so(void **state)
{
	(void)state;
	tells(
	    NULL, "{\"seed\":1}", "what has changed is not known: it was made by a program that kept no note of that");
	tells("{\"seed\":1}", "{\"seed\":1}", "the key is made in another way");
}

static void differences__are_few_short_and_printable(void **state)
{
	(void)state;
	tells("{\"options\":{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1}}",
	    "{\"options\":{\"a\":2,\"b\":2,\"c\":2,\"d\":2,\"e\":2,\"f\":2,\"g\":2}}",
	    "stages.x.a was 1, is 2; stages.x.b was 1, is 2; stages.x.c was 1, is 2; stages.x.d was 1, is 2; "
	    "stages.x.e was "
	    "1, is 2; and 2 more");
	tells("{\"seed\":\"\\u001b[2J01234567890123456789012345678901234567890123456789012345678901234567890\"}",
	    "{\"seed\":{\"a\":[1,2]}}",
	    "seed was \\x1b[2J01234567890123456789012345678901234567890123456789012345..., is {\"a\":[1,2]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(differences__are_options_with_both_values),
	    cmocka_unit_test(differences__name_what_hashes_are_of),
	    cmocka_unit_test(differences__that_are_unknown_are_called_so),
	    cmocka_unit_test(differences__are_few_short_and_printable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
