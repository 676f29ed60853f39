/* Configs as structs: references, the resolved form, the schema, and memory that runs out. What is refused, and with
 * which words, is tested from the command line (tests/cli/config.sh). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/config_text.h"
#include "pipeline/config.h"

static void load(struct run_config *c, const char *path, const char *const *sets, int n)
{
	if (run_config_load(c, path, sets, n) != 0)
		fail_msg("%s", err_message());
}

static void config__references_are_resolved(void **state)
{
	struct run_config c;
	(void)state;
	load(&c, "t.yaml", NULL, 0);
	assert_int_equal(c.n_stage, 5);
	assert_int_equal(c.n_model, 2);
	assert_int_equal(c.stage[0].model, 0);
	assert_false(c.stage[0].has_input);
	assert_int_equal(c.stage[1].teacher.stage, 0);
	assert_true(c.stage[2].has_input); /* not given: the checkpoint before */
	assert_int_equal(c.stage[2].input.stage, 1);
	assert_int_equal(c.stage[3].input.stage, 2);
	assert_int_equal(c.stage[4].n_input, 4); /* not given: all */
	assert_string_equal(c.base_dir, ".");
	run_config_clear(&c);
	const char *const own[] = {"stages.quantize.method=qat", "stages.quantize.teacher=self"};
	load(&c, "t.yaml", own, 2);
	assert_true(c.stage[3].has_teacher);
	assert_int_equal(c.stage[3].teacher.stage, c.stage[3].input.stage); /* self: its input */
	run_config_clear(&c);
}

static void config__sets_are_applied_in_order(void **state)
{
	const char *const sets[] = {"stages.prune.sparsity=0.25", "seed=7", "stages.prune.sparsity=0.75"};
	struct run_config c;
	(void)state;
	load(&c, "t.yaml", sets, 3);
	cJSON *json = run_config_to_json(&c);
	const cJSON *prune = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "stages"), "prune");
	assert_true(cJSON_GetObjectItem(prune, "sparsity")->valuedouble == 0.75);
	assert_int_equal(c.top.seed, 7);
	cJSON_Delete(json);
	run_config_clear(&c);
}

static void drop_nulls(cJSON *o)
{
	for (cJSON *v = o->child, *next; v; v = next) {
		next = v->next;
		if (cJSON_IsNull(v))
			cJSON_Delete(cJSON_DetachItemViaPointer(o, v));
		else if (cJSON_IsObject(v))
			drop_nulls(v);
	}
}

/* JSON is YAML: what run.json holds is a config again, and resolves to itself. */
static void config__the_resolved_form_is_a_config(void **state)
{
	struct run_config c, again;
	(void)state;
	load(&c, "t.yaml", NULL, 0);
	cJSON *json = run_config_to_json(&c), *plain = cJSON_Duplicate(json, 1);
	drop_nulls(plain);
	char *text = cJSON_Print(plain);
	for (char *p = text; *p; p++)
		*p = *p == '\t' ? ' ' : *p;
	assert_int_equal(fs_write("resolved.yaml", text, strlen(text)), 0);
	load(&again, "resolved.yaml", NULL, 0);
	cJSON *json_again = run_config_to_json(&again);
	assert_true(cJSON_Compare(json, json_again, 1));
	cJSON_free(text);
	cJSON_Delete(plain);
	cJSON_Delete(json);
	cJSON_Delete(json_again);
	run_config_clear(&c);
	run_config_clear(&again);
}

static void schema__has_every_option_and_key(void **state)
{
	(void)state;
	cJSON *schema = run_config_schema();
	const cJSON *defs = cJSON_GetObjectItem(schema, "$defs"), *top = cJSON_GetObjectItem(schema, "properties");
	for (const struct stage_kind *const *k = registry_stages(); *k; k++) {
		const cJSON *p = cJSON_GetObjectItem(cJSON_GetObjectItem(defs, (*k)->name), "properties");
		for (const struct option *o = (*k)->table; o->key; o++)
			if (!cJSON_GetObjectItem(p, o->key))
				fail_msg("%s.%s is not in the schema", (*k)->name, o->key);
		assert_true(!!cJSON_GetObjectItem(p, "model") == (*k)->needs_model);
		assert_true(!!cJSON_GetObjectItem(p, "input") == ((*k)->input.count == REF_ONE));
		assert_true(!!cJSON_GetObjectItem(p, "inputs") == ((*k)->input.count == REF_MANY));
		assert_true(!!cJSON_GetObjectItem(p, "teacher") == ((*k)->teacher.count == REF_ONE));
		assert_non_null(cJSON_GetObjectItem(p, "kind"));
	}
	for (const struct option *o = top_option_table; o->key; o++)
		assert_non_null(cJSON_GetObjectItem(top, o->key));
	for (const struct option *o = data_option_table; o->key; o++)
		assert_non_null(
		    cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(top, "data"), "properties"), o->key));
	cJSON_Delete(schema);
}

static void config__survives_each_failing_allocation(void **state)
{
	const char *const sets[] = {"stages.prune.sparsity=0.25"};
	const struct run_config zero = {0};
	struct run_config c;
	int rc = ERR_NOMEM;
	uint64_t n = 1;
	(void)state;
	for (; rc != 0; n++) {
		mem_fail_at(n);
		rc = run_config_load(&c, "t.yaml", sets, 1);
		if (!rc && mem_count() >= n)
			fail_msg("allocation %d failed and nobody noticed", (int)n);
		mem_fail_at(0);
		if (rc != 0 && rc != ERR_NOMEM)
			fail_msg("allocation %d: %d %s", (int)n, rc, err_message());
		if (rc != 0)
			assert_memory_equal(&c, &zero, sizeof(c));
		assert_true(n < 10000);
	}
	assert_true(n > 50); /* allocations did fail */
	run_config_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(config__references_are_resolved),
	    cmocka_unit_test(config__sets_are_applied_in_order),
	    cmocka_unit_test(config__the_resolved_form_is_a_config), cmocka_unit_test(schema__has_every_option_and_key),
	    cmocka_unit_test(config__survives_each_failing_allocation)};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
