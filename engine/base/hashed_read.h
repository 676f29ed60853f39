/* A file that is read and hashed beside other work: a thread does both, one after the other, and whoever began it waits
 * for the bytes where they are needed, and for their hash before they are believed. */
#ifndef ENGINE_BASE_HASHED_READ_H
#define ENGINE_BASE_HASHED_READ_H

#include "base/fs.h"
#include "base/hash.h"

struct hashed_read; /* owned by the caller through hashed_read_begin / hashed_read_close */

/* Small files are read and hashed before it returns, and large ones where no thread can be made. What is wrong with the
 * file is said by hashed_read_bytes. ERR_NOMEM. */
int hashed_read_begin(struct hashed_read **out, const char *path);
/* Waits until the file is read. The bytes are the caller's from then on, who may not change or release them before
 * hashed_read_hash or hashed_read_close has returned. Once. As fs_read. */
int hashed_read_bytes(struct hashed_read *r, struct fs_bytes *out);
/* Waits for the hash of what was read. */
int hashed_read_hash(struct hashed_read *r, char hex[HASH_HEX]);
const char *hashed_read_path(const struct hashed_read *r);
/* Waits until nobody looks at the bytes any more. NULL is none. */
void hashed_read_close(struct hashed_read *r);

#endif
