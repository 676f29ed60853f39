/* What signals do to a command, each case in a process of its own, by a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/command.h"

static long now_ms = 5600;

/* Takes the place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
	(void)clock;
	out->tv_sec = now_ms / 1000;
	out->tv_nsec = now_ms % 1000 * 1000000;
	return 0;
}

/* Sends two signals, the second one `pause` milliseconds after the first. Returns the wait status of a process that
 * ends with 9 if command_stop is set and with 8 if not. */
static int status_after(bool idle, int first, int second, long pause)
{
	int status = -1;
	pid_t child = fork();
	if (child == 0) {
		close(STDERR_FILENO);
		command_catch_signals(idle);
		raise(first);
		now_ms += pause;
		raise(second);
		_exit(command_stop ? 9 : 8);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void assert_exits(int status, int with)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), with);
}

static void signals__of_one_second_are_one(void **state)
{
	(void)state;
	assert_exits(status_after(false, SIGTERM, SIGTERM, 0), 9);
	assert_exits(status_after(false, SIGINT, SIGTERM, 999), 9);
	assert_exits(status_after(false, SIGHUP, SIGINT, 500), 9);
	assert_exits(status_after(false, SIGUSR1, SIGTERM, 500), 9);
}

static void signals__a_later_one_ends_the_program(void **state)
{
	(void)state;
	int status = status_after(false, SIGTERM, SIGINT, 1000);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
}

static void signals__of_the_cpu_time_may_be_repeated(void **state)
{
	(void)state;
	assert_exits(status_after(false, SIGXCPU, SIGXCPU, 5000), 9);
}

static void signals__end_what_has_done_nothing_yet(void **state)
{
	(void)state;
	assert_exits(status_after(true, SIGTERM, SIGTERM, 0), 75);
	assert_exits(status_after(true, SIGXCPU, SIGTERM, 0), 75);
	assert_exits(status_after(true, SIGUSR1, SIGTERM, 0), 75);
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
