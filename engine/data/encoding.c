/* Text files as UTF-8; what is valid is engine/text's word. */
#include "data/encoding.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "text/unicode.h"

int encoding_refuse_wide(const char *name, const struct fs_bytes *b)
{
	static const struct {
		const char *mark;
		size_t n;
		const char *encoding;
	} known[] = {{"\xff\xfe\0\0", 4, "UTF-32"}, {"\0\0\xfe\xff", 4, "UTF-32"}, {"\xff\xfe", 2, "UTF-16"},
	    {"\xfe\xff", 2, "UTF-16"}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (b->size >= known[i].n && memcmp(b->data, known[i].mark, known[i].n) == 0)
			return err_set(ERR_DATA, "%s:1:1: this is %s; only UTF-8 is read", name, known[i].encoding);
	return 0;
}

static int check_utf8(const char *name, const char *way_out, const struct fs_bytes *b)
{
	const unsigned char *line_start = b->data, *end = b->data + b->size;
	int line = 1;

	for (const unsigned char *p = b->data, *at = p; p < end; at = p) {
		int32_t c = unicode_decode(&p, end);

		if (c < 0)
			return err_set(ERR_DATA, "%s:%d:%lld: byte 0x%02x is not UTF-8%s", name, line,
			    (long long)(at - line_start) + 1, *at, way_out);
		if (c == '\n') {
			line++;
			line_start = p;
		}
	}
	return 0;
}

static int convert_latin1(struct fs_bytes *b)
{
	struct fs_bytes out = {0};

	for (size_t i = 0; i < b->size; i++)
		out.size += b->data[i] < 0x80 ? 1 : 2;
	out.data = mem_alloc(out.size + 1, 1);
	if (!out.data)
		return ERR_NOMEM;
	out.size = 0;
	for (size_t i = 0; i < b->size; i++)
		out.size += (size_t)unicode_encode(b->data[i], out.data + out.size);
	fs_bytes_clear(b);
	*b = out;
	return 0;
}

int encoding_to_utf8(const char *name, enum data_encoding e, const char *way_out, struct fs_bytes *b)
{
	int rc = encoding_refuse_wide(name, b);

	if (rc)
		return rc;
	if (e == ENCODING_LATIN1 && b->size >= 3 && memcmp(b->data, "\xef\xbb\xbf", 3) == 0)
		return err_set(
		    ERR_DATA, "%s:1:1: begins with the byte order mark of UTF-8; encoding: utf8 reads it", name);
	return e == ENCODING_LATIN1 ? convert_latin1(b) : check_utf8(name, way_out, b);
}
