/* Capacities of packed batches of texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "graph/shape.h"

static void shape__a_capacity_is_the_least_rung_that_holds_the_tokens(void **state)
{
	(void)state;
	static const int64_t known[][2] = {
	    {0, 4}, {1, 4}, {4, 4}, {5, 8}, {127, 128}, {128, 128}, {129, 136}, {512, 516}, {3000, 3044}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(shape_capacity(known[i][0]), known[i][1]);
}

static void shape__slack_stays_below_four_tokens_or_a_sixteenth_and_rungs_are_few(void **state)
{
	(void)state;
	int64_t before = 0;
	int rungs = 0;
	for (int64_t tokens = 1; tokens <= 4096; tokens++) {
		int64_t m = shape_capacity(tokens);
		assert_true(m >= tokens && m % 4 == 0);
		assert_true(m - tokens < 4 || (m - tokens) * 16 <= m);
		assert_int_equal(shape_capacity(m), m);
		rungs += m != before;
		before = m;
	}
	assert_int_equal(rungs, 93);
}

static void shape__a_batch_of_images_has_no_tokens(void **state)
{
	(void)state;
	struct build_shape s = shape_samples(7);
	assert_int_equal(s.sequences, 7);
	assert_int_equal(s.tokens, 0);
	assert_int_equal(s.longest, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(shape__a_capacity_is_the_least_rung_that_holds_the_tokens),
	    cmocka_unit_test(shape__slack_stays_below_four_tokens_or_a_sixteenth_and_rungs_are_few),
	    cmocka_unit_test(shape__a_batch_of_images_has_no_tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
