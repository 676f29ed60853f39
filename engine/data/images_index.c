/* Lists what an index CSV names. Columns, by header: `file`, and `label` (0-based number) or `class` (name) or both;
 * optionally `split` (train, validation or val, test, or empty) and `archive`.
 *
 * The archive column may hold the file name of one of the configured archives, or the last part of its stem: `core`
 * stands for eurosat_rgb_core.tar.gz. Rows of archives that are not configured are left out: that is how a part of a
 * data set is used. A configured archive that no row names is an error. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/csv.h"
#include "data/images.h"
#include "data/names.h"

#define MAX_LABEL 65535

struct columns {
	int file, label, class_name, split, archive;
};

static int find_columns(const struct csv *c, struct columns *k)
{
	k->file = csv_column(c, "file");
	k->label = csv_column(c, "label");
	k->class_name = csv_column(c, "class");
	k->split = csv_column(c, "split");
	k->archive = csv_column(c, "archive");
	if (k->file < 0 || (k->label < 0 && k->class_name < 0))
		return err_set(ERR_DATA, "%s:1: the header must name 'file', and 'label' or 'class'", c->name);
	return 0;
}

static int parse_label(const struct csv *c, int row, const char *text, int32_t *out)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || v < 0 || v > MAX_LABEL)
		return err_set(ERR_DATA, "%s:%d: label '%s' is not a whole number in 0..%d", c->name, c->line[row],
		    text, MAX_LABEL);
	*out = (int32_t)v;
	return 0;
}

static int parse_split(const struct csv *c, int row, const char *text, int *out)
{
	static const struct {
		const char *name;
		int split;
	} known[] = {{"train", SPLIT_TRAIN}, {"validation", SPLIT_VAL}, {"val", SPLIT_VAL}, {"test", SPLIT_TEST},
	    {"", SPLIT_NONE}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(text, known[i].name) == 0) {
			*out = known[i].split;
			return 0;
		}
	}
	return err_set(
	    ERR_DATA, "%s:%d: split '%s' is not train, validation, val, test or empty", c->name, c->line[row], text);
}

/* The length of a file name without .tar.gz, .tgz, .tar or .zip. */
static size_t stem_length(const char *file)
{
	static const char *const suffix[] = {".tar.gz", ".tgz", ".tar", ".zip"};
	size_t n = strlen(file);

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		size_t k = strlen(suffix[i]);

		if (n > k && strcmp(file + n - k, suffix[i]) == 0)
			return n - k;
	}
	return n;
}

static bool names_archive(const char *value, const char *path)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	size_t stem = stem_length(file), n = strlen(value);

	if (n == 0)
		return false;
	if (strcmp(value, file) == 0)
		return true;
	if (n > stem || strncmp(file + stem - n, value, n) != 0)
		return false;
	return n == stem || strchr("_-.", file[stem - n - 1]);
}

/* The configured archive a row lies in: -1 any, SPLIT_DROP none of them. */
static int match_archive(const struct csv *c, const struct columns *k, int row, const struct images_state *st, int *out)
{
	const char *value;

	*out = -1;
	if (k->archive < 0 || st->n_archive == 0)
		return 0;
	value = csv_field(c, row, k->archive);
	for (int i = 0; i < st->n_archive; i++) {
		if (!names_archive(value, st->archive[i]))
			continue;
		if (*out >= 0)
			return err_set(ERR_DATA, "%s:%d: archive '%s' may be %s or %s", c->name, c->line[row], value,
			    st->archive[*out], st->archive[i]);
		*out = i;
	}
	if (*out < 0)
		*out = SPLIT_DROP;
	return 0;
}

/* The part of an absolute name below the folder of the images, by the path that the config has for it or by the one
 * without links; NULL if there is none. */
static const char *below_root(const struct images_state *st, const char *file)
{
	char real[PATH_MAX];
	const char *const root[] = {st->root, realpath(st->root, real)};

	for (int i = 0; i < 2 && st->n_archive == 0; i++) {
		size_t n = root[i] ? strlen(root[i]) : 0;

		while (n > 0 && root[i][n - 1] == '/')
			n--;
		if (n > 0 && strncmp(file, root[i], n) == 0 && file[n] == '/')
			return file + n + 1;
	}
	return NULL;
}

/* The file of a row as the folder or the archive has it. */
static int read_file(const struct csv *c, const struct columns *k, int row, const struct images_state *st, char **out)
{
	const char *file = csv_field(c, row, k->file), *given = file;

	if (*file == '\0')
		return err_set(ERR_DATA, "%s:%d: the file name is empty", c->name, c->line[row]);
	if (*file == '/' && !(file = below_root(st, file)))
		return err_set(ERR_DATA, "%s:%d: the absolute name '%s' is not below %s", c->name, c->line[row], given,
		    st->n_archive > 0 ? "an archive" : st->root);
	*out = mem_strdup(file);
	if (!*out)
		return ERR_NOMEM;
	if (!path_clean(*out) || **out == '\0')
		return err_set(ERR_DATA, "%s:%d: '%s' is no name of a file below %s", c->name, c->line[row], file,
		    st->n_archive > 0 ? "an archive" : st->root);
	return 0;
}

