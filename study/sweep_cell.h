/* One cell of a sweep: what its own files say of it, and its run as a process. */
#ifndef STUDY_SWEEP_CELL_H
#define STUDY_SWEEP_CELL_H

#include <sys/types.h>

#include "study/sweep.h"

enum cell_state { CELL_NEW, CELL_BEGUN, CELL_RUNNING, CELL_FAILED, CELL_FINISHED };
#define CELL_STATES 5
extern const char *const cell_state_names[CELL_STATES];

struct cell_report {
	enum cell_state state;
	int done;           /* stages that are finished, counted from the first */
	int status;         /* CELL_FAILED: the exit status */
	char stage[64];     /* CELL_FAILED: in which it ended; "" if before or behind all */
	char message[512];  /* CELL_FAILED */
	bool other_program; /* CELL_FINISHED by another version or commit than this program's */
};

/* CELL_FINISHED: finished.json is of the config that the cell has now, and the stages are finished. CELL_RUNNING: the
 * folder is locked. Nothing but these files is looked at. */
void cell_look(const struct sweep *s, const struct sweep_cell *c, struct cell_report *r);
/* How many stages are finished, from the first on, of which `before` are known to be: their records verify
 * (pipeline/stage_record.h), and are of the data that the cell has now where those are known. */
int cell_stages_done(const struct sweep *s, const struct sweep_cell *c, int before);
/* Removes the finished.json of cells whose stages are of other data than the plan has read, and of those that read the
 * same, so that they count as finished nowhere. *n: how many. ERR_IO. */
int cells_forget_other_data(const struct sweep *s, int *n);

/* Starts `pipeline run` of the cell, whose output goes to its run.log, in a process group of its own. It ends with this
 * process, as if interrupted. until: the last stage, or NULL. ERR_FAIL, ERR_IO. */
int cell_start(const struct sweep *s, const struct sweep_cell *c, const char *until, pid_t *pid);
/* What is to be noted when the process has ended with `wait_status`: finished.json (whole: all stages were to run), or
 * an error.json where the run could write none, or made its stages of other data than the sweep was planned with. The
 * exit status; 128 + N after signal N. */
int cell_end(const struct sweep *s, const struct sweep_cell *c, int wait_status, bool whole);

#endif
