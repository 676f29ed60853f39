/* What rows of hidden states are apart from a teacher's: a warp has a row. Backward needs no sums of a row, for two
 * factors of each are kept. */
#include "cuda/grid.cuh"
#include "cuda/segment.cuh"

#define ROWS       (BLOCK / WARP) /* of a block */
#define LEAST_NORM 1e-8           /* a row that is shorter has no direction */

/* How much a token of sequence n counts. */
__device__ static inline double token_weight(const struct hidden_rows &h, int64_t n)
{
	const segment s = segment_of(h.r, n);
	return (double)h.factor * (double)h.weight[n] / (double)(s.last - s.first);
}

/* Of the row that begins at `row`, whose factor is {2 / C, 0}. */
__device__ static inline double square(const struct hidden_rows &h, int64_t row, unsigned lane, float2 *slope)
{
	float sum = 0.0f;
	for (int64_t c = lane; c < h.r.C; c += WARP) {
		const float d = h.x[row + c] - h.teacher[row + c];
		sum = __fmaf_rn(d, d, sum);
	}
	*slope = make_float2((float)(2.0 / (double)h.r.C), 0.0f);
	return (double)warp_sum(sum) / (double)h.r.C;
}

/* The same of 1 - cosine, whose gradient is slope.x * x + slope.y * teacher. */
__device__ static inline double angle(const struct hidden_rows &h, int64_t row, unsigned lane, float2 *slope)
{
	float xx = 0.0f, tt = 0.0f, xt = 0.0f;
	for (int64_t c = lane; c < h.r.C; c += WARP) {
		const float x = h.x[row + c], t = h.teacher[row + c];
		xx = __fmaf_rn(x, x, xx);
		tt = __fmaf_rn(t, t, tt);
		xt = __fmaf_rn(x, t, xt);
	}
	const double square = (double)warp_sum(xx), own = sqrt(square), teacher = sqrt((double)warp_sum(tt));
	const double product = (double)warp_sum(xt);
	*slope = make_float2(0.0f, 0.0f);
	if (own < LEAST_NORM || teacher < LEAST_NORM) /* NaN stays visible */
		return 1.0;
	const double cosine = product / (own * teacher);
	*slope = make_float2((float)(cosine / square), (float)(-1.0 / (own * teacher)));
	return 1.0 - cosine;
}

/* sum (M): what each row adds to the loss. kept (M): the factors of its gradient; or NULL. */
__global__ void __launch_bounds__(BLOCK)
    hidden_loss(struct hidden_rows h, float2 *__restrict__ kept, double *__restrict__ sum)
{
	const unsigned lane = threadIdx.x % WARP;
	const int64_t m = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP;
	if (m >= h.r.M) /* whole warps */
		return;
	const int64_t n = segment_at(h.r, m);
	double loss = 0.0;
	if (n < h.r.N) {
		const double weight = token_weight(h, n);
		float2 slope;
		loss = weight * (h.cosine ? angle(h, m * h.r.C, lane, &slope) : square(h, m * h.r.C, lane, &slope));
		if (kept && lane == 0)
			kept[m] = make_float2((float)(weight * (double)slope.x), (float)(weight * (double)slope.y));
	}
	if (lane == 0)
		sum[m] = loss;
}

/* A difference keeps its digits where x is close to the teacher's. */
__global__ void __launch_bounds__(BLOCK) hidden_loss_backward(struct hidden_rows h, const float2 *__restrict__ kept,
    const float *__restrict__ dout, float *__restrict__ dx, bool accumulate)
{
	const int64_t m = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP, row = m * h.r.C;
	if (m >= h.r.M)
		return;
	const bool there = m < segment_of(h.r, h.r.N).first;
	const float2 by = there ? kept[m] : make_float2(0.0f, 0.0f);
	const float g = *dout, of_x = g * by.x, of_t = g * by.y;
	if (!there && accumulate)
		return;
	for (int64_t c = threadIdx.x % WARP; c < h.r.C; c += WARP) {
		const float x = there ? h.x[row + c] : 0.0f, t = there ? h.teacher[row + c] : 0.0f;
		deliver(&dx[row + c], accumulate, h.cosine ? of_x * x + of_t * t : of_x * (x - t));
	}
}

size_t cuda_hidden_loss_kept(int64_t M)
{
	return (size_t)M * sizeof(float2);
}

size_t cuda_hidden_loss_scratch(int64_t M)
{
	return (size_t)M * sizeof(double);
}

int cuda_hidden_loss(struct cuda_ctx *ctx, struct hidden_rows h, float *out, void *kept, void *scratch)
{
	double *sum = (double *)scratch;
	const int rc = LAUNCH(hidden_loss, cuda_blocks(h.r.M, ROWS), BLOCK, 0, ctx->stream, h, (float2 *)kept, sum);
	return rc ? rc : cuda_loss_sum(ctx, sum, h.r.M, out);
}

int cuda_hidden_loss_backward(
    struct cuda_ctx *ctx, struct hidden_rows h, const void *kept, const float *dout, float *dx, bool accumulate)
{
	return LAUNCH(hidden_loss_backward, cuda_blocks(h.r.M, ROWS), BLOCK, 0, ctx->stream, h, (const float2 *)kept,
	    dout, dx, accumulate);
}
