/* Distances of attention maps, each the mean over its heads. What the maps of all heads have to do with a head's
 * gradient is their slope, d loss / d the student's mean map: it is kept for the pieces of a strip, which has as many
 * of them as fit the memory that is there for it (a piece at least), and strips are done one after the other. With p
 * of a head, the gradient of its scores is p * (slope - sum of p * slope). */
#include "cuda/map_loss.cuh"

#define LEAST 1e-30f /* of a probability in a logarithm */

/* Pieces first .. first + pieces - 1; the slope of key j in line l of piece i is at[((i - first) * TILE + l) * stride +
 * j]. */
struct slope_strip {
	float *at; /* or NULL */
	int64_t first, pieces, stride;
};

__device__ static inline float *slopes_of(const slope_strip &s, int64_t piece, int64_t line)
{
	return s.at + ((piece - s.first) * TILE + line) * s.stride;
}

/* mean += the maps of all heads of one side, for the piece's rows and the keys from `key` on. Rows that are not there
 * have zeros, keys that are not there anything. */
__device__ static inline void add_maps(
    float (&mean)[OWN], const struct map_side &side, const map_piece &m, int64_t key, tile left, tile right)
{
	const int64_t heads = side.C / side.D;
	for (int64_t h = 0; h < heads; h++) {
		float s[OWN];
		scores(s, side.a[0], m.row, side.b[0], key, map_place(m, side, h, 0), left, right);
		for (int i = 0; i < OWN; i++) {
			const int64_t row = m.row + threadIdx.y + i * WARPS;
			mean[i] += probability(s[i], map_row(side, m, row, h, heads), side.scale);
		}
	}
	for (int i = 0; i < OWN; i++)
		mean[i] = __fdiv_rn(mean[i], (float)heads);
}

/* What a row's value x is apart from t; its slope times `by`. */
__device__ static inline double apart_of(const struct map_batch &b, float x, float t, float by, int64_t T, float *slope)
{
	if (!b.divergence) {
		*slope = by * 2.0f * (x - t) / (float)T;
		return (double)((x - t) * (x - t)) / (double)T;
	}
	const float own = x < LEAST ? LEAST : x; /* NaN stays visible */
	*slope = x < LEAST ? 0.0f : -by * t / own;
	return (double)(t * logf((t < LEAST ? LEAST : t) / own));
}

/* Blocks: pieces of the strip, tiles of keys. sum: a number of each block. */
__global__ void __launch_bounds__(BLOCK) attention_maps(
    struct map_batch b, struct map_side own, struct map_side teacher, slope_strip strip, double *__restrict__ sum)
{
	__shared__ tile left, right;
	__shared__ double sums[WARPS];
	const int64_t piece = strip.first + blockIdx.x, key = (int64_t)blockIdx.y * TILE;
	const map_piece m = map_piece_at(b, piece);
	double apart = 0.0, of_token = 0.0;
	if (m.row < m.T && key < m.T) { /* all threads of the block, or none */
		float x[OWN] = {}, t[OWN] = {};
		of_token = map_weight(b, m);
		const float by =
		    (float)(of_token * (double)own.D / (double)own.C); /* each head is a part of the mean */
		add_maps(x, own, m, key, left, right);
		add_maps(t, teacher, m, key, left, right);
		for (int i = 0; i < OWN; i++) {
			float slope;
			if (key + threadIdx.x >= m.T)
				continue;
			apart += apart_of(b, x[i], t[i], by, m.T, &slope);
			if (strip.at)
				slopes_of(strip, piece, threadIdx.y + i * WARPS)[key + threadIdx.x] = slope;
		}
	}
	apart = tile_sum(apart, sums);
	if (threadIdx.x == 0 && threadIdx.y == 0)
		sum[piece * gridDim.y + blockIdx.y] = of_token * apart;
}

