/* Names and texts from outside, for a terminal and for JSON. */
#ifndef ENGINE_TEXT_ESCAPE_H
#define ENGINE_TEXT_ESCAPE_H

#include "base/str.h"

/* Appends n bytes with everything written out that a terminal would obey: \t, \n, \r, and \xNN for other control
 * characters, those of U+0080 to U+009F, characters that end a line or turn its direction, and bytes that are not
 * UTF-8.
 */
void escape_add(struct str *out, const char *text, size_t n);
/* Appends n bytes as UTF-8 without NUL: each byte or character that it cannot hold becomes U+FFFD. */
void escape_utf8(struct str *out, const char *text, size_t n);

#endif
