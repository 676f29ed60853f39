/* Known answers of the ops of encoders, worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "ref/known.h"

static void gelu__has_the_values_of_the_normal_distribution(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_GELU, EXEC_TRAIN, (struct attr){0});
	give(&k, 0, DT_F32, vec(5), F32(0, 1, -1, 2, -12));
	run(&k, NULL);
	EXPECT_OUT(&k, 1e-7, 0, 0.841344746068543, -0.158655253931457, 1.95449973610364, 0);
	/* Phi(x) + x phi(x) */
	EXPECT_GRAD(&k, 0, 1e-7, 0.5, 1.08331547058769, -0.0833154705876864, 1.08523180109666, 0);
	end(&k);
	begin(&k, OP_GELU, EXEC_TRAIN, (struct attr){.gelu_tanh = true});
	give(&k, 0, DT_F32, vec(4), F32(0, 1, -1, 12));
	run(&k, NULL);
	EXPECT_OUT(&k, 1e-7, 0, 0.841191990608277, -0.158808009391723, 12);
	EXPECT_GRAD(&k, 0, 1e-7, 0.5, 1.08296408384579, -0.0829640838457907, 1);
	end(&k);
}

static void tanh__is_odd_and_flat_far_out(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_TANH, EXEC_TRAIN, (struct attr){0});
	give(&k, 0, DT_F32, vec(4), F32(0, 0.5f, -0.5f, 100));
	run(&k, F32(1, 2, 1, 1));
	EXPECT_OUT(&k, 1e-7, 0, 0.46211715726001, -0.46211715726001, 1);
	EXPECT_GRAD(&k, 0, 1e-6, 1, 2 * 0.786447732965927, 0.786447732965927, 0);
	end(&k);
}

static void layernorm__normalises_each_row_with_its_residual(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_LAYERNORM, EXEC_TRAIN, (struct attr){.eps = 3});
	give(&k, LAYERNORM_X, DT_F32, op_shape(2, 2, 2, 0, 0), F32(1, 1, 5, 5));
	give(&k, LAYERNORM_GAMMA, DT_F32, vec(2), F32(2, 4));
	give(&k, LAYERNORM_BETA, DT_F32, vec(2), F32(10, 20));
	give(&k, LAYERNORM_R, DT_F32, op_shape(2, 2, 2, 0, 0), F32(0, 2, 1, 1));
	run(&k, F32(1, 0, 1, 1));
	/* rows (1, 3) and (6, 6): variance 1 and 0, with eps a deviation of 2 and of sqrt(3) */
	EXPECT_OUT(&k, 1e-6, 9, 22, 10, 20);
	EXPECT_GRAD(&k, LAYERNORM_GAMMA, 1e-6, -0.5, 0);
	EXPECT_GRAD(&k, LAYERNORM_BETA, 1e-6, 2, 1);
	/* g = (2, 0), n = (-1/2, 1/2): (g - 1 + n / 2) / 2; g = (2, 4), n = 0: (g - 3) / sqrt(3) */
	const double s = 1 / sqrt(3);
	EXPECT_GRAD(&k, LAYERNORM_X, 1e-6, 0.375, -0.375, -s, s);
	EXPECT_GRAD(&k, LAYERNORM_R, 1e-6, 0.375, -0.375, -s, s);
	end(&k);
}

/* Rows of 2^24, -2^24 and 1: the sum is 1 where the large ones meet first and 0 where the one is lost before. */
static void layernorm__adds_lane_by_lane_and_folds_halves(void **state)
{
	(void)state;
	static const struct {
		int big, minus, one;
		bool lost;
	} row[] = {{0, 64, 32, true}, {0, 64, 1, false}, {0, 16, 8, false}, {0, 8, 16, true}, {0, 2, 1, false},
	    {0, 1, 2, true}, {33, 17, 9, false}};
	float zeros[65] = {0}, ones[65], x[65];
	double got[65];
	for (int i = 0; i < 65; i++)
		ones[i] = 1;
	for (size_t r = 0; r < sizeof(row) / sizeof(row[0]); r++) {
		struct known k;
		memset(x, 0, sizeof(x));
		x[row[r].big] = 16777216;
		x[row[r].minus] = -16777216;
		x[row[r].one] = 1;
		begin(&k, OP_LAYERNORM, EXEC_INFER, (struct attr){.eps = 1});
		give(&k, LAYERNORM_X, DT_F32, op_shape(2, 1, 65, 0, 0), x);
		give(&k, LAYERNORM_GAMMA, DT_F32, vec(65), ones);
		give(&k, LAYERNORM_BETA, DT_F32, vec(65), zeros);
		run(&k, NULL);
		assert_int_equal(op_step_read(&k.o, &k.o.s.out, got), 0);
		/* a zero becomes minus the mean, times something positive */
		assert_true(row[r].lost ? got[3] == 0 : got[3] < 0);
		end(&k);
	}
}

