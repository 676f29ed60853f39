/* Where a block of a loss on maps is (tiles.cuh). Tiles begin with the sequence and sums go through them in ascending
 * order: a sequence gets the same bits whatever stands beside it. */
#ifndef CUDA_MAP_LOSS_CUH
#define CUDA_MAP_LOSS_CUH

#include "cuda/tiles.cuh"

/* A piece of a sequence: TILE of its rows. */
struct map_piece {
	int64_t n, first, T, rows; /* sequence; its first row, rows that count, all rows: none count if there is none */
	int64_t row, before;       /* the piece's first row in the sequence; pieces before the sequence */
};

__device__ static inline map_piece map_piece_at(const struct map_batch &b, int64_t i)
{
	const segment_piece s = segment_piece_at(b.r, i, 1, TILE);
	const int64_t rows = s.rows.last - s.rows.first;
	const int64_t T = s.n == b.r.N ? 0 : rows < b.longest ? rows : b.longest;
	return {s.n, s.rows.first, T, rows, s.index * TILE, i - s.index};
}

/* One of a side's values: an index would make nvcc copy the kernel's argument. */
__device__ static inline const float *map_value(const float *const (&x)[MAP_VALUES], int64_t i)
{
	static_assert(MAP_VALUES == 3, "each by name");
	return i == 0 ? x[0] : i == 1 ? x[1] : x[2];
}

/* The piece's rows of one head, and of its columns those of the block. */
__device__ static inline place map_place(const map_piece &m, const struct map_side &s, int64_t head, int64_t chunk)
{
	return {m.T, m.row, m.first * s.C + head * s.D, s.C, s.D, chunk * (CHUNKS * TILE), m.n};
}

/* How much a token of the piece counts. */
__device__ static inline double map_weight(const struct map_batch &b, const map_piece &m)
{
	return (double)b.factor * (double)b.weight[m.n] / (double)m.T;
}

/* Stores what was summed up for the piece's rows; rows that count for nothing have zeros. */
__device__ static inline void map_keep(float *d, const map_piece &m, place p, const part &sum)
{
	p.T = m.rows;
	each_value(p, [&](int i, int k, int64_t e) { d[e] = sum.v[k][i]; });
}

/* What cuda_map_softmax wrote about row `row` of the piece's sequence, in map i of n; zeros behind the rows that count.
 */
__device__ static inline softmax_row map_row(
    const struct map_side &s, const map_piece &m, int64_t row, int64_t i, int64_t n)
{
	if (row >= m.T)
		return {0.0f, 0.0f};
	return ((const softmax_row *)s.kept)[(m.first + row) * n + i];
}

/* The same of the warp's rows, in the block's map of gridDim.y. */
__device__ static inline void map_rows(softmax_row (&of)[OWN], const struct map_side &s, const map_piece &m)
{
	for (int i = 0; i < OWN; i++)
		of[i] = map_row(s, m, m.row + threadIdx.y + i * WARPS, blockIdx.y, gridDim.y);
}

#endif
