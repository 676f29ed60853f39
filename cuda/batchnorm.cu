/* Batch normalization over the rows of (rows, C). Each block takes the mean and the squared distances from it of its
 * own rows, which it holds in registers; blocks are combined in order, in double, by Chan, Golub and LeVeque 1979,
 * eq. 2.1. So the variance never comes from a difference of large sums. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"

/* partial (C, parts): mean and sum of squared distances from it. */
__global__ void __launch_bounds__(BLOCK)
    batchnorm_parts(const float *__restrict__ x, int64_t rows, int64_t C, float2 *__restrict__ partial)
{
	__shared__ float shared[BLOCK];
	const int64_t c = column_index(), first = column_first_row(), left = rows - (first - threadIdx.y);
	const int64_t full = blockDim.y * COLUMN_ITEMS, n = left < full ? left : full;
	float v[COLUMN_ITEMS], sum = 0.0f, squares = 0.0f;
	for (int k = 0; k < COLUMN_ITEMS; k++) {
		const int64_t row = first + k * (int64_t)blockDim.y;
		v[k] = c < C && row < rows ? x[row * C + c] : 0.0f;
		sum += v[k];
	}
	const float mean = column_sum(sum, shared) / (float)n;
	for (int k = 0; k < COLUMN_ITEMS; k++) {
		const float d = v[k] - mean;
		squares += first + k * (int64_t)blockDim.y < rows ? d * d : 0.0f;
	}
	squares = column_sum(squares, shared);
	if (threadIdx.y == 0 && c < C)
		partial[c * gridDim.x + blockIdx.x] = make_float2(mean, squares);
}

/* Block c: kept (3, C) = mean, 1/sqrt(var + eps), unbiased variance of channel c. */
__global__ void __launch_bounds__(FINISH) batchnorm_statistics(
    const float2 *__restrict__ partial, int64_t parts, int64_t rows, int64_t part, float eps, float *__restrict__ kept)
{
	__shared__ double shared[WARP];
	const int64_t c = blockIdx.x, C = gridDim.x;
	double sum = 0.0, squares = 0.0;
	for (int64_t i = threadIdx.x; i < parts; i += FINISH) {
		const int64_t n = rows - i * part < part ? rows - i * part : part;
		sum += (double)partial[c * parts + i].x * (double)n;
	}
	const double mean = block_sum(sum, shared) / (double)rows;
	for (int64_t i = threadIdx.x; i < parts; i += FINISH) {
		const int64_t n = rows - i * part < part ? rows - i * part : part;
		const double d = (double)partial[c * parts + i].x - mean;
		squares += (double)partial[c * parts + i].y + d * d * (double)n;
	}
	squares = block_sum(squares, shared);
	if (threadIdx.x == 0) {
		kept[c] = (float)mean;
		kept[C + c] = (float)(1.0 / sqrt(squares / (double)rows + (double)eps));
		kept[2 * C + c] = rows > 1 ? (float)(squares / (double)(rows - 1)) : 0.0f;
	}
}

/* The numbers of one channel: y = (x - mean) * a + beta. */
struct normaliser {
	float mean, a, beta;
};

__device__ static inline float rstd_of(const struct batchnorm_channels &h, int64_t c)
{
	return h.rstd ? h.rstd[c] : 1.0f / sqrtf(h.var[c] + h.eps);
}

__device__ static inline struct normaliser normaliser_of(const struct batchnorm_channels &h, int64_t c)
{
	return {h.mean[c], h.gamma[c] * rstd_of(h, c), h.beta[c]};
}

/* The value before the ReLU, whose sign decides in both directions: the same operation in forward and backward. */
__device__ static inline float normalise(struct normaliser n, float x)
{
	return __fmaf_rn(x - n.mean, n.a, n.beta);
}

/* y may be x. */
template <typename H>
__global__ void __launch_bounds__(BLOCK)
    batchnorm_apply(struct batchnorm_channels h, const float *x, int64_t rows, int64_t C, float *y, H *half)
{
	const int64_t c = column_index();
	if (c >= C)
		return;
	const struct normaliser n = normaliser_of(h, c);
	auto load = [=](int64_t i) { return x[i]; };
	column_walk(rows, C, c, load, [=](int64_t i, float xi) {
		const float v = normalise(n, xi);
		put_result(y, half, i, h.relu && v < 0.0f ? 0.0f : v); /* NaN stays visible */
	});
}

__device__ static inline float free_gradient(const struct batchnorm_channels &h, struct normaliser n, float x, float dy)
{
	return h.relu ? relu_gradient(dy, normalise(n, x)) : dy;
}

/* partial (C, parts): sums of g and of g * (x - mean), g being dy behind the ReLU. */
__global__ void __launch_bounds__(BLOCK) batchnorm_gradient_parts(struct batchnorm_channels h,
    const float *__restrict__ x, const float *__restrict__ dy, int64_t rows, int64_t C, float2 *__restrict__ partial)
{
	__shared__ float shared[BLOCK];
	const int64_t c = column_index();
	float sum = 0.0f, sum_x = 0.0f;
	if (c < C) {
		const struct normaliser n = normaliser_of(h, c);
		auto load = [=](int64_t i) { return make_float2(x[i], dy[i]); };
		column_walk(rows, C, c, load, [&](int64_t, float2 v) {
			const float g = free_gradient(h, n, v.x, v.y);
			sum += g;
			sum_x += g * (v.x - n.mean);
		});
	}
	sum = column_sum(sum, shared);
	sum_x = column_sum(sum_x, shared);
	if (threadIdx.y == 0 && c < C)
		partial[c * gridDim.x + blockIdx.x] = make_float2(sum, sum_x);
}

