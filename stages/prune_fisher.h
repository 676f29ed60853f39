/* Private to stages/prune*.c: structured pruning without training (Kwon et al. 2022, "A Fast Post-Training Pruning
 * Framework for Transformers"). Each unit, a head or a feed-forward unit, has a mask variable that multiplies what it
 * hands on. The gradients of the loss by these variables, sample by sample, say what a unit is worth (their squares'
 * mean is the diagonal of the Fisher information); a search finds the units that are worth most under a budget; a
 * rearrangement looks at units of one layer together; least squares find the gains of those that stay. */
#ifndef STAGES_PRUNE_FISHER_H
#define STAGES_PRUNE_FISHER_H

#include "stages/prune.h"

/* A width whose units are columns of the input of one linear layer, whatever the other widths are. */
struct prune_block {
	int width;        /* index into the spec's widths */
	int units, inner; /* a unit is `inner` columns in a row */
	int outputs;      /* of the layer that reads them, the reader */
	int reader;       /* its node in the graph of spec_build */
	/* Names of its input, weight and output, and of what its output is added to ("": nothing). */
	char x[NODE_NAME], w[NODE_NAME], y[NODE_NAME], residual[NODE_NAME];
	double macs;     /* multiply-adds of one unit for one row (a token), products of attention apart */
	bool excluded;   /* left alone */
	bool attends;    /* its units are heads: each also multiplies rows of a text with one another */
	int least, step; /* units that stay at least; their number is a multiple of `step`, or all */
};
struct prune_blocks {
	struct prune_block *item; /* in the order of execution */
	int n;
};
/* Of the widths in order; what `o` excludes has least = units. ERR_CONFIG: a width whose units are not just columns of
 * one linear layer's input, or a pattern that matches no width. */
int prune_blocks_find(struct prune_blocks *out, const struct prune_options *o, const struct model_spec *spec);
void prune_blocks_clear(struct prune_blocks *b);
/* Multiply-adds of one unit for a row of a text, with attention to `attended` rows. */
double prune_unit_macs(const struct prune_block *b, double attended);
/* The largest share of all multiply-adds that `least` of every block lets go. */
double prune_most_macs(const struct prune_blocks *b, double attended);
/* ERR_CONFIG: no units that may go are worth so large a share. most: prune_most_macs. */
int prune_share_check(double sparsity, double most);
/* The number of units that comes after `units`; above b->units: there is none. */
int prune_next_units(const struct prune_block *b, int units);

/* ---- the search (prune_search.c): arithmetic alone ---- */

/* How many units of each block stay (keep, n), by the paper's algorithm 1: for every number of heads (units of the
 * first block's cost) the best ones, then as many of the others, the best first, as the budget has room for. sorted[i]:
 * the scores of block i's units in descending order; cost[i]: of one of its units. Units come in steps of the block's.
 * ERR_CONFIG: the least numbers cost more than the budget. */
int prune_search_cost(
    const struct prune_block *b, int n, const double *const *sorted, const double *cost, double budget, int *keep);
/* The same where a block's cost is a table: ms[i][k] milliseconds with k units of block i. The largest sum of scores,
 * by dynamic programming over the blocks, in steps of 1/8192 of the budget. ERR_CONFIG: *least milliseconds are the
 * fewest that are possible, more than the budget. */
int prune_search_time(const struct prune_block *b, int n, const double *const *sorted, const double *const *ms,
    double budget, int *keep, double *least);
/* Which units of one block stay. gradient (units, samples). Begins with the `keep` largest sums of squares; then each
 * of these, the smallest first, is exchanged for the one that is pruned and whose return makes the square of the pruned
 * units' summed gradients smallest: the quadratic form of the block's own Fisher information, heads or units of one
 * layer with one another. rearrange false: only the first. */
int prune_choose_units(const float *gradient, int units, int64_t samples, int keep, bool rearrange, bool *kept);

/* ---- gains (prune_gains.c): arithmetic alone ---- */

/* Sum of a[i] * b[i], in double over pieces of float sums. */
double prune_dot(const float *a, const float *b, int64_t n);

