/* Several labels per sample through the stages: texts, thresholds searched on validation, distillation, integers. */
#include "stages/texts.h"

#include <math.h>

static struct model_spec spec_for(const struct rig *r)
{
	static struct bag_spec own;
	static int width[] = {16, 8};
	return (struct model_spec){.family = &family_bag,
	    .input = r->adapter.spec,
	    .classes = r->data.classes,
	    .n_width = 2,
	    .width = width,
	    .own = &own};
}

static void use_task(struct rig *r, const char *text)
{
	struct task_options o = {0};
	task_clear(&r->task);
	RIG_OK(rig_options(task_option_table, &o, text));
	RIG_OK(task_make(&r->task, &o, &r->data, NULL));
	option_clear(task_option_table, &o);
}

static int set_up(void **state)
{
	static struct rig r;
	texts_open(&r, true);
	*state = &r;
	use_task(&r, "{search_thresholds: true, threshold_low: 0.2, threshold_high: 0.8, balance: classes}");
	struct model_spec spec = spec_for(&r);
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "float", .options = "{epochs: 16, batch_size: 32, lr: 0.01}", .spec = &spec}));
	use_task(&r, "{}");
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static void load(struct rig *r, const char *folder, struct checkpoint *c)
{
	RIG_OK(checkpoint_load(c, rig_path(r, folder)));
}

static const cJSON *validation(const struct checkpoint *c)
{
	return cJSON_GetObjectItem(cJSON_GetObjectItem(c->info, "metrics"), "validation");
}

/* The thresholds that were found, and figures that were counted with them. */
static void labels__thresholds_are_found_on_validation_and_saved(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	struct model m;
	struct metrics with = {0}, without = {0};
	const struct stage_run run = {.data = &r->data, .task = &r->task, .train_dev = r->dev};
	load(r, "float", &c);
	assert_non_null(c.task.threshold);
	bool moved = false;
	for (int k = 0; k < 3; k++) {
		assert_true(c.task.threshold[k] >= 0.2 && c.task.threshold[k] <= 0.8);
		moved = moved || fabs(c.task.threshold[k] - 0.5) > 0.005;
	}
	assert_true(moved);
	const cJSON *figures = validation(&c);
	RIG_OK(model_load(&m, rig_path(r, "float"), r->dev));
	RIG_OK(stage_measure(&run, &m, model_build, &m, SPLIT_VAL, &with));
	assert_true(fabs(task_metric_value(&with, m.ckpt.task.primary) - rig_number(figures, "f1_macro")) < 1e-12);
	mem_free(m.ckpt.task.threshold);
	m.ckpt.task.threshold = NULL;
	RIG_OK(stage_measure(&run, &m, model_build, &m, SPLIT_VAL, &without));
	assert_true(metrics_primary(&with) > metrics_primary(&without));
	const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(figures, "per_class"), 0);
	assert_true(rig_number(first, "threshold") == c.task.threshold[0]);
	metrics_clear(&with);
	metrics_clear(&without);
	model_clear(&m);
	checkpoint_clear(&c);
}

static void labels__thresholds_stay_unless_the_run_names_others(void **state)
{
	struct rig *r = *state;
	struct checkpoint c, pruned, other;
	load(r, "float", &c);
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "kept", .options = "{sparsity: 0.3, epochs: 1}", .input = "float"}));
	load(r, "kept", &pruned);
	for (int k = 0; k < 3; k++)
		assert_true(pruned.task.threshold[k] == c.task.threshold[k]);
	use_task(r, "{threshold: [0.41, 0.42, 0.43], metric: exact_match}");
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "named", .options = "{sparsity: 0.3, epochs: 1}", .input = "float"}));
	load(r, "named", &other);
	use_task(r, "{}");
	assert_true(other.task.threshold[0] == 0.41 && other.task.threshold[2] == 0.43);
	assert_string_equal(task_metric_name(&other.task, other.task.primary), "exact_match");
	checkpoint_clear(&c);
	checkpoint_clear(&pruned);
	checkpoint_clear(&other);
}

/* With alpha 1 the labels of the training samples play no part: with all of them turned around, the bytes are the same.
 */
