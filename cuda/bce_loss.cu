/* Binary cross-entropy over labels and its distillation (formulas in graph.h): one warp per row works out the row's
 * loss and d loss / d logits. What depends on a logit alone is f32, sums over labels are double. A target of -1 adds
 * nothing but the logit's soft part. */
#include "cuda/grid.cuh"
#include "cuda/launches.h"

#define ROWS (BLOCK / WARP) /* rows of a block */

/* What a logit x gives, by e^-|x|, which cannot overflow. NaN stays. */
struct logistic {
	float minus_log, minus_log_opposite; /* -log(sigmoid(x)), -log(sigmoid(-x)) */
	float sigmoid, opposite;             /* sigmoid(x); sigmoid(-x), of which 1 - sigmoid(x) would leave nothing */
};

__device__ static inline logistic logistic_of(float x)
{
	const float e = expf(-fabsf(x)), log_sum = log1pf(e), large = 1.0f / (1.0f + e), small = e / (1.0f + e);
	const bool negative = x < 0.0f;
	return {log_sum + (negative ? -x : 0.0f), log_sum + (negative ? 0.0f : x), negative ? small : large,
	    negative ? large : small};
}

/* Loss and derivative of one logit. */
struct bce_value {
	float loss, slope;
};

/* positive, negative: how much sigmoid(x) should be 1, and how much 0. */
__device__ static inline bce_value bce(float x, float positive, float negative)
{
	const logistic z = logistic_of(x);
	return {negative * z.minus_log_opposite + positive * z.minus_log, negative * z.sigmoid - positive * z.opposite};
}

/* The same mixed with the soft target of the teacher's logit. */
__device__ static inline bce_value distilled(bce_value hard, float x, float teacher, float T, float alpha)
{
	const logistic target = logistic_of(teacher / T);
	const bce_value soft = bce(x / T, target.sigmoid, target.opposite);
	return {alpha * T * T * soft.loss + (1.0f - alpha) * hard.loss,
	    alpha * T * soft.slope + (1.0f - alpha) * hard.slope};
}

__global__ void __launch_bounds__(BLOCK) bce_rows(struct bce_batch b)
{
	const unsigned lane = threadIdx.x % WARP;
	const int64_t n = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP;
	if (n >= b.N) /* whole warps */
		return;
	const double weight = (double)b.weight[n] / (double)b.L;
	double loss = 0.0;
	for (int64_t l = lane; l < b.L; l += WARP) {
		const int64_t i = n * b.L + l;
		const float target = b.targets[i], known = target < 0.0f ? 0.0f : 1.0f;
		bce_value v = bce(b.logits[i], known * b.pos_weight[l] * target, known * (1.0f - target));
		if (b.teacher)
			v = distilled(v, b.logits[i], b.teacher[i], b.temperature, b.alpha);
		loss += (double)v.loss;
		if (b.grad)
			b.grad[i] = (float)(weight * (double)v.slope);
	}
	loss = warp_sum(loss);
	if (lane == 0)
		b.row[n] = weight * loss;
}

int cuda_bce_loss(struct cuda_ctx *ctx, struct bce_batch b, float *out)
{
	int rc = LAUNCH(bce_rows, cuda_blocks(b.N, ROWS), BLOCK, 0, ctx->stream, b);
	return rc ? rc : cuda_loss_sum(ctx, b.row, b.N, out);
}
