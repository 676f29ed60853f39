/* GELU between grid values. Of each of at most 256 integers the output and the slopes are worked out once per pass, in
 * double, as engine/quant/arith_gelu.c does it; the values look them up in shared memory. */
#include "cuda/half.cuh"
#include "cuda/quant.cuh"

#define ITEMS 16 /* of a thread */
#define BATCH 4  /* of which are read at once */

#define SQRT_HALF 0.70710678118654752440
#define SQRT_2_PI 0.79788456080286535588 /* sqrt(2 / pi) */
#define CUBIC     0.044715

/* Of the integer at place i. slope: of the output by x, and by s_y. */
struct gelu_table {
	float y[BLOCK];
	float2 slope[BLOCK];
	float inverse; /* 1/P(s_x) */
};

/* erfc and exp keep the digits of a far negative x, which 1 + erf and 1 + tanh lose. */
__device__ static inline double gelu_of(double x, bool by_tanh)
{
	if (by_tanh)
		return x / (1.0 + exp(-2.0 * SQRT_2_PI * (x + CUBIC * x * x * x)));
	return x * erfc(-x * SQRT_HALF) / 2.0;
}

__device__ static inline double slope_of(double x, bool by_tanh)
{
	if (!by_tanh)
		return erfc(-x * SQRT_HALF) / 2.0 + x * exp(-x * x / 2.0) * SQRT_2_PI / 2.0;
	const double p = 1.0 / (1.0 + exp(-2.0 * SQRT_2_PI * (x + CUBIC * x * x * x)));
	return p + x * p * (1.0 - p) * 2.0 * SQRT_2_PI * (1.0 + 3.0 * CUBIC * x * x);
}

/* One block, a thread for each integer. Of a step that is no number every value is none. */
__global__ void __launch_bounds__(BLOCK) gelu_tables(struct gelu_grid g, gelu_table *__restrict__ table)
{
	const double s_x = (double)*g.s_x, s_y = (double)*g.s_y;
	const float p_x = pow2_of(*g.s_x), p_y = isnan(p_x) ? p_x : pow2_of(*g.s_y);
	const float inverse = __fdiv_rn(1.0f, p_x);
	const double x = (double)(g.lo + (float)threadIdx.x) * s_x, t = gelu_of(x, g.by_tanh) / s_y;
	const bool inside = t >= (double)g.y_lo && t <= (double)g.y_hi;
	const double q = rint(t), slope = slope_of(x, g.by_tanh) * s_x / s_y * (double)p_y;
	const double held = !(q > (double)g.y_lo) ? (double)g.y_lo : q > (double)g.y_hi ? (double)g.y_hi : q;
	table->y[threadIdx.x] = (float)held * p_y;
	table->slope[threadIdx.x] = inside
					? make_float2((float)(slope * (double)inverse), (float)(-t * (double)p_y / s_y))
					: make_float2(0.0f, 0.0f);
	if (threadIdx.x == 0)
		table->inverse = inverse;
}

/* The place of a grid value. Where x is no number it is the first, as in quant_round. */
__device__ static inline int place_of(const struct gelu_grid &g, float x, float inverse)
{
	const float t = __fsub_rn(__fmul_rn(x, inverse), g.lo), held = t > 0.0f ? t : 0.0f;
	return (int)(held < g.width ? held : g.width);
}

/* Calls use(e, load(e)) for the thread's elements; use(e) may write what load(e) alone reads. */
template <typename Load, typename Use> __device__ static inline void each_element(int64_t n, Load load, Use use)
{
	const int64_t first = (int64_t)blockIdx.x * (BLOCK * ITEMS) + threadIdx.x;
	for (int k = 0; k < ITEMS; k += BATCH) {
		decltype(load(0)) v[BATCH] = {};
		for (int u = 0; u < BATCH; u++)
			if (first + (k + u) * BLOCK < n)
				v[u] = load(first + (k + u) * BLOCK);
		for (int u = 0; u < BATCH; u++)
			if (first + (k + u) * BLOCK < n)
				use(first + (k + u) * BLOCK, v[u]);
	}
}

