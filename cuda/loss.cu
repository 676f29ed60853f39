/* Cross-entropy with label smoothing and the distillation loss: one warp per row works out the row's loss and d loss /
 * d logits. Exponentials are f32, their sums and the row's loss double, for the KL divergence is a small difference. */
#include "cuda/grid.cuh"
#include "cuda/launches.h"

#define ROWS (BLOCK / WARP) /* rows of a block */

/* Of one row of logits z: softmax(z/T)_j = expf((z_j - max)/T) / sum. */
struct softmax {
	float max, T, inverse; /* inverse: 1/sum */
	double log_sum;
};

__device__ static inline float exponential(float z, float max, float T)
{
	return expf((z - max) / T);
}

__device__ static inline float probability(const struct softmax &s, float z)
{
	return exponential(z, s.max, s.T) * s.inverse;
}

/* log softmax(z/T). */
__device__ static inline double log_probability(const struct softmax &s, float z)
{
	return (double)(z - s.max) / (double)s.T - s.log_sum;
}

/* others: what the classes but `label` hold together; 1 - p of a confident label would cancel. */
__device__ static struct softmax softmax_of(
    const float *z, int64_t C, float T, int32_t label, unsigned lane, double *others)
{
	float max = z[0];
	for (int64_t j = lane; j < C; j += WARP)
		max = z[j] > max ? z[j] : max;
	max = warp_max(max);
	double sum = 0.0;
	for (int64_t j = lane; j < C; j += WARP)
		sum += j == label ? 0.0 : (double)exponential(z[j], max, T);
	*others = warp_sum(sum);
	sum = *others + (double)exponential(z[label], max, T);
	*others /= sum;
	return {max, T, (float)(1.0 / sum), log(sum)};
}

/* Against (1 - smoothing) * onehot + smoothing/C (Szegedy et al. 2016, section 7); this lane's part of the row's loss.
 * grad (may be NULL) gets weight * d/dz, or is added to if `add`. */
__device__ static double cross_entropy(
    const float *z, int64_t C, int32_t label, float smoothing, double weight, float *grad, bool add, unsigned lane)
{
	double others, loss = 0.0;
	const struct softmax s = softmax_of(z, C, 1.0f, label, lane, &others);
	const double share = (double)smoothing / (double)C;
	for (int64_t j = lane; j < C; j += WARP) {
		double target = share + (j == label ? 1.0 - (double)smoothing : 0.0);
		if (target > 0.0)
			loss -= target * log_probability(s, z[j]);
		if (!grad)
			continue;
		double d = (j == label ? (double)smoothing - others : (double)probability(s, z[j])) - share;
		grad[j] = (float)((add ? (double)grad[j] : 0.0) + weight * d);
	}
	return weight * loss;
}

/* T^2 * KL(teacher || student) at temperature T (Hinton, Vinyals and Dean 2015, section 2), times weight. */
__device__ static double divergence(
    const float *z, const float *teacher, int64_t C, float T, int32_t label, double weight, float *grad, unsigned lane)
{
	double unused, kl = 0.0;
	const struct softmax s = softmax_of(z, C, T, label, lane, &unused);
	const struct softmax t = softmax_of(teacher, C, T, label, lane, &unused);
	for (int64_t j = lane; j < C; j += WARP) {
		const float q = probability(t, teacher[j]);
		kl += (double)q * (log_probability(t, teacher[j]) - log_probability(s, z[j]));
		if (grad)
			grad[j] = (float)(weight * (double)T * ((double)probability(s, z[j]) - (double)q));
	}
	return weight * (double)T * (double)T * kl;
}

__global__ void __launch_bounds__(BLOCK) loss_rows(struct loss_batch r)
{
	const unsigned lane = threadIdx.x % WARP;
	const int64_t n = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP;
	if (n >= r.N) /* whole warps */
		return;
	const float *z = r.logits + n * r.C;
	float *grad = r.grad ? r.grad + n * r.C : NULL;
	const int32_t label = r.labels[n];
	const double weight = (double)r.weight[n], alpha = (double)r.alpha;
	double loss = 0.0;
	if (r.teacher) {
		/* the label has no part in the soft targets; without one, any class will do */
		loss = divergence(
		    z, r.teacher + n * r.C, r.C, r.temperature, label < 0 ? 0 : label, alpha * weight, grad, lane);
		if (label >= 0)
			loss += cross_entropy(z, r.C, label, 0.0f, (1.0 - alpha) * weight, grad, true, lane);
	} else if (label >= 0) {
		loss = cross_entropy(z, r.C, label, r.smoothing, weight, grad, false, lane);
	} else {
		for (int64_t j = lane; grad && j < r.C; j += WARP)
			grad[j] = 0.0f;
	}
	loss = warp_sum(loss);
	if (lane == 0)
		r.row[n] = loss;
}

/* One block. */
__global__ void __launch_bounds__(BLOCK) loss_sum(const double *__restrict__ row, int64_t N, float *__restrict__ out)
{
	__shared__ double shared[WARP];
	double sum = 0.0;
	for (int64_t n = threadIdx.x; n < N; n += BLOCK)
		sum += row[n];
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		*out = (float)sum;
}

__global__ void __launch_bounds__(BLOCK) loss_backward(
    const float *__restrict__ grad, const float *__restrict__ dout, int64_t n, float *__restrict__ d, bool accumulate)
{
	const int64_t i = element_index();
	if (i < n)
		deliver(&d[i], accumulate, grad[i] * *dout);
}

int cuda_loss(struct cuda_ctx *ctx, struct loss_batch r, float *out)
{
	int rc = LAUNCH(loss_rows, cuda_blocks(r.N, ROWS), BLOCK, 0, ctx->stream, r);
	return rc ? rc : cuda_loss_sum(ctx, r.row, r.N, out);
}

int cuda_loss_sum(struct cuda_ctx *ctx, const double *row, int64_t N, float *out)
{
	return LAUNCH(loss_sum, 1, BLOCK, 0, ctx->stream, row, N, out);
}

int cuda_loss_backward(struct cuda_ctx *ctx, const float *grad, const float *dout, int64_t n, float *d, bool accumulate)
{
	return LAUNCH(loss_backward, cuda_blocks(n, BLOCK), BLOCK, 0, ctx->stream, grad, dout, n, d, accumulate);
}