/* Normal equations of the gains g of a block's units: sum_t | sum_u (g_u - 1) W_u x_tu - e_t |^2, e being what the
 * layer's output lacks with all gains 1. */
struct gain_sums {
	int units, inner, columns; /* columns = units * inner */
	double *xx;                /* (columns, columns) sum of x_i x_j, upper triangle */
	double *xe;                /* (columns) sum of x_i * (W^T e)_i */
	float *xt, *back;          /* (columns, rows), (rows, columns): of the last rows */
	size_t capacity;           /* of both */
};
int gain_sums_init(struct gain_sums *s, int units, int inner);
void gain_sums_clear(struct gain_sums *s);
/* x (rows, columns), e (rows, outputs), w (outputs, columns). */
int gain_sums_add(struct gain_sums *s, const float *x, const float *e, const float *w, int64_t rows, int outputs);
/* gain (units): the solution, with a penalty of (g - 1)^2 per unit as the paper's solver has it (LSMR with damping 1).
 */
int gain_solve(const struct gain_sums *s, const float *w, int outputs, double *gain);

/* ---- the whole (prune_fisher.c, prune_tune.c) ---- */

/* What pruning has found out, for the report. */
struct fisher_report {
	int64_t samples;
	double macs, macs_left;                                 /* of the blocks, a text of the samples' mean */
	double target_ms, before_ms, predicted_ms, measured_ms; /* where time is the budget */
	int tuned;                                              /* blocks whose gains were solved for */
	double least_gain, most_gain;                           /* of those */
};

struct fisher_job {
	const struct prune_options *o;
	struct stage_run *run;
	struct model *model; /* on the training device */
	struct prune_blocks blocks;
	struct encoding samples; /* the training split */
	uint32_t *index;         /* (n) those of it that are looked at */
	int64_t n;
	int batch;        /* samples of a batch; n is a multiple */
	double mean_rows; /* of a sample */
	double attended;  /* rows that a row attends to, on average */
	float **gradient; /* per block (units, n) */
	double **sorted;  /* per block: scores in descending order */
	int *keep;        /* units that stay, per block */
	struct fisher_report report;
};
/* Of a job with o, run and model: blocks, samples and room for `keep`. Close it in any case. */
int fisher_open(struct fisher_job *job);
void fisher_close(struct fisher_job *job);
/* Fills job->gradient: of sample k's loss, times the sample's weight, by the mask variable of each unit. */
int fisher_gradients(struct fisher_job *job);
/* The first row of a sample of a batch, of the last one + 1 the number of rows that belong to samples. */
int64_t fisher_first_row(const struct feed *feed, int sample);
/* ERR_INTERRUPTED once the run is to stop; shows how far it is, of n samples. */
int fisher_check_stop(const struct fisher_job *job, const char *what, int64_t done);
/* Prunes `model`: fewer units, other weights in the layers that read them. Says what it has done; *report: for
 * checkpoint_info.json. */
int prune_fisher(const struct prune_options *o, struct stage_run *run, struct model *model, cJSON **report);

/* Fills job->keep by a budget of time, target.latency_ms, and writes latency_table.json into the stage's folder. A run
 * that goes on from an interrupted one takes what that has measured: its training began with those widths. ERR_CONFIG:
 * the time cannot be reached, with the least that can. In prune_target.c. */
int prune_target(struct fisher_job *job);
/* Removes what was kept for a run that goes on. */
void prune_target_forget(const struct stage_run *run);

/* Sets the gains of the units that are left in `cut`, whose spec is `spec`, so that each layer's output is closest to
 * that of job->model, layer by layer in order, and folds them into the weights of the layers that read the units. */
int prune_tune(struct fisher_job *job, const struct model_spec *spec, struct param_store *cut);
/* What that holds at most on the model's device and on the host, beside params. */
int prune_tune_plan(const struct fisher_job *job, size_t *device, size_t *host);
/* The same of all that is done, from gradients to gains; the cut model's params count. Those of job->model need no
 * memory (params_plan_graph). */
int fisher_plan(struct fisher_job *job, size_t *device, size_t *host);

#endif
