/* JSON from files that may be hostile: the whole text must be one value, no object may repeat a key (cJSON would keep
 * both and answer with the first), no number may begin with a zero before other digits, no string may hold the
 * character NUL (cJSON would end it there), and errors name line and column. */
#ifndef ENGINE_BASE_JSON_H
#define ENGINE_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ERR_CHECKPOINT: "NAME:LINE:COLUMN: ...". Trailing blanks are allowed. Nesting is limited by cJSON (1,000). */
int json_parse(const char *name, const char *text, size_t n, cJSON **out);
/* One line of a file of JSON Lines, `line` counted from 1. ERR_DATA: "NAME:LINE:COLUMN: ...". */
int json_parse_line(const char *name, int line, const char *text, size_t n, cJSON **out);
/* An integer in 0..2^53 (where doubles are exact); false for anything else. */
bool json_uint(const cJSON *item, uint64_t *out);

#endif
