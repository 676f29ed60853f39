/* What signals do to a command, each case in a process of its own. */
#define _GNU_SOURCE /* usleep */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipeline/command.h"

/* Sends the signals with a pause before each but the first. Returns the wait status of a process that ends with 9 if
 * command_stop is set and with 8 if not. */
static int status_after(bool idle, const int *signals, int n, unsigned pause_us)
{
	int status = -1;
	pid_t child = fork();
	if (child == 0) {
		close(STDERR_FILENO);
		command_catch_signals(idle);
		for (int i = 0; i < n; i++) {
			if (i)
				usleep(pause_us);
			raise(signals[i]);
		}
		_exit(command_stop ? 9 : 8);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void signals__of_one_second_are_one(void **state)
{
	const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGTERM};
	(void)state;
	int status = status_after(false, signals, 4, 1000);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 9);
}

static void signals__a_later_one_ends_the_program(void **state)
{
	const int signals[] = {SIGTERM, SIGINT};
	(void)state;
	int status = status_after(false, signals, 2, 1050000);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
}

static void signals__of_the_cpu_time_may_be_repeated(void **state)
{
	const int signals[] = {SIGXCPU, SIGXCPU};
	(void)state;
	int status = status_after(false, signals, 2, 1050000);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 9);
}

static void signals__end_what_has_done_nothing_yet(void **state)
{
	const int signals[] = {SIGTERM};
	(void)state;
	int status = status_after(true, signals, 1, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 75);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signals__of_one_second_are_one),
	    cmocka_unit_test(signals__a_later_one_ends_the_program),
	    cmocka_unit_test(signals__of_the_cpu_time_may_be_repeated),
	    cmocka_unit_test(signals__end_what_has_done_nothing_yet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
