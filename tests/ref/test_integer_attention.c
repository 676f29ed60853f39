/* Attention between integers: known answers, and gradients against differences of the function with its roundings
 * frozen, as ref.h has it for the other quantizing ops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "quant/arith.h"
#include "ref/known.h"

static const struct qrange affine = {8, 0, 255, 128, false}, s8 = {8, -128, 127, 0, true};

static void probability__of_the_largest_fills_its_bits(void **state)
{
	(void)state;
	for (int bits = 8; bits <= 16; bits += 8) {
		float least = quant_exponent(-1000000, 1, bits);
		assert_true(rintf(quant_exp2(quant_exponent(0, 0.5f, bits))) == (float)((1 << bits) - 1));
		assert_true(least == -3 && rintf(quant_exp2(least)) == 0);
		/* halves: 2^(L - 1), to 2e-4 of it */
		assert_true(
		    fabs((double)quant_exp2(quant_exponent(-2, 0.5f, bits)) * 2 / ((1 << bits) - 1) - 1) < 2e-3);
	}
}

static void qattention__weighs_values_by_integers(void **state)
{
	(void)state;
	struct known k;
	/* two sequences of 2 and 1 rows, slack; of the first, scores 0 and 8 for query 1, and 0 and 0 for query 0 */
	for (int bits = 8; bits <= 16; bits += 8) {
		begin(&k, OP_QATTENTION, EXEC_INFER, (struct attr){.heads = 1, .q = affine, .prob_bits = bits});
		give(&k, QATTENTION_Q, DT_S8, op_shape(2, 4, 1, 0, 0), (const int8_t[]){0, 2, 5, 99});
		give(&k, QATTENTION_K, DT_S8, op_shape(2, 4, 1, 0, 0), (const int8_t[]){0, 4, 7, 99});
		give(&k, QATTENTION_V, DT_S8, op_shape(2, 4, 1, 0, 0), (const int8_t[]){100, -50, 33, 99});
		give(&k, QATTENTION_STARTS, DT_S32, vec(4), (const int32_t[]){0, 2, 2, 3});
		give(&k, QATTENTION_SCALE, DT_F32, vec(1), F32(0.125f));
		give(&k, QATTENTION_FACTOR, DT_F32, vec(1), F32(2));
		run(&k, NULL);
		/* (100 - 50) / 2 * 2 + 128; (100/2 - 50) / 1.5 * 2 + 128 = 128; 66 + 128 */
		EXPECT_OUT(&k, 0, 178, 128, 194, 128);
		end(&k);
	}
}

static void score_scale__is_rounded_once(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_SCORE_SCALE, EXEC_INFER, (struct attr){.count = 64});
	give(&k, 0, DT_F32, vec(1), F32(0.1f));
	give(&k, 1, DT_F32, vec(1), F32(0.3f));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, (float)((double)0.1f * (double)0.3f * 1.44269504088896340736 / 8));
	end(&k);
}

enum { T = 5, D = 3, VALUES = T * D, STEPS = 4 };

struct point {
	double in[3][VALUES], step[STEPS]; /* integers of q, k, v; s_q, s_k, s_v, s_y */
};

/* What is frozen of each row: x and p of each key, their difference to E, the largest score's place, what is clipped.
 */
struct frozen {
	double x[T][T], p[T][T], E[T][T];
	int largest[T];
	bool inside[VALUES];
	double stays[T][T]; /* 0 or 1/(1-rate), by dropout */
};

static double score(const struct point *at, int i, int j)
{
	double sum = 0;
	for (int d = 0; d < D; d++)
		sum += at->in[0][i * D + d] * at->in[1][j * D + d];
	return sum;
}

static double exponent(const struct point *at, const struct frozen *f, int i, int j, double top)
{
	double c = at->step[0] * at->step[1] * M_LOG2E / sqrt(D);
	return (score(at, i, j) - score(at, i, f->largest[i])) * c + top;
}

/* t (T, D) with p = p0 + E0 (2^(x - x0) - 1). */
static void results(const struct point *at, const struct frozen *f, double top, double *t)
{
	for (int i = 0; i < T; i++) {
		double p[T], S = 0;
		for (int j = 0; j < T; j++) {
			double x = exponent(at, f, i, j, top);
			p[j] = f->p[i][j] + (f->x[i][j] > -3 ? f->E[i][j] * (exp2(x - f->x[i][j]) - 1) : 0);
			S += p[j];
		}
		for (int d = 0; d < D; d++) {
			double A = 0;
			for (int j = 0; j < T; j++)
				A += p[j] * f->stays[i][j] * at->in[2][j * D + d];
			t[i * D + d] = A / S * at->step[2] / at->step[3];
		}
	}
}

/* By op.h, in the first sequence of the suite's step. */
static double stays(int i, int j, float rate)
{
	const struct rng stream = rng_make(7, "suite", RNG_DROPOUT, "y");
	const struct rng_words w =
	    rng_draw(stream, (UINT64_C(3) << 32) + 1, (UINT64_C(5) << 32) - 1, (uint32_t)(8 * i + j));
	return rng_uniform(w.w[0]) >= rate ? 1 / (1 - (double)rate) : 0;
}

