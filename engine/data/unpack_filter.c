/* libarchive reads the compressed file as one member without a name, so that what comes out can be counted before
 * anything looks for members in it: a reader of members would skip those that unpack without end. */
#include "data/unpack_filter.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/unpack.h"

#define BLOCK 65536

struct unpack_filter {
	struct archive *a;
	struct unpack *u;
	const char *format;
	int error; /* of the callback, with its message */
	bool ended;
	unsigned char in[BLOCK];
};

static const struct {
	const char *name, *magic;
	size_t n;
	int (*support)(struct archive *);
} formats[] = {
    {"bzip2", "BZh", 3, archive_read_support_filter_bzip2},
    {"xz", "\xfd\x37zXZ\0", 6, archive_read_support_filter_xz},
    {"zstd", "\x28\xb5\x2f\xfd", 4, archive_read_support_filter_zstd},
};

const char *unpack_filter_name(const unsigned char magic[UNPACK_MAGIC])
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (memcmp(magic, formats[i].magic, formats[i].n) == 0)
			return formats[i].name;
	return NULL;
}

static la_ssize_t read_file(struct archive *a, void *user, const void **block)
{
	struct unpack_filter *f = user;
	ssize_t got;

	do
		got = read(f->u->fd, f->in, sizeof(f->in));
	while (got < 0 && errno == EINTR);
	*block = f->in;
	if (got >= 0)
		return got;
	f->error = err_set(ERR_DATA, "%s: %s", f->u->path, strerror(errno));
	archive_set_error(a, EIO, "reading failed");
	return -1;
}

static int fail(const struct unpack_filter *f)
{
	const char *text = archive_error_string(f->a);

	if (f->error != 0)
		return f->error;
	if (archive_errno(f->a) == ENOMEM)
		return err_set(ERR_NOMEM, "%s: out of memory", f->u->path);
	return err_set(ERR_DATA, "%s: damaged %s data (%s)", f->u->path, f->format, text ? text : "unknown error");
}

int unpack_filter_open(struct unpack_filter **out, struct unpack *u, const char *format)
{
	struct unpack_filter *f = mem_alloc(1, sizeof(*f));
	struct archive_entry *entry;
	int rc = ARCHIVE_FATAL;

	*out = f;
	if (!f)
		return ERR_NOMEM;
	f->u = u;
	f->format = format;
	f->a = archive_read_new();
	if (!f->a)
		return err_set(ERR_NOMEM, "%s: out of memory", u->path);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(formats[i].name, format) == 0)
			rc = formats[i].support(f->a);
	/* A warning: libarchive would start another program to unpack. */
	if (rc != ARCHIVE_OK)
		return err_set(ERR_DATA, "%s: %s data, which the libarchive of this machine cannot unpack by itself",
		    u->path, format);
	archive_read_support_format_raw(f->a);
	if (archive_read_open(f->a, f, NULL, read_file, NULL) != ARCHIVE_OK)
		return fail(f);
	rc = archive_read_next_header(f->a, &entry);
	f->ended = rc == ARCHIVE_EOF;
	return rc == ARCHIVE_OK || rc == ARCHIVE_EOF ? 0 : fail(f);
}

/* Behind the data may be zeros, which fill up a block of a tape. */
static int check_end(struct unpack_filter *f)
{
	const la_int64_t used = archive_filter_bytes(f->a, -1);
	uint64_t zeros = f->u->file_bytes - (uint64_t)used;

	if (used < 0 || (uint64_t)used > f->u->file_bytes)
		return err_set(ERR_DATA, "%s: its end cannot be found", f->u->path);
	if (zeros > UNPACK_ZEROS_MAX)
		return err_set(
		    ERR_DATA, "%s: more than %d MiB behind the %s data", f->u->path, UNPACK_ZEROS_MAX >> 20, f->format);
	for (uint64_t at = (uint64_t)used; at < f->u->file_bytes;) {
		ssize_t got = pread(f->u->fd, f->in, sizeof(f->in), (off_t)at);

		if (got <= 0)
			return err_set(ERR_DATA, "%s: %s", f->u->path, got < 0 ? strerror(errno) : "is being changed");
		if (f->in[0] || memcmp(f->in, f->in + 1, (size_t)got - 1) != 0)
			return err_set(
			    ERR_DATA, "%s: the %s data ends, and other bytes follow it", f->u->path, f->format);
		at += (uint64_t)got;
	}
	return 0;
}

int unpack_filter_read(struct unpack_filter *f, void *p, size_t n, size_t *got)
{
	la_ssize_t k;

	*got = 0;
	if (f->ended)
		return 0;
	k = archive_read_data(f->a, p, n);
	if (k < 0)
		return fail(f);
	*got = (size_t)k;
	f->ended = k == 0;
	return f->ended ? check_end(f) : 0;
}

void unpack_filter_close(struct unpack_filter *f)
{
	if (f && f->a)
		archive_read_free(f->a);
	mem_free(f);
}
