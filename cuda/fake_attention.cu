/* Attention between grid values, with the integers of OP_QATTENTION (engine/quant/arith.h): scores of grid values are
 * exact in f32, but for a power of two; probabilities, their sums and what they weigh are integers. A row's largest
 * score has to be known before its probabilities are: forward makes scores twice where a sequence has more than a tile.
 *
 * Forward keeps t, the results before they are rounded, and three numbers of each row of a head. Backward is then that
 * of attention, with g * k/S in place of dy, and with what the largest score takes back from each row. */
#include "cuda/half.cuh"
#include "cuda/map_dropout.cuh"
#include "cuda/quant.cuh"
#include "quant/arith.h"

#define LN2 0.693147181f

typedef int whole_tile[TILE][TILE + 1];

/* Of a row of a head: the largest score as an integer, the first key that has it, f32(S). */
struct fake_row {
	float most, sum;
	int largest;
};

/* What the steps say. */
struct fake_scales {
	float one_q, one_k, one_v; /* 1/P */
	float p_y, c, factor;      /* factor: the k of the formulas, of what stays */
};

/* A step that is no number makes p_y none. */
__device__ static inline fake_scales scales_of(const struct fake_heads &f)
{
	const float p_q = pow2_of(*f.s_q), p_k = pow2_of(*f.s_k), p_v = pow2_of(*f.s_v), p_y = pow2_of(*f.s_y);
	const double c = (double)*f.s_q * (double)*f.s_k * M_LOG2E / sqrt((double)f.h.D);
	const bool none = isnan(p_q) || isnan(p_k) || isnan(p_v);
	return {__fdiv_rn(1.0f, p_q), __fdiv_rn(1.0f, p_k), __fdiv_rn(1.0f, p_v), none ? nanf("") : p_y, (float)c,
	    __fmul_rn(residual_of(*f.s_v, *f.s_y), f.h.drop.factor)};
}

/* quant_exp2 of quant_exponent of what a score is below the row's largest. *held: x is held at the least. */
__device__ static inline float power_of(float below, float c, float top, bool *held)
{
	const float x = __fmaf_rn(below, c, top);
	*held = !(x > QUANT_LEAST);
	const float v = *held ? QUANT_LEAST : x, e = rintf(v), f = __fsub_rn(v, e);
	const float p = __fmaf_rn(__fmaf_rn(__fmaf_rn(QUANT_EXP2_C3, f, QUANT_EXP2_C2), f, QUANT_EXP2_C1), f, 1.0f);
	return __fmul_rn(p, __int_as_float(((int)e + 127) * (1 << 23)));
}

/* Element of the row's numbers: row m of a head. */
__device__ static inline int64_t number_at(const place &p, int64_t row)
{
	return (p.at / p.C + row) * gridDim.y + blockIdx.y;
}

/* to += integers of `weight` (TILE, TILE) times those of the TILE rows of v from `row` on: of a tile in 32 bits, 32 *
 * 65535 * 128 being below 2^31. The weights may have been written just before. */
__device__ static inline void weigh(int64_t (&to)[CHUNKS][OWN], const whole_tile weight, const float *v, float one_v,
    int64_t row, const place &p, whole_tile values)
{
	each_chunk([&](int k) {
		int now[OWN] = {};
		for (int i = 0; i < OWN; i++) {
			const unsigned line = threadIdx.y + i * WARPS;
			const int64_t d = p.column + k * TILE + threadIdx.x;
			const bool there = row + line < p.T && d < p.D;
			values[line][threadIdx.x] = there ? (int)__fmul_rn(v[p.at + (row + line) * p.C + d], one_v) : 0;
		}
		__syncthreads();
		for (int j = 0; j < TILE; j++)
			for (int i = 0; i < OWN; i++)
				now[i] += weight[threadIdx.y + i * WARPS][j] * values[j][threadIdx.x];
		__syncthreads();
		for (int i = 0; i < OWN; i++)
			to[k][i] += now[i];
	});
}

