/* Which work of a sweep cells share, in the order in which it can be done: level 1 holds what many cells begin with,
 * such as one teacher, the next what fewer of them share, and the last every cell. */
#ifndef STUDY_SWEEP_LEVELS_H
#define STUDY_SWEEP_LEVELS_H

#include "study/sweep.h"

struct sweep_task {
	int cell;          /* place in s->cell of the cell that does it */
	const char *until; /* the last stage, borrowed; NULL: the whole cell */
	int parent;        /* place in the level before of what it needs, or -1 */
};

struct sweep_level {
	struct sweep_task *task; /* owned */
	int n;
};

struct sweep_levels {
	struct sweep_level *level; /* owned; n of them; in the last one cells of one parent stand side by side */
	int n;
	int stages, distinct; /* of all cells, and of these the different ones */
};

/* skip: per cell, whether it needs no work any more; NULL: none does. */
int sweep_levels_make(struct sweep_levels *l, const struct sweep *s, const bool *skip);
void sweep_levels_clear(struct sweep_levels *l);

#endif
