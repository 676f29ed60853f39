/* What plan says of the noise of a data set: the smallest difference of two models that its validation and its test
 * split can show (task/power.h). */
#ifndef PIPELINE_SMALLEST_DIFFERENCE_H
#define PIPELINE_SMALLEST_DIFFERENCE_H

#include "base/json_out.h"
#include "data/dataset.h"
#include "task/task.h"

struct difference_rule {
	double false_positives; /* of the test, two-sided */
	double power;           /* the chance to see a difference that is there */
};

/* A few lines on standard output. */
void smallest_difference_print(const struct dataset *d, const struct task *t, const struct difference_rule *r);
/* Adds the object `smallest_difference`. */
void smallest_difference_json(struct json_out root, const struct dataset *d, const struct difference_rule *r);

#endif
