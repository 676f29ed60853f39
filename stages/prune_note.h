/* Private to stages: the note of a round of pruning, which is kept with the state of its training
 * (trainer.resume_note). It has all that is not in that state: what makes the model of the round again, thresholds that
 * earlier rounds have found, the curve up to the round, and the files that earlier rounds have left. */
#ifndef STAGES_PRUNE_NOTE_H
#define STAGES_PRUNE_NOTE_H

#include "stages/prune.h"

/* One of several rounds, from 1, has a name of its own, which its log and its random numbers go by. */
int prune_round_name(const struct prune_job *job, int round, char *name, size_t cap);
/* *note: of the round that has been pruned and is to be trained, to be freed with mem_free. */
int prune_note_write(const struct prune_job *job, int round, char **note);
/* Makes the job what it was when the note was written. ERR_CHECKPOINT: no such note. */
int prune_note_read(struct prune_job *job, const char *note, int *round);

#endif
