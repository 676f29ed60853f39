/* Learned rounding and the rows of a product: by hand, and by trying all roundings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/arith.h"
#include "quant/rounding.h"
#include "quant/taps.h"

#define INPUTS   8
#define CHANNELS 18 /* more than a block of sixteen */
#define ROWS     512

static float x[ROWS * INPUTS], y[ROWS * CHANNELS], w[CHANNELS * INPUTS], bias[CHANNELS], steps[CHANNELS];

/* Inputs that have much in common, as pixels have: there the nearest integers are far from the best. */
static struct rounding problem(bool relu)
{
	const struct rng rng = rng_make(7, "test", RNG_INIT, "rounding");
	for (int n = 0; n < ROWS; n++)
		for (int k = 0; k < INPUTS; k++) {
			const struct rng_words a = rng_draw(rng, 0, (uint64_t)n, (uint32_t)k),
					       common = rng_draw(rng, 1, (uint64_t)n, 0);
			x[n * INPUTS + k] = rng_uniform(common.w[0]) + 0.2f * rng_uniform(a.w[0]);
		}
	for (int i = 0; i < CHANNELS * INPUTS; i++)
		w[i] = rng_uniform(rng_draw(rng, 2, (uint64_t)i, 0).w[0]) - 0.5f;
	w[3] = w[INPUTS + 1] = 0;
	for (int o = 0; o < CHANNELS; o++) {
		bias[o] = 0.1f * (float)o - 0.8f;
		steps[o] = 0.5f / 7;
		for (int n = 0; n < ROWS; n++) {
			float t = bias[o];
			for (int k = 0; k < INPUTS; k++)
				t += x[n * INPUTS + k] * w[o * INPUTS + k];
			y[n * CHANNELS + o] = relu ? fmaxf(t, 0) : t;
		}
	}
	return (struct rounding){.O = CHANNELS,
	    .K = INPUTS,
	    .N = ROWS,
	    .x = x,
	    .y = y,
	    .w = w,
	    .bias = bias,
	    .steps = steps,
	    .q = qrange_weight(4),
	    .relu = relu,
	    .iterations = 500,
	    .rng = rng};
}

static double error_of(int o, const int8_t *q, bool relu)
{
	double sum = 0;
	for (int n = 0; n < ROWS; n++) {
		double t = (double)bias[o];
		for (int k = 0; k < INPUTS; k++)
			t += (double)x[n * INPUTS + k] * (double)q[k] * (double)steps[o];
		t = relu ? fmax(t, 0) : t;
		sum += (t - (double)y[n * CHANNELS + o]) * (t - (double)y[n * CHANNELS + o]);
	}
	return sum;
}

/* The least error of all roundings of a channel. */
static double best_of(int o, bool relu)
{
	double best = INFINITY;
	for (int up = 0; up < 1 << INPUTS; up++) {
		int8_t q[INPUTS];
		for (int k = 0; k < INPUTS; k++) {
			int v = (int)floorf(w[o * INPUTS + k] / steps[o]) + (w[o * INPUTS + k] != 0 && up >> k & 1);
			q[k] = (int8_t)(v > 7 ? 7 : v < -7 ? -7 : v);
		}
		best = fmin(best, error_of(o, q, relu));
	}
	return best;
}

static void learned__comes_near_the_best_of_all_roundings(void **state)
{
	(void)state;
	for (int relu = 0; relu < 2; relu++) {
		const struct rounding r = problem(relu);
		struct rounding_errors e;
		int8_t q[CHANNELS * INPUTS];
		double best = 0, got = 0, nearest = 0;
		int64_t changed = 0;
		assert_int_equal(rounding_learn(&r, q, &e), 0);
		for (int o = 0; o < CHANNELS; o++) {
			int8_t near[INPUTS];
			for (int k = 0; k < INPUTS; k++) {
				near[k] = (int8_t)quant_round(w[o * INPUTS + k], steps[o], r.q);
				changed += near[k] != q[o * INPUTS + k];
				assert_true(abs(near[k] - q[o * INPUTS + k]) <= 1);
			}
			assert_true(error_of(o, q + o * INPUTS, relu) <= error_of(o, near, relu) * (1 + 1e-5));
			best += best_of(o, relu);
			got += error_of(o, q + o * INPUTS, relu);
			nearest += error_of(o, near, relu);
		}
		assert_int_equal(changed, e.changed);
		assert_true(fabs(e.learned - got) < 1e-3 * got && fabs(e.nearest - nearest) < 1e-3 * nearest);
		assert_true(got < 0.3 * nearest);
		assert_true(got < 1.5 * best);
		assert_true(q[3] == 0 && q[INPUTS + 1] == 0);
	}
}

