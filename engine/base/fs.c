/* Reading, listing and removing files. Writing is in fs_out.c. Paths are bytes; nothing here changes the working
 * folder. */
#define _GNU_SOURCE /* nftw */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/host_memory.h"
#include "base/mem.h"

static int io_error(const char *path)
{
	struct stat st;
	const int why = errno;
	if (why == ENOENT && lstat(path, &st) == 0)
		return err_set(ERR_IO, "%s: is a link to nothing", path);
	return err_set(ERR_IO, "%s: %s", path, strerror(why));
}

/* Reads until the end: the size is only a hint, for a file may grow and a pipe has none. */
static int read_all(int fd, const char *path, uint64_t limit, struct fs_bytes *out)
{
	struct stat st;
	if (fstat(fd, &st))
		return io_error(path);
	size_t cap = st.st_size > 0 ? (size_t)st.st_size + 1 : 4096;
	out->data = mem_alloc(cap, 1);
	if (!out->data)
		return ERR_NOMEM;
	for (;;) {
		if (out->size > limit)
			return err_set(ERR_IO, "%s: more than %llu bytes, the most that are read", path,
			    (unsigned long long)limit);
		if (out->size + 1 == cap) {
			char extra; /* most files end here: look before doubling the buffer */
			ssize_t n = read(fd, &extra, 1);
			if (n == 0)
				return 0;
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return io_error(path);
			unsigned char *grown = cap > SIZE_MAX / 2 ? NULL : mem_grow(out->data, cap, cap * 2, 1);
			if (!grown)
				return err_context(ERR_NOMEM, "%s", path);
			out->data = grown;
			cap *= 2;
			out->data[out->size++] = (unsigned char)extra;
			continue;
		}
		ssize_t n = read(fd, out->data + out->size, cap - 1 - out->size);
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_error(path);
		out->size += (size_t)n;
	}
}

static const char *kind_name(mode_t mode)
{
	return S_ISDIR(mode) ? "a folder" : S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket" : "a device";
}

/* A pipe of a shell (cat x |, <(cat x)), which has a writer or had one. What has a name in a folder is a FIFO, which
 * may never have one. */
static bool is_pipe(const char *path, const struct stat *st)
{
	struct statfs fs;
	return S_ISFIFO(st->st_mode) && statfs(path, &fs) == 0 && fs.f_type == PIPEFS_MAGIC;
}

/* Looks before it opens, because opening a device can do something, and again afterwards, because the name may be
 * another thing's by then. Without O_NONBLOCK the opening of a FIFO waits for a writer. */
static int open_kind(const char *path, bool pipes, int *fd)
{
	struct stat st;
	*fd = -1;
	for (int look = 0; look < 2; look++) {
		if (look && (*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (pipes ? 0 : O_NONBLOCK))) < 0)
			return io_error(path);
		int rc = (look ? fstat(*fd, &st) : stat(path, &st)) ? io_error(path) : 0;
		if (!rc && !S_ISREG(st.st_mode) && !(pipes && is_pipe(path, &st)))
			rc = err_set(ERR_IO, "%s: is %s, not a file", path, kind_name(st.st_mode));
		if (rc) {
			if (look)
				close(*fd);
			*fd = -1;
			return rc;
		}
	}
	return 0;
}

int fs_open_regular(const char *path, int *fd)
{
	return open_kind(path, false, fd);
}

/* A file that memory cannot hold is refused before a byte of it is read: the kernel would grant the room and end the
 * program, or others, in the middle. Small files are read whatever is free. */
static int check_room(const char *path, const struct stat *st)
{
	size_t available, total;
	const uint64_t bytes = (uint64_t)st->st_size;
	if (!S_ISREG(st->st_mode) || bytes < (64u << 20))
		return 0;
	host_memory("", &available, &total);
	if (bytes <= available)
		return 0;
	return err_set(
	    ERR_NOMEM, "%s: %llu bytes, and %zu of memory are free", path, (unsigned long long)bytes, available);
}

static int read_limited(int fd, const char *path, uint64_t limit, struct fs_bytes *out)
{
	struct stat st;
	int rc = fstat(fd, &st) ? io_error(path) : 0;
	if (!rc && S_ISREG(st.st_mode) && (uint64_t)st.st_size > limit)
		rc = err_set(ERR_IO, "%s: %llu bytes; at most %llu are read", path, (unsigned long long)st.st_size,
		    (unsigned long long)limit);
	if (!rc)
		rc = check_room(path, &st);
	if (!rc)
		rc = read_all(fd, path, limit, out);
	if (rc)
		fs_bytes_clear(out);
	else
		out->data[out->size] = 0;
	return rc;
}

static int read_kind(const char *path, bool pipes, uint64_t limit, struct fs_bytes *out)
{
	int fd;
	*out = (struct fs_bytes){0};
	int rc = open_kind(path, pipes, &fd);
	if (rc)
		return rc;
	rc = read_limited(fd, path, limit, out);
	close(fd);
	return rc;
}

int fs_read_regular(const char *path, uint64_t limit, struct fs_bytes *out)
{
	return read_kind(path, false, limit, out);
}

/* What was opened is looked at, so nobody can put another file in its place between the look and the use. */
int fs_read_own(const char *path, uint64_t limit, struct fs_bytes *out)
{
	struct stat st;
	int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
	*out = (struct fs_bytes){0};
	if (fd < 0)
		return io_error(path);
	if (fstat(fd, &st))
		rc = io_error(path);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(ERR_IO, "%s: is %s, not a file", path, kind_name(st.st_mode));
	else if (st.st_uid != geteuid())
		rc = err_set(ERR_IO, "%s: belongs to another user", path);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		rc = err_set(ERR_IO, "%s: others may write to it", path);
	if (!rc)
		rc = read_limited(fd, path, limit, out);
	close(fd);
	return rc;
}

