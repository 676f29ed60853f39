/* JSON files that notice a change: an object whose member "sha256" is the hash of the file itself. It is the SHA-256 of
 * the whole text with these 64 digits written as zeros, so any tool can check it. A seal tells damage and careless
 * editing from what the program wrote; it does not tell who wrote it. */
#ifndef ENGINE_STORE_SEALED_H
#define ENGINE_STORE_SEALED_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* Adds the member "sha256" to `o`, and prints o. *text: to be released with cJSON_free. */
int sealed_print(cJSON *o, char **text);
/* Reads the file PATH. *out: the object, to be released with cJSON_Delete; NULL on an error. *sealed: false where the
 * object has no member "sha256", as the files of older programs: the caller decides what that means.
 * ERR_IO: it cannot be read. ERR_CHECKPOINT: it is not a JSON object, or "was changed since it was written". */
int sealed_read(const char *path, cJSON **out, bool *sealed);

#endif
