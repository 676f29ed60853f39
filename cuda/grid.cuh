/* How kernels cut their work into blocks of BLOCK threads. All cuts follow from shapes alone, so that every GPU adds in
 * the same order.
 *
 * Elements: one thread each.
 * Columns of a tensor (rows, C), C fastest: a block is `width` columns (a power of two, at most a warp) times
 * BLOCK/width threads that walk down COLUMN_ITEMS rows each; block (x, y) of the grid is part x of the rows of column
 * tile y. So a warp reads whole lines whatever C is, and what belongs to a column stays in a thread's registers. */
#ifndef CUDA_GRID_CUH
#define CUDA_GRID_CUH

#include <cuda_runtime.h>
#include <stdint.h>

#include "cuda/launch.h"
#include "cuda/reduce.cuh"

#define BLOCK        256
#define FINISH       128 /* threads of a block that adds up the parts of one channel or slice */
#define COLUMN_ITEMS 16
#define COLUMN_BATCH 4 /* rows whose reads are under way at once */

__device__ static inline int64_t element_index(void)
{
	return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* Stores a finished gradient, or adds it where the step accumulates. */
__device__ static inline void deliver(float *d, bool accumulate, float g)
{
	*d = accumulate ? *d + g : g;
}

__device__ static inline void deliver(float *d, bool accumulate, double g)
{
	*d = (float)(accumulate ? (double)*d + g : g);
}

/* The gradient before a ReLU whose output is y. */
__device__ static inline float relu_gradient(float dy, float y)
{
	return y <= 0.0f ? 0.0f : dy;
}

static inline unsigned column_width(int64_t C)
{
	unsigned w = 1;
	while (w < WARP && w < C)
		w *= 2;
	return w;
}

/* Rows of one block. */
static inline int64_t column_rows(int64_t C)
{
	return (int64_t)(BLOCK / column_width(C)) * COLUMN_ITEMS;
}

/* Blocks that share the rows of a column: partial sums per column. */
static inline int64_t column_parts(int64_t rows, int64_t C)
{
	return cuda_blocks(rows, column_rows(C));
}

static inline dim3 column_block(int64_t C)
{
	return dim3(column_width(C), BLOCK / column_width(C));
}

static inline dim3 column_grid(int64_t rows, int64_t C)
{
	return dim3(cuda_blocks(rows, column_rows(C)), cuda_blocks(C, column_width(C)));
}

/* The thread's column and its first row; the next ones are blockDim.y apart. */
__device__ static inline int64_t column_index(void)
{
	return (int64_t)blockIdx.y * blockDim.x + threadIdx.x;
}

__device__ static inline int64_t column_first_row(void)
{
	return (int64_t)blockIdx.x * (blockDim.y * COLUMN_ITEMS) + threadIdx.y;
}

/* Calls use(i, load(i)) for the elements i of column c that are the thread's. The reads of COLUMN_BATCH rows come
 * before the first use, so that memory is waited for once; use(i) may write what only load(i) reads. */
template <typename Load, typename Use>
__device__ static inline void column_walk(int64_t rows, int64_t C, int64_t c, Load load, Use use)
{
	const int64_t first = column_first_row(), step = blockDim.y;
	for (int k = 0; k < COLUMN_ITEMS; k += COLUMN_BATCH) {
		decltype(load(0)) v[COLUMN_BATCH] = {};
		for (int u = 0; u < COLUMN_BATCH; u++) {
			const int64_t row = first + (k + u) * step;
			if (row < rows)
				v[u] = load(row * C + c);
		}
		for (int u = 0; u < COLUMN_BATCH; u++) {
			const int64_t row = first + (k + u) * step;
			if (row < rows)
				use(row * C + c, v[u]);
		}
	}
}

/* Adds the values of a block's threads of one column; all threads call it, all get the sum. shared: BLOCK values, free
 * again on return. */
template <typename T> __device__ static inline T column_sum(T v, T *shared)
{
	const unsigned at = threadIdx.y * blockDim.x + threadIdx.x;
	shared[at] = v;
	__syncthreads();
	for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
		if (threadIdx.y < half)
			shared[at] += shared[at + half * blockDim.x];
		__syncthreads();
	}
	v = shared[threadIdx.x];
	__syncthreads();
	return v;
}

#endif
