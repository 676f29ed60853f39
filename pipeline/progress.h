/* Progress on standard error: a line that is redrawn, with rate and time left, on a terminal; elsewhere plain lines, at
 * most one every few seconds, that a log file can hold. */
#ifndef PIPELINE_PROGRESS_H
#define PIPELINE_PROGRESS_H

#include "train/trainer.h"

struct terminal_progress {
	struct progress base; /* first: the sink's functions cast back */
	bool is_terminal;
	bool drawn;                  /* a redrawn line is on the screen */
	double last;                 /* seconds: when something was printed last */
	double start, start_done;    /* of the present unit of work */
	double previous_done, total; /* of the last update */
};
void progress_init(struct terminal_progress *p);
void progress_finish(struct terminal_progress *p); /* leaves the cursor on a fresh line */

#endif
