/* quantize by training: what learns (all of it, or the steps alone), from whom (labels, a teacher, the model itself),
 * and that the integers are the simulation whatever it was. */
#include "stages/small_models.h"
#include "stages/texts.h"

#include "stages/quantize.h"

static struct rig images, texts;
static void use_task(struct rig *r, const char *text)
{
	struct task_options o = {0};
	const char *key;
	task_clear(&r->task);
	RIG_OK(rig_options(task_option_table, &o, text));
	RIG_OK(task_make(&r->task, &o, &r->data, &key));
	option_clear(task_option_table, &o);
}

static void train(struct rig *r, const struct model_spec *spec, const char *name, const char *options)
{
	RIG_OK(rig_run(r, &stage_train, &(struct rig_case){.name = name, .options = options, .spec = spec}));
}

static int set_up(void **state)
{
	(void)state;
	rig_open(&images, "source: digits");
	texts_open(&texts, false);
	const struct model_spec bag = small_bag(&texts), encoder = small_encoder(&texts);
	train(&images, &small_mlp, "mlp", "{epochs: 5, batch_size: 64, lr: 0.01}");
	train(&images, &small_cnn, "cnn", "{epochs: 3, batch_size: 64, lr: 0.005}");
	train(&texts, &bag, "bag", "{epochs: 4, batch_size: 32, lr: 0.01}");
	train(&texts, &encoder, "encoder", "{epochs: 3, batch_size: 16, lr: 0.003}");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&images);
	rig_close(&texts);
	return 0;
}

static cJSON *quantize(struct rig *r, const char *folder, const char *input, const char *teacher, const char *options)
{
	cJSON *summary = NULL;
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "qat",
		.folder = folder,
		.options = options,
		.input = input,
		.teacher = teacher,
		.summary = &summary}));
	return summary;
}

static struct checkpoint load(struct rig *r, const char *folder)
{
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(r, folder)));
	return c;
}

/* ---- what learns ---- */

static bool same_tensor(const struct checkpoint *a, const struct checkpoint *b, const char *name)
{
	const struct named_tensor *x = tensor_file_find(&a->tensors, name), *y = tensor_file_find(&b->tensors, name);
	assert_true(x && y && tensor_bytes(&x->t) == tensor_bytes(&y->t));
	return memcmp(x->t.data, y->t.data, tensor_bytes(&x->t)) == 0;
}

/* At 4 bits the checkpoint holds what was trained as it is. */
static void steps__learn_alone(void **state)
{
	static const char bits[] = "weight_bits: 4, act_bits: 4, observer: minmax, weight_observer: minmax";
	char options[256];
	(void)state;
	snprintf(options, sizeof(options), "{method: static, rounding: nearest, bias_correction: false, %s}", bits);
	cJSON *before = quantize(&images, "calibrated", "mlp", NULL, options);
	snprintf(options, sizeof(options), "{method: qat, train_only: steps, %s, epochs: 3, lr: 0.01}", bits);
	cJSON *after = quantize(&images, "steps", "mlp", NULL, options);
	snprintf(options, sizeof(options), "{method: qat, %s, epochs: 1, lr: 0.001}", bits);
	cJSON *all = quantize(&images, "all", "mlp", NULL, options);
	struct checkpoint calibrated = load(&images, "calibrated"), steps = load(&images, "steps"),
			  whole = load(&images, "all");
	int learned = 0, stayed = 0, moved = 0;
	for (int i = 0; i < calibrated.tensors.n; i++) {
		const char *name = calibrated.tensors.item[i].name;
		bool same = same_tensor(&calibrated, &steps, name);
		if (strstr(name, ".step")) {
			learned += !same;
			continue;
		}
		assert_true(same);
		stayed++;
		moved += !same_tensor(&calibrated, &whole, name);
	}
	assert_int_equal(learned, 6); /* three layers: weight and input */
	assert_int_equal(stayed, 6);
	assert_int_equal(moved, 6);
	assert_true(rig_val(after, "loss") < 0.97 * rig_val(before, "loss"));
	checkpoint_clear(&calibrated);
	checkpoint_clear(&steps);
	checkpoint_clear(&whole);
	cJSON_Delete(before);
	cJSON_Delete(after);
	cJSON_Delete(all);
}

/* What is saved is a float model: with the masks that it came with, and integers near those of the stage that saves
 * integers at once, since its weights were trained to be rounded. */