/* Block c: dgamma, dbeta, the observations for the running statistics, and k (C) for the input's gradient. */
__global__ void __launch_bounds__(FINISH) batchnorm_gradient(struct batchnorm_channels h, struct batchnorm_gradients g,
    const float2 *__restrict__ partial, int64_t parts, int64_t rows, float2 *__restrict__ k)
{
	__shared__ double shared[WARP];
	const int64_t c = blockIdx.x, C = gridDim.x;
	double sum = 0.0, sum_x = 0.0;
	for (int64_t i = threadIdx.x; i < parts; i += FINISH) {
		sum += (double)partial[c * parts + i].x;
		sum_x += (double)partial[c * parts + i].y;
	}
	sum = block_sum(sum, shared);
	sum_x = block_sum(sum_x, shared);
	if (threadIdx.x != 0)
		return;
	const double rstd = (double)h.rstd[c], a = (double)normaliser_of(h, c).a;
	const double sum_xhat = sum_x * rstd;
	k[c] = make_float2((float)(a * sum / (double)rows), (float)(a * rstd * sum_xhat / (double)rows));
	if (g.dgamma)
		deliver(&g.dgamma[c], g.accumulate[1], sum_xhat);
	if (g.dbeta)
		deliver(&g.dbeta[c], g.accumulate[2], sum);
	if (g.dmean)
		deliver(&g.dmean[c], g.accumulate[3], g.kept[c]);
	if (g.dvar)
		deliver(&g.dvar[c], g.accumulate[4], g.kept[2 * C + c]);
}

/* dx = gamma*rstd * (g - mean(g) - xhat * mean(g * xhat)) = a*g - k.x - (x - mean) * k.y */
__global__ void __launch_bounds__(BLOCK)
    batchnorm_dx(struct batchnorm_channels h, const float *__restrict__ x, const float *__restrict__ dy, int64_t rows,
	int64_t C, const float2 *__restrict__ k, float *__restrict__ dx, bool accumulate)
{
	const int64_t c = column_index();
	if (c >= C)
		return;
	const struct normaliser n = normaliser_of(h, c);
	const float2 kc = k[c];
	auto load = [=](int64_t i) { return make_float2(x[i], dy[i]); };
	column_walk(rows, C, c, load, [=](int64_t i, float2 v) {
		const float g = free_gradient(h, n, v.x, v.y);
		deliver(&dx[i], accumulate, n.a * g - kc.x - (v.x - n.mean) * kc.y);
	});
}

/* scratch: partial (C, parts), then k (C). */
size_t cuda_batchnorm_scratch(int64_t rows, int64_t C)
{
	return (size_t)(C * column_parts(rows, C) + C) * sizeof(float2);
}

int cuda_batchnorm_statistics(
    struct cuda_ctx *ctx, const float *x, int64_t rows, int64_t C, float eps, float *kept, void *scratch)
{
	float2 *partial = (float2 *)scratch;
	int rc = LAUNCH(batchnorm_parts, column_grid(rows, C), column_block(C), 0, ctx->stream, x, rows, C, partial);
	return rc ? rc
		  : LAUNCH(batchnorm_statistics, (unsigned)C, FINISH, 0, ctx->stream, partial, column_parts(rows, C),
			rows, column_rows(C), eps, kept);
}

template <typename H>
static int apply(
    struct cuda_ctx *ctx, struct batchnorm_channels h, const float *x, int64_t rows, int64_t C, float *y, void *half)
{
	return LAUNCH(
	    batchnorm_apply<H>, column_grid(rows, C), column_block(C), 0, ctx->stream, h, x, rows, C, y, (H *)half);
}

int cuda_batchnorm_apply(struct cuda_ctx *ctx, struct batchnorm_channels h, const float *x, int64_t rows, int64_t C,
    float *y, struct cuda_rounded rounded)
{
	if (!rounded.data)
		return apply<float>(ctx, h, x, rows, C, y, NULL);
	if (rounded.bf16)
		return apply<__nv_bfloat16>(ctx, h, x, rows, C, y, rounded.data);
	return apply<__half>(ctx, h, x, rows, C, y, rounded.data);
}

int cuda_batchnorm_backward(struct cuda_ctx *ctx, struct batchnorm_channels h, const float *x, const float *dy,
    int64_t rows, int64_t C, struct batchnorm_gradients g, void *scratch)
{
	const int64_t parts = column_parts(rows, C);
	const dim3 grid = column_grid(rows, C), block = column_block(C);
	float2 *partial = (float2 *)scratch, *k = partial + C * parts;
	int rc = LAUNCH(batchnorm_gradient_parts, grid, block, 0, ctx->stream, h, x, dy, rows, C, partial);
	if (!rc)
		rc = LAUNCH(batchnorm_gradient, (unsigned)C, FINISH, 0, ctx->stream, h, g, partial, parts, rows, k);
	if (!rc && g.dx)
		rc = LAUNCH(batchnorm_dx, grid, block, 0, ctx->stream, h, x, dy, rows, C, k, g.dx, g.accumulate[0]);
	return rc;
}
