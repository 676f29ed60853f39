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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(units__best_of_each_width_stay),
	    cmocka_unit_test(units__are_never_all_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
