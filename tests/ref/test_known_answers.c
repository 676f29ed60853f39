/* Known answers, worked out by hand: the forwards that differences cannot judge, and the conventions of ref.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "ref/known.h"

static void linear__relu_masks_the_gradient(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_LINEAR, EXEC_TRAIN, (struct attr){.relu = true});
	give(&k, 0, DT_F32, op_shape(2, 1, 2, 0, 0), F32(1, 2));
	give(&k, 1, DT_F32, op_shape(2, 2, 2, 0, 0), F32(3, 4, -5, -6));
	give(&k, 2, DT_F32, vec(2), F32(0.5f, 1));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 11.5, 0);
	EXPECT_GRAD(&k, 0, 0, 3, 4);
	EXPECT_GRAD(&k, 1, 0, 1, 2, 0, 0);
	EXPECT_GRAD(&k, 2, 0, 1, 0);
	end(&k);
}

static void conv2d__pads_with_zeros_and_strides(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_CONV2D, EXEC_TRAIN, (struct attr){.stride = 2, .pad = 1});
	give(&k, 0, DT_F32, op_shape(4, 1, 3, 3, 1), F32(1, 2, 3, 4, 5, 6, 7, 8, 9));
	give(&k, 1, DT_F32, op_shape(4, 1, 2, 2, 1), F32(1, 10, 100, 1000));
	run(&k, NULL);
	/* windows at (-1,-1), (-1,1), (1,-1), (1,1) */
	EXPECT_OUT(&k, 0, 1000, 3200, 7040, 9865);
	EXPECT_GRAD(&k, 0, 0, 1000, 100, 1000, 10, 1, 10, 1000, 100, 1000);
	EXPECT_GRAD(&k, 1, 0, 5, 4 + 6, 2 + 8, 1 + 3 + 7 + 9);
	end(&k);
}

static void batchnorm__delivers_mean_and_unbiased_variance(void **state)
{
	(void)state;
	struct known k;
	const float zero = 0, one = 1;
	begin(&k, OP_BATCHNORM, EXEC_TRAIN, (struct attr){.eps = 1e-12f});
	give(&k, 0, DT_F32, op_shape(2, 4, 1, 0, 0), F32(1, 3, 5, 7));
	give(&k, 1, DT_F32, vec(1), F32(2));
	give(&k, 2, DT_F32, vec(1), F32(10));
	give(&k, 3, DT_F32, vec(1), &zero);
	give(&k, 4, DT_F32, vec(1), &one);
	run(&k, F32(1, 0, 0, 0));
	/* mean 4, biased variance 5, unbiased 20/3; xhat = -3, -1, 1, 3 over sqrt(5) */
	double r = 1 / sqrt(5.0);
	EXPECT_OUT(&k, 1e-5, 10 - 6 * r, 10 - 2 * r, 10 + 2 * r, 10 + 6 * r);
	EXPECT_GRAD(&k, 0, 1e-6, 2 * r * 0.3, 2 * r * -0.4, 2 * r * -0.1, 2 * r * 0.2);
	EXPECT_GRAD(&k, 1, 1e-6, -3 * r);
	EXPECT_GRAD(&k, 2, 0, 1);
	EXPECT_GRAD(&k, 3, 0, 4);
	EXPECT_GRAD(&k, 4, 1e-6, 20.0 / 3);
	end(&k);
}

static void batchnorm__infers_with_running_statistics(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_BATCHNORM, EXEC_INFER, (struct attr){.eps = 1, .relu = true});
	give(&k, 0, DT_F32, op_shape(2, 2, 1, 0, 0), F32(7, -9));
	give(&k, 1, DT_F32, vec(1), F32(4));
	give(&k, 2, DT_F32, vec(1), F32(1));
	give(&k, 3, DT_F32, vec(1), F32(3));
	give(&k, 4, DT_F32, vec(1), F32(3));
	run(&k, NULL);
	EXPECT_OUT(&k, 1e-6, 9, 0);
	end(&k);
}

