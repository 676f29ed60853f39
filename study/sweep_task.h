/* What one task of a batch system's array does. */
#ifndef STUDY_SWEEP_TASK_H
#define STUDY_SWEEP_TASK_H

#include <signal.h>

#include "study/sweep.h"
#include "study/sweep_args.h"

/* Runs the cell of number a->cell; with "auto" the one that SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX (Kubernetes) or
 * PBS_ARRAY_INDEX names, plus a->offset. With a->tasks that number is a line of the file instead, counted from 0, which
 * holds numbers of cells, and perhaps `until STAGE`. Several cells run one after the other; one that fails stops no
 * other.
 */
int sweep_task_run(const struct sweep *s, const struct sweep_args *a, const volatile sig_atomic_t *stop);

#endif
