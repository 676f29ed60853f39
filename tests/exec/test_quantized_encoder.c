/* Quantized encoders on the reference: what is simulated is what is executed. */
#include "quant/encoder_equal.h"

static struct device dev;

static void encoder__gives_equal_integers(void **state)
{
	int (*const build[])(int, struct graph *) = {encoder_build_post, encoder_build_pre, encoder_build_pooled};

	(void)state;
	for (int k = 0; k < 12; k++) {
		struct equal_case c = encoder_case(build[k % 3], k % 2 ? 8 : 3, k & 2);
		struct equal_result r;

		c.rules.per_channel = k < 6;
		r = equal_run(&c, dev, dev);
		if (r.different)
			fail_msg("case %d: %lld of %lld values differ, worst %g", k, (long long)r.different,
			    (long long)r.compared, r.worst);
		assert_true(r.nodes >= 40 && r.saturated > 0);
	}
}

static int setup(void **state)
{
	(void)state;
	dev = rig_open(&ref_backend);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_close(dev);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(encoder__gives_equal_integers)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
