/* A sweep as arrays of jobs for Slurm. */
#ifndef STUDY_SWEEP_SLURM_H
#define STUDY_SWEEP_SLURM_H

#include "study/sweep.h"
#include "study/sweep_args.h"

/* Writes OUT/slurm/: the job script sweep.sbatch, level-N.txt with a line for each task, and submit.sh, which submits
 * one array per level; with a->submit that is run. Waits for no job. */
int sweep_slurm(const struct sweep *s, const struct sweep_args *a);

#endif
