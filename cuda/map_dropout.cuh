/* Dropout of attention maps (graph/op.h, enum attention_in). The kernels of an attention are templates of what drops:
 * map_whole, nothing, of which the compiler leaves nothing, or map_part. Each draws again what the others have drawn.
 *
 * A tile's 32 keys of a query are what 8 draws decide. Of a thread's OWN pairs of a query and a key `stay` has a bit
 * each.
 */
#ifndef CUDA_MAP_DROPOUT_CUH
#define CUDA_MAP_DROPOUT_CUH

#define PHILOX_FN __device__ static inline
#include "base/philox.h"

#include "cuda/reduce.cuh"
#include "cuda/tiles.cuh"

#define MAP_DRAWS 8 /* word k of draw l decides key 8 k + l */

class map_part
{
	const struct dropout_draw d;
	const uint64_t step, sample;
	const uint32_t tiles, row, first; /* tiles of a row of the map; the head's first row; row of the block's tile */

	/* Bit k: key 8 k + draw of the tile that begins with `key` stays in the row of `query`. Blocks are numbers of
	 * 32 bits. */
	__device__ unsigned decide(uint32_t query, uint32_t key, uint32_t draw) const
	{
		const uint32_t block = ((row + query) * tiles + key / TILE) * MAP_DRAWS + draw;
		const struct rng_words w = philox_draw(d.stream, step, sample, block);
		unsigned bits = 0;
		for (int k = 0; k < OWN; k++)
			bits |= philox_uniform(w.w[k]) >= d.rate ? 1U << k : 0U;
		return bits;
	}

      public:
	enum { BLOCKS = 3 }; /* left alone it spills what draws need */
	__device__ map_part(const struct attention_heads &h, const place &p)
	    : d(h.drop), step(h.drop.time->step), sample(h.drop.time->first_sample + (uint64_t)p.sequence),
	      tiles((uint32_t)((p.T + TILE - 1) / TILE)), row(blockIdx.y * (uint32_t)p.T), first((uint32_t)p.row)
	{
		static_assert(WARPS == MAP_DRAWS && OWN * MAP_DRAWS == TILE, "a draw for each thread");
	}
	/* The thread's rows are queries, its lane a key of the tile from `key` on. Each lane draws for one of the rows.
	 */
	__device__ unsigned of_queries(int64_t key) const
	{
		const unsigned mine = threadIdx.x / MAP_DRAWS, draw = threadIdx.x % MAP_DRAWS;
		const unsigned bits = decide(first + threadIdx.y + mine * WARPS, (uint32_t)key, draw);
		unsigned stay = 0;
		for (int i = 0; i < OWN; i++)
			stay |= (__shfl_sync(FULL_WARP, bits, i * MAP_DRAWS + (int)draw) >> mine & 1U) << i;
		return stay;
	}
	/* The thread's rows are keys, its lane a query of the tile from `query` on: they are what one draw decides. */
	__device__ unsigned of_keys(int64_t query) const
	{
		return decide((uint32_t)query + threadIdx.x, first, threadIdx.y);
	}
	/* v of pair i, or 0. */
	template <typename V> __device__ V kept(unsigned stay, int i, V v) const { return stay >> i & 1U ? v : V(0); }
	/* The same, times what those that stay count for. */
	__device__ float weighed(unsigned stay, int i, float v) const { return kept(stay, i, v * d.factor); }
};

struct map_whole {
	enum { BLOCKS = 0 }; /* of a multiprocessor: as ptxas likes */
	__device__ map_whole(const struct attention_heads &, const place &) {}
	__device__ unsigned of_queries(int64_t) const { return 0; }
	__device__ unsigned of_keys(int64_t) const { return 0; }
	template <typename T> __device__ T kept(unsigned, int, T v) const { return v; }
	__device__ float weighed(unsigned, int, float v) const { return v; }
};

#endif