/* p * (slope - less) of the thread's row i and the tile's key of its lane, 0 where that is not there. */
__device__ static inline float sloped(
    const slope_strip &strip, const map_piece &m, int64_t key, int i, float p, float less)
{
	if (key + threadIdx.x >= m.T)
		return 0.0f;
	return p * (slopes_of(strip, strip.first + blockIdx.x, threadIdx.y + i * WARPS)[key + threadIdx.x] - less);
}

/* mean (M, H) = the sum of p * slope of each row of a head. Blocks: pieces of the strip, heads. */
__global__ void __launch_bounds__(BLOCK)
    attention_slopes(struct map_batch b, struct map_side own, slope_strip strip, float *__restrict__ mean)
{
	__shared__ tile left, right;
	const map_piece m = map_piece_at(b, strip.first + blockIdx.x);
	const place p = map_place(m, own, blockIdx.y, 0);
	softmax_row of[OWN];
	float sum[OWN] = {}, s[OWN];
	map_rows(of, own, m);
	for (int64_t key = 0; m.row < m.T && key < m.T; key += TILE) {
		scores(s, own.a[0], p.row, own.b[0], key, p, left, right);
		for (int i = 0; i < OWN; i++)
			sum[i] += sloped(strip, m, key, i, probability(s[i], of[i], own.scale), 0.0f);
	}
	for (int i = 0; i < OWN; i++) {
		const int64_t row = m.row + threadIdx.y + i * WARPS;
		sum[i] = warp_sum(sum[i]);
		if (row < m.T && threadIdx.x == 0)
			mean[(m.first + row) * gridDim.y + blockIdx.y] = sum[i];
	}
}

/* dq of the piece's rows = gradients of scores times k. Blocks: pieces of the strip, heads, chunks of columns. */
__global__ void __launch_bounds__(BLOCK) attention_loss_dq(
    struct map_batch b, struct map_side own, slope_strip strip, const float *__restrict__ mean, float *__restrict__ dq)
{
	__shared__ tile left, right, weight;
	const map_piece m = map_piece_at(b, strip.first + blockIdx.x);
	const place p = map_place(m, own, blockIdx.y, blockIdx.z);
	part sum = {};
	softmax_row of[OWN];
	float s[OWN], share[OWN];
	map_rows(of, own, m);
	for (int i = 0; i < OWN; i++) {
		const int64_t row = m.row + threadIdx.y + i * WARPS;
		share[i] = row < m.T ? mean[(m.first + row) * gridDim.y + blockIdx.y] : 0.0f;
	}
	for (int64_t key = 0; m.row < m.T && key < m.T; key += TILE) {
		scores(s, own.a[0], p.row, own.b[0], key, p, left, right);
		for (int i = 0; i < OWN; i++)
			weight[threadIdx.y + i * WARPS][threadIdx.x] =
			    sloped(strip, m, key, i, probability(s[i], of[i], own.scale), share[i]) * own.scale;
		add_rows_of(&sum, weight, own.b[0], key, p, right);
	}
	map_keep(dq, m, p, sum);
}

/* The same of keys, whose queries are those of the strip: later strips go on where the ones before have stopped, with
 * the same bits. Blocks: pieces of keys, heads, chunks of columns. */
