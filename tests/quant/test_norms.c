/* The collector of norms: by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/norms.h"

static void norms__sum_rows_and_places_but_no_slack(void **state)
{
	/* Rows of two places with two channels; the third row is slack. */
	const float x[] = {3, 1, 4, -2, 0, 2, 0, -4, NAN, INFINITY, 7, 7};
	struct channel_norms s = {0};
	int a, b, again;
	(void)state;
	assert_int_equal(channel_norms_add(&s, "x", 2, &a), 0);
	assert_int_equal(channel_norms_add(&s, "x", 4, &b), 0);
	assert_int_equal(channel_norms_add(&s, "x", 2, &again), 0);
	assert_int_equal(again, a);
	assert_int_equal(s.n, 2);
	const struct collector c = channel_norms_collector(&s);
	const struct collected v = {.x = x, .rows = 3, .valid = 2, .width = 4};
	for (int run = 0; run < 2; run++) { /* begin forgets */
		assert_int_equal(c.begin(c.user), 0);
		assert_int_equal(c.add(c.user, a, &v), 0);
		assert_int_equal(c.add(c.user, b, &v), 0);
		assert_true(channel_norm(&s, a, 0) == 5);
		assert_true(channel_norm(&s, a, 1) == 5);
		assert_true(channel_norm(&s, b, 0) == 3);
		assert_true(fabs(channel_norm(&s, b, 3) - sqrt(20)) < 1e-12);
	}
	assert_int_equal(c.add(c.user, a, &v), 0); /* batches add up */
	assert_true(fabs(channel_norm(&s, a, 0) - sqrt(50)) < 1e-12);
	channel_norms_clear(&s);
}

static void norms__say_which_value_is_not_finite(void **state)
{
	const float x[] = {1, 2, 3, NAN};
	struct channel_norms s = {0};
	int at;
	(void)state;
	assert_int_equal(channel_norms_add(&s, "fc1", 2, &at), 0);
	const struct collector c = channel_norms_collector(&s);
	assert_int_equal(c.add(c.user, at, &(struct collected){.x = x, .rows = 2, .valid = 2, .width = 2}), ERR_DATA);
	assert_non_null(strstr(err_message(), "'fc1': a value of channel 1 is not finite"));
	channel_norms_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(norms__sum_rows_and_places_but_no_slack),
	    cmocka_unit_test(norms__say_which_value_is_not_finite),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
