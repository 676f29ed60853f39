/* Private to engine/data: comma-separated values as in RFC 4180 (quotes, doubled quotes, line breaks inside quotes,
 * LF or CRLF, an UTF-8 byte order mark). The first record is the header; every record has as many fields. Empty lines
 * are skipped at the end of the file only, and not where a record is one field. */
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
};
struct csv_dialect {
	char delimiter;
	bool quotes; /* false: a quote is a character like others, and a field holds no delimiter and no line end */
};
extern const struct csv_dialect csv_rfc4180;
/* ERR_DATA: "NAME:LINE:COLUMN: ..." */
int csv_parse(struct csv *out, const char *name, const char *bytes, size_t n, const struct csv_dialect *d);
/* RFC 4180 */
int csv_read(struct csv *out, const char *path);
void csv_clear(struct csv *c);
/* The header's column, or -1. */
int csv_column(const struct csv *c, const char *title);
const char *csv_field(const struct csv *c, int row, int column);

#endif