static void maxpool__first_maximum_takes_the_gradient(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_MAXPOOL, EXEC_TRAIN, (struct attr){.kernel = 2, .stride = 1});
	give(&k, 0, DT_F32, op_shape(4, 1, 2, 3, 1), F32(1, 5, 5, 5, 2, 5));
	run(&k, F32(1, 10));
	EXPECT_OUT(&k, 0, 5, 5);
	EXPECT_GRAD(&k, 0, 0, 0, 11, 0, 0, 0, 0);
	end(&k);
}

static void maxpool__padding_never_wins(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_MAXPOOL, EXEC_INFER, (struct attr){.kernel = 3, .stride = 2, .pad = 1});
	give(&k, 0, DT_S8, op_shape(4, 1, 3, 3, 1), (const int8_t[]){-9, -8, -7, -6, -5, -4, -3, -2, -128});
	run(&k, NULL);
	EXPECT_OUT(&k, 0, -5, -4, -2, -2);
	end(&k);
}

static void avgpool__means_or_sums(void **state)
{
	(void)state;
	struct known k;
	for (int raw = 0; raw < 2; raw++) {
		begin(&k, OP_AVGPOOL, EXEC_TRAIN, (struct attr){.raw_sum = raw});
		give(&k, 0, DT_F32, op_shape(4, 1, 2, 1, 2), F32(1, 10, 3, 30));
		run(&k, F32(1, 2));
		if (raw)
			EXPECT_OUT(&k, 0, 4, 40);
		else
			EXPECT_OUT(&k, 0, 2, 20);
		if (raw)
			EXPECT_GRAD(&k, 0, 0, 1, 2, 1, 2);
		else
			EXPECT_GRAD(&k, 0, 0, 0.5, 1, 0.5, 1);
		end(&k);
	}
}

/* Rows of one step are samples first_sample.. of the stream: a second step that starts one sample later draws the same
 * numbers one row earlier. */
static void dropout__depends_on_the_sample_not_on_the_row(void **state)
{
	(void)state;
	struct known k;
	float ones[2 * 101];
	double first[2 * 101], second[2 * 101];
	int kept = 0;
	for (int i = 0; i < 2 * 101; i++)
		ones[i] = 1;
	begin(&k, OP_DROPOUT, EXEC_TRAIN, (struct attr){.rate = 0.25f});
	give(&k, 0, DT_F32, op_shape(2, 2, 101, 0, 0), ones);
	run(&k, NULL);
	assert_int_equal(op_step_read(&k.o, &k.o.s.out, first), 0);
	expect(&k, &k.o.s.din[0], first, 0);        /* dout and x are ones: the gradient is the output */
	const struct step_time *t = k.o.clock.time; /* the reference's memory is the host's */
	assert_int_equal(op_step_set_time(&k.o, t->step, t->first_sample + 1), 0);
	assert_int_equal(op_step_forward(&k.o), 0);
	assert_int_equal(op_step_read(&k.o, &k.o.s.out, second), 0);
	for (int i = 0; i < 101; i++)
		assert_true(first[101 + i] == second[i]);
	for (int i = 0; i < 2 * 101; i++) {
		assert_true(first[i] == 0 || fabs(first[i] - 4.0 / 3) < 1e-6);
		kept += first[i] != 0;
	}
	assert_in_range(kept, 130, 175);
	/* element 5 of the sample takes word 1 of block 1 */
	struct rng r = rng_make(k.o.clock.seed, k.o.clock.stage, RNG_DROPOUT, "y");
	float u = rng_uniform(rng_draw(r, t->step, t->first_sample, 1).w[1]);
	assert_true((second[5] != 0) == (u >= 0.25f));
	end(&k);
}

static void ce_loss__smooths_weighs_and_ignores(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_CE_LOSS, EXEC_TRAIN, (struct attr){.smoothing = 0.2f});
	give(&k, 0, DT_F32, op_shape(2, 2, 2, 0, 0), (const float[]){(float)log(3), 0, 500, 1});
	give(&k, 1, DT_S32, vec(2), (const int32_t[]){1, -1});
	give(&k, 2, DT_F32, vec(2), F32(0.5f, 0.5f));
	run(&k, NULL);
	/* p = (3/4, 1/4), target (0.1, 0.9) */
	EXPECT_OUT(&k, 1e-6, -0.5 * (0.1 * log(0.75) + 0.9 * log(0.25)));
	EXPECT_GRAD(&k, 0, 1e-6, 0.5 * 0.65, 0.5 * -0.65, 0, 0);
	EXPECT_GRAD(&k, 2, 0, 0, 0);
	end(&k);
}

