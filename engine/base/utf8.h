/* Bytes that are to be UTF-8. */
#ifndef ENGINE_BASE_UTF8_H
#define ENGINE_BASE_UTF8_H

#include <stdint.h>

/* Reads the code point at *at (< end) and moves *at behind it. -1 if there is no valid UTF-8: *at then moves behind the
 * longest start of a valid sequence, at least one byte, which is what the Unicode Standard (chapter 3.9), Python and
 * Rust replace by one U+FFFD. */
int32_t utf8_decode(const unsigned char **at, const unsigned char *end);

#endif
