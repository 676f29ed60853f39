/* Private to engine/data: comma-separated values as in RFC 4180 (quotes, doubled quotes, line breaks inside quotes,
 * LF or CRLF, an UTF-8 byte order mark). The first record is the header; every record has as many fields. */
#ifndef ENGINE_DATA_CSV_H
#define ENGINE_DATA_CSV_H

#include <stddef.h>

struct csv {
	char *name;         /* for messages */
	char *text;         /* the fields' text, unquoted, NUL-terminated */
	const char **field; /* rows x columns, the header first */
	int *line;          /* where row r begins, 1-based */
	int columns, rows;  /* rows include the header */
};
/* ERR_DATA: "NAME:LINE:COLUMN: ..." */
int csv_parse(struct csv *out, const char *name, const char *bytes, size_t n);
int csv_read(struct csv *out, const char *path);
void csv_clear(struct csv *c);
/* The header's column, or -1. */
int csv_column(const struct csv *c, const char *title);
const char *csv_field(const struct csv *c, int row, int column);

#endif
