/* Running a sweep's cells as processes of this machine. */
#ifndef STUDY_SWEEP_RUN_H
#define STUDY_SWEEP_RUN_H

#include <signal.h>

#include "study/sweep.h"

#define SWEEP_MAX_JOBS 256

/* Runs all cells that are not finished, `jobs` at a time. A cell that needs a stage which another one is making is put
 * off in favour of one that does not; one that needs a stage which has failed is not started. A cell that fails stops
 * no other. When *stop is set, all are told to save and end. ERR_INTERRUPTED; else, if cells failed, the error with
 * their exit status where they agree, and ERR_FAIL. */
int sweep_run(const struct sweep *s, int jobs, const volatile sig_atomic_t *stop);
/* The cell alone, up to the stage `until` (NULL: all). Nothing is done if it is finished. */
int sweep_run_cell(
    const struct sweep *s, const struct sweep_cell *c, const char *until, const volatile sig_atomic_t *stop);

#endif
