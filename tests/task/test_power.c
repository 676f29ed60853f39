/* The smallest difference that a set can show, against SciPy's binomial distribution and statsmodels' test. */
#include "task/rig.h"

#include "task/power.h"

static void close_to(double a, double b, double tolerance)
{
	if (!(fabs(a - b) <= tolerance * fabs(b)))
		fail_msg("%.17g is not %.17g", a, b);
}

/* SciPy 1.17: sums of binom.pmf(D, n, p) * (binom.cdf(c, D, share) + binom.sf(D - c - 1, D, share)), c the largest
 * count with 2 * binom.cdf(c, D, 0.5) <= rate. 4,000 draws of statsmodels' mcnemar(exact=True) give 0.6745 for the
 * second. */
static void power__is_that_of_the_exact_test(void **state)
{
	(void)state;
	close_to(power_mcnemar(100, 0.2, 0.1, 0.05), 0.5444454279352323, 1e-9);
	close_to(power_mcnemar(360, 0.05, 0.03, 0.05), 0.6781426442637231, 1e-9);
	close_to(power_mcnemar(1000, 0.1, 0.03, 0.01), 0.6370092542017097, 1e-9);
	close_to(power_mcnemar(50, 0.3, 0.3, 0.05), 0.9992771382788368, 1e-9);
	close_to(power_mcnemar(2000, 0.02, 0, 0.05), 0.03449338157963157, 1e-9);
	near(power_mcnemar(5, 0.9, 0.9, 0.05), 0); /* five flips are no evidence at 5 % */
	near(power_mcnemar(0, 0.5, 0.5, 0.05), 0);
	near(power_mcnemar(100, 0, 0, 0.05), 0);
	close_to(power_mcnemar(500000, 0.05, 0.0012, 0.05), 0.9667320160715616, 1e-9); /* the normal approximation */
}

static void smallest_difference__has_the_power_that_is_asked_for(void **state)
{
	(void)state;
	close_to(power_smallest_difference(360, 0, 0.05, 0.8), 0.02187245525419712, 1e-7);
	close_to(power_smallest_difference(360, 0.05, 0.05, 0.8), 0.033685121685266495, 1e-7);
	close_to(power_smallest_difference(360, 0.2, 0.05, 0.8), 0.0677846847102046, 1e-7);
	close_to(power_smallest_difference(1000, 0.05, 0.01, 0.9), 0.027167674154043198, 1e-7);
	close_to(power_smallest_difference(20, 0.1, 0.05, 0.8), 0.3664593519642949, 1e-7);
	close_to(power_smallest_difference(6, 0, 0.05, 0.8), 0.9634924847632647, 1e-7);
	assert_true(isnan(power_smallest_difference(5, 0.1, 0.05, 0.8)));
	assert_true(isnan(power_smallest_difference(0, 0.1, 0.05, 0.8)));
}

/* Both sides of where the sum gives way to the normal approximation agree but for a little. */
static void smallest_difference__of_many_samples_has_no_step(void **state)
{
	(void)state;
	const double sum = power_smallest_difference(99000, 0.1, 0.05, 0.8);
	const double normal = power_smallest_difference(101000, 0.1, 0.05, 0.8);
	assert_true(normal < sum && normal > 0.98 * sum);
}

static void fewest_flips__are_six_at_five_per_cent(void **state)
{
	(void)state;
	assert_int_equal(power_fewest_flips(0.05), 6);
	assert_int_equal(power_fewest_flips(0.01), 8);
	assert_int_equal(power_fewest_flips(0.5), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(power__is_that_of_the_exact_test),
	    cmocka_unit_test(smallest_difference__has_the_power_that_is_asked_for),
	    cmocka_unit_test(smallest_difference__of_many_samples_has_no_step),
	    cmocka_unit_test(fewest_flips__are_six_at_five_per_cent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
