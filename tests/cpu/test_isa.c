/* Whoever limits oneDNN to an older CPU's instructions gets that CPU's ways in our own kernels too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cpu/isa.h"
#include "cpu/onednn.h"
#include "cpu/wide.h"

static void isa__what_oneDNN_may_not_use_is_not_there(void **state)
{
	(void)state;
	assert_false(cpu_has_avx2() || cpu_has_avx512() || cpu_has_avx512_vnni() || cpu_has_avx512_vbmi());
	assert_false(cpu_has_bf16() || cpu_has_vnni() || onednn_has_amx());
	assert_string_equal(wide_isa(), "plain");
	assert_string_equal(onednn_isa_name(), "sse41");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(isa__what_oneDNN_may_not_use_is_not_there),
	};
	if (setenv("ONEDNN_MAX_CPU_ISA", "SSE41", 1))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
