/* Every op of the CPU backend against the reference, one test per op, so that each failure is seen by itself. A missing
 * row is a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "cpu/cpu.h"
#include "ops/op_suite.h"

static struct device cpu = {.backend = &cpu_backend};

static void cpu__op_equals_the_reference(void **state)
{
	char filter[64];
	int rc;
	snprintf(filter, sizeof(filter), "%s/*", (const char *)*state);
	rc = op_suite_run(cpu, filter);
	if (rc)
		print_error("%s: %s\n", filter, err_message());
	assert_int_equal(rc, 0);
}

static void cpu__ops_on_tokens_read_nothing_outside(void **state)
{
	(void)state;
	int rc = op_suite_outside(cpu);
	if (rc)
		print_error("%s\n", err_message());
	assert_int_equal(rc, 0);
}

static void cpu__update_equals_the_reference(void **state)
{
	(void)state;
	int rc = op_suite_update(cpu);
	if (rc)
		print_error("update: %s\n", err_message());
	assert_int_equal(rc, 0);
}

static int open_cpu(void **state)
{
	(void)state;
	int rc = cpu_backend.open(&cpu.ctx, &(struct open_options){0});
	if (rc)
		print_error("%s\n", err_message());
	return rc;
}

static int close_cpu(void **state)
{
	(void)state;
	cpu_backend.close(cpu.ctx);
	return 0;
}

int main(void)
{
	struct CMUnitTest tests[OP_COUNT] = {0};
	size_t n = 0;
	for (int op = 0; op < OP_COUNT; op++) {
		if (op == OP_INPUT || op == OP_PARAM)
			continue;
		tests[n].name = op_info((enum op)op)->name;
		tests[n].test_func = cpu__op_equals_the_reference;
		tests[n++].initial_state = (void *)(uintptr_t)op_info((enum op)op)->name;
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cpu__update_equals_the_reference);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cpu__ops_on_tokens_read_nothing_outside);
	if (getenv("TEST_CLAIMS")) /* of mutations of one op */
		cmocka_set_test_filter(getenv("TEST_CLAIMS"));
	return _cmocka_run_group_tests("cpu ops", tests, n, open_cpu, close_cpu);
}
