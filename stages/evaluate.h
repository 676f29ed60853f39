/* Private to stages/evaluate*.c: the models that one evaluate stage compares, and their figures on the test split. */
#ifndef STAGES_EVALUATE_H
#define STAGES_EVALUATE_H

#include "stages/latency.h"

struct evaluate_options {
	bool latency;
	struct latency_options timing;
	double max_accuracy_drop, min_accuracy;
};

/* Two models on the same samples (McNemar 1947): only the samples on which one is right and the other wrong count. */
struct flips {
	int64_t right_to_wrong, wrong_to_right;
	double p;                     /* exact two-sided binomial test of equal error rates */
	double difference, low, high; /* of the accuracies, with its 95 % interval; shares, not points */
};
void flips_count(struct flips *f, const int32_t *labels, const int32_t *reference, const int32_t *model, int64_t n);
/* 95 % interval of a share of hits in n (Wilson 1927). */
void wilson_interval(int64_t hits, int64_t n, double *low, double *high);

struct evaluated {
	const char *name; /* borrowed: the stage's name, or the checkpoint's path */
	struct stage_model model;
	char technique[64], precision[32];
	struct metrics test;
	int32_t *predicted; /* (test samples) */
	struct flips flips; /* against the first model */
	struct latency latency;
	uint64_t bytes; /* of model.safetensors */
	double parameters, nonzero, sparsity_pct;
};
struct evaluation {
	const struct evaluate_options *o;
	struct stage_run *run;
	int n;
	struct evaluated *model;
};
/* evaluation.json, benchmark_results.json and .csv, latency_raw.json in the stage's folder, and run->summary. */
int evaluate_write(const struct evaluation *e, double started);

#endif
