/* Which samples are one content. */
#include "data/split_units.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/prints.h"

/* Images whose prints are equal are taken for equal; texts are compared. */
static int compare_content(const struct row_key *x, const struct row_key *y)
{
	if (x->print != y->print)
		return x->print < y->print ? -1 : 1;
	if (!x->sample->text)
		return 0;
	if (x->sample->bytes != y->sample->bytes)
		return x->sample->bytes < y->sample->bytes ? -1 : 1;
	return memcmp(x->sample->text, y->sample->text, x->sample->bytes);
}

static int by_content(const void *a, const void *b)
{
	const struct row_key *x = a, *y = b;
	int c = compare_content(x, y);

	if (c != 0)
		return c;
	if (x->sample->label != y->sample->label)
		return x->sample->label < y->sample->label ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int sort_rows(struct units *all)
{
	const struct listing *l = all->l;
	size_t n = (size_t)l->n;

	all->key = mem_alloc(n, sizeof(*all->key));
	all->unit = mem_alloc(n, sizeof(*all->unit));
	if (!all->key || !all->unit)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++) {
		struct sample *s = &l->sample[i];
		int rc = l->kind == SAMPLE_TEXT ? print_bytes(s->text, s->bytes, &s->print) : 0;

		if (rc)
			return rc;
		all->key[i].print = s->print;
		all->key[i].sample = s;
		all->key[i].row = i;
	}
	qsort(all->key, n, sizeof(*all->key), by_content);
	return 0;
}

static const uint8_t *row_set(const struct listing *l, int64_t row)
{
	return l->set + (size_t)row * (size_t)l->classes;
}

static bool contradicts(const struct units *all, int64_t first, int64_t n)
{
	const struct listing *l = all->l;
	const struct row_key *k = all->key + first;

	if (l->target == TARGET_CLASS)
		return k[0].sample->label != k[n - 1].sample->label; /* ascending */
	for (int64_t i = 1; i < n; i++)
		if (memcmp(row_set(l, k[0].row), row_set(l, k[i].row), (size_t)l->classes) != 0)
			return true;
	return false;
}

/* Makes a unit of the rows of one content, those that the source has put into a split apart. */
static void add_unit(struct units *all, int64_t first, int64_t n, int64_t copy)
{
	struct listing *l = all->l;
	struct unit *u = &all->unit[all->n];
	uint8_t *set = all->set ? all->set + (size_t)all->n * (size_t)l->classes : NULL;
	int64_t open = 0, run = 0, longest = 0;

	*u = (struct unit){
	    .print = all->key[first].print, .copy = copy, .first = first, .n = n, .set = set, .split = SPLIT_NONE};
	for (int64_t i = first; i < first + n; i++) {
		const struct sample *s = all->key[i].sample;

		run = i > first && all->key[i - 1].sample->label != s->label ? 0 : run;
		if (s->split != SPLIT_NONE)
			continue;
		open++;
		for (int k = 0; set && k < l->classes; k++)
			set[k] |= row_set(l, all->key[i].row)[k];
		if (++run > longest && !set) {
			longest = run;
			u->label = s->label;
		}
	}
	all->n += open > 0;
}

static bool any_in(const struct units *all, int64_t first, int64_t n, const bool *classes)
{
	for (int64_t i = first; i < first + n; i++)
		if (classes && classes[all->key[i].sample->label])
			return true;
	return false;
}

/* Contents with a row of the classes `apart` (NULL: none) become a unit for each row. */
static void group_rows(struct units *all, const bool *apart)
{
	struct listing *l = all->l;

	all->n = l->distinct_texts = l->repeated_texts = l->contradicting_texts = 0;
	for (int64_t i = 0, j; i < l->n; i = j) {
		for (j = i + 1; j < l->n && compare_content(&all->key[i], &all->key[j]) == 0; j++)
			;
		/* Images that could not be used have no content. */
		if (all->key[i].sample->split == SPLIT_DROP)
			continue;
		l->distinct_texts++;
		l->repeated_texts += j - i > 1;
		l->contradicting_texts += contradicts(all, i, j - i);
		if (!any_in(all, i, j - i, apart))
			add_unit(all, i, j - i, 0);
		else
			for (int64_t k = i; k < j; k++)
				add_unit(all, k, 1, k - i);
	}
}

/* Notes the classes of images that have fewer units than `needed`, but rows enough: there is no other way to have them
 * in every split than to cut copies of one image apart. */
static int find_scarce(struct units *all, int64_t needed, bool *scarce, bool *any)
{
	struct listing *l = all->l;
	int64_t *units = mem_alloc((size_t)l->classes, sizeof(*units)),
		*rows = mem_alloc((size_t)l->classes, sizeof(*rows));
	int rc = units && rows ? 0 : ERR_NOMEM;

	*any = false;
	for (int64_t i = 0; i < all->n && !rc; i++)
		units[all->unit[i].label]++;
	for (int64_t i = 0; i < l->n && !rc; i++)
		if (l->sample[i].split == SPLIT_NONE)
			rows[l->sample[i].label]++;
	for (int k = 0; k < l->classes && !rc; k++) {
		scarce[k] = units[k] < needed && rows[k] >= needed;
		*any = *any || scarce[k];
		if (scarce[k])
			rc = note_add(&l->notes, NOTE_COPIES, l->class_name[k]);
	}
	mem_free(units);
	mem_free(rows);
	return rc;
}

int units_make(struct units *all, struct listing *l, int64_t needed)
{
	bool *scarce = NULL, any = false;
	int rc;

	*all = (struct units){.l = l};
	rc = sort_rows(all);

	if (!rc && l->target == TARGET_SET) {
		all->set = mem_alloc((size_t)l->n, (size_t)l->classes);
		rc = all->set ? 0 : ERR_NOMEM;
	}
	if (!rc)
		group_rows(all, NULL);
	if (!rc && l->kind == SAMPLE_IMAGE && !l->only_test) {
		scarce = mem_alloc((size_t)l->classes, sizeof(*scarce));
		rc = scarce ? find_scarce(all, needed, scarce, &any) : ERR_NOMEM;
	}
	if (!rc && any)
		group_rows(all, scarce);
	mem_free(scarce);
	return rc;
}

void units_clear(struct units *all)
{
	mem_free(all->key);
	mem_free(all->unit);
	mem_free(all->set);
}
