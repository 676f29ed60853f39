/* Golden values: statistics.py, by NumPy. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "task/paired.h"
#include "task/statistics.h"
#include "task/task.h"

#define N 300
static uint8_t truth[N], reference[N], model[N], other[N];

static int fill(void **state)
{
	(void)state;
	for (int i = 0; i < N; i++) {
		truth[i] = (uint8_t)((i * i + i / 7) % 3);
		reference[i] = (uint8_t)((3 * i) % 11 < 1 ? (truth[i] + 1) % 3 : truth[i]);
		model[i] = (uint8_t)((7 * i) % 10 < 2 ? (truth[i] + 1 + i % 2) % 3 : truth[i]);
		other[i] = (uint8_t)((5 * i) % 13 < 2 ? (truth[i] + 1) % 3 : truth[i]);
	}
	return 0;
}

static struct paired_run pair(const uint8_t *of, const char *split)
{
	return (struct paired_run){{N, 3, 1, false, truth}, split, reference, of};
}

static void close_to(double have, double want, double by)
{
	if (!(fabs(have - want) <= by * fabs(want)))
		fail_msg("have %.17g, want %.17g", have, want);
}

static void figures__of_decisions_are_those_of_numpy(void **state)
{
	const struct paired_run r = pair(model, "a");
	double v;
	(void)state;
	assert_int_equal(paired_value(&r.of, reference, task_metric_row("f1_macro"), &v), 0);
	close_to(v, 0.9057060640030422, 1e-14);
	assert_int_equal(paired_value(&r.of, model, task_metric_row("f1_macro"), &v), 0);
	close_to(v, 0.7993417137458588, 1e-14);
}

static void one_run__share_of_samples_is_mcnemars_exact_test(void **state)
{
	const struct paired_run r = pair(model, "a");
	struct paired_result p;
	(void)state;
	assert_int_equal(paired_compare(&r, 1, task_metric_row("accuracy"), &p), 0);
	assert_true(p.exact);
	assert_int_equal(p.right_to_wrong, 54);
	assert_int_equal(p.wrong_to_right, 22);
	close_to(p.difference, -32.0 / 300, 1e-14);
	close_to(p.error, 0.02839926968283724, 1e-12);
	close_to(p.p, mcnemar_exact(54, 22), 1e-14);
}

static void one_run__bootstrap_error_is_that_of_numpys_resamples(void **state)
{
	const struct paired_run r = pair(model, "a");
	struct paired_result p, again;
	(void)state;
	assert_int_equal(paired_compare(&r, 1, task_metric_row("f1_macro"), &p), 0);
	assert_int_equal(p.replicates, PAIRED_REPLICATES);
	close_to(p.difference, 0.7993417137458588 - 0.9057060640030422, 1e-12);
	close_to(p.error, 0.028591222202865897, 0.1); /* 500 resamples know it to 3.2 %: three times that */
	assert_int_equal(paired_compare(&r, 1, task_metric_row("f1_macro"), &again), 0);
	close_to(again.p, p.p, 0);
}

static void runs_on_one_split__share_its_samples(void **state)
{
	const struct paired_run one[] = {pair(model, "a"), pair(other, "a")},
				apart[] = {pair(model, "a"), pair(other, "b")};
	struct paired_result p, f, independent;
	(void)state;
	assert_int_equal(paired_compare(one, 2, task_metric_row("accuracy"), &p), 0);
	assert_false(p.exact);
	close_to(p.difference, -0.085, 1e-12);
	close_to(p.error, 0.022750457870850276, 1e-12);
	/* for shares the bootstrap and the formula are of the same thing */
	assert_int_equal(paired_compare(one, 2, task_metric_row("f1_micro"), &f), 0);
	close_to(f.error, p.error, 0.1);
	assert_int_equal(paired_compare(apart, 2, task_metric_row("accuracy"), &independent), 0);
	assert_true(independent.error < 0.9 * p.error);
}

static void equal_models__are_a_tie(void **state)
{
	const struct paired_run r = pair(reference, "a");
	struct paired_result p;
	(void)state;
	assert_int_equal(paired_compare(&r, 1, task_metric_row("f1_macro"), &p), 0);
	close_to(p.p, 1, 0);
	assert_int_equal(paired_compare(&r, 1, task_metric_row("accuracy"), &p), 0);
	close_to(p.p, 1, 0);
}

/* They have no spread that an error could be computed from: as many signs as there are samples say the same. */
static void samples_that_all_change__differ(void **state)
{
	static uint8_t wrong[N];
	struct paired_run both[] = {pair(wrong, "a"), pair(wrong, "a")};
	struct paired_result p;
	(void)state;
	for (int i = 0; i < N; i++)
		wrong[i] = (uint8_t)((truth[i] + 1) % 3);
	both[0].reference = both[1].reference = truth;
	assert_int_equal(paired_compare(both, 2, task_metric_row("accuracy"), &p), 0);
	close_to(p.difference, -1, 0);
	assert_true(p.p > 0 && p.p < 1e-80); /* 2^-299 */
	both[0].of.n = both[1].of.n = 3;
	assert_int_equal(paired_compare(both, 2, task_metric_row("accuracy"), &p), 0);
	close_to(p.p, 0.25, 1e-12);
}

static void labels__are_right_as_a_whole_and_counted_each(void **state)
{
	static const uint8_t there[] = {1, 0, 0, 1, 1, 1, 0, 0}, said[] = {1, 0, 1, 1, 1, 0, 0, 0};
	const struct paired_run r = {{4, 2, 2, true, there}, "a", there, said};
	struct paired_result p;
	double v;
	(void)state;
	assert_int_equal(paired_compare(&r, 1, task_metric_row("exact_match"), &p), 0);
	assert_int_equal(p.right_to_wrong, 2);
	assert_int_equal(paired_value(&r.of, said, task_metric_row("f1_micro"), &v), 0);
	close_to(v, 2.0 * 3 / (2 * 3 + 1 + 1), 1e-14);
}

static void figures_that_decisions_do_not_give__are_not_tested(void **state)
{
	const struct paired_run r = pair(model, "a");
	struct paired_result p;
	(void)state;
	assert_int_equal(paired_compare(&r, 1, task_metric_row("roc_auc_macro"), &p), 0);
	assert_true(isnan(p.p));
	assert_int_equal(p.right_to_wrong, 54);
}

static void memory__may_end_anywhere(void **state)
{
	const struct paired_run r = pair(model, "a");
	struct paired_result p;
	int rc = -1;
	(void)state;
	for (uint64_t at = 1; rc && at < 100; at++) {
		mem_fail_at(at);
		rc = paired_compare(&r, 1, task_metric_row("f1_macro"), &p);
		mem_fail_at(0);
	}
	assert_int_equal(rc, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(figures__of_decisions_are_those_of_numpy),
	    cmocka_unit_test(one_run__share_of_samples_is_mcnemars_exact_test),
	    cmocka_unit_test(one_run__bootstrap_error_is_that_of_numpys_resamples),
	    cmocka_unit_test(runs_on_one_split__share_its_samples), cmocka_unit_test(equal_models__are_a_tie),
	    cmocka_unit_test(samples_that_all_change__differ),
	    cmocka_unit_test(labels__are_right_as_a_whole_and_counted_each),
	    cmocka_unit_test(figures_that_decisions_do_not_give__are_not_tested),
	    cmocka_unit_test(memory__may_end_anywhere)};
	return cmocka_run_group_tests(tests, fill, NULL);
}
