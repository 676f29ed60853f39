/* The launches that the rows call: each is in the .cu file named above it, puts its kernels on ctx->stream and returns
 * 0 or an error naming the kernel. Pointers are device memory. C and C++. */
#ifndef CUDA_LAUNCHES_H
#define CUDA_LAUNCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda/context.h"
#include "graph/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* common.cu */
/* Sums the columns of g (rows, cols) into out (cols), adding to it if `accumulate`, in a fixed order. y: the layer's
 * output, or NULL; where y <= 0 the gradient is 0 (ReLU). masked: g after that mask in `type` (f32, f16 or bf16), or
 * NULL. out may be NULL too. scratch: cuda_column_sum_scratch bytes, where out is wanted. */
size_t cuda_column_sum_scratch(int64_t rows, int64_t cols);
int cuda_gradient_in(struct cuda_ctx *ctx, const float *g, const float *y, int64_t rows, int64_t cols, void *masked,
    enum dtype type, float *out, bool accumulate, void *scratch);

#ifdef __cplusplus
}
#endif

#endif
