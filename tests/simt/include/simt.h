/* How tests and cuda/launch.h speak to the host runtime beyond CUDA's own API. */
#ifndef SIMT_H
#define SIMT_H

#include "cuda_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All random choices (lane order, block order, order of independent tasks) follow from this; the environment's
 * SIMT_SEED is the default, 1 if unset. */
void simt_set_seed(uint64_t seed);

/* Lane order within a block, from one rendezvous to the next; WARPS: a warp runs on until it needs the others. By
 * default one of the four, drawn per block. */
enum simt_order { SIMT_ORDER_MIXED, SIMT_ORDER_ASCENDING, SIMT_ORDER_DESCENDING, SIMT_ORDER_RANDOM, SIMT_ORDER_WARPS };
void simt_set_order(enum simt_order order);

/* The machine that is pretended: one device of capability 9.0 with 4 GiB and a new enough driver, unless these or, for
 * whole programs, the environment's SIMT_DEVICES, SIMT_DRIVER, SIMT_CAPABILITY (major), SIMT_MEMORY (bytes),
 * SIMT_FAIL_KERNEL (name, error 700) and SIMT_FAIL_CALL (name@n: the n-th of that name) say otherwise. As on a GPU,
 * with CUDA_LAUNCH_BLOCKING=1 a launch outside of a capture waits for its kernel and reports what that has done. */
void simt_set_devices(int count);                           /* all alike. 0: cudaErrorNoDevice; at most 16 */
void simt_set_driver(int version);                          /* below CUDART_VERSION: InsufficientDriver */
void simt_set_capability(int major, int minor);             /* of every device                          */
void simt_set_memory(size_t total);                         /* cudaMalloc fails above it                */
void simt_fail_next(cudaError_t error);                     /* the next call fails with it, once        */
void simt_fail_at(uint64_t n, cudaError_t error);           /* the n-th call from now, 1 = next; 0: none     */
void simt_fail_call(const char *name, cudaError_t error);   /* the next call of that name, e.g. "cudaMalloc" */
void simt_fail_kernel(const char *name, cudaError_t error); /* that kernel ends with a sticky error          */
void simt_reset(void); /* all of the above to their defaults, errors forgotten; needs idle streams */

/* What ran since the last simt_reset_counts. */
struct simt_counts {
	uint64_t calls; /* that simt_fail_at counts: those that can fail */
	uint64_t kernels, blocks, threads, gemms, copies, copied_bytes, memsets, graph_launches, host_syncs,
	    allocations;
};
void simt_get_counts(struct simt_counts *counts);
void simt_reset_counts(void);
/* Called with the name of every kernel (and "cublasLtMatmul", "cudaMemcpyAsync", ...) as it runs; NULL: off. */
void simt_trace(void (*fn)(const char *name, void *user), void *user);

/* What moved in device memory since the last simt_traffic_reset, by the name of the kernel or call, in order of names.
 * read, written: bytes of device memory that a launch touched, each counted once per launch; requested: all that its
 * threads asked for. Waits for all work. Only in programs of the runtime that counts (traffic.c). */
struct simt_traffic {
	char name[96];
	uint64_t launches, read, written, requested;
};
const struct simt_traffic *simt_get_traffic(size_t *n);
void simt_traffic_reset(void);

size_t simt_live_allocations(void); /* of cudaMalloc and cudaMallocHost, for leak checks */
/* True if p points into memory of cudaMalloc that is live. */
int simt_is_device(const void *p);

/* For simt_launch: takes over the closure. */
struct simt_dim {
	unsigned x, y, z;
};
void simt_launch_closure(const char *name, struct simt_dim grid, struct simt_dim block, size_t smem,
    cudaStream_t stream, void (*invoke)(void *closure), void (*destroy)(void *closure), void *closure, size_t size);

#ifdef __cplusplus
}

#include <new>

/* What LAUNCH of cuda/launch.h expands to here: queues `body`, a copyable closure that calls the kernel with its
 * arguments captured by value, as one launch. Errors come by cudaGetLastError, as after <<<>>>. */
template <typename F>
void simt_launch(const char *name, dim3 grid, dim3 block, size_t smem, cudaStream_t stream, F body)
{
	/* The arguments are searched for host addresses: bytes that nothing sets, as behind a bool, must not be what
	 * was on the stack there, nor what the allocator left. */
	F *const kept = new F(body);
	__builtin_clear_padding(kept);
	simt_launch_closure(
	    name, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, smem, stream,
	    [](void *closure) { (*static_cast<F *>(closure))(); },
	    [](void *closure) { delete static_cast<F *>(closure); }, kept, sizeof(F));
}
#endif

#endif
