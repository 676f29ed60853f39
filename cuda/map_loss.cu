/* The softmax of each row of each map: what the losses on maps know of a row before they meet its scores again. */
#include "cuda/map_loss.cuh"

__global__ void __launch_bounds__(BLOCK) map_softmax(struct map_batch b, struct map_side s)
{
	__shared__ tile left, right;
	const map_piece m = map_piece_at(b, blockIdx.x);
	const int64_t heads = s.C / s.D, value = blockIdx.y / heads;
	const place p = map_place(m, s, blockIdx.y - value * heads, 0);
	const float *own = map_value(s.a, value), *other = map_value(s.b, value);
	if (p.row >= p.T)
		return;
	float most[OWN], total[OWN] = {}, v[OWN];
	for (int i = 0; i < OWN; i++)
		most[i] = -INFINITY;
	for (int64_t key = 0; key < p.T; key += TILE) {
		scores(v, own, p.row, other, key, p, left, right);
		for (int i = 0; i < OWN; i++) {
			v[i] = key + threadIdx.x < p.T ? v[i] : -INFINITY;
			const float here = warp_max(v[i]), now = here > most[i] ? here : most[i];
			total[i] = total[i] * exponential(most[i], now, s.scale) + exponential(v[i], now, s.scale);
			most[i] = now;
		}
	}
	for (int i = 0; i < OWN; i++) {
		const int64_t row = p.row + threadIdx.y + i * WARPS;
		total[i] = __fdiv_rn(1.0f, warp_sum(total[i]));
		if (row < p.T && threadIdx.x == 0)
			((softmax_row *)s.kept)[(m.first + row) * gridDim.y + blockIdx.y] = {most[i], total[i]};
	}
}

int64_t cuda_map_pieces(struct map_batch b)
{
	return segment_pieces(b.r, 1, TILE);
}

int64_t cuda_map_tiles(int64_t rows)
{
	return (rows + TILE - 1) / TILE;
}

size_t cuda_map_kept(struct map_batch b, int64_t maps)
{
	return (size_t)(b.r.M * maps) * sizeof(softmax_row);
}

int cuda_map_softmax(struct cuda_ctx *ctx, struct map_batch b, struct map_side s, int values)
{
	return LAUNCH(map_softmax, dim3((unsigned)cuda_map_pieces(b), (unsigned)(values * (s.C / s.D))),
	    dim3(WARP, WARPS), 0, ctx->stream, b, s);
}
