/* Private to engine/data: a walk over the regular files of a .tar(.gz) or .zip archive, in the archive's order. */
#ifndef ENGINE_DATA_ARCHIVE_H
#define ENGINE_DATA_ARCHIVE_H

#include <stddef.h>

struct archive_member {
	const char *path; /* of the archive */
	const char *name; /* of the member, without a leading "./" */
	void *handle;
};
/* 0: go on; 1: stop, the walk is done; negative: an error, handed on. */
typedef int (*archive_visit)(const struct archive_member *m, void *user);

/* ERR_DATA: "ARCHIVE: reason", also for archives that are cut off or fail their checksums. */
int archive_walk(const char *path, archive_visit visit, void *user);
/* The content of the member being visited; mem_free it. ERR_DATA above `limit` bytes. */
int archive_member_read(const struct archive_member *m, size_t limit, unsigned char **out, size_t *n);

#endif
