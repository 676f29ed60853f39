/* How long stages will take, for plan. */
#ifndef PIPELINE_ESTIMATE_H
#define PIPELINE_ESTIMATE_H

#include "pipeline/chain.h"

enum estimate_basis { ESTIMATE_GUESS, ESTIMATE_MEASURED };

/* Seconds of a stage that is to run, 0 for others: its multiply-accumulates at the rate of the stage of its name that
 * ran here before, else of its kind, else of any that trained, else at a rate that is a guess. */
double estimate_seconds(const struct chain *c, const struct chain_stage *s, enum estimate_basis *basis);
/* "0.3 s", "45 s", "12 min", "1.5 h" */
const char *estimate_text(double seconds, char buf[32]);

#endif
