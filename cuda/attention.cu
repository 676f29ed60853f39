/* Attention of each head within each sequence. A block has one head of TILE rows of one sequence and CHUNKS * TILE of
 * the head's columns; it walks over the sequence's rows on the other side, TILE at a time. Scores exist for one such
 * tile only, so that sequences may be as long as they like, and are made anew by every block that needs them: once
 * forward, twice backward, and again for each further CHUNKS * TILE columns.
 *
 * Tiles begin at the first row of a sequence, and all sums go through them in ascending order: a sequence gets the same
 * bits whatever stands beside it. A row belongs to one warp, whose lanes have the tile's rows of the other side while
 * scores are made, and columns of the head while they are used. */
#include "cuda/half.cuh"
#include "cuda/map_dropout.cuh"

/* Each tile of keys may bring a larger score: what was summed up before is then scaled down. A NaN is no maximum, but
 * makes the sum NaN. kept (M, H) or NULL. */
template <typename Drop>
__global__ void __launch_bounds__(BLOCK)
    attention(struct attention_heads h, const float *__restrict__ q, const float *__restrict__ k,
	const float *__restrict__ v, float *__restrict__ y, softmax_row *__restrict__ kept, struct cuda_rounded rounded)
{
	__shared__ tile left, right, weight;
	place p;
	if (!place_of(h, &p)) {
		clear(h, p, [=](int64_t e) { put_result(y, rounded, e, 0.0f); });
		return;
	}
	const Drop drop(h, p);
	part sum = {};
	float most[OWN], total[OWN] = {}, s[OWN];
	for (int i = 0; i < OWN; i++)
		most[i] = -INFINITY;
	for (int64_t key = 0; key < p.T; key += TILE) {
		scores(s, q, p.row, k, key, p, left, right);
		const unsigned stay = drop.of_queries(key);
		for (int i = 0; i < OWN; i++) {
			s[i] = key + threadIdx.x < p.T ? s[i] : -INFINITY;
			const float here = warp_max(s[i]), now = here > most[i] ? here : most[i];
			const float before = exponential(most[i], now, h.scale), w = exponential(s[i], now, h.scale);
			most[i] = now;
			total[i] = total[i] * before + w;
			weight[threadIdx.y + i * WARPS][threadIdx.x] = drop.weighed(stay, i, w);
			for (int c = 0; c < CHUNKS; c++)
				sum.v[c][i] *= before;
		}
		add_rows_of(&sum, weight, v, key, p, right);
	}
	for (int i = 0; i < OWN; i++) {
		const int64_t row = p.row + threadIdx.y + i * WARPS;
		total[i] = __fdiv_rn(1.0f, warp_sum(total[i]));
		if (kept && row < p.T && threadIdx.x == 0 && blockIdx.z == 0)
			kept[(p.at / p.C + row) * gridDim.y + blockIdx.y] = {most[i], total[i]};
	}
	each_value(p, [&](int i, int c, int64_t e) { put_result(y, rounded, e, sum.v[c][i] * total[i]); });
}

/* mean (M, H) = dy times y, which is the sum of probabilities times their gradients, whatever drops: a warp for each
 * row of a head. */
__global__ void __launch_bounds__(BLOCK) attention_mean(
    struct attention_heads h, const float *__restrict__ y, const float *__restrict__ dy, float *__restrict__ mean)
{
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.y, heads = h.r.C / h.D;
	if (i >= h.r.M * heads) /* whole warps */
		return;
	float sum = 0.0f;
	for (int64_t d = threadIdx.x; d < h.D; d += WARP)
		sum = __fmaf_rn(dy[i * h.D + d], y[i * h.D + d], sum);
	sum = warp_sum(sum);
	if (threadIdx.x == 0)
		mean[i] = sum;
}

/* dq of the block's rows = gradients of scores times k. */
template <typename Drop>
__global__ void __launch_bounds__(BLOCK, Drop::BLOCKS)
    attention_dq(struct attention_heads h, struct attention_inputs in, const softmax_row *__restrict__ kept,
	const float *__restrict__ mean, float *__restrict__ dq, bool add)
{
	__shared__ tile left, right, weight;
	place p;
	if (!place_of(h, &p)) {
		if (!add)
			clear(h, p, [=](int64_t e) { dq[e] = 0.0f; });
		return;
	}
	const Drop drop(h, p);
	part sum = {};
	float s[OWN], g[OWN];
	for (int64_t key = 0; key < p.T; key += TILE) {
		scores(s, in.q, p.row, in.k, key, p, left, right);
		scores(g, in.dy, p.row, in.v, key, p, left, right);
		const unsigned stay = drop.of_queries(key);
		for (int i = 0; i < OWN; i++) {
			const int64_t row = p.row + threadIdx.y + i * WARPS;
			const int64_t at = (p.at / p.C + row) * gridDim.y + blockIdx.y;
			const bool there = row < p.T && key + threadIdx.x < p.T;
			weight[threadIdx.y + i * WARPS][threadIdx.x] =
			    there ? probability(s[i], kept[at], h.scale) * (drop.weighed(stay, i, g[i]) - mean[at]) *
					h.scale
				  : 0.0f;
		}
		add_rows_of(&sum, weight, in.k, key, p, right);
	}
	each_value(p, [&](int i, int c, int64_t e) { deliver(&dq[e], add, sum.v[c][i]); });
}

