/* Private to engine/data: bzip2, xz and zstd, unpacked by libarchive as one stream of bytes. */
#ifndef ENGINE_DATA_UNPACK_FILTER_H
#define ENGINE_DATA_UNPACK_FILTER_H

#include <stddef.h>

#define UNPACK_MAGIC 6 /* bytes that tell the formats apart */

struct unpack;
struct unpack_filter;

/* The format's name by the first bytes of a file, or NULL. */
const char *unpack_filter_name(const unsigned char magic[UNPACK_MAGIC]);
/* Of a file that is at its first byte; `u` is borrowed until the filter is closed. ERR_DATA: this libarchive cannot. */
int unpack_filter_open(struct unpack_filter **out, struct unpack *u, const char *format);
/* Up to n bytes; *got 0 only at the end of the data, which is then whole, with nothing behind it but zeros. */
int unpack_filter_read(struct unpack_filter *f, void *p, size_t n, size_t *got);
void unpack_filter_close(struct unpack_filter *f); /* NULL is closed */

#endif
