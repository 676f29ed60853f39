/* quantize: every method on the embedded digits, what it reports, and what it refuses. */
#include "stages/rig.h"

#include <math.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "graph/pass.h"
#include "stages/quantize.h"

static const struct model_spec cnn_spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){8, 12, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};
static const struct model_spec resnet_spec = {.family = &family_resnet,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 4,
    .width = (int[]){6, 7, 9, 10},
    .own = &(struct resnet_spec){.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 1}};
static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){32, 16},
    .own = &(struct mlp_spec){0}};

static int set_up(void **state)
{
	static struct rig r;

	rig_open(&r, "source: digits");
	*state = &r;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "cnn", .options = "{epochs: 8, batch_size: 64, lr: 0.005}", .spec = &cnn_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){
		.name = "resnet", .options = "{epochs: 3, batch_size: 64, lr: 0.005}", .spec = &resnet_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 5, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	RIG_OK(rig_run(&r, &stage_prune,
	    &(struct rig_case){
		.name = "pruned", .options = "{method: magnitude, sparsity: 0.6, epochs: 1}", .input = "cnn"}));
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

/* ---- options ---- */

/* key NULL: the table alone refuses the text. */
static void assert_check(const char *text, const char *key, const char *part)
{
	struct quantize_options o = {0};
	const char *found = NULL;
	int rc;

	rc = rig_options(quantize_option_table, &o, text);
	if (!rc)
		rc = stage_quantize.check(&o, &cnn_spec, &found);
	option_clear(quantize_option_table, &o);
	if (!part) {
		if (rc < 0)
			fail_msg("%s: %s", text, err_message());
		return;
	}
	if (rc != ERR_CONFIG)
		fail_msg("%s was accepted", text);
	if (key)
		assert_string_equal(found, key);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static void check__options_that_a_method_ignores_are_errors(void **state)
{
	(void)state;
	assert_check("{method: static}", NULL, NULL);
	assert_check("{method: static, epochs: 10}", NULL, "epochs has no effect with method static"); /* its default */
	assert_check("{method: static, epochs: 3}", NULL, "epochs has no effect with method static");
	assert_check("{method: qat, epochs: 3}", NULL, NULL);
	assert_check("{method: static, temperature: 2}", NULL, "temperature has no effect");
	assert_check("{method: static, precision: bf16}", NULL, "precision has no effect");
	assert_check("{method: dynamic, observer: entropy}", NULL, "observer has no effect with method dynamic");
	assert_check("{method: dynamic, act_bits: 4}", NULL, "act_bits has no effect");
	assert_check("{method: dynamic, weight_bits: 4, exclude: [fc1]}", NULL, NULL);
	assert_check("{method: fp16, weight_bits: 4}", NULL, "weight_bits has no effect with method fp16");
	assert_check("{observer: percentile, percentile: 99.9}", NULL, NULL);
	assert_check("{percentile: 99.9}", NULL, "percentile has no effect with observer mse");
	assert_check("{method: dynamic, percentile: 99.9}", NULL, "percentile has no effect with observer mse");
	/* An option of an optimizer that nobody uses, although the optimizer would be right. */
	assert_check("{beta1: 0.8}", NULL, "beta1 has no effect with method static");
	assert_check("{method: qat, beta1: 0.8}", NULL, NULL);
}

static void check__the_test_split_never_calibrates(void **state)
{
	(void)state;
	assert_check("{calibration_split: test}", "calibration_split", "the test split is never used to calibrate");
	assert_check("{calibration_split: validation}", NULL, NULL);
	assert_check("{edge_bits: 1}", "edge_bits", "0 or 2 to 8");
	assert_check("{method: qat, epochs: 0}", NULL, "'epochs' must be a whole number in 1..100000, found '0'");
}

/* ---- runs ---- */

static cJSON *run_case(struct rig *r, const char *name, const char *input, const char *options)
{
	cJSON *summary = NULL;

	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = name, .options = options, .input = input, .summary = &summary}));
	return summary;
}

static cJSON *read_info(struct rig *r, const char *folder)
{
	struct model m;
	cJSON *info;

	rig_load(r, folder, &m);
	info = cJSON_Duplicate(m.ckpt.info, true);
	model_clear(&m);
	return info;
}

static double val_accuracy(struct rig *r, const char *folder)
{
	cJSON *info = read_info(r, folder);
	cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(info, "metrics"), "validation");
	double v = rig_number(val, "accuracy");

	cJSON_Delete(info);
	return v;
}

