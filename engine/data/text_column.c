/* Texts without labels, by the readers that read those with labels. */
#include "data/text_column.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/texts.h"

#define LINE_BYTES (1 << 20) /* of a text that is a line */
#define TABLES     (1u << SOURCE_CSV | 1u << SOURCE_JSONL)

bool text_column_has_suffix(const char *path)
{
	return fs_ends_in(path, ".csv") || fs_ends_in(path, ".tsv") || fs_ends_in(path, ".tab") ||
	       fs_ends_in(path, ".jsonl");
}

bool text_line_is_blank(const char *line, size_t n)
{
	text_strip(&line, &n);
	return n == 0;
}

int text_pair_divide(const char *where, char *line, size_t n)
{
	char *tab = memchr(line, '\t', n);
	const char *nul = memchr(line, '\0', n);

	if (nul)
		return err_set(ERR_DATA, "%s: byte %zu is NUL", where, (size_t)(nul - line) + 1);
	if (!tab || memchr(tab + 1, '\t', (size_t)(line + n - tab - 1)))
		return err_set(ERR_DATA, "%s: %s; a pair is two texts with one tab between them", where,
		    tab ? "more than one tab" : "no tab");
	*tab = '\0';
	return 0;
}

static int add_pair(struct text_file *f, int line, char *p, size_t n)
{
	char where[1100];
	int rc;

	if (text_line_is_blank(p, n))
		return text_file_add(f, line, TEXT_PAIR_EMPTY, 1);

	snprintf(where, sizeof(where), "%s:%d", f->path, line);
	rc = text_pair_divide(where, p, n);
	p[n] = '\0'; /* the line end, or the byte behind the file */
	return !rc ? text_file_add_pair(f, line, p, p, p + strlen(p) + 1) : rc;
}

static int read_lines(struct text_file *f)
{
	struct fs_bytes b;
	struct text_lines lines;
	char *p;
	size_t n;
	int rc = text_file_read(f, ENCODING_UTF8, "", &b);

	f->strings = (char *)b.data;
	lines = text_lines(f->strings, !rc ? b.size : 0);
	while (!rc && text_next_line(&lines, &p, &n)) {
		const char *nul = memchr(p, '\0', n);

		if (nul)
			rc = err_set(ERR_DATA, "%s:%d:%lld: a NUL byte", f->path, lines.line, (long long)(nul - p) + 1);
		else if (n > LINE_BYTES)
			rc = err_set(ERR_DATA, "%s:%d: a line of %zu bytes; at most %d are read", f->path, lines.line,
			    n, LINE_BYTES);
		else
			rc = f->pairs ? add_pair(f, lines.line, p, n) : text_file_add(f, lines.line, p, n);
	}
	return rc;
}

static int read_file(struct text_file *f, const struct data_options *o)
{
	if (fs_ends_in(f->path, ".jsonl"))
		return texts_read_jsonl(f, o);
	return text_column_has_suffix(f->path) ? texts_read_csv(f, o) : read_lines(f);
}

int text_column_read(struct text_column *out, const char *path, const struct text_column_options *t)
{
	const struct data_options *like = t->like;
	const bool table = like && like->source == SOURCE_CSV;
	/* Its columns hold together: who names one, names what is not usual. */
	const bool named = like && TABLES & 1u << like->source && !t->column && !t->pair_column;
	const char *column = named ? like->text_column : t->column, *pair = named ? like->text_pair : t->pair_column;
	struct data_options o = {.text_column = column ? mem_strdup(column) : NULL,
	    .text_pair = pair && t->pairs ? mem_strdup(pair) : NULL,
	    .pairs = t->pairs ? PAIRS_ALWAYS : PAIRS_NEVER,
	    .encoding = table ? like->encoding : ENCODING_AUTO,
	    .delimiter = table ? like->delimiter : 0,
	    .quotes = table ? like->quotes : 0};
	int rc;

	*out = (struct text_column){.file = mem_alloc(1, sizeof(*out->file))};
	rc = out->file && (o.text_column || !column) && (o.text_pair || !pair || !t->pairs) ? 0 : ERR_NOMEM;
	if (!rc && strlen(path) >= sizeof(out->file->path))
		rc = err_set(ERR_DATA, "%s: path is too long", path);
	if (!rc) {
		snprintf(out->file->path, sizeof(out->file->path), "%s", path);
		out->file->unlabelled = true;
		out->file->pairs = t->pairs;
		out->file->text_option = t->column_option;
		out->file->pair_option = t->pair_option;
		rc = read_file(out->file, &o);
	}
	if (!rc)
		out->n = out->file->n;
	else
		text_column_clear(out);
	mem_free(o.text_column);
	mem_free(o.text_pair);
	return rc;
}

const char *text_column_row(const struct text_column *c, int64_t i, size_t *bytes, int *line)
{
	const struct text_row *row = &c->file->row[i];

	*bytes = row->bytes;
	*line = row->line;
	return row->text;
}

void text_column_clear(struct text_column *c)
{
	if (c->file)
		text_file_clear(c->file);
	mem_free(c->file);
	*c = (struct text_column){0};
}
