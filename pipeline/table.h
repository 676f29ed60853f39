/* A table of texts: a head and any number of rows, written for the eye or as Markdown. */
#ifndef PIPELINE_TABLE_H
#define PIPELINE_TABLE_H

#include "base/str.h"

struct table {
	int columns, cells; /* cells: of the head and all rows, row by row */
	char **cell;        /* owned */
	size_t cap;
	bool failed; /* an allocation failed: what is written is empty, and its str has failed */
};

void table_open(struct table *t, const char *const *head, int columns);
void table_close(struct table *t);
/* Adds the next cell; a row is full after `columns` of them. A cell is one line: control characters, which would break
 * columns or reach the terminal, become '?'. */
void table_add(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For the eye: the first column is aligned to the left, the others to the right. Columns that would make lines longer
 * than `width` columns of the terminal go into blocks below, which repeat the first column; a block has at least one
 * column beside it. A first column that would leave no room for another one is shortened in t, at the beginning of its
 * texts. width 0: one block, nothing is shortened. */
void table_write(struct table *t, int width, struct str *out);
void table_markdown(const struct table *t, struct str *out);

#endif