static void labels__are_distilled(void **state)
{
	struct rig *r = *state;
	struct model_spec spec = spec_for(r);
	struct checkpoint c[2];
	const int64_t n = r->data.n[SPLIT_TRAIN] * 3;
	struct rig_case student = {.options = "{epochs: 20, batch_size: 32, lr: 0.02, alpha: 1, temperature: 2, "
					      "teacher_gate: 0.5, gate_metric: label_accuracy}",
	    .name = "student",
	    .teacher = "float",
	    .spec = &spec};
	for (int i = 0; i < 2; i++) {
		cJSON *s;
		student.folder = i ? "blind" : "seeing";
		student.summary = &s;
		for (int64_t k = 0; k < n; k++)
			r->data.split[SPLIT_TRAIN].label_set[k] ^= (uint8_t)i;
		RIG_OK(rig_run(r, &stage_distill, &student));
		for (int64_t k = 0; k < n; k++)
			r->data.split[SPLIT_TRAIN].label_set[k] ^= (uint8_t)i;
		assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(s, "metric")), "f1_macro");
		assert_true(rig_val(s, "label_accuracy") > 0.7);
		cJSON_Delete(s);
		load(r, student.folder, &c[i]);
	}
	assert_string_equal(c[0].sha256, c[1].sha256);
	checkpoint_clear(&c[0]);
	checkpoint_clear(&c[1]);
	assert_int_equal(rig_run(r, &stage_distill,
			     &(struct rig_case){.name = "gated",
				 .options = "{epochs: 1, teacher_gate: 0.0001, gate_metric: hamming_loss}",
				 .teacher = "float",
				 .spec = &spec}),
	    ERR_GATE);
	assert_non_null(strstr(err_message(), "above teacher_gate")); /* less is better */
	assert_int_equal(rig_run(r, &stage_distill,
			     &(struct rig_case){.name = "other",
				 .options = "{epochs: 1, teacher_gate: 0.5, gate_metric: accuracy}",
				 .teacher = "float",
				 .spec = &spec}),
	    ERR_CONFIG);
	assert_non_null(strstr(err_message(), "'accuracy' is no metric of task multi_label"));
}

static void labels__run_as_integers(void **state)
{
	static const char *const options[] = {
	    "{method: static, observer: mse}", "{method: dynamic}", "{method: qat, epochs: 1, lr: 0.001}"};
	struct rig *r = *state;
	struct checkpoint c;
	load(r, "float", &c);
	const double was = rig_number(validation(&c), "f1_macro");
	checkpoint_clear(&c);
	for (int i = 0; i < 3; i++) {
		char name[16];
		cJSON *s;
		snprintf(name, sizeof(name), "int8_%d", i);
		RIG_OK(rig_run(r, &stage_quantize,
		    &(struct rig_case){.name = name, .options = options[i], .input = "float", .summary = &s}));
		assert_true(rig_val(s, "f1_macro") > was - 0.05);
		cJSON_Delete(s);
		load(r, name, &c);
		assert_int_equal(c.form, FORM_INTEGER);
		assert_non_null(c.task.threshold);
		checkpoint_clear(&c);
	}
}

static void labels__have_no_label_smoothing(void **state)
{
	struct rig *r = *state;
	struct model_spec spec = spec_for(r);
	assert_int_equal(
	    rig_run(r, &stage_train,
		&(struct rig_case){
		    .name = "smooth", .options = "{epochs: 1, batch_size: 32, label_smoothing: 0.1}", .spec = &spec}),
	    ERR_CONFIG);
	assert_non_null(strstr(err_message(), "label_smoothing has no effect with task multi_label"));
}

static void labels__same_config_twice_gives_the_same_bytes(void **state)
{
	struct rig *r = *state;
	struct model_spec spec = spec_for(r);
	struct rig_case c = {.name = "same",
	    .folder = "same1",
	    .options = "{epochs: 2, batch_size: 32, accumulate: 2, lr: 0.01}",
	    .teacher = "float",
	    .spec = &spec};
	struct checkpoint a, b;
	RIG_OK(rig_run(r, &stage_distill, &c));
	c.folder = "same2";
	RIG_OK(rig_run(r, &stage_distill, &c));
	load(r, "same1", &a);
	load(r, "same2", &b);
	assert_string_equal(a.sha256, b.sha256);
	checkpoint_clear(&a);
	checkpoint_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(labels__thresholds_are_found_on_validation_and_saved),
	    cmocka_unit_test(labels__thresholds_stay_unless_the_run_names_others),
	    cmocka_unit_test(labels__are_distilled),
	    cmocka_unit_test(labels__run_as_integers),
	    cmocka_unit_test(labels__have_no_label_smoothing),
	    cmocka_unit_test(labels__same_config_twice_gives_the_same_bytes),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
