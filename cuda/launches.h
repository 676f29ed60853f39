/* The launches that the rows call: each is in the .cu file named above it, puts its kernels on ctx->stream and returns
 * 0 or an error naming the kernel. Pointers are device memory. C and C++. */
#ifndef CUDA_LAUNCHES_H
#define CUDA_LAUNCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda/context.h"
#include "exec/backend.h"

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

/* conv2d.cu */
/* Geometry of a convolution: x (N,H,W,C), w (O,KH,KW,C), y (N,OH,OW,O). A column matrix is (images*OH*OW, KH*KW*C):
 * what each output pixel sees, zero in the padding, in the order of the weights. */
struct conv2d_geometry {
	int64_t N, H, W, C, OH, OW, O, KH, KW, stride, pad;
};
/* The columns of `images` images from x, which points to the first of them; `size` bytes per value. */
int cuda_im2col(
    struct cuda_ctx *ctx, const struct conv2d_geometry *g, int64_t images, size_t size, const void *x, void *col);
/* Its transpose: dx = (or += ) the sum of all column values that came from each input value, tap by tap in order. */
int cuda_col2im(struct cuda_ctx *ctx, const struct conv2d_geometry *g, int64_t images, const float *dcol, float *dx,
    bool accumulate);

/* update.cu */
/* What one update's kernels read from device memory: blocks of UPDATE_BLOCK elements are numbered through all items,
 * item k has blocks first[k] .. first[k + 1] - 1. */
#define UPDATE_BLOCK 4096
struct update_table {
	struct update_args args;
	float correct1, correct2; /* 1 / (1 - beta^t) */
	int n;                    /* items */
	const struct update_item *item;
	const unsigned *first; /* n + 1 */
	double *partial;       /* one per block: its sum of squared gradients */
	double norm;           /* written by cuda_update_norm */
	float scale;           /* of gradients: 1, or what cuda_update_norm made of it */
};
/* The global norm and the clipping scale, into the table. */
int cuda_update_norm(struct cuda_ctx *ctx, struct update_table *table, unsigned blocks);
/* One launch over all items. */
int cuda_update_apply(struct cuda_ctx *ctx, const struct update_table *table, unsigned blocks);

#ifdef __cplusplus
}
#endif

#endif
