/* What libarchive does not look at in a .zip file. Names have no checksum there, but each is written twice: before its
 * member, and in the directory at the end. And of archives that were joined, only the last has a directory that is
 * found. */
#ifndef ENGINE_DATA_ZIP_CHECK_H
#define ENGINE_DATA_ZIP_CHECK_H

#include <stdint.h>

/* ERR_DATA: the two names of a member differ, or members of another archive lie in front or behind; `path` is for
 * messages. A file that does not begin with a member, has no directory that is found, or one of 64 bits, is not judged.
 * *end: where the archive's last record ends, before its comment, which libarchive looks behind 16 KiB deep only; the
 * file's end where no record is found. */
int zip_check(int fd, const char *path, uint64_t file_bytes, uint64_t *end);

#endif
