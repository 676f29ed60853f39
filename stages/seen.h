/* The samples that a checkpoint has learned from, kept beside it, and looked for among those that it
 * is validated or tested on later. */
#ifndef STAGES_SEEN_H
#define STAGES_SEEN_H

#include "data/prints.h"
#include "stages/stage.h"

/* Reads the prints beside the checkpoint `c` of folder `dir`, to be cleared. *known: false where it has none.
 * ERR_CHECKPOINT: they are damaged, or not those that checkpoint_info.json has the hash of. */
int seen_read(const char *dir, const struct checkpoint *c, struct prints p[SPLIT_COUNT], bool *known);
/* Writes the prints of the run's training and validation split, with those of the checkpoint that it was made from,
 * into the stage's folder, and their hash into c->info. */
int seen_save(const struct stage_run *run, struct checkpoint *c);
/* How many samples of the run's open test split are in each split of the checkpoint's; -1 where that is not known. */
int seen_count(const struct stage_run *run, const struct checkpoint *c, const char *dir, int64_t n[SPLIT_COUNT]);
/* A line where samples of the run's validation split, or of its test split if it is open, were among the training
 * samples of the checkpoint or of those that it was made from, or test samples among those that they were chosen by. A
 * checkpoint that was made with this very data set is no exception: its ancestors may not have been. Says nothing where
 * the checkpoint does not say what it was trained on. */
int seen_warn(const struct stage_run *run, const struct checkpoint *c, const char *dir);

#endif