static void kd_loss__mixes_soft_and_hard(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_KD_LOSS, EXEC_TRAIN, (struct attr){.temperature = 2, .alpha = 0.75f});
	give(&k, 0, DT_F32, op_shape(2, 1, 2, 0, 0), F32(0, 0));
	give(&k, 1, DT_F32, op_shape(2, 1, 2, 0, 0), (const float[]){(float)(2 * log(3)), 0});
	give(&k, 2, DT_S32, vec(1), (const int32_t[]){0});
	give(&k, 3, DT_F32, vec(1), F32(1));
	run(&k, NULL);
	/* teacher (3/4, 1/4) at T = 2, student (1/2, 1/2) */
	double kl = 0.75 * log(1.5) + 0.25 * log(0.5);
	EXPECT_OUT(&k, 1e-6, 0.75 * 4 * kl + 0.25 * log(2));
	EXPECT_GRAD(&k, 0, 1e-6, 0.75 * 2 * -0.25 - 0.125, 0.75 * 2 * 0.25 + 0.125);
	EXPECT_GRAD(&k, 1, 0, 0, 0);
	end(&k);
}

static void embedding__repeated_ids_add_up_and_none_is_zero(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_EMBEDDING, EXEC_TRAIN, (struct attr){0});
	give(&k, EMBEDDING_IDS, DT_S32, vec(4), (const int32_t[]){2, -1, 0, 2});
	give(&k, EMBEDDING_TABLE, DT_F32, op_shape(2, 3, 2, 0, 0), F32(1, 2, 3, 4, 5, 6));
	run(&k, F32(0x1p24f, 1, 7, 7, 10, 20, 1, 2));
	EXPECT_OUT(&k, 0, 5, 6, 0, 0, 1, 2, 5, 6);
	EXPECT_GRAD(&k, EMBEDDING_TABLE, 0, 10, 20, 0, 0, 0x1p24, 3); /* f32: 2^24 + 1 is 2^24 */
	end(&k);
	begin(&k, OP_QEMBEDDING, EXEC_INFER, (struct attr){0});
	give(&k, QEMBEDDING_IDS, DT_S32, vec(3), (const int32_t[]){1, -1, 0});
	give(&k, QEMBEDDING_Q, DT_S8, op_shape(2, 2, 2, 0, 0), (const int8_t[]){-128, 3, 127, 0});
	give(&k, QEMBEDDING_STEP, DT_F32, vec(2), F32(0.5f, 2));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 254, 0, 0, 0, -64, 1.5);
	end(&k);
}

/* In another order, or begun with the last row, the first sum would be 1 or 2. */
static void segment_mean__adds_in_order_and_leaves_out_slack(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_SEGMENT_MEAN, EXEC_TRAIN, (struct attr){0});
	give(&k, SEGMENT_X, DT_F32, op_shape(2, 6, 1, 0, 0), F32(1, 0x1p24f, 1, -0x1p24f, 6, 1000));
	give(&k, SEGMENT_STARTS, DT_S32, vec(4), (const int32_t[]){0, 4, 4, 5});
	run(&k, F32(8, 100, 3));
	EXPECT_OUT(&k, 0, 0, 0, 6);
	EXPECT_GRAD(&k, SEGMENT_X, 0, 2, 2, 2, 2, 3, 0);
	end(&k);
	begin(&k, OP_SEGMENT_MEAN, EXEC_INFER, (struct attr){0});
	give(&k, SEGMENT_X, DT_F32, op_shape(2, 3, 1, 0, 0), F32(1, 0, 0));
	give(&k, SEGMENT_STARTS, DT_S32, vec(2), (const int32_t[]){0, 3});
	run(&k, NULL);
	EXPECT_OUT(&k, 0, (double)(1.0f / 3.0f)); /* a quotient, not a product with the rounded 1/3 */
	end(&k);
}

