/* What a table says of its own form: what divides it, which column names the splits. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/columns.h"
#include "data/csv.h"
#include "data/notes.h"
#include "data/source.h"

enum { DELIMITER_AUTO, DELIMITER_COMMA, DELIMITER_SEMICOLON, DELIMITER_TAB }; /* the order of the option's choices */

char csv_delimiter_of(int choice)
{
	static const char of[] = {
	    [DELIMITER_AUTO] = '\0', [DELIMITER_COMMA] = ',', [DELIMITER_SEMICOLON] = ';', [DELIMITER_TAB] = '\t'};

	return of[choice];
}

const char *csv_delimiter_name(char delimiter)
{
	return delimiter == '\t' ? "tab" : delimiter == ';' ? "';'" : "','";
}

/* What the rows of a column hold: words for splits, and others. */
struct split_words {
	int splits, others, first_other;
};

static struct split_words count_words(const struct csv *c, int column)
{
	struct split_words w = {0};

	for (int row = 1; row < c->rows; row++) {
		const char *s = csv_field(c, row, column);

		if (!*s)
			continue;
		if (split_of_word(s, strlen(s)) != SPLIT_NONE)
			w.splits++;
		else if (w.others++ == 0)
			w.first_other = row;
	}
	return w;
}

static bool is_usual(const struct csv *c, int column, int groups)
{
	int at;

	return columns_find((const char *const *)c->field + column, 1, columns_of_split, groups, &at) > 0;
}

/* The column of these names that holds nothing but words for splits. */
static int find_whole(int *out, const struct csv *c, int groups)
{
	for (int i = 0; i < c->columns; i++) {
		const struct split_words w = is_usual(c, i, groups) ? count_words(c, i) : (struct split_words){0};

		if (w.splits == 0 || w.others > 0)
			continue;
		if (*out >= 0)
			return err_set(ERR_DATA,
			    "%s:1: which column names the splits? '%.80s' and '%.80s' both do; call one of them "
			    "otherwise",
			    c->name, c->field[*out], c->field[i]);
		*out = i;
	}
	return 0;
}

/* Whoever has a column like this and a word that is not known would otherwise have other splits without a word. */
static int note_others(struct data_notes *notes, const struct csv *c, int column)
{
	const struct split_words w = count_words(c, column);
	const char *slash = strrchr(c->name, '/');
	char *text;
	int rc;

	if (w.others == 0 || (w.splits == 0 && !is_usual(c, column, 1)))
		return 0;
	text = mem_printf("%s: %.20s, %d of %d rows, the first in line %d: '%.40s'", slash ? slash + 1 : c->name,
	    c->field[column], w.others, c->rows - 1, c->line[w.first_other], csv_field(c, w.first_other, column));
	rc = text ? note_add(notes, NOTE_SPLIT, text) : ERR_NOMEM;
	mem_free(text);
	return rc;
}

int csv_split_column(int *out, const struct csv *c, bool certain, struct data_notes *notes)
{
	int rc = 0;

	*out = -1;
	if (certain && columns_find((const char *const *)c->field, c->columns, columns_of_split, 1, out) > 0)
		return 0;
	for (int groups = 1; groups <= 2 && !rc && *out < 0; groups++)
		rc = find_whole(out, c, groups);
	for (int i = 0; i < c->columns && !rc && *out < 0; i++)
		if (is_usual(c, i, 2))
			rc = note_others(notes, c, i);
	return rc;
}

int csv_split(const struct csv *c, int row, int column, int *out)
{
	const char *s = csv_field(c, row, column);

	*out = split_of_word(s, strlen(s));
	if (*out != SPLIT_NONE || *s == '\0')
		return 0;
	return err_set(ERR_DATA,
	    "%s:%d: split '%.80s' is not train or training, val, valid, validation or dev, test or testing, nor empty",
	    c->name, c->line[row], s);
}
