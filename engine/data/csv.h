/* Private to engine/data: comma-separated values as in RFC 4180 (quotes, doubled quotes, line breaks inside quotes,
 * LF or CRLF, an UTF-8 byte order mark). The first record is the header; every record has as many fields. Empty lines
 * (and those of blanks) are skipped at the end of the file only, and not where a record is one field. */
#ifndef ENGINE_DATA_CSV_H
#define ENGINE_DATA_CSV_H

#include <stdbool.h>
#include <stddef.h>

struct csv {
	char *name;        /* for messages */
	char *text;        /* the fields' text, unquoted, NUL-terminated */
	char **field;      /* rows x columns, the header first; they point into text */
	int *line;         /* where row r begins, 1-based */
	int columns, rows; /* rows include the header */
	char delimiter;
};
struct csv_dialect {
	char delimiter;
	bool quotes; /* false: a quote is a character like others, and a field holds no delimiter and no line end */
};
extern const struct csv_dialect csv_rfc4180;
/* ERR_DATA: "NAME:LINE:COLUMN: ..." */
int csv_parse(struct csv *out, const char *name, const char *bytes, size_t n, const struct csv_dialect *d);
/* What divides the header's fields: the only one of ',', ';' and tab that is in its first line outside of quotes. Where
 * there are several or none it is a tab in files called .tsv or .tab, else a comma. */
char csv_find_delimiter(const char *path, const char *bytes, size_t n, bool quotes);
/* RFC 4180. delimiter 0: it is found. */
int csv_read(struct csv *out, const char *path, char delimiter);
/* Of a choice of the option data.delimiter; 0: auto. */
char csv_delimiter_of(int choice);
const char *csv_delimiter_name(char delimiter);
/* Which column names the splits, and which the folds of a table. */
struct data_options;
struct data_notes;
struct csv_splits {
	int split, fold; /* columns; -1: there is none */
	long first;      /* the number of the first fold */
	long test;       /* that of the fold for testing */
};
/* Those that the options name. Else splits are in a column that is called split, or by another usual name, whose words
 * are all of splits. certain: one called split counts whatever it holds. ERR_DATA: two may be it; a column of a usual
 * name has words of splits and others. A column called so that has none of them, and one of numbers called fold, are
 * noted (NOTE_SPLIT, NOTE_FOLD); so are splits beside folds that the options name (NOTE_FOUND). */
int csv_find_splits(
    struct csv_splits *out, const struct csv *c, const struct data_options *o, bool certain, struct data_notes *notes);
/* The split of a row, SPLIT_NONE if it is left open. ERR_DATA: "NAME:LINE: ...". */
int csv_split(const struct csv *c, const struct csv_splits *k, int row, int *out);
void csv_clear(struct csv *c);
/* The header's column, or -1. */
int csv_column(const struct csv *c, const char *title);
const char *csv_field(const struct csv *c, int row, int column);

#endif
