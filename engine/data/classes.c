/* A data set under the class names of a model that was made from other data. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/source.h"

#define LISTED_MAX 20 /* names in a message */

static int find_name(char *const *name, int n, const char *wanted)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name[i], wanted) == 0)
			return i;
	return -1;
}

static bool is_position(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 6 && strspn(s, "0123456789") == n && (*s != '0' || n == 1);
}

static bool all_positions(char *const *name, int n)
{
	for (int i = 0; i < n; i++)
		if (!is_position(name[i]))
			return false;
	return n > 0;
}

static bool any_position(char *const *name, int n)
{
	for (int i = 0; i < n; i++)
		if (is_position(name[i]))
			return true;
	return false;
}

static bool has_class(const struct dataset *d, enum split s, int64_t i, int c)
{
	return d->target == TARGET_SET ? d->split[s].label_set[i * d->classes + c] : d->split[s].label[i] == c;
}

int64_t dataset_support(const struct dataset *d, enum split s, int c)
{
	int64_t n = 0;

	for (int64_t i = 0; dataset_has(d, s) && i < d->n[s]; i++)
		n += has_class(d, s, i, c);
	return n;
}

/* The place of the first sample of a class, "" where the data set has none. */
static const char *first_place(const struct dataset *d, int c)
{
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int64_t i = 0; d->split[s].file && i < d->n[s]; i++)
			if (has_class(d, (enum split)s, i, c))
				return d->split[s].file[i];
	return "";
}

static int unknown_class(const struct dataset *d, int c, char *const *name, int n)
{
	const char *place = first_place(d, c);
	struct str list = {0};
	int rc;

	for (int i = 0; i < n && i < LISTED_MAX; i++)
		str_addf(&list, "%s%.80s", i ? ", " : "", name[i]);
	if (n > LISTED_MAX)
		str_addf(&list, ", ... (%d in all)", n);
	rc = err_set(ERR_DATA, "%s%sthe data has the class '%.80s', which the model does not know; it knows: %s", place,
	    *place ? ": " : "", d->class_name[c], str_text(&list));
	str_clear(&list);
	return rc;
}

/* The number of the first class, as texts_classes.c has it for the option `classes`; -1: labels are names. */
static int first_position(const struct dataset *d, char *const *name, int n)
{
	bool from_1 = true;

	if (d->kind != SAMPLE_TEXT || d->classes != n || !all_positions(d->class_name, n) || any_position(name, n))
		return -1;
	for (int c = 0; c < n; c++)
		from_1 = from_1 && atoi(d->class_name[c]) >= 1 && atoi(d->class_name[c]) <= n;
	return from_1;
}

static int match(const struct dataset *d, char *const *name, int n, int first, int *map)
{
	for (int c = 0; c < d->classes; c++) {
		map[c] = first >= 0 ? atoi(d->class_name[c]) - first : find_name(name, n, d->class_name[c]);
		if (map[c] < 0 || map[c] >= n)
			return unknown_class(d, c, name, n);
	}
	return 0;
}

/* The label sets of one split in the order of `n` classes. */
static uint8_t *map_sets(const struct dataset *d, int s, const int *map, int n)
{
	uint8_t *set = mem_alloc((size_t)d->n[s] + 1, (size_t)n);

	for (int64_t i = 0; set && i < d->n[s]; i++)
		for (int c = 0; c < d->classes; c++)
			set[i * n + map[c]] = d->split[s].label_set[i * d->classes + c];
	return set;
}

static void free_names(char **name, int n)
{
	for (int i = 0; name && i < n; i++)
		mem_free(name[i]);
	mem_free(name);
}

static char **copy_names(char *const *name, int n)
{
	char **copy = mem_alloc((size_t)n, sizeof(*copy));
	bool ok = copy;

	for (int i = 0; ok && i < n; i++)
		ok = (copy[i] = mem_strdup(name[i])) != NULL;
	if (ok)
		return copy;
	free_names(copy, n);
	return NULL;
}

/* Names, labels and sets at once, or nothing. */
static int replace(struct dataset *d, char *const *name, int n, const int *map)
{
	uint8_t *set[SPLIT_COUNT] = {NULL};
	char **copy = copy_names(name, n);
	int rc = copy ? 0 : ERR_NOMEM;

	for (int s = 0; s < SPLIT_COUNT && !rc; s++)
		if (d->split[s].label_set && !(set[s] = map_sets(d, s, map, n)))
			rc = ERR_NOMEM;
	if (rc != 0) {
		for (int s = 0; s < SPLIT_COUNT; s++)
			mem_free(set[s]);
		free_names(copy, n);
		return rc;
	}
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; d->split[s].label && i < d->n[s]; i++)
			d->split[s].label[i] = map[d->split[s].label[i]];
		mem_free(d->split[s].label_set);
		d->split[s].label_set = set[s];
	}
	free_names(d->class_name, d->classes);
	d->class_name = copy;
	d->classes = n;
	return split_hashes(d);
}

int dataset_take_classes(struct dataset *d, char *const *class_name, int classes, int *first)
{
	int *map = mem_alloc((size_t)d->classes + 1, sizeof(*map));
	int rc = map ? 0 : ERR_NOMEM;
	bool hidden = !dataset_has(d, SPLIT_TEST);

	*d = dataset_with_test(d);
	*first = first_position(d, class_name, classes);
	if (!rc)
		rc = match(d, class_name, classes, *first, map);
	if (!rc)
		rc = replace(d, class_name, classes, map);
	if (hidden)
		dataset_hide_test(d);
	mem_free(map);
	return rc;
}
