/* A stage's key: the SHA-256 of everything that decides its bytes. That is program version and commit, kind, name,
 * resolved options, seed, threads, training backend, model_spec, data, and the keys (or file hashes) of what it reads,
 * with the paths of what it compares, for it writes them into its tables.
 * These are its parts, which stage.json keeps beside the key, so that a later run can say what has changed. */
#ifndef PIPELINE_KEYS_H
#define PIPELINE_KEYS_H

#include "pipeline/chain.h"

/* The part that is in no key. */
#define KEY_DATA_OPTIONS "data_options"
/* Of `inputs` that are named by path: what they are called, null where it is a stage. */
#define KEY_PATHS "inputs_paths"

/* Sets s->key and s->key_parts. The specs of s, and the keys of all stages that it refers to, must be there already. */
int key_make(const struct chain *c, struct chain_stage *s);

/* In words, what of the parts of an earlier key is other in those of s: "stages.prune.sparsity was 0.5, is 0.7; seed
 * was 1, is 2". The first of them, with the number of the others; printable. then: NULL where the record has none,
 * which is said. */
void key_differences(const struct chain *c, const struct chain_stage *s, const cJSON *then, char *out, size_t cap);

#endif
