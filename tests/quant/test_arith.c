/* Known answers and exhaustive properties of the quantization arithmetic. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "quant/arith.h"

static float float_of(uint32_t bits)
{
	union {
		uint32_t u;
		float f;
	} x = {.u = bits};

	return x.f;
}

static void arith__pow2_is_the_nearest_power_in_the_logarithm(void **state)
{
	(void)state;
	assert_float_equal(quant_pow2(1.0f), 1.0f, 0);
	assert_float_equal(quant_pow2(1.41f), 1.0f, 0);
	assert_float_equal(quant_pow2(1.42f), 2.0f, 0);
	assert_float_equal(quant_pow2(0.70f), 0.5f, 0);
	assert_float_equal(quant_pow2(0.71f), 1.0f, 0);
	assert_float_equal(quant_pow2(3e-5f), 0x1p-15f, 0);
	/* the two floats around every half-way point 2^(k+1/2) */
	for (int k = -60; k <= 60; k++) {
		float half = (float)ldexp(M_SQRT2, k), below = half, above = half;

		if ((double)half > ldexp(M_SQRT2, k))
			below = nextafterf(half, 0);
		else
			above = nextafterf(half, INFINITY);
		assert_true(quant_pow2(below) == ldexpf(1, k));
		assert_true(quant_pow2(above) == ldexpf(1, k + 1));
	}
	for (uint32_t bits = 0x00800000u; bits < 0x7f000000u; bits += 9973) {
		float s = float_of(bits);
		double off = log2((double)s) - log2((double)quant_pow2(s));

		assert_true(fabs(off) <= 0.5 + 1e-9);
	}
}

static void arith__pow2_of_what_is_no_step_is_nan(void **state)
{
	const float wrong[] = {0, -0.0f, -1, -INFINITY, INFINITY, NAN};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_true(isnan(quant_pow2(wrong[i])));
	assert_true(quant_pow2(0x1p-149f) == 0x1p-149f);
}

static void arith__round_is_half_to_even_and_saturates(void **state)
{
	struct qrange s8 = qrange_signed(8), u8 = qrange_unsigned(8, 0), affine = qrange_unsigned(8, 100);

	(void)state;
	assert_int_equal(quant_round(0.5f, 1, s8), 0);
	assert_int_equal(quant_round(1.5f, 1, s8), 2);
	assert_int_equal(quant_round(-2.5f, 1, s8), -2);
	assert_int_equal(quant_round(-3.5f, 1, s8), -4);
	assert_int_equal(quant_round(1e30f, 1, s8), 127);
	assert_int_equal(quant_round(-1e30f, 1, s8), -128);
	assert_int_equal(quant_round(INFINITY, 1, u8), 255);
	assert_int_equal(quant_round(-INFINITY, 1, u8), 0);
	assert_int_equal(quant_round(-3, 1, u8), 0);
	assert_int_equal(quant_round(0, 0.1f, affine), 100);
	assert_int_equal(quant_round(-10.04f, 0.1f, affine), 0);
	assert_int_equal(quant_round(15.5f, 0.1f, affine), 255);
	assert_int_equal(quant_round(0.25f, 0.1f, affine), 102); /* 100 + half to even(2.5), not half to even(102.5) */
}

static void arith__round_follows_its_definition_for_every_f16_value(void **state)
{
	struct qrange ranges[] = {
	    qrange_signed(8), qrange_weight(4), qrange_unsigned(8, 7), qrange_unsigned(3, 0), qrange_weight(2)};
	float steps[] = {0.01f, 0.0371f, 1.0f, 3.3e-4f};

	(void)state;
	for (uint32_t h = 0; h < 65536; h++) {
		float x = f16_to_f32((uint16_t)h);

		if (!isfinite(x))
			continue;
		for (size_t r = 0; r < 5; r++) {
			float step = steps[h % 4], scaled = x * (1.0f / step);
			double t = nearbyint((double)scaled) + ranges[r].zero;
			int want = (int)fmin(fmax(t, ranges[r].lo), ranges[r].hi);

			assert_int_equal(quant_round(x, step, ranges[r]), want);
		}
	}
}

