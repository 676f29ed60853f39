/* The only way to launch a kernel; for .cu files. LAUNCH is an expression, 0 or an error that names the kernel:
 *   return LAUNCH(relu_mask<float>, cuda_blocks(n, 256), 256, 0, ctx->stream, out, dy, y, n);
 * A template with several arguments is put in parentheses. Under nvcc it is <<<>>>; compiled as plain C++ with
 * PIPELINE_SIMT the kernel goes to the runtime of tests/simt, its arguments evaluated here and now, as a GPU's are. */
#ifndef CUDA_LAUNCH_H
#define CUDA_LAUNCH_H

#include <cuda_runtime.h>
#include <stdint.h>

#include "cuda/check.h"

#ifdef PIPELINE_SIMT
#include <simt.h>

template <typename... P, typename... A>
int cuda_simt_call(
    const char *name, dim3 grid, dim3 block, size_t smem, cudaStream_t stream, void (*kernel)(P...), A... a)
{
	simt_launch(name, grid, block, smem, stream, [=] { kernel(a...); });
	return cuda_launched(name);
}
#define LAUNCH(kernel, grid, block, smem, stream, ...)                                                                 \
	cuda_simt_call(#kernel, grid, block, smem, stream, kernel, __VA_ARGS__)
#else
#define LAUNCH(kernel, grid, block, smem, stream, ...)                                                                 \
	(kernel<<<(grid), (block), (smem), (stream)>>>(__VA_ARGS__), cuda_launched(#kernel))
/* A block's dynamic shared memory, 16-byte aligned, as an array of `type`; its size is LAUNCH's smem. */
#define SIMT_DYNAMIC_SHARED(type, name)                                                                                \
	extern __shared__ double2 cuda_dynamic_shared[];                                                               \
	type *const name = reinterpret_cast<type *>(cuda_dynamic_shared)
#endif

/* Blocks that cover n items; at least one, for a grid of none is an error. */
static inline unsigned cuda_blocks(int64_t n, int64_t per_block)
{
	return n > 0 ? (unsigned)((n + per_block - 1) / per_block) : 1U;
}

#endif
