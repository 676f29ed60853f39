/* Rows of a CSV or TSV file, whose header names the columns. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/texts.h"

enum { QUOTES_CSV, QUOTES_NONE };

static int parse(struct text_file *f, const struct data_options *o)
{
	struct csv_dialect d = {csv_delimiter_of(o->delimiter), o->quotes == QUOTES_CSV};
	struct fs_bytes b;
	int rc = text_file_read(f, (enum data_encoding)o->encoding, "; encoding: latin1 reads ISO-8859-1", &b);

	if (!rc && !d.delimiter) {
		d.delimiter = csv_find_delimiter(f->path, (const char *)b.data, b.size, d.quotes);
		if (d.delimiter != csv_find_delimiter(f->path, "", 0, d.quotes))
			text_file_found(f, "delimiter", csv_delimiter_name(d.delimiter));
	}
	if (!rc)
		rc = csv_parse(&f->csv, f->path, (const char *)b.data, b.size, &d);
	if (rc == ERR_DATA && strstr(err_message(), "a quote inside"))
		err_set(ERR_DATA, "%s; quotes: none takes quotes as characters", err_message());
	fs_bytes_clear(&b);
	return rc;
}

/* A header of one field that holds another delimiter was most likely read with the wrong one. */
static int check_header(const struct csv *c)
{
	static const char other[] = ",;\t";

	for (const char *p = other; c->columns == 1 && *p; p++) {
		if (strchr(c->field[0], *p))
			return err_set(ERR_DATA, "%s:1: the header is one column, '%.200s'; is the delimiter %s?",
			    c->name, c->field[0],
			    *p == '\t'  ? "tab"
			    : *p == ';' ? "';'"
					: "','");
	}
	for (int i = 0; i < c->columns; i++) {
		if (csv_column(c, c->field[i]) != i)
			return err_set(ERR_DATA, "%s:1: two columns are called '%s'", c->name, c->field[i]);
	}
	return 0;
}

/* The columns of the labels, in column[]; *n of them. */
static int label_columns(const struct csv *c, const struct data_options *o, const char *where, int *column, int *n)
{
	const char *const *header = (const char *const *)c->field;
	int rc = 0;

	*n = o->labels.n > 0 ? o->labels.n : 1;
	if (o->labels.n == 0)
		return text_choose(where, "label", "label", o->label, columns_of_label, header, c->columns, column);
	for (int i = 0; i < o->labels.n && !rc; i++)
		rc = text_choose(where, "labels", "labels", o->labels.v[i], NULL, header, c->columns, column + i);
	return rc;
}

/* The columns that name the splits of a file that is the only one. */
static int find_splits(struct csv_splits *out, struct text_file *f, const struct data_options *o)
{
	int rc;

	*out = (struct csv_splits){.split = -1, .fold = -1};
	if (!f->notes)
		return 0;
	rc = csv_find_splits(out, &f->csv, o, false, f->notes);
	f->by_row = out->split >= 0 || out->fold >= 0;
	if (!rc && out->split >= 0 && !o->split_column)
		text_file_found(f, "split", f->csv.field[out->split]);
	if (!rc && out->fold >= 0 && out->first != 0)
		text_file_found(f, "folds", "from 1, of which data.fold: 0 is the first");
	return rc;
}

/* Memory for pairs, in which the two texts lie one behind the other. */
static int open_pairs(struct text_file *f, const struct text_columns *t, char **at)
{
	const struct csv *c = &f->csv;
	size_t room = 1;

	f->pairs = t->pair >= 0;
	for (int r = 1; r < c->rows && f->pairs; r++)
		room += strlen(csv_field(c, r, t->text)) + strlen(csv_field(c, r, t->pair)) + 2;
	*at = f->strings = f->pairs ? mem_alloc(room, 1) : NULL;
	return *at || !f->pairs ? 0 : ERR_NOMEM;
}

static int add_row(struct text_file *f, const struct text_columns *t, int r, char **at)
{
	const struct csv *c = &f->csv;
	const char *s = csv_field(c, r, t->text);
	int rc;

	if (!f->pairs)
		return text_file_add(f, c->line[r], s, strlen(s));
	rc = text_file_add_pair(f, c->line[r], *at, s, csv_field(c, r, t->pair));
	*at += !rc ? f->row[f->n - 1].bytes + 1 : 0;
	return rc;
}

int texts_read_csv(struct text_file *f, const struct data_options *o)
{
	struct csv *c = &f->csv;
	const char *const *header;
	char where[1100], *at = NULL;
	struct csv_splits splits;
	struct text_columns text;
	int n_label = 0, *column = NULL;
	int rc = parse(f, o);

	if (!rc)
		rc = check_header(c);
	if (rc != 0)
		return rc;
	snprintf(where, sizeof(where), "%s:1", f->path);
	f->form = o->labels.n > 0 ? LABEL_COLUMNS : LABEL_ONE;
	column = mem_alloc((size_t)o->labels.n + 1, sizeof(*column));
	if (!column)
		return ERR_NOMEM;
	header = (const char *const *)c->field;
	rc = text_choose_columns(where, f, o, header, c->columns, &text);
	if (!rc && !f->unlabelled)
		rc = label_columns(c, o, where, column, &n_label);
	if (!rc && n_label > 0 && o->labels.n == 0)
		rc = text_check_label(where, &text, column[0], header);
	if (!rc)
		text_columns_found(f, o, &text, header, c->columns);
	if (!rc && n_label > 0 && o->labels.n == 0 && !o->label &&
	    !columns_is_plain(c->field[column[0]], columns_of_label))
		text_file_found(f, "label", c->field[column[0]]);
	if (!rc)
		rc = find_splits(&splits, f, o);
	if (!rc)
		rc = open_pairs(f, &text, &at);
	for (int r = 1; r < c->rows && !rc; r++) {
		rc = add_row(f, &text, r, &at);
		if (!rc)
			rc = csv_split(c, &splits, r, &f->row[f->n - 1].split);
		for (int k = 0; k < n_label && !rc; k++)
			rc = text_file_value(f, c->field[(size_t)r * (size_t)c->columns + (size_t)column[k]]);
	}
	mem_free(column);
	return rc;
}
