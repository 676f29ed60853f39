/* What a table says of its own form: what divides it, which column names the splits. */
#include <string.h>

#include "base/err.h"
#include "data/columns.h"
#include "data/csv.h"
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

static bool all_name_splits(const struct csv *c, int column)
{
	bool any = false;

	for (int row = 1; row < c->rows; row++) {
		const char *s = csv_field(c, row, column);

		any = any || *s;
		if (*s && split_of_word(s, strlen(s)) == SPLIT_NONE)
			return false;
	}
	return any;
}

int csv_split_column(const struct csv *c, bool certain)
{
	const char *const *header = (const char *const *)c->field;
	int at = -1, found = columns_find(header, c->columns, columns_of_split, 1, &at);

	if (found > 0 && certain)
		return at;
	if (found == 0)
		found = columns_find(header, c->columns, columns_of_split, 2, &at);
	return found == 1 && all_name_splits(c, at) ? at : -1;
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