static void bce_loss__weighs_samples_and_positives(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_BCE_LOSS, EXEC_TRAIN, (struct attr){0});
	/* sigmoid: 3/4, 1/4; 1000 and -1000 are 1 and 0 */
	give(&k, BCE_LOGITS, DT_F32, op_shape(2, 2, 2, 0, 0),
	    (const float[]){(float)log(3), -(float)log(3), 1000, -1000});
	give(&k, BCE_TARGETS, DT_F32, op_shape(2, 2, 2, 0, 0), F32(1, 0.5f, 0, 1));
	give(&k, BCE_WEIGHT, DT_F32, vec(2), F32(0.5f, 0.25f));
	give(&k, BCE_POS_WEIGHT, DT_F32, vec(2), F32(3, 2));
	run(&k, NULL);
	EXPECT_OUT(
	    &k, 1e-4, 0.25 * (-3 * log(0.75) - 2 * 0.5 * log(0.25) - 0.5 * log(0.75)) + 0.125 * (1000 + 2 * 1000));
	EXPECT_GRAD(&k, BCE_LOGITS, 1e-6, 0.25 * -3 * 0.25, 0.25 * (0.5 * 0.25 - 2 * 0.5 * 0.75), 0.125, 0.125 * -2);
	EXPECT_GRAD(&k, BCE_TARGETS, 0, 0, 0, 0, 0);
	EXPECT_GRAD(&k, BCE_WEIGHT, 0, 0, 0);
	EXPECT_GRAD(&k, BCE_POS_WEIGHT, 0, 0, 0);
	end(&k);
	begin(&k, OP_BCE_LOSS, EXEC_TRAIN, (struct attr){0});
	give(&k, BCE_LOGITS, DT_F32, op_shape(2, 1, 1, 0, 0), F32(NAN));
	give(&k, BCE_TARGETS, DT_F32, op_shape(2, 1, 1, 0, 0), F32(1));
	give(&k, BCE_WEIGHT, DT_F32, vec(1), F32(1));
	give(&k, BCE_POS_WEIGHT, DT_F32, vec(1), F32(1));
	run(&k, NULL);
	assert_true(isnan(*(const float *)k.o.s.out.data) && isnan(*(const float *)k.o.s.din[BCE_LOGITS].data));
	end(&k);
}

static void kd_bce_loss__mixes_soft_and_hard(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_KD_BCE_LOSS, EXEC_TRAIN, (struct attr){.temperature = 2, .alpha = 0.75f});
	give(&k, KD_BCE_LOGITS, DT_F32, op_shape(2, 1, 1, 0, 0), F32(0));
	give(&k, KD_BCE_TEACHER, DT_F32, op_shape(2, 1, 1, 0, 0), (const float[]){(float)(2 * log(3))});
	give(&k, KD_BCE_TARGETS, DT_F32, op_shape(2, 1, 1, 0, 0), F32(1));
	give(&k, KD_BCE_WEIGHT, DT_F32, vec(1), F32(2));
	give(&k, KD_BCE_POS_WEIGHT, DT_F32, vec(1), F32(5));
	run(&k, NULL);
	/* teacher 3/4 at T = 2, student 1/2: its cross-entropy is log 2 whatever the target */
	EXPECT_OUT(&k, 1e-6, 2 * (0.75 * 4 * log(2) + 0.25 * 5 * log(2)));
	EXPECT_GRAD(&k, KD_BCE_LOGITS, 1e-6, 2 * (0.75 * 2 * -0.25 + 0.25 * 5 * -0.5));
	EXPECT_GRAD(&k, KD_BCE_TEACHER, 0, 0);
	end(&k);
}

static void fold__equals_batch_norm_of_the_layer(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_FOLD_WEIGHT, EXEC_INFER, (struct attr){.eps = 1});
	give(&k, 0, DT_F32, op_shape(2, 2, 2, 0, 0), F32(1, 2, 3, 4));
	give(&k, 1, DT_F32, vec(2), F32(2, -6));
	give(&k, 2, DT_F32, vec(2), F32(3, 8));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 1, 2, -6, -8);
	end(&k);
	begin(&k, OP_FOLD_BIAS, EXEC_INFER, (struct attr){.eps = 1});
	give(&k, 1, DT_F32, vec(1), F32(2));
	give(&k, 2, DT_F32, vec(1), F32(5));
	give(&k, 3, DT_F32, vec(1), F32(7));
	give(&k, 4, DT_F32, vec(1), F32(3));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, -2);
	end(&k);
}

