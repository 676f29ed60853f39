/* Unicode as the package `tokenizers` (0.23.3) sees it, so that a text has the same tokens here and there.
 *
 * Its tables are of different ages. Marks and punctuation are those of about Unicode 8 and decompositions those of
 * Unicode 9: a later mark is not removed with the accents, and later punctuation does not split a word. Lower case is
 * that of Unicode 17. Control characters are the categories Cc, Cf and Co; a code point that is not assigned is none.
 * One range of CJK ideographs begins at U+2B920, where Unicode has U+2B820. unicode_data.c says of each code point what
 * applies, whichever version of utf8proc is installed, and utf8proc says how: its decompositions, combining classes and
 * lower case of what was assigned once never change. */
#ifndef ENGINE_TEXT_UNICODE_H
#define ENGINE_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/utf8.h"

enum unicode_property {
	UNICODE_CONTROL = 1,     /* removed when a text is cleaned, even where it is white space too (U+0085) */
	UNICODE_WHITE = 2,       /* separates words                                                           */
	UNICODE_PUNCTUATION = 4, /* is a word of its own                                                      */
	UNICODE_CJK = 8,         /* an ideograph                                                              */
	UNICODE_MARK = 16,       /* a nonspacing mark (Mn): removed with the accents                          */
	UNICODE_DECOMPOSES = 32, /* unicode_decompose changes it                                              */
	UNICODE_ORDERED = 64,    /* has a combining class: a sequence of such is sorted by it                 */
	UNICODE_CASED = 128,     /* unicode_lower changes it                                                  */
};

enum {
	UNICODE_COUNT = 0x110000,
	UNICODE_REPLACEMENT = 0xFFFD, /* stands for what is not valid UTF-8 */
	UNICODE_MAX_BYTES = 4,        /* of a code point in UTF-8           */
	UNICODE_MAX_DECOMPOSED = 4,
	UNICODE_MAX_LOWER = 2,
};

/* The properties of a code point, or'ed. */
unsigned unicode_properties(int32_t c);

/* As utf8_decode. */
int32_t unicode_decode(const unsigned char **at, const unsigned char *end);
/* Writes a code point as UTF-8 and returns the number of bytes. */
int unicode_encode(int32_t c, unsigned char out[UNICODE_MAX_BYTES]);

/* The full canonical decomposition of one code point (NFD without the sorting), its lower case (without context: a
 * final sigma is none), each c itself where nothing applies. They return the number of code points. */
int unicode_decompose(int32_t c, int32_t out[UNICODE_MAX_DECOMPOSED]);
int unicode_lower(int32_t c, int32_t out[UNICODE_MAX_LOWER]);
/* The canonical combining class, 1 to 254; 0 for a starter. */
int unicode_combining_class(int32_t c);
/* Columns that a code point takes on a terminal: 0 (marks that sit on another), 1, or 2 (ideographs). */
int unicode_columns(int32_t c);

#endif
