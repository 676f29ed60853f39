/* zlib's own gzread takes a file with other bytes behind the gzip data as if they were not there, so inflate is called
 * here. */
#include "data/unpack.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <zlib.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/source.h"
#include "data/unpack_filter.h"

#define BLOCK 65536

struct unpack_stream {
	z_stream z;
	unsigned char in[BLOCK];
	bool started;    /* z is initialised */
	bool between;    /* before the header of a member */
	bool file_ended; /* nothing is left to be read */
	bool done;
};

static bool is_gzip(const unsigned char p[2])
{
	return p[0] == 0x1f && p[1] == 0x8b;
}

static int read_block(const struct unpack *u, void *p, size_t n, size_t *got)
{
	ssize_t k;

	do
		k = read(u->fd, p, n);
	while (k < 0 && errno == EINTR);
	*got = k < 0 ? 0 : (size_t)k;
	return k < 0 ? err_set(ERR_DATA, "%s: %s", u->path, strerror(errno)) : 0;
}

/* More input for inflate, if there is none. */
static int refill(struct unpack *u)
{
	struct unpack_stream *s = u->s;
	size_t got;
	int rc;

	if (s->z.avail_in > 0 || s->file_ended)
		return 0;
	rc = read_block(u, s->in, sizeof(s->in), &got);
	s->z.next_in = s->in;
	s->z.avail_in = (uInt)got;
	s->file_ended = !rc && got == 0;
	return rc;
}

/* Behind a member: another one, the end, or zeros that fill up a block of a tape. A sparse file may have terabytes. */
static int next_member(struct unpack *u)
{
	struct unpack_stream *s = u->s;
	size_t zeros = 0;
	int rc;

	for (;;) {
		rc = refill(u);
		if (rc)
			return rc;
		if (s->z.avail_in == 0) {
			s->done = true;
			return 0;
		}
		if (*s->z.next_in != 0)
			break;
		if (++zeros > UNPACK_ZEROS_MAX)
			return err_set(ERR_DATA, "%s: more than %d MiB of zeros behind the gzip data", u->path,
			    UNPACK_ZEROS_MAX >> 20);
		s->z.next_in++;
		s->z.avail_in--;
	}
	if (*s->z.next_in != 0x1f)
		return err_set(ERR_DATA, "%s: the gzip data ends, and other bytes follow it", u->path);
	s->between = false;
	return inflateReset(&s->z) == Z_OK ? 0 : err_set(ERR_NOMEM, "%s: out of memory", u->path);
}

static int damaged(const struct unpack *u, int code)
{
	const char *why = u->s->z.msg;

	if (code == Z_MEM_ERROR)
		return err_set(ERR_NOMEM, "%s: out of memory", u->path);
	return err_set(ERR_DATA, "%s: damaged gzip data (%s)", u->path,
	    why                   ? why
	    : code == Z_NEED_DICT ? "a preset dictionary"
				  : "unknown error");
}

static int inflate_some(struct unpack *u)
{
	struct unpack_stream *s = u->s;
	int code, rc = s->between ? next_member(u) : 0;

	if (rc || s->done)
		return rc;
	rc = refill(u);
	if (rc)
		return rc;
	if (s->z.avail_in == 0)
		return err_set(ERR_DATA, "%s: truncated: the compressed data ends early", u->path);
	code = inflate(&s->z, Z_NO_FLUSH);
	if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
		return damaged(u, code);
	s->between = code == Z_STREAM_END;
	return 0;
}

static int start(struct unpack *u)
{
	u->s = mem_alloc(1, sizeof(*u->s));
	if (!u->s)
		return ERR_NOMEM;
	/* 16: a gzip header and trailer, both checked. */
	if (inflateInit2(&u->s->z, 15 + 16) != Z_OK)
		return err_set(ERR_NOMEM, "%s: out of memory", u->path);
	u->s->started = true;
	return 0;
}

int unpack_open(struct unpack *u, const char *path, uint64_t limit)
{
	unsigned char magic[UNPACK_MAGIC] = {0};
	off_t end;
	int rc;

	*u = (struct unpack){.path = path, .fd = -1, .limit = limit};
	rc = source_error(fs_open_regular(path, &u->fd));
	if (rc)
		return rc;
	end = lseek(u->fd, 0, SEEK_END);
	if (end < 0 || pread(u->fd, magic, sizeof(magic), 0) < 0 || lseek(u->fd, 0, SEEK_SET) != 0)
		return err_set(ERR_DATA, "%s: %s", path, strerror(errno));
	u->file_bytes = (uint64_t)end;
	u->packed = is_gzip(magic) ? "gzip" : unpack_filter_name(magic);
	if (!u->packed)
		return 0;
	return is_gzip(magic) ? start(u) : unpack_filter_open(&u->filter, u, u->packed);
}

/* What was handed out: within the limit, and no gzip file again. */
static int check_output(const struct unpack *u)
{
	if (u->bytes > u->limit)
		return err_set(ERR_DATA,
		    "%s: unpacks to more than %llu bytes, the limit for a file of %llu (%.0f times its size)", u->path,
		    (unsigned long long)u->limit, (unsigned long long)u->file_bytes,
		    (double)u->limit / (double)u->file_bytes);
	if (u->bytes >= 2 && is_gzip(u->first))
		return err_set(ERR_DATA, "%s: a gzip file inside a %s file; unpack it once", u->path, u->packed);
	return 0;
}

/* Counts what was handed out at p. */
static int count_output(struct unpack *u, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n && u->bytes + i < 2; i++)
		u->first[u->bytes + i] = p[i];
	u->bytes += n;
	return check_output(u);
}

static int read_gzip(struct unpack *u, unsigned char *p, size_t n, size_t *got)
{
	struct unpack_stream *s = u->s;

	while (*got < n && !s->done) {
		size_t want = n - *got < (1u << 30) ? n - *got : 1u << 30, made;
		int rc;

		s->z.next_out = p + *got;
		s->z.avail_out = (uInt)want;
		rc = inflate_some(u);
		if (rc)
			return rc;
		made = want - s->z.avail_out;
		*got += made;
		rc = count_output(u, p + *got - made, made);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_filter(struct unpack *u, unsigned char *p, size_t n, size_t *got)
{
	int rc = 0;

	while (*got < n && !rc) {
		size_t made;

		rc = unpack_filter_read(u->filter, p + *got, n - *got, &made);
		if (rc || made == 0)
			return rc;
		*got += made;
		rc = count_output(u, p + *got - made, made);
	}
	return rc;
}

int unpack_read(struct unpack *u, void *p, size_t n, size_t *got)
{
	*got = 0;
	if (u->packed)
		return u->s ? read_gzip(u, p, n, got) : read_filter(u, p, n, got);
	while (*got < n) {
		size_t k;
		int rc = read_block(u, (unsigned char *)p + *got, n - *got, &k);

		if (rc)
			return rc;
		if (k == 0)
			break;
		*got += k;
		u->bytes += k;
	}
	return 0;
}

void unpack_close(struct unpack *u)
{
	if (u->s && u->s->started)
		inflateEnd(&u->s->z);
	mem_free(u->s);
	unpack_filter_close(u->filter);
	if (u->path && u->fd >= 0)
		close(u->fd);
	*u = (struct unpack){0};
}
