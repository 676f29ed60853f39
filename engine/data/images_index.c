/* Lists what an index CSV names. Columns, by header: `file`, and `label` (numbers from 0 or 1, or names) or `class`
 * (names) or both; optionally `split` and `archive`. Where there is none of these names, other usual ones are looked
 * for (columns.h), and what was taken is noted.
 *
 * The archive column may hold the file name of one of the configured archives, or the last part of its stem: `core`
 * stands for eurosat_rgb_core.tar.gz. Rows of archives that are not configured are left out: that is how a part of a
 * data set is used. A configured archive that no row names is an error. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/archive.h"
#include "data/columns.h"
#include "data/csv.h"
#include "data/images.h"
#include "data/names.h"

#define MAX_LABEL  65535
#define GROUPS     2  /* of usual names */
#define LISTED_MAX 20 /* columns in a message */

struct columns {
	int file, label, class_name, archive; /* -1: there is none */
	int32_t first;                        /* the label of class 0 */
	struct csv_splits splits;
};

static const char *const *header_of(const struct csv *c)
{
	return (const char *const *)c->field;
}

static int ambiguous(const struct csv *c, const char *what, const char *const *usual, const char *way_out)
{
	struct str list = {0};
	int rc, at;

	for (int i = 0; i < c->columns; i++)
		if (columns_find(header_of(c) + i, 1, usual, GROUPS, &at) > 0)
			str_addf(&list, "%s%.80s", list.len ? ", " : "", c->field[i]);
	rc = err_set(
	    ERR_DATA, "%s:1: which column is the %s? these may be: %s; %s", c->name, what, str_text(&list), way_out);
	str_clear(&list);
	return rc;
}

/* A column that an option names, or one of a usual name; -1 if there is none. */
static int find_column(const struct csv *c, const char *given, const char *what, const char *const *usual, int *out)
{
	struct str list = {0};
	int found, rc;

	*out = -1;
	if (!given) {
		found = columns_find(header_of(c), c->columns, usual, GROUPS, out);
		return found > 1 ? ambiguous(c, what, usual,
				       strcmp(what, "file") == 0 ? "data.file names it" : "data.label names it")
				 : 0;
	}
	*out = csv_column(c, given);
	if (*out >= 0)
		return 0;
	for (int i = 0; i < c->columns && i < LISTED_MAX; i++)
		str_addf(&list, "%s%.80s", i ? ", " : "", c->field[i]);
	if (c->columns > LISTED_MAX)
		str_addf(&list, ", ... (%d in all)", c->columns);
	rc = err_set(ERR_DATA, "%s:1: no column '%s'; there are: %s", c->name, given, str_text(&list));
	str_clear(&list);
	return rc;
}

/* Columns of labels: those called label and class where there are any, else of one other usual name each. */
static int find_labels(const struct csv *c, const struct data_options *o, struct columns *k)
{
	int number = -1, name = -1, rc;

	if (o->label) {
		k->class_name = -1;
		return find_column(c, o->label, "label", columns_of_number, &k->label);
	}
	if (columns_find(header_of(c), c->columns, columns_of_number, 1, &number) +
		columns_find(header_of(c), c->columns, columns_of_class, 1, &name) >
	    0) {
		k->label = number;
		k->class_name = name;
		return 0;
	}
	rc = find_column(c, NULL, "label", columns_of_number, &k->label);
	return !rc ? find_column(c, NULL, "class", columns_of_class, &k->class_name) : rc;
}

/* Whether a label is written as a number, be it one that is allowed. */
static bool is_numeric(const char *text)
{
	const char *digits = text + (*text == '-' || *text == '+');

	return *digits >= '0' && *digits <= '9';
}

/* A column of labels that holds no number holds names. */
static int find_names(const struct csv *c, struct columns *k)
{
	bool names = k->label >= 0 && c->rows > 1 && !is_numeric(csv_field(c, 1, k->label));

	for (int row = 2; names && row < c->rows; row++)
		if (is_numeric(csv_field(c, row, k->label)))
			return err_set(ERR_DATA,
			    "%s:%d: label '%.80s' is a number, and '%.80s' above is a name; a column called 'class' "
			    "holds names, whatever they look like",
			    c->name, c->line[row], csv_field(c, row, k->label), csv_field(c, 1, k->label));
	if (!names)
		return 0;
	if (k->class_name >= 0)
		return err_set(ERR_DATA,
		    "%s:1: the columns %s and %s both hold names; data.label names the one that counts", c->name,
		    c->field[k->label], c->field[k->class_name]);
	k->class_name = k->label;
	k->label = -1;
	return 0;
}

static void add_column(struct str *out, const struct csv *c, const char *key, int column, const char *usual)
{
	if (column >= 0 && strcmp(c->field[column], usual) != 0)
		str_addf(out, "%s%s: %.80s", out->len ? ", " : "", key, c->field[column]);
}

/* Says what was found under other names than those of the documentation. */
static int note_columns(const struct csv *c, const struct columns *k, const struct data_options *o, struct listing *l)
{
	const char *slash = strrchr(c->name, '/');
	struct str text = {0};
	int rc = 0;

	if (!o->file)
		add_column(&text, c, "file", k->file, "file");
	if (!o->label && k->label >= 0)
		add_column(&text, c, "label", k->label, "label");
	if (!o->label && k->class_name >= 0)
		add_column(&text, c, "class", k->class_name, "class");
	if (!o->split_column)
		add_column(&text, c, "split", k->splits.split, "split");
	if (k->splits.fold >= 0 && k->splits.first != 0)
		str_addf(&text, "%sfolds from 1, of which data.fold: 0 is the first", text.len ? ", " : "");
	if (!csv_delimiter_of(o->delimiter) && c->delimiter != ',')
		str_addf(&text, "%sdelimiter: %s", text.len ? ", " : "", csv_delimiter_name(c->delimiter));
	if (text.len)
		rc = note_found(&l->notes, "%s (%s)", slash ? slash + 1 : c->name, str_text(&text));
	str_clear(&text);
	return rc;
}

