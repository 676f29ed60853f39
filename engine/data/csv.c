/* The CSV reader: one pass over the bytes, fields copied unquoted into one buffer (never longer than the input). It
 * does not guess: a quote inside an unquoted field, text after a closing quote or a NUL byte is an error. */
#include "data/csv.h"

#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/encoding.h"
#include "data/source.h"

#define CSV_MAX_BYTES   (1 << 30) /* so that rows and lines are counted with an int */
#define CSV_MAX_COLUMNS 16384     /* their names are compared with each other */

const struct csv_dialect csv_rfc4180 = {',', true};

struct reader {
	struct csv *c;
	struct csv_dialect dialect;
	const char *p, *end;
	const char *line_start;
	int line;
	char *out; /* next free byte of c->text */
	size_t n_field, cap_field;
	int cap_rows;
};

static int fail(const struct reader *r, const char *at, const char *what)
{
	return err_set(ERR_DATA, "%s:%d:%lld: %s", r->c->name, r->line, (long long)(at - r->line_start) + 1, what);
}

static void newline(struct reader *r)
{
	r->line++;
	r->line_start = r->p;
}

/* Copies one quoted field; r->p is behind the opening quote and ends behind the closing one. */
static int quoted_field(struct reader *r)
{
	const char *open = r->p - 1, *open_line = r->line_start;
	int line = r->line;

	while (r->p < r->end) {
		char ch = *r->p++;

		if (ch == '"') {
			if (r->p == r->end || *r->p != '"')
				return 0;
			r->p++;
		} else if (ch == '\0') {
			return fail(r, r->p - 1, "NUL byte");
		}
		*r->out++ = ch;
		if (ch == '\n')
			newline(r);
	}
	r->line = line;
	r->line_start = open_line;
	return fail(r, open, "this quote is never closed");
}

static int plain_field(struct reader *r)
{
	for (; r->p < r->end; r->p++) {
		char ch = *r->p;

		if (ch == r->dialect.delimiter || ch == '\n' || (ch == '\r' && r->p + 1 < r->end && r->p[1] == '\n'))
			return 0;
		if (ch == '"' && r->dialect.quotes)
			return fail(r, r->p, "a quote inside an unquoted field");
		if (ch == '\0' || ch == '\r')
			return fail(r, r->p, ch == '\0' ? "NUL byte" : "a carriage return without a line feed");
		*r->out++ = ch;
	}
	return 0;
}

static int push_field(struct reader *r, char *text)
{
	if (r->n_field == r->cap_field) {
		size_t cap = r->cap_field ? 2 * r->cap_field : 256;
		char **p = mem_grow(r->c->field, r->cap_field, cap, sizeof(*p));

		if (!p)
			return ERR_NOMEM;
		r->c->field = p;
		r->cap_field = cap;
	}
	r->c->field[r->n_field++] = text;
	return 0;
}

/* Reads the fields of one record and the line end behind it. */
static int record_fields(struct reader *r, int *fields)
{
	const int line = r->line;

	for (;;) {
		char *text = r->out;
		int rc;

		if (r->p < r->end && *r->p == '"' && r->dialect.quotes) {
			r->p++;
			rc = quoted_field(r);
		} else {
			rc = plain_field(r);
		}
		if (rc)
			return rc;
		*r->out++ = '\0';
		rc = push_field(r, text);
		if (rc)
			return rc;
		(*fields)++;
		if (*fields > CSV_MAX_COLUMNS)
			return err_set(ERR_DATA, "%s:%d:1: more than %d fields", r->c->name, line, CSV_MAX_COLUMNS);
		if (r->p < r->end && *r->p == r->dialect.delimiter) {
			r->p++;
			continue;
		}
		break;
	}
	if (r->p < r->end && *r->p == '\r')
		r->p++;
	if (r->p == r->end)
		return 0;
	if (*r->p != '\n')
		return fail(r, r->p, "text after a closing quote");
	r->p++;
	newline(r);
	return 0;
}

