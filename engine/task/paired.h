/* Two models on the samples of one test split, compared by their decisions alone, over one run or several (seeds,
 * folds). What is random is which samples the test split happens to hold: runs that share a split share its samples in
 * every resample. */
#ifndef ENGINE_TASK_PAIRED_H
#define ENGINE_TASK_PAIRED_H

#include <stdbool.h>
#include <stdint.h>

#include "task/metrics.h"

/* Decisions are rows of `width` bytes: the class (1 byte, or 4 as int32_t), or a byte of 0 or 1 for each label. */
struct decisions {
	int64_t n;
	int classes, width;
	bool several;         /* labels; else one class */
	const uint8_t *truth; /* (n, width) */
};
/* The class of sample i, of decisions that are not of labels. */
int decisions_class(const struct decisions *d, const uint8_t *rows, int64_t i);

/* One run: the decisions of both models on it. */
struct paired_run {
	struct decisions of;
	const char *split;                /* the same text: the same samples in the same order */
	const uint8_t *reference, *model; /* (n, width) */
};
/* Whether a figure follows from decisions and truth alone, so that it can be resampled. */
bool paired_knows(const struct metric_row *row);
/* A figure of one model; NaN unless paired_knows. ERR_NOMEM. */
int paired_value(const struct decisions *d, const uint8_t *rows, const struct metric_row *row, double *out);

struct paired_result {
	double difference;                      /* of the figure, model less reference, mean over the runs */
	double error;                           /* its standard error over test samples */
	double p;                               /* that it is zero, two-sided */
	int64_t right_to_wrong, wrong_to_right; /* summed over the runs */
	bool exact;     /* p is McNemar's exact test: one run, and the figure is a share of samples */
	int replicates; /* of the bootstrap; 0: the error has a formula */
};
/* A share of samples: McNemar's exact test of one run; of several, a normal test with the standard error of the
 * samples' mean differences. Any other figure that paired_knows: a normal test with the standard error of a paired
 * bootstrap (Efron and Tibshirani 1993, chapter 6), whose random numbers are the same at every call. ERR_NOMEM. */
#define PAIRED_REPLICATES 500
int paired_compare(const struct paired_run *run, int n, const struct metric_row *row, struct paired_result *out);

#endif