static void freeze(const struct point *at, struct frozen *f, int bits, struct qrange y, float rate)
{
	double top = (double)quant_prob_log(bits), t[VALUES];
	for (int i = 0; i < T; i++)
		for (int j = 0; j < T; j++)
			f->stays[i][j] = rate > 0 ? stays(i, j, rate) : 1;
	for (int i = 0; i < T; i++) {
		f->largest[i] = 0;
		for (int j = 1; j < T; j++)
			f->largest[i] = score(at, i, j) > score(at, i, f->largest[i]) ? j : f->largest[i];
		for (int j = 0; j < T; j++) {
			f->x[i][j] = exponent(at, f, i, j, top);
			f->E[i][j] = (double)quant_exp2(f->x[i][j] > -3 ? (float)f->x[i][j] : -3);
			f->p[i][j] = rint(f->E[i][j]);
		}
	}
	results(at, f, top, t);
	for (int e = 0; e < VALUES; e++)
		f->inside[e] = t[e] + y.zero >= y.lo && t[e] + y.zero <= y.hi;
}

static double loss(const struct point *at, const struct frozen *f, int bits, double p_y, const float *dout)
{
	double t[VALUES], sum = 0;
	results(at, f, (double)quant_prob_log(bits), t);
	for (int e = 0; e < VALUES; e++)
		sum += f->inside[e] ? (double)dout[e] * t[e] * p_y : 0;
	return sum;
}

static void fake_attention__backward_is_the_frozen_derivative(void **state)
{
	(void)state;
	const struct shape x = op_shape(2, T, D, 0, 0);
	int clipped = 0, held = 0;
	for (int k = 0; k < 24; k++) { /* the later half drops a part of the map */
		const float rate = k < 12 ? 0 : 0.3f;
		const int bits = k & 1 ? 8 : 16;
		const struct qrange y = k & 2 ? affine : s8;
		const float step[STEPS] = {k % 12 < 4 ? 0.01f : 0.05f, 0.03f, 0.03f, k % 3 ? 0.02f : 0.008f};
		float grid[3][VALUES], dout[VALUES];
		struct point at;
		struct frozen f;
		struct known o;
		for (int i = 0; i < STEPS; i++)
			at.step[i] = (double)step[i];
		for (int i = 0; i < 3; i++)
			for (int e = 0; e < VALUES; e++) {
				at.in[i][e] = (e * 37 + i * 91 + k * 53 + e * e * 11) % 256 - 128;
				grid[i][e] = (float)at.in[i][e] * quant_pow2(step[i]);
			}
		for (int e = 0; e < VALUES; e++)
			dout[e] = (float)((e * 29 + k) % 17 - 8) / 8;
		begin(&o, OP_FAKE_ATTENTION, EXEC_TRAIN,
		    (struct attr){.heads = 1, .q = y, .prob_bits = bits, .rate = rate});
		for (int i = 0; i < 3; i++)
			give(&o, i, DT_F32, x, grid[i]);
		give(&o, FAKE_ATTENTION_STARTS, DT_S32, vec(2), (const int32_t[]){0, T});
		for (int i = 0; i < STEPS; i++)
			give(&o, FAKE_ATTENTION_SQ + i, DT_F32, vec(1), &step[i]);
		run(&o, dout);
		freeze(&at, &f, bits, y, rate);
		for (int e = 0; e < VALUES; e++)
			clipped += !f.inside[e];
		for (int e = 0; e < T * T; e++)
			held += f.x[e / T][e % T] <= -3;
		for (int i = 0; i < 3 + STEPS; i++) {
			const int input = i < 3 ? i : FAKE_ATTENTION_SQ + i - 3, n = i < 3 ? VALUES : 1;
			double want[VALUES], largest = 1e-6;
			for (int e = 0; e < n; e++) {
				double *v = i < 3 ? &at.in[i][e] : &at.step[i - 3], v0 = *v,
				       h = 1e-6 * fmax(fabs(v0), 1e-2);
				double p_y = (double)quant_pow2(step[3]), p = i < 3 ? (double)quant_pow2(step[i]) : 1;
				*v = v0 + h;
				want[e] = loss(&at, &f, bits, p_y, dout);
				*v = v0 - h;
				want[e] = (want[e] - loss(&at, &f, bits, p_y, dout)) / (2 * h * p);
				*v = v0;
				largest = fmax(largest, fabs(want[e]));
			}
			expect(&o, &o.o.s.din[input], want, 1e-4 * largest);
		}
		end(&o);
	}
	assert_true(clipped > 5 && held > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(probability__of_the_largest_fills_its_bits),
	    cmocka_unit_test(qattention__weighs_values_by_integers),
	    cmocka_unit_test(score_scale__is_rounded_once),
	    cmocka_unit_test(fake_attention__backward_is_the_frozen_derivative),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
