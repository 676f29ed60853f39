/* The run loop: executes a chain, stage by stage, skipping what is finished. */
#ifndef PIPELINE_RUN_H
#define PIPELINE_RUN_H

#include <signal.h>

#include "pipeline/chain.h"

/* Locks the out folder, writes run.json, runs what is to run. Stage folders appear complete or not at all. */
int run_chain(struct chain *c, struct progress *progress, const volatile sig_atomic_t *stop);
/* Runs one stage into the folder `part`. progress may be NULL where this rank follows (run_ranks.h). */
int run_stage_into(struct chain *c, struct chain_stage *s, const char *part, struct progress *progress,
    const volatile sig_atomic_t *stop);

#endif
