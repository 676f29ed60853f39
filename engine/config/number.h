/* Numbers as they may be written in a config: decimal, whole text, nothing else (no 1_000, 0x10, 010, .inf). */
#ifndef ENGINE_CONFIG_NUMBER_H
#define ENGINE_CONFIG_NUMBER_H

#include <stdint.h>

/* NULL and the value, or why not: "" (not such a number) or a reason ("too large"). */
const char *number_int(const char *text, int64_t *out);
const char *number_float(const char *text, double *out);

#endif
