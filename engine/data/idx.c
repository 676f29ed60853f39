/* Reads IDX files through zlib, which passes uncompressed files through unchanged. It checks the container only; that
 * images and labels agree is checked by the source (idx_source.c). */
#include "data/idx.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/source.h"

/* Deflate cannot expand by more than 1032:1 (zlib.net/zlib_tech.html); what claims more is refused unread. */
#define DEFLATE_MAX_RATIO 1032

struct reader {
	gzFile f;
	const char *path;
};

static int read_error(const struct reader *r)
{
	int code = Z_OK;
	const char *text = gzerror(r->f, &code);

	if (code == Z_ERRNO)
		return err_set(ERR_DATA, "%s: %s", r->path, strerror(errno));
	if (code == Z_BUF_ERROR)
		return err_set(ERR_DATA, "%s: truncated: the compressed data ends early", r->path);
	if (code == Z_MEM_ERROR)
		return err_set(ERR_NOMEM, "%s: out of memory", r->path);
	return err_set(ERR_DATA, "%s: damaged gzip data (%s)", r->path, text && *text ? text : "unknown error");
}

/* Reads up to n bytes; *got < n only at the end of the file. */
static int read_some(const struct reader *r, uint8_t *p, size_t n, size_t *got)
{
	*got = 0;
	while (*got < n) {
		size_t left = n - *got;
		unsigned want = left < (1u << 30) ? (unsigned)left : 1u << 30;
		int k = gzread(r->f, p + *got, want);
		int code = Z_OK;

		if (k < 0)
			return read_error(r);
		*got += (size_t)k;
		if ((unsigned)k == want)
			continue;
		/* A short read is the end, or a cut file, which gzread delivers in part before it complains. */
		gzerror(r->f, &code);
		return code == Z_OK || code == Z_STREAM_END ? 0 : read_error(r);
	}
	return 0;
}

static int parse_header(struct idx *out, const struct reader *r, int min_dims, int max_dims)
{
	uint8_t head[4 + 4 * IDX_MAX_DIMS];
	size_t got;
	int rc = read_some(r, head, 4, &got);

	if (rc != 0)
		return rc;
	if (got < 4 || head[0] != 0 || head[1] != 0 || head[3] == 0)
		return err_set(ERR_DATA, "%s: not an IDX file (its first bytes are not a magic number)", r->path);
	if (head[2] != 0x08)
		return err_set(ERR_DATA, "%s: IDX type 0x%02x; only 0x08 (unsigned bytes) is read", r->path, head[2]);
	if (head[3] < min_dims || head[3] > max_dims)
		return err_set(ERR_DATA, "%s: %d dimensions, expected %d to %d", r->path, head[3], min_dims, max_dims);
	out->ndim = head[3];
	rc = read_some(r, head + 4, 4 * (size_t)out->ndim, &got);
	if (rc != 0)
		return rc;
	if (got < 4 * (size_t)out->ndim)
		return err_set(ERR_DATA, "%s: truncated inside the header", r->path);
	for (int d = 0; d < out->ndim; d++) {
		const uint8_t *p = head + 4 + 4 * d;

		out->dim[d] = (int64_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
		if (out->dim[d] == 0)
			return err_set(ERR_DATA, "%s: dimension %d is 0", r->path, d);
	}
	return 0;
}

static int count_bytes(const struct idx *x, const struct reader *r, uint64_t *bytes)
{
	uint64_t on_disk;
	int rc = fs_size(r->path, &on_disk);

	if (rc != 0)
		return source_error(rc);
	*bytes = 1;
	for (int d = 0; d < x->ndim; d++)
		if (__builtin_mul_overflow(*bytes, (uint64_t)x->dim[d], bytes))
			return err_set(ERR_DATA, "%s: its dimensions are too large", r->path);
	if (*bytes / DEFLATE_MAX_RATIO > on_disk)
		return err_set(ERR_DATA, "%s: the header announces %llu bytes, a file of %llu cannot hold them",
		    r->path, (unsigned long long)*bytes, (unsigned long long)on_disk);
	return 0;
}

static int read_data(struct idx *x, const struct reader *r)
{
	uint64_t bytes = 0;
	size_t got;
	uint8_t extra;
	int rc = count_bytes(x, r, &bytes);

	if (rc != 0)
		return rc;
	x->data = mem_alloc((size_t)bytes, 1);
	if (!x->data)
		return ERR_NOMEM;
	rc = read_some(r, x->data, (size_t)bytes, &got);
	if (rc != 0)
		return rc;
	if (got < bytes)
		return err_set(ERR_DATA, "%s: truncated: %zu of %llu bytes after the header", r->path, got,
		    (unsigned long long)bytes);
	/* Reading past the end also makes zlib check the trailing checksum. */
	rc = read_some(r, &extra, 1, &got);
	if (!rc && got > 0)
		rc =
		    err_set(ERR_DATA, "%s: more data than the header's %llu bytes", r->path, (unsigned long long)bytes);
	return rc;
}

static int idx_open(struct idx *out, const char *path, int min_dims, int max_dims, bool with_data)
{
	struct reader r = {.path = path};
	int rc;

	*out = (struct idx){0};
	if (!fs_exists(path) || fs_is_dir(path))
		return err_set(ERR_DATA, "%s: no such file", path);
	errno = 0;
	r.f = gzopen(path, "rb");
	if (!r.f)
		return err_set(ERR_DATA, "%s: %s", path, errno ? strerror(errno) : "out of memory");
	rc = parse_header(out, &r, min_dims, max_dims);
	if (!rc && with_data)
		rc = read_data(out, &r);
	gzclose_r(r.f);
	if (rc != 0)
		idx_clear(out);
	return rc;
}

int idx_read(struct idx *out, const char *path, int min_dims, int max_dims)
{
	return idx_open(out, path, min_dims, max_dims, true);
}

int idx_header(struct idx *out, const char *path, int min_dims, int max_dims)
{
	return idx_open(out, path, min_dims, max_dims, false);
}

void idx_clear(struct idx *x)
{
	mem_free(x->data);
	*x = (struct idx){0};
}
