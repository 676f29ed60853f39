/* Private to stages/evaluate*.c: the models that one evaluate stage compares, and their figures on the test split. */
#ifndef STAGES_EVALUATE_H
#define STAGES_EVALUATE_H

#include "stages/latency.h"
#include "task/statistics.h"

struct evaluate_options {
	bool latency;
	struct latency_options timing;
	double max_drop; /* points of the primary metric */
	double min_metric;
};

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
	uint8_t *decided;        /* (test samples, task_decided_width) */
	struct encoding samples; /* of the test split; texts only, where latency is measured */
	double tokenize_us;      /* microseconds per text; texts only */
	struct flips flips;      /* against the first model */
	struct latency latency;
	uint64_t bytes; /* of model.safetensors */
	double parameters, nonzero, sparsity_pct;
	int64_t seen[SPLIT_COUNT]; /* test samples that it was trained on, or chosen by; -1: not known */
};
struct evaluation {
	const struct evaluate_options *o;
	struct stage_run *run;
	int n;
	struct evaluated *model;
};
struct judged evaluated_judged(const struct evaluated *m);
/* decisions.safetensors in the stage's folder: "truth" and "decided.MODEL" for each model, (n) U8 or I32 classes, or
 * (n, labels) U8. */
int evaluate_write_decisions(const struct evaluation *e);
/* evaluation.json, benchmark_results.json and .csv, latency_raw.json in the stage's folder, and run->summary. */
int evaluate_write(const struct evaluation *e, double started);

#endif
