/* Pixels as the integers of a model's input: what the model computes stays the same, and the integers are exact. */
#include "stages/rig.h"

#include <math.h>

#include "stages/quantize.h"

#define SIDE   8
#define LOGITS (100 * 10)

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = SIDE, .width = SIDE, .channels = 3},
    .classes = 10,
    .n_width = 1,
    .width = (int[]){16},
    .own = &(struct mlp_spec){0}};
static const struct model_spec cnn_spec = {.family = &family_cnn,
    .input = {.height = SIDE, .width = SIDE, .channels = 3},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){6, 12},
    .own = &(struct cnn_spec){.kernel = {1, (int[]){3}},
	.pad = {1, (int[]){0}},
	.pool = {1, (int[]){2}},
	.batchnorm = true,
	.conv_bias = true}};
static const struct model_spec padded_spec = {.family = &family_cnn,
    .input = {.height = SIDE, .width = SIDE, .channels = 3},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){6, 12},
    .own = &(struct cnn_spec){.kernel = {1, (int[]){3}},
	.pad = {1, (int[]){1}},
	.pool = {1, (int[]){2}},
	.batchnorm = true,
	.conv_bias = true}};

/* Channels of different scales; and of the middle, nearly. */
static struct rig uneven, middle;

/* ---- the float model ---- */

static struct rig *saved_by;
static int zero;
static const float *stds; /* of the channels, in the place of the model's; or NULL */

/* A stage that does nothing but take the pixels, and keeps the float model. */
static int take_alone(struct stage_run *run)
{
	struct quantize_job job = {.o = run->options, .run = run};
	RIG_OK(quantize_job_load(&job));
	for (int c = 0; c < 3 && stds; c++)
		job.input.ckpt.adapter.std[c] = stds[c];
	RIG_OK(quantize_job_plan_layers(&job));
	RIG_OK(quantize_take_bytes(&job));
	zero = job.byte_input[0] ? job.byte_zero : -1;
	rig_save(saved_by, &job.input, "moved");
	quantize_job_clear(&job);
	return 0;
}

static double worst_of(const float *a, const float *b)
{
	double most = 0;
	for (int i = 0; i < LOGITS; i++)
		most = fmax(most, fabs((double)a[i] - (double)b[i]));
	return most;
}

/* How far logits move by taking the pixels. */
static double moved(struct rig *r, const char *input, const char *options)
{
	struct stage_kind kind = stage_quantize;
	kind.run = take_alone;
	saved_by = r;
	RIG_OK(rig_run(r, &kind, &(struct rig_case){.name = "alone", .options = options, .input = input}));
	float *a = rig_logits(r, input, 100), *b = rig_logits(r, "moved", 100);
	const double most = worst_of(a, b);
	mem_free(a);
	mem_free(b);
	return most;
}

static void pixels__of_channels_of_any_scale_leave_the_model_as_it_is(void **state)
{
	(void)state;
	assert_true(moved(&uneven, "mlp", "{}") < 1e-4);
	assert_int_equal(zero, 85); /* of means of 0.2, 0.3 and 0.5 */
	assert_true(moved(&uneven, "cnn", "{}") < 1e-4);
	assert_int_equal(zero, 85);
	assert_true(moved(&uneven, "cnn", "{activations: affine}") < 1e-4);
	assert_true(moved(&middle, "cnn", "{}") < 1e-4);
	assert_int_equal(zero, 127);
}

/* What is padded with is another byte afterwards, which must not be seen. */
static void pixels__behind_padding_are_taken_near_the_middle_alone(void **state)
{
	(void)state;
	assert_true(moved(&uneven, "padded", "{}") <= 0);
	assert_int_equal(zero, -1);
	assert_true(moved(&middle, "padded", "{}") < 0.1);
	assert_int_equal(zero, 128);
}

static void pixels__are_not_taken_for_what_is_no_byte(void **state)
{
	static const char *const options[] = {"{act_bits: 6}", "{edge_bits: 4}", "{exclude: [fc1]}",
	    "{method: dynamic}", "{method: fp16}", "{method: qat, epochs: 1}"};
	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_true(moved(&uneven, "mlp", options[i]) <= 0);
		assert_int_equal(zero, -1);
	}
}

static int zero_with(struct rig *r, const char *input, const char *options, const float std[3])
{
	stds = std;
	(void)moved(r, input, options);
	stds = NULL;
	return zero;
}