static void run__static_keeps_the_accuracy_and_executes_what_was_simulated(void **state)
{
	static const char *const inputs[] = {"cnn", "resnet", "mlp"};
	struct rig *r = *state;

	for (int i = 0; i < 3; i++) {
		char name[32];
		cJSON *summary, *info, *report;

		snprintf(name, sizeof(name), "static_%s", inputs[i]);
		summary = run_case(r, name, inputs[i], "{method: static, observer: mse, activations: affine}");
		assert_true(rig_val(summary, "accuracy") > val_accuracy(r, inputs[i]) - 0.02);
		info = read_info(r, name);
		report = cJSON_GetObjectItem(info, "int8_report");
		assert_true(rig_number(report, "values_compared") > 1000);
		assert_true(rig_number(report, "values_different") == 0);
		assert_true(rig_number(report, "largest_difference_quanta") == 0);
		assert_true(rig_number(report, "largest_difference_real") == 0);
		assert_false(cJSON_IsTrue(cJSON_GetObjectItem(info, "simulated")));
		cJSON_Delete(info);
		cJSON_Delete(summary);
	}
}

/* Weights of 8, 4 and 2 bits in one model. */
static void run__bits_per_layer_are_saved_and_execute_what_was_simulated(void **state)
{
	struct rig *r = *state;
	struct model m;
	int bits[9] = {0};
	cJSON_Delete(run_case(r, "mixed", "cnn", "{method: static, layer_bits: [conv*=4, fc1=2]}"));
	rig_load(r, "mixed", &m);
	assert_int_equal(m.ckpt.form, FORM_INTEGER);
	for (int i = 0; i < m.ckpt.plan.n_value; i++)
		bits[m.ckpt.plan.value[i].q.bits] += m.ckpt.plan.value[i].weight;
	assert_true(bits[8] == 1 && bits[4] == 2 && bits[2] == 1);
	const cJSON *report = cJSON_GetObjectItem(m.ckpt.info, "int8_report");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(report, "executed")), "integers");
	assert_true(rig_number(report, "values_compared") > 1000);
	assert_true(rig_number(report, "values_different") == 0);
	assert_true(rig_number(report, "largest_difference_real") == 0);
	model_clear(&m);
}

static void run__report_has_every_layer_and_every_observer(void **state)
{
	struct rig *r = *state;
	cJSON *info, *report, *item, *o;
	int layers = 0, activations = 0;

	cJSON_Delete(
	    run_case(r, "report", "cnn", "{method: static, observer: percentile, percentile: 99.9, exclude: [fc1]}"));
	info = read_info(r, "report");
	report = cJSON_GetObjectItem(info, "int8_report");
	assert_true(cJSON_IsString(cJSON_GetObjectItem(cJSON_GetObjectItem(report, "device"), "isa")));
	o = cJSON_GetObjectItem(report, "fp32_layers");
	assert_int_equal(cJSON_GetArraySize(o), 1);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(o, 0)), "fc1");
	cJSON_ArrayForEach(item, cJSON_GetObjectItem(report, "layers"))
	{
		layers++;
		assert_true(rig_number(item, "fp32_ms") > 0);
		assert_true(strlen(cJSON_GetStringValue(cJSON_GetObjectItem(item, "implementation"))) > 0);
		if (!cJSON_IsTrue(cJSON_GetObjectItem(item, "quantized"))) {
			assert_string_equal(
			    cJSON_GetStringValue(cJSON_GetObjectItem(item, "why")), "excluded by a pattern");
			continue;
		}
		assert_true(rig_number(item, "int8_ms") > 0);
		assert_true(rig_number(item, "worst_accumulator") > 255);
		assert_true(cJSON_IsTrue(cJSON_GetObjectItem(item, "sums_exact")));
		assert_true(rig_number(item, "compared") > 0 && rig_number(item, "different") == 0);
	}
	assert_int_equal(layers, 4);
	cJSON_ArrayForEach(item, cJSON_GetObjectItem(report, "values"))
	{
		assert_true(rig_number(item, "step_min") > 0);
		if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "kind")), "activation") != 0)
			continue;
		activations++;
		assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(item, "observer")), "percentile");
		assert_true(rig_number(item, "saturated") <= rig_number(item, "of"));
		for (int k = 0; k < OBSERVER_COUNT; k++) {
			o = cJSON_GetObjectItem(cJSON_GetObjectItem(item, "observers"), observer_names[k]);
			assert_true(rig_number(o, "hi") > 0 && rig_number(o, "sqnr_db") > 5);
		}
	}
	assert_int_equal(activations, 3); /* input, bn1, fc1 */
	cJSON_Delete(info);
}

