/* Files. Everything that is written appears complete or not at all: written aside, fsynced, renamed. */
#ifndef ENGINE_BASE_FS_H
#define ENGINE_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct fs_bytes {
	unsigned char *data; /* owned; one NUL byte follows data[size-1] */
	size_t size;
};
/* The content of a regular file. ERR_IO: "PATH: <reason>" */
int fs_read(const char *path, struct fs_bytes *out);
void fs_bytes_clear(struct fs_bytes *b);
/* As fs_read_regular, of a file that nobody but the user who runs can have written: ERR_IO for a link, and where it
 * belongs to another or others may write to it. */
int fs_read_own(const char *path, uint64_t limit, struct fs_bytes *out);
/* Opens what must be a regular file (or a link to one) for reading, for the caller to close. It never waits: ERR_IO
 * "PATH: is a FIFO, not a file", also for folders, devices and sockets. */
int fs_open_regular(const char *path, int *fd);
/* The content of a regular file of at most `limit` bytes; `*out` is empty after an error. ERR_IO also above the limit:
 * "PATH: N bytes; at most LIMIT are read". */
int fs_read_regular(const char *path, uint64_t limit, struct fs_bytes *out);
/* As fs_read_regular, and from a pipe too, as /dev/stdin may be, but not from a FIFO in a folder; "-" is standard
 * input. What comes through is waited for. */
int fs_read_stream(const char *path, uint64_t limit, struct fs_bytes *out);

/* False only where there is nothing: what may not be looked at, or is a link to nothing, is for whoever opens it to
 * name the reason. What is optional would else be left out without a word. */
bool fs_exists(const char *path);
bool fs_is_dir(const char *path);
int fs_check_dir(const char *path); /* ERR_IO: "PATH: is not a folder", or why that cannot be seen */
int fs_size(const char *path, uint64_t *bytes);
int fs_mkdirs(const char *path);      /* like mkdir -p */
int fs_remove_tree(const char *path); /* refuses what does not end in a name: "", "/", "a/.." */
/* Removes a folder that was begun and could not be finished, and keeps the error `rc` with its message. */
int fs_undo(const char *dir, int rc);
bool fs_ends_in(const char *path, const char *suffix);                 /* in any case; never the whole path */
int fs_join(char *out, size_t cap, const char *dir, const char *name); /* ERR_FAIL if it does not fit */

/* A sorted list of the names in a folder (without . and ..). */
struct fs_list {
	char **name;
	int n;
};
int fs_list(const char *dir, struct fs_list *out);
void fs_list_clear(struct fs_list *l);

/* A file written aside: fs_commit flushes, fsyncs, renames over `path` and fsyncs the folder; fs_abort removes it.
 * Exactly one of them must be called. Errors of write, flush and close (a full disk) are reported by fs_commit. */
struct fs_out {
	FILE *f;
	char path[1024], aside[1088];
};
int fs_create(struct fs_out *o, const char *path);
int fs_create_own(
    struct fs_out *o, const char *path); /* nobody else may write to it, whatever the umask: fs_read_own */
int fs_commit(struct fs_out *o);
void fs_abort(struct fs_out *o);
int fs_write(const char *path, const void *bytes, size_t n); /* create + write + commit */

#endif