static void float_weights__go_on_to_pruning_and_integers(void **state)
{
	static const char qat[] = "{method: qat, weight_bits: 2, epochs: 3, lr: 0.003, save: float}";
	(void)state;
	cJSON_Delete(quantize(&images, "trained", "mlp", NULL, qat));
	struct checkpoint c = load(&images, "trained");
	assert_int_equal(c.form, FORM_FLOAT);
	assert_int_equal(c.plan.n_value, 0);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(c.info, "technique")), "qat_float");
	assert_null(cJSON_GetObjectItem(c.info, "int8_report"));
	checkpoint_clear(&c);
	static const char again[] = "{method: static, weight_bits: 2, rounding: nearest, bias_correction: false}";
	cJSON *trained = quantize(&images, "trained_2", "trained", NULL, again);
	cJSON *plain = quantize(&images, "plain_2", "mlp", NULL, again);
	if (!(rig_val(trained, "loss") < 0.8 * rig_val(plain, "loss")))
		fail_msg("loss %g, without training %g", rig_val(trained, "loss"), rig_val(plain, "loss"));
	cJSON_Delete(trained);
	cJSON_Delete(plain);
	RIG_OK(rig_run(&images, &stage_prune,
	    &(struct rig_case){.name = "cut", .options = "{sparsity: 0.5, epochs: 1}", .input = "trained"}));
	cJSON_Delete(quantize(&images, "cut_trained", "cut", NULL, qat));
	struct checkpoint before = load(&images, "cut"), after = load(&images, "cut_trained");
	assert_true(same_tensor(&before, &after, "fc1.weight.mask"));
	assert_false(same_tensor(&before, &after, "fc1.weight"));
	checkpoint_clear(&before);
	checkpoint_clear(&after);
	cJSON_Delete(quantize(&images, "cut_integers", "cut_trained", NULL, "{method: static}"));
}

static void float_weights__are_refused_where_they_make_no_sense(void **state)
{
	static const char *const bad[][2] = {{"{method: static, save: float}", "save has no effect with method static"},
	    {"{method: qat, train_only: steps, save: float}", "its weights are those of the input"},
	    {"{method: qat, save: float, accept: {max_drop: 1}}", "whether integers may be shipped"}};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct quantize_options o = {0};
		const char *key;
		int rc = rig_options(quantize_option_table, &o, bad[i][0]);
		if (!rc)
			rc = quantize_options_check(&o, &key);
		if (rc != ERR_CONFIG || !strstr(err_message(), bad[i][1]))
			fail_msg("%s: %d %s", bad[i][0], rc, err_message());
		option_clear(quantize_option_table, &o);
	}
}

/* ---- from whom ---- */

/* Every sample of training and validation gets the class of another. */
static void turn_labels(struct rig *r, int by)
{
	for (int s = SPLIT_TRAIN; s <= SPLIT_VAL; s++)
		for (int64_t i = 0; i < r->data.n[s]; i++)
			r->data.split[s].label[i] = (r->data.split[s].label[i] + by) % r->data.classes;
}

/* Two runs, the second on turned labels; whether their tensors are the same. */
static bool is_blind(struct rig *r, const char *input, const char *options)
{
	char folder[2][32];
	struct checkpoint c[2];
	for (int i = 0; i < 2; i++) {
		snprintf(folder[i], sizeof(folder[i]), "%s_%d", input, i);
		fs_remove_tree(rig_path(r, folder[i]));
		turn_labels(r, i);
		cJSON_Delete(quantize(r, folder[i], input, input, options));
		turn_labels(r, i ? r->data.classes - 1 : 0);
		c[i] = load(r, folder[i]);
		const cJSON *report = cJSON_GetObjectItem(c[i].info, "int8_report");
		assert_int_equal(c[i].form, FORM_INTEGER);
		assert_true(rig_number(report, "values_compared") > 5000);
		assert_true(rig_number(report, "values_different") == 0);
		assert_true(rig_number(report, "largest_difference_real") == 0);
	}
	bool same = strcmp(c[0].sha256, c[1].sha256) == 0;
	checkpoint_clear(&c[0]);
	checkpoint_clear(&c[1]);
	return same;
}

