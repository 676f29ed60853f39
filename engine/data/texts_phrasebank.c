/* Rows of a file of the Financial PhraseBank: one `sentence@label` a line, divided at the last @, in ISO-8859-1. */
#define _GNU_SOURCE /* memrchr */
#include <string.h>

#include "base/err.h"
#include "data/texts.h"

static int add_line(struct text_file *f, int line, char *p, size_t n)
{
	char *end = p + n, *at = memrchr(p, '@', n);
	int rc;

	if (memchr(p, 0, n))
		return err_set(ERR_DATA, "%s:%d: NUL byte", f->path, line);
	if (!at)
		return err_set(ERR_DATA, "%s:%d: no '@' between sentence and label", f->path, line);
	rc = text_file_add(f, line, p, (size_t)(at - p));
	*end = '\0'; /* the line end, or the byte behind the file */
	return !rc ? text_file_value(f, at + 1) : rc;
}

int texts_read_phrasebank(struct text_file *f, const struct data_options *o)
{
	enum data_encoding e = o->encoding == ENCODING_AUTO ? ENCODING_LATIN1 : (enum data_encoding)o->encoding;
	struct text_lines lines;
	struct fs_bytes b;
	char *p;
	size_t n;
	int rc = text_file_read(f, e, "; encoding: latin1 reads ISO-8859-1", &b);

	if (rc) {
		fs_bytes_clear(&b);
		return rc;
	}
	f->strings = (char *)b.data;
	f->form = LABEL_ONE;
	lines = text_lines(f->strings, b.size);
	while (!rc && text_next_line(&lines, &p, &n))
		rc = add_line(f, lines.line, p, n);
	return rc;
}
