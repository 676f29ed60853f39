/* Reads IDX files, plain or gzip. It checks the container only; that images and labels agree is checked by the source
 * (idx_source.c). */
#include "data/idx.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/unpack.h"

/* Deflate cannot expand by more than 1032:1 (zlib.net/zlib_tech.html); what claims more is refused unread. */
#define DEFLATE_MAX_RATIO 1032

static int parse_header(struct idx_file *r, int min_dims, int max_dims)
{
	struct idx *out = &r->head;
	uint8_t head[4 + 4 * IDX_MAX_DIMS];
	size_t got;
	int rc = unpack_read(r->handle, head, 4, &got);

	if (rc)
		return rc;
	if (got < 4 || head[0] != 0 || head[1] != 0 || head[3] == 0)
		return err_set(ERR_DATA, "%s: not an IDX file (its first bytes are not a magic number)", r->path);
	if (head[2] != 0x08)
		return err_set(ERR_DATA, "%s: IDX type 0x%02x; only 0x08 (unsigned bytes) is read", r->path, head[2]);
	if (head[3] < min_dims || head[3] > max_dims)
		return err_set(ERR_DATA, "%s: %d dimensions, expected %d to %d", r->path, head[3], min_dims, max_dims);
	out->ndim = head[3];
	rc = unpack_read(r->handle, head + 4, 4 * (size_t)out->ndim, &got);
	if (rc)
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

static int truncated(const struct idx_file *f, uint64_t got)
{
	return err_set(ERR_DATA, "%s: truncated: %llu of %llu bytes after the header", f->path, (unsigned long long)got,
	    (unsigned long long)f->bytes);
}

static int too_long(const struct idx_file *f)
{
	return err_set(ERR_DATA, "%s: more data than the header's %llu bytes", f->path, (unsigned long long)f->bytes);
}

int idx_open(struct idx_file *f, const char *path, int min_dims, int max_dims)
{
	int rc;

	*f = (struct idx_file){0};
	if (strlen(path) >= sizeof(f->path))
		return err_set(ERR_DATA, "%s: path is too long", path);
	snprintf(f->path, sizeof(f->path), "%s", path);
	f->handle = mem_alloc(1, sizeof(*f->handle));
	if (!f->handle)
		return ERR_NOMEM;
	/* No limit: no more is read than the header announces. */
	rc = unpack_open(f->handle, f->path, UINT64_MAX);
	if (!rc)
		rc = parse_header(f, min_dims, max_dims);
	if (rc)
		idx_close(f);
	return rc;
}

/* So that nothing is allocated for values that cannot be there. */
int idx_check(struct idx_file *f)
{
	const struct idx *x = &f->head;
	uint64_t on_disk = f->handle->file_bytes, head = 4 + 4 * (uint64_t)x->ndim;

	f->bytes = 1;
	for (int d = 0; d < x->ndim; d++)
		if (__builtin_mul_overflow(f->bytes, (uint64_t)x->dim[d], &f->bytes))
			return err_set(ERR_DATA, "%s: its dimensions are too large", f->path);
	if (f->bytes / DEFLATE_MAX_RATIO > on_disk)
		return err_set(ERR_DATA, "%s: the header announces %llu bytes, a file of %llu cannot hold them",
		    f->path, (unsigned long long)f->bytes, (unsigned long long)on_disk);
	if (f->handle->packed)
		return 0;
	if (on_disk < head + f->bytes)
		return truncated(f, on_disk - head);
	return on_disk > head + f->bytes ? too_long(f) : 0;
}

int idx_next(struct idx_file *f, uint8_t *out, size_t n)
{
	size_t got;
	int rc = unpack_read(f->handle, out, n, &got);

	f->taken += got;
	return !rc && got < n ? truncated(f, f->taken) : rc;
}

/* Only at the end are checksum and length of gzip data checked. */
int idx_end(struct idx_file *f)
{
	size_t got;
	uint8_t extra;
	int rc = unpack_read(f->handle, &extra, 1, &got);

	if (!rc && got > 0)
		rc = too_long(f);
	return rc;
}

void idx_close(struct idx_file *f)
{
	if (f->handle)
		unpack_close(f->handle);
	mem_free(f->handle);
	*f = (struct idx_file){0};
}

int idx_read(struct idx *out, const char *path, int min_dims, int max_dims)
{
	struct idx_file f;
	int rc = idx_open(&f, path, min_dims, max_dims);

	*out = f.head;
	if (!rc)
		rc = idx_check(&f);
	if (!rc) {
		out->data = mem_alloc((size_t)f.bytes, 1);
		rc = out->data ? idx_next(&f, out->data, (size_t)f.bytes) : ERR_NOMEM;
	}
	if (!rc)
		rc = idx_end(&f);
	idx_close(&f);
	if (rc)
		idx_clear(out);
	return rc;
}

void idx_clear(struct idx *x)
{
	mem_free(x->data);
	*x = (struct idx){0};
}