/* The same of keys: dk = gradients of scores, transposed, times q; dv = probabilities, transposed, times dy. Both may
 * be the same memory, which may also be that of dq: dv is delivered after dk, by the same thread. */
template <typename Drop>
__global__ void __launch_bounds__(BLOCK) attention_dkv(struct attention_heads h, struct attention_inputs in,
    const softmax_row *__restrict__ kept, const float *__restrict__ mean, float *dk, bool add_k, float *dv, bool add_v)
{
	__shared__ tile left, right, weight, chance;
	place p;
	auto put = [=](int64_t e, float to_k, float to_v) {
		if (dk)
			deliver(&dk[e], add_k, to_k);
		if (dv)
			deliver(&dv[e], add_v, to_v);
	};
	if (!place_of(h, &p)) {
		clear(h, p, [=](int64_t e) { put(e, 0.0f, 0.0f); });
		return;
	}
	const Drop drop(h, p);
	part sum_k = {}, sum_v = {};
	float s[OWN], g[OWN];
	for (int64_t query = 0; query < p.T; query += TILE) {
		const bool there = query + threadIdx.x < p.T;
		const int64_t at = (p.at / p.C + query + threadIdx.x) * gridDim.y + blockIdx.y;
		const softmax_row of = there ? kept[at] : softmax_row{0.0f, 0.0f};
		const float share = there ? mean[at] : 0.0f;
		scores(s, in.k, p.row, in.q, query, p, left, right);
		scores(g, in.v, p.row, in.dy, query, p, left, right);
		const unsigned stay = drop.of_keys(query);
		for (int i = 0; i < OWN; i++) {
			const float w = probability(s[i], of, h.scale);
			chance[threadIdx.y + i * WARPS][threadIdx.x] = drop.weighed(stay, i, w);
			weight[threadIdx.y + i * WARPS][threadIdx.x] =
			    w * (drop.weighed(stay, i, g[i]) - share) * h.scale;
		}
		add_rows_of(&sum_k, weight, in.q, query, p, right);
		add_rows_of(&sum_v, chance, in.dy, query, p, right);
	}
	each_value(p, [&](int i, int c, int64_t e) { put(e, sum_k.v[c][i], sum_v.v[c][i]); });
}

size_t cuda_attention_kept(struct attention_heads h)
{
	return (size_t)(h.r.M * (h.r.C / h.D)) * sizeof(softmax_row);
}

size_t cuda_attention_scratch(struct attention_heads h)
{
	return (size_t)(h.r.M * (h.r.C / h.D)) * sizeof(float);
}

template <typename Drop>
static int forward(struct cuda_ctx *ctx, struct attention_heads h, struct attention_inputs in, float *y, void *kept,
    struct cuda_rounded rounded)
{
	return LAUNCH(attention<Drop>, tile_grid(h), dim3(WARP, WARPS), 0, ctx->stream, h, in.q, in.k, in.v, y,
	    (softmax_row *)kept, rounded);
}

int cuda_attention(struct cuda_ctx *ctx, struct attention_heads h, struct attention_inputs in, float *y, void *kept,
    struct cuda_rounded rounded)
{
	return (h.drop.rate > 0 ? forward<map_part> : forward<map_whole>)(ctx, h, in, y, kept, rounded);
}

template <typename Drop>
static int backward(struct cuda_ctx *ctx, struct attention_heads h, struct attention_inputs in, const softmax_row *of,
    const float *mean, struct attention_gradients g)
{
	const dim3 block(WARP, WARPS);
	int rc = 0;
	if (g.dq)
		rc = LAUNCH(attention_dq<Drop>, tile_grid(h), block, 0, ctx->stream, h, in, of, mean, g.dq, g.add_q);
	if (!rc && (g.dk || g.dv))
		rc = LAUNCH(attention_dkv<Drop>, tile_grid(h), block, 0, ctx->stream, h, in, of, mean, g.dk, g.add_k,
		    g.dv, g.add_v);
	return rc;
}

int cuda_attention_backward(struct cuda_ctx *ctx, struct attention_heads h, struct attention_inputs in, const float *y,
    const void *kept, struct attention_gradients g, void *scratch)
{
	float *mean = (float *)scratch;
	int rc = LAUNCH(attention_mean, cuda_blocks(h.r.M * (h.r.C / h.D), WARPS), dim3(WARP, WARPS), 0, ctx->stream, h,
	    y, in.dy, mean);
	if (rc)
		return rc;
	return (
	    h.drop.rate > 0 ? backward<map_part> : backward<map_whole>)(ctx, h, in, (const softmax_row *)kept, mean, g);
}