static void arith__one_bit_is_the_sign_and_both_zeros_are_positive(void **state)
{
	const struct qrange q = qrange_weight(1);

	(void)state;
	assert_true(qrange_is_binary(q) && !qrange_is_binary(qrange_weight(2)));
	assert_true(q.lo == -1 && q.hi == 1 && q.zero == 0 && q.is_signed);
	assert_int_equal(quant_round(0.0f, 0.5f, q), 1);
	assert_int_equal(quant_round(-0.0f, 0.5f, q), 1);
	assert_int_equal(quant_round(0x1p-149f, 1e30f, q), 1);
	assert_int_equal(quant_round(-0x1p-149f, 1e30f, q), -1); /* although its quotient is zero */
	assert_int_equal(quant_round(0.2f, 0.5f, q), 1);
	assert_int_equal(quant_round(-7, 0.5f, q), -1);
	assert_int_equal(quant_round(INFINITY, 0.5f, q), 1);
	assert_int_equal(quant_round(NAN, 0.5f, q), -1);
}

static void arith__epilogue_rounds_twice_then_fuses_the_residual(void **state)
{
	/* fl(acc*m) loses the last bits that an fma would keep */
	float acc = 16777213.0f, m = float_of(0x3f800003), c = -16777213.0f;
	float product = acc * m, two = product + c;

	(void)state;
	assert_true(two != fmaf(acc, m, c));
	assert_true(quant_epilogue(acc, m, c, false, 0, 0, false, 0) == two);
	assert_true(quant_epilogue(acc, m, c, true, 201, m, false, 0) == fmaf(201, m, two));
	/* what the rounding of 201 * m would have lost */
	assert_true(fmaf(201, m, -(201 * m)) != 0);
	assert_true(quant_epilogue(-(201 * m), 1, 0, true, 201, m, false, 0) == fmaf(201, m, -(201 * m)));
	assert_true(quant_epilogue(-5, 1, 0, false, 0, 0, true, 0) == 0);
	assert_true(quant_epilogue(-5, 1, 7, false, 0, 0, true, 7) == 7);
	assert_true(quant_epilogue(5, 1, 7, false, 0, 0, true, 7) == 12);
}

static void arith__scales_are_rounded_once_from_double(void **state)
{
	(void)state;
	for (int i = 1; i < 2000; i++) {
		float a = (float)i * 0.00173f, b = 1.0f / (float)(i + 3), y = (float)i * 0.0007f + 0.01f;

		assert_true(quant_scale(a, b, y, 49) == (float)((double)a * (double)b / ((double)y * 49.0)));
		assert_true(quant_residual(a, y) == (float)((double)a / (double)y));
		assert_true(
		    quant_shift(a, y, b, 12345 * i, 9) == (float)((double)a / y - (double)b * 12345.0 * i + 9.0));
	}
}

static void arith__saturate_covers_its_whole_range(void **state)
{
	struct qrange q = qrange_signed(8);

	(void)state;
	for (int i = -1200; i <= 1200; i++) {
		float t = (float)i / 8;
		int want = (int)nearbyint((double)t);

		want = want < -128 ? -128 : want > 127 ? 127 : want;
		assert_int_equal(quant_saturate(t, q), want);
	}
	assert_int_equal(quant_saturate(NAN, q), -128);
	assert_int_equal(quant_saturate(1e38f, q), 127);
}

/* The published formulas, as they are written there. */
static double published_gelu(double x, bool by_tanh)
{
	return by_tanh ? 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)))
		       : 0.5 * x * (1 + erf(x / sqrt(2)));
}

static void gelu__integers_are_those_of_the_published_formula(void **state)
{
	struct qrange forms[][2] = {{qrange_signed(8), qrange_signed(8)},
	    {qrange_unsigned(8, 100), qrange_unsigned(8, 7)}, {qrange_unsigned(8, 100), qrange_unsigned(4, 3)}};

	(void)state;
	for (int form = 0; form < 6; form++) {
		struct quant_gelu g = {0.031f, 0.0137f, forms[form / 2][0], forms[form / 2][1], form % 2};
		uint8_t table[256];

		quant_gelu_table(&g, table);
		for (int q = g.x.lo; q <= g.x.hi; q++) {
			double x = (q - g.x.zero) * (double)g.s_x, t = published_gelu(x, form % 2) / (double)g.s_y;
			double h = 1e-5,
			       slope = (published_gelu(x + h, form % 2) - published_gelu(x - h, form % 2)) / (2 * h);
			double want = fmin(fmax(nearbyint(t) + g.y.zero, g.y.lo), g.y.hi);

			assert_true(fabs(quant_gelu_t(&g, q) - t) <= 1e-9);
			assert_true(fabs(quant_gelu_slope(&g, q) - slope * (double)g.s_x / (double)g.s_y) <= 1e-6);
			assert_int_equal(quant_gelu_round(&g, q), (int)want);
			assert_int_equal(table[q & 255], (uint8_t)(int)want);
			assert_true(quant_gelu_inside(&g, t) == (t + g.y.zero >= g.y.lo && t + g.y.zero <= g.y.hi));
		}
	}
}