/* Of 1 bit. Weights of the step's size and beyond keep their signs. */
static void learned__signs_lose_less_than_those_of_the_weights(void **state)
{
	struct rounding r = problem(false);
	struct rounding_errors e;
	int8_t q[CHANNELS * INPUTS];
	double got = 0;
	int64_t changed = 0;
	(void)state;
	r.q = qrange_weight(1);
	for (int o = 0; o < CHANNELS; o++)
		steps[o] = 0.25f;
	assert_int_equal(rounding_learn(&r, q, &e), 0);
	for (int i = 0; i < CHANNELS * INPUTS; i++) {
		const int sign = w[i] >= 0 ? 1 : -1;
		assert_true(q[i] == sign || (q[i] == -sign && fabsf(w[i]) < 0.25f));
		changed += q[i] != sign;
	}
	for (int o = 0; o < CHANNELS; o++)
		got += error_of(o, q + o * INPUTS, false);
	assert_true(fabs(e.learned - got) < 1e-3 * got && e.changed == changed && changed > 0);
	assert_true(got < 0.6 * e.nearest);
}

static void learned__is_the_same_for_any_number_of_threads(void **state)
{
	const struct rounding r = problem(true);
	const int before = omp_get_max_threads();
	struct rounding_errors e[2];
	int8_t q[2][CHANNELS * INPUTS];
	(void)state;
	for (int i = 0; i < 2; i++) {
		omp_set_num_threads(i ? 3 : 1);
		assert_int_equal(rounding_learn(&r, q[i], &e[i]), 0);
	}
	omp_set_num_threads(before);
	assert_memory_equal(q[0], q[1], sizeof(q[0]));
	assert_true(!(e[0].learned < e[1].learned) && !(e[0].learned > e[1].learned));
}

static void learned__stops_and_survives_a_lack_of_memory(void **state)
{
	struct rounding r = problem(false);
	const volatile sig_atomic_t stop = 1;
	struct rounding_errors e;
	int8_t q[CHANNELS * INPUTS];
	(void)state;
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		const int rc = rounding_learn(&r, q, &e);
		const bool failed = mem_count() >= n;
		mem_fail_at(0);
		if (!failed)
			break;
		assert_int_equal(rc, ERR_NOMEM);
	}
	r.stop = &stop;
	assert_int_equal(rounding_learn(&r, q, &e), ERR_INTERRUPTED);
}

/* Whatever a channel's values are, its integers are in range. */
static void learned__keeps_what_has_no_choice(void **state)
{
	const float rows[] = {0, 0, 0, 0}, none[] = {0, 0, 0, 0}, weights[] = {9, -9, 0, 2}, one = 1;
	const struct rounding r = {.O = 1,
	    .K = 4,
	    .N = 1,
	    .x = rows,
	    .y = none,
	    .w = weights,
	    .steps = &one,
	    .q = qrange_weight(4),
	    .iterations = 20,
	    .rng = rng_make(1, "", RNG_SHUFFLE, "")};
	const int8_t want[] = {7, -7, 0, 2};
	struct rounding_errors e;
	int8_t q[4];
	(void)state;
	assert_int_equal(rounding_learn(&r, q, &e), 0);
	assert_memory_equal(q, want, sizeof(want));
	assert_true(!(e.nearest > 0) && e.changed == 0);
}

static void taps__are_the_windows_of_a_convolution(void **state)
{
	/* 3 x 4 pixels of 2 channels, kernel 3 x 2, stride 2, a border of one. */
	const struct taps t = {.K = 12,
	    .places = 2 * 3,
	    .H = 3,
	    .W = 4,
	    .C = 2,
	    .kernel_h = 3,
	    .kernel_w = 2,
	    .out_w = 3,
	    .stride = 2,
	    .pad = 1};
	float image[24], row[12];
	double whole[24], sum[12] = {0}, want[12] = {0};
	(void)state;
	for (int i = 0; i < 24; i++)
		whole[i] = image[i] = (float)(i + 1);
	for (int place = 0; place < 6; place++) {
		taps_row(&t, image, place, row);
		for (int i = 0; i < 12; i++) {
			const int c = i % 2, h = place / 3 * 2 - 1 + i / 4, v = place % 3 * 2 - 1 + i / 2 % 2;
			const bool inside = h >= 0 && h < 3 && v >= 0 && v < 4;
			assert_float_equal(row[i], inside ? (float)((h * 4 + v) * 2 + c + 1) : 0, 0);
			want[i] += (double)row[i];
		}
	}
	taps_sum(&t, whole, sum);
	for (int i = 0; i < 12; i++)
		assert_true(fabs(sum[i] - want[i]) < 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(learned__comes_near_the_best_of_all_roundings),
	    cmocka_unit_test(learned__signs_lose_less_than_those_of_the_weights),
	    cmocka_unit_test(learned__is_the_same_for_any_number_of_threads),
	    cmocka_unit_test(learned__stops_and_survives_a_lack_of_memory),
	    cmocka_unit_test(learned__keeps_what_has_no_choice),
	    cmocka_unit_test(taps__are_the_windows_of_a_convolution),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
