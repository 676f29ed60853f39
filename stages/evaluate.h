/* Private to stages/evaluate*.c: the models that one evaluate stage compares, and their figures on the test split. */
#ifndef STAGES_EVALUATE_H
#define STAGES_EVALUATE_H

#include "stages/latency.h"

struct evaluate_options {
	bool latency;
	struct latency_options timing;
	double max_drop; /* points of the primary metric */
	double min_metric;
};

/* Two models on the same samples (McNemar 1947): only the samples on which one is right and the other wrong count. */
struct flips {
	int64_t right_to_wrong, wrong_to_right;
	double p;                     /* exact two-sided binomial test of equal error rates */
	double difference, low, high; /* of the shares of right decisions, with its 95 % interval */
};
/* reference, model: (n) whether each decision is right as a whole. */
void flips_count(struct flips *f, const uint8_t *reference, const uint8_t *model, int64_t n);
/* 95 % interval of a share of hits in n (Wilson 1927). */
void wilson_interval(int64_t hits, int64_t n, double *low, double *high);

/* The metric that judges, of one model on the test split. */
struct judged {
	const struct metric_row *row;
	double value;
	int64_t right, n;
};
/* By how many points (hundredths) `model` is worse than `first`; negative: it is better. */
double judged_loss(const struct judged *first, const struct judged *model);
/* Whether a loss is at most `points`; a loss of exactly that much is. A share of samples is compared by counts of
 * samples, other figures with a tolerance of METRIC_ROUNDING. An undefined figure is not within anything. */
bool judged_within(const struct judged *first, const struct judged *model, double points);

struct evaluated {
	const char *name; /* borrowed: the stage's name, or the checkpoint's path */
	struct model model;
	char technique[64], precision[32];
	struct metrics test;
	uint8_t *right;          /* (test samples) whether each decision is right as a whole */
	struct encoding samples; /* of the test split; texts only, where latency is measured */
	double tokenize_us;      /* microseconds per text; texts only */
	struct flips flips;      /* against the first model */
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
struct judged evaluated_judged(const struct evaluated *m);
/* evaluation.json, benchmark_results.json and .csv, latency_raw.json in the stage's folder, and run->summary. */
int evaluate_write(const struct evaluation *e, double started);

#endif
