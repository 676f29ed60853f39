/* The optimizer's update, host side: lays the items and arguments out as one table in device memory, so that all params
 * are one launch and nothing a step changes is a kernel argument. What has not changed since the last update is not
 * brought to the device again. */
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/check.h"
#include "cuda/kernels.h"
#include "cuda/launches.h"

/* One block of memory, on the host and on the device: table | items | first | partial. The host's is what the device's
 * was when it was last brought there. */
struct update_plan {
	char *host, *device;
	size_t item, first, partial, upload, total; /* offsets, and bytes */
	unsigned blocks;
	int n;
	bool there; /* the device has it */
};

static unsigned blocks_of(const struct update_item *it)
{
	return (unsigned)((it->n + UPDATE_BLOCK - 1) / UPDATE_BLOCK);
}

static void lay_out(struct update_plan *p, const struct update_job *job)
{
	p->n = job->n;
	for (int k = 0; k < job->n; k++)
		p->blocks += blocks_of(&job->item[k]);
	call_reserve(&p->total, sizeof(struct update_table));
	p->item = call_reserve(&p->total, (size_t)job->n * sizeof(*job->item));
	p->first = call_reserve(&p->total, ((size_t)job->n + 1) * sizeof(unsigned));
	p->upload = p->partial = p->total;
	call_reserve(&p->total, p->blocks * sizeof(double));
}

static struct update_table *table_of(char *memory)
{
	return (struct update_table *)(void *)memory;
}

/* What depends on the sizes of the items alone. */
static void fill_sizes(struct update_plan *p, const struct update_job *job)
{
	unsigned *first = (unsigned *)(void *)(p->host + p->first), at = 0;
	*table_of(p->host) = (struct update_table){.n = job->n,
	    .item = (const struct update_item *)(void *)(p->device + p->item),
	    .first = (const unsigned *)(void *)(p->device + p->first),
	    .partial = (double *)(void *)(p->device + p->partial)};
	for (int k = 0; k < job->n; k++) {
		first[k] = at;
		at += blocks_of(&job->item[k]);
	}
	first[job->n] = at;
}

void cuda_update_release(void *ctx, struct update_job *job)
{
	struct update_plan *p = job->plan;
	if (!p)
		return;
	mem_free(p->host);
	cuda_free(ctx, p->device);
	mem_free(p);
	job->plan = NULL;
}

static int make_plan(void *ctx, struct update_job *job)
{
	struct update_plan *p = job->plan = mem_alloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	lay_out(p, job);
	p->host = mem_alloc(p->total, 1);
	p->device = p->host ? cuda_alloc(ctx, p->total) : NULL;
	if (!p->device) {
		cuda_update_release(ctx, job);
		return ERR_NOMEM;
	}
	fill_sizes(p, job);
	return 0;
}

static bool same_sizes(const struct update_plan *p, const struct update_job *job)
{
	const struct update_item *old = (const struct update_item *)(void *)(p->host + p->item);
	bool same = p->n == job->n;
	for (int k = 0; same && p->there && k < job->n; k++)
		same = old[k].n == job->item[k].n;
	return same;
}

int cuda_update_stage(void *ctx, struct update_job *job)
{
	struct update_plan *p = job->plan;
	const size_t items = (size_t)job->n * sizeof(*job->item);
	int rc = p ? 0 : make_plan(ctx, job);
	if (rc)
		return rc;
	p = job->plan;
	if (!same_sizes(p, job))
		return err_set(ERR_FAIL, "cuda: the params of an update have changed");
	struct update_table *table = table_of(p->host);
	bool all = !p->there || memcmp(p->host + p->item, job->item, items) != 0;
	bool args = memcmp(&table->args, &job->args, sizeof(job->args)) != 0;
	memcpy(p->host + p->item, job->item, items);
	memcpy(&table->args, &job->args, sizeof(job->args));
	if (all)
		rc = cuda_upload(ctx, p->device, p->host, p->upload);
	else if (args)
		rc = cuda_upload(ctx, &table_of(p->device)->args, &job->args, sizeof(job->args));
	p->there = !rc;
	return rc;
}

int cuda_update(void *ctx, const struct update_job *job)
{
	const struct update_plan *p = job->plan;
	struct update_table *table = table_of(p->device);
	int rc = cuda_update_norm(ctx, table, p->blocks);
	return rc || !p->blocks ? rc : cuda_update_apply(ctx, table, p->blocks);
}

int cuda_add_to(void *ctx, float *to, const float *from, size_t n)
{
	return cuda_add(ctx, to, from, (int64_t)n, false, to, (struct cuda_rounded){0});
}
