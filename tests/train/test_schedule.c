/* Learning rates against their formulas, and the options that every training stage shares. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "train/schedule.h"
#include "train/trainer.h"

static void near(double a, double b)
{
	if (fabs(a - b) > 1e-9)
		fail_msg("%.12g is not %.12g", a, b);
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
	near(schedule_rate(SCHEDULE_CONSTANT, 2, 0.05, 0, 30), 1); /* a step and a half are two */
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
	assert_string_equal(task_metric_choices[defaults.train.monitor], "primary");
	assert_int_equal(train_options_check(&defaults.train, NULL), 0);
	assert_int_equal(yaml_parse("t", text, strlen(text), &y), 0);
	assert_int_equal(option_parse(table, &w, &y, y.root, NULL), 0);
	assert_int_equal(w.other, 17);
	assert_int_equal(w.train.epochs, 3);
	assert_int_equal(w.train.optimizer, OPTIMIZER_SGD);
	assert_int_equal(w.train.schedule, SCHEDULE_LINEAR);
	assert_string_equal(task_metric_choices[w.train.monitor], "loss");
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
	assert_int_equal(train_options_check(&o, &key), 0);
	assert_null(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(schedule__rises_linearly_and_falls_as_named),
	    cmocka_unit_test(train_options__rows_fit_inside_another_table),
	    cmocka_unit_test(train_options__contradictions_name_the_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
