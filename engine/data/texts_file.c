/* What the readers of text files share: bytes, lines, rows, and finding columns by name. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/encoding.h"
#include "data/texts.h"

#define FILE_MAX   (1 << 30) /* bytes, so that lines are counted with an int */
#define LISTED_MAX 20        /* names in a message */
#define GROUPS     2         /* of usual names */

int text_file_read(const struct text_file *f, enum data_encoding e, const char *way_out, struct fs_bytes *b)
{
	int rc = source_error(fs_read_regular(f->path, FILE_MAX, b));

	return !rc ? encoding_to_utf8(f->path, e, way_out, b) : rc;
}

struct text_lines text_lines(char *bytes, size_t n)
{
	struct text_lines l = {.p = bytes, .end = bytes + n};

	if (n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		l.p += 3;
	while (l.end > l.p && (l.end[-1] == '\n' || (l.end[-1] == '\r' && l.end < bytes + n)))
		l.end--;
	return l;
}

bool text_next_line(struct text_lines *l, char **p, size_t *n)
{
	char *end;

	if (l->p >= l->end)
		return false;
	end = memchr(l->p, '\n', (size_t)(l->end - l->p));
	*p = l->p;
	l->p = end ? end + 1 : l->end;
	end = end ? end : l->end;
	if (end > *p && end[-1] == '\r')
		end--;
	*n = (size_t)(end - *p);
	l->line++;
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

int text_file_add(struct text_file *f, int line, const char *text, size_t bytes)
{
	while (bytes > 0 && is_blank(text[bytes - 1]))
		bytes--;
	for (; bytes > 0 && is_blank(*text); bytes--)
		text++;
	if (bytes == 0 && !f->unlabelled)
		return err_set(ERR_DATA, "%s:%d: the text is empty", f->path, line);
	if (f->n == f->cap) {
		int64_t cap = f->cap ? 2 * f->cap : 1024;
		struct text_row *row = mem_grow(f->row, (size_t)f->cap, (size_t)cap, sizeof(*row));

		if (!row)
			return ERR_NOMEM;
		f->row = row;
		f->cap = cap;
	}
	f->row[f->n++] = (struct text_row){.text = text, .bytes = bytes, .value = f->n_value, .line = line};
	return 0;
}

int text_file_value(struct text_file *f, char *value)
{
	size_t n = strlen(value);

	if (f->n_value == f->cap_value) {
		size_t cap = f->cap_value ? 2 * f->cap_value : 1024;
		const char **v = mem_grow(f->value, f->cap_value, cap, sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		f->value = v;
		f->cap_value = cap;
	}
	while (is_blank(*value))
		value++, n--;
	while (n > 0 && is_blank(value[n - 1]))
		value[--n] = '\0';
	f->value[f->n_value++] = value;
	f->row[f->n - 1].n_value++;
	return 0;
}

void text_file_found(struct text_file *f, const char *key, const char *name)
{
	size_t n = strlen(f->found);

	snprintf(f->found + n, sizeof(f->found) - n, "%s%s: %.80s", n ? ", " : "", key, name);
}

void text_file_clear(struct text_file *f)
{
	csv_clear(&f->csv);
	mem_free(f->strings);
	mem_free(f->row);
	mem_free(f->value);
	*f = (struct text_file){0};
}

void text_list_names(struct str *out, const char *const *name, int n)
{
	for (int i = 0; i < n && i < LISTED_MAX; i++)
		str_addf(out, "%s%.80s", i ? ", " : "", name[i]);
	if (n > LISTED_MAX)
		str_addf(out, ", ... (%d in all)", n);
}

static int find_name(const char *const *name, int n, const char *wanted)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name[i], wanted) == 0)
			return i;
	return -1;
}

int text_choose(const char *where, const char *option, const char *given, const char *const *usual,
    const char *const *name, int n, int *out)
{
	struct str list = {0};
	int found = 0, rc = 0;

	if (given) {
		*out = find_name(name, n, given);
		found = *out >= 0;
	}
	if (!given)
		found = columns_find(name, n, usual, GROUPS, out);
	if (found == 1)
		return 0;
	text_list_names(&list, name, n);
	if (given)
		rc = err_set(ERR_DATA, "%s: no column '%s'; there are: %s", where, given, str_text(&list));
	else
		rc = err_set(ERR_DATA, "%s: which column is the %s? name it by the option %s; there are: %s", where,
		    option, option, str_text(&list));
	str_clear(&list);
	return rc;
}
