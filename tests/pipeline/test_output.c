/* What reaches the standard streams, each case in a process of its own whose output is read through a pipe. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "pipeline/output.h"

/* Runs `print` in a child whose descriptor `fd` is a pipe; returns what came out of it, in a static buffer. */
static const char *printed(int fd, void (*print)(void))
{
	static char text[1 << 16];
	size_t size = 0;
	ssize_t n;
	int ends[2], status;
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], fd);
		close(ends[0]);
		close(ends[1]);
		output_open();
		print();
		fflush(NULL);
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	text[size] = '\0';
	return text;
}

static void print_controls(void)
{
	printf("a\tb\n\033[2J\r\177|");
	puts("\302\233\302\240\302x|\233|\303\233|");
}

static void output__control_characters_are_written_out(void **state)
{
	(void)state;
	/* U+009b alone and as a byte is one; in U+00a0 and U+00db the same bytes are none; a lone 0xc2 stays. */
	assert_string_equal(printed(STDOUT_FILENO, print_controls),
	    "a\tb\n\\u001b[2J\\u000d\\u007f|\\u009b\302\240\302x|\\u009b|\303\233|\n");
}

static void print_errors(void)
{
	fprintf(stderr, "%s", "x\033y");
	output_control("\r\033[K");
	fputs("\302", stderr); /* cut in the middle of a character */
	fputs("\233z\n", stderr);
}

static void output__errors_too_but_for_the_progress_line(void **state)
{
	(void)state;
	assert_string_equal(printed(STDERR_FILENO, print_errors), "x\\u001by\r\033[K\\u009bz\n");
}

static void print_much(void)
{
	for (int i = 0; i < 9000; i++)
		fputs(i % 3 ? "\346\250\241" : "ab\n", stdout);
}

static void output__all_of_a_long_text_arrives(void **state)
{
	(void)state;
	const char *text = printed(STDOUT_FILENO, print_much);
	assert_int_equal(strlen(text), 27000);
	for (size_t i = 0; i < 27000; i += 9)
		assert_memory_equal(text + i, "ab\n\346\250\241\346\250\241", 9);
}

/* The exit status of a child in which `look` runs after output_open: what look returns. */
static int answer_of(void (*prepare)(void), int (*look)(void))
{
	int status;
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		prepare();
		output_open();
		_exit(look());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void close_all(void)
{
	for (int fd = 0; fd < 3; fd++)
		close(fd);
}

static int next_is_no_stream(void)
{
	return open("/dev/null", O_RDONLY) > STDERR_FILENO ? 0 : 1;
}

static int print_nowhere(void)
{
	char c;
	fputs("x", stdout);
	if (read(STDIN_FILENO, &c, 1) != -1)
		return 1;
	if (output_check() != ERR_IO || !strstr(err_message(), "standard output: "))
		return 2;
	return output_unwanted() ? 0 : 3;
}

static void output__closed_descriptors_are_not_given_to_files(void **state)
{
	(void)state;
	assert_int_equal(answer_of(close_all, next_is_no_stream), 0);
	assert_int_equal(answer_of(close_all, print_nowhere), 0);
}

static void fill_disk(void)
{
	int fd = open("/dev/full", O_WRONLY);
	dup2(fd, STDOUT_FILENO);
}

static int print_to_full_disk(void)
{
	print_much();
	if (output_check() != ERR_IO || strcmp(err_message(), "standard output: No space left on device") != 0)
		return 1;
	return output_unwanted() ? 2 : 0;
}

static void output__a_full_disk_is_an_error_with_its_reason(void **state)
{
	(void)state;
	if (access("/dev/full", W_OK))
		skip();
	assert_int_equal(answer_of(fill_disk, print_to_full_disk), 0);
}

static void lose_reader(void)
{
	int ends[2];
	if (pipe(ends))
		_exit(9);
	dup2(ends[1], STDOUT_FILENO);
	close(ends[0]);
}

static int print_to_nobody(void)
{
	puts("x");
	return output_check() == ERR_IO && output_unwanted() ? 0 : 1;
}

static void output__a_reader_that_has_gone_is_an_error_and_no_signal(void **state)
{
	(void)state;
	assert_int_equal(answer_of(lose_reader, print_to_nobody), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(output__control_characters_are_written_out),
	    cmocka_unit_test(output__errors_too_but_for_the_progress_line),
	    cmocka_unit_test(output__all_of_a_long_text_arrives),
	    cmocka_unit_test(output__closed_descriptors_are_not_given_to_files),
	    cmocka_unit_test(output__a_full_disk_is_an_error_with_its_reason),
	    cmocka_unit_test(output__a_reader_that_has_gone_is_an_error_and_no_signal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
