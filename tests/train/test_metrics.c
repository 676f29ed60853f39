/* Metrics against numbers by hand and by scikit-learn; schedules against their formulas. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "train/metrics.h"
#include "train/schedule.h"
#include "train/trainer.h"

static void near(double a, double b)
{
	if (fabs(a - b) > 1e-9)
		fail_msg("%.12g is not %.12g", a, b);
}

/* One-hot logits for a prediction. */
static void add_prediction(struct metrics *m, int32_t truth, int predicted)
{
	float z[4] = {0};
	z[predicted] = 1;
	metrics_add(m, z, &truth, 1);
}

/* scikit-learn 1.9.1, accuracy_score, f1_score, precision_score, recall_score (zero_division=0) with
 * labels=[0, 1, 2, 3]; class 3 is neither true nor predicted. */
static void metrics__agree_with_scikit_learn(void **state)
{
	const int truth[] = {0, 0, 0, 1, 1, 2, 2, 2, 2, 2}, predicted[] = {0, 1, 0, 1, 2, 2, 2, 0, 2, 1};
	const double f1[] = {0.6666666666666666, 0.4, 0.6666666666666666, 0};
	struct metrics m;
	(void)state;
	assert_int_equal(metrics_init(&m, 4), 0);
	for (int i = 0; i < 10; i++)
		add_prediction(&m, truth[i], predicted[i]);
	metrics_finish(&m);
	near(m.accuracy, 0.6);
	near(m.f1_macro, 0.43333333333333335);
	near(m.f1_micro, 0.6);
	near(m.f1_weighted, 0.6133333333333333);
	for (int c = 0; c < 4; c++)
		near(m.f1[c], f1[c]);
	near(m.precision[2], 0.75);
	near(m.recall[2], 0.6);
	assert_int_equal(m.confusion[0 * 4 + 1], 1);
	assert_int_equal(m.confusion[2 * 4 + 0], 1);
	assert_int_equal(m.confusion[2 * 4 + 2], 3);
	metrics_reset(&m);
	metrics_finish(&m);
	near(m.accuracy, 0);
	near(m.loss, 0);
	metrics_clear(&m);
	metrics_clear(&m);
}

static void metrics__loss_is_the_mean_cross_entropy(void **state)
{
	const float z[] = {0, 0, 1000, -1000, 2, 0}; /* no overflow where a naive exp would */
	const int32_t labels[] = {1, 0, 1};
	struct metrics m;
	(void)state;
	assert_int_equal(metrics_init(&m, 2), 0);
	metrics_add(&m, z, labels, 3);
	metrics_finish(&m);
	near(m.loss, (log(2) + 0 + log(1 + exp(2))) / 3);
	near(m.accuracy, 1.0 / 3); /* the first of equal logits is the prediction */
	metrics_clear(&m);
}

static void metrics__json_has_every_figure(void **state)
{
	struct metrics m;
	cJSON *json, *row;
	(void)state;
	assert_int_equal(metrics_init(&m, 4), 0);
	add_prediction(&m, 0, 0);
	add_prediction(&m, 3, 1);
	metrics_finish(&m);
	json = metrics_to_json(&m);
	assert_non_null(json);
	const char *keys[] = {
	    "accuracy", "f1_macro", "f1_micro", "f1_weighted", "precision_macro", "recall_macro", "loss", "samples"};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_true(cJSON_IsNumber(cJSON_GetObjectItem(json, keys[i])));
	near(cJSON_GetObjectItem(json, "accuracy")->valuedouble, 0.5);
	near(cJSON_GetObjectItem(json, "recall_macro")->valuedouble, 0.25);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "per_class")), 4);
	row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "confusion"), 3);
	assert_int_equal(cJSON_GetArrayItem(row, 1)->valueint, 1);
	row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "per_class"), 3);
	assert_int_equal(cJSON_GetObjectItem(row, "support")->valueint, 1);
	cJSON_Delete(json);
	metrics_clear(&m);
}