/* Integer scores of the block's rows and the keys from `key` on; of keys that are not there -infinity. */
__device__ static inline void whole_scores(float (&s)[OWN], const struct fake_heads &f, const fake_scales &z,
    const place &p, int64_t key, tile left, tile right)
{
	const bool there = key + threadIdx.x < p.T;
	scores(s, f.q, p.row, f.k, key, p, left, right);
	for (int i = 0; i < OWN; i++)
		s[i] = there ? __fmul_rn(__fmul_rn(s[i], z.one_q), z.one_k) : -INFINITY;
}

/* The largest score of each of the warp's rows, and the first key that has it. s is left with the last tile's. */
__device__ static inline void largest_scores(float (&most)[OWN], int (&largest)[OWN], float (&s)[OWN],
    const struct fake_heads &f, const fake_scales &z, const place &p, tile left, tile right)
{
	for (int i = 0; i < OWN; i++) {
		most[i] = -INFINITY;
		largest[i] = 0;
	}
	for (int64_t key = 0; key < p.T; key += TILE) {
		whole_scores(s, f, z, p, key, left, right);
		for (int i = 0; i < OWN; i++) {
			const float here = warp_max(s[i]);
			const unsigned who = __ballot_sync(FULL_WARP, s[i] == here);
			if (!(here > most[i]))
				continue;
			most[i] = here;
			largest[i] = (int)key + __ffs((int)who) - 1;
		}
	}
}

/* t (M, H*D) and kept (M, H), or NULL. */
template <typename Drop>
__global__ void __launch_bounds__(BLOCK, 3) fake_attention(struct fake_heads f, float *__restrict__ y,
    float *__restrict__ t, fake_row *__restrict__ kept, struct cuda_rounded rounded)
{
	__shared__ tile left, right;
	__shared__ whole_tile weight, values;
	const fake_scales z = scales_of(f);
	place p;
	if (!place_of(f.h, &p)) {
		clear(f.h, p, [=](int64_t e) { put_result(y, rounded, e, 0.0f); });
		return;
	}
	const Drop drop(f.h, p);
	int64_t sum[CHUNKS][OWN] = {};
	float most[OWN], s[OWN];
	int largest[OWN], total[OWN] = {};
	largest_scores(most, largest, s, f, z, p, left, right);
	for (int64_t key = 0; key < p.T; key += TILE) {
		if (p.T > TILE) /* else they are there */
			whole_scores(s, f, z, p, key, left, right);
		const unsigned stay = drop.of_queries(key);
		for (int i = 0; i < OWN; i++) {
			bool held;
			const int w = (int)rintf(power_of(__fsub_rn(s[i], most[i]), z.c, f.top, &held));
			weight[threadIdx.y + i * WARPS][threadIdx.x] = drop.kept(stay, i, w);
			total[i] += w;
		}
		weigh(sum, weight, f.v, z.one_v, key, p, values);
	}
	float share[OWN];
	for (int i = 0; i < OWN; i++) {
		const int64_t row = p.row + threadIdx.y + i * WARPS;
		const float S = (float)warp_sum((int64_t)total[i]);
		share[i] = __fdiv_rn(z.factor, S);
		if (kept && row < p.T && threadIdx.x == 0 && blockIdx.z == 0)
			kept[number_at(p, row)] = {most[i], S, largest[i]};
	}
	each_value(p, [&](int i, int k, int64_t e) {
		const float v = __fmul_rn((float)sum[k][i], share[i]);
		put_result(y, rounded, e, __fmul_rn(round_clamp(v, f.lo, f.hi), z.p_y));
		if (t)
			t[e] = v;
	});
}

/* A warp for each row of a head. scaled (M, H*D) = g * k/S; mean (M, H) = the sum of scaled * A/S; sum: of g * t, a
 * number of each block. */
