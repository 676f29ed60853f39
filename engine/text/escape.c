#include "text/escape.h"

#include <stdint.h>
#include <string.h>

#include "text/unicode.h"

/* The letter that stands for a control character behind a backslash, or 0. */
static char letter_of(int32_t c)
{
	return c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : 0;
}

/* Lines and paragraphs end at U+2028 and U+2029; U+202A to U+202E and U+2066 to U+2069 turn the direction of what
 * follows, so that a name can look like another. Marks of single characters, which scripts need, are none of them. */
static bool moves_text(int32_t c)
{
	return (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void escape_add(struct str *out, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + n;
	while (p < end) {
		const unsigned char *at = p;
		int32_t c = unicode_decode(&p, end);
		if (c >= 0x20 && (c < 0x7f || c > 0x9f) && !moves_text(c))
			str_addn(out, (const char *)at, (size_t)(p - at));
		else if (letter_of(c))
			str_addf(out, "\\%c", letter_of(c));
		else
			for (; at < p; at++)
				str_addf(out, "\\x%02x", *at);
	}
}

void escape_utf8(struct str *out, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + n;
	while (p < end) {
		const unsigned char *at = p;
		if (unicode_decode(&p, end) > 0)
			str_addn(out, (const char *)at, (size_t)(p - at));
		else
			str_add(out, "\xef\xbf\xbd");
	}
}
