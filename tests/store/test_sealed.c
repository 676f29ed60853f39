/* Sealed JSON files: what was written comes back, any change of a byte is noticed, and a seal is a hash and nothing
 * else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "store/sealed.h"

static char dir[256], path[300];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/pipeline-sealed-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/s.json", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return fs_remove_tree(dir);
}

static char *sealed_text(void)
{
	char *text;
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "name", "prune");
	cJSON_AddNumberToObject(o, "accuracy", 0.9375);
	/* Like the seal before it is made: only the member counts. */
	cJSON_AddStringToObject(o, "parent", "0000000000000000000000000000000000000000000000000000000000000000");
	assert_int_equal(sealed_print(o, "sha256", &text), 0);
	cJSON_Delete(o);
	return text;
}

static int read_back(const char *text, cJSON **o, bool *sealed)
{
	assert_int_equal(fs_write(path, text, strlen(text)), 0);
	return sealed_read(path, "sha256", o, sealed);
}

static void sealed__what_was_written_comes_back(void **state)
{
	(void)state;
	cJSON *o;
	bool sealed;
	char *text = sealed_text();
	assert_int_equal(read_back(text, &o, &sealed), 0);
	assert_true(sealed);
	assert_true(cJSON_GetObjectItem(o, "accuracy")->valuedouble == 0.9375);
	cJSON_Delete(o);
	mem_free(text);
	assert_int_equal(read_back("{\"name\": \"prune\"}", &o, &sealed), 0); /* of an older program */
	assert_false(sealed);
	cJSON_Delete(o);
}

static void sealed__any_change_is_noticed(void **state)
{
	(void)state;
	cJSON *o;
	bool sealed;
	char *text = sealed_text();
	const size_t n = strlen(text);
	for (size_t i = 0; i < n; i++) {
		const char kept = text[i];
		text[i] = kept == '1' ? '2' : '1';
		if (read_back(text, &o, &sealed) == 0 && sealed)
			fail_msg("byte %zu of %zu was changed without notice", i, n);
		cJSON_Delete(o);
		text[i] = kept;
	}
	mem_free(text);
}

static void sealed__a_seal_is_a_hash(void **state)
{
	(void)state;
	static const char *const seals[] = {"\"\"", "\"name\"", "\"{\"", "7", "null", "[]",
	    "\"0000000000000000000000000000000000000000000000000000000000000000\"",
	    "\"000000000000000000000000000000000000000000000000000000000000000\"",
	    "\"00000000000000000000000000000000000000000000000000000000000000000\"",
	    "\"GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG\""};
	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		char text[256];
		cJSON *o;
		bool sealed;
		snprintf(text, sizeof(text), "{\"name\": \"x\", \"sha256\": %s}", seals[i]);
		assert_int_equal(read_back(text, &o, &sealed), ERR_CHECKPOINT);
		assert_non_null(strstr(err_message(), "was changed since it was written"));
		assert_null(o);
	}
}

static void sealed__files_that_hold_no_object_are_refused(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "[]", "7", "{\"a\":1", "{\"a\":1,\"a\":2}"};
	cJSON *o;
	bool sealed;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(read_back(texts[i], &o, &sealed), ERR_CHECKPOINT);
		assert_null(o);
	}
	assert_int_equal(fs_remove_tree(path), 0);
	assert_int_equal(sealed_read(path, "sha256", &o, &sealed), ERR_IO);
	assert_null(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sealed__what_was_written_comes_back),
	    cmocka_unit_test(sealed__any_change_is_noticed),
	    cmocka_unit_test(sealed__a_seal_is_a_hash),
	    cmocka_unit_test(sealed__files_that_hold_no_object_are_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
