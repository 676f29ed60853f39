/* Private to engine/text: the tables of unicode_data.c, which scripts/make_unicode.py generates. */
#ifndef ENGINE_TEXT_UNICODE_DATA_H
#define ENGINE_TEXT_UNICODE_DATA_H

#include <stdint.h>

/* The code points first, first + step, ..., last have the properties in `mask` (enum unicode_property). Ranges ascend
 * and do not overlap; a code point in none of them, or between two steps, has no property. */
struct unicode_range {
	int32_t first, last, step, mask;
};
extern const struct unicode_range unicode_ranges[];
extern const int unicode_range_count;

/* Lower case that utf8proc 2.8 does not know, or that is two code points; to[1] is 0 where it is one. Ascending. */
struct unicode_lower_row {
	int32_t from, to[2];
};
extern const struct unicode_lower_row unicode_lower_rows[];
extern const int unicode_lower_count;

#endif
