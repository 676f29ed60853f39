/* UTF-8 as the Unicode Standard defines it (chapter 3.9, table 3-7): no overlong forms, no surrogates, nothing above
 * U+10FFFF. */
#include "data/encoding.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Bytes of the code point at p, 0 if there is none. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
	size_t length = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 4;

	if (length == 1)
		return 1;
	if (p[0] > 0xf4 || (length == 4 && p[0] < 0xf0) || n < length)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	if (p[0] == 0xed)
		high = 0x9f;
	if (p[0] == 0xf0)
		low = 0x90;
	if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return length;
}

static int check_utf8(const char *name, const char *way_out, const struct fs_bytes *b)
{
	const unsigned char *line_start = b->data;
	int line = 1;

	if (b->size >= 2 && (memcmp(b->data, "\xff\xfe", 2) == 0 || memcmp(b->data, "\xfe\xff", 2) == 0))
		return err_set(ERR_DATA, "%s:1:1: this is UTF-16; only UTF-8 is read", name);
	for (size_t i = 0, n; i < b->size; i += n) {
		n = utf8_length(b->data + i, b->size - i);
		if (n == 0)
			return err_set(ERR_DATA, "%s:%d:%lld: byte 0x%02x is not UTF-8%s", name, line,
			    (long long)(b->data + i - line_start) + 1, b->data[i], way_out);
		if (b->data[i] == '\n') {
			line++;
			line_start = b->data + i + 1;
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
	for (size_t i = 0; i < b->size; i++) {
		unsigned char c = b->data[i];

		if (c >= 0x80) {
			out.data[out.size++] = (unsigned char)(0xc0 | c >> 6);
			c = (unsigned char)(0x80 | (c & 0x3f));
		}
		out.data[out.size++] = c;
	}
	fs_bytes_clear(b);
	*b = out;
	return 0;
}

int encoding_to_utf8(const char *name, enum data_encoding e, const char *way_out, struct fs_bytes *b)
{
	return e == ENCODING_LATIN1 ? convert_latin1(b) : check_utf8(name, way_out, b);
}
