/* Kernels that test the runtime itself, right ones and wrong ones; each function launches one on a stream. */
#ifndef SIMT_SELF_H
#define SIMT_SELF_H

#include "cuda_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y (rows, cols) = softmax of each row of x, one block per row; in_half: through f16. */
void self_softmax(const float *x, float *y, int rows, int cols, int in_half, cudaStream_t stream);
/* y[i] = x[i] + a for i < n; the last block is partial. Without the bounds check if `unchecked`. */
void self_add(const float *x, float *y, int n, float a, int unchecked, cudaStream_t stream);
/* *y = from.value, behind which 4 bytes belong to no field. The rest makes compilers copy the struct as bytes. */
struct self_padded {
	int value;
	int64_t rest[100];
};
void self_store(struct self_padded from, int *y, cudaStream_t stream);
/* y[i] = y[i] * a + b: does not commute with itself. */
void self_scale(float *y, int n, float a, float b, cudaStream_t stream);
/* Reverses 64 values through shared memory, with or without the barrier in between. */
void self_reverse(const float *x, float *y, int barrier, cudaStream_t stream);
/* Votes, ballots, counting barriers, shuffles by groups, integer atomics: each of 7 values must be 0. */
void self_collectives(int *wrong, cudaStream_t stream);
/* y[block] = what a block finds in static and dynamic shared memory that it has not written, per launch of 2 blocks. */
void self_uninitialised(float *y, cudaStream_t stream);
/* y[order of arrival] = thread index. */
void self_order(int *y, int *counter, int threads, cudaStream_t stream);
/* y[thread] = 3 in a block of 64, from shared memory that is written again after shuffles only: a race. */
void self_runs_ahead(int *y, cudaStream_t stream);

/* What is wrong is what the name says. */
void self_returns_before_barrier(cudaStream_t stream);
void self_two_barriers(cudaStream_t stream);
void self_deadlock(cudaStream_t stream);
void self_lane_not_in_mask(cudaStream_t stream);
void self_dynamic_shared(int bytes, int store_at, cudaStream_t stream);
void self_opt_in_shared(int bytes);
void self_static_shared(int store_at, cudaStream_t stream);
void self_misaligned(float *p, cudaStream_t stream);
void self_deep_stack(int depth, cudaStream_t stream);
void self_shape(unsigned grid_y, unsigned threads, cudaStream_t stream);
void self_bounds_64(unsigned threads, cudaStream_t stream);

/* Conversions and rounding of the device side, for tests in C. */
uint16_t self_to_half(float f);
float self_from_half(uint16_t h);
uint16_t self_to_bfloat16(float f);
int self_float2int_rn(float f);

#ifdef __cplusplus
}
#endif

#endif
