/* Private to engine/data: the bytes of text files to UTF-8. */
#ifndef ENGINE_DATA_ENCODING_H
#define ENGINE_DATA_ENCODING_H

#include "base/fs.h"
#include "data/dataset.h"

/* Makes the content of a file UTF-8: checks it (ENCODING_UTF8), or replaces it by its conversion (ENCODING_LATIN1:
 * each byte is the code point of its value). ERR_DATA: "NAME:LINE:COLUMN: ..." at the first byte that is not UTF-8;
 * `way_out` says what else might be done, "" if nothing. */
int encoding_to_utf8(const char *name, enum data_encoding e, const char *way_out, struct fs_bytes *b);

/* Refuses what begins with a byte order mark of UTF-16 or UTF-32. */
int encoding_refuse_wide(const char *name, const struct fs_bytes *b);

#endif