/* Of the input, by a range that holds all validation samples and one that holds nine tenths of what is not zero. */
static void run__saturated_counts_what_was_clipped(void **state)
{
	static const char *const options[] = {"{observer: minmax, calibration_split: validation, activations: affine}",
	    "{observer: percentile, percentile: 90, calibration_split: validation}"};
	struct rig *r = *state;

	for (int i = 0; i < 2; i++) {
		cJSON *info, *value;
		double clipped, of;

		cJSON_Delete(run_case(r, i ? "clipped" : "unclipped", i ? "cnn" : "mlp", options[i]));
		info = read_info(r, i ? "clipped" : "unclipped");
		cJSON_ArrayForEach(value, cJSON_GetObjectItem(cJSON_GetObjectItem(info, "int8_report"), "values"))
		{
			if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(value, "kind")), "activation") != 0)
				continue;
			clipped = rig_number(value, "saturated");
			of = rig_number(value, "of");
			if (i == 0) /* rounding of the layers before moves the largest by a little */
				assert_true(clipped <= 3);
			else
				assert_true(clipped > 0.01 * of && clipped < 0.12 * of);
		}
		cJSON_Delete(info);
	}
}

static void run__auto_takes_the_best_observer_on_validation(void **state)
{
	struct rig *r = *state;
	cJSON *info, *calibration, *item;
	double best = 0, chosen;

	/* What is judged are ranges, before anything is corrected. */
	cJSON_Delete(run_case(r, "auto", "cnn",
	    "{method: static, observer: auto, weight_bits: 4, calibration_split: validation, rounding: nearest, "
	    "bias_correction: false}"));
	info = read_info(r, "auto");
	calibration = cJSON_GetObjectItem(cJSON_GetObjectItem(info, "int8_report"), "calibration");
	cJSON_ArrayForEach(item, cJSON_GetObjectItem(calibration, "candidates")) best =
	    fmax(best, rig_number(item, "accuracy"));
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(calibration, "candidates")), OBSERVER_COUNT);
	item = cJSON_GetObjectItem(calibration, "observer");
	chosen =
	    rig_number(cJSON_GetObjectItem(cJSON_GetObjectItem(calibration, "candidates"), cJSON_GetStringValue(item)),
		"accuracy");
	assert_true(chosen >= best);
	/* what was chosen is what was saved: the integers give the simulated accuracy */
	assert_true(
	    fabs(rig_number(cJSON_GetObjectItem(cJSON_GetObjectItem(info, "metrics"), "validation"), "accuracy") -
		 best) < 1e-12);
	cJSON_Delete(info);
}

/* Every int8 tensor of the checkpoint, by name. */
static int64_t zero_share(struct rig *r, const char *folder, const char *tensor, int64_t *total)
{
	struct model m;
	const struct named_tensor *t;
	int64_t zeros = 0;

	rig_load(r, folder, &m);
	t = tensor_file_find(&m.ckpt.tensors, tensor);
	assert_non_null(t);
	assert_int_equal(t->t.dtype, DT_S8);
	*total = shape_count(t->t.shape);
	for (int64_t i = 0; i < *total; i++)
		zeros += ((const int8_t *)t->t.data)[i] == 0;
	model_clear(&m);
	return zeros;
}

static void run__masked_weights_are_zero_integers(void **state)
{
	struct rig *r = *state;
	int64_t zeros, total = 0;
	cJSON *summary;

	cJSON_Delete(run_case(r, "pruned_static", "pruned", "{method: static}"));
	zeros = zero_share(r, "pruned_static", "fc1.weight.q", &total);
	assert_true(zeros * 10 >= total * 4);
	summary = run_case(r, "pruned_qat", "pruned", "{method: qat, epochs: 1, lr: 0.0005}");
	assert_true(rig_number(summary, "sparsity_pct") >= 55);
	cJSON_Delete(summary);
	zeros = zero_share(r, "pruned_qat", "fc1.weight.q", &total);
	assert_true(zeros * 10 >= total * 4);
}