static const struct qrange u8_97 = {8, 0, 255, 97, false}, s4 = {4, -7, 7, 0, true}, s8 = {8, -128, 127, 0, true};

static void fake_quant__gives_grid_values_and_clips(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_FAKE_QUANT, EXEC_TRAIN, (struct attr){.q = s4});
	/* step 0.375: log2 = -1.415, P = 0.5; step 0.75: P = 1 */
	give(&k, 0, DT_F32, op_shape(2, 2, 3, 0, 0), F32(0.375f, -0.9375f, 9, 1.125f, -6, 0));
	give(&k, 1, DT_F32, vec(2), F32(0.375f, 0.75f));
	run(&k, NULL);
	/* q: 1, -2.5 -> -2, 7 clipped | 1.5 -> 2, -8 -> -7 clipped, 0 */
	EXPECT_OUT(&k, 0, 0.5, -1, 3.5, 2, -7, 0);
	EXPECT_GRAD(&k, 0, 1e-6, 4.0 / 3, 4.0 / 3, 0, 4.0 / 3, 0, 4.0 / 3);
	/* -(x/s) * P/s over the values inside */
	EXPECT_GRAD(&k, 1, 1e-6, -(1 - 2.5) * 4.0 / 3, -1.5 * 4.0 / 3);
	end(&k);
}

static void quantize__and_dequant_undo_each_other_at_grid_points(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_QUANTIZE, EXEC_INFER, (struct attr){.q = u8_97});
	give(&k, 0, DT_F32, vec(5), F32(0, -48.5f, 79, 1000, 0.25f));
	give(&k, 1, DT_F32, vec(1), F32(0.5f));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 97, 0, 255, 255, 97); /* 0.25/0.5 ties to even 0 */
	end(&k);
	begin(&k, OP_DEQUANT, EXEC_INFER, (struct attr){.q = u8_97});
	give(&k, 0, DT_U8, vec(4), (const uint8_t[]){97, 0, 255, 98});
	give(&k, 1, DT_F32, vec(1), F32(0.5f));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 0, -48.5, 79, 0.5);
	end(&k);
	/* rows with a step each: P(0.375) = 0.5, P(1.5) = 2 */
	begin(&k, OP_DEQUANT, EXEC_TRAIN, (struct attr){.q = s8});
	give(&k, 0, DT_F32, op_shape(2, 2, 2, 0, 0), F32(1, -2, 6, 8));
	give(&k, 1, DT_F32, vec(2), F32(0.375f, 1.5f));
	run(&k, F32(1, 2, 4, 8));
	EXPECT_OUT(&k, 0, 0.75, -1.5, 4.5, 6);
	EXPECT_GRAD(&k, 0, 0, 0.75, 1.5, 3, 6);
	EXPECT_GRAD(&k, 1, 0, 2 - 8, 12 + 32);
	end(&k);
}