__global__ void __launch_bounds__(BLOCK) attention_loss_dk(
    struct map_batch b, struct map_side own, slope_strip strip, const float *__restrict__ mean, float *__restrict__ dk)
{
	__shared__ tile left, right, weight;
	const map_piece m = map_piece_at(b, blockIdx.x);
	const place p = map_place(m, own, blockIdx.y, blockIdx.z);
	const int64_t before = strip.first - m.before, end = before + strip.pieces;
	part sum = {};
	float s[OWN];
	if (strip.first > 0) {
		if (before * TILE >= m.T || end <= 0) /* all threads of the block, or none */
			return;
		each_value(p, [&](int i, int k, int64_t e) { sum.v[k][i] = dk[e]; });
	}
	for (int64_t t = before > 0 ? before : 0; m.row < m.T && t < end && t * TILE < m.T; t++) {
		const int64_t query = t * TILE, mine = query + threadIdx.x;
		const softmax_row of = map_row(own, m, mine, blockIdx.y, gridDim.y);
		const float share = mine < m.T ? mean[(m.first + mine) * gridDim.y + blockIdx.y] : 0.0f;
		scores(s, own.b[0], p.row, own.a[0], query, p, left, right);
		/* Of a query the slopes of all keys lie together. Those of keys that are not there hold anything. */
		for (int i = 0; i < OWN; i++) {
			const unsigned line = threadIdx.y + i * WARPS;
			left[line][threadIdx.x] = slopes_of(strip, m.before + t, line)[m.row + threadIdx.x];
		}
		__syncthreads();
		for (int i = 0; i < OWN; i++) {
			const unsigned line = threadIdx.y + i * WARPS;
			const float chance = probability(s[i], of, own.scale);
			weight[line][threadIdx.x] =
			    m.row + line < m.T ? chance * (left[threadIdx.x][line] - share) * own.scale : 0.0f;
		}
		add_rows_of(&sum, weight, own.a[0], query, p, right);
	}
	map_keep(dk, m, p, sum);
}

static int64_t stride_of(struct map_batch b)
{
	return cuda_map_tiles(b.longest) * TILE;
}

/* Pieces of a strip. */
static int64_t strip_of(struct map_batch b, int64_t bytes)
{
	const int64_t all = cuda_map_pieces(b), most = bytes / (stride_of(b) * TILE * (int64_t)sizeof(float));
	return most < 1 ? 1 : most < all ? most : all;
}

size_t cuda_attention_loss_slopes(struct map_batch b, int64_t bytes)
{
	return (size_t)(strip_of(b, bytes) * TILE * stride_of(b)) * sizeof(float);
}

int64_t cuda_attention_loss_sums(struct map_batch b)
{
	return cuda_map_pieces(b) * cuda_map_tiles(b.longest);
}

/* The gradients of a strip. */
static int gradients(
    struct cuda_ctx *ctx, struct map_batch b, struct map_side own, slope_strip strip, struct attention_loss_gradients g)
{
	const unsigned heads = (unsigned)(own.C / own.D), chunks = cuda_blocks(own.D, CHUNKS * TILE),
		       pieces = (unsigned)strip.pieces;
	const dim3 block(WARP, WARPS), keys((unsigned)cuda_map_pieces(b), heads, chunks);
	int rc = LAUNCH(attention_slopes, dim3(pieces, heads), block, 0, ctx->stream, b, own, strip, g.mean);
	if (!rc && g.dq)
		rc = LAUNCH(
		    attention_loss_dq, dim3(pieces, heads, chunks), block, 0, ctx->stream, b, own, strip, g.mean, g.dq);
	if (!rc && g.dk)
		rc = LAUNCH(attention_loss_dk, keys, block, 0, ctx->stream, b, own, strip, g.mean, g.dk);
	return rc;
}

int cuda_attention_loss(struct cuda_ctx *ctx, struct map_batch b, struct map_side own, struct map_side teacher,
    struct attention_loss_gradients g, double *sum, float *out)
{
	const bool any = g.dq || g.dk;
	const int64_t all = cuda_map_pieces(b), pieces = any ? strip_of(b, g.bytes) : all;
	int rc = cuda_map_softmax(ctx, b, own, 1);
	if (!rc)
		rc = cuda_map_softmax(ctx, b, teacher, 1);
	for (int64_t first = 0; !rc && first < all; first += pieces) {
		const slope_strip strip = {
		    any ? g.slope : NULL, first, all - first < pieces ? all - first : pieces, stride_of(b)};
		rc = LAUNCH(attention_maps, dim3((unsigned)strip.pieces, (unsigned)cuda_map_tiles(b.longest)),
		    dim3(WARP, WARPS), 0, ctx->stream, b, own, teacher, strip, sum);
		if (!rc && any)
			rc = gradients(ctx, b, own, strip, g);
	}
	return rc ? rc : cuda_loss_sum(ctx, sum, cuda_attention_loss_sums(b), out);
}
