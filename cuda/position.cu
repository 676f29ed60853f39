/* Rows of a table added by the place of a token in its sequence, and rows of the table of types by the part of the
 * sequence. A row of the table's gradient is summed over the sequences that reach so far, in ascending order; a type's
 * is a sum over all rows of that type, in parts that the shape cuts. */
#include "cuda/grid.cuh"
#include "cuda/segment.cuh"

#define SEQUENCES 4 /* whose reads are under way at once */

/* y may be x; type may be NULL, and second: all sequences have one part. */
__global__ void __launch_bounds__(BLOCK) position(struct segment_rows r, const float *x,
    const float *__restrict__ table, int64_t P, const float *type, const int32_t *second, float *y)
{
	const int64_t m = (int64_t)blockIdx.x * blockDim.y + threadIdx.y, c = column_index(), i = m * r.C + c;
	if (m >= r.M || c >= r.C)
		return;
	const int64_t n = segment_at(r, m), place = m - segment_of(r, n).first;
	float v = 0.0f;
	if (n < r.N) {
		const int64_t row = second && place >= second[n] ? r.C : 0;
		v = type ? x[i] + type[row + c] : x[i];
		v = place < P ? v + table[place * r.C + c] : v;
	}
	y[i] = v;
}

__global__ void __launch_bounds__(BLOCK) position_table(
    struct segment_rows r, const float *__restrict__ dy, int64_t P, float *__restrict__ d, bool accumulate)
{
	const int64_t p = (int64_t)blockIdx.x * blockDim.y + threadIdx.y, c = column_index();
	if (p >= P || c >= r.C)
		return;
	float sum = 0.0f;
	for (int64_t n = 0; n < r.N; n += SEQUENCES) {
		float v[SEQUENCES] = {};
		for (int u = 0; u < SEQUENCES && n + u < r.N; u++) {
			const segment s = segment_of(r, n + u);
			if (s.first + p < s.last)
				v[u] = dy[(s.first + p) * r.C + c];
		}
		for (int u = 0; u < SEQUENCES; u++)
			sum += v[u]; /* sequences that do not reach so far are 0 */
	}
	deliver(&d[p * r.C + c], accumulate, sum);
}

/* partial (parts, C): sums of dy over the block's rows that are of sequences. */
__global__ void __launch_bounds__(BLOCK)
    position_type_parts(struct segment_rows r, const float *__restrict__ dy, float *__restrict__ partial)
{
	__shared__ float shared[BLOCK];
	const int64_t c = column_index(), end = r.starts[r.N];
	float sum = 0.0f;
	if (c < r.C)
		column_walk(
		    end < r.M ? end : r.M, r.C, c, [=](int64_t i) { return dy[i]; },
		    [&](int64_t, float v) { sum += v; });
	sum = column_sum(sum, shared);
	if (threadIdx.y == 0 && c < r.C)
		partial[blockIdx.x * r.C + c] = sum;
}

/* partial (2, parts, C): the same, apart by the part of its sequence that a row is of. */
__global__ void __launch_bounds__(BLOCK) position_pair_parts(struct segment_rows r, const int32_t *__restrict__ second,
    const float *__restrict__ dy, float *__restrict__ partial)
{
	__shared__ float shared[BLOCK];
	const int64_t c = column_index(), end = r.starts[r.N];
	float sum[2] = {};
	if (c < r.C)
		column_walk(
		    end < r.M ? end : r.M, r.C, c, [=](int64_t i) { return dy[i]; },
		    [&](int64_t i, float v) {
			    const int64_t m = i / r.C, n = segment_at(r, m);
			    const bool later = m - segment_of(r, n).first >= second[n];
			    sum[0] += later ? 0.0f : v;
			    sum[1] += later ? v : 0.0f;
		    });
	for (int t = 0; t < 2; t++) {
		const float all = column_sum(sum[t], shared);
		if (threadIdx.y == 0 && c < r.C)
			partial[((int64_t)t * gridDim.x + blockIdx.x) * r.C + c] = all;
	}
}

int cuda_position(struct cuda_ctx *ctx, struct segment_rows r, const float *x, const float *table, int64_t P,
    const float *type, const int32_t *second, float *y)
{
	const dim3 block = column_block(r.C), grid(cuda_blocks(r.M, block.y), cuda_blocks(r.C, block.x));
	return LAUNCH(position, grid, block, 0, ctx->stream, r, x, table, P, type, second, y);
}

int cuda_position_table(
    struct cuda_ctx *ctx, struct segment_rows r, const float *dy, int64_t P, float *d, bool accumulate)
{
	const dim3 block = column_block(r.C), grid(cuda_blocks(P, block.y), cuda_blocks(r.C, block.x));
	return LAUNCH(position_table, grid, block, 0, ctx->stream, r, dy, P, d, accumulate);
}

size_t cuda_position_scratch(struct segment_rows r, bool pairs)
{
	return (size_t)((pairs ? 2 : 1) * column_parts(r.M, r.C) * r.C) * sizeof(float);
}

static int pair_gradient(struct cuda_ctx *ctx, struct segment_rows r, const int32_t *second, const float *dy, float *d,
    bool accumulate, float *partial)
{
	const int64_t parts = column_parts(r.M, r.C);
	int rc = LAUNCH(
	    position_pair_parts, column_grid(r.M, r.C), column_block(r.C), 0, ctx->stream, r, second, dy, partial);
	for (int t = 0; t < 2 && !rc; t++)
		rc = cuda_add_parts(ctx, partial + t * parts * r.C, parts, r.C, d + t * r.C, accumulate);
	return rc;
}

int cuda_position_type(struct cuda_ctx *ctx, struct segment_rows r, const int32_t *second, const float *dy, float *d,
    bool accumulate, void *scratch)
{
	float *partial = (float *)scratch;
	if (second)
		return pair_gradient(ctx, r, second, dy, d, accumulate, partial);
	int rc = LAUNCH(position_type_parts, column_grid(r.M, r.C), column_block(r.C), 0, ctx->stream, r, dy, partial);
	return rc ? rc : cuda_add_parts(ctx, partial, column_parts(r.M, r.C), r.C, d, accumulate);
}
