/* The optimizer's update, host side: lays the items and arguments out as one table in device memory, so that all params
 * are one launch and nothing a step changes is a kernel argument. Memory grows at the first update of an optimizer. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/check.h"
#include "cuda/kernels.h"
#include "cuda/launches.h"

/* One block of memory, on the host and on the device: table | items | first | partial (device only). */
struct cuda_update {
	char *host, *device;
	size_t bytes; /* of each */
};

struct layout {
	size_t item, first, partial, upload, total; /* offsets, and bytes */
	unsigned blocks;
};

static unsigned blocks_of(const struct update_item *it)
{
	return (unsigned)((it->n + UPDATE_BLOCK - 1) / UPDATE_BLOCK);
}

static struct layout layout(const struct update_item *items, int n)
{
	struct layout l = {0};
	for (int k = 0; k < n; k++)
		l.blocks += blocks_of(&items[k]);
	cuda_reserve(&l.total, sizeof(struct update_table));
	l.item = cuda_reserve(&l.total, (size_t)n * sizeof *items);
	l.first = cuda_reserve(&l.total, ((size_t)n + 1) * sizeof(unsigned));
	l.upload = l.partial = l.total;
	cuda_reserve(&l.total, l.blocks * sizeof(double));
	return l;
}

static int grow(struct cuda_ctx *c, size_t bytes)
{
	struct cuda_update *u = c->update;
	if (bytes <= u->bytes)
		return 0;
	char *host = mem_alloc(bytes, 1), *device = host ? cuda_alloc(c, bytes) : NULL;
	if (!device) {
		mem_free(host);
		return ERR_NOMEM;
	}
	mem_free(u->host);
	cuda_free(c, u->device);
	*u = (struct cuda_update){.host = host, .device = device, .bytes = bytes};
	return 0;
}

static float correction(float beta, int64_t t)
{
	return (float)(1.0 / (1.0 - pow((double)beta, (double)t)));
}

static void fill(
    struct cuda_update *u, const struct layout *l, const struct update_item *items, int n, const struct update_args *a)
{
	unsigned *first = (unsigned *)(void *)(u->host + l->first), at = 0;
	struct update_table *t = (struct update_table *)(void *)u->host;
	*t = (struct update_table){.args = *a,
	    .correct1 = correction(a->beta1, a->t),
	    .correct2 = correction(a->beta2, a->t),
	    .n = n,
	    .item = (const struct update_item *)(void *)(u->device + l->item),
	    .first = (const unsigned *)(void *)(u->device + l->first),
	    .partial = (double *)(void *)(u->device + l->partial),
	    .scale = 1.0f};
	memcpy(u->host + l->item, items, (size_t)n * sizeof *items);
	for (int k = 0; k < n; k++) {
		first[k] = at;
		at += blocks_of(&items[k]);
	}
	first[n] = at;
}

int cuda_update(void *ctx, const struct update_item *items, int n, const struct update_args *args, double *norm_out)
{
	struct cuda_ctx *c = ctx;
	const struct layout l = layout(items, n);
	int rc = grow(c, l.total);
	if (rc)
		return rc;
	struct cuda_update *u = c->update;
	struct update_table *table = (struct update_table *)(void *)u->device;
	fill(u, &l, items, n, args);
	rc = cuda_upload(c, u->device, u->host, l.upload);
	if (!rc && l.blocks && (norm_out || args->scaling || args->clip_norm > 0.0f))
		rc = cuda_update_norm(c, table, l.blocks);
	if (!rc && l.blocks)
		rc = cuda_update_apply(c, table, l.blocks);
	if (!rc && norm_out)
		rc = cuda_download(c, norm_out, u->device + offsetof(struct update_table, norm), sizeof *norm_out);
	return rc;
}

int cuda_update_open(struct cuda_ctx *c)
{
	c->update = mem_alloc(1, sizeof *c->update);
	return c->update ? 0 : ERR_NOMEM;
}

void cuda_update_close(struct cuda_ctx *c)
{
	if (c->update) {
		mem_free(c->update->host);
		cuda_free(c, c->update->device);
		mem_free(c->update);
		c->update = NULL;
	}
}
