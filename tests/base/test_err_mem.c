/* Errors and allocation: messages, exit statuses, the test hook that makes an allocation fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

static void err__set_returns_its_code_and_keeps_the_message(void **state)
{
	(void)state;
	assert_int_equal(err_set(ERR_IO, "%s: short read of %d", "a.bin", 7), ERR_IO);
	assert_string_equal(err_message(), "a.bin: short read of 7");
	err_clear();
	assert_string_equal(err_message(), "");
}

static void err__context_goes_in_front(void **state)
{
	(void)state;
	err_set(ERR_DATA, "row %d", 3);
	assert_int_equal(err_context(ERR_DATA, "split '%s'", "train"), ERR_DATA);
	assert_string_equal(err_message(), "split 'train': row 3");
}

static void err__arguments_may_point_into_the_message(void **state)
{
	(void)state;
	err_set(ERR_FAIL, "inner");
	err_set(ERR_FAIL, "outer: %s", err_message());
	assert_string_equal(err_message(), "outer: inner");
	err_context(ERR_FAIL, "%s", err_message());
	assert_string_equal(err_message(), "outer: inner: outer: inner");
}

static void err__message_is_one_printable_line(void **state)
{
	(void)state;
	err_set(ERR_FAIL, "key '%s'", "a\nb\x1b[31m\x7f");
	assert_string_equal(err_message(), "key 'a?b?[31m?'");
}

/* What is wrong stands behind a long name as often as before it. */
static void err__the_middle_of_a_long_message_is_left_out(void **state)
{
	(void)state;
	char text[3 * 7000 + 1];
	for (int i = 0; i < 7000; i++)
		memcpy(text + 3 * i, "\xe2\x82\xac", 3); /* the euro sign */
	text[sizeof(text) - 1] = '\0';
	for (int shift = 0; shift < 6; shift++) {
		err_set(ERR_FAIL, "%.*s'%.3000s' is no name", shift % 3, "xx", text);
		size_t n = strlen(err_message());
		assert_true(n > 2000 && n < 2048);
		const char *gap = strstr(err_message(), " ... ");
		assert_non_null(gap);
		assert_int_equal((size_t)(gap - err_message() - shift % 3 - 1) % 3, 0);
		assert_int_equal((strlen(gap) - strlen(" ... ' is no name")) % 3, 0);
		assert_string_equal(err_message() + n - strlen("' is no name"), "' is no name");
		/* longer than what is formatted: cut at a character, and the reason behind a context is kept */
		err_set(ERR_FAIL, "%.*s%s", shift % 3, "xx", text);
		gap = strstr(err_message(), " ... ");
		assert_int_equal(strlen(gap + 5) % 3, 0);
		err_set(ERR_FAIL, "the reason");
		assert_int_equal(err_context(ERR_FAIL, "%s", text), ERR_FAIL);
		assert_non_null(strstr(err_message(), ": the reason"));
	}
}

static void err__a_message_holds_2047_bytes(void **state)
{
	(void)state;
	char text[2100];
	memset(text, 'a', sizeof(text));
	for (size_t n = 2046; n <= 2049; n++) {
		err_set(ERR_FAIL, "%.*s", (int)n, text);
		assert_int_equal(strlen(err_message()), n < 2047 ? n : 2047);
		assert_int_equal(strspn(err_message(), "a") == n, n <= 2047); /* else something is left out */
	}
}

static void *set_in_thread(void *seen)
{
	strcpy(seen, err_message());
	err_set(ERR_FAIL, "other thread");
	return NULL;
}

static void err__message_belongs_to_the_thread(void **state)
{
	(void)state;
	char seen[64] = "untouched";
	pthread_t t;
	err_set(ERR_FAIL, "main thread");
	assert_int_equal(pthread_create(&t, NULL, set_in_thread, seen), 0);
	pthread_join(t, NULL);
	assert_string_equal(seen, "");
	assert_string_equal(err_message(), "main thread");
}

static void err__exit_statuses_are_the_documented_ones(void **state)
{
	(void)state;
	const int expected[][2] = {{0, 0}, {ERR_FAIL, 1}, {ERR_NOMEM, 1}, {ERR_IO, 1}, {ERR_CONFIG, 2}, {ERR_DATA, 3},
	    {ERR_CHECKPOINT, 4}, {ERR_DEVICE, 5}, {ERR_GATE, 6}, {ERR_INTERRUPTED, 75}, {-1000, 1}, {12, 1}};
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		assert_int_equal(err_exit_status(expected[i][0]), expected[i][1]);
}

