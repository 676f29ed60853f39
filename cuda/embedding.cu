/* Rows of a table by id, and the table's gradient, which is summed without atomics: of the tokens that name a row, the
 * first adds up the others' gradients in ascending order. So every token looks at all M ids, 32 at a time: M^2 / 32
 * steps of a warp for each 128 columns, 0.5 million of them for M = 4096. Sorting the tokens first would save them, but
 * take several launches more. */
#include "cuda/grid.cuh"
#include "cuda/launches.h"

#define TOKENS  (BLOCK / WARP) /* of a block of the gradient: a warp each */
#define COLUMNS 4              /* of a lane, WARP apart */
#define ROWS    4              /* rows whose reads are under way at once */

__device__ static inline bool names_row(int32_t id, int64_t V)
{
	return id >= 0 && id < V;
}

__global__ void __launch_bounds__(BLOCK)
    embedding(struct embedding_tokens t, const float *__restrict__ table, float *__restrict__ y)
{
	const int64_t m = (int64_t)blockIdx.x * blockDim.y + threadIdx.y, c = column_index();
	if (m >= t.M || c >= t.C)
		return;
	const int32_t id = t.id[m];
	y[m * t.C + c] = names_row(id, t.V) ? table[id * t.C + c] : 0.0f;
}

/* What a lane holds of a row: the columns c, c + WARP, ... of those that there are. */
struct lane_columns {
	float v[COLUMNS];
};

__device__ static inline lane_columns load_row(const float *dy, int64_t token, int64_t C, int64_t c)
{
	lane_columns row = {};
	for (int k = 0; k < COLUMNS; k++)
		if (c + k * WARP < C)
			row.v[k] = dy[token * C + c + k * WARP];
	return row;
}

/* A warp per token and COLUMNS * WARP columns. */
__global__ void __launch_bounds__(BLOCK)
    embedding_gradient(struct embedding_tokens t, const float *__restrict__ dy, float *__restrict__ d)
{
	const unsigned lane = threadIdx.x % WARP;
	const int64_t m = (int64_t)blockIdx.x * TOKENS + threadIdx.x / WARP;
	const int64_t c = (int64_t)blockIdx.y * COLUMNS * WARP + lane;
	if (m >= t.M || !names_row(t.id[m], t.V)) /* whole warps */
		return;
	const int32_t id = t.id[m];
	lane_columns sum = {};
	for (int64_t at = 0; at < t.M; at += WARP) {
		unsigned found = __ballot_sync(FULL_WARP, at + lane < t.M && t.id[at + lane] == id);
		if (found && at + __ffs((int)found) - 1 < m) /* an earlier token adds them up */
			return;
		while (found) {
			lane_columns row[ROWS] = {};
			for (int u = 0; u < ROWS && found; u++) {
				row[u] = load_row(dy, at + __ffs((int)found) - 1, t.C, c);
				found &= found - 1;
			}
			for (int u = 0; u < ROWS; u++)
				for (int k = 0; k < COLUMNS; k++)
					sum.v[k] += row[u].v[k]; /* rows that are not there are 0 */
		}
	}
	for (int k = 0; k < COLUMNS; k++)
		if (c + k * WARP < t.C)
			d[id * t.C + c + k * WARP] += sum.v[k];
}

int cuda_embedding(struct cuda_ctx *ctx, struct embedding_tokens t, const float *table, float *y)
{
	const dim3 block = column_block(t.C), grid(cuda_blocks(t.M, block.y), cuda_blocks(t.C, block.x));
	return LAUNCH(embedding, grid, block, 0, ctx->stream, t, table, y);
}

int cuda_embedding_gradient(struct cuda_ctx *ctx, struct embedding_tokens t, const float *dy, float *d)
{
	const dim3 grid(cuda_blocks(t.M, TOKENS), cuda_blocks(t.C, COLUMNS * WARP));
	return LAUNCH(embedding_gradient, grid, BLOCK, 0, ctx->stream, t, dy, d);
}
