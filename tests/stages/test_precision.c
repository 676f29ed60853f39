/* The option `precision` through the stages on this CPU: bf16 where it has it, and what is refused before any work. The
 * arithmetic is tested in tests/exec and tests/cpu, the loss scale in tests/train. */
#include "stages/rig.h"

#include "cpu/isa.h"

static const struct model_spec spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){8, 12, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};

static int set_up(void **state)
{
	static struct rig r;
	rig_open(&r, "source: digits");
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static int plan(struct rig *r, const char *text, struct stage_plan *p)
{
	void *options = mem_alloc(1, stage_train.options_size);
	RIG_OK(rig_options(stage_train.table, options, text));
	struct stage_run run = {.name = "t",
	    .options = options,
	    .data = &r->data,
	    .data_options = &r->data_options,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .spec = &spec,
	    .adapter = &r->adapter,
	    .task = &r->task};
	*p = (struct stage_plan){0};
	int rc = stage_train.plan(&run, NULL, p);
	spec_clear(&p->spec);
	option_clear(stage_train.table, options);
	mem_free(options);
	return rc;
}

/* When the chain is planned, not after the stages before it have run. */
static void plan__refuses_a_precision_that_the_device_lacks(void **state)
{
	struct stage_plan fp32, half;
	RIG_OK(plan(*state, "{batch_size: 64}", &fp32));
	assert_int_equal(plan(*state, "{precision: fp16}", &half), ERR_DEVICE);
	assert_non_null(strstr(err_message(), "no f16 products on the CPU"));
	assert_int_equal(plan(*state, "{precision: tf32}", &half), ERR_DEVICE);
	assert_non_null(strstr(err_message(), "conv1 (conv2d): no TF32 products on the CPU"));
	if (!cpu_has_bf16()) {
		assert_int_equal(plan(*state, "{precision: bf16}", &half), ERR_DEVICE);
		assert_non_null(strstr(err_message(), "this CPU has no bf16 products"));
		return;
	}
	RIG_OK(plan(*state, "{batch_size: 64, precision: bf16}", &half));
	assert_true(half.memory.activations > fp32.memory.activations); /* the casts are in the plan */
	assert_true(half.macs == fp32.macs && half.parameters == fp32.parameters);
}

static void assert_precision(struct rig *r, const char *folder, const char *want, double accuracy)
{
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(r, folder)));
	const cJSON *hyper = cJSON_GetObjectItem(c.info, "hyperparameters");
	const cJSON *training = cJSON_GetObjectItem(c.info, "training");
	const cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "metrics"), "validation");
	assert_string_equal(cJSON_GetObjectItem(hyper, "precision")->valuestring, want);
	assert_string_equal(cJSON_GetObjectItem(training, "precision")->valuestring, want);
	assert_null(cJSON_GetObjectItem(training, "loss_scale")); /* of fp16 alone */
	if (rig_number(val, "accuracy") < accuracy)
		fail_msg("%s: accuracy %g", folder, rig_number(val, "accuracy"));
	checkpoint_clear(&c);
}

static void train__bf16_reaches_the_checkpoint_and_qat(void **state)
{
	struct rig *r = *state;
	if (!cpu_has_bf16())
		skip();
	RIG_OK(rig_run(r, &stage_train,
	    &(struct rig_case){
		.name = "half", .options = "{epochs: 6, batch_size: 64, lr: 0.005, precision: bf16}", .spec = &spec}));
	assert_precision(r, "half", "bf16", 0.9);
	RIG_OK(rig_run(r, &stage_distill,
	    &(struct rig_case){.name = "student",
		.options = "{epochs: 5, batch_size: 64, lr: 0.005, precision: bf16}",
		.teacher = "half",
		.spec = &spec}));
	assert_precision(r, "student", "bf16", 0.85);
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){
		.name = "qat", .options = "{method: qat, epochs: 1, lr: 0.0005, precision: bf16}", .input = "half"}));
	assert_precision(r, "qat", "bf16", 0.9);
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(r, "qat")));
	const cJSON *report = cJSON_GetObjectItem(c.info, "int8_report");
	assert_true(rig_number(report, "values_compared") > 1000 && rig_number(report, "values_different") == 0);
	checkpoint_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plan__refuses_a_precision_that_the_device_lacks),
	    cmocka_unit_test(train__bf16_reaches_the_checkpoint_and_qat),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
