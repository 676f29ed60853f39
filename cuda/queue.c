/* What lets the host run ahead of the device: recordings of whole steps as CUDA graphs, whose launch costs the host as
 * much as that of one kernel, and readings, which are copied into pinned memory and looked at later. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/check.h"
#include "cuda/cuda.h"
#include "cuda/kernels.h"

struct cuda_recording {
	cudaGraphExec_t exec;
	uint64_t launches; /* kernels and products in it */
};

int cuda_queue_open(struct cuda_ctx *c)
{
	int rc = CUDA_TRY(cudaMallocHost((void **)&c->fetched, (size_t)FETCH_SLOTS * FETCH_BYTES));
	for (int i = 0; !rc && i < FETCH_SLOTS; i++)
		rc = CUDA_TRY(cudaEventCreateWithFlags(&c->arrived[i], cudaEventDisableTiming));
	return rc;
}

void cuda_queue_close(struct cuda_ctx *c)
{
	for (int i = 0; i < FETCH_SLOTS; i++)
		if (c->arrived[i])
			cudaEventDestroy(c->arrived[i]);
	if (c->fetched)
		cudaFreeHost(c->fetched);
}

int cuda_fetch(void *ctx, const void *src, size_t bytes, uint64_t *ticket)
{
	struct cuda_ctx *c = ctx;
	const size_t slot = c->fetches % FETCH_SLOTS;
	int rc =
	    CUDA_TRY(cudaMemcpyAsync(c->fetched + slot * FETCH_BYTES, src, bytes, cudaMemcpyDeviceToHost, c->stream));
	if (!rc)
		rc = CUDA_TRY(cudaEventRecord(c->arrived[slot], c->stream));
	*ticket = c->fetches++;
	return rc;
}

int cuda_fetched(void *ctx, uint64_t ticket, void *host, size_t bytes)
{
	struct cuda_ctx *c = ctx;
	const size_t slot = ticket % FETCH_SLOTS;
	if (c->fetches - ticket > FETCH_SLOTS)
		return err_set(ERR_FAIL, "cuda: a reading was asked for too late");
	int rc = CUDA_TRY(cudaEventSynchronize(c->arrived[slot]));
	if (!rc)
		memcpy(host, c->fetched + slot * FETCH_BYTES, bytes);
	return rc;
}

/* CUDA_LAUNCH_BLOCKING asks for errors at the launch that caused them, which a recording cannot give. */
int cuda_capture_begin(void *ctx)
{
	struct cuda_ctx *c = ctx;
	const char *blocking = getenv("CUDA_LAUNCH_BLOCKING");
	if (blocking && strcmp(blocking, "1") == 0)
		return CAPTURE_NONE;
	c->captured_from = cuda_launches();
	return CUDA_TRY(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal));
}

/* What was recorded did not run: its launches do not count yet. */
int cuda_capture_end(void *ctx, void **recording)
{
	struct cuda_ctx *c = ctx;
	const uint64_t launches = cuda_launches() - c->captured_from;
	cudaGraph_t graph = NULL;
	cuda_unlaunched(launches);
	if (!recording) {
		cudaStreamEndCapture(c->stream, &graph); /* the error that led here is the one to be told */
		cudaGetLastError();
		if (graph)
			cudaGraphDestroy(graph);
		return 0;
	}
	struct cuda_recording *r = mem_alloc(1, sizeof(*r));
	int rc = CUDA_TRY(cudaStreamEndCapture(c->stream, &graph));
	if (!rc && !r)
		rc = ERR_NOMEM;
	if (!rc)
		rc = CUDA_TRY(cudaGraphInstantiate(&r->exec, graph, 0));
	if (graph)
		cudaGraphDestroy(graph);
	if (rc) {
		mem_free(r);
		return rc;
	}
	r->launches = launches;
	*recording = r;
	return 0;
}

int cuda_replay(void *ctx, void *recording)
{
	struct cuda_ctx *c = ctx;
	const struct cuda_recording *r = recording;
	int rc = CUDA_TRY(cudaGraphLaunch(r->exec, c->stream));
	if (!rc)
		cuda_replayed(r->launches);
	return rc;
}

/* Replays may still be running. */
void cuda_capture_free(void *ctx, void *recording)
{
	struct cuda_ctx *c = ctx;
	struct cuda_recording *r = recording;
	cudaStreamSynchronize(c->stream);
	cudaGraphExecDestroy(r->exec);
	mem_free(r);
}
