/* The pass over dy that linear and conv2d share: ReLU mask, conversion to the products' type and column sums, each read
 * of dy serving all three. Sums run over fixed blocks of rows, whose partial sums are added in order. */
#include <string.h>

#include "cuda/half.cuh"
#include "cuda/launch.h"

/* A block is TILE_COLS x TILE_ROWS threads: reads of a row are one 128-byte line per warp. */
#define TILE_COLS 32
#define TILE_ROWS 8
/* Blocks of rows per column: enough to fill a large GPU together with the columns' blocks, few enough that adding their
 * partial sums costs nothing. By shape alone, so that every GPU adds in the same order. */
#define MOST_PARTS 256
#define LEAST_ROWS 64

struct put_bytes {
	unsigned char byte[CUDA_PUT_BYTES];
};

__global__ void __launch_bounds__(CUDA_PUT_BYTES) put(struct put_bytes from, unsigned n, unsigned char *__restrict__ to)
{
	if (threadIdx.x < n)
		to[threadIdx.x] = from.byte[threadIdx.x];
}

int cuda_put(struct cuda_ctx *ctx, void *dst, const void *host, size_t bytes)
{
	struct put_bytes from = {};
	memcpy(from.byte, host, bytes);
	return LAUNCH(put, 1, CUDA_PUT_BYTES, 0, ctx->stream, from, (unsigned)bytes, (unsigned char *)dst);
}

/* Adds the block's TILE_ROWS values of each column, in order of threadIdx.y; the sum is good for threadIdx.y == 0. */
static __device__ float add_rows(float v, float (*shared)[TILE_COLS])
{
	float sum = 0.0f;
	shared[threadIdx.y][threadIdx.x] = v;
	__syncthreads();
	for (int i = 0; threadIdx.y == 0 && i < TILE_ROWS; i++)
		sum += shared[i][threadIdx.x];
	return sum;
}

/* partial (gridDim.y, cols) = sums of this block's rows; y, masked, partial: see cuda_gradient_in. */
template <typename T>
__global__ void __launch_bounds__(TILE_COLS *TILE_ROWS)
    gradient_in(const float *__restrict__ g, const float *__restrict__ y, int64_t rows, int64_t cols, int64_t part,
	T *__restrict__ masked, float *__restrict__ partial)
{
	__shared__ float shared[TILE_ROWS][TILE_COLS];
	const int64_t c = (int64_t)blockIdx.x * TILE_COLS + threadIdx.x;
	const int64_t first = (int64_t)blockIdx.y * part, last = first + part < rows ? first + part : rows;
	float sum = 0.0f;
	for (int64_t r = first + threadIdx.y; c < cols && r < last; r += TILE_ROWS) {
		const int64_t e = r * cols + c;
		const float d = g[e], v = y && y[e] <= 0.0f ? 0.0f : d; /* both reads under way at once */
		if (masked)
			narrow(&masked[e], v);
		sum += v;
	}
	if (!partial)
		return;
	sum = add_rows(sum, shared);
	if (threadIdx.y == 0 && c < cols)
		partial[(int64_t)blockIdx.y * cols + c] = sum;
}

__global__ void __launch_bounds__(TILE_COLS *TILE_ROWS)
    add_parts(const float *__restrict__ partial, int64_t parts, int64_t cols, float *__restrict__ out, bool accumulate)
{
	__shared__ float shared[TILE_ROWS][TILE_COLS];
	const int64_t c = (int64_t)blockIdx.x * TILE_COLS + threadIdx.x;
	float sum = 0.0f;
	for (int64_t r = threadIdx.y; c < cols && r < parts; r += TILE_ROWS)
		sum += partial[r * cols + c];
	sum = add_rows(sum, shared);
	if (threadIdx.y == 0 && c < cols)
		out[c] = accumulate ? out[c] + sum : sum;
}

/* Rows of one block. */
static int64_t part_of(int64_t rows)
{
	int64_t part = (rows + MOST_PARTS - 1) / MOST_PARTS;
	return part < LEAST_ROWS ? LEAST_ROWS : part;
}

size_t cuda_column_sum_scratch(int64_t rows, int64_t cols)
{
	return (size_t)(cuda_blocks(rows, part_of(rows)) * cols) * sizeof(float);
}

template <typename T>
static int gradient_of(
    struct cuda_ctx *ctx, const float *g, const float *y, int64_t rows, int64_t cols, T *masked, float *partial)
{
	const int64_t part = part_of(rows);
	const dim3 grid(cuda_blocks(cols, TILE_COLS), cuda_blocks(rows, part)), block(TILE_COLS, TILE_ROWS);
	return LAUNCH(gradient_in<T>, grid, block, 0, ctx->stream, g, y, rows, cols, part, masked, partial);
}

int cuda_gradient_in(struct cuda_ctx *ctx, const float *g, const float *y, int64_t rows, int64_t cols, void *masked,
    enum dtype type, float *out, bool accumulate, void *scratch)
{
	float *partial = out ? (float *)scratch : NULL;
	int rc;
	if (type == DT_F16)
		rc = gradient_of(ctx, g, y, rows, cols, (__half *)masked, partial);
	else if (type == DT_BF16)
		rc = gradient_of(ctx, g, y, rows, cols, (__nv_bfloat16 *)masked, partial);
	else
		rc = gradient_of(ctx, g, y, rows, cols, (float *)masked, partial);
	if (rc || !out)
		return rc;
	return cuda_add_parts(ctx, partial, cuda_blocks(rows, part_of(rows)), cols, out, accumulate);
}

int cuda_add_parts(struct cuda_ctx *ctx, const float *partial, int64_t parts, int64_t cols, float *out, bool accumulate)
{
	return LAUNCH(add_parts, cuda_blocks(cols, TILE_COLS), dim3(TILE_COLS, TILE_ROWS), 0, ctx->stream, partial,
	    parts, cols, out, accumulate);
}
