/* The GPU as a device: opening and closing it, its memory and copies. Holds no arithmetic; which GPU, and what is said
 * about it, is in gpu.c. All later calls belong to the GPU that was opened last: a process uses one. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/check.h"
#include "cuda/cuda.h"
#include "cuda/kernels.h"
#include "cuda/launches.h"
#include "exec/memory.h"

/* What cuBLAS itself reserves on Hopper GPUs; split products reduce through it. */
#define WORKSPACE_BYTES ((size_t)32 << 20)

/* Kept for what the runtime and cuBLASLt load at first use, kernels above all, for recordings and for the update's
 * table. A guess: not measured. */
#define RESERVE_BYTES ((size_t)64 << 20)

static int open_slot(struct cuda_slot *s)
{
	int rc = CUDA_TRY(cudaMallocHost(&s->host, CUDA_SLOT_BYTES));
	if (!rc)
		rc = CUDA_TRY(cudaMalloc(&s->device, CUDA_SLOT_BYTES));
	if (!rc)
		rc = CUDA_TRY(cudaEventCreateWithFlags(&s->copied, cudaEventDisableTiming));
	if (!rc)
		rc = CUDA_TRY(cudaEventCreateWithFlags(&s->taken, cudaEventDisableTiming));
	return rc;
}

static int open_parts(struct cuda_ctx *c)
{
	int rc = CUDA_TRY(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking));
	if (!rc)
		rc = CUDA_TRY(cudaStreamCreateWithFlags(&c->uploads, cudaStreamNonBlocking));
	if (!rc)
		rc = LT_TRY(cublasLtCreate(&c->lt));
	if (!rc)
		rc = CUDA_TRY(cudaMalloc(&c->workspace, WORKSPACE_BYTES));
	c->workspace_bytes = rc ? 0 : WORKSPACE_BYTES;
	for (int i = 0; !rc && i < CUDA_SLOTS; i++)
		rc = open_slot(&c->slot[i]);
	return rc ? rc : cuda_queue_open(c);
}

int cuda_open(void **ctx, const struct open_options *o)
{
	struct cudaDeviceProp prop;
	*ctx = NULL;
	int rc = cuda_choose_gpu(o->gpu, &prop);
	if (rc)
		return rc;
	struct cuda_ctx *c = mem_alloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->device = o->gpu;
	cuda_fill_traits(&c->traits, &prop);
	c->chunk_bytes = CUDA_CHUNK_BYTES;
	rc = open_parts(c);
	if (rc) {
		err_context(rc, "cuda: opening GPU %d (%s)", o->gpu, prop.name);
		cuda_close(c);
		return rc;
	}
	*ctx = c;
	return 0;
}

void cuda_set_chunk(void *ctx, int64_t bytes)
{
	((struct cuda_ctx *)ctx)->chunk_bytes = bytes;
}

static void close_slot(struct cuda_slot *s)
{
	if (s->taken)
		cudaEventDestroy(s->taken);
	if (s->copied)
		cudaEventDestroy(s->copied);
	if (s->device)
		cudaFree(s->device);
	if (s->host)
		cudaFreeHost(s->host);
}

void cuda_close(void *ctx)
{
	struct cuda_ctx *c = ctx;
	if (!c)
		return;
	if (c->uploads)
		cudaStreamSynchronize(c->uploads);
	if (c->stream)
		cudaStreamSynchronize(c->stream);
	cuda_queue_close(c);
	for (int i = 0; i < CUDA_SLOTS; i++)
		close_slot(&c->slot[i]);
	if (c->workspace)
		cudaFree(c->workspace);
	if (c->lt)
		cublasLtDestroy(c->lt);
	if (c->uploads)
		cudaStreamDestroy(c->uploads);
	if (c->stream)
		cudaStreamDestroy(c->stream);
	mem_free(c);
}

