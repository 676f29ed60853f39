/* A student of random weights that has too few samples to learn from. */
#ifndef STAGES_FEW_SAMPLES_H
#define STAGES_FEW_SAMPLES_H

#include "stages/stage.h"

/* Says so, with the ways out, where a model of layers over tokens (run->spec) will see texts that have, each distinct
 * one counted once, fewer tokens than the model has weights outside its embeddings. Such a network learns its texts by
 * heart before it learns what is common to them: a transformer of random weights is behind one that begins with layers
 * of its teacher long before that point. A table of embeddings is no part of the count, for a row is learned from where
 * its token occurs. */
int few_samples_warn(const struct stage_run *run);

#endif
