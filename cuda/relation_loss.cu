/* Divergences of relations. A score is that of two rows of one tensor, so that the tile of rows i and keys j is also
 * that of rows j and keys i, turned: one pass gives the loss, and a row's gradient as query and as key. */
#include "cuda/map_loss.cuh"

/* Blocks: pieces, blocks of columns of q, of k and of v, chunks of columns. sum: a number of each block of the first
 * chunk. */
__global__ void __launch_bounds__(BLOCK) relation_loss(
    struct map_batch b, struct map_side own, struct map_side teacher, struct relation_gradients g, double *sum)
{
	__shared__ tile left, right, weight;
	__shared__ double sums[WARPS];
	const map_piece m = map_piece_at(b, blockIdx.x);
	const int64_t heads = own.C / own.D, value = blockIdx.y / heads, head = blockIdx.y - value * heads;
	const place p = map_place(m, own, head, blockIdx.z), t = map_place(m, teacher, head, 0);
	const float *x = map_value(own.a, value), *other = map_value(teacher.a, value);
	float *d = value == 0 ? g.d[0] : value == 1 ? g.d[1] : g.d[2];
	part gradient = {};
	double apart = 0.0, of_token = 0.0;
	if (p.row < p.T) { /* all threads of the block, or none */
		of_token = map_weight(b, m) / gridDim.y;
		const float times = (float)(of_token * (double)own.scale);
		softmax_row of[OWN], of_teacher[OWN];
		map_rows(of, own, m);
		map_rows(of_teacher, teacher, m);
		for (int i = 0; i < OWN; i++)
			if (m.row + threadIdx.y + i * WARPS < m.T && threadIdx.x == 0)
				apart += log((double)of_teacher[i].inverse) - log((double)of[i].inverse);
		for (int64_t key = 0; key < p.T; key += TILE) {
			float s[OWN], u[OWN];
			scores(s, x, p.row, x, key, p, left, right);
			scores(u, other, p.row, other, key, t, left, right);
			const softmax_row to = map_row(own, m, key + threadIdx.x, blockIdx.y, gridDim.y);
			const softmax_row to_teacher = map_row(teacher, m, key + threadIdx.x, blockIdx.y, gridDim.y);
			for (int i = 0; i < OWN; i++) {
				const bool there = key + threadIdx.x < m.T && m.row + threadIdx.y + i * WARPS < m.T;
				const float a = (s[i] - of[i].most) * own.scale;
				const float c = (u[i] - of_teacher[i].most) * teacher.scale;
				const float chance = expf(c) * of_teacher[i].inverse;
				const float as_query = expf(a) * of[i].inverse - chance;
				const float as_key =
				    probability(s[i], to, own.scale) - probability(u[i], to_teacher, teacher.scale);
				apart += there ? (double)(chance * (c - a)) : 0.0;
				weight[threadIdx.y + i * WARPS][threadIdx.x] =
				    there ? (as_query + as_key) * times : 0.0f;
			}
			if (d)
				add_rows_of(&gradient, weight, x, key, p, right);
		}
	}
	if (d)
		map_keep(d, m, p, gradient);
	apart = tile_sum(apart, sums);
	if (threadIdx.x == 0 && threadIdx.y == 0 && blockIdx.z == 0)
		sum[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = of_token * apart;
}

int64_t cuda_relation_loss_sums(struct map_batch b, int64_t maps)
{
	return cuda_map_pieces(b) * maps;
}

int cuda_relation_loss(struct cuda_ctx *ctx, struct map_batch b, struct map_side own, struct map_side teacher,
    struct relation_gradients g, double *sum, float *out)
{
	const bool any = g.d[0] || g.d[1] || g.d[2];
	const dim3 grid((unsigned)cuda_map_pieces(b), (unsigned)(MAP_VALUES * (own.C / own.D)),
	    any ? cuda_blocks(own.D, CHUNKS * TILE) : 1U);
	int rc = cuda_map_softmax(ctx, b, own, MAP_VALUES);
	if (!rc)
		rc = cuda_map_softmax(ctx, b, teacher, MAP_VALUES);
	if (!rc)
		rc = LAUNCH(relation_loss, grid, dim3(WARP, WARPS), 0, ctx->stream, b, own, teacher, g, sum);
	return rc ? rc : cuda_loss_sum(ctx, sum, cuda_relation_loss_sums(b, grid.y), out);
}
