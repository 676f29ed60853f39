/* What the cluster's Slurm does with a job whose time is up or whose place another one takes, as `scontrol` says it. */
#ifndef PIPELINE_DOCTOR_SLURM_H
#define PIPELINE_DOCTOR_SLURM_H

#include "base/json_out.h"

/* Fills an object: "usable", "reason" if it is not, what was read, a text per partition, and "verdict". Never fails but
 * for want of memory: no scontrol, one that fails and one that does not answer are reasons. */
void doctor_slurm(struct json_out out);

#endif
