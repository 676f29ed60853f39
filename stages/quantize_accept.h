/* Private to stages/quantize*.c: several ways to integers, tried from the cheapest on until one passes the ship rule.
 */
#ifndef STAGES_QUANTIZE_ACCEPT_H
#define STAGES_QUANTIZE_ACCEPT_H

#include "stages/accept.h"
#include "stages/quantize.h"
#include "stages/sensitivity.h"

enum quantize_attempt {
	ATTEMPT_DYNAMIC,
	ATTEMPT_STATIC,
	ATTEMPT_MIXED, /* static, but the layers that lose most stay FP32: 1, 2, 4, ... of them */
	ATTEMPT_BITS,  /* static, with bits per layer that a budget allows */
	ATTEMPT_QAT,
	ATTEMPTS
};
extern const char *const quantize_attempt_names[];
bool quantize_attempts(const struct quantize_options *o, enum quantize_attempt a);
/* What `bits` may cost: bytes of weights at their bits, or milliseconds; 0: neither is asked for. */
double quantize_budget_ms(const struct quantize_options *o);
/* The options with the method of the costliest attempt in the place of `auto`: for a plan. */
struct quantize_options quantize_costliest(const struct quantize_options *o);
/* Appends what `auto` tries, before what is to be said of the last of them. */
void quantize_describe_attempts(const struct quantize_options *o, struct str *out);

/* The run of a stage that has a ship rule. started: clock_now() when it began. */
int quantize_accepted(struct stage_run *run, double started);

/* Fills the table of the layers that the options quantize, each alone at these bits of its weights, and where `usual`
 * is asked for also at those that the options give it, in a row of that name; the metric is the table's. input: a float
 * model on the CPU. */
int quantize_scan(const struct quantize_options *o, struct stage_run *run, const struct model *input,
    const int64_t *bits, int n, bool usual, struct sensitivity *out);

/* One of n_choice choices for each of n layers, with the least sum of costs whose sum of sizes is at most `budget`; of
 * equal costs the smaller one. cost, size: (n, n_choice), not negative; pick: (n). Dynamic programming over the layers:
 * after each, the sums of which none is beaten in both. Where these are more than 4,096, that many intervals of the
 * sizes have their cheapest each, so that the result is always within the budget. ERR_FAIL: the smallest sizes are
 * more than the budget; *least: their sum. */
int quantize_choose_bits(
    const double *cost, const double *size, int n, int n_choice, double budget, int *pick, double *least);

#endif
