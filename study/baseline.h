/* Private to study/compare*.c: which row is the baseline of each, and the test against it. */
#ifndef STUDY_BASELINE_H
#define STUDY_BASELINE_H

#include "study/compare.h"

/* Fills `baseline` of the rows. ERR_CONFIG: nothing has that name. */
int baseline_find(struct compare *c, const char *name);
/* Fills pairs, difference, flips and p of a row that has a baseline. ERR_NOMEM. */
int baseline_test(struct compare *c, int row);

#endif
