/* Units of a model's widths: which of them carry most, and the copy of the params that are left. */
#ifndef ENGINE_MODEL_UNITS_H
#define ENGINE_MODEL_UNITS_H

#include "exec/params.h"
#include "graph/pass.h"

enum units_norm { UNITS_L1, UNITS_L2 };

/* Adds to the scores of the units of width i (units of them) the norm of all weights that produce each (Li et al. 2017
 * for L1; L2 is the squared norm): for a width tied across residual adds, the weights of every layer that writes into
 * it. */
int units_score(
    const struct graph *g, const struct param_store *s, enum units_norm norm, int i, int units, double *score);
/* Keeps of width i the n units of the largest scores, in ascending order; of equal ones the first. */
int units_keep(const double *score, int i, int units, int n, struct slice *keep);
/* Both. */
int units_rank(const struct graph *g, const struct param_store *s, enum units_norm norm, int i, int units, int n,
    struct slice *keep);
/* Copies the kept part of one param, and of its mask, into the new store, under the new node's name. */
int units_copy(const struct node *from, const struct node *to, const struct slice *keep,
    const struct param_store *old_store, struct param_store *new_store);

#endif