/* What is no number is the lowest integer; a half is rounded to even before the zero point is added. */
static void gelu__rounds_before_the_zero_point_is_added(void **state)
{
	struct quant_gelu g = {1, NAN, qrange_signed(8), qrange_unsigned(8, 7), false};

	(void)state;
	assert_int_equal(quant_gelu_round(&g, 3), 0);
	/* far to the right GELU is its argument: 50 / 4 = 12.5 */
	g.s_y = 4;
	assert_true(quant_gelu_t(&g, 50) == 12.5);
	assert_int_equal(quant_gelu_round(&g, 50), 12 + 7);
	assert_int_equal(quant_gelu_round(&g, 54), 14 + 7);
	assert_int_equal(quant_attention_round(12.5f, g.y), 12 + 7);
	assert_int_equal(quant_attention_round(13.5f, g.y), 14 + 7);
	assert_int_equal(quant_attention_round(NAN, g.y), 0);
	assert_int_equal(quant_attention_round(-8, g.y), 0);
	assert_int_equal(quant_attention_round(1e30f, g.y), 255);
}

/* The largest probability is the largest integer, and what is far below the largest score is nothing. */
static void attention__probabilities_are_powers_of_two(void **state)
{
	(void)state;
	for (int bits = 8; bits <= 16; bits += 8) {
		assert_int_equal((int)rintf(quant_exp2(quant_exponent(0, 0.01f, bits))), (1 << bits) - 1);
		assert_true(quant_exponent(-100000, 1, bits) == QUANT_LEAST);
		assert_int_equal((int)rintf(quant_exp2(QUANT_LEAST)), 0);
	}
	for (float x = QUANT_LEAST; x <= 16; x += 0.013f)
		assert_true(fabs((double)quant_exp2(x) / exp2((double)x) - 1) < 1e-3);
	assert_true(quant_score_scale(0.02f, 0.05f, 24) == (float)(0.02f * (double)0.05f * M_LOG2E / sqrt(24)));
}

/* A row between integers is the row of softmax(q k / sqrt(D)) v to the digits of its probabilities. */
static void attention__row_is_that_of_a_softmax(void **state)
{
	enum { T = 11, D = 5, STRIDE = 7 };
	int8_t k[T * STRIDE], v[T * STRIDE], q[D];
	const float s_q = 0.02f, s_k = 0.03f, s_v = 0.011f, s_y = 0.017f;

	(void)state;
	for (int i = 0; i < T * STRIDE; i++) {
		k[i] = (int8_t)(i * 37 % 255 - 127);
		v[i] = (int8_t)(i * 91 % 255 - 127);
	}
	for (int row = 0; row < 20; row++) {
		struct quant_attention a = {T, D, STRIDE, k, v, quant_score_scale(s_q, s_k, D), s_v / s_y, 16};
		double score[T], most = -INFINITY, sum = 0;
		int32_t p[T];
		float t[D];

		for (int d = 0; d < D; d++)
			q[d] = (int8_t)((row * 53 + d * 29) % 255 - 127);
		quant_attention_row(&a, q, p, t);
		for (int j = 0; j < T; j++) {
			score[j] = 0;
			for (int d = 0; d < D; d++)
				score[j] += q[d] * (double)s_q * k[j * STRIDE + d] * (double)s_k / sqrt(D);
			most = fmax(most, score[j]);
		}
		for (int j = 0; j < T; j++)
			sum += exp(score[j] - most);
		for (int j = 0; j < T; j++)
			assert_true(fabs(p[j] - 65535 * exp(score[j] - most)) <= 0.5 + 1e-3 * p[j]);
		for (int d = 0; d < D; d++) {
			double want = 0;

			for (int j = 0; j < T; j++)
				want += exp(score[j] - most) / sum * v[j * STRIDE + d] * (double)s_v / (double)s_y;
			assert_true(fabs((double)t[d] - want) <= 0.1);
		}
	}
}