static void mem__memory_is_zeroed_also_after_growing(void **state)
{
	(void)state;
	unsigned char *p = mem_alloc(5, 3);
	for (int i = 0; i < 15; i++) {
		assert_int_equal(p[i], 0);
		p[i] = 0xFF;
	}
	p = mem_grow(p, 5, 400, 3);
	for (int i = 0; i < 1200; i++)
		assert_int_equal(p[i], i < 15 ? 0xFF : 0);
	p = mem_grow(p, 400, 2, 3);
	assert_int_equal(p[5], 0xFF);
	mem_free(p);
	p = mem_grow(NULL, 0, 7, 1);
	assert_int_equal(p[6], 0);
	mem_free(p);
}

static void mem__overflowing_size_is_refused(void **state)
{
	(void)state;
	volatile size_t huge = SIZE_MAX / 2; /* volatile: the compiler would warn about the constant */
	assert_null(mem_alloc(huge, 3));
	assert_non_null(strstr(err_message(), "out of memory"));
	assert_null(mem_alloc(huge + 2, 1));
	assert_null(mem_grow(NULL, 0, huge, 4));
	assert_null(mem_alloc_aligned(huge + 2));
}

static void mem__zero_bytes_is_not_a_failure(void **state)
{
	(void)state;
	void *a = mem_alloc(0, 8), *b = mem_alloc_aligned(0), *c = mem_grow(NULL, 0, 0, 4);
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	mem_free(a);
	mem_free(b);
	mem_free(c);
	mem_free(NULL);
}

static void mem__aligned_memory_is_aligned_and_zeroed(void **state)
{
	(void)state;
	for (size_t n = 1; n < 200; n += 37) {
		unsigned char *p = mem_alloc_aligned(n);
		assert_int_equal((uintptr_t)p % 64, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		mem_free(p);
	}
}

static void mem__chosen_allocation_fails_and_only_that(void **state)
{
	(void)state;
	mem_fail_at(3);
	char *a = mem_strdup("a"), *b = mem_printf("%d-%s", 12, "b"), *c = mem_strdup("c"), *d = mem_strdup("d");
	assert_string_equal(a, "a");
	assert_string_equal(b, "12-b");
	assert_null(c);
	assert_string_equal(d, "d");
	assert_int_equal(mem_count(), 4);
	mem_fail_at(0);
	assert_int_equal(mem_count(), 0);
	mem_free(a);
	mem_free(b);
	mem_free(d);
}

static void mem__failed_growth_leaves_the_old_memory(void **state)
{
	(void)state;
	int *p = mem_alloc(4, sizeof(*p));
	p[3] = 99;
	mem_fail_at(1);
	assert_null(mem_grow(p, 4, 8, sizeof(*p)));
	mem_fail_at(0);
	assert_int_equal(p[3], 99);
	mem_free(p);
}

static void clock__figures_are_plausible(void **state)
{
	(void)state;
	char utc[32];
	double before = clock_now();
	clock_utc(utc);
	assert_int_equal(strlen(utc), 20);
	assert_true(utc[4] == '-' && utc[10] == 'T' && utc[19] == 'Z');
	assert_true(memcmp(utc, "2020", 4) > 0);
	assert_true(clock_now() >= before);
	assert_true(clock_peak_memory() > 100 * 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(err__set_returns_its_code_and_keeps_the_message),
	    cmocka_unit_test(err__context_goes_in_front),
	    cmocka_unit_test(err__arguments_may_point_into_the_message),
	    cmocka_unit_test(err__message_is_one_printable_line),
	    cmocka_unit_test(err__the_middle_of_a_long_message_is_left_out),
	    cmocka_unit_test(err__a_message_holds_2047_bytes),
	    cmocka_unit_test(err__message_belongs_to_the_thread),
	    cmocka_unit_test(err__exit_statuses_are_the_documented_ones),
	    cmocka_unit_test(mem__memory_is_zeroed_also_after_growing),
	    cmocka_unit_test(mem__overflowing_size_is_refused),
	    cmocka_unit_test(mem__zero_bytes_is_not_a_failure),
	    cmocka_unit_test(mem__aligned_memory_is_aligned_and_zeroed),
	    cmocka_unit_test(mem__chosen_allocation_fails_and_only_that),
	    cmocka_unit_test(mem__failed_growth_leaves_the_old_memory),
	    cmocka_unit_test(clock__figures_are_plausible),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
