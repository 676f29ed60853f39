/* Matrix products by cuBLASLt, planned once: shapes, types, epilogue and algorithm are fixed in prepare, where the
 * heuristic chooses (never a timing: reruns must agree), and a run is one call. All matrices are row-major here; cuBLAS
 * counts columns first, so it is given the transposed product. Sums are f32; f32 operands are multiplied in f32, in
 * TF32 only where the shape says so. */
#ifndef CUDA_LT_H
#define CUDA_LT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda/context.h"
#include "graph/tensor.h"

/* d (M, N) = [relu](a (M, K) * b (K, N) [+ bias (N)]), or d += a * b. Transposed operands are stored (K, M), (N, K). */
struct lt_shape {
	int64_t M, N, K;
	bool transposed_a, transposed_b;
	enum dtype in, out; /* of a and b: f32, f16 or bf16; of d. The bias has d's type */
	bool bias, relu;
	bool tf32;                        /* f32 operands are rounded to TF32 by the tensor cores; `in` must be f32 */
	size_t align_a, align_b, align_d; /* bytes that the pointers are multiples of; 0 means 64, an allocation's */
};

struct lt_plan {
	cublasLtMatmulDesc_t desc;
	cublasLtMatrixLayout_t a, b, d; /* of cuBLAS: its a is our b */
	cublasLtMatmulAlgo_t algo;
	size_t workspace;
};

/* ERR_DEVICE where cuBLASLt has no algorithm. A failed plan is released by lt_free as a made one; zeroed is fine. */
int lt_make(struct cuda_ctx *ctx, struct lt_plan *p, const struct lt_shape *shape);
int lt_run(struct cuda_ctx *ctx, const struct lt_plan *p, const void *a, const void *b, const void *bias, void *d,
    bool accumulate);
void lt_free(struct lt_plan *p);
/* The largest power of two, at most 64, that divides all offsets which are multiples of `bytes`. */
size_t lt_align(size_t bytes);

#endif