static void arith__ranges_have_the_levels_of_their_bits(void **state)
{
	(void)state;
	for (int bits = 2; bits <= 8; bits++) {
		assert_int_equal(qrange_weight(bits).hi - qrange_weight(bits).lo + 1, (1 << bits) - 1);
		assert_int_equal(qrange_signed(bits).hi - qrange_signed(bits).lo + 1, 1 << bits);
		assert_int_equal(qrange_unsigned(bits, 0).hi - qrange_unsigned(bits, 0).lo + 1, 1 << bits);
		assert_true(qrange_weight(bits).is_signed && qrange_signed(bits).is_signed);
		assert_false(qrange_unsigned(bits, 1).is_signed);
	}
	assert_int_equal(qrange_weight(8).lo, -127);
	assert_int_equal(qrange_weight(2).hi, 1);
}

static void arith__step_of_a_range_represents_zero_and_both_ends(void **state)
{
	(void)state;
	for (int bits = 2; bits <= 8; bits++) {
		for (int i = -40; i <= 40; i++) {
			float lo = (float)i * 0.37f - 3, hi = lo + (float)(i + 41) * 0.5f, step;
			struct qrange u = qrange_unsigned(bits, 0), s = qrange_signed(bits);

			quant_step_of_range(&u, lo, hi, &step);
			assert_true(step > 0);
			assert_in_range(u.zero, 0, u.hi);
			assert_int_equal(quant_round(0, step, u), u.zero);
			/* half a step for each end, half for the rounded zero point */
			assert_true((float)(u.hi - u.zero) * step >= fmaxf(hi, 0) - 0.51f * step);
			assert_true((float)(0 - u.zero) * step <= fminf(lo, 0) + 0.51f * step);
			quant_step_of_range(&s, lo, hi, &step);
			assert_int_equal(s.zero, 0);
			assert_true((float)s.hi * step >= hi * 0.99999f && (float)s.lo * step <= lo * 0.99999f);
		}
	}
}

static void arith__step_of_an_empty_or_tiny_range_is_one(void **state)
{
	struct qrange q = qrange_unsigned(8, 0);
	float step;

	(void)state;
	quant_step_of_range(&q, 0, 0, &step);
	assert_true(step == 1 && q.zero == 0);
	quant_step_of_range(&q, -1e-44f, 1e-44f, &step);
	assert_true(step == 1 && q.zero == 0);
	quant_step_of_range(&q, 0, 1e-37f, &step); /* a step that is a float, but of which 1 / step is none */
	assert_true(step == 1 && q.zero == 0);
	q = qrange_weight(8);
	quant_step_of_range(&q, 0, 0, &step);
	assert_true(step == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(arith__pow2_is_the_nearest_power_in_the_logarithm),
	    cmocka_unit_test(arith__pow2_of_what_is_no_step_is_nan),
	    cmocka_unit_test(arith__round_is_half_to_even_and_saturates),
	    cmocka_unit_test(arith__round_follows_its_definition_for_every_f16_value),
	    cmocka_unit_test(arith__one_bit_is_the_sign_and_both_zeros_are_positive),
	    cmocka_unit_test(arith__epilogue_rounds_twice_then_fuses_the_residual),
	    cmocka_unit_test(arith__scales_are_rounded_once_from_double),
	    cmocka_unit_test(arith__saturate_covers_its_whole_range),
	    cmocka_unit_test(gelu__integers_are_those_of_the_published_formula),
	    cmocka_unit_test(gelu__rounds_before_the_zero_point_is_added),
	    cmocka_unit_test(attention__probabilities_are_powers_of_two),
	    cmocka_unit_test(attention__row_is_that_of_a_softmax),
	    cmocka_unit_test(arith__ranges_have_the_levels_of_their_bits),
	    cmocka_unit_test(arith__step_of_a_range_represents_zero_and_both_ends),
	    cmocka_unit_test(arith__step_of_an_empty_or_tiny_range_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
