/* The optimizer's update: global norm, clipping, SGD, AdamW and running statistics with masks, one launch over all
 * params. A block has UPDATE_BLOCK elements of one param whatever the GPU, and the blocks' sums are added in a fixed
 * order, so reruns give the same bytes. The device decides whether the update is done; the host never waits for that.
 * Formulas: struct update_args. */
#define UPDATE_STATE_FN static __device__ inline
#include "cuda/launch.h"
#include "cuda/launches.h"
#include "cuda/reduce.cuh"

#define THREADS      256
#define NORM_THREADS 1024
#define SKIP         (-1.0f) /* as the table's scale: the update is left out */

/* The item that block b works on: the last one that begins at or before it. */
static __device__ int item_of(const struct update_table *t, unsigned b)
{
	int low = 0, high = t->n - 1;
	while (low < high) {
		const int middle = (low + high + 1) / 2;
		if (t->first[middle] <= b)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

struct range {
	size_t first, last;
};

/* n: elements of item k. */
static __device__ struct range range_of(const struct update_table *t, size_t n, int k, unsigned b)
{
	struct range r;
	r.first = (size_t)(b - t->first[k]) * UPDATE_BLOCK;
	r.last = r.first + UPDATE_BLOCK < n ? r.first + UPDATE_BLOCK : n;
	return r;
}

/* partial[b] = sum of squares of block b's gradients; masked weights have none, a relative item's are
 * gradient_scale*w*g. */
__global__ void __launch_bounds__(THREADS) sum_squares(const struct update_table *t)
{
	__shared__ double shared[WARP];
	const int k = item_of(t, blockIdx.x);
	const struct update_item it = t->item[k];
	const struct range r = range_of(t, it.n, k, blockIdx.x);
	double sum = 0.0;
	for (size_t i = r.first + threadIdx.x; !it.stat && i < r.last; i += THREADS) {
		const double g = it.mask && !it.mask[i] ? 0.0 : (double)it.g[i];
		const double x = it.relative ? (double)it.gradient_scale * ((double)it.w[i] * g) : g;
		sum += x * x;
	}
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		t->partial[blockIdx.x] = sum;
}

static __device__ float correction(float beta, int64_t updates)
{
	return (float)(1.0 / (1.0 - pow((double)beta, (double)updates)));
}

/* Adds up the norm and decides what becomes of the update. */
__global__ void __launch_bounds__(NORM_THREADS) finish_norm(struct update_table *t, unsigned blocks)
{
	__shared__ double shared[WARP];
	double sum = 0.0;
	for (unsigned b = threadIdx.x; b < blocks; b += NORM_THREADS)
		sum += t->partial[b];
	sum = block_sum(sum, shared);
	if (threadIdx.x > 0)
		return;
	struct update_state *state = t->args.state;
	const double unscale = 1.0 / (double)state->scale, norm = unscale * sqrt(sum);
	const double clip = (double)t->args.clip_norm, shrink = clip / (norm + 1e-6);
	const bool go = update_state_next(state, norm, isfinite(norm));
	t->scale = !go ? SKIP : (float)(clip > 0.0 && shrink < 1.0 ? unscale * shrink : unscale);
	t->correct1 = correction(t->args.beta1, state->t);
	t->correct2 = correction(t->args.beta2, state->t);
}

/* What the elements of an item need, in registers: through the table each of them would be read again for every
 * element, since a weight that is written might be part of it. */
struct rule {
	struct update_item it;
	struct update_args args;
	float scale, correct1, correct2;
};

static __device__ struct rule rule_of(const struct update_table *t, int k)
{
	return {t->item[k], t->args, t->scale, t->correct1, t->correct2};
}

/* Moves the moments of element i and returns the direction to subtract. */
static __device__ float direction(const struct rule &r, size_t i, float w)
{
	const struct update_args &a = r.args;
	const bool along_log = r.it.relative && a.kind == OPTIMIZER_SGD;
	const float raw = along_log ? r.it.gradient_scale * w * r.it.g[i] : r.it.g[i];
	const float g = raw * r.scale, decay = r.it.decay ? a.weight_decay * w : 0.0f;
	if (a.kind == OPTIMIZER_SGD) {
		const float x = g + decay, m = a.momentum * r.it.m[i] + x;
		r.it.m[i] = m;
		return a.nesterov ? x + a.momentum * m : m;
	}
	const float m = a.beta1 * r.it.m[i] + (1.0f - a.beta1) * g;
	const float v = a.beta2 * r.it.v[i] + (1.0f - a.beta2) * g * g;
	r.it.m[i] = m;
	r.it.v[i] = v;
	return m * r.correct1 / (sqrtf(v * r.correct2) + a.eps) + decay;
}

/* The share of its value that a relative item moves by. */
static __device__ float relative_share(float step)
{
	const float share = step < -RELATIVE_MOST ? -RELATIVE_MOST : step;
	return share > RELATIVE_MOST ? RELATIVE_MOST : share;
}

static __device__ void update_element(const struct rule &r, size_t i)
{
	if (r.it.mask && !r.it.mask[i]) { /* exact zeros, in weights and moments */
		r.it.w[i] = r.it.m[i] = 0.0f;
		if (r.it.v)
			r.it.v[i] = 0.0f;
		return;
	}
	const float w = r.it.w[i], step = r.args.lr * r.it.lr_factor * direction(r, i, w);
	const float moved = w - (r.it.relative ? w * relative_share(step) : step);
	const float raised = r.it.floor > 0.0f && moved < r.it.floor ? r.it.floor : moved;
	r.it.w[i] = r.it.ceiling > 0.0f && raised > r.it.ceiling ? r.it.ceiling : raised;
}

__global__ void __launch_bounds__(THREADS) update(const struct update_table *t)
{
	const int k = item_of(t, blockIdx.x);
	const struct rule r = rule_of(t, k);
	const struct range range = range_of(t, r.it.n, k, blockIdx.x);
	const float keep = 1.0f - r.it.stat_momentum, count = r.it.observations > 1.0f ? r.it.observations : 1.0f;
	if (r.scale < 0.0f)
		return;
	for (size_t i = range.first + threadIdx.x; i < range.last; i += THREADS) {
		if (r.it.stat)
			r.it.w[i] = keep * r.it.w[i] + r.it.stat_momentum * (r.it.g[i] / count);
		else
			update_element(r, i);
	}
}

int cuda_update_norm(struct cuda_ctx *ctx, struct update_table *table, unsigned blocks)
{
	int rc = blocks ? LAUNCH(sum_squares, blocks, THREADS, 0, ctx->stream, table) : 0;
	return rc ? rc : LAUNCH(finish_norm, 1, NORM_THREADS, 0, ctx->stream, table, blocks);
}

int cuda_update_apply(struct cuda_ctx *ctx, const struct update_table *table, unsigned blocks)
{
	return LAUNCH(update, blocks, THREADS, 0, ctx->stream, table);
}