static int add_row(struct listing *l, const struct csv *c, const struct columns *k, int row,
    const struct images_state *st, const struct names *classes)
{
	char *file = NULL;
	int split = SPLIT_NONE, archive = -1, rc;
	int32_t label = -1;

	rc = match_archive(c, k, row, st, &archive);
	if (!rc)
		rc = read_file(c, k, row, st, &file);
	if (!rc && archive == SPLIT_DROP)
		rc = note_add(&l->notes, NOTE_ROW, file);
	if (rc != 0 || archive == SPLIT_DROP)
		goto out;
	if (!rc && k->split >= 0)
		rc = parse_split(c, row, csv_field(c, row, k->split), &split);
	if (!rc && k->label >= 0)
		rc = parse_label(c, row, csv_field(c, row, k->label), &label);
	else if (!rc)
		label = names_find(classes, csv_field(c, row, k->class_name));
	if (!rc)
		rc = listing_add(l, label, split, file);
	if (!rc)
		l->sample[l->n - 1].archive = archive;
out:
	mem_free(file);
	return rc;
}

/* Class names without numbers: numbered alphabetically over all rows, also of archives that are not used, so that the
 * numbers do not depend on which part of a set is configured. */
static int number_names(struct names *out, const struct csv *c, const struct columns *k)
{
	int rc = 0;

	for (int row = 1; row < c->rows && !rc; row++) {
		const char *name = csv_field(c, row, k->class_name);

		rc = *name != '\0' ? names_add(out, name)
				   : err_set(ERR_DATA, "%s:%d: the class is empty", c->name, c->line[row]);
		if (!rc && out->n > MAX_LABEL + 1)
			rc = err_set(ERR_DATA, "%s:%d: more than %d classes", c->name, c->line[row], MAX_LABEL + 1);
	}
	return rc;
}

static int largest_label(const struct csv *c, const struct columns *k, int32_t *most)
{
	int32_t label = 0;

	*most = 0;
	for (int row = 1; row < c->rows; row++) {
		int rc = parse_label(c, row, csv_field(c, row, k->label), &label);

		if (rc != 0)
			return rc;
		*most = label > *most ? label : *most;
	}
	return 0;
}

/* Names for numbers, from the class column or the numbers themselves; both columns must agree in every row, and every
 * number up to the largest must occur. */
static int name_numbers(struct listing *l, const struct csv *c, const struct columns *k)
{
	int32_t most, label;
	int rc = largest_label(c, k, &most);

	if (rc != 0)
		return rc;
	l->class_name = mem_alloc((size_t)most + 1, sizeof(char *));
	if (!l->class_name)
		return ERR_NOMEM;
	l->classes = most + 1;
	for (int row = 1; row < c->rows; row++) {
		const char *text = csv_field(c, row, k->label);
		const char *name = k->class_name < 0 ? text : csv_field(c, row, k->class_name);

		label = (int32_t)strtol(text, NULL, 10);
		if (!l->class_name[label] && (l->class_name[label] = mem_strdup(name)) == NULL)
			return ERR_NOMEM;
		if (strcmp(l->class_name[label], name) != 0)
			return err_set(ERR_DATA, "%s:%d: label %d is class '%s' here and '%s' above", c->name,
			    c->line[row], label, name, l->class_name[label]);
	}
	for (label = 0; label < l->classes; label++) {
		if (!l->class_name[label])
			return err_set(
			    ERR_DATA, "%s: labels go up to %d, but no row has label %d", c->name, most, label);
	}
	return 0;
}

static int check_archives(const struct listing *l, const struct csv *c, const struct images_state *st)
{
	for (int i = 0; i < st->n_archive; i++) {
		bool used = false;

		for (int64_t k = 0; k < l->n && !used; k++)
			used = l->sample[k].archive == i || l->sample[k].archive == -1;
		if (!used)
			return err_set(ERR_DATA, "%s: no row names the archive %s", c->name, st->archive[i]);
	}
	return 0;
}

int images_read_index(struct listing *l, const struct images_state *st, const char *path)
{
	struct csv c = {0};
	struct columns k;
	struct names classes = {0};
	int rc = csv_read(&c, path);

	if (!rc)
		rc = find_columns(&c, &k);
	if (!rc && c.rows < 2)
		rc = err_set(ERR_DATA, "%s: no rows below the header", path);
	if (!rc)
		rc = k.label >= 0 ? name_numbers(l, &c, &k) : number_names(&classes, &c, &k);
	for (int row = 1; row < c.rows && !rc; row++)
		rc = add_row(l, &c, &k, row, st, &classes);
	if (!rc)
		rc = check_archives(l, &c, st);
	if (!rc && k.label < 0) {
		l->class_name = classes.v; /* handed over */
		l->classes = classes.n;
		classes = (struct names){0};
	}
	names_clear(&classes);
	csv_clear(&c);
	return rc;
}
