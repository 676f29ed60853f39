/* Scores of rows within a sequence, tile by tile: what attention and the losses on its maps share. A block has TILE
 * rows of one head of one sequence and, where it sums up columns, CHUNKS * TILE of the head's; it walks over the
 * sequence's rows on the other side, TILE at a time. A row belongs to one warp, whose lanes have the tile's rows of the
 * other side while scores are made, and columns of the head while they are used. */
#ifndef CUDA_TILES_CUH
#define CUDA_TILES_CUH

#include "cuda/grid.cuh"
#include "cuda/segment.cuh"

#define TILE   WARP
#define WARPS  (BLOCK / WARP)
#define OWN    (TILE / WARPS) /* rows of a warp: threadIdx.y, threadIdx.y + WARPS, ... */
#define CHUNKS 2              /* of TILE columns */

typedef float tile[TILE][TILE + 1]; /* so wide that a column's values are in different banks */

/* What a block is at: rows row .. row+TILE-1 of a sequence of T, whose values of the head begin at `at`, and of its D
 * columns those from `column` on. */
struct place {
	int64_t T, row, at, C, D, column, sequence;
};

/* TILE rows from `row` on of TILE of the head's columns; zeros outside. */
__device__ static inline void load(tile to, const float *x, const place &p, int64_t row, int64_t column)
{
	for (int i = 0; i < OWN; i++) {
		const unsigned line = threadIdx.y + i * WARPS;
		const bool there = row + line < p.T && column + threadIdx.x < p.D;
		to[line][threadIdx.x] = there ? x[p.at + (row + line) * p.C + column + threadIdx.x] : 0.0f;
	}
}

/* s[i] = the warp's row i of a times the lane's row of b, TILE rows each from row_a and row_b on. */
__device__ static inline void scores(float (&s)[OWN], const float *a, int64_t row_a, const float *b, int64_t row_b,
    const place &p, tile left, tile right)
{
	for (int i = 0; i < OWN; i++)
		s[i] = 0.0f;
	for (int64_t column = 0; column < p.D; column += TILE) {
		load(left, a, p, row_a, column);
		load(right, b, p, row_b, column);
		__syncthreads();
		for (int d = 0; d < TILE; d++)
			for (int i = 0; i < OWN; i++)
				s[i] = __fmaf_rn(left[threadIdx.y + i * WARPS][d], right[threadIdx.x][d], s[i]);
		__syncthreads();
	}
}

/* What a thread sums up: of the warp's rows, the columns `column` + lane, + TILE, ... */
struct part {
	float v[CHUNKS][OWN];
};

/* Written out: nvcc keeps a loop around barriers, and in memory what its counter is an index of. */
template <typename Use> __device__ static inline void each_chunk(Use use)
{
	static_assert(CHUNKS == 2, "one call for each");
	use(0);
	use(1);
}

/* to += weights (TILE, TILE) times the TILE rows of x from `row` on. The weights may have been written just before. */
__device__ static inline void add_rows_of(
    part *to, const tile weight, const float *x, int64_t row, const place &p, tile right)
{
	each_chunk([&](int k) {
		load(right, x, p, row, p.column + k * TILE);
		__syncthreads();
		for (int j = 0; j < TILE; j++)
			for (int i = 0; i < OWN; i++)
				to->v[k][i] =
				    __fmaf_rn(weight[threadIdx.y + i * WARPS][j], right[j][threadIdx.x], to->v[k][i]);
		__syncthreads();
	});
}

/* Calls use(i, k, e) for what the thread has: element e of the tensors is v[k][i]. */
template <typename Use> __device__ static inline void each_value(const place &p, Use use)
{
	for (int i = 0; i < OWN; i++)
		for (int k = 0; k < CHUNKS; k++) {
			const int64_t row = p.row + threadIdx.y + i * WARPS, d = p.column + k * TILE + threadIdx.x;
			if (row < p.T && d < p.D)
				use(i, k, p.at + row * p.C + d);
		}
}

/* The place of a block of attention, whose grid is tile_grid; false: its rows are of no sequence, or there are none. */
__device__ static inline bool place_of(const struct attention_heads &h, place *p)
{
	const segment_piece s = segment_piece_at(h.r, blockIdx.x, 1, TILE);
	p->T = s.rows.last - s.rows.first;
	p->row = s.index * TILE;
	p->C = h.r.C;
	p->D = h.D;
	p->at = s.rows.first * p->C + blockIdx.y * p->D;
	p->column = (int64_t)blockIdx.z * CHUNKS * TILE;
	p->sequence = s.n;
	return s.n < h.r.N && p->row < p->T;
}

/* Zeros in the block's rows of no sequence. */
template <typename Put> __device__ static inline void clear(const struct attention_heads &h, const place &p, Put put)
{
	if (segment_piece_at(h.r, blockIdx.x, 1, TILE).n == h.r.N)
		each_value(p, [=](int, int, int64_t e) { put(e); });
}

/* The softmax of a row: the largest score, before it is scaled, and the reciprocal of the sum. */
struct softmax_row {
	float most, inverse;
};

__device__ static inline float exponential(float s, float most, float scale)
{
	return expf((s - most) * scale);
}

/* Of the key whose score is s, in a row of queries. */
__device__ static inline float probability(float s, softmax_row of, float scale)
{
	return exponential(s, of.most, scale) * of.inverse;
}

/* The sum over a block of (WARP, WARPS) threads; good in thread (0, 0). */
__device__ static inline double tile_sum(double v, double (&shared)[WARPS])
{
	v = warp_sum(v);
	if (threadIdx.x == 0)
		shared[threadIdx.y] = v;
	__syncthreads();
	for (int i = 1; threadIdx.y == 0 && i < WARPS; i++)
		v += shared[i];
	return v;
}

/* Blocks: pieces of sequences, heads, chunks of columns. */
static inline dim3 tile_grid(const struct attention_heads &h)
{
	return dim3((unsigned)segment_pieces(h.r, 1, TILE), (unsigned)(h.r.C / h.D), cuda_blocks(h.D, CHUNKS * TILE));
}

#endif
