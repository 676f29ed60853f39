/* A sweep as arrays of jobs for Slurm. */
#ifndef PIPELINE_SWEEP_SLURM_H
#define PIPELINE_SWEEP_SLURM_H

#include "pipeline/sweep.h"
#include "pipeline/sweep_args.h"

/* Writes OUT/slurm/: the job script sweep.sbatch, level-N.txt with a line for each task, and submit.sh, which submits
 * one array per level; with a->submit that is run. Waits for no job. */
int sweep_slurm(const struct sweep *s, const struct sweep_args *a);

#endif