#define ONCE    "{method: qat, epochs: 1, batch_size: 64, lr: 0.001, temperature: 2, alpha: "
#define TRAINED "{method: qat, epochs: 2, batch_size: 32, lr: 0.001, temperature: 2, alpha: "

static void labels__are_not_looked_at_with_alpha_1(void **state)
{
	(void)state;
	use_task(&images, "{class_weights: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}");
	use_task(&texts, "{class_weights: [1, 3]}");
	assert_true(is_blind(&images, "cnn", TRAINED "1}"));
	assert_true(is_blind(&images, "mlp", TRAINED "1, train_only: steps}"));
	assert_true(is_blind(&texts, "bag", TRAINED "1, train_only: steps}"));
	assert_true(is_blind(&texts, "encoder", ONCE "1}"));
	assert_true(is_blind(&texts, "encoder", TRAINED "1, train_only: steps}"));
	assert_false(is_blind(&images, "cnn", TRAINED "0.99}"));
	assert_false(is_blind(&texts, "encoder", ONCE "0.5, train_only: steps}"));
	use_task(&images, "{}");
	use_task(&texts, "{}");
}

/* The float model is what the integers shall answer like, so they come nearer to it. */
static void self__brings_the_integers_nearer_to_the_model(void **state)
{
	enum { N = 128 };
	(void)state;
	double far[2] = {0, 0};
	static const char *const options[] = {
	    "{method: static, weight_bits: 3, weight_observer: minmax, rounding: nearest, bias_correction: false}",
	    "{method: qat, weight_bits: 3, weight_observer: minmax, train_only: steps, epochs: 3, lr: 0.01, alpha: 1}"};
	float *real = rig_logits(&images, "cnn", N);
	for (int k = 0; k < 2; k++) {
		cJSON_Delete(quantize(&images, k ? "near" : "far", "cnn", k ? "cnn" : NULL, options[k]));
		float *y = rig_logits(&images, k ? "near" : "far", N);
		for (int i = 0; i < N * 10; i++)
			far[k] += (double)((y[i] - real[i]) * (y[i] - real[i]));
		mem_free(y);
	}
	mem_free(real);
	assert_true(far[1] < 0.9 * far[0]);
}

/* ---- what is refused ---- */

static void refused(const char *options, const char *why)
{
	assert_int_equal(rig_run(&images, &stage_quantize,
			     &(struct rig_case){.name = "no", .options = options, .input = "mlp", .teacher = "mlp"}),
	    ERR_CONFIG);
	if (!strstr(err_message(), why))
		fail_msg("'%s' does not say '%s'", err_message(), why);
}

static void refused__what_needs_labels_without_labels(void **state)
{
	(void)state;
	refused("{method: qat, epochs: 2, alpha: 1, patience: 1}", "patience: with alpha 1");
	refused("{method: qat, epochs: 2, alpha: 1, monitor: loss}", "monitor: with alpha 1");
	refused("{method: qat, epochs: 2, alpha: 1, observer: auto}", "observer auto chooses by labels");
}

static void refused__steps_that_learn_nothing(void **state)
{
	struct quantize_options o = {0};
	const char *key;
	(void)state;
	assert_int_equal(rig_options(quantize_option_table, &o, "{method: static, train_only: all}"), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "train_only has no effect with method static"));
	RIG_OK(rig_options(quantize_option_table, &o, "{method: qat, train_only: steps, step_lr_factor: 0}"));
	assert_int_equal(stage_quantize.check(&o, NULL, &key), ERR_CONFIG);
	assert_string_equal(key, "step_lr_factor");
	option_clear(quantize_option_table, &o);
	RIG_OK(rig_options(quantize_option_table, &o, "{method: qat, train_only: steps, weight_decay: 0.1}"));
	assert_int_equal(stage_quantize.check(&o, NULL, &key), ERR_CONFIG);
	assert_string_equal(key, "weight_decay");
	option_clear(quantize_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(steps__learn_alone),
	    cmocka_unit_test(float_weights__go_on_to_pruning_and_integers),
	    cmocka_unit_test(float_weights__are_refused_where_they_make_no_sense),
	    cmocka_unit_test(labels__are_not_looked_at_with_alpha_1),
	    cmocka_unit_test(self__brings_the_integers_nearer_to_the_model),
	    cmocka_unit_test(refused__what_needs_labels_without_labels),
	    cmocka_unit_test(refused__steps_that_learn_nothing),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