__global__ void __launch_bounds__(BLOCK)
    fake_attention_dt(struct fake_heads f, const float *__restrict__ t, const fake_row *__restrict__ kept,
	const float *__restrict__ dy, float *__restrict__ scaled, float *__restrict__ mean, double *__restrict__ sum)
{
	__shared__ double sums[WARPS];
	const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.y, heads = f.h.r.C / f.h.D;
	const fake_scales z = scales_of(f);
	float product = 0.0f;
	if (i < f.h.r.M * heads && segment_at(f.h.r, i / heads) < f.h.r.N) { /* whole warps */
		const float S = kept[i].sum, share = __fdiv_rn(z.factor, S);
		for (int64_t d = i * f.h.D + threadIdx.x; d < (i + 1) * f.h.D; d += WARP) {
			const float g = t[d] >= f.lo && t[d] <= f.hi ? dy[d] * z.p_y : 0.0f;
			product = __fmaf_rn(g, t[d], product);
			scaled[d] = g * share;
		}
		const float all = warp_sum(product);
		if (threadIdx.x == 0)
			mean[i] = __fdiv_rn(all, S);
	}
	const double all = tile_sum((double)product, sums);
	if (threadIdx.x == 0 && threadIdx.y == 0)
		sum[blockIdx.x] = all;
}

/* dq, or NULL, of the block's rows; less (M, H): c times the sum of a row's u, which the largest score takes back. sum:
 * of u * (a - m), a number of each block of the first chunk of columns. */
