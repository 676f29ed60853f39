/* Texts without labels, by the readers that read those with labels. */
#include "data/text_column.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/texts.h"

static bool ends_in(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n > k && strcmp(path + n - k, suffix) == 0;
}

bool text_column_has_suffix(const char *path)
{
	return ends_in(path, ".csv") || ends_in(path, ".tsv") || ends_in(path, ".tab") || ends_in(path, ".jsonl");
}

int text_column_read(struct text_column *out, const char *path, const char *column)
{
	char *name = column ? mem_strdup(column) : NULL;
	const struct data_options o = {.text_column = name};
	int rc;

	*out = (struct text_column){.file = mem_alloc(1, sizeof(*out->file))};
	rc = out->file && (name || !column) ? 0 : ERR_NOMEM;
	if (!rc && strlen(path) >= sizeof(out->file->path))
		rc = err_set(ERR_DATA, "%s: path is too long", path);
	if (!rc) {
		snprintf(out->file->path, sizeof(out->file->path), "%s", path);
		out->file->unlabelled = true;
		rc = ends_in(path, ".jsonl") ? texts_read_jsonl(out->file, &o) : texts_read_csv(out->file, &o);
	}
	if (!rc)
		out->n = out->file->n;
	else
		text_column_clear(out);
	mem_free(name);
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