void *cuda_alloc(void *ctx, size_t bytes)
{
	void *p = NULL;
	cudaError_t e = cudaMalloc(&p, bytes ? bytes : 1);
	if (e == cudaErrorMemoryAllocation) {
		size_t available = 0, total = 0;
		cudaGetLastError();
		cudaMemGetInfo(&available, &total);
		err_set(ERR_NOMEM, "the GPU's memory is full: %.1f MiB wanted, %.1f of %.1f MiB free",
		    MEMORY_MIB(bytes), MEMORY_MIB(available), MEMORY_MIB(total));
		return NULL;
	}
	if (cuda_check(e, "cudaMalloc"))
		return NULL;
	if (cuda_zero(ctx, p, bytes)) {
		cudaFree(p);
		return NULL;
	}
	return p;
}

/* Kernels that were launched may still use the memory. An error of theirs is kept for the next call that can say so. */
void cuda_free(void *ctx, void *p)
{
	struct cuda_ctx *c = ctx;
	if (p) {
		cudaStreamSynchronize(c->stream);
		cudaFree(p);
	}
}

int cuda_zero(struct cuda_ctx *c, void *p, size_t bytes)
{
	return bytes ? CUDA_TRY(cudaMemsetAsync(p, 0, bytes, c->stream)) : 0;
}

/* At most CUDA_SLOT_BYTES. The host waits for nothing but the copy out of this slot's pinned memory, CUDA_SLOTS parts
 * ago; what the kernels still read or write is waited for by the streams. */
static int upload_part(struct cuda_ctx *c, void *dst, const void *host, size_t bytes)
{
	struct cuda_slot *s = &c->slot[c->next_slot];
	c->next_slot = (c->next_slot + 1) % CUDA_SLOTS;
	int rc = CUDA_TRY(cudaEventSynchronize(s->copied));
	if (rc)
		return rc;
	memcpy(s->host, host, bytes);
	if ((rc = CUDA_TRY(cudaStreamWaitEvent(c->uploads, s->taken, 0))) ||
	    (rc = CUDA_TRY(cudaMemcpyAsync(s->device, s->host, bytes, cudaMemcpyHostToDevice, c->uploads))) ||
	    (rc = CUDA_TRY(cudaEventRecord(s->copied, c->uploads))) ||
	    (rc = CUDA_TRY(cudaStreamWaitEvent(c->stream, s->copied, 0))) ||
	    (rc = CUDA_TRY(cudaMemcpyAsync(dst, s->device, bytes, cudaMemcpyDeviceToDevice, c->stream))))
		return rc;
	return CUDA_TRY(cudaEventRecord(s->taken, c->stream));
}

int cuda_upload(void *ctx, void *dst, const void *host, size_t bytes)
{
	int rc = 0;
	if (bytes > 0 && bytes <= CUDA_PUT_BYTES) /* one launch instead of two copies and their events */
		return cuda_put(ctx, dst, host, bytes);
	for (size_t at = 0; !rc && at < bytes; at += CUDA_SLOT_BYTES) {
		size_t part = bytes - at < CUDA_SLOT_BYTES ? bytes - at : CUDA_SLOT_BYTES;
		rc = upload_part(ctx, (char *)dst + at, (const char *)host + at, part);
	}
	return rc;
}

int cuda_download(void *ctx, void *host, const void *src, size_t bytes)
{
	struct cuda_ctx *c = ctx;
	int rc = bytes ? CUDA_TRY(cudaMemcpyAsync(host, src, bytes, cudaMemcpyDeviceToHost, c->stream)) : 0;
	return rc ? rc : cuda_sync(ctx);
}

int cuda_copy(void *ctx, void *dst, const void *src, size_t bytes)
{
	struct cuda_ctx *c = ctx;
	return bytes ? CUDA_TRY(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, c->stream)) : 0;
}

int cuda_sync(void *ctx)
{
	struct cuda_ctx *c = ctx;
	return CUDA_TRY(cudaStreamSynchronize(c->stream));
}

int cuda_memory(void *ctx, size_t *available, size_t *total)
{
	(void)ctx;
	int rc = CUDA_TRY(cudaMemGetInfo(available, total));
	if (!rc)
		*available = *available > RESERVE_BYTES ? *available - RESERVE_BYTES : 0;
	return rc;
}
