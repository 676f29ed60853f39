/* The embedded digits, see digits_data.c (generated) for what they are and whose. */
#ifndef ENGINE_DATA_DIGITS_DATA_H
#define ENGINE_DATA_DIGITS_DATA_H

#define DIGITS_COUNT 1797
#define DIGITS_SIDE  8
#define DIGITS_MAX   16                                  /* largest pixel value */
#define DIGITS_ROW   (1 + DIGITS_SIDE * DIGITS_SIDE + 1) /* label, pixels, NUL */

extern const char digits_text[DIGITS_COUNT][DIGITS_ROW];

#endif
