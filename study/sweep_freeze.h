/* The config of a cell as its folder keeps it. */
#ifndef STUDY_SWEEP_FREEZE_H
#define STUDY_SWEEP_FREEZE_H

#include "pipeline/config.h"
#include "study/sweep.h"

/* Makes the tree independent of where it came from: paths that are relative to the base's folder become absolute, `out`
 * goes, and `threads: 0`, for which the sweep has a number. */
int freeze_tree(struct yaml *y, const char *base_dir, bool *own_threads);
/* c->stage, from the resolved config. */
int freeze_signs(struct sweep_cell *c, const struct run_config *config);

#endif
