/* A run by several ranks (ranks/ranks.h). Rank 0 runs the chain as a single process does; where a stage's kind is
 * worked on by all, it tells the others, which then run the same stage up to the place where their part ends. What else
 * a stage does, and stages of other kinds, is rank 0's alone. */
#ifndef PIPELINE_RUN_RANKS_H
#define PIPELINE_RUN_RANKS_H

#include <signal.h>

#include "pipeline/chain.h"

/* Multiplies `accumulate` of every stage whose steps are shared by the number of ranks, so that each has micro-batches
 * of its own and batch_size stays what it is. ERR_CONFIG with the stage's place: batch_size cannot be cut into so many.
 */
int run_ranks_config(struct run_config *c, int ranks);
/* How the ranks share a step of the stage, after run_ranks_config; false: there is one rank, or the kind shares none.
 */
#define RUN_RANKS_LINE 256
bool run_ranks_words(const struct stage_config *s, int ranks, char line[RUN_RANKS_LINE]);
/* Once the chain is open, or could not be (rc): all ranks go on together, with the same out folder and devices, or
 * none. A line for the user in `note`, or "". */
int run_ranks_begin(const struct chain *c, int rc, char *note, size_t cap);
/* Whether this process works under another's orders. */
bool run_ranks_follow(void);

/* Rank 0, before it runs a stage that all work on: tells the others. Nothing for other kinds, or where this process is
 * alone. */
int run_ranks_order(const struct chain *c, const struct chain_stage *s);
/* Rank 0, when all stages are done. */
int run_ranks_dismiss(void);
/* The others: works until dismissed. */
int run_ranks_work(struct chain *c, const volatile sig_atomic_t *stop);

#endif
