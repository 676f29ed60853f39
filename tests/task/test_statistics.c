/* Golden values: statistics.py, by SciPy and statsmodels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "task/statistics.h"

static void close_to(double have, double want)
{
	if (!(fabs(have - want) <= 1e-11 * fabs(want)))
		fail_msg("have %.17g, want %.17g", have, want);
}

static void student__critical_values_are_those_of_scipy(void **state)
{
	(void)state;
	close_to(student_critical(0.05, 1), 12.706204736174694);
	close_to(student_critical(0.05, 2), 4.302652729749462);
	close_to(student_critical(0.05, 4), 2.7764451051977934);
	close_to(student_critical(0.05, 9), 2.262157162798205);
	close_to(student_critical(0.05, 30), 2.0422724563012378);
	close_to(student_critical(0.05, 1000), 1.9623390808264083);
}

static void student__tails_are_those_of_scipy(void **state)
{
	(void)state;
	close_to(student_two_sided(1.5, 1), 0.3743340836219977);
	close_to(student_two_sided(-2.5, 2), 0.12961172022151082);
	close_to(student_two_sided(4.2, 7), 0.004035559925219959);
	close_to(student_two_sided(12, 30), 5.580185415199261e-13);
	close_to(student_two_sided(1e-3, 3), 0.9992648949694609);
	close_to(student_two_sided(60, 2), 0.00027766209059467876);
	assert_true(student_two_sided(INFINITY, 3) <= 0);
	assert_true(isnan(student_two_sided(NAN, 3)));
	close_to(normal_two_sided(0.5), 0.6170750774519738);
	close_to(normal_two_sided(-1.96), 0.04999579029644087);
	close_to(normal_two_sided(6), 1.973175290075389e-09);
}

static void mcnemar__exact_p_is_that_of_statsmodels(void **state)
{
	(void)state;
	close_to(mcnemar_exact(3, 0), 0.25);
	close_to(mcnemar_exact(2, 9), 0.0654296875);
	close_to(mcnemar_exact(40, 61), 0.046044066929342785);
	close_to(mcnemar_exact(500, 431), 0.025787128461388437);
	close_to(mcnemar_exact(0, 0), 1);
}

static void holm__adjusted_p_is_that_of_statsmodels_and_untested_rows_stay(void **state)
{
	double p[] = {0.01, 0.04, NAN, 0.03, 0.005, 0.5, 0.03};
	const double want[] = {0.05, 0.12, NAN, 0.12, 0.03, 0.5, 0.12};
	(void)state;
	assert_int_equal(holm_adjust(p, 7), 0);
	for (int i = 0; i < 7; i++) {
		if (i == 2)
			assert_true(isnan(p[i]));
		else
			close_to(p[i], want[i]);
	}
	assert_int_equal(holm_adjust(p, 0), 0);
}

static void spread__mean_deviation_and_interval_are_those_of_scipy(void **state)
{
	const double v[] = {0.918, 0.771, 0.788, 0.786, 0.762};
	struct spread s;
	(void)state;
	spread_of(&s, v, 5);
	close_to(s.mean, 0.805);
	close_to(s.sd, 0.06407807737440319);
	close_to(s.low, 0.7254365582500885);
	close_to(s.high, 0.8845634417499116);
	assert_true(s.min <= 0.762 && s.max >= 0.918);
}

static void spread__one_figure_has_no_deviation_and_equal_ones_have_none(void **state)
{
	const double v[] = {0.1, 0.1, 0.1};
	struct spread s;
	(void)state;
	spread_of(&s, v, 1);
	assert_true(isnan(s.sd) && isnan(s.low) && isnan(s.high));
	spread_of(&s, v, 3);
	assert_true(s.sd <= 0 && s.low >= s.mean && s.high <= s.mean);
	spread_of(&s, v, 0);
	assert_true(isnan(s.mean));
}

static void paired_t__p_is_that_of_scipy_and_needs_two(void **state)
{
	const double d[] = {0.011, 0.004, 0.009, -0.001}, zero[] = {0, 0};
	(void)state;
	close_to(student_paired(d, 4), 0.12201772591924562);
	assert_true(isnan(student_paired(d, 1)));
	close_to(student_paired(zero, 2), 1);
}

static void paired_t__equal_differences_have_no_p(void **state)
{
	const double same[] = {0.5, 0.5}, shares[] = {0.9 - 0.8, 0.8 - 0.7, 0.4 - 0.3};
	(void)state;
	assert_true(isnan(student_paired(same, 2)));
	assert_true(isnan(student_paired(shares, 3))); /* equal but for rounding */
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(student__critical_values_are_those_of_scipy),
	    cmocka_unit_test(student__tails_are_those_of_scipy),
	    cmocka_unit_test(mcnemar__exact_p_is_that_of_statsmodels),
	    cmocka_unit_test(holm__adjusted_p_is_that_of_statsmodels_and_untested_rows_stay),
	    cmocka_unit_test(spread__mean_deviation_and_interval_are_those_of_scipy),
	    cmocka_unit_test(spread__one_figure_has_no_deviation_and_equal_ones_have_none),
	    cmocka_unit_test(paired_t__p_is_that_of_scipy_and_needs_two),
	    cmocka_unit_test(paired_t__equal_differences_have_no_p)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
