/* See child.h. */
#include "child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_child(void (*fn)(void), int to)
{
	/* No core files, and nothing of cmocka's that would take the signal for its own. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	dup2(to, STDERR_FILENO);
	fn();
	_exit(0);
}

void child_must_die(void (*fn)(void), const char *message)
{
	char text[8192] = "";
	size_t n = 0;
	ssize_t got;
	int end[2], status;
	assert_int_equal(pipe(end), 0);
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(end[0]);
		run_child(fn, end[1]);
	}
	close(end[1]);
	while ((got = read(end[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(end[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || !strstr(text, message))
		print_error("status %d, must say '%s', says: %s\n", status, message, text);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_non_null(strstr(text, message));
}