static void position__adds_by_the_place_in_each_sequence(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_POSITION, EXEC_TRAIN, (struct attr){0});
	give(&k, POSITION_X, DT_F32, op_shape(2, 4, 1, 0, 0), F32(1, 2, 3, NAN));
	give(&k, POSITION_TABLE, DT_F32, op_shape(2, 3, 1, 0, 0), F32(10, 20, 30));
	give(&k, POSITION_STARTS, DT_S32, vec(4), (const int32_t[]){0, 2, 2, 3});
	give(&k, POSITION_TYPE, DT_F32, op_shape(2, 2, 1, 0, 0), F32(100, NAN));
	run(&k, F32(1, 2, 4, NAN));
	EXPECT_OUT(&k, 0, 111, 122, 113, 0);
	EXPECT_GRAD(&k, POSITION_X, 0, 1, 2, 4, 0);
	EXPECT_GRAD(&k, POSITION_TABLE, 0, 5, 2, 0);
	EXPECT_GRAD(&k, POSITION_TYPE, 0, 7, 0);
	end(&k);
}

/* Two heads of one column: the first has scores 0 and ln 3 for its first row, the second equal ones. */
static void position__adds_the_type_of_the_sequences_part(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_POSITION, EXEC_TRAIN, (struct attr){0});
	give(&k, POSITION_X, DT_F32, op_shape(2, 5, 1, 0, 0), F32(1, 2, 3, 4, NAN));
	give(&k, POSITION_TABLE, DT_F32, op_shape(2, 3, 1, 0, 0), F32(10, 20, 30));
	give(&k, POSITION_STARTS, DT_S32, vec(4), (const int32_t[]){0, 3, 3, 4});
	give(&k, POSITION_TYPE, DT_F32, op_shape(2, 3, 1, 0, 0), F32(100, 200, NAN));
	give(&k, POSITION_SECOND, DT_S32, vec(3), (const int32_t[]){1, 7, 1});
	run(&k, F32(1, 2, 4, 8, NAN));
	EXPECT_OUT(&k, 0, 111, 222, 233, 114, 0);
	EXPECT_GRAD(&k, POSITION_TYPE, 0, 9, 6, 0);
	end(&k);
}

static void qposition__adds_rows_times_their_steps(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_QPOSITION, EXEC_INFER, (struct attr){0});
	give(&k, QPOSITION_X, DT_F32, op_shape(2, 4, 1, 0, 0), F32(1, 2, 3, 100));
	give(&k, QPOSITION_Q, DT_S8, op_shape(2, 2, 1, 0, 0), (const int8_t[]){-10, 20});
	give(&k, QPOSITION_STEP, DT_F32, vec(2), F32(0.5f, 2));
	give(&k, QPOSITION_STARTS, DT_S32, vec(3), (const int32_t[]){0, 2, 3});
	give(&k, QPOSITION_TYPE_Q, DT_S8, op_shape(2, 2, 1, 0, 0), (const int8_t[]){3, 99});
	give(&k, QPOSITION_TYPE_STEP, DT_F32, vec(2), F32(0.25f, 8));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 1 + 0.75 - 5, 2 + 0.75 + 40, 3 + 0.75 - 5, 0);
	end(&k);
}

static void attention__weighs_values_by_the_softmax(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_ATTENTION, EXEC_TRAIN, (struct attr){.heads = 2});
	give(&k, ATTENTION_Q, DT_F32, op_shape(2, 4, 2, 0, 0), F32(1, 0, 0, 0, 5, 5, NAN, NAN));
	give(&k, ATTENTION_K, DT_F32, op_shape(2, 4, 2, 0, 0), F32(0, 7, (float)log(3), 9, 5, 5, NAN, NAN));
	give(&k, ATTENTION_V, DT_F32, op_shape(2, 4, 2, 0, 0), F32(4, 2, 8, 6, 3, 3, NAN, NAN));
	give(&k, ATTENTION_STARTS, DT_S32, vec(4), (const int32_t[]){0, 2, 2, 3});
	run(&k, F32(1, 0, 0, 1, 1, 1, NAN, NAN));
	/* p = (1/4, 3/4): a token that is alone has its own value */
	EXPECT_OUT(&k, 1e-6, 7, 4, 6, 4, 3, 3, 0, 0);
	/* first row of the first head: dscore = p (v - 7) = (-3/4, 3/4); second row of the second: (2 - 4, 6 - 4) / 2
	 */
	EXPECT_GRAD(&k, ATTENTION_Q, 1e-6, 0.75 * log(3), 0, 0, -7 + 9, 0, 0, 0, 0);
	EXPECT_GRAD(&k, ATTENTION_K, 1e-6, -0.75, 0, 0.75, 0, 0, 0, 0, 0);
	EXPECT_GRAD(&k, ATTENTION_V, 1e-6, 0.25, 0.5, 0.75, 0.5, 1, 1, 0, 0);
	end(&k);
}