static void metrics__init_survives_each_failing_allocation(void **state)
{
	struct metrics m;
	(void)state;
	for (uint64_t i = 1; i <= 4; i++) {
		mem_fail_at(i);
		assert_int_equal(metrics_init(&m, 3), ERR_NOMEM);
		mem_fail_at(0);
		metrics_clear(&m);
	}
}

static void schedule__rises_linearly_and_falls_as_named(void **state)
{
	(void)state;
	near(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 0, 100), 0.2);
	near(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 9, 100), 2);
	near(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 10, 100), 2);
	near(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 55, 100), 1);
	near(schedule_rate(SCHEDULE_COSINE, 2, 0.1, 25, 100), 1 + cos(3.14159265358979323846 / 6));
	near(schedule_rate(SCHEDULE_LINEAR, 2, 0, 0, 4), 2);
	near(schedule_rate(SCHEDULE_LINEAR, 2, 0, 3, 4), 0.5);
	near(schedule_rate(SCHEDULE_CONSTANT, 2, 0, 3, 4), 2);
	for (int64_t s = 0; s < 7; s++) { /* one step is not nothing; warm-up of nearly all steps */
		assert_true(schedule_rate(SCHEDULE_COSINE, 1, 0.999, s, 7) > 0);
		assert_true(schedule_rate(SCHEDULE_LINEAR, 1, 0.05, s, 7) > 0);
	}
	near(schedule_rate(SCHEDULE_COSINE, 1, 0.05, 0, 1), 1);
}

struct wrapped {
	int other;
	struct train_options train;
};

static void train_options__rows_fit_inside_another_table(void **state)
{
	const struct option table[] = {TRAIN_OPTION_ROWS(struct wrapped, train, NULL, 0), OPTION_END};
	const char text[] = "{epochs: 3, lr: 0.5, optimizer: sgd, nesterov: true, schedule: linear, monitor: loss}";
	struct wrapped w = {.other = 17}, defaults = {0};
	struct yaml y;
	(void)state;
	assert_int_equal(option_parse(table, &defaults, NULL, NULL, NULL), 0);
	assert_true(defaults.train.lr == 0.001 && defaults.train.beta2 == 0.999 && defaults.train.eps == 1e-8);
	assert_int_equal(defaults.train.optimizer, OPTIMIZER_ADAMW);
	assert_int_equal(defaults.train.schedule, SCHEDULE_COSINE);
	assert_int_equal(defaults.train.monitor, MONITOR_ACCURACY);
	assert_int_equal(train_options_check(&defaults.train, NULL), 0);
	assert_int_equal(yaml_parse("t", text, strlen(text), &y), 0);
	assert_int_equal(option_parse(table, &w, &y, y.root, NULL), 0);
	assert_int_equal(w.other, 17);
	assert_int_equal(w.train.epochs, 3);
	assert_int_equal(w.train.optimizer, OPTIMIZER_SGD);
	assert_int_equal(w.train.schedule, SCHEDULE_LINEAR);
	assert_int_equal(w.train.monitor, MONITOR_LOSS);
	assert_true(w.train.nesterov);
	yaml_clear(&y);
}

static void train_options__contradictions_name_the_key(void **state)
{
	struct train_options o = {.epochs = 1, .batch_size = 10, .accumulate = 3, .optimizer = OPTIMIZER_SGD};
	const char *key = NULL;
	(void)state;
	assert_int_equal(train_options_check(&o, &key), ERR_CONFIG);
	assert_string_equal(key, "accumulate");
	o.accumulate = 5;
	o.nesterov = true;
	assert_int_equal(train_options_check(&o, &key), ERR_CONFIG);
	assert_string_equal(key, "nesterov");
	o.nesterov = false;
	assert_int_equal(train_options_check(&o, &key), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(metrics__agree_with_scikit_learn),
	    cmocka_unit_test(metrics__loss_is_the_mean_cross_entropy),
	    cmocka_unit_test(metrics__json_has_every_figure),
	    cmocka_unit_test(metrics__init_survives_each_failing_allocation),
	    cmocka_unit_test(schedule__rises_linearly_and_falls_as_named),
	    cmocka_unit_test(train_options__rows_fit_inside_another_table),
	    cmocka_unit_test(train_options__contradictions_name_the_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
