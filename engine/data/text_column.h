/* The texts of one column of a CSV, TSV or JSON Lines file, whatever else is in it, or the lines of a file: samples
 * without labels. */
#ifndef ENGINE_DATA_TEXT_COLUMN_H
#define ENGINE_DATA_TEXT_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct data_options;
struct text_file;

/* Which texts are read, and how. */
struct text_column_options {
	const char *column, *pair_column; /* NULL: see data/columns.h */
	bool pairs;                       /* two texts make a sample */
	/* What messages call the options that name them; NULL: as in the block `data`. */
	const char *column_option, *pair_option;
	/* Quotes, delimiter and encoding are its, and its columns where none is named; NULL: the usual ones. */
	const struct data_options *like;
};

/* A zeroed struct is empty. */
struct text_column {
	struct text_file *file;
	int64_t n;
};
/* Whether the file is one of those by its name: .csv, .tsv, .tab, .jsonl. */
bool text_column_has_suffix(const char *path);
/* A file with another name than those holds a text a line, UTF-8, or a pair, divided by a tab; a blank line is an empty
 * text, or a pair of two. ERR_DATA: "PATH:LINE: ..." or "PATH:LINE:COLUMN: ...". */
int text_column_read(struct text_column *out, const char *path, const struct text_column_options *o);
bool text_line_is_blank(const char *line, size_t n);
#define TEXT_PAIR_EMPTY "\0" /* 1 byte: what a blank line is among pairs */
/* A line of a pair that is not blank: the tab between its two texts becomes a NUL byte. ERR_DATA: there is none, or
 * more than one, or a NUL byte. */
int text_pair_divide(const char *where, char *line, size_t n);
/* Text i, without the blanks at its ends and maybe empty; not NUL-terminated; borrowed. Of a pair both texts with a NUL
 * byte between them. *line: where it begins, from 1. */
const char *text_column_row(const struct text_column *c, int64_t i, size_t *bytes, int *line);
void text_column_clear(struct text_column *c);

#endif
