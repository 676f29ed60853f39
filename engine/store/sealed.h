/* JSON files that notice a change: an object one member of which, the seal, is the hash of the file itself. It is the
 * SHA-256 of the whole text with these 64 digits written as zeros, so any tool can check it. A seal tells damage and
 * careless editing from what the program wrote; it does not tell who wrote it. */
#ifndef ENGINE_STORE_SEALED_H
#define ENGINE_STORE_SEALED_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Gives `o` a member `seal`, its last one, and prints o. A seal that it has already is replaced. *text: to be released
 * with mem_free; its last byte is a line end. */
int sealed_print(cJSON *o, const char *seal, char **text);
/* Checks the seal of an object that was read from the n bytes of `text`. *sealed: false where it has none, as the files
 * of older programs: the caller decides what that means. ERR_CHECKPOINT: "NAME: was changed since it was written". */
int sealed_check(const char *name, const cJSON *o, const char *seal, const char *text, size_t n, bool *sealed);
/* Reads the file PATH and checks its seal. *out: the object, to be released with cJSON_Delete; NULL on an error.
 * ERR_IO: it cannot be read. ERR_CHECKPOINT: it is not a JSON object, or was changed. */
int sealed_read(const char *path, const char *seal, cJSON **out, bool *sealed);

#endif
