#include "base/utf8.h"

/* How many bytes follow a first byte, and the range of the second one. It excludes overlong forms, surrogates and what
 * lies above U+10FFFF, so that no later check is needed. */
static int following(unsigned first, unsigned *low, unsigned *high)
{
	*low = 0x80;
	*high = 0xBF;
	if (first >= 0xC2 && first <= 0xDF)
		return 1;
	if (first >= 0xE0 && first <= 0xEF) {
		if (first == 0xE0)
			*low = 0xA0;
		if (first == 0xED)
			*high = 0x9F;
		return 2;
	}
	if (first >= 0xF0 && first <= 0xF4) {
		if (first == 0xF0)
			*low = 0x90;
		if (first == 0xF4)
			*high = 0x8F;
		return 3;
	}
	return -1;
}

int32_t utf8_decode(const unsigned char **at, const unsigned char *end)
{
	const unsigned char *p = *at;
	unsigned first = *p++, low, high;

	if (first < 0x80) {
		*at = p;
		return (int32_t)first;
	}
	int n = following(first, &low, &high);
	int32_t c = n < 0 ? -1 : (int32_t)(first & (0x3Fu >> n));
	for (int i = 0; i < n; i++) {
		if (p == end || *p < low || *p > high) {
			c = -1;
			break;
		}
		c = c << 6 | (*p++ & 0x3F);
		low = 0x80;
		high = 0xBF;
	}
	*at = p;
	return c;
}