static void run__a_mask_that_does_not_hold_is_found(void **state)
{
	struct rig *r = *state;
	struct quantize_job job = {0};
	struct stage_run run = {.name = "t", .cpu_dev = r->dev, .train_dev = r->dev};
	uint8_t mask[24 * 10];
	int64_t n;

	job.run = &run;
	rig_load(r, "cnn", &job.input);
	rig_load(r, "static_cnn", &job.output);
	RIG_OK(quantize_check_masks(&job, &n));
	assert_int_equal(n, 0);
	memset(mask, 1, sizeof(mask));
	mask[7] = 0;
	RIG_OK(params_set_mask(&job.input.params, "fc2.weight", mask));
	assert_int_equal(quantize_check_masks(&job, &n), ERR_FAIL);
	assert_non_null(strstr(err_message(), "element 7 of 'fc2.weight'"));
	model_clear(&job.input);
	model_clear(&job.output);
}

static void run__qat_at_2_bits_beats_static_at_2_bits(void **state)
{
	struct rig *r = *state;
	cJSON *ptq = run_case(r, "ptq_w2", "cnn",
	    "{method: static, weight_bits: 2, weight_observer: minmax, rounding: nearest, bias_correction: false}");
	cJSON *qat = run_case(r, "qat_w2", "cnn",
	    "{method: qat, weight_bits: 2, weight_observer: minmax, epochs: 4, batch_size: 64, lr: 0.002}");

	assert_true(rig_val(qat, "accuracy") > rig_val(ptq, "accuracy") + 0.05);
	assert_true(rig_number(qat, "epochs_run") == 4);
	cJSON_Delete(ptq);
	cJSON_Delete(qat);
}

/* Without a scale for their gradients steps grew a thousandfold or shrank to nothing under SGD. */
static void run__sgd_moves_steps_by_a_share_of_themselves(void **state)
{
	static const char *const optimizers[] = {
	    "optimizer: sgd, lr: 0.02", "optimizer: sgd, lr: 0.02, momentum: 0, clip_norm: 0", "lr: 0.002"};
	struct rig *r = *state;

	for (int i = 0; i < 3; i++) {
		char options[160], name[32];
		cJSON *held, *learned, *steps[2], *info[2], *was;

		for (int learn = 0; learn < 2; learn++) {
			snprintf(options, sizeof(options),
			    "{method: qat, epochs: 3, batch_size: 64, step_lr_factor: %d, %s}", learn, optimizers[i]);
			snprintf(name, sizeof(name), "steps%d%d", i, learn);
			*(learn ? &learned : &held) = run_case(r, name, "cnn", options);
			info[learn] = read_info(r, name);
			steps[learn] = cJSON_GetObjectItem(cJSON_GetObjectItem(info[learn], "int8_report"), "values");
		}
		assert_true(rig_val(learned, "accuracy") > val_accuracy(r, "cnn") - 0.02);
		assert_true(rig_val(learned, "accuracy") > rig_val(held, "accuracy") - 0.02);
		was = steps[0]->child;
		for (const cJSON *v = steps[1]->child; v; v = v->next, was = was->next) {
			assert_true(rig_number(v, "step_min") > 0.7 * rig_number(was, "step_min"));
			assert_true(rig_number(v, "step_max") < 1.4 * rig_number(was, "step_max"));
		}
		for (int learn = 0; learn < 2; learn++)
			cJSON_Delete(info[learn]);
		cJSON_Delete(held);
		cJSON_Delete(learned);
	}
}

#define SLOW_EPOCH 400000 /* microseconds */
static volatile sig_atomic_t stop_now;

/* A slow epoch, after which the stage is interrupted. */
static void stop_after_epoch(struct progress *p, const char *text)
{
	(void)p;
	if (strncmp(text, "epoch 1", 7) != 0)
		return;
	usleep(SLOW_EPOCH);
	stop_now = 1;
}

static void run__qat_goes_on_and_counts_the_time_of_both_starts(void **state)
{
	struct rig *r = *state;
	struct progress progress = {.line = stop_after_epoch};
	cJSON *summary, *info;
	struct rig_case c = {.name = "qat_twice",
	    .options = "{method: qat, epochs: 2, lr: 0.0005}",
	    .input = "mlp",
	    .resume = "qat.resume",
	    .progress = &progress,
	    .stop = &stop_now};

	stop_now = 0;
	assert_int_equal(rig_run(r, &stage_quantize, &c), ERR_INTERRUPTED);
	stop_now = 0;
	c.progress = NULL;
	c.summary = &summary;
	RIG_OK(rig_run(r, &stage_quantize, &c));
	info = read_info(r, "qat_twice");
	assert_true(rig_number(cJSON_GetObjectItem(info, "training"), "resumed") == 1);
	/* the second start alone takes some hundredths */
	assert_true(rig_number(info, "seconds") >= SLOW_EPOCH / 1e6);
	assert_true(rig_number(summary, "seconds") >= SLOW_EPOCH / 1e6);
	cJSON_Delete(info);
	cJSON_Delete(summary);
}

