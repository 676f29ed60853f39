/* The samples that a checkpoint has learned from, kept beside it, and looked for among those that it
 * is validated or tested on later. */
#ifndef STAGES_SEEN_H
#define STAGES_SEEN_H

#include "stages/stage.h"

/* Writes the prints of the run's training and validation split, with those of the input checkpoint, into the stage's
 * folder. */
int seen_save(const struct stage_run *run);
/* A line where samples of the run's validation split, or of its test split if it is open, were among the training
 * samples of the checkpoint or of those that it was made from, or test samples among those that they were chosen by. A
 * checkpoint that was made with this very data set is no exception: its ancestors may not have been. Says nothing where
 * the checkpoint does not say what it was trained on. */
int seen_warn(const struct stage_run *run, const char *dir);

#endif