static int find_columns(const struct csv *c, struct columns *k, const struct data_options *o, struct listing *l)
{
	int rc = find_column(c, o->file, "file", columns_of_file, &k->file);

	if (!rc)
		rc = find_labels(c, o, k);
	if (!rc)
		rc = csv_find_splits(&k->splits, c, o, true, &l->notes);
	if (rc)
		return rc;
	k->archive = csv_column(c, "archive");
	if (k->file < 0 || (k->label < 0 && k->class_name < 0))
		return err_set(ERR_DATA,
		    "%s:1: the header must name 'file', and 'label' or 'class', or data.file and "
		    "data.label name these columns",
		    c->name);
	return find_names(c, k);
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

static bool names_archive(const char *value, const char *path)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	size_t stem = archive_stem(file), n = strlen(value);

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
		if (root[i] && strncmp(file, root[i], n) == 0 && file[n] == '/')
			return file + n + 1;
	}
	return NULL;
}

/* A file that lies elsewhere, by its absolute name. */
static int read_outside(const struct csv *c, int row, const char *file, char **out)
{
	char *clean = mem_strdup(file);
	int rc = clean ? 0 : ERR_NOMEM;

	if (!rc && (!path_clean(clean) || *clean == '\0'))
		rc = err_set(ERR_DATA, "%s:%d: '%s' is no name of a file", c->name, c->line[row], file);
	if (!rc && !(*out = mem_printf("/%s", clean)))
		rc = ERR_NOMEM;
	mem_free(clean);
	return rc;
}

/* The file of a row as the folder or the archive has it. */
static int read_file(const struct csv *c, const struct columns *k, int row, const struct images_state *st, char **out)
{
	const char *file = csv_field(c, row, k->file), *given = file;

	if (*file == '\0')
		return err_set(ERR_DATA, "%s:%d: the file name is empty", c->name, c->line[row]);
	if (*file == '/' && !(file = below_root(st, file))) {
		if (st->outside && st->n_archive == 0)
			return read_outside(c, row, given, out);
		return err_set(ERR_DATA, "%s:%d: the absolute name '%s' is not below %s%s", c->name, c->line[row],
		    given, st->n_archive > 0 ? "an archive" : st->root,
		    st->n_archive > 0 ? "" : "; outside: true allows absolute names that lie elsewhere");
	}
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
	if (!rc)
		rc = csv_split(c, &k->splits, row, &split);
	if (!rc && k->label >= 0) {
		rc = parse_label(c, row, csv_field(c, row, k->label), &label);
		label -= k->first;
	} else if (!rc)
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

static int find_range(const struct csv *c, const struct columns *k, int32_t *least, int32_t *most)
{
	int32_t label = 0;

	*most = 0;
	*least = MAX_LABEL;
	for (int row = 1; row < c->rows; row++) {
		int rc = parse_label(c, row, csv_field(c, row, k->label), &label);

		if (rc != 0)
			return rc;
		*most = label > *most ? label : *most;
		*least = label < *least ? label : *least;
	}
	return 0;
}

/* Names for numbers, from the class column or the numbers themselves; both columns must agree in every row, and every
 * number from 0 or 1 up to the largest must occur. */
static int name_numbers(struct listing *l, const struct csv *c, struct columns *k)
{
	int32_t least, most, label;
	int rc = find_range(c, k, &least, &most);

	if (rc != 0)
		return rc;
	k->first = least == 1 ? 1 : 0;
	l->classes = most + 1 - k->first;
	l->class_name = mem_alloc((size_t)l->classes, sizeof(char *));
	if (!l->class_name)
		return ERR_NOMEM;
	for (int row = 1; row < c->rows; row++) {
		const char *text = csv_field(c, row, k->label);
		const char *name = k->class_name < 0 ? text : csv_field(c, row, k->class_name);

		label = (int32_t)strtol(text, NULL, 10) - k->first;
		if (!l->class_name[label] && !(l->class_name[label] = mem_strdup(name)))
			return ERR_NOMEM;
		if (strcmp(l->class_name[label], name) != 0)
			return err_set(ERR_DATA, "%s:%d: label %d is class '%s' here and '%s' above", c->name,
			    c->line[row], label + k->first, name, l->class_name[label]);
	}
	for (label = 0; label < l->classes; label++) {
		if (!l->class_name[label])
			return err_set(ERR_DATA, "%s: labels go from %d up to %d, but no row has label %d", c->name,
			    least, most, label + k->first);
	}
	return k->first ? note_found(&l->notes, "labels from 1 to %d, which are the classes 0 to %d", most, most - 1)
			: 0;
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

int images_read_index(struct listing *l, const struct images_state *st, const struct data_options *o, const char *path)
{
	struct csv c = {0};
	struct columns k = {0};
	struct names classes = {0};
	int rc = csv_read(&c, path, csv_delimiter_of(o->delimiter));

	if (!rc)
		rc = find_columns(&c, &k, o, l);
	if (!rc && c.rows < 2)
		rc = err_set(ERR_DATA, "%s: no rows below the header", path);
	if (!rc)
		rc = note_columns(&c, &k, o, l);
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