static void requant__is_the_integer_layer_on_grid_values(void **state)
{
	(void)state;
	struct known k;
	/* s_x = 0.375 (P 0.5), s_w = 0.75 (P 1), s_y = 1.5 (P 2): m = 0.1875; acc = A * 0.5; r = 3 * P(0.375) */
	begin(&k, OP_REQUANT, EXEC_TRAIN, (struct attr){.q = s8, .relu = true});
	give(&k, RQ_ACC, DT_F32, op_shape(2, 1, 3, 0, 0), F32(16, -16, 1000));
	give(&k, RQ_SX, DT_F32, vec(1), F32(0.375f));
	give(&k, RQ_SW, DT_F32, vec(1), F32(0.75f));
	give(&k, RQ_B, DT_F32, vec(3), F32(1.5f, 1.5f, 1.5f));
	give(&k, RQ_SY, DT_F32, vec(1), F32(1.5f));
	give(&k, RQ_R, DT_F32, op_shape(2, 1, 3, 0, 0), F32(1.5f, 1.5f, 1.5f));
	give(&k, RQ_SR, DT_F32, vec(1), F32(0.375f));
	run(&k, NULL);
	/* t = 32*0.1875 + 1 + 3*0.25 = 7.75 -> 8; relu; clamp */
	EXPECT_OUT(&k, 0, 16, 0, 254);
	EXPECT_GRAD(&k, RQ_ACC, 0, 2 * 0.1875 / 0.5, 0, 0);
	EXPECT_GRAD(&k, RQ_SX, 0, 2 * 6 / 0.375);
	EXPECT_GRAD(&k, RQ_SW, 0, 2 * 6 / 0.75);
	EXPECT_GRAD(&k, RQ_B, 1e-6, 2 / 1.5, 0, 0);
	EXPECT_GRAD(&k, RQ_SY, 1e-6, -2 * 7.75 / 1.5);
	EXPECT_GRAD(&k, RQ_R, 1e-6, 2 * 0.25 / 0.5, 0, 0);
	EXPECT_GRAD(&k, RQ_SR, 1e-6, 2 * 3 / 1.5);
	end(&k);
}

static void qlinear__rounds_half_to_even_and_saturates(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_QLINEAR, EXEC_INFER, (struct attr){.q = u8_97});
	give(&k, 0, DT_U8, op_shape(2, 1, 2, 0, 0), (const uint8_t[]){255, 1});
	give(&k, 1, DT_S8, op_shape(2, 4, 2, 0, 0), (const int8_t[]){0, 1, 0, 3, 127, 0, -127, 0});
	give(&k, 2, DT_F32, vec(4), F32(0.5f, 0.5f, 1, 1));
	give(&k, 3, DT_F32, vec(4), F32(97, 97, 97, 97));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 98, 98, 255, 0); /* 97.5 -> 98, 98.5 -> 98 */
	end(&k);
}

static void qconv2d__adds_the_residual_before_the_relu(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_QCONV2D, EXEC_INFER, (struct attr){.q = {8, 0, 255, 0, false}, .relu = true, .stride = 1});
	give(&k, 0, DT_S8, op_shape(4, 1, 1, 2, 1), (const int8_t[]){-10, 10});
	give(&k, 1, DT_S8, op_shape(4, 1, 1, 1, 1), (const int8_t[]){5});
	give(&k, 2, DT_F32, vec(1), F32(1));
	give(&k, 3, DT_F32, vec(1), F32(0));
	give(&k, 4, DT_S8, op_shape(4, 1, 1, 2, 1), (const int8_t[]){120, -120});
	give(&k, 5, DT_F32, vec(1), F32(0.5f));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 10, 0);
	end(&k);
}

static void qlinear_dyn__takes_the_step_from_each_row(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_QLINEAR_DYN, EXEC_INFER, (struct attr){0});
	give(&k, 0, DT_F32, op_shape(2, 3, 2, 0, 0), F32(127, -63.4f, 0, 0, -254, 2));
	give(&k, 1, DT_S8, op_shape(2, 1, 2, 0, 0), (const int8_t[]){2, 1});
	give(&k, 2, DT_F32, vec(1), F32(0.5f));
	give(&k, 3, DT_F32, vec(1), F32(1));
	run(&k, NULL);
	/* rows: q = (127, -63), step 1; zeros; (-127, 1), step 2 */
	EXPECT_OUT(&k, 0, 96.5, 1, -252);
	end(&k);
}

static void cast__rounds_to_nearest_even(void **state)
{
	(void)state;
	struct known k;
	begin(&k, OP_CAST, EXEC_INFER, (struct attr){.to = DT_BF16});
	give(&k, 0, DT_F32, vec(3), F32(1 + 0x1p-8f, 1 + 3 * 0x1p-8f, -1));
	run(&k, NULL);
	EXPECT_OUT(&k, 0, 1, 1 + 0x1p-6, -1);
	end(&k);
}

