/* Private to engine/data: the bytes of a regular file, unpacked if it is gzip (RFC 1952), bzip2, xz or zstd. Every byte
 * of the file counts: checksums and lengths are compared, members that follow each other are read as one, zeros behind
 * the last are left out, and anything else behind it is an error, as is a gzip file inside the packed file. */
#ifndef ENGINE_DATA_UNPACK_H
#define ENGINE_DATA_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unpack {
	const char *path;   /* borrowed, for messages */
	int fd;             /* at the file's first byte if it is not packed and nothing was read */
	const char *packed; /* the format's name; NULL: the file is as it is */
	uint64_t file_bytes;
	uint64_t bytes, limit;        /* handed out so far, and at most */
	unsigned char first[2];       /* of what was unpacked */
	struct unpack_stream *s;      /* of gzip */
	struct unpack_filter *filter; /* of the others */
};
#define UNPACK_ZEROS_MAX (128 << 20) /* behind the data */
/* ERR_DATA: not a regular file, not readable. unpack_close in any case. */
int unpack_open(struct unpack *u, const char *path, uint64_t limit);
/* Reads up to n bytes; *got < n only at the end of the data, which is then known to be whole. ERR_DATA: "PATH: ...",
 * also where there are more than `limit` bytes. */
int unpack_read(struct unpack *u, void *p, size_t n, size_t *got);
void unpack_close(struct unpack *u); /* a zeroed struct is closed */

#endif
