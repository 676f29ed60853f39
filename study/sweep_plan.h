/* From a grid to a sweep: every cell's config is made, read and checked before anything is written or runs. */
#ifndef STUDY_SWEEP_PLAN_H
#define STUDY_SWEEP_PLAN_H

#include "study/grid.h"
#include "study/sweep.h"

/* What a plan found out beside the cells. */
struct sweep_found {
	int equal;         /* cells that were dropped, for they equal an earlier one */
	int kept, added;   /* cells that the folder had, and new ones */
	int changed;       /* kept cells whose config is another now */
	int newly_removed; /* the last ones of `removed` */
	int checked;       /* cells that were put together with their data, as `plan` does */
	/* The assignments that the folder's cells were made with, where those are others; or "". */
	char set_before[512];
	char no_store[1600]; /* why cells cannot share what they make; "": they can */
};

/* out: --out, or NULL: runs/NAME. threads: --threads, or 0: as the folder's sweep had it, else `share`.
 * Every cell is read by the tables of options. Against data and models those are checked that have a value which no
 * earlier one has, and the others as long as that takes no more than some seconds. ERR_CONFIG and others, naming the
 * cell. Nothing is written. */
int sweep_plan(struct sweep *s, struct sweep_found *found, const struct grid *g, const char *grid_path, const char *out,
    int threads, int share);

#endif
