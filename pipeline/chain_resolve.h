/* What a stage of a chain is given. */
#ifndef PIPELINE_CHAIN_RESOLVE_H
#define PIPELINE_CHAIN_RESOLVE_H

#include "pipeline/chain.h"

/* The stage's own model: its adapter first, from the data; then the graph, which must take what the adapter gives. */
int chain_resolve_model(const struct chain *c, struct chain_stage *s);
/* What its input, its teacher and its inputs are; checkpoints that a path names are checked as a whole now, not after
 * hours of training. */
int chain_resolve_refs(const struct chain *c, struct chain_stage *s);
void chain_given_clear(struct chain_given *g);

#endif
