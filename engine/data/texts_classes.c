/* From what the rows say to classes.
 *
 * Classes are those of the options `labels` (columns) or `classes`; else the labels of the training file, ascending:
 * as numbers if all of them are whole numbers, else by their bytes. With `classes`, a label is one of the names, or,
 * where no name is itself a number, a number from 0, or from 1 where that is what the labels are. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/texts.h"

#define MAX_CLASSES 65536

struct class_name {
	const char *name;
	int32_t number; /* of the class */
};

struct labeller {
	struct listing *l;
	const struct data_options *o;
	struct class_name *by_name; /* ascending */
	bool numbers;               /* labels may be numbers */
	long long first;            /* that of class 0 */
};

/* A whole number in its shortest form, of at most 15 digits. */
static bool is_number(const char *s)
{
	const char *digits = s + (*s == '-');
	size_t n = strlen(digits);

	return n >= 1 && n <= 15 && strspn(digits, "0123456789") == n && (*digits != '0' || strcmp(s, "0") == 0);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_value(const void *a, const void *b)
{
	long long x = strtoll(*(const char *const *)a, NULL, 10), y = strtoll(*(const char *const *)b, NULL, 10);

	return x < y ? -1 : x > y;
}

static int by_class_name(const void *a, const void *b)
{
	return strcmp(((const struct class_name *)a)->name, ((const struct class_name *)b)->name);
}

/* Sorts n strings and drops the repeated; returns how many are left. */
static size_t sort_unique(const char **v, size_t n)
{
	size_t k = 0;
	bool numbers = true;

	qsort(v, n, sizeof(*v), by_bytes);
	for (size_t i = 0; i < n; i++)
		if (k == 0 || strcmp(v[k - 1], v[i]) != 0)
			v[k++] = v[i];
	for (size_t i = 0; i < k; i++)
		numbers = numbers && is_number(v[i]);
	if (numbers)
		qsort(v, k, sizeof(*v), by_value);
	return k;
}

static int name_classes(struct listing *l, const char *const *name, size_t n)
{
	l->class_name = mem_alloc(n + 1, sizeof(char *));
	if (!l->class_name)
		return ERR_NOMEM;
	l->classes = (int)n;
	for (size_t i = 0; i < n; i++) {
		l->class_name[i] = mem_strdup(name[i]);
		if (!l->class_name[i])
			return ERR_NOMEM;
	}
	return 0;
}

static int find_classes(struct listing *l, const struct text_file *train)
{
	const char **v = mem_alloc(train->n_value + 1, sizeof(*v));
	size_t n = 0;
	int rc = 0;

	if (!v)
		return ERR_NOMEM;
	for (int64_t i = 0; i < train->n && !rc; i++) {
		const struct text_row *row = &train->row[i];

		for (int k = 0; k < row->n_value && !rc; k++) {
			v[n++] = train->value[row->value + (size_t)k];
			if (*v[n - 1] == '\0')
				rc = err_set(ERR_DATA, "%s:%d: the label is empty", train->path, row->line);
		}
	}
	n = sort_unique(v, n);
	if (!rc && n > MAX_CLASSES)
		rc = err_set(ERR_DATA, "%s: %zu different labels; at most %d are allowed", train->path, n, MAX_CLASSES);
	if (!rc)
		rc = name_classes(l, v, n);
	mem_free(v);
	return rc;
}

static int sort_names(struct labeller *x)
{
	struct listing *l = x->l;

	x->by_name = mem_alloc((size_t)l->classes + 1, sizeof(*x->by_name));
	if (!x->by_name)
		return ERR_NOMEM;
	x->numbers = x->o->classes.n > 0;
	for (int32_t c = 0; c < l->classes; c++) {
		x->by_name[c] = (struct class_name){l->class_name[c], c};
		x->numbers = x->numbers && !is_number(l->class_name[c]);
	}
	qsort(x->by_name, (size_t)l->classes, sizeof(*x->by_name), by_class_name);
	for (int c = 0; c < l->classes; c++) {
		if (*x->by_name[c].name == '\0' || (c > 0 && strcmp(x->by_name[c].name, x->by_name[c - 1].name) == 0))
			return err_set(ERR_CONFIG, "data.%s: '%s' is %s", x->o->labels.n ? "labels" : "classes",
			    x->by_name[c].name, *x->by_name[c].name ? "named twice" : "no name");
	}
	return 0;
}

static int unknown(const struct labeller *x, const char *path, int line, const char *value)
{
	struct str list = {0};
	int rc;

	text_list_names(&list, (const char *const *)x->l->class_name, x->l->classes);
	rc = err_set(ERR_DATA, "%s:%d: label '%.80s' is none of %s: %s%s", path, line, value,
	    x->o->classes.n > 0 ? "data.classes" : "the labels of the training file", str_text(&list),
	    x->numbers ? ", nor one of their numbers from 0" : "");
	str_clear(&list);
	return rc;
}

static int find_class(const struct labeller *x, const char *path, int line, const char *value, int32_t *out)
{
	const struct class_name key = {value, 0},
				*at = bsearch(&key, x->by_name, (size_t)x->l->classes, sizeof(key), by_class_name);
	long long number;

	if (at) {
		*out = at->number;
		return 0;
	}
	number = x->numbers && is_number(value) ? strtoll(value, NULL, 10) - x->first : -1;
	if (number < 0 || number >= x->l->classes)
		return unknown(x, path, line, value);
	*out = (int32_t)number;
	return 0;
}

/* Numbers are from 1 where all labels are numbers from 1 to that of the classes, which is among them. */
static int find_first(struct labeller *x, const struct text_file *file, int n_file)
{
	bool last = false;

	for (int i = 0; i < n_file && x->numbers; i++)
		for (size_t k = 0; k < file[i].n_value; k++) {
			const char *value = file[i].value[k];
			const long long number = is_number(value) ? strtoll(value, NULL, 10) : -1;

			if (number < 1 || number > x->l->classes)
				return 0;
			last = last || number == x->l->classes;
		}
	if (!last)
		return 0;
	x->first = 1;
	return note_found(&x->l->notes, "labels from 1 to %d, which are data.classes in their order", x->l->classes);
}

/* Fills the set of one row. */
static int fill_set(const struct labeller *x, const struct text_file *f, const struct text_row *row, uint8_t *set)
{
	for (int k = 0; k < row->n_value; k++) {
		const char *value = f->value[row->value + (size_t)k];
		int32_t c = k;
		int rc = 0;

		if (f->form == LABEL_NAMES)
			rc = find_class(x, f->path, row->line, value, &c);
		else if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
			rc = err_set(ERR_DATA, "%s:%d: '%.80s' in column '%s'; a label column holds 0 or 1", f->path,
			    row->line, value, x->l->class_name[k]);
		if (rc)
			return rc;
		set[c] = f->form == LABEL_NAMES || *value == '1';
	}
	return 0;
}

static int add_rows(const struct labeller *x, const struct text_file *f)
{
	struct listing *l = x->l;
	const char *base = strrchr(f->path, '/');
	int rc = 0;

	for (int64_t i = 0; i < f->n && !rc; i++) {
		const struct text_row *row = &f->row[i];
		char *place = mem_printf("%s:%d", base ? base + 1 : f->path, row->line);
		int32_t label = -1;

		rc = place ? 0 : ERR_NOMEM;
		if (!rc && l->target == TARGET_SET)
			rc = fill_set(x, f, row, l->set + (size_t)l->n * (size_t)l->classes);
		else if (!rc)
			rc = find_class(x, f->path, row->line, f->value[row->value], &label);
		if (!rc)
			rc = listing_add(l, label, f->by_row ? row->split : f->split, place);
		mem_free(place);
		if (rc)
			return rc;
		l->sample[l->n - 1].text = row->text;
		l->sample[l->n - 1].bytes = row->bytes;
	}
	return rc;
}

int texts_label(struct listing *l, const struct text_file *file, int n_file, const struct data_options *o)
{
	struct labeller x = {.l = l, .o = o};
	size_t rows = 0;
	int rc;

	for (int i = 0; i < n_file; i++) {
		rows += (size_t)file[i].n;
		if (file[i].form != file[0].form)
			return err_set(ERR_DATA, "%s: labels are lists of names in this file or in %s, but not in both",
			    file[i].path, file[0].path);
	}
	l->target = file[0].form == LABEL_ONE ? TARGET_CLASS : TARGET_SET;
	if (o->labels.n > 0)
		rc = name_classes(l, (const char *const *)o->labels.v, (size_t)o->labels.n);
	else if (o->classes.n > 0)
		rc = name_classes(l, (const char *const *)o->classes.v, (size_t)o->classes.n);
	else
		rc = find_classes(l, &file[0]);
	if (!rc)
		rc = sort_names(&x);
	if (!rc && file[0].form != LABEL_COLUMNS)
		rc = find_first(&x, file, n_file);
	if (!rc && l->target == TARGET_SET) {
		l->set = mem_alloc(rows + 1, (size_t)l->classes);
		rc = l->set ? 0 : ERR_NOMEM;
	}
	for (int i = 0; i < n_file && !rc; i++)
		rc = add_rows(&x, &file[i]);
	mem_free(x.by_name);
	return rc;
}
