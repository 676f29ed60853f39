/* SHA-256 (by libcrypto) as lower-case hexadecimal, the same that sha256sum prints. */
#ifndef ENGINE_BASE_HASH_H
#define ENGINE_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>

#define HASH_HEX 65 /* 64 digits and NUL */

struct hash; /* streaming state, owned by the caller through hash_open / hash_close */

int hash_open(struct hash **out);
int hash_add(struct hash *h, const void *bytes, size_t n);
int hash_add_str(struct hash *h, const char *text); /* text and its terminating NUL, so that ("ab","c") != ("a","bc") */
int hash_hex(struct hash *h, char hex[HASH_HEX]);   /* finishes; only hash_close may follow */
void hash_close(struct hash *h);

/* Whether a text has the form of a hash, 64 lower-case digits: what a file names as a key must be that before it
 * becomes part of a path. NULL is none. */
bool hash_is_hex(const char *text);

int hash_bytes(const void *bytes, size_t n, char hex[HASH_HEX]);
int hash_file(const char *path, char hex[HASH_HEX]); /* ERR_IO names the path */

#endif
