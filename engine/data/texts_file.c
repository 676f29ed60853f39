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

void text_strip(const char **text, size_t *bytes)
{
	while (*bytes > 0 && is_blank((*text)[*bytes - 1]))
		(*bytes)--;
	for (; *bytes > 0 && is_blank(**text); (*bytes)--)
		(*text)++;
}

static int append(struct text_file *f, int line, const char *text, size_t bytes)
{
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

int text_file_add(struct text_file *f, int line, const char *text, size_t bytes)
{
	text_strip(&text, &bytes);
	if (bytes == 0 && !f->unlabelled)
		return err_set(ERR_DATA, "%s:%d: the text is empty", f->path, line);
	return append(f, line, text, bytes);
}

int text_file_add_pair(struct text_file *f, int line, char *at, const char *a, const char *b)
{
	size_t first = strlen(a), second = strlen(b);

	text_strip(&a, &first);
	text_strip(&b, &second);
	if ((first == 0 || second == 0) && !f->unlabelled)
		return err_set(ERR_DATA, "%s:%d: the %s text is empty", f->path, line, first == 0 ? "first" : "second");
	memmove(at, a, first);
	at[first] = '\0';
	memmove(at + first + 1, b, second);
	at[first + 1 + second] = '\0';
	return append(f, line, at, first + 1 + second);
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

int text_choose(const char *where, const char *what, const char *option, const char *given, const char *const *usual,
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
		    what, option, str_text(&list));
	str_clear(&list);
	return rc;
}

static const char *text_option(const struct text_file *f)
{
	return f->text_option ? f->text_option : "text";
}

static const char *pair_option(const struct text_file *f)
{
	return f->pair_option ? f->pair_option : "text_pair";
}

static int choose_text(const char *where, const struct text_file *f, const struct data_options *o,
    const char *const *name, int n, struct text_columns *out)
{
	return text_choose(where, "text", text_option(f), o->text_column, columns_of_text, name, n, &out->text);
}

static int choose_both(const char *where, const struct text_file *f, const struct data_options *o,
    const char *const *name, int n, struct text_columns *out)
{
	int rc = text_choose(where, "second text", pair_option(f), o->text_pair, NULL, name, n, &out->pair);

	out->text = !rc && !o->text_column ? columns_partner(name, n, o->text_pair) : -1;
	if (!rc && out->text < 0)
		rc = choose_text(where, f, o, name, n, out);
	if (!rc && out->text == out->pair)
		rc = err_set(
		    ERR_DATA, "%s: %s and %s are both '%s'", where, text_option(f), pair_option(f), name[out->text]);
	return rc;
}

/* Whether a column that is none of these two, nor the second of another pair, may be the text as well. */
static bool has_other(const char *const *name, int n, const struct text_columns *c)
{
	int at;

	for (int i = 0; i < n; i++)
		if (i != c->text && i != c->pair && columns_partner(name, n, name[i]) < 0 &&
		    columns_find(name + i, 1, columns_of_text, GROUPS, &at) > 0)
			return true;
	return false;
}

static int refuse_pair(const char *where, const struct text_file *f, const char *why, const char *const *name, int n)
{
	struct str list = {0};
	int rc;

	text_list_names(&list, name, n);
	rc = err_set(ERR_DATA, "%s: %s name them by the options %s and %s%s; there are: %s", where, why, text_option(f),
	    pair_option(f), f->text_option ? "" : " (--text-column and --pair-column on the command line)",
	    str_text(&list));
	str_clear(&list);
	return rc;
}

int text_choose_columns(const char *where, const struct text_file *f, const struct data_options *o,
    const char *const *name, int n, struct text_columns *out)
{
	int found;

	*out = (struct text_columns){-1, -1};
	if (o->text_pair)
		return choose_both(where, f, o, name, n, out);
	found = o->pairs == PAIRS_NEVER || o->text_column ? 0 : columns_find_pair(name, n, &out->text, &out->pair);
	if (found > 0 && o->pairs == PAIRS_AS_FOUND && has_other(name, n, out))
		found = 0;
	if (found > 1)
		return refuse_pair(where, f, "which columns are the two texts?", name, n);
	if (found)
		return 0;
	out->pair = -1;
	if (o->pairs == PAIRS_ALWAYS)
		return refuse_pair(where, f, "pairs of texts are wanted, and one column is not known;", name, n);
	return choose_text(where, f, o, name, n, out);
}

int text_check_label(const char *where, const struct text_columns *c, int label, const char *const *name)
{
	if (label == c->text || label == c->pair)
		return err_set(ERR_DATA, "%s: %s and label are both '%s'", where,
		    label == c->pair ? "text_pair" : "text", name[label]);
	return 0;
}

void text_columns_found(
    struct text_file *f, const struct data_options *o, const struct text_columns *c, const char *const *name, int n)
{
	int first, second;
	/* Two columns that could be a pair, and are none because another is the text. */
	const bool passed = c->pair < 0 && columns_find_pair(name, n, &first, &second) > 0;

	if (!o->text_column && (c->pair >= 0 || passed || !columns_is_plain(name[c->text], columns_of_text)))
		text_file_found(f, c->pair >= 0 ? "first text" : "text", name[c->text]);
	if (!o->text_pair && c->pair >= 0)
		text_file_found(f, "second text", name[c->pair]);
}
