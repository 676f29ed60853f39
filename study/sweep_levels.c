/* Levels of shared stages. A stage is cut off from its cell where fewer cells share the next one. */
#include "study/sweep_levels.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* The n-th stage of a cell, and how many cells have it. */
struct entry {
	const char *sign;
	int cell, stage, count;
	int first; /* the first cell of those that have it */
	int task;  /* in its level, if it is the end of one there; else -1 */
};

struct table {
	struct entry *all;    /* by cell and stage */
	struct entry **order; /* by sign */
	int *begin;           /* per cell: its first entry */
	int n;
};

static int by_sign(const void *a, const void *b)
{
	const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
	int order = strcmp(x->sign, y->sign);
	return order ? order : x->cell - y->cell;
}

static int count_stages(struct table *t, const struct sweep *s, const bool *skip)
{
	size_t n = 0;
	for (int i = 0; i < s->n; i++)
		n += (size_t)s->cell[i].n_stage;
	t->all = mem_alloc(n + 1, sizeof(*t->all));
	t->order = mem_alloc(n + 1, sizeof(struct entry *));
	t->begin = mem_alloc((size_t)s->n + 1, sizeof(*t->begin));
	if (!t->all || !t->order || !t->begin)
		return ERR_NOMEM;
	for (int i = 0; i < s->n; i++) {
		t->begin[i] = t->n;
		for (int j = 0; !(skip && skip[i]) && j < s->cell[i].n_stage; j++) {
			t->all[t->n] =
			    (struct entry){.sign = s->cell[i].stage[j].sign, .cell = i, .stage = j, .task = -1};
			t->order[t->n] = &t->all[t->n];
			t->n++;
		}
	}
	qsort(t->order, (size_t)t->n, sizeof(struct entry *), by_sign);
	return 0;
}

/* Sets count and first of all entries; the number of different signs. */
static int count_signs(struct table *t)
{
	int distinct = 0;
	for (int i = 0, end; i < t->n; i = end) {
		for (end = i; end < t->n && strcmp(t->order[end]->sign, t->order[i]->sign) == 0; end++)
			continue;
		for (int j = i; j < end; j++) {
			t->order[j]->count = end - i;
			t->order[j]->first = t->order[i]->cell;
		}
		distinct++;
	}
	return distinct;
}

static int add_task(struct sweep_levels *l, int level, struct sweep_task task, int *place)
{
	while (l->n <= level) {
		struct sweep_level *more = mem_grow(l->level, (size_t)l->n, (size_t)l->n + 1, sizeof(*more));
		if (!more)
			return ERR_NOMEM;
		l->level = more;
		l->n++;
	}
	struct sweep_level *v = &l->level[level];
	if ((v->n & (v->n - 1)) == 0) { /* full at 0, 1, 2, 4, ... */
		struct sweep_task *more = mem_grow(v->task, (size_t)v->n, v->n ? 2 * (size_t)v->n : 1, sizeof(*more));
		if (!more)
			return ERR_NOMEM;
		v->task = more;
	}
	*place = v->n;
	v->task[v->n++] = task;
	return 0;
}

/* The tasks of one cell: those that it begins with, then the place of its last part. *level: how many are before it. */
static int add_shared(
    struct sweep_levels *l, struct table *t, const struct sweep *s, int cell, int n, int *level, int *parent)
{
	struct entry *e = &t->all[t->begin[cell]];
	*level = 0;
	*parent = -1;
	for (int j = 0; j < n && e[j].count > 1; j++) {
		if (j + 1 < n && e[j + 1].count == e[j].count)
			continue;
		struct entry *first = &t->all[t->begin[e[j].first]];
		while (strcmp(first->sign, e[j].sign) != 0)
			first++;
		if (first->task < 0) {
			const struct sweep_task task = {cell, s->cell[cell].stage[j].name, *parent};
			int rc = add_task(l, *level, task, &first->task);
			if (rc)
				return rc;
		}
		*parent = first->task;
		++*level;
	}
	return 0;
}

/* Whole cells form one last level, however many are before them. */
static int add_cells(struct sweep_levels *l, struct table *t, const struct sweep *s, const bool *skip)
{
	int rc = 0, level, deepest = 0, place, parent;
	for (int i = 0; !rc && i < s->n; i++) {
		if (skip && skip[i])
			continue;
		rc = add_shared(l, t, s, i, s->cell[i].n_stage, &level, &parent);
		deepest = level > deepest ? level : deepest;
	}
	for (int i = 0; !rc && i < s->n; i++) {
		if (skip && skip[i])
			continue;
		rc = add_shared(l, t, s, i, s->cell[i].n_stage, &level, &parent);
		const struct sweep_task task = {i, NULL, level == deepest ? parent : -1};
		if (!rc)
			rc = add_task(l, deepest, task, &place);
	}
	return rc;
}

/* Cells of one piece stand side by side, and otherwise in their order. */
static int by_parent(const void *a, const void *b)
{
	const struct sweep_task *x = a, *y = b;
	return x->parent != y->parent ? x->parent - y->parent : x->cell - y->cell;
}

int sweep_levels_make(struct sweep_levels *l, const struct sweep *s, const bool *skip)
{
	struct table t = {0};
	*l = (struct sweep_levels){0};
	int rc = count_stages(&t, s, skip);
	if (!rc) {
		l->stages = t.n;
		l->distinct = count_signs(&t);
		rc = add_cells(l, &t, s, skip);
	}
	if (!rc && l->n) {
		struct sweep_level *last = &l->level[l->n - 1];
		qsort(last->task, (size_t)last->n, sizeof(*last->task), by_parent);
	}
	mem_free(t.all);
	mem_free(t.order);
	mem_free(t.begin);
	if (rc)
		sweep_levels_clear(l);
	return rc;
}

void sweep_levels_clear(struct sweep_levels *l)
{
	for (int i = 0; i < l->n; i++)
		mem_free(l->level[i].task);
	mem_free(l->level);
	*l = (struct sweep_levels){0};
}
