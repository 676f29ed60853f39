/* What a table says of its own form: what divides it, which columns name the splits and the folds. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/columns.h"
#include "data/csv.h"
#include "data/notes.h"
#include "data/source.h"

#define LISTED_MAX 20 /* columns in a message */

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

/* Splits that are named, but not in all rows by words that are known, would otherwise be cut anew without regard to
 * them; a column that is called split and names none is another thing, which is said. */
static int judge_others(struct data_notes *notes, const struct csv *c, int column)
{
	const struct split_words w = count_words(c, column);
	const char *slash = strrchr(c->name, '/');
	char *text;
	int rc;

	if (w.others > 0 && w.splits > 0)
		return err_set(ERR_DATA,
		    "%s:%d: the column '%.80s' names splits in %d rows, and '%.80s' here, which is not train or "
		    "training, val, valid, validation or dev, test or testing, nor empty; split_column: \"\" passes it "
		    "over",
		    c->name, c->line[w.first_other], c->field[column], w.splits, csv_field(c, w.first_other, column));
	if (w.others == 0 || !is_usual(c, column, 1))
		return 0;
	text = mem_printf("%s: %.20s, %d of %d rows, the first in line %d: '%.40s'", slash ? slash + 1 : c->name,
	    c->field[column], w.others, c->rows - 1, c->line[w.first_other], csv_field(c, w.first_other, column));
	rc = text ? note_add(notes, NOTE_SPLIT, text) : ERR_NOMEM;
	mem_free(text);
	return rc;
}

static int find_split(struct csv_splits *k, const struct csv *c, bool certain, struct data_notes *notes)
{
	int rc = 0;

	if (certain && columns_find((const char *const *)c->field, c->columns, columns_of_split, 1, &k->split) > 0)
		return 0;
	for (int groups = 1; groups <= 2 && !rc && k->split < 0; groups++)
		rc = find_whole(&k->split, c, groups);
	for (int i = 0; i < c->columns && !rc && k->split < 0; i++)
		if (is_usual(c, i, 2))
			rc = judge_others(notes, c, i);
	return rc;
}

static int find_given(const struct csv *c, const char *key, const char *name, int *out)
{
	struct str list = {0};
	int rc;

	*out = csv_column(c, name);
	if (*out >= 0)
		return 0;
	for (int i = 0; i < c->columns && i < LISTED_MAX; i++)
		str_addf(&list, "%s%.80s", i ? ", " : "", c->field[i]);
	rc = err_set(ERR_DATA, "%s:1: %s: there is no column '%s'; there are: %s%s", c->name, key, name,
	    str_text(&list), c->columns > LISTED_MAX ? ", ..." : "");
	str_clear(&list);
	return rc;
}

/* ---- folds ---- */

static bool read_fold(const char *text, long *out)
{
	char *end;

	*out = strtol(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0';
}

/* All numbers from 0 or 1 on must be there, as many as there are folds. */
static int number_folds(struct csv_splits *k, const struct csv *c, const struct data_options *o)
{
	const char *name = c->field[k->fold];
	long fold, least = LONG_MAX;
	bool *seen = mem_alloc((size_t)o->folds + 1, sizeof(*seen));
	int rc = seen ? 0 : ERR_NOMEM;

	for (int row = 1; row < c->rows && !rc; row++) {
		if (!read_fold(csv_field(c, row, k->fold), &fold) || fold > o->folds)
			rc = err_set(ERR_DATA,
			    "%s:%d: %s '%.80s' is not the number of one of %lld folds, from 0 or from 1", c->name,
			    c->line[row], name, csv_field(c, row, k->fold), (long long)o->folds);
		else
			seen[fold] = true;
		least = !rc && fold < least ? fold : least;
	}
	k->first = least == 0 ? 0 : 1;
	for (long i = 0; i <= o->folds && !rc; i++)
		if (seen[i] != (i >= k->first && i < k->first + o->folds))
			rc = err_set(ERR_DATA,
			    "%s: the column '%s' %s fold %ld; with %lld folds, and %ld as the first, they are %ld to "
			    "%ld",
			    c->name, name, seen[i] ? "has" : "has no", i, (long long)o->folds, k->first, k->first,
			    k->first + (long)o->folds - 1);
	k->test = k->first + (long)o->fold;
	mem_free(seen);
	return rc;
}

/* Splits that the table names as well are not what is trained and tested on. */
static int note_passed_over(const struct csv *c, struct data_notes *notes)
{
	const char *slash = strrchr(c->name, '/');
	int rc = 0;

	for (int i = 0; i < c->columns && !rc; i++)
		if (is_usual(c, i, 2) && count_words(c, i).splits > 0)
			rc = note_found(notes, "%s (splits of column %.40s passed over for data.fold_column)",
			    slash ? slash + 1 : c->name, c->field[i]);
	return rc;
}

/* Folds that a table has for everyone are easily missed. */
static int note_folds(const struct csv *c, struct data_notes *notes)
{
	const char *slash = strrchr(c->name, '/');
	int column = -1, rc = 0;
	bool numbers;
	long fold;

	if (columns_find((const char *const *)c->field, c->columns, columns_of_fold, 1, &column) == 0)
		return 0;
	numbers = c->rows > 1;
	for (int row = 1; row < c->rows && numbers; row++)
		numbers = read_fold(csv_field(c, row, column), &fold);
	if (!numbers)
		return 0;
	char *text = mem_printf("%s: %.40s", slash ? slash + 1 : c->name, c->field[column]);
	rc = text ? note_add(notes, NOTE_FOLD, text) : ERR_NOMEM;
	mem_free(text);
	return rc;
}

int csv_find_splits(
    struct csv_splits *out, const struct csv *c, const struct data_options *o, bool certain, struct data_notes *notes)
{
	int rc = 0;

	*out = (struct csv_splits){.split = -1, .fold = -1};
	if (o->fold_column) {
		rc = find_given(c, "fold_column", o->fold_column, &out->fold);
		if (!rc)
			rc = number_folds(out, c, o);
		return rc || o->split_column ? rc : note_passed_over(c, notes);
	}
	if (!o->split_column)
		rc = find_split(out, c, certain, notes);
	else if (*o->split_column)
		rc = find_given(c, "split_column", o->split_column, &out->split);
	return !rc && out->split < 0 ? note_folds(c, notes) : rc;
}

int csv_split(const struct csv *c, const struct csv_splits *k, int row, int *out)
{
	long fold;

	*out = SPLIT_NONE;
	if (k->fold >= 0) {
		if (read_fold(csv_field(c, row, k->fold), &fold) && fold == k->test)
			*out = SPLIT_TEST;
		return 0;
	}
	if (k->split < 0)
		return 0;
	const char *s = csv_field(c, row, k->split);
	*out = split_of_word(s, strlen(s));
	if (*out != SPLIT_NONE || *s == '\0')
		return 0;
	return err_set(ERR_DATA,
	    "%s:%d: split '%.80s' is not train or training, val, valid, validation or dev, test or testing, nor empty",
	    c->name, c->line[row], s);
}
