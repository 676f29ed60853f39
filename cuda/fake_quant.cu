/* Fake quantization of slices with a step each. Backward computes dx and the step's sum in one pass over x and dy. */
#include "cuda/half.cuh"
#include "cuda/quant.cuh"

__global__ void __launch_bounds__(BLOCK) fake_quant(struct quant_slices q, int64_t parts, const float *__restrict__ x,
    float *__restrict__ y, struct cuda_rounded rounded)
{
	const struct piece p = piece_of(q.n, parts);
	const float inverse = __fdiv_rn(1.0f, q.step[p.i]), pow2 = pow2_of(q.step[p.i]);
	for (int64_t e = p.at; e < p.end; e += BLOCK)
		put_result(y, rounded, e, __fmul_rn(round_element(q, x[e], inverse), pow2));
}

/* The gradient of step i from the sum of dy * x inside the range. */
__device__ static inline double step_gradient(double sum, float step)
{
	const double s = (double)step;
	return -sum * ((double)pow2_of(step) / s) / s;
}

/* dx, and the block's part of the step's sum: delivered where a slice is one part, else into partial (steps, parts). */
__global__ void __launch_bounds__(BLOCK)
    fake_quant_backward(struct quant_slices q, int64_t parts, const float *__restrict__ x, const float *__restrict__ dy,
	float *__restrict__ dx, bool add_x, float *__restrict__ dstep, bool add_step, double *__restrict__ partial)
{
	__shared__ double shared[WARP];
	const struct piece p = piece_of(q.n, parts);
	const float step = q.step[p.i], inverse = __fdiv_rn(1.0f, step);
	const float slope = (float)((double)pow2_of(step) / (double)step);
	double sum = 0.0;
	for (int64_t e = p.at; e < p.end; e += BLOCK) {
		const float t = __fmul_rn(x[e], inverse); /* the comparison sees what the rounding saw */
		const float d = t >= q.lo && t <= q.hi ? dy[e] : 0.0f;
		sum += (double)d * (double)x[e];
		if (dx)
			deliver(&dx[e], add_x, d * slope);
	}
	if (!dstep)
		return;
	sum = block_sum(sum, shared);
	if (threadIdx.x != 0)
		return;
	if (parts == 1)
		deliver(&dstep[p.i], add_step, step_gradient(sum, step));
	else
		partial[blockIdx.x] = sum;
}

/* Block i: slice i. */
__global__ void __launch_bounds__(FINISH) fake_quant_step(struct quant_slices q, int64_t parts,
    const double *__restrict__ partial, float *__restrict__ dstep, bool accumulate)
{
	__shared__ double shared[WARP];
	const int64_t i = blockIdx.x;
	double sum = 0.0;
	for (int64_t k = threadIdx.x; k < parts; k += FINISH)
		sum += partial[i * parts + k];
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		deliver(&dstep[i], accumulate, step_gradient(sum, q.step[i]));
}

size_t cuda_fake_quant_scratch(struct quant_slices q)
{
	const int64_t parts = slice_parts(q.n);
	return parts > 1 ? (size_t)(q.steps * parts) * sizeof(double) : 0;
}

int cuda_fake_quant(struct cuda_ctx *ctx, struct quant_slices q, const float *x, float *y, struct cuda_rounded rounded)
{
	const int64_t parts = slice_parts(q.n);
	return LAUNCH(fake_quant, (unsigned)(q.steps * parts), BLOCK, 0, ctx->stream, q, parts, x, y, rounded);
}

int cuda_fake_quant_backward(struct cuda_ctx *ctx, struct quant_slices q, const float *x, const float *dy, float *dx,
    bool add_x, float *dstep, bool add_step, void *scratch)
{
	const int64_t parts = slice_parts(q.n);
	double *partial = (double *)scratch;
	int rc = LAUNCH(fake_quant_backward, (unsigned)(q.steps * parts), BLOCK, 0, ctx->stream, q, parts, x, dy, dx,
	    add_x, dstep, add_step, partial);
	if (rc || !dstep || parts == 1)
		return rc;
	return LAUNCH(fake_quant_step, (unsigned)q.steps, FINISH, 0, ctx->stream, q, parts, partial, dstep, add_step);
}
