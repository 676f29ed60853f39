/* UTF-8, and properties by binary search in the generated ranges. */
#include "text/unicode.h"

#include <utf8proc.h>

#include "text/unicode_data.h"

/* The first version with Unicode 15.0. (Its pkg-config file may say less.) */
_Static_assert(UTF8PROC_VERSION_MAJOR > 2 || UTF8PROC_VERSION_MINOR >= 8, "utf8proc 2.8 or later is needed");

unsigned unicode_properties(int32_t c)
{
	int low = 0, high = unicode_range_count;

	/* The last range that does not begin behind c. */
	while (high - low > 1) {
		int middle = (low + high) / 2;
		if (unicode_ranges[middle].first <= c)
			low = middle;
		else
			high = middle;
	}
	const struct unicode_range *r = &unicode_ranges[low];
	return c >= r->first && c <= r->last && (c - r->first) % r->step == 0 ? (unsigned)r->mask : 0;
}

int32_t unicode_decode(const unsigned char **at, const unsigned char *end)
{
	return utf8_decode(at, end);
}

int unicode_encode(int32_t c, unsigned char out[UNICODE_MAX_BYTES])
{
	if (c < 0x80) {
		out[0] = (unsigned char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (unsigned char)(0xC0 | c >> 6);
		out[1] = (unsigned char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (unsigned char)(0xE0 | c >> 12);
		out[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (unsigned char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (unsigned char)(0xF0 | c >> 18);
	out[1] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (unsigned char)(0x80 | (c & 0x3F));
	return 4;
}

int unicode_decompose(int32_t c, int32_t out[UNICODE_MAX_DECOMPOSED])
{
	if (unicode_properties(c) & UNICODE_DECOMPOSES) {
		int boundary = 0;
		utf8proc_ssize_t n =
		    utf8proc_decompose_char(c, out, UNICODE_MAX_DECOMPOSED, UTF8PROC_DECOMPOSE, &boundary);
		if (n >= 1 && n <= UNICODE_MAX_DECOMPOSED)
			return (int)n;
	}
	out[0] = c;
	return 1;
}

int unicode_lower(int32_t c, int32_t out[UNICODE_MAX_LOWER])
{
	out[0] = c;
	if (!(unicode_properties(c) & UNICODE_CASED))
		return 1;
	for (int i = 0; i < unicode_lower_count && unicode_lower_rows[i].from <= c; i++) {
		const struct unicode_lower_row *r = &unicode_lower_rows[i];
		if (r->from != c)
			continue;
		out[0] = r->to[0];
		out[1] = r->to[1];
		return r->to[1] ? 2 : 1;
	}
	out[0] = utf8proc_tolower(c);
	return 1;
}

int unicode_combining_class(int32_t c)
{
	return unicode_properties(c) & UNICODE_ORDERED ? utf8proc_get_property(c)->combining_class : 0;
}

int unicode_columns(int32_t c)
{
	return utf8proc_charwidth(c);
}
