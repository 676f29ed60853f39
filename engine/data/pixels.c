#define _GNU_SOURCE /* mkostemp, fallocate */
#include "data/pixels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/host_memory.h"
#include "base/mem.h"
#include "base/str.h"

#define TMPFS 0x01021994
#define RAMFS 0x858458f6

/* What was written counts as memory until it is on the disk. */
#define FLUSH_BYTES ((size_t)32 << 20)

static size_t total(const struct pixels *p)
{
	return (size_t)p->rows * p->bytes;
}

static double mib(size_t bytes)
{
	return (double)bytes / (1 << 20);
}

/* Why a folder cannot take the file, or NULL: the file is open. */
static const char *try_folder(struct pixels *p, const char *folder)
{
	char path[sizeof(p->folder) + 32];
	struct statfs f;
	struct statvfs v;

	if (strlen(folder) >= sizeof(p->folder))
		return "the path is too long";
	if (statfs(folder, &f) < 0 || statvfs(folder, &v) < 0)
		return strerror(errno);
	if ((unsigned long)f.f_type == TMPFS || (unsigned long)f.f_type == RAMFS)
		return "what is in it is in memory";
	if ((size_t)v.f_bavail < total(p) / v.f_frsize + 1)
		return "not enough space";
	snprintf(path, sizeof(path), "%s/.pipeline-pixels-XXXXXX", folder);
	p->fd = mkostemp(path, O_CLOEXEC);
	if (p->fd < 0)
		return strerror(errno);
	p->in_file = true;
	unlink(path);
	snprintf(p->folder, sizeof(p->folder), "%s", folder);
	/* Where a file system cannot reserve, a full disk is found when a row is written. */
	if (fallocate(p->fd, 0, 0, (off_t)total(p)) == 0 || errno == EOPNOTSUPP)
		return NULL;
	int code = errno;
	close(p->fd);
	p->in_file = false;
	return strerror(code);
}

static int open_file(struct pixels *p, const struct data_options *o)
{
	const char *const usual[] = {".", getenv("TMPDIR"), "/var/tmp"};
	const char *const *folder = o->cache ? (const char *const *)&o->cache : usual;
	int n = o->cache ? 1 : (int)(sizeof(usual) / sizeof(*usual));
	struct str why = {0};
	int rc = 0;

	for (int i = 0; i < n && !p->in_file; i++) {
		const char *reason = folder[i] && *folder[i] ? try_folder(p, folder[i]) : NULL;

		if (reason)
			str_addf(&why, "%s%s: %s", why.len ? "; " : "", folder[i], reason);
	}
	if (!p->in_file)
		rc = err_set(ERR_IO,
		    "the images take %.1f MiB, %.1f MiB of memory are available, and no folder takes a file for them "
		    "(data.cache names one): %s",
		    mib(total(p)), mib(p->available), str_text(&why));
	str_clear(&why);
	return rc;
}

int pixels_open(struct pixels *p, const struct data_options *o, int64_t rows, size_t bytes)
{
	size_t all, machine;

	*p = (struct pixels){.rows = rows, .bytes = bytes};
	host_memory("", &p->available, &machine);
	if (__builtin_mul_overflow((size_t)rows, bytes, &all))
		return err_set(
		    ERR_DATA, "%lld images of %zu bytes are more than can be counted", (long long)rows, bytes);
	if (o->held == HELD_FILE || (o->held == HELD_AUTO && all > p->available / 2))
		return open_file(p, o);
	if (all > p->available)
		return err_set(ERR_NOMEM,
		    "the images take %.1f MiB, but %.1f MiB of memory are available; data.held: auto or file keeps "
		    "them in a file",
		    mib(all), mib(p->available));
	p->base = mem_alloc((size_t)rows, bytes);
	return p->base ? 0 : ERR_NOMEM;
}

static int write_error(const struct pixels *p)
{
	return err_set(ERR_IO, "the file of the images' pixels in %s: %s", p->folder, strerror(errno));
}

int pixels_put(struct pixels *p, int64_t row, int64_t n, const uint8_t *from)
{
	size_t at = (size_t)row * p->bytes, left = (size_t)n * p->bytes;

	if (!p->in_file) {
		memcpy(p->base + at, from, left);
		return 0;
	}
	if (atomic_fetch_add(&p->unsaved, left) > FLUSH_BYTES) {
		atomic_store(&p->unsaved, 0);
		if (fdatasync(p->fd) < 0)
			return write_error(p);
	}
	while (left > 0) {
		ssize_t k = pwrite(p->fd, from, left, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return write_error(p);
		from += k;
		at += (size_t)k;
		left -= (size_t)k;
	}
	return 0;
}

int pixels_seal(struct pixels *p)
{
	void *base;

	if (!p->in_file)
		return 0;
	if (fdatasync(p->fd) < 0)
		return write_error(p);
	/* Rows of samples that could not be used were never written: without this, reading them would be a fault. */
	if (ftruncate(p->fd, (off_t)total(p)) < 0)
		return write_error(p);
	base = mmap(NULL, total(p), PROT_READ, MAP_SHARED, p->fd, 0);
	if (base == MAP_FAILED)
		return write_error(p);
	p->base = base;
	posix_madvise(base, total(p), POSIX_MADV_SEQUENTIAL);
	return 0;
}

void pixels_shuffle(const struct pixels *p)
{
	if (p->in_file && p->base)
		posix_madvise(p->base, total(p), POSIX_MADV_RANDOM);
}

void pixels_read_ahead(const struct pixels *p, int64_t row)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), at = (size_t)row * p->bytes, from = at / page * page;

	posix_madvise(p->base + from, at - from + p->bytes, POSIX_MADV_WILLNEED);
}

void pixels_close(struct pixels *p)
{
	if (p->in_file) {
		if (p->base)
			munmap(p->base, total(p));
		close(p->fd);
	} else {
		mem_free(p->base);
	}
	*p = (struct pixels){0};
}
