/* The arithmetic behind cublaslt.c: one product of column-major matrices with its epilogue. */
#ifndef SIMT_GEMM_H
#define SIMT_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "cublasLt.h"

/* What a cublasLtMatrixLayout_t holds: element (r, c) of batch b is at b*stride + c*ld + r. */
struct gemm_matrix {
	cudaDataType_t type;
	int32_t order, batch;
	uint64_t rows, cols;
	int64_t ld, stride;
};

/* D (m, n) = epilogue(alpha * op(A) (m, k) op(B) (k, n) + beta * C). All pointers are readable when gemm_run is called.
 */
struct gemm {
	struct gemm_matrix a, b, c, d;
	const void *A, *B, *C;
	void *D;
	bool trans_a, trans_b, tf32;
	float alpha, beta;
	int epilogue; /* cublasLtEpilogue_t */
	void *bias;   /* (m), gradients of op(B)'s columns (n) */
	cudaDataType_t bias_type;
	int64_t bias_stride;        /* elements from batch to batch */
	uint8_t *aux;               /* ReLU: bit r of column c is set where the value was > 0 */
	int64_t aux_ld, aux_stride; /* bits, bits */
	void *workspace;
	uint64_t workspace_bytes;
};

/* Sums in f32, k in 16 interleaved parts that are then added: as good as a GPU's sums and always the same. */
void gemm_run(const struct gemm *g);
/* For programs that count bytes (traffic.c): each matrix once, C only where beta is not 0. */
void gemm_touch(const struct gemm *g);

#endif
