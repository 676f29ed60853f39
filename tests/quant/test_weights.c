/* Steps of weights, and the largest sums that their integers make. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/observer.h"
#include "quant/plan.h"
#include "quant/values.h"

static void weights__minmax_step_reaches_the_largest_weight_of_each_channel(void **state)
{
	float w[3][4] = {{1, -2, 0.5f, 0}, {0, 0, 0, 0}, {-127, 3, 5, 8}}, steps[3], one;

	(void)state;
	assert_int_equal(quant_weight_steps(&w[0][0], 3, 4, qrange_weight(8), true, OBSERVE_MINMAX, steps), 0);
	assert_true(steps[0] == 2.0f / 127 && steps[1] == 1 && steps[2] == 1);
	assert_int_equal(quant_weight_steps(&w[0][0], 3, 4, qrange_weight(4), false, OBSERVE_MINMAX, &one), 0);
	assert_true(one == 127.0f / 7);
	w[1][2] = NAN;
	assert_int_equal(
	    quant_weight_steps(&w[0][0], 3, 4, qrange_weight(8), true, OBSERVE_MINMAX, steps), ERR_CHECKPOINT);
	w[1][2] = 0;
	assert_int_equal(quant_weight_steps(&w[0][0], 3, 4, qrange_weight(8), true, OBSERVE_ENTROPY, steps), ERR_FAIL);
}

/* XNOR-Net, eq. 6; and no step near it is better. */
static void weights__of_1_bit_have_the_mean_magnitude_as_step(void **state)
{
	float w[3][4] = {{1, -2, 0.5f, 0}, {0, 0, -0.0f, 0}, {-127, 3, 5, 8}}, steps[3], one;
	(void)state;
	for (int kind = OBSERVE_MINMAX; kind <= OBSERVE_MSE; kind += OBSERVE_MSE - OBSERVE_MINMAX) {
		assert_int_equal(quant_weight_steps(&w[0][0], 3, 4, qrange_weight(1), true, kind, steps), 0);
		assert_true(steps[0] == 0.875f && steps[1] == 0x1p-24f && steps[2] == 35.75f);
		assert_int_equal(quant_weight_steps(&w[0][0], 3, 4, qrange_weight(1), false, kind, &one), 0);
		assert_true(one == (float)(146.5 / 12));
	}
	for (int near = -3; near <= 3; near++) {
		double best = 0, other = 0;
		for (int k = 0; k < 4; k++) {
			const int q = quant_round(w[2][k], 35.75f, qrange_weight(1));
			best += pow((double)w[2][k] - 35.75 * q, 2);
			other += pow((double)w[2][k] - (35.75 + 0.1 * near) * q, 2);
		}
		assert_true(near == 0 || best < other);
	}
	w[1][2] = NAN;
	assert_int_equal(
	    quant_weight_steps(&w[0][0], 3, 4, qrange_weight(1), true, OBSERVE_MSE, steps), ERR_CHECKPOINT);
}

static void weights__mse_step_is_never_worse_than_minmax(void **state)
{
	float *x = make_values(NORMAL, 512);

	(void)state;
	for (int bits = 2; bits <= 8; bits++) {
		struct qrange q = qrange_weight(bits);
		float minmax, mse;

		assert_int_equal(quant_weight_steps(x, 1, 512, q, false, OBSERVE_MINMAX, &minmax), 0);
		assert_int_equal(quant_weight_steps(x, 1, 512, q, false, OBSERVE_MSE, &mse), 0);
		assert_true(true_error(x, 512, q, -mse * (float)q.hi, mse * (float)q.hi) <=
			    true_error(x, 512, q, -minmax * (float)q.hi, minmax * (float)q.hi));
		if (bits <= 4) /* few levels: clipping the tail pays */
			assert_true(mse < 0.95f * minmax);
	}
	mem_free(x);
}

/* Of two bits the best clip is near the weights' deviation, however large a single one is. */
static void weights__mse_clips_far_below_a_lone_large_weight(void **state)
{
	float *w = make_values(NORMAL, COUNT / 8), step;

	(void)state;
	w[3] = 8;
	assert_int_equal(quant_weight_steps(w, 1, COUNT / 8, qrange_weight(2), true, OBSERVE_MSE, &step), 0);
	assert_true(step > 1 && step < 1.6f);
	mem_free(w);
}

static void weights__worst_accumulator_counts_one_sign_at_a_time(void **state)
{
	int8_t w[2][3] = {{127, -3, 5}, {-100, -100, 1}};

	(void)state;
	assert_int_equal(quant_worst_accumulator(&w[0][0], 2, 3), 255 * 200);
	assert_int_equal(quant_worst_accumulator(&w[0][0], 1, 3), 255 * 132);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(weights__minmax_step_reaches_the_largest_weight_of_each_channel),
	    cmocka_unit_test(weights__of_1_bit_have_the_mean_magnitude_as_step),
	    cmocka_unit_test(weights__mse_step_is_never_worse_than_minmax),
	    cmocka_unit_test(weights__mse_clips_far_below_a_lone_large_weight),
	    cmocka_unit_test(weights__worst_accumulator_counts_one_sign_at_a_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