static void run__qat_learns_from_a_teacher(void **state)
{
	struct rig *r = *state;
	cJSON *summary = NULL, *info;

	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "qat_kd",
		.options = "{method: qat, epochs: 1, lr: 0.0005, alpha: 0.5}",
		.input = "mlp",
		.teacher = "cnn",
		.summary = &summary}));
	info = read_info(r, "qat_kd");
	assert_true(cJSON_IsString(cJSON_GetObjectItem(info, "teacher_sha256")));
	cJSON_Delete(info);
	cJSON_Delete(summary);
	assert_int_equal(
	    rig_run(r, &stage_quantize,
		&(struct rig_case){.name = "kd_static", .options = "{}", .input = "mlp", .teacher = "cnn"}),
	    ERR_CONFIG);
	assert_non_null(strstr(err_message(), "teacher"));
}

static void run__narrow_activations_say_simulated_everywhere(void **state)
{
	struct rig *r = *state;
	cJSON *info, *report, *item;
	struct model m;

	cJSON_Delete(run_case(r, "w4a4", "cnn", "{method: static, weight_bits: 4, act_bits: 4, edge_bits: 8}"));
	info = read_info(r, "w4a4");
	report = cJSON_GetObjectItem(info, "int8_report");
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(info, "simulated")));
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(report, "executed")), "FP32 simulation");
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(report, "values_different"))); /* 0 would be a claim */
	cJSON_ArrayForEach(item, cJSON_GetObjectItem(report, "layers"))
	{
		assert_null(cJSON_GetObjectItem(item, "int8_ms"));
		assert_true(cJSON_IsNull(cJSON_GetObjectItem(item, "compared")));
	}
	rig_load(r, "w4a4", &m);
	assert_int_equal(m.ckpt.form, FORM_SIMULATED);
	assert_true(m.ckpt.plan.simulated);
	model_clear(&m);
	cJSON_Delete(info);
}

static void run__dynamic_names_what_stays_fp32(void **state)
{
	struct rig *r = *state;
	cJSON *summary = run_case(r, "dynamic", "cnn", "{method: dynamic}"), *info, *fp32;

	assert_true(rig_val(summary, "accuracy") > val_accuracy(r, "cnn") - 0.02);
	info = read_info(r, "dynamic");
	fp32 = cJSON_GetObjectItem(cJSON_GetObjectItem(info, "int8_report"), "fp32_layers");
	assert_int_equal(cJSON_GetArraySize(fp32), 2);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(fp32, 0)), "bn1");
	cJSON_Delete(info);
	cJSON_Delete(summary);
	cJSON_Delete(run_case(r, "dynamic_tensor", "mlp", "{method: dynamic, granularity: tensor, weight_bits: 6}"));
}

static void run__half_precision_halves_the_file(void **state)
{
	struct rig *r = *state;
	cJSON *fp16 = run_case(r, "fp16", "mlp", "{method: fp16}"),
	      *bf16 = run_case(r, "bf16", "mlp", "{method: bf16}");
	uint64_t bytes;

	RIG_OK(fs_size(rig_path(r, "mlp/model.safetensors"), &bytes));
	assert_true(rig_number(fp16, "bytes") < 0.65 * (double)bytes);
	assert_true(rig_number(bf16, "bytes") < 0.65 * (double)bytes);
	assert_true(rig_val(fp16, "accuracy") > val_accuracy(r, "mlp") - 0.01);
	assert_true(rig_val(bf16, "accuracy") > val_accuracy(r, "mlp") - 0.02);
	cJSON_Delete(fp16);
	cJSON_Delete(bf16);
}

static void run__int8_is_nearly_four_times_smaller(void **state)
{
	struct rig *r = *state;
	uint64_t fp32, int8;

	RIG_OK(fs_size(rig_path(r, "cnn/model.safetensors"), &fp32));
	RIG_OK(fs_size(rig_path(r, "static_cnn/model.safetensors"), &int8));
	assert_true((double)fp32 > 1.7 * (double)int8); /* the header weighs much in so small a file */
}

