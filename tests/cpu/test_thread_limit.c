/* A system on which only so many threads can be made. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/err.h"
#include "cpu/cpu.h"
#include "cpu/threads.h"

static int left = 1 << 20; /* threads that can still be made */

/* Takes the place of the C library's. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument)
{
	typedef int create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	create *real;
	void *found = dlsym(RTLD_NEXT, "pthread_create");
	memcpy(&real, &found, sizeof(real));
	return left-- > 0 ? real(thread, attr, run, argument) : EAGAIN;
}

static void threads__that_cannot_be_made_are_counted(void **state)
{
	(void)state;
	assert_int_equal(cpu_threads_check(1), 0);
	left = 2;
	assert_int_equal(cpu_threads_check(3), 0);
	assert_int_equal(left, 0);
	left = 2;
	assert_int_equal(cpu_threads_check(4), ERR_DEVICE);
	assert_non_null(strstr(err_message(), "cpu: 3 of 4 threads can be made: "));
	left = 0;
	assert_int_equal(cpu_threads_check(1), 0);
}

static void threads__are_tried_when_the_device_is_opened(void **state)
{
	void *ctx = NULL;
	(void)state;
	left = 1;
	assert_int_equal(cpu_backend.open(&ctx, &(struct open_options){.threads = 3}), ERR_DEVICE);
	assert_null(ctx);
	assert_non_null(strstr(err_message(), "cpu: 2 of 3 threads can be made: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(threads__that_cannot_be_made_are_counted),
	    cmocka_unit_test(threads__are_tried_when_the_device_is_opened),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