/* Four columns a head: scores are divided by two. */
static void attention__divides_by_the_root_of_the_columns(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_ATTENTION, EXEC_INFER, (struct attr){.heads = 1});
	give(&k, ATTENTION_Q, DT_F32, op_shape(2, 2, 4, 0, 0), F32(2, 0, 0, 0, 0, 0, 0, 0));
	give(&k, ATTENTION_K, DT_F32, op_shape(2, 2, 4, 0, 0), F32(0, 0, 0, 0, (float)log(3), 0, 0, 0));
	give(&k, ATTENTION_V, DT_F32, op_shape(2, 2, 4, 0, 0), F32(0, 0, 0, 0, 4, 0, 0, 0));
	give(&k, ATTENTION_STARTS, DT_S32, vec(2), (const int32_t[]){0, 2});
	run(&k, NULL);
	EXPECT_OUT(&k, 1e-6, 3, 0, 0, 0, 2, 0, 0, 0);
	end(&k);
}

static void segment_first__takes_one_row_and_zeros_for_none(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_SEGMENT_FIRST, EXEC_TRAIN, (struct attr){0});
	give(&k, SEGMENT_X, DT_F32, op_shape(2, 4, 2, 0, 0), F32(1, 2, 3, 4, 5, 6, NAN, NAN));
	give(&k, SEGMENT_STARTS, DT_S32, vec(4), (const int32_t[]){0, 2, 2, 3});
	run(&k, F32(1, 2, 3, 4, 5, 6));
	EXPECT_OUT(&k, 0, 1, 2, 0, 0, 5, 6);
	EXPECT_GRAD(&k, SEGMENT_X, 0, 1, 2, 0, 0, 5, 6, 0, 0);
	end(&k);
}

/* Sequence 1 of a batch is dropped as sequence 0 of the batch that begins there, wherever its rows are. */
static void dropout__of_a_sequence_depends_on_neither_rows_nor_neighbours(void **state)
{
	(void)state;
	enum { C = 7, T = 5, N = 2, BEFORE = 3, M = 12 };
	struct known k;
	float ones[M * C];
	double packed[M * C], alone[M * C];
	for (int i = 0; i < M * C; i++)
		ones[i] = 1;
	begin(&k, OP_DROPOUT, EXEC_TRAIN, (struct attr){.rate = 0.4f});
	give(&k, DROPOUT_X, DT_F32, op_shape(2, M, C, 0, 0), ones);
	give(&k, DROPOUT_STARTS, DT_S32, vec(N + 1), (const int32_t[]){0, BEFORE, BEFORE + T});
	run(&k, NULL);
	assert_int_equal(op_step_read(&k.o, &k.o.s.out, packed), 0);
	expect(&k, &k.o.s.din[DROPOUT_X], packed, 0);
	const uint64_t step = k.o.clock.time->step, sample = k.o.clock.time->first_sample;
	end(&k);
	begin(&k, OP_DROPOUT, EXEC_TRAIN, (struct attr){.rate = 0.4f});
	give(&k, DROPOUT_X, DT_F32, op_shape(2, T, C, 0, 0), ones);
	give(&k, DROPOUT_STARTS, DT_S32, vec(2), (const int32_t[]){0, T});
	run(&k, NULL);
	assert_int_equal(op_step_set_time(&k.o, step, sample + 1), 0);
	assert_int_equal(op_step_forward(&k.o), 0);
	assert_int_equal(op_step_read(&k.o, &k.o.s.out, alone), 0);
	end(&k);
	int kept = 0;
	for (int e = 0; e < T * C; e++) {
		assert_true(packed[BEFORE * C + e] == alone[e]);
		kept += alone[e] != 0;
	}
	assert_in_range(kept, 10, 32);
	for (int e = (BEFORE + T) * C; e < M * C; e++)
		assert_true(packed[e] == 0);
}