int fs_read(const char *path, struct fs_bytes *out)
{
	return read_kind(path, false, UINT64_MAX, out);
}

int fs_read_stream(const char *path, uint64_t limit, struct fs_bytes *out)
{
	*out = (struct fs_bytes){0};
	if (strcmp(path, "-") == 0)
		return read_limited(STDIN_FILENO, "standard input", limit, out);
	return read_kind(path, true, limit, out);
}

void fs_bytes_clear(struct fs_bytes *b)
{
	mem_free(b->data);
	*b = (struct fs_bytes){0};
}

bool fs_exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 || errno == EACCES || errno == ELOOP || errno == EIO;
}

int fs_check_dir(const char *path)
{
	struct stat st;
	if (stat(path, &st))
		return io_error(path);
	return S_ISDIR(st.st_mode) ? 0 : err_set(ERR_IO, "%s: is not a folder", path);
}

bool fs_is_dir(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool fs_ends_in(const char *path, const char *suffix)
{
	const size_t n = strlen(path), k = strlen(suffix);
	return n > k && strcasecmp(path + n - k, suffix) == 0;
}

int fs_size(const char *path, uint64_t *bytes)
{
	struct stat st;
	*bytes = 0;
	if (stat(path, &st))
		return io_error(path);
	*bytes = (uint64_t)st.st_size;
	return 0;
}

static int make_one(const char *path)
{
	if (mkdir(path, 0777) == 0 || (errno == EEXIST && fs_is_dir(path)))
		return 0;
	int error = errno;
	/* A read-only parent answers EROFS or EACCES before it looks whether the folder is there. */
	if (fs_is_dir(path))
		return 0;
	errno = error;
	return error == EEXIST ? err_set(ERR_IO, "%s: is not a folder", path) : io_error(path);
}

int fs_mkdirs(const char *path)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof(part))
		return err_set(ERR_IO, "'%s': not a usable folder name", path);
	memcpy(part, path, n + 1);
	for (size_t i = 1; i < n; i++) {
		if (part[i] != '/')
			continue;
		part[i] = '\0';
		int rc = make_one(part);
		if (rc)
			return rc;
		part[i] = '/';
	}
	return make_one(part);
}

/* The last part of the path must be a name: a config error that ends in "..", "." or "/" must not remove a home
 * folder. */
static bool is_removable(const char *path)
{
	bool named = false;
	while (*path) {
		size_t n = strcspn(path, "/");
		if (n > 2 || (n == 2 && strncmp(path, "..", 2) != 0) || (n == 1 && path[0] != '.'))
			named = true;
		else if (n == 2)
			named = false;
		path += n;
		path += strspn(path, "/");
	}
	return named;
}

/* nftw has no argument for the caller's data, so the message is set here. */
static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path) == 0 || errno == ENOENT ? 0 : io_error(path);
}

int fs_remove_tree(const char *path)
{
	struct stat st;
	if (!is_removable(path))
		return err_set(ERR_FAIL, "'%s': refused to remove this folder", path);
	if (lstat(path, &st))
		return errno == ENOENT ? 0 : io_error(path);
	/* FTW_PHYS: a link is removed, what it points to stays. 16 open folders, deeper ones are reopened. */
	int rc = nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return rc == -1 ? io_error(path) : rc; /* -1 is nftw's own failure; remove_entry answers ERR_IO */
}

int fs_undo(const char *dir, int rc)
{
	char *why = mem_strdup(err_message());
	fs_remove_tree(dir);
	if (!why)
		return rc;
	err_set((enum err)rc, "%s", why);
	mem_free(why);
	return rc;
}

int fs_join(char *out, size_t cap, const char *dir, const char *name)
{
	size_t n = strlen(dir);
	const char *slash = n == 0 || dir[n - 1] == '/' ? "" : "/";
	int len = snprintf(out, cap, "%s%s%s", dir, slash, name);
	if (len < 0 || (size_t)len >= cap)
		return err_set(ERR_FAIL, "%s%s%s: path is longer than %zu bytes", dir, slash, name, cap ? cap - 1 : 0);
	return 0;
}

static int add_name(struct fs_list *out, size_t *cap, const char *name)
{
	if ((size_t)out->n == *cap) {
		size_t more = *cap ? *cap * 2 : 16;
		char **grown = more > INT_MAX ? NULL : mem_grow(out->name, *cap, more, sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		out->name = grown;
		*cap = more;
	}
	out->name[out->n] = mem_strdup(name);
	if (!out->name[out->n])
		return ERR_NOMEM;
	out->n++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int fs_list(const char *dir, struct fs_list *out)
{
	size_t cap = 0;
	int rc = 0;
	*out = (struct fs_list){0};
	DIR *d = opendir(dir);
	if (!d)
		return io_error(dir);
	struct dirent *entry;
	for (errno = 0; !rc && (entry = readdir(d)) != NULL; errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = add_name(out, &cap, entry->d_name);
	if (!rc && errno)
		rc = io_error(dir);
	closedir(d);
	if (rc)
		fs_list_clear(out);
	else if (out->n > 1)
		qsort(out->name, (size_t)out->n, sizeof(*out->name), by_name);
	return rc;
}

void fs_list_clear(struct fs_list *l)
{
	for (int i = 0; i < l->n; i++)
		mem_free(l->name[i]);
	mem_free(l->name);
	*l = (struct fs_list){0};
}
