/* An opened GPU: what step.ctx of this backend's kernels points to. C and C++. */
#ifndef CUDA_CONTEXT_H
#define CUDA_CONTEXT_H

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#include "exec/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The oldest GPUs that the kernels are compiled for: compute capability 8.0 (A100). */
#define CUDA_OLDEST_MAJOR 8

/* Uploads go through a ring of pinned host memory and device memory of the same size, copied by a stream of their own,
 * so that the host never waits for the kernels of the step before. */
#define CUDA_SLOTS      6
#define CUDA_SLOT_BYTES ((size_t)4 << 20)

/* Columns of one chunk of a convolution: small enough to stay in the second-level cache of large GPUs (40 to 50 MB),
 * large enough to give every multiprocessor its part of the product. */
#define CUDA_CHUNK_BYTES ((int64_t)32 << 20)

struct cuda_slot {
	void *host, *device;
	cudaEvent_t copied; /* host -> device: `host` may be written again   */
	cudaEvent_t taken;  /* device -> its place: `device` may be written again */
};

struct cuda_ctx {
	int device; /* index among the visible GPUs */
	struct device_traits traits;
	cudaStream_t stream; /* every kernel and product, in program order */
	cublasLtHandle_t lt;
	void *workspace; /* of cublasLt, device memory */
	size_t workspace_bytes;
	int64_t chunk_bytes; /* see cuda_set_chunk */
	cudaStream_t uploads;
	struct cuda_slot slot[CUDA_SLOTS];
	int next_slot;
	char *fetched; /* queue.c: FETCH_SLOTS pinned pieces of FETCH_BYTES */
	cudaEvent_t arrived[FETCH_SLOTS];
	uint64_t fetches, captured_from; /* launches before the recording that goes on */
};

#ifdef __cplusplus
}
#endif

#endif