template <typename Drop>
__global__ void __launch_bounds__(BLOCK, Drop::BLOCKS)
    fake_attention_dq(struct fake_heads f, const fake_row *__restrict__ kept, const float *__restrict__ scaled,
	const float *__restrict__ mean, float *__restrict__ less, double *__restrict__ sum, float *dq, bool add)
{
	__shared__ tile left, right, weight;
	__shared__ double sums[WARPS];
	const fake_scales z = scales_of(f);
	double of_c = 0.0;
	place p;
	if (place_of(f.h, &p)) { /* all threads of the block, or none */
		const Drop drop(f.h, p);
		part all = {};
		fake_row of[OWN];
		float s[OWN], g[OWN], share[OWN], taken[OWN] = {};
		for (int i = 0; i < OWN; i++) {
			const int64_t row = p.row + threadIdx.y + i * WARPS;
			of[i] = row < p.T ? kept[number_at(p, row)] : fake_row{INFINITY, 1.0f, 0};
			share[i] = row < p.T ? mean[number_at(p, row)] : 0.0f;
		}
		for (int64_t key = 0; key < p.T; key += TILE) {
			whole_scores(s, f, z, p, key, left, right);
			scores(g, scaled, p.row, f.v, key, p, left, right);
			const unsigned stay = drop.of_queries(key);
			for (int i = 0; i < OWN; i++) {
				const float below = s[i] - of[i].most;
				bool held;
				const float e = power_of(below, z.c, f.top, &held);
				const float u = held ? 0.0f : LN2 * e * (drop.kept(stay, i, g[i] * z.one_v) - share[i]);
				taken[i] += u;
				of_c += held ? 0.0 : (double)u * (double)below;
				weight[threadIdx.y + i * WARPS][threadIdx.x] = z.c * u;
			}
			if (dq)
				add_rows_of(&all, weight, f.k, key, p, right);
		}
		for (int i = 0; i < OWN; i++) {
			const int64_t row = p.row + threadIdx.y + i * WARPS;
			taken[i] = z.c * warp_sum(taken[i]);
			if (row < p.T && threadIdx.x == 0 && blockIdx.z == 0)
				less[number_at(p, row)] = taken[i];
		}
		if (dq)
			each_value(p, [&](int i, int k, int64_t e) {
				const float last = f.k[e + (of[i].largest - p.row - threadIdx.y - i * WARPS) * p.C];
				deliver(&dq[e], add, (all.v[k][i] - taken[i] * last) * (z.one_q * z.one_k));
			});
	} else if (dq && !add) {
		clear(f.h, p, [=](int64_t e) { dq[e] = 0.0f; });
	}
	of_c = tile_sum(of_c, sums);
	if (threadIdx.x == 0 && threadIdx.y == 0 && blockIdx.z == 0)
		sum[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = of_c;
}

/* The same of keys. Both may be the same memory, which may also be that of dq: dv is delivered after dk, by the same
 * thread. Three blocks of a multiprocessor: ptxas, left alone, spills for a fourth. */
template <typename Drop>
__global__ void __launch_bounds__(BLOCK, 3)
    fake_attention_dkv(struct fake_heads f, const fake_row *__restrict__ kept, const float *__restrict__ scaled,
	const float *__restrict__ mean, const float *__restrict__ less, float *dk, bool add_k, float *dv, bool add_v)
{
	__shared__ tile left, right, weight, chance;
	const fake_scales z = scales_of(f);
	place p;
	auto put = [=](int64_t e, float to_k, float to_v) {
		if (dk)
			deliver(&dk[e], add_k, to_k);
		if (dv)
			deliver(&dv[e], add_v, to_v);
	};
	if (!place_of(f.h, &p)) {
		clear(f.h, p, [=](int64_t e) { put(e, 0.0f, 0.0f); });
		return;
	}
	const Drop drop(f.h, p);
	part sum_k = {}, sum_v = {};
	float s[OWN], g[OWN];
	for (int64_t query = 0; query < p.T; query += TILE) {
		scores(s, f.k, p.row, f.q, query, p, left, right);
		scores(g, f.v, p.row, scaled, query, p, left, right);
		const unsigned stay = drop.of_keys(query);
		const int64_t mine = query + threadIdx.x;
		const bool named = mine < p.T;
		const fake_row of = named ? kept[number_at(p, mine)] : fake_row{INFINITY, 1.0f, -1};
		const float share = named ? mean[number_at(p, mine)] : 0.0f,
			    back = named ? less[number_at(p, mine)] : 0.0f;
		for (int i = 0; i < OWN; i++) {
			const int64_t row = p.row + threadIdx.y + i * WARPS;
			const float a = row < p.T ? __fmul_rn(__fmul_rn(s[i], z.one_q), z.one_k) : -INFINITY;
			bool held;
			const float e = power_of(a - of.most, z.c, f.top, &held);
			const float u = held ? 0.0f : LN2 * e * (drop.kept(stay, i, g[i] * z.one_v) - share);
			chance[threadIdx.y + i * WARPS][threadIdx.x] = drop.kept(stay, i, rintf(e));
			weight[threadIdx.y + i * WARPS][threadIdx.x] = z.c * u - (row == of.largest ? back : 0.0f);
		}
		add_rows_of(&sum_k, weight, f.q, query, p, right);
		add_rows_of(&sum_v, chance, scaled, query, p, right);
	}
	each_value(
	    p, [&](int i, int k, int64_t e) { put(e, sum_k.v[k][i] * (z.one_q * z.one_k), sum_v.v[k][i] * z.one_v); });
}

/* What the kernels leave for the steps: numbers of blocks. */
struct fake_sums {
	double *of_t, *of_c;
	int64_t blocks_t, blocks_c;
};

/* One block. Steps may be the same memory; one thread delivers all. */
__global__ void __launch_bounds__(BLOCK)
    fake_attention_steps(struct fake_heads f, fake_sums sum, struct fake_attention_gradients d)
{
	__shared__ double shared[WARP];
	double of_t = 0.0, of_c = 0.0;
	for (int64_t i = threadIdx.x; i < sum.blocks_t; i += BLOCK)
		of_t += sum.of_t[i];
	for (int64_t i = threadIdx.x; i < sum.blocks_c; i += BLOCK)
		of_c += sum.of_c[i];
	of_t = block_sum(of_t, shared);
	of_c = block_sum(of_c, shared);
	if (threadIdx.x != 0)
		return;
	const double s_q = (double)*f.s_q, s_k = (double)*f.s_k, per_c = M_LOG2E / sqrt((double)f.h.D);
	if (d.s_q)
		deliver(d.s_q, d.add_s_q, of_c * s_k * per_c);
	if (d.s_k)
		deliver(d.s_k, d.add_s_k, of_c * s_q * per_c);
	if (d.s_v)
		deliver(d.s_v, d.add_s_v, of_t / (double)*f.s_v);
	if (d.s_y)
		deliver(d.s_y, d.add_s_y, -of_t / (double)*f.s_y);
}

static int64_t rows_of(struct attention_heads h)
{
	return h.r.M * (h.r.C / h.D);
}

size_t cuda_fake_attention_kept(struct attention_heads h)
{
	return (size_t)rows_of(h) * sizeof(fake_row);
}

static int64_t blocks_of_t(struct attention_heads h)
{
	return cuda_blocks(rows_of(h), WARPS);
}

static int64_t blocks_of_c(struct attention_heads h)
{
	return segment_pieces(h.r, 1, TILE) * (h.r.C / h.D);
}

/* scratch: sums of blocks, then scaled, mean and less. */
size_t cuda_fake_attention_scratch(struct attention_heads h)
{
	return (size_t)(blocks_of_t(h) + blocks_of_c(h)) * sizeof(double) +
	       (size_t)(h.r.M * h.r.C + 2 * rows_of(h)) * sizeof(float);
}

template <typename Drop>
static int forward(
    struct cuda_ctx *ctx, struct fake_heads f, float *y, float *t, void *kept, struct cuda_rounded rounded)
{
	return LAUNCH(fake_attention<Drop>, tile_grid(f.h), dim3(WARP, WARPS), 0, ctx->stream, f, y, t,
	    (fake_row *)kept, rounded);
}

int cuda_fake_attention(
    struct cuda_ctx *ctx, struct fake_heads f, float *y, float *t, void *kept, struct cuda_rounded rounded)
{
	return (f.h.drop.rate > 0 ? forward<map_part> : forward<map_whole>)(ctx, f, y, t, kept, rounded);
}

/* What backward has in its scratch. */
struct fake_scratch {
	fake_sums sum;
	float *scaled, *mean, *less;
};

template <typename Drop>
static int backward(struct cuda_ctx *ctx, struct fake_heads f, const fake_row *of, const fake_scratch &at,
    struct fake_attention_gradients d)
{
	const dim3 block(WARP, WARPS), grid = tile_grid(f.h), rows(grid.x, grid.y, d.q ? grid.z : 1U);
	int rc = 0;
	if (d.q || d.k || d.s_q || d.s_k)
		rc = LAUNCH(fake_attention_dq<Drop>, rows, block, 0, ctx->stream, f, of, at.scaled, at.mean, at.less,
		    at.sum.of_c, d.q, d.add_q);
	if (!rc && (d.k || d.v))
		rc = LAUNCH(fake_attention_dkv<Drop>, grid, block, 0, ctx->stream, f, of, at.scaled, at.mean, at.less,
		    d.k, d.add_k, d.v, d.add_v);
	return rc;
}

int cuda_fake_attention_backward(struct cuda_ctx *ctx, struct fake_heads f, const float *t, const void *kept,
    const float *dy, struct fake_attention_gradients d, void *scratch)
{
	fake_scratch at = {
	    {(double *)scratch, (double *)scratch + blocks_of_t(f.h), blocks_of_t(f.h), blocks_of_c(f.h)}, NULL, NULL,
	    NULL};
	at.scaled = (float *)(at.sum.of_c + at.sum.blocks_c);
	at.mean = at.scaled + f.h.r.M * f.h.r.C;
	at.less = at.mean + rows_of(f.h);
	const fake_row *of = (const fake_row *)kept;
	int rc = LAUNCH(fake_attention_dt, (unsigned)at.sum.blocks_t, dim3(WARP, WARPS), 0, ctx->stream, f, t, of, dy,
	    at.scaled, at.mean, at.sum.of_t);
	if (!rc)
		rc = (f.h.drop.rate > 0 ? backward<map_part> : backward<map_whole>)(ctx, f, of, at, d);
	if (!rc && (d.s_q || d.s_k || d.s_v || d.s_y))
		rc = LAUNCH(fake_attention_steps, 1, BLOCK, 0, ctx->stream, f, at.sum, d);
	return rc;
}