static void update__adamw_first_step_moves_by_the_rate(void **state)
{
	(void)state;
	float w[3] = {1, 1, 0}, m[3] = {0}, v[3] = {0};
	const float g[3] = {0.5f, -2, 7};
	const uint8_t mask[3] = {1, 1, 0};
	struct update_state s = {.scale = 1};
	struct update_item item = {.n = 3, .w = w, .g = g, .m = m, .v = v, .mask = mask, .lr_factor = 1, .decay = true};
	const struct update_args a = {
	    .kind = OPTIMIZER_ADAMW, .lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.99f, .weight_decay = 0.5f, .state = &s};
	const struct update_job job = {.item = &item, .n = 1, .args = a};
	assert_int_equal(ref_backend.update(NULL, &job), 0);
	/* the first direction is the gradient's sign; decay is 0.1 * 0.5 * w; the masked gradient does not count */
	assert_float_equal(w[0], 1 - 0.1f - 0.05f, 1e-6f);
	assert_float_equal(w[1], 1 + 0.1f - 0.05f, 1e-6f);
	assert_true(w[2] == 0 && m[2] == 0 && v[2] == 0);
	assert_true(fabs(s.norm - sqrt(4.25)) < 1e-12);
	assert_float_equal(m[0], 0.05f, 1e-7f);
	assert_float_equal(v[1], 0.04f, 1e-7f);
}

static void update__steps_move_relatively_and_keep_their_floor(void **state)
{
	(void)state;
	float w[2] = {4, 0.5f}, m[2] = {0}, stat = 10;
	struct update_state s = {.scale = 1};
	const float g[2] = {1, 1}, observed = 20;
	struct update_item item[2] = {{.n = 2,
					  .w = w,
					  .g = g,
					  .m = m,
					  .lr_factor = 0.5f,
					  .gradient_scale = 0.5f,
					  .relative = true,
					  .floor = 0.495f},
	    {.n = 1, .w = &stat, .g = &observed, .stat_momentum = 0.1f, .stat = true}};
	const struct update_args a = {.kind = OPTIMIZER_SGD, .lr = 0.5f, .clip_norm = 1, .state = &s};
	const struct update_job job = {.item = item, .n = 2, .args = a};
	assert_int_equal(ref_backend.update(NULL, &job), 0);
	/* the gradient is that of log w, scaled: w*g/2 = (2, 1/4); the observation is neither clipped nor counted */
	assert_true(fabs(s.norm - sqrt(4.0625)) < 1e-12);
	assert_float_equal(w[0], 4 * (1 - 0.25f * 2 / sqrtf(4.0625f)), 1e-5f);
	assert_float_equal(w[1], 0.495f, 0);
	assert_float_equal(stat, 11, 1e-6f);
}

/* Whatever the gradient is, a step neither jumps nor runs away. */
static void update__steps_move_by_half_of_themselves_at_most(void **state)
{
	(void)state;
	const float g[3] = {1e6f, -1e6f, -1e6f};
	for (int kind = OPTIMIZER_SGD; kind <= OPTIMIZER_ADAMW; kind++) {
		float w[3] = {4, 4, 20}, m[3] = {0}, v[3] = {0};
		struct update_state s = {.scale = 1};
		const struct update_item item = {.n = 3,
		    .w = w,
		    .g = g,
		    .m = m,
		    .v = v,
		    .lr_factor = 1,
		    .gradient_scale = 0.01f,
		    .relative = true,
		    .floor = 0.25f,
		    .ceiling = 24};
		const struct update_job job = {.item = &item,
		    .n = 1,
		    .args = {.kind = kind, .lr = 10, .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f, .state = &s}};
		assert_int_equal(ref_backend.update(NULL, &job), 0);
		assert_true(w[0] == 2 && w[1] == 6 && w[2] == 24);
		for (int i = 0; i < 200; i++)
			assert_int_equal(ref_backend.update(NULL, &job), 0);
		assert_true(w[0] == 0.25f && w[1] == 24 && w[2] == 24);
	}
}

