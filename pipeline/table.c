/* Tables of texts. */
#include "pipeline/table.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/unicode.h"

/* UTF-8 has the control characters U+0080 to U+009F as two bytes, of which the first is C2. */
static void replace_controls(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
	}
}

/* Takes the text; NULL is a failed allocation. */
static void append(struct table *t, char *text)
{
	size_t n = (size_t)t->cells;
	if (!t->failed && text && n == t->cap) {
		size_t cap = n ? 2 * n : 64;
		char **grown = mem_grow(t->cell, n, cap, sizeof(*grown));
		t->cell = grown ? grown : t->cell;
		t->cap = grown ? cap : t->cap;
	}
	if (t->failed || !text || n == t->cap) {
		t->failed = true;
		mem_free(text);
		return;
	}
	replace_controls(text);
	t->cell[t->cells++] = text;
}

void table_open(struct table *t, const char *const *head, int columns)
{
	*t = (struct table){.columns = columns};
	for (int c = 0; c < columns; c++)
		append(t, mem_strdup(head[c]));
}

void table_close(struct table *t)
{
	for (int i = 0; i < t->cells; i++)
		mem_free(t->cell[i]);
	mem_free(t->cell);
	*t = (struct table){0};
}

void table_add(struct table *t, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	char *text = n < 0 ? NULL : mem_alloc((size_t)n + 1, 1);
	if (text)
		vsnprintf(text, (size_t)n + 1, format, again);
	va_end(again);
	va_end(args);
	append(t, text);
}

/* In Markdown a bar ends a cell, and what looks like a tag of HTML is one and not seen. */
static bool is_markup(const char *at)
{
	return *at == '|' || (*at == '<' && at[1] && (isalpha((unsigned char)at[1]) || strchr("/!?", at[1])));
}

static void write_cell(const char *text, bool markdown, struct str *out)
{
	for (; *text; text++) {
		if (markdown && is_markup(text))
			str_add(out, "\\");
		str_addn(out, text, 1);
	}
}

/* Of the character at *at, which moves behind it. */
static int next_columns(const char **at)
{
	const unsigned char *p = (const unsigned char *)*at;
	int32_t c = unicode_decode(&p, p + strlen(*at));
	*at = (const char *)p;
	return c < 0 ? 1 : unicode_columns(c);
}

/* Columns of a terminal: names may be of any script. */
static int width_of(const char *text, bool markdown)
{
	int n = 0;
	while (*text) {
		n += markdown && is_markup(text);
		n += next_columns(&text);
	}
	return n;
}

/* Column 0 and columns first..last-1. */
static void write_row(
    const struct table *t, int row, const int *width, int first, int last, bool markdown, struct str *out)
{
	for (int c = 0; c < last; c = c ? c + 1 : first) {
		const char *text = t->cell[row * t->columns + c];
		int pad = width[c] - width_of(text, markdown);
		str_add(out, markdown ? (c ? " | " : "| ") : (c ? "  " : ""));
		str_addf(out, "%*s", c ? pad : 0, "");
		write_cell(text, markdown, out);
		str_addf(out, "%*s", c ? 0 : pad, "");
	}
	str_add(out, markdown ? " |\n" : "\n");
}

/* The width of each column; NULL: out has failed. */
static int *measure(const struct table *t, bool markdown, struct str *out)
{
	int *width = t->failed ? NULL : mem_alloc((size_t)t->columns, sizeof(*width));
	if (!width) {
		out->failed = true;
		return NULL;
	}
	for (int i = 0; i < t->cells / t->columns * t->columns; i++) {
		int n = width_of(t->cell[i], markdown);
		width[i % t->columns] = n > width[i % t->columns] ? n : width[i % t->columns];
	}
	return width;
}

/* Cells of column c that are wider than `room` lose their beginning: paths differ at their end. */
static void shorten_column(struct table *t, int *width, int c, int room)
{
	static const char dots[] = "...";
	const int n = (int)sizeof(dots) - 1;
	if (width[c] <= room)
		return;
	for (int i = c; i < t->cells / t->columns * t->columns; i += t->columns) {
		char *text = t->cell[i];
		const char *rest = text;
		int over = width_of(text, false) - room;
		if (over <= 0)
			continue;
		for (over += n; *rest && (over > 0 || rest - text < n);)
			over -= next_columns(&rest);
		memcpy(text, dots, (size_t)n);
		memmove(text + n, rest, strlen(rest) + 1);
	}
	width[c] = room;
}

/* A block is the first column and one beside it at least: together they have `most` columns of the terminal. The widest
 * of the others decides for all blocks, so that a row has one name. */
static void shorten(struct table *t, int *width, int most)
{
	enum { LEAST = 12 };
	int beside = most - 2 - LEAST < LEAST ? LEAST : most - 2 - LEAST, widest = 0;
	for (int c = 1; c < t->columns; c++) {
		shorten_column(t, width, c, beside);
		widest = width[c] > widest ? width[c] : widest;
	}
	shorten_column(t, width, 0, most - 2 - widest < LEAST ? LEAST : most - 2 - widest);
}

/* The end of the block of columns that begins with `first`. */
static int block_end(const struct table *t, const int *width, int first, int most)
{
	int end = first, used = width[0];
	while (end < t->columns && (end == first || !most || used + 2 + width[end] <= most))
		used += 2 + width[end++];
	return end;
}

void table_write(struct table *t, int width, struct str *out)
{
	int *of_column = measure(t, false, out);
	if (!of_column)
		return;
	if (width)
		shorten(t, of_column, width);
	int first = 1;
	do {
		int end = block_end(t, of_column, first, width);
		str_add(out, first > 1 ? "\n" : "");
		for (int r = 0; r < t->cells / t->columns; r++)
			write_row(t, r, of_column, first, end, false, out);
		first = end;
	} while (first < t->columns);
	mem_free(of_column);
}

void table_markdown(const struct table *t, struct str *out)
{
	int *width = measure(t, true, out);
	if (!width)
		return;
	for (int r = 0; r < t->cells / t->columns; r++) {
		write_row(t, r, width, 1, t->columns, true, out);
		for (int c = 0; r == 0 && c < t->columns; c++)
			str_addf(out, "%s%s", c ? " --: |" : "| --- |", c == t->columns - 1 ? "\n" : "");
	}
	mem_free(width);
}
