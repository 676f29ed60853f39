/* The runs of a study: folders of runs, and all cells of folders of sweeps. */
#ifndef STUDY_COLLECT_H
#define STUDY_COLLECT_H

#include "study/run.h"

#define STUDY_RUNS_MAX 100000

struct study {
	struct study_run *run;
	int n, cap;
};

/* ERR_CONFIG: a folder that is neither a run's (run.json) nor a sweep's (sweep.json); a sweep.json that cannot be read.
 * A run that is named twice, or is a cell of a sweep that is named, too, is there once. */
int study_collect(struct study *s, char *const *path, int n);
void study_clear(struct study *s);

#endif
