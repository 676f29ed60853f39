/* Removing from a store what nobody shares any more. It is a cache (pipeline/store.h): what goes costs time alone. */
#ifndef PIPELINE_STORE_CLEAN_H
#define PIPELINE_STORE_CLEAN_H

#include <stdbool.h>

struct store_cleaned {
	char path[1024];         /* of the store */
	int stages, stages_gone; /* entries, and those that went */
	int kept, kept_gone;     /* files that stages keep for one another (STORE/.kept), likewise */
	int left, left_gone;     /* what runs have left that ended before their time, likewise: .KEY.part, .KEY.lock,
				    and .kept/KEY.PID.N.part */
	double bytes;            /* that became free */
};
/* path: a store, or a folder of runs that has one (.store). Of what was neither made nor used for `days` go the entries
 * whose files no run folder shares, files in .kept, and what runs have left that ended before their time. dry: nothing
 * goes, all is counted. The store is locked meanwhile. ERR_CONFIG: it is no store, or not this user's, or a run is at
 * work with it, or that cannot be known. ERR_IO. */
int store_clean(const char *path, double days, bool dry, struct store_cleaned *out);

#endif