static int record(struct reader *r)
{
	struct csv *c = r->c;
	int line = r->line, fields = 0, rc = record_fields(r, &fields);

	if (rc)
		return rc;
	if (c->rows == 0)
		c->columns = fields;
	if (fields != c->columns)
		return err_set(
		    ERR_DATA, "%s:%d:1: %d fields, but the header has %d", c->name, line, fields, c->columns);
	if (c->rows == r->cap_rows) {
		int cap = r->cap_rows ? 2 * r->cap_rows : 64;
		int *p = mem_grow(c->line, (size_t)r->cap_rows, (size_t)cap, sizeof(*p));

		if (!p)
			return ERR_NOMEM;
		c->line = p;
		r->cap_rows = cap;
	}
	c->line[c->rows++] = line;
	return 0;
}

/* Whether nothing but line ends and blanks is left. */
static bool at_end(const struct reader *r)
{
	const char *p = r->p;

	while (r->c->columns > 1 && p < r->end &&
	       (*p == '\n' || *p == ' ' || (*p == '\r' && p + 1 < r->end && p[1] == '\n')))
		p++;
	return p == r->end;
}

int csv_parse(struct csv *out, const char *name, const char *bytes, size_t n, const struct csv_dialect *d)
{
	struct reader r = {.c = out, .dialect = *d, .p = bytes, .end = bytes + n, .line_start = bytes, .line = 1};
	int rc = 0;

	*out = (struct csv){.delimiter = d->delimiter};
	if (n > CSV_MAX_BYTES)
		return err_set(ERR_DATA, "%s: %zu bytes; the limit is %d", name, n, CSV_MAX_BYTES);
	out->name = mem_strdup(name);
	/* Each field ends in a NUL where the input has a separator, or none at the very end. */
	out->text = mem_alloc(n + 2, 1);
	r.out = out->text;
	if (!out->name || !out->text)
		rc = ERR_NOMEM;
	if (n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		r.p = r.line_start = bytes + 3;
	if (!rc && r.p == r.end)
		rc = err_set(ERR_DATA, "%s: empty; a header line is needed", name);
	while (!rc && !at_end(&r))
		rc = record(&r);
	if (rc)
		csv_clear(out);
	return rc;
}

char csv_find_delimiter(const char *path, const char *bytes, size_t n, bool quotes)
{
	static const char candidates[] = ",;\t";
	const char usual = fs_ends_in(path, ".tsv") || fs_ends_in(path, ".tab") ? '\t' : ',';
	bool has[3] = {false}, quoted = false;
	int found = 0, last = 0;

	for (size_t i = 0; i < n && (quoted || bytes[i] != '\n'); i++) {
		const char *at = bytes[i] ? strchr(candidates, bytes[i]) : NULL;

		if (bytes[i] == '"' && quotes)
			quoted = !quoted;
		if (at && !quoted)
			has[at - candidates] = true;
	}
	for (int k = 0; k < 3; k++) {
		found += has[k];
		last = has[k] ? k : last;
	}
	return found == 1 ? candidates[last] : usual;
}

int csv_read(struct csv *out, const char *path, char delimiter)
{
	struct csv_dialect d = csv_rfc4180;
	struct fs_bytes b = {0};
	int rc = source_error(fs_read_regular(path, CSV_MAX_BYTES, &b));

	*out = (struct csv){0};
	if (!rc)
		rc = encoding_refuse_wide(path, &b);
	d.delimiter = delimiter ? delimiter : csv_find_delimiter(path, (const char *)b.data, rc ? 0 : b.size, true);
	if (!rc)
		rc = csv_parse(out, path, (const char *)b.data, b.size, &d);
	fs_bytes_clear(&b);
	return rc;
}

void csv_clear(struct csv *c)
{
	mem_free(c->name);
	mem_free(c->text);
	mem_free(c->field);
	mem_free(c->line);
	*c = (struct csv){0};
}

int csv_column(const struct csv *c, const char *title)
{
	for (int i = 0; i < c->columns; i++)
		if (strcmp(c->field[i], title) == 0)
			return i;
	return -1;
}

const char *csv_field(const struct csv *c, int row, int column)
{
	return c->field[(size_t)row * (size_t)c->columns + (size_t)column];
}
