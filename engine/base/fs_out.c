/* Writing files so that they appear complete or not at all: written under another name in the same folder, fsynced,
 * renamed, and the folder fsynced (without that the rename itself may be lost with the power). */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

static int io_error(const char *path, int why)
{
	return err_set(ERR_IO, "%s: %s", path, strerror(why));
}

/* Opens a new file beside `path`. Left-overs of a killed process keep their names; then the next number is taken. */
static int open_aside(struct fs_out *o)
{
	static atomic_uint serial;
	for (int attempt = 0; attempt < 1000; attempt++) {
		snprintf(o->aside, sizeof(o->aside), "%s.%ld.%u.part", o->path, (long)getpid(),
		    atomic_fetch_add(&serial, 1));
		int fd = open(o->aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

int fs_create(struct fs_out *o, const char *path)
{
	struct stat st;
	*o = (struct fs_out){0};
	if (strlen(path) >= sizeof(o->path))
		return err_set(ERR_IO, "%s: path is longer than %zu bytes", path, sizeof(o->path) - 1);
	memcpy(o->path, path, strlen(path) + 1);
	/* The rename would replace a device or a folder by a file. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(ERR_IO, "%s: exists and is not a regular file", path);
	int fd = open_aside(o);
	if (fd < 0)
		return io_error(path, errno);
	o->f = fdopen(fd, "wb");
	if (!o->f) {
		int why = errno;
		close(fd);
		unlink(o->aside);
		return io_error(path, why);
	}
	return 0;
}

int fs_create_own(struct fs_out *o, const char *path)
{
	struct stat st;
	int rc = fs_create(o, path);
	if (rc)
		return rc;
	if (fstat(fileno(o->f), &st) || fchmod(fileno(o->f), st.st_mode & 07777 & ~(mode_t)(S_IWGRP | S_IWOTH))) {
		rc = io_error(path, errno);
		fs_abort(o);
	}
	return rc;
}

/* Why an earlier fwrite failed: stdio keeps only that it did. Writing again to the file, which is lost anyway, gets the
 * same answer from a full disk. */
static int write_failure(FILE *f)
{
	static const char probe[1 << 16];
	ssize_t n = write(fileno(f), probe, sizeof(probe));
	if (n >= 0 && (size_t)n < sizeof(probe))
		n = write(fileno(f), probe, sizeof(probe));
	return n < 0 ? errno : EIO;
}

static int flush(FILE *f)
{
	if (ferror(f))
		return write_failure(f);
	if (fflush(f))
		return errno;
	return fsync(fileno(f)) ? errno : 0;
}

static int sync_folder_of(const char *path)
{
	char dir[sizeof((struct fs_out *)0)->path];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	if (!slash)
		dir[n++] = '.';
	else if (n == 0)
		dir[n++] = '/';
	else
		memcpy(dir, path, n);
	dir[n] = '\0';
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES ? 0 : errno; /* a folder may be writable and not readable */
	int why = fsync(fd) ? errno : 0;
	close(fd);
	return why == EINVAL ? 0 : why; /* some network file systems cannot sync folders */
}

int fs_commit(struct fs_out *o)
{
	int why = flush(o->f);
	if (fclose(o->f) && !why)
		why = errno;
	o->f = NULL;
	if (!why && rename(o->aside, o->path))
		why = errno;
	if (why) {
		unlink(o->aside);
		return io_error(o->path, why);
	}
	why = sync_folder_of(o->path);
	return why ? io_error(o->path, why) : 0;
}

void fs_abort(struct fs_out *o)
{
	if (!o->f)
		return;
	fclose(o->f);
	o->f = NULL;
	unlink(o->aside);
}

int fs_write(const char *path, const void *bytes, size_t n)
{
	struct fs_out o;
	int rc = fs_create(&o, path);
	if (rc)
		return rc;
	if (n)
		fwrite(bytes, 1, n, o.f); /* a failure stays in the stream, fs_commit reports it */
	return fs_commit(&o);
}