static void fake_gelu__has_the_integers_of_the_table(void **state)
{
	(void)state;
	struct known k;
	const struct qrange x = {8, -128, 127, 0, true}, y = {8, 0, 255, 100, false};
	/* s_x = 0.5, s_y = 0.015625, P(s) = s of both: v = 1 and -1; t = 53.85 and -10.15; 127 * 0.5 is clipped */
	begin(&k, OP_FAKE_GELU, EXEC_TRAIN, (struct attr){.q_in = x, .q = y});
	give(&k, FAKE_GELU_X, DT_F32, vec(4), F32(1, -1, 63.5f, 0));
	give(&k, FAKE_GELU_SX, DT_F32, vec(1), F32(0.5f));
	give(&k, FAKE_GELU_SY, DT_F32, vec(1), F32(0.015625f));
	run(&k, F32(1, 1, 8, 2));
	EXPECT_OUT(&k, 0, 54 / 64.0, -10 / 64.0, 155 / 64.0, 0);
	/* gelu'(v) s_x P_y / (s_y P_x) = gelu'(v) */
	EXPECT_GRAD(&k, FAKE_GELU_X, 1e-6, 1.08331547058769, -0.0833154705876864, 0, 2 * 0.5);
	EXPECT_GRAD(&k, FAKE_GELU_SX, 1e-5, 1.08331547058769 * 2 + 0.0833154705876864 * 2);
	EXPECT_GRAD(&k, FAKE_GELU_SY, 1e-5, -(0.841344746068543 - 0.158655253931457) * 64);
	end(&k);
}

static void gelu_table__is_indexed_by_the_byte(void **state)
{
	(void)state;
	struct known k;
	double t[256];
	begin(&k, OP_GELU_TABLE, EXEC_INFER,
	    (struct attr){.q_in = {8, -128, 127, 0, true}, .q = {8, 0, 255, 100, false}});
	give(&k, GELU_TABLE_SX, DT_F32, vec(1), F32(0.5f));
	give(&k, GELU_TABLE_SY, DT_F32, vec(1), F32(0.015625f));
	run(&k, NULL);
	assert_int_equal(op_step_read(&k.o, &k.o.s.out, t), 0);
	/* the bytes of 0, 2, 127, -128 and -2 */
	assert_true(t[0] == 100 && t[2] == 154 && t[127] == 255 && t[128] == 100 && t[254] == 90);
	end(&k);
	begin(&k, OP_GELU_TABLE, EXEC_INFER,
	    (struct attr){.q_in = {8, 0, 255, 254, false}, .q = {8, -128, 127, 0, true}, .gelu_tanh = true});
	give(&k, GELU_TABLE_SX, DT_F32, vec(1), F32(1));
	give(&k, GELU_TABLE_SY, DT_F32, vec(1), F32(0.001f));
	run(&k, NULL);
	assert_int_equal(op_step_read(&k.o, &k.o.s.out, t), 0);
	assert_true(t[254] == 0 && t[255] == 127 && t[251] == -4 && t[252] == -45); /* 0, 1, -3, -2 by tanh */
	end(&k);
	begin(&k, OP_QTABLE, EXEC_INFER, (struct attr){.q = {8, -128, 127, 0, true}});
	int8_t table[256];
	for (int i = 0; i < 256; i++)
		table[i] = (int8_t)(i - 100);
	give(&k, QTABLE_X, DT_S8, vec(3), (const int8_t[]){-1, 0, 5});
	give(&k, QTABLE_TABLE, DT_S8, vec(256), table);
	run(&k, NULL);
	EXPECT_OUT(&k, 0, (int8_t)155, -100, -95);
	end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gelu__has_the_values_of_the_normal_distribution),
	    cmocka_unit_test(tanh__is_odd_and_flat_far_out),
	    cmocka_unit_test(layernorm__normalises_each_row_with_its_residual),
	    cmocka_unit_test(layernorm__adds_lane_by_lane_and_folds_halves),
	    cmocka_unit_test(position__adds_by_the_place_in_each_sequence),
	    cmocka_unit_test(position__adds_the_type_of_the_sequences_part),
	    cmocka_unit_test(qposition__adds_rows_times_their_steps),
	    cmocka_unit_test(attention__weighs_values_by_the_softmax),
	    cmocka_unit_test(attention__divides_by_the_root_of_the_columns),
	    cmocka_unit_test(segment_first__takes_one_row_and_zeros_for_none),
	    cmocka_unit_test(fake_gelu__has_the_integers_of_the_table),
	    cmocka_unit_test(gelu_table__is_indexed_by_the_byte),
	    cmocka_unit_test(dropout__of_a_sequence_depends_on_neither_rows_nor_neighbours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
