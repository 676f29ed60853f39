/* Models of a study side by side: a row for each model of each group, with its spread over seeds and folds, and a test
 * against a baseline.
 *
 * The test of a row is over the pairs of runs that it and the baseline have (the same seed and fold, or the same run).
 * A difference must be seen above both kinds of noise: over test samples (task/paired.h; McNemar's exact test of one
 * run) and, with two pairs or more, over runs (paired t). p is the larger of the two; Holm's correction is over all
 * tests: rows of one checkpoint that several chains share are one. */
#ifndef STUDY_COMPARE_H
#define STUDY_COMPARE_H

#include "base/hash.h"
#include "study/groups.h"
#include "task/paired.h"
#include "task/statistics.h"

#define COMPARE_LEVEL 0.05

enum compare_verdict {
	COMPARE_NONE, /* there is nothing to compare */
	COMPARE_BASELINE,
	COMPARE_TIE,
	COMPARE_BETTER,
	COMPARE_WORSE,
	COMPARE_UNTESTED, /* a difference that no test can judge */
	COMPARE_VERDICTS
};
extern const char *const compare_verdict_names[COMPARE_VERDICTS];

struct compare_row {
	const struct study_group *group;
	const char *model, *technique, *precision,
	    *metric;                 /* borrowed from the study; model NULL: the group has no results */
	const struct metric_row *of; /* the metric's row; NULL: the loss */
	const cJSON **figures;       /* owned: (n) the model's entry of each run that has it */
	int *run;                    /* owned: (n) */
	int n;
	double *value; /* owned: (n) */
	struct spread spread;
	double low, high;         /* 95 % interval: over runs, or of one run's samples; NaN: none */
	bool of_samples;          /* the interval is of one run's samples */
	double bytes, latency_ms; /* means over the runs */
	char acceptance[16];      /* the verdict of its acceptance rule; "": none */
	int count[STUDY_STATES];  /* runs of its group by state */
	int baseline;             /* its row; -1: none */
	int pairs;
	int other_samples; /* pairs whose test samples are not the same: their difference is of the data as well */
	double difference; /* mean over the pairs */
	bool has_flips;    /* decisions were kept of all pairs, on the same test samples */
	struct paired_result paired;
	double p_runs, p, p_holm; /* NaN: no such test */
	const char *no_p;         /* why there is no p, in words; NULL: there is, or nothing to compare */
	char test[HASH_HEX];      /* tests of the same models against the same ones are the same; "": not known */
	enum compare_verdict verdict;
};
struct compare {
	struct study *study;
	struct study_groups groups;
	struct compare_row *row;
	int n;
	bool has_baseline, has_acceptance;
};

/* metric NULL: each model's primary one. baseline NULL: none; else a model ("teacher": of the same group), a group or a
 * run's folder (the model of the same name there), or GROUP/MODEL. ERR_CONFIG: a baseline or a metric that is not
 * there, with those that are. */
int compare_make(struct compare *c, struct study *s, const char *metric, const char *baseline);
/* ERR_CHECKPOINT: no run has results, and not only because they are still to be made: some are damaged. */
int compare_check_results(const struct compare *c);
/* Of the row's metric; of the loss less is better. */
bool compare_higher_better(const struct compare_row *r);
void compare_clear(struct compare *c);

#endif
