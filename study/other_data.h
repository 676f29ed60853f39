/* Runs whose figures are of other samples than those that they are put beside. */
#ifndef STUDY_OTHER_DATA_H
#define STUDY_OTHER_DATA_H

#include "study/compare.h"

/* Two runs with the same options of data, seed and fold, of one sweep or one name, whose samples are not the same: the
 * data have changed from one to the other. */
struct data_change {
	int first, run; /* indices of runs; the first of those that are alike */
};
/* *out: the caller's to free, in the order of the runs. ERR_NOMEM. */
int other_data_changes(const struct study *s, struct data_change **out, int *n);
/* Sentences, each on a line: differences to the baseline that are of the data as well, test samples that a model has
 * learned from, and data that have changed. */
void other_data_words(const struct compare *c, struct str *out);

#endif
