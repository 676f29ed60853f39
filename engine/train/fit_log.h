/* What a training tells the outside: rows of the CSV log, a progress bar, a line per epoch. */
#ifndef ENGINE_TRAIN_FIT_LOG_H
#define ENGINE_TRAIN_FIT_LOG_H

#include <stdio.h>

#include "train/trainer.h"

struct fit_log {
	FILE *csv; /* NULL: no log */
	const char *path;
	struct progress *progress;
	int64_t epochs, total;
	double last; /* when the bar was drawn */
};
struct fit_row {
	int64_t epoch; /* 1-based */
	double train_loss, lr, seconds;
	const struct metrics *val;
	bool best;
};
int fit_log_open(struct fit_log *l, const struct trainer *t, int64_t total_steps);
void fit_log_step(struct fit_log *l, int64_t epoch, int64_t done, double loss);
int fit_log_epoch(struct fit_log *l, const struct fit_row *row); /* ERR_IO: the row did not reach the file */
/* All rows so far, with the heading (owned by the caller), and back into a log that was just opened. "" without a log.
 */
int fit_log_text(const struct fit_log *l, char **text);
int fit_log_restore(struct fit_log *l, const char *text);
void fit_log_close(struct fit_log *l);

#endif