/* The weights of channels with a large std would be nothing beside the others'. */
static void pixels__are_taken_where_weights_can_bear_it(void **state)
{
	static const float even[3] = {0.2F, 0.2F, 0.2F}, nearly[3] = {0.2F, 0.24F, 0.22F},
			   twice[3] = {0.2F, 0.2F, 0.4F}, five_times[3] = {0.25F, 0.05F, 0.25F};
	(void)state;
	assert_int_equal(zero_with(&uneven, "mlp", "{}", twice), 85);
	assert_int_equal(zero_with(&uneven, "mlp", "{}", five_times), -1);
	assert_int_equal(zero_with(&uneven, "cnn", "{}", five_times), -1);
	assert_int_equal(zero_with(&uneven, "mlp", "{weight_bits: 4}", even), 85);
	assert_int_equal(zero_with(&uneven, "mlp", "{weight_bits: 4}", nearly), 85);
	assert_int_equal(zero_with(&uneven, "mlp", "{weight_bits: 4}", twice), -1);
	assert_int_equal(zero_with(&uneven, "mlp", "{layer_bits: ['fc1=6']}", twice), -1);
	assert_int_equal(zero_with(&uneven, "mlp", "{layer_bits: ['fc2=4']}", twice), 85);
}

/* Of images of little contrast a byte is much. */
static void pixels__behind_padding_are_near_the_middle_by_their_std(void **state)
{
	static const float wide[3] = {0.3F, 0.3F, 0.3F}, narrow[3] = {0.3F, 0.3F, 0.09F};
	(void)state;
	assert_int_equal(zero_with(&middle, "padded", "{}", wide), 128);
	assert_int_equal(zero_with(&middle, "padded", "{}", narrow), -1);
	assert_int_equal(zero_with(&middle, "cnn", "{}", narrow), 127);
}

/* ---- the integers ---- */

static const cJSON *input_value(const struct model *m)
{
	const cJSON *v;
	cJSON_ArrayForEach(v, cJSON_GetObjectItem(cJSON_GetObjectItem(m->ckpt.info, "int8_report"), "values"))
	{
		if (strcmp(cJSON_GetObjectItem(v, "name")->valuestring, "input") == 0)
			return v;
	}
	return NULL;
}

static void assert_bytes(struct rig *r, const char *input, double std, int lo, int z)
{
	struct model m;
	RIG_OK(rig_run(r, &stage_quantize, &(struct rig_case){.name = "integers", .options = "{}", .input = input}));
	rig_load(r, "integers", &m);
	const cJSON *v = input_value(&m);
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(v, "exact")));
	assert_true(fabs(rig_number(v, "step_min") * 255 * std - 1) < 1e-6);
	assert_int_equal((int)rig_number(v, "lo"), lo);
	assert_int_equal((int)rig_number(v, "zero_point"), z);
	assert_true(rig_number(v, "saturated") == 0);
	assert_string_equal(m.ckpt.adapter.norm_source, "bytes");
	assert_true(rig_number(cJSON_GetObjectItem(m.ckpt.info, "int8_report"), "values_different") == 0);
	model_clear(&m);
}

static void pixels__are_the_integers_that_run(void **state)
{
	(void)state;
	assert_bytes(&uneven, "mlp", 0.2, 0, 85);
	assert_bytes(&uneven, "cnn", 0.2, 0, 85);
	assert_bytes(&middle, "padded", 0.4, -128, 0);
}

/* With all other layers real, nothing but the weights of the first is rounded. */
static void pixels__lose_nothing(void **state)
{
	static const char options[] = "{exclude: [fc1, fc2], rounding: adaround, bias_correction: false}";
	(void)state;
	RIG_OK(rig_run(
	    &middle, &stage_quantize, &(struct rig_case){.name = "first_alone", .options = options, .input = "cnn"}));
	float *a = rig_logits(&middle, "cnn", 100), *b = rig_logits(&middle, "first_alone", 100);
	assert_true(worst_of(a, b) < 0.1);
	mem_free(a);
	mem_free(b);
}

static void train(struct rig *r, const char *name, const struct model_spec *spec)
{
	RIG_OK(rig_run(r, &stage_train,
	    &(struct rig_case){.name = name, .options = "{epochs: 2, batch_size: 64, lr: 0.01}", .spec = spec}));
}

static int set_up(void **state)
{
	(void)state;
	rig_open(&uneven, "{source: digits, channels: 3, mean: [0.2, 0.3, 0.5], std: [0.2, 0.5, 0.3]}");
	rig_open(&middle, "{source: digits, channels: 3, mean: [0.499, 0.5, 0.5], std: [0.4, 0.4, 0.4]}");
	for (int i = 0; i < 2; i++) {
		struct rig *r = i ? &middle : &uneven;
		train(r, "mlp", &mlp_spec);
		train(r, "cnn", &cnn_spec);
		train(r, "padded", &padded_spec);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&uneven);
	rig_close(&middle);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pixels__of_channels_of_any_scale_leave_the_model_as_it_is),
	    cmocka_unit_test(pixels__behind_padding_are_taken_near_the_middle_alone),
	    cmocka_unit_test(pixels__are_not_taken_for_what_is_no_byte),
	    cmocka_unit_test(pixels__are_taken_where_weights_can_bear_it),
	    cmocka_unit_test(pixels__behind_padding_are_near_the_middle_by_their_std),
	    cmocka_unit_test(pixels__are_the_integers_that_run),
	    cmocka_unit_test(pixels__lose_nothing),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
