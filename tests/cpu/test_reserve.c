/* What stands between oneDNN and a lack of memory: the allocator that is put in the C library's place, and the reserve.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/reserve.h"

static void reserve__is_made_once_and_asked_for_again_after_a_failure(void **state)
{
	(void)state;
	mem_fail_at(1);
	assert_int_equal(reserve_open(), ERR_NOMEM);
	mem_fail_at(0);
	assert_int_equal(reserve_open(), 0);
	assert_int_equal(mem_count(), 1);
	mem_fail_at(1); /* nothing more is asked for */
	assert_int_equal(reserve_check(), 0);
	assert_int_equal(reserve_open(), 0);
	mem_fail_at(0);
}

static void allocator__answers_as_posix_wants(void **state)
{
	static const size_t wrong[] = {0, 1, 4, 12, 24, 65};
	void *p = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(posix_memalign(&p, wrong[i], 64), EINVAL);
	for (size_t alignment = sizeof(void *); alignment <= 4096; alignment *= 2) {
		assert_int_equal(posix_memalign(&p, alignment, 100), 0);
		assert_int_equal((uintptr_t)p % alignment, 0);
		free(p);
	}
#if !defined(__SANITIZE_ADDRESS__) /* whose own allocator ends the program */
	/* A block of data that is missing is reported: it does not use up the reserve, nor end the program. */
	assert_int_equal(posix_memalign(&p, 64, SIZE_MAX / 4), ENOMEM);
	mem_fail_at(1);
	assert_int_equal(reserve_check(), 0);
	mem_fail_at(0);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reserve__is_made_once_and_asked_for_again_after_a_failure),
	    cmocka_unit_test(allocator__answers_as_posix_wants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
