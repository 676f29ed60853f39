/* Which units of which widths go, by a score for each unit. Where scores come from is the caller's; here is only
 * the choice. Budgets of cost or time are in prune_search.c. A width is one of the spec's: the heads of a layer, the
 * units of a feed-forward network, the channels of a convolution.
 *
 * A score is what is lost with the unit: finite, and the larger the more worth keeping. Losses of units add up. Within
 * a width the units of the least scores go first; of equal scores the last. */
#ifndef STAGES_PRUNE_CHOOSE_H
#define STAGES_PRUNE_CHOOSE_H

#include "graph/pass.h"
#include "graph/spec.h"

struct unit_scores {
	const struct model_spec *spec; /* borrowed: the widths, and their names for messages */
	double **score;                /* (spec->n_width)(width[i]) owned; NULL: all units of that width stay */
};
/* Without scores. Released by unit_scores_clear, which accepts a zeroed struct. */
int unit_scores_init(struct unit_scores *s, const struct model_spec *spec);
/* Room for the scores of width i, all 0. */
int unit_scores_add(struct unit_scores *s, int i);
void unit_scores_clear(struct unit_scores *s);

/* Keeps of each width with scores the left[i] best. `keep` is initialised here. ERR_CONFIG, with the width's name: none
 * of its units would be left, or more than there are; ERR_FAIL: a score that is not finite. */
int choose_units(const struct unit_scores *s, const int *left, struct slice *keep);

#endif