static void run__the_same_options_give_the_same_bytes(void **state)
{
	struct rig *r = *state;
	char first[HASH_HEX], second[HASH_HEX];
	const char *options = "{method: qat, epochs: 1, lr: 0.001, weight_bits: 4}";

	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "same", .folder = "same_1", .options = options, .input = "resnet"}));
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "same", .folder = "same_2", .options = options, .input = "resnet"}));
	RIG_OK(hash_file(rig_path(r, "same_1/model.safetensors"), first));
	RIG_OK(hash_file(rig_path(r, "same_2/model.safetensors"), second));
	assert_string_equal(first, second);
}

static void run__bad_inputs_are_refused_with_their_reason(void **state)
{
	struct rig *r = *state;
	static const struct {
		const char *input, *options, *part;
		int code;
	} cases[] = {
	    {"static_cnn", "{}", "quantized already", ERR_CONFIG},
	    {"cnn", "{exclude: [fc9]}", "did you mean", ERR_CONFIG},
	    {"cnn", "{exclude: ['*']}", "nothing is left", ERR_CONFIG},
	    {"cnn", "{alpha: 0.3, method: qat}", "no effect without 'teacher'", ERR_CONFIG},
	    {"nowhere", "{}", "nowhere", ERR_CHECKPOINT},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = rig_run(r, &stage_quantize,
		    &(struct rig_case){.name = "bad", .options = cases[i].options, .input = cases[i].input});

		if (rc != cases[i].code || !strstr(err_message(), cases[i].part))
			fail_msg("%s of %s: %d %s", cases[i].options, cases[i].input, rc, err_message());
		assert_false(fs_exists(rig_path(r, "bad/checkpoint_info.json")));
	}
}

static void plan__says_what_stays_fp32_and_what_is_simulated(void **state)
{
	struct rig *r = *state;
	struct quantize_options o = {0};
	struct stage_run run = {.name = "q",
	    .options = &o,
	    .data = &r->data,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .input_dir = "x",
	    .adapter = &r->adapter,
	    .task = &r->task};
	struct stage_plan p = {0};

	RIG_OK(rig_options(quantize_option_table, &o, "{act_bits: 4, exclude: [conv1]}"));
	RIG_OK(stage_quantize.plan(&run, &cnn_spec, &p));
	assert_non_null(strstr(p.text, "simulated"));
	assert_non_null(strstr(p.text, "stays FP32: bn1"));
	assert_true(p.parameters > 1000 && p.memory.total > 0 && p.macs > 0);
	spec_clear(&p.spec);
	option_clear(quantize_option_table, &o);
	p = (struct stage_plan){0};
	RIG_OK(rig_options(quantize_option_table, &o, "{method: qat, epochs: 2}"));
	RIG_OK(stage_quantize.plan(&run, &cnn_spec, &p));
	assert_non_null(strstr(p.text, "trained for 2 epochs"));
	assert_true(p.memory.gradients > 0);
	spec_clear(&p.spec);
	option_clear(quantize_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(check__options_that_a_method_ignores_are_errors),
	    cmocka_unit_test(check__the_test_split_never_calibrates),
	    cmocka_unit_test(run__static_keeps_the_accuracy_and_executes_what_was_simulated),
	    cmocka_unit_test(run__bits_per_layer_are_saved_and_execute_what_was_simulated),
	    cmocka_unit_test(run__report_has_every_layer_and_every_observer),
	    cmocka_unit_test(run__saturated_counts_what_was_clipped),
	    cmocka_unit_test(run__auto_takes_the_best_observer_on_validation),
	    cmocka_unit_test(run__masked_weights_are_zero_integers),
	    cmocka_unit_test(run__a_mask_that_does_not_hold_is_found),
	    cmocka_unit_test(run__qat_at_2_bits_beats_static_at_2_bits),
	    cmocka_unit_test(run__sgd_moves_steps_by_a_share_of_themselves),
	    cmocka_unit_test(run__qat_goes_on_and_counts_the_time_of_both_starts),
	    cmocka_unit_test(run__qat_learns_from_a_teacher),
	    cmocka_unit_test(run__narrow_activations_say_simulated_everywhere),
	    cmocka_unit_test(run__dynamic_names_what_stays_fp32),
	    cmocka_unit_test(run__half_precision_halves_the_file),
	    cmocka_unit_test(run__int8_is_nearly_four_times_smaller),
	    cmocka_unit_test(run__the_same_options_give_the_same_bytes),
	    cmocka_unit_test(run__bad_inputs_are_refused_with_their_reason),
	    cmocka_unit_test(plan__says_what_stays_fp32_and_what_is_simulated),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
