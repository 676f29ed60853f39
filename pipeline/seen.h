/* Whether a checkpoint knows samples that it is to be tested on from its training. */
#ifndef PIPELINE_SEEN_H
#define PIPELINE_SEEN_H

#include "base/json_out.h"
#include "data/prints.h"

/* Compares the test split, by its hash and by the prints of its samples, with what the checkpoint in `dir` and those
 * that it was made from have learned from. Puts `seen` into `model`: samples of the test split that were in the
 * training and in the validation split, each null where the checkpoint does not say. The evaluate stage has said it in
 * words already where the checkpoint has prints; where the hash alone tells, it is said here. */
int seen_samples(const char *dir, const struct dataset *d, const struct prints *test, struct json_out model);

#endif
