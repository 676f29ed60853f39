/* Choosing units: the best of each width, and the best within a budget against trying every combination. */
#include "stages/rig.h"

#include <math.h>

#include "base/rng.h"
#include "stages/prune_choose.h"

static int widths[] = {3, 4, 2};
static const struct model_spec spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = widths,
    .own = &(struct mlp_spec){0}};

static void give(struct unit_scores *s, int i, const double *values)
{
	RIG_OK(unit_scores_add(s, i));
	memcpy(s->score[i], values, (size_t)widths[i] * sizeof(*values));
}

static void units__best_of_each_width_stay(void **state)
{
	struct unit_scores s;
	struct slice keep;
	const int left[] = {2, 1, 1};
	(void)state;
	RIG_OK(unit_scores_init(&s, &spec));
	give(&s, 0, (double[]){1, 3, 2});
	give(&s, 1, (double[]){5, 5, 4, 5}); /* of equal ones the first */
	RIG_OK(choose_units(&s, left, &keep));
	assert_int_equal(keep.n_keep[0], 2);
	assert_memory_equal(keep.keep[0], ((int[]){1, 2}), 2 * sizeof(int));
	assert_int_equal(keep.n_keep[1], 1);
	assert_int_equal(keep.keep[1][0], 0);
	assert_null(keep.keep[2]);
	slice_clear(&keep);
	unit_scores_clear(&s);
}

static void units__are_never_all_removed(void **state)
{
	struct unit_scores s;
	struct slice keep;
	(void)state;
	RIG_OK(unit_scores_init(&s, &spec));
	give(&s, 1, (double[]){1, 2, 3, 4});
	assert_int_equal(choose_units(&s, (int[]){3, 0, 2}, &keep), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "all 4 units of fc2 would be removed"));
	assert_int_equal(choose_units(&s, (int[]){3, 5, 2}, &keep), ERR_CONFIG);
	s.score[1][2] = NAN;
	assert_int_equal(choose_units(&s, (int[]){3, 2, 2}, &keep), ERR_FAIL);
	assert_non_null(strstr(err_message(), "unit 2 of fc2"));
	unit_scores_clear(&s);
}

/* What combination k of the three widths loses and costs. */
static double loss_of(const struct unit_scores *s, int i, int left)
{
	double sorted[4], sum = 0;
	memcpy(sorted, s->score[i], (size_t)widths[i] * sizeof(*sorted));
	for (int a = 0; a < widths[i]; a++)
		for (int b = a + 1; b < widths[i]; b++)
			if (sorted[b] < sorted[a]) {
				const double swap = sorted[a];
				sorted[a] = sorted[b];
				sorted[b] = swap;
			}
	for (int u = 0; u < widths[i] - left; u++)
		sum += sorted[u];
	return sum;
}

static void budget__choice_is_the_best_of_all(void **state)
{
	const struct rng r = rng_make(3, "choose", RNG_BENCH, "scores");
	double costs[3][5];
	const double *const cost[] = {costs[0], costs[1], costs[2]};
	(void)state;
	for (uint64_t t = 0; t < 200; t++) {
		struct unit_scores s;
		struct choose_cost c = {.cost = cost, .fixed = 1, .min_units = 1, .step = 1};
		int left[3];
		double used, lost, best = INFINITY, all = 1;
		RIG_OK(unit_scores_init(&s, &spec));
		for (int i = 0; i < 3; i++) {
			RIG_OK(unit_scores_add(&s, i));
			for (int u = 0; u < widths[i]; u++)
				s.score[i][u] = rng_draw(r, t, (uint64_t)i, (uint32_t)u).w[0] % 100;
			for (int k = 0; k <= widths[i]; k++) /* with steps, as measured times have them */
				costs[i][k] =
				    (double)(k / 2 * 4 + k + 1) * (i + 1) + rng_draw(r, t, 9, (uint32_t)k).w[0] % 3;
			all += costs[i][widths[i]];
		}
		c.budget = floor(all * 0.7) + 0.5; /* costs are whole: no choice is nearer than the grid */
		for (int a = 1; a <= 3; a++)
			for (int b = 1; b <= 4; b++)
				for (int d = 1; d <= 2; d++)
					if (1 + costs[0][a] + costs[1][b] + costs[2][d] <= c.budget)
						best = fmin(
						    best, loss_of(&s, 0, a) + loss_of(&s, 1, b) + loss_of(&s, 2, d));
		RIG_OK(choose_within(&s, &c, left, &used, &lost));
		assert_true(fabs(lost - best) < 1e-9);
		assert_true(used <= c.budget);
		assert_true(fabs(used - (1 + costs[0][left[0]] + costs[1][left[1]] + costs[2][left[2]])) < 1e-9);
		unit_scores_clear(&s);
	}
}

static void budget__ends_are_exact_and_less_is_refused(void **state)
{
	const double a[] = {0, 1. / 3, 2. / 3, 1}, b[] = {0, .1, .2, .3, .4};
	const double *const cost[] = {a, b, NULL};
	struct choose_cost c = {.cost = cost, .fixed = 0.1, .min_units = 2, .step = 1};
	struct unit_scores s;
	int left[3];
	double used, lost;
	(void)state;
	RIG_OK(unit_scores_init(&s, &spec));
	give(&s, 0, (double[]){1, 2, 3});
	give(&s, 1, (double[]){1, 2, 3, 4});
	c.budget = 0.1 + 1 + .4;
	RIG_OK(choose_within(&s, &c, left, &used, &lost));
	assert_memory_equal(left, ((int[]){3, 4, 2}), sizeof(left));
	assert_true(lost == 0);
	c.budget = 0.1 + 2. / 3 + .2;
	RIG_OK(choose_within(&s, &c, left, &used, &lost));
	assert_memory_equal(left, ((int[]){2, 2, 2}), sizeof(left));
	assert_true(lost == 4);
	c.budget = 0.9;
	assert_int_equal(choose_within(&s, &c, left, &used, &lost), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "0.9 cannot be reached: the least is 0.966667"));
	c.budget = 1.2;
	c.step = 4; /* the first width is narrower than a step and stays */
	assert_int_equal(choose_within(&s, &c, left, &used, &lost), ERR_CONFIG);
	c.step = 1;
	c.min_units = 0;
	assert_int_equal(choose_within(&s, &c, left, &used, &lost), ERR_CONFIG);
	unit_scores_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(units__best_of_each_width_stay),
	    cmocka_unit_test(units__are_never_all_removed),
	    cmocka_unit_test(budget__choice_is_the_best_of_all),
	    cmocka_unit_test(budget__ends_are_exact_and_less_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
