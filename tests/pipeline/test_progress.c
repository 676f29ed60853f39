/* What the progress line says of rates and of the time that is left, by a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "clock.h"
#include "pipeline/progress.h"

#define FILE_NAME "progress.txt"

/* What two updates, a fifth of a second apart, write on a terminal. */
static void two_updates(double first, double second, double total, char *out, size_t cap)
{
	struct terminal_progress p;
	struct fs_bytes b;
	int saved = dup(STDERR_FILENO);
	assert_non_null(freopen(FILE_NAME, "w", stderr));
	progress_init(&p);
	p.is_terminal = true;
	clock_us += 200000;
	p.base.update(&p.base, "epoch 1/2 loss 0.5000", first, total);
	clock_us += 200000;
	p.base.update(&p.base, "epoch 1/2 loss 0.4000", second, total);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(fs_read(FILE_NAME, &b), 0);
	snprintf(out, cap, "%s", (const char *)b.data);
	fs_bytes_clear(&b);
	unlink(FILE_NAME);
}

static void progress__says_nothing_of_a_rate_that_it_does_not_know(void **state)
{
	char text[512];
	(void)state;
	two_updates(1, 101, 1000, text, sizeof(text));
	char *second = strchr(text, '\r');
	assert_non_null(second);
	*second = '\0';
	assert_string_equal(text, "epoch 1/2 loss 0.5000    0 %");
	assert_non_null(strstr(second + 1, "epoch 1/2 loss 0.4000   10 %  "));
	assert_non_null(strstr(second + 1, "  500/s  2 s left"));
}

/* Calibrating took long; the training that follows begins anew, with fewer steps done or with as many. */
static void progress__a_new_unit_of_work_has_a_rate_of_its_own(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct terminal_progress p;
		struct fs_bytes b;
		int saved = dup(STDERR_FILENO);
		assert_non_null(freopen(FILE_NAME, "w", stderr));
		progress_init(&p);
		p.is_terminal = true;
		p.base.update(&p.base, "calibrating", 1, 2);
		clock_us += 700000;
		p.base.update(&p.base, "calibrating", 2, 2);
		p.base.update(&p.base, "epoch 1/1", first, 1000);
		clock_us += 200000;
		p.base.update(&p.base, "epoch 1/1", first + 100, 1000);
		fflush(stderr);
		dup2(saved, STDERR_FILENO);
		close(saved);
		assert_int_equal(fs_read(FILE_NAME, &b), 0);
		const char *last = strstr((const char *)b.data, "epoch 1/1");
		assert_non_null(last);
		/* At 500 steps a second two seconds are left; with the calibration's 0.7 s it would be eight. */
		assert_non_null(strstr(last, "500/s  2 s left"));
		fs_bytes_clear(&b);
		unlink(FILE_NAME);
	}
}

static void progress__slow_steps_have_a_rate_too(void **state)
{
	char text[512];
	(void)state;
	two_updates(0, 0.05, 1000, text, sizeof(text)); /* at most a quarter of a unit per second */
	assert_null(strstr(text, "  0/s"));
	assert_non_null(strstr(text, "  0."));
	assert_non_null(strstr(text, "/s  "));
}

/* The longest row between two redrawings, in characters. */
static size_t widest(const char *text)
{
	size_t most = 0;
	for (const char *p = text; *p;) {
		p += strncmp(p, "\r\033[K", 4) == 0 ? 4 : 0;
		size_t n = strcspn(p, "\r");
		most = n > most ? n : most;
		p += n;
	}
	return most;
}

/* A row that wraps would stay on the screen when the next is drawn. */
static void progress__a_row_is_narrower_than_the_terminal(void **state)
{
	char text[512], columns[16];
	(void)state;
	for (int width = 20; width <= 60; width += 4) {
		snprintf(columns, sizeof(columns), "%d", width);
		assert_int_equal(setenv("COLUMNS", columns, 1), 0);
		two_updates(1, 101, 1000, text, sizeof(text));
		assert_true(widest(text) < (size_t)width);
		assert_non_null(strstr(text, "  10 %"));
		if (width > 50)
			assert_non_null(strstr(text, "epoch 1/2 loss 0.4000   10 %  "));
	}
	assert_int_equal(unsetenv("COLUMNS"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(progress__says_nothing_of_a_rate_that_it_does_not_know),
	    cmocka_unit_test(progress__a_new_unit_of_work_has_a_rate_of_its_own),
	    cmocka_unit_test(progress__slow_steps_have_a_rate_too),
	    cmocka_unit_test(progress__a_row_is_narrower_than_the_terminal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
