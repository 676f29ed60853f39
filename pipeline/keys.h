/* A stage's key: the SHA-256 of everything that decides its bytes. That is program version and commit, kind, name,
 * resolved options, seed, threads, training backend, model_spec, data, and the keys (or file hashes) of what it reads.
 */
#ifndef PIPELINE_KEYS_H
#define PIPELINE_KEYS_H

#include "pipeline/chain.h"

/* Sets s->key. The specs of s, and the keys of all stages that it refers to, must be there already. */
int key_make(const struct chain *c, struct chain_stage *s);

#endif
