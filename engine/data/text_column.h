/* The texts of one column of a CSV, TSV or JSON Lines file, whatever else is in it, or the lines of a file: samples
 * without labels. */
#ifndef ENGINE_DATA_TEXT_COLUMN_H
#define ENGINE_DATA_TEXT_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct data_options;
struct text_file;

/* A zeroed struct is empty. */
struct text_column {
	struct text_file *file;
	int64_t n;
};
/* Whether the file is one of those by its name: .csv, .tsv, .tab, .jsonl. */
bool text_column_has_suffix(const char *path);
/* column NULL: the one that is called text, sentence or comment. ERR_DATA: "PATH:LINE: ..." or "PATH:LINE:COLUMN: ...".
 */
int text_column_read(struct text_column *out, const char *path, const char *column);
/* The same with quotes, delimiter and encoding of `like`, and its column where none is named; NULL: the usual ones. A
 * file with another name than those holds a text a line, UTF-8. */
int text_column_read_as(struct text_column *out, const char *path, const char *column, const struct data_options *like);
/* Text i, without the blanks at its ends and maybe empty; not NUL-terminated; borrowed. *line: where it begins, from 1.
 */
const char *text_column_row(const struct text_column *c, int64_t i, size_t *bytes, int *line);
void text_column_clear(struct text_column *c);

#endif
