/* What the tests of tasks share: tasks with named classes, data sets without samples, options from YAML. */
#ifndef TESTS_TASK_RIG_H
#define TESTS_TASK_RIG_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/task.h"

#define assert_ok(call) assert_string_equal((call) == 0 ? "" : err_message(), "")
#define assert_error(call, code, part)                                                                                 \
	do {                                                                                                           \
		assert_int_equal(call, code);                                                                          \
		if (!strstr(err_message(), part))                                                                      \
			fail_msg("'%s' is not in '%s'", part, err_message());                                          \
	} while (0)

static inline void near(double a, double b)
{
	if (!(fabs(a - b) <= 1e-9))
		fail_msg("%.17g is not %.17g", a, b);
}

static char *class_names[] = {"red", "green", "blue", "grey"};

static inline struct task new_task(enum target_kind target, int classes)
{
	struct task t;
	assert_ok(task_default(&t, target, class_names, classes));
	return t;
}

static inline void parse_options(struct task_options *o, const char *text)
{
	struct yaml y;
	*o = (struct task_options){0};
	assert_ok(yaml_parse("t", text, strlen(text), &y));
	assert_ok(option_parse(task_option_table, o, &y, y.root, NULL));
	yaml_clear(&y);
}

/* A figure by its name. */
static inline double figure(const struct metrics *m, const char *name)
{
	int row = task_metric_find(m->task, name);
	if (row < 0)
		fail_msg("%s", err_message());
	return task_metric_value(m, row);
}

#endif
