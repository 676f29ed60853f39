/* Private to engine/data: a walk over the members of a .tar, .tar.gz or .zip archive, in the archive's order.
 *
 * Links are followed within the archive: a link to a member is a member of its own with the same content, and a link to
 * a folder makes a member of each that lies in it. Such members come after all others. */
#ifndef ENGINE_DATA_ARCHIVE_H
#define ENGINE_DATA_ARCHIVE_H

#include <stddef.h>

enum archive_kind {
	ARCHIVE_FILE,
	ARCHIVE_FOLDER,
	ARCHIVE_LINK,  /* to what is not in the archive, or to a folder around itself */
	ARCHIVE_OTHER, /* a device, a FIFO */
};
struct archive_member {
	const char *path; /* of the archive */
	const char *name; /* of the member: a clean path (names.h) */
	enum archive_kind kind;
	void *handle;
};
/* 0: go on; 1: stop, the walk is done; negative: an error, handed on. */
typedef int (*archive_visit)(const struct archive_member *m, void *user);

/* A walk that was not stopped has seen every byte. ERR_DATA: "ARCHIVE: reason", also for archives that are cut off or
 * fail their checksums, that unpack to far more than their own size or have too many members, and for names that lead
 * out of the archive. */
int archive_walk(const char *path, archive_visit visit, void *user);
/* The length of a file's name without the suffix of an archive (.tar, .tar.gz, .tgz, .zip, ...); all of it if there is
 * none. */
size_t archive_stem(const char *file);
/* The content of the member being visited, once; mem_free it. ERR_DATA above `limit` bytes, and if it is no file. */
int archive_member_read(const struct archive_member *m, size_t limit, unsigned char **out, size_t *n);

#endif