static void update__unscales_and_leaves_out_what_is_not_finite(void **state)
{
	(void)state;
	float w = 2, m = 0, v = 0, stat = 10;
	float g = 64, observed = 20;
	struct update_state s = {.scale = 4, .dynamic = 1, .good = LOSS_SCALE_GOOD - 1};
	struct update_item item[2] = {{.n = 1, .w = &w, .g = &g, .m = &m, .v = &v, .lr_factor = 1},
	    {.n = 1, .w = &stat, .g = &observed, .stat_momentum = 0.1f, .stat = true}};
	const struct update_args a = {.kind = OPTIMIZER_ADAMW, .lr = 0.5f, .beta1 = 0.5f, .beta2 = 0.5f, .state = &s};
	const struct update_job job = {.item = item, .n = 2, .args = a};
	assert_int_equal(ref_backend.update(NULL, &job), 0);
	assert_true(s.norm == 16 && m == 8 && v == 128 && w == 1.5f); /* g = 16; the first step moves by the rate */
	assert_float_equal(stat, 11, 1e-6f);                          /* observations are not scaled */
	assert_true(s.scale == 8 && s.good == 0 && s.skipped == 0 && s.t == 1 && !s.halted);
	for (int i = 0; i < 4; i++) { /* 8 -> 4 -> 2 -> 1, where it ends */
		g = i & 1 ? NAN : INFINITY;
		assert_int_equal(ref_backend.update(NULL, &job), 0);
		assert_true(w == 1.5f && m == 8 && v == 128 && !isfinite(s.norm));
		assert_float_equal(stat, 11, 1e-6f);
		assert_int_equal(s.halted, i == 3);
	}
	assert_true(s.scale == 1 && s.skipped == 4);
	g = 16;
	assert_int_equal(ref_backend.update(NULL, &job), 0); /* halted: whatever the gradient is */
	assert_true(w == 1.5f && s.norm == 16 && s.t == 1 && s.skipped == 4);
	s.halted = 0; /* the second update that is done: m = 16 (1 - 0.5^2), v = 16^2 (1 - 0.5^2) */
	assert_int_equal(ref_backend.update(NULL, &job), 0);
	assert_true(s.good == 1 && s.t == 2 && m == 12 && v == 192);
	assert_float_equal(w, 1, 1e-6f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(linear__relu_masks_the_gradient),
	    cmocka_unit_test(conv2d__pads_with_zeros_and_strides),
	    cmocka_unit_test(batchnorm__delivers_mean_and_unbiased_variance),
	    cmocka_unit_test(batchnorm__infers_with_running_statistics),
	    cmocka_unit_test(maxpool__first_maximum_takes_the_gradient),
	    cmocka_unit_test(maxpool__padding_never_wins),
	    cmocka_unit_test(avgpool__means_or_sums),
	    cmocka_unit_test(dropout__depends_on_the_sample_not_on_the_row),
	    cmocka_unit_test(ce_loss__smooths_weighs_and_ignores),
	    cmocka_unit_test(kd_loss__mixes_soft_and_hard),
	    cmocka_unit_test(embedding__repeated_ids_add_up_and_none_is_zero),
	    cmocka_unit_test(segment_mean__adds_in_order_and_leaves_out_slack),
	    cmocka_unit_test(bce_loss__weighs_samples_and_positives),
	    cmocka_unit_test(kd_bce_loss__mixes_soft_and_hard),
	    cmocka_unit_test(fold__equals_batch_norm_of_the_layer),
	    cmocka_unit_test(fake_quant__gives_grid_values_and_clips),
	    cmocka_unit_test(quantize__and_dequant_undo_each_other_at_grid_points),
	    cmocka_unit_test(requant__is_the_integer_layer_on_grid_values),
	    cmocka_unit_test(qlinear__rounds_half_to_even_and_saturates),
	    cmocka_unit_test(qconv2d__adds_the_residual_before_the_relu),
	    cmocka_unit_test(qlinear_dyn__takes_the_step_from_each_row),
	    cmocka_unit_test(cast__rounds_to_nearest_even),
	    cmocka_unit_test(update__adamw_first_step_moves_by_the_rate),
	    cmocka_unit_test(update__steps_move_relatively_and_keep_their_floor),
	    cmocka_unit_test(update__steps_move_by_half_of_themselves_at_most),
	    cmocka_unit_test(update__unscales_and_leaves_out_what_is_not_finite),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