/* y may be x. */
__global__ void __launch_bounds__(BLOCK) fake_gelu(
    struct gelu_grid g, const gelu_table *__restrict__ table, const float *x, float *y, struct cuda_rounded rounded)
{
	__shared__ float of[BLOCK];
	const float inverse = table->inverse;
	of[threadIdx.x] = table->y[threadIdx.x];
	__syncthreads();
	each_element(
	    g.n, [=](int64_t e) { return x[e]; },
	    [&](int64_t e, float v) { put_result(y, rounded, e, of[place_of(g, v, inverse)]); });
}

/* dx or NULL. partial (2, blocks) or NULL: sums of dx * x, and of what each value adds to the gradient of s_y. */
__global__ void __launch_bounds__(BLOCK)
    fake_gelu_backward(struct gelu_grid g, const gelu_table *__restrict__ table, const float *__restrict__ x,
	const float *__restrict__ dy, float *__restrict__ dx, bool add, double *__restrict__ partial)
{
	__shared__ float2 of[BLOCK];
	__shared__ double shared[WARP];
	const float inverse = table->inverse;
	double of_x = 0.0, of_y = 0.0;
	of[threadIdx.x] = table->slope[threadIdx.x];
	__syncthreads();
	each_element(
	    g.n, [=](int64_t e) { return make_float2(x[e], dy[e]); },
	    [&](int64_t e, float2 v) {
		    const float2 slope = of[place_of(g, v.x, inverse)];
		    const float d = v.y * slope.x;
		    of_x += (double)d * (double)v.x;
		    of_y += (double)v.y * (double)slope.y;
		    if (dx)
			    deliver(&dx[e], add, d);
	    });
	if (!partial)
		return;
	of_x = block_sum(of_x, shared);
	of_y = block_sum(of_y, shared);
	if (threadIdx.x != 0)
		return;
	partial[blockIdx.x] = of_x;
	partial[gridDim.x + blockIdx.x] = of_y;
}

/* One block. Both steps may be the same memory; one thread delivers both. */
__global__ void __launch_bounds__(BLOCK)
    fake_gelu_steps(struct gelu_grid g, const double *__restrict__ partial, int64_t parts, struct gelu_gradients d)
{
	__shared__ double shared[WARP];
	double of_x = 0.0, of_y = 0.0;
	for (int64_t i = threadIdx.x; i < parts; i += BLOCK) {
		of_x += partial[i];
		of_y += partial[parts + i];
	}
	of_x = block_sum(of_x, shared);
	of_y = block_sum(of_y, shared);
	if (threadIdx.x != 0)
		return;
	if (d.s_x)
		deliver(d.s_x, d.add_s_x, of_x / (double)*g.s_x);
	if (d.s_y)
		deliver(d.s_y, d.add_s_y, of_y);
}

size_t cuda_fake_gelu_table(void)
{
	return sizeof(gelu_table);
}

size_t cuda_fake_gelu_scratch(int64_t n)
{
	return 2 * (size_t)cuda_blocks(n, BLOCK * ITEMS) * sizeof(double);
}

int cuda_fake_gelu(
    struct cuda_ctx *ctx, struct gelu_grid g, const float *x, float *y, void *table, struct cuda_rounded rounded)
{
	const int rc = LAUNCH(gelu_tables, 1, BLOCK, 0, ctx->stream, g, (gelu_table *)table);
	if (rc)
		return rc;
	return LAUNCH(fake_gelu, cuda_blocks(g.n, BLOCK * ITEMS), BLOCK, 0, ctx->stream, g, (const gelu_table *)table,
	    x, y, rounded);
}

int cuda_fake_gelu_backward(struct cuda_ctx *ctx, struct gelu_grid g, const float *x, const float *dy,
    const void *table, struct gelu_gradients d, void *scratch)
{
	const unsigned blocks = cuda_blocks(g.n, BLOCK * ITEMS);
	double *partial = d.s_x || d.s_y ? (double *)scratch : NULL;
	const int rc = LAUNCH(fake_gelu_backward, blocks, BLOCK, 0, ctx->stream, g, (const gelu_table *)table, x, dy,
	    d.x, d.add_x, partial);
	if (rc || !partial)
		return rc;
	return LAUNCH(fake_gelu_steps, 1, BLOCK, 0, ctx->stream, g, partial, blocks, d);
}
