/* Private to stages/prune*.c: the sensitivity of single layers, and the ship rule. */
#ifndef STAGES_PRUNE_ACCEPT_H
#define STAGES_PRUNE_ACCEPT_H

#include "stages/prune.h"
#include "stages/sensitivity.h"

/* Measures the job's model, before it is pruned, with each layer (structured: each width) alone pruned at each of
 * sensitivity_sparsity, and writes sensitivity.csv. */
int prune_scan(struct prune_job *job);
/* Judges what the job has made. Fills the rule, which the caller closes whatever is returned. */
int prune_judge(struct prune_job *job, struct acceptance *rule);

#endif
