/* Which units of which widths go, by a score for each unit. Where scores come from, and what a unit costs, is the
 * caller's; here is only the choice. A width is one of the spec's: the heads of a layer, the units of a feed-forward
 * network, the channels of a convolution.
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

/* How many units of each width stay within a budget, which all widths share. */
struct choose_cost {
	/* (n_width)(width[i] + 1): cost[i][k] is what width i costs with k units left, such as multiplications or
	 * measured seconds; not negative. NULL for widths without scores, whose cost is in `fixed`. */
	const double *const *cost;
	double fixed;
	double budget;
	int min_units; /* at least 1: that stay in each width */
	int step;      /* widths that shrink stay multiples of it; a width below it only shrinks if step is 1 */
};
/* Fills left[n_width] with the numbers whose cost is within the budget and with which the sum of the scores that go is
 * least, to 1/CHOOSE_GRID of the budget (a dynamic program over the widths; costs are rounded up, so the budget holds).
 * Costs may have steps and need not fall with every unit. *cost: what is left costs; *lost: the sum of the scores that
 * go. ERR_CONFIG: even the least widths cost more, with that cost. */
#define CHOOSE_GRID 20000
int choose_within(const struct unit_scores *s, const struct choose_cost *c, int *left, double *cost, double *lost);

#endif
