/* Losses on layers with values that were worked out by hand: the reference must give them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ref/known.h"

/* A text of two tokens, one of none, one of one, and a row of slack. */
static void hidden_loss__counts_tokens_within_their_text(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_HIDDEN_LOSS, EXEC_TRAIN, (struct attr){.distance = DISTANCE_MSE, .factor = 2});
	give(&k, HIDDEN_LOSS_X, DT_F32, op_shape(2, 4, 2, 0, 0), F32(1, 2, 3, 4, 0, 1, NAN, NAN));
	give(&k, HIDDEN_LOSS_TEACHER, DT_F32, op_shape(2, 4, 2, 0, 0), F32(1, 0, 3, 4, 2, 1, NAN, NAN));
	give(&k, HIDDEN_LOSS_STARTS, DT_S32, vec(4), (const int32_t[]){0, 2, 2, 3});
	give(&k, HIDDEN_LOSS_WEIGHT, DT_F32, vec(3), F32(0.5f, 0.25f, 0.25f));
	run(&k, NULL);
	/* rows are 2, 0 and 2 apart: 2 * (0.5 * (2 + 0) / 2 + 0.25 * 2) */
	EXPECT_OUT(&k, 1e-6, 2);
	EXPECT_GRAD(&k, HIDDEN_LOSS_X, 1e-6, 0, 1, 0, 0, -1, 0, 0, 0);
	EXPECT_GRAD(&k, HIDDEN_LOSS_TEACHER, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	end(&k);
}

/* cos = 24/25; a row of zeros has no direction. */
static void hidden_loss__of_directions(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_HIDDEN_LOSS, EXEC_TRAIN, (struct attr){.distance = DISTANCE_COSINE, .factor = 1});
	give(&k, HIDDEN_LOSS_X, DT_F32, op_shape(2, 2, 2, 0, 0), F32(3, 4, 0, 0));
	give(&k, HIDDEN_LOSS_TEACHER, DT_F32, op_shape(2, 2, 2, 0, 0), F32(4, 3, 1, 0));
	give(&k, HIDDEN_LOSS_STARTS, DT_S32, vec(2), (const int32_t[]){0, 2});
	give(&k, HIDDEN_LOSS_WEIGHT, DT_F32, vec(1), F32(1));
	run(&k, NULL);
	EXPECT_OUT(&k, 1e-6, (0.04 + 1) / 2);
	EXPECT_GRAD(&k, HIDDEN_LOSS_X, 1e-7, -0.0224, 0.0168, 0, 0);
	end(&k);
}

/* The student's first token has scores 0 and ln 3, its second equal ones; the teacher attends to both tokens alike, in
 * each of its two heads. */
static void give_maps(struct known *k, enum distance distance)
{
	begin(k, OP_ATTENTION_LOSS, EXEC_TRAIN,
	    (struct attr){.distance = distance, .factor = 1, .heads = 1, .teacher_heads = 2});
	give(k, ATTENTION_LOSS_Q, DT_F32, op_shape(2, 3, 1, 0, 0), F32(1, 0, NAN));
	give(k, ATTENTION_LOSS_K, DT_F32, op_shape(2, 3, 1, 0, 0), F32(0, (float)log(3), NAN));
	give(k, ATTENTION_LOSS_TEACHER_Q, DT_F32, op_shape(2, 3, 2, 0, 0), F32(0, 0, 0, 0, NAN, NAN));
	give(k, ATTENTION_LOSS_TEACHER_K, DT_F32, op_shape(2, 3, 2, 0, 0), F32(5, 6, 7, 8, NAN, NAN));
	give(k, ATTENTION_LOSS_STARTS, DT_S32, vec(2), (const int32_t[]){0, 2});
	give(k, ATTENTION_LOSS_WEIGHT, DT_F32, vec(1), F32(1));
	run(k, NULL);
}

static void attention_loss__of_squares(void **state)
{
	(void)state;
	struct known k;
	give_maps(&k, DISTANCE_MSE);
	/* (1/4, 3/4) against (1/2, 1/2) is 1/16 apart, and one of two tokens; p * (slope - mean) with slopes of 1/8 */
	EXPECT_OUT(&k, 1e-7, 1.0 / 32);
	EXPECT_GRAD(&k, ATTENTION_LOSS_Q, 1e-7, 3.0 / 64 * log(3), 0, 0);
	EXPECT_GRAD(&k, ATTENTION_LOSS_K, 1e-7, -3.0 / 64, 3.0 / 64, 0);
	end(&k);
}

static void attention_loss__of_distributions(void **state)
{
	(void)state;
	struct known k;
	give_maps(&k, DISTANCE_KL);
	EXPECT_OUT(&k, 1e-7, log(4.0 / 3) / 4);
	/* half of p - t */
	EXPECT_GRAD(&k, ATTENTION_LOSS_Q, 1e-7, log(3) / 8, 0, 0);
	EXPECT_GRAD(&k, ATTENTION_LOSS_K, 1e-7, -0.125, 0.125, 0);
	end(&k);
}

/* The student's queries relate the second token to both as 1/4 and 3/4, keys and values relate all alike, as the
 * teacher's, which are wider, do. */
static void relation_loss__is_of_queries_keys_and_values(void **state)
{
	(void)state;
	const float s = (float)sqrt(log(3)), teacher[] = {2, 3, 2, 3, NAN, NAN};
	struct known k;
	begin(&k, OP_RELATION_LOSS, EXEC_TRAIN, (struct attr){.factor = 1, .heads = 1});
	give(&k, RELATION_LOSS_Q, DT_F32, op_shape(2, 3, 1, 0, 0), F32(0, s, NAN));
	give(&k, RELATION_LOSS_K, DT_F32, op_shape(2, 3, 1, 0, 0), F32(1, 1, NAN));
	give(&k, RELATION_LOSS_V, DT_F32, op_shape(2, 3, 1, 0, 0), F32(0, 0, NAN));
	for (int i = RELATION_LOSS_TEACHER_Q; i <= RELATION_LOSS_TEACHER_V; i++)
		give(&k, i, DT_F32, op_shape(2, 3, 2, 0, 0), teacher);
	give(&k, RELATION_LOSS_STARTS, DT_S32, vec(2), (const int32_t[]){0, 2});
	give(&k, RELATION_LOSS_WEIGHT, DT_F32, vec(1), F32(1));
	run(&k, NULL);
	/* a third of half of KL = ln(4/3) / 2; the score s * s reads s twice, 0 * s once */
	EXPECT_OUT(&k, 1e-7, log(4.0 / 3) / 12);
	EXPECT_GRAD(&k, RELATION_LOSS_Q, 1e-7, -(double)s / 24, (double)s / 12, 0);
	EXPECT_GRAD(&k, RELATION_LOSS_K, 1e-7, 0, 0, 0);
	EXPECT_GRAD(&k, RELATION_LOSS_V, 1e-7, 0, 0, 0);
	end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hidden_loss__counts_tokens_within_their_text),
	    cmocka_unit_test(hidden_loss__of_directions),
	    cmocka_unit_test(attention_loss__of_squares),
	    cmocka_unit_test(attention_loss__of_distributions),
	    cmocka_unit_test(relation_loss__is_of_queries_keys_and_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
