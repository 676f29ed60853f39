/* Tables of texts. */
#include "pipeline/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

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

/* In Markdown a bar ends a cell. */
static void write_cell(const char *text, bool markdown, struct str *out)
{
	for (size_t n; *text; text += n) {
		n = markdown ? strcspn(text, "|") : strlen(text);
		str_addn(out, text, n);
		if (text[n] == '|') {
			str_add(out, "\\|");
			n++;
		}
	}
}

/* Characters, not bytes: names may be of any script. */
static int width_of(const char *text, bool markdown)
{
	int n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80 ? 1 + (markdown && *text == '|') : 0;
	return n;
}

static void write_row(const struct table *t, int row, const int *width, bool markdown, struct str *out)
{
	for (int c = 0; c < t->columns; c++) {
		const char *text = t->cell[row * t->columns + c];
		int pad = width[c] - width_of(text, markdown);
		str_add(out, markdown ? (c ? " | " : "| ") : (c ? "  " : ""));
		str_addf(out, "%*s", c ? pad : 0, "");
		write_cell(text, markdown, out);
		str_addf(out, "%*s", c ? 0 : pad, "");
	}
	str_add(out, markdown ? " |\n" : "\n");
}

void table_write(const struct table *t, bool markdown, struct str *out)
{
	int *width = t->failed ? NULL : mem_alloc((size_t)t->columns, sizeof(*width));
	if (!width) {
		out->failed = true;
		return;
	}
	int rows = t->cells / t->columns;
	for (int i = 0; i < rows * t->columns; i++) {
		int n = width_of(t->cell[i], markdown);
		width[i % t->columns] = n > width[i % t->columns] ? n : width[i % t->columns];
	}
	for (int r = 0; r < rows; r++) {
		write_row(t, r, width, markdown, out);
		for (int c = 0; markdown && r == 0 && c < t->columns; c++)
			str_addf(out, "%s%s", c ? " --: |" : "| --- |", c == t->columns - 1 ? "\n" : "");
	}
	mem_free(width);
}
