/* The epilogue on grid values over (rows, C): each thread works out the numbers of its channel once and applies them to
 * its rows. Backward takes t again from acc, writes dacc and dr, and sums what the steps and the bias need per block,
 * per channel, over all channels, in this order. */
#include "cuda/half.cuh"
#include "cuda/quant.cuh"
#include "graph/graph.h" /* enum requant_in */

/* t = (acc * inverse + off) * m + c [+ residual * inverse_r * k]; the multiplications by powers of two are exact. */
struct epilogue {
	float inverse, off, m, c, inverse_r, k, p_y, zero;
};

__device__ static inline float step_or_one(const float *step)
{
	return step ? *step : 1.0f;
}

__device__ static inline float weight_step(const struct requant_inputs &r, int64_t c)
{
	return r.s_w ? r.s_w[r.per_channel ? c : 0] : 1.0f;
}

__device__ static struct epilogue epilogue_of(const struct requant_inputs &r, int64_t c)
{
	const float s_x = step_or_one(r.s_x), s_w = weight_step(r, c), s_y = step_or_one(r.s_y);
	const double off = r.off ? r.off[c] : 0.0;
	struct epilogue e;
	e.inverse = __fdiv_rn(1.0f, pow2_of(s_x) * pow2_of(s_w));
	e.off = (float)off;
	e.m = scale_of(s_x, s_w, s_y, r.count);
	e.c = shift_of(r.bias ? r.bias[c] : 0.0f, s_y, e.m, off, r.zero);
	e.inverse_r = r.residual ? __fdiv_rn(1.0f, pow2_of(*r.s_r)) : 1.0f;
	e.k = r.residual ? residual_of(*r.s_r, s_y) : 0.0f;
	e.p_y = pow2_of(s_y);
	e.zero = (float)r.zero;
	return e;
}

/* What one element is made of: acc and residual as integers. */
struct operands {
	float acc, residual, dy;
};

__device__ static inline struct operands operands_of(
    const struct requant_inputs &r, const struct epilogue &e, const float *dy, int64_t i)
{
	return {__fmul_rn(r.acc[i], e.inverse), r.residual ? __fmul_rn(r.residual[i], e.inverse_r) : 0.0f,
	    dy ? dy[i] : 0.0f};
}

/* quant_epilogue without its ReLU: two roundings, then one fma for a residual. */
__device__ static inline float unrounded(const struct requant_inputs &r, const struct epilogue &e, struct operands v)
{
	const float t = __fadd_rn(__fmul_rn(__fadd_rn(v.acc, e.off), e.m), e.c);
	return r.residual ? __fmaf_rn(v.residual, e.k, t) : t;
}

/* y may be acc. */
template <typename H> __global__ void __launch_bounds__(BLOCK) requant(struct requant_inputs r, float *y, H *half)
{
	const int64_t c = column_index();
	if (c >= r.C)
		return;
	const struct epilogue e = epilogue_of(r, c);
	auto load = [=](int64_t i) { return operands_of(r, e, NULL, i); };
	column_walk(r.rows, r.C, c, load, [=](int64_t i, struct operands v) {
		float t = unrounded(r, e, v);
		t = r.relu && t < e.zero ? e.zero : t;
		t = r.s_y ? __fmul_rn(__fsub_rn(round_clamp(t, r.lo, r.hi), e.zero), e.p_y) : t;
		put_result(y, half, i, t);
	});
}

/* Block c: off[c] = zero_in * the sum of the channel's integer weights. Grid values are integers times P(s_w), so the
 * sum and the division are exact. */
__global__ void __launch_bounds__(FINISH) requant_offsets(
    struct requant_inputs r, const float *__restrict__ wq, int64_t K, int zero_in, double *__restrict__ off)
{
	__shared__ double shared[WARP];
	const int64_t c = blockIdx.x;
	double sum = 0.0;
	for (int64_t k = threadIdx.x; k < K; k += FINISH)
		sum += (double)wq[c * K + k];
	sum = block_sum(sum, shared);
	if (threadIdx.x == 0)
		off[c] = (double)zero_in * (sum / (double)pow2_of(weight_step(r, c)));
}

/* dL/dt: zero where the ReLU or the range holds the value. */
__device__ static inline float free_gradient(
    const struct requant_inputs &r, const struct epilogue &e, float t, float dy)
{
	const bool held = (r.relu && t <= e.zero) || (r.s_y && (t < r.lo || t > r.hi));
	return held ? 0.0f : dy * e.p_y;
}

/* dacc, dr, and partial (3, C, parts) = sums of g, of g*A and of g*r. */
__global__ void __launch_bounds__(BLOCK) requant_backward(
    struct requant_inputs r, const float *__restrict__ dy, struct requant_gradients g, float *__restrict__ partial)
{
	__shared__ float shared[BLOCK];
	const int64_t c = column_index(), parts = gridDim.x;
	float sum = 0.0f, sum_a = 0.0f, sum_r = 0.0f;
	if (c < r.C) {
		const struct epilogue e = epilogue_of(r, c);
		auto load = [=](int64_t i) { return operands_of(r, e, dy, i); };
		column_walk(r.rows, r.C, c, load, [&](int64_t i, struct operands v) {
			const float d = free_gradient(r, e, unrounded(r, e, v), v.dy);
			sum += d;
			sum_a += d * v.acc;
			sum_r += d * v.residual;
			if (g.d[RQ_ACC])
				deliver(&g.d[RQ_ACC][i], g.accumulate[RQ_ACC], d * (e.m * e.inverse));
			if (g.d[RQ_R])
				deliver(&g.d[RQ_R][i], g.accumulate[RQ_R], d * (e.k * e.inverse_r));
		});
	}
	sum = column_sum(sum, shared);
	sum_a = column_sum(sum_a, shared);
	sum_r = column_sum(sum_r, shared);
	if (threadIdx.y == 0 && c < r.C) {
		partial[c * parts + blockIdx.x] = sum;
		partial[(r.C + c) * parts + blockIdx.x] = sum_a;
		partial[(2 * r.C + c) * parts + blockIdx.x] = sum_r;
	}
}

/* What one channel adds to the sums over all channels: of g*A*m, of (g*b + g*r*s_r)/s_y, of g*r. */
struct channel_sums {
	double am, rest, r;
};

/* Block c: the gradients that belong to channel c, and its sums. */
__global__ void __launch_bounds__(FINISH) requant_channel(struct requant_inputs r, struct requant_gradients g,
    const float *__restrict__ partial, int64_t parts, struct channel_sums *__restrict__ sums)
{
	__shared__ double shared[WARP];
	const int64_t c = blockIdx.x;
	double sum = 0.0, a = 0.0, res = 0.0;
	for (int64_t i = threadIdx.x; i < parts; i += FINISH) {
		sum += (double)partial[c * parts + i];
		a += (double)partial[(r.C + c) * parts + i];
		res += (double)partial[(2 * r.C + c) * parts + i];
	}
	sum = block_sum(sum, shared);
	a = block_sum(a, shared);
	res = block_sum(res, shared);
	if (threadIdx.x != 0)
		return;
	const double s_x = (double)step_or_one(r.s_x), s_w = (double)weight_step(r, c),
		     s_y = (double)step_or_one(r.s_y);
	const double am = a * (s_x * s_w / (s_y * (double)r.count)), s_r = (double)step_or_one(r.s_r);
	sums[c] = {am, ((r.bias ? (double)r.bias[c] : 0.0) * sum + s_r * res) / s_y, res};
	if (g.d[RQ_SW] && r.per_channel)
		deliver(&g.d[RQ_SW][c], g.accumulate[RQ_SW], am / s_w);
	if (g.d[RQ_B])
		deliver(&g.d[RQ_B][c], g.accumulate[RQ_B], sum / s_y);
}

/* One block: the gradients of the single steps. Two of them may be the same memory; one thread delivers all. */
__global__ void __launch_bounds__(BLOCK)
    requant_steps(struct requant_inputs r, struct requant_gradients g, const struct channel_sums *__restrict__ sums)
{
	__shared__ double shared[WARP];
	double am = 0.0, rest = 0.0, res = 0.0;
	for (int64_t c = threadIdx.x; c < r.C; c += BLOCK) {
		am += sums[c].am;
		rest += sums[c].rest;
		res += sums[c].r;
	}
	am = block_sum(am, shared);
	rest = block_sum(rest, shared);
	res = block_sum(res, shared);
	if (threadIdx.x != 0)
		return;
	const double s_y = (double)step_or_one(r.s_y);
	if (g.d[RQ_SX])
		deliver(g.d[RQ_SX], g.accumulate[RQ_SX], am / (double)*r.s_x);
	if (g.d[RQ_SW] && !r.per_channel)
		deliver(g.d[RQ_SW], g.accumulate[RQ_SW], am / (double)*r.s_w);
	if (g.d[RQ_SY])
		deliver(g.d[RQ_SY], g.accumulate[RQ_SY], -(am + rest) / s_y);
	if (g.d[RQ_SR])
		deliver(g.d[RQ_SR], g.accumulate[RQ_SR], res / s_y);
}

int cuda_requant_offsets(
    struct cuda_ctx *ctx, struct requant_inputs r, const float *wq, int64_t K, int zero_in, double *off)
{
	return LAUNCH(requant_offsets, (unsigned)r.C, FINISH, 0, ctx->stream, r, wq, K, zero_in, off);
}

template <typename H> static int launch(struct cuda_ctx *ctx, struct requant_inputs r, float *y, void *half)
{
	return LAUNCH(requant<H>, column_grid(r.rows, r.C), column_block(r.C), 0, ctx->stream, r, y, (H *)half);
}

int cuda_requant(struct cuda_ctx *ctx, struct requant_inputs r, float *y, struct cuda_rounded rounded)
{
	if (!rounded.data)
		return launch<float>(ctx, r, y, NULL);
	if (rounded.bf16)
		return launch<__nv_bfloat16>(ctx, r, y, rounded.data);
	return launch<__half>(ctx, r, y, rounded.data);
}

/* scratch: sums (C), then partial (3, C, parts). */
size_t cuda_requant_scratch(int64_t rows, int64_t C)
{
	return (size_t)C * sizeof(struct channel_sums) + (size_t)(3 * C * column_parts(rows, C)) * sizeof(float);
}

int cuda_requant_backward(
    struct cuda_ctx *ctx, struct requant_inputs r, const float *dy, struct requant_gradients g, void *scratch)
{
	struct channel_sums *sums = (struct channel_sums *)scratch;
	float *partial = (float *)(sums + r.C);
	const int64_t parts = column_parts(r.rows, r.C);
	int rc =
	    LAUNCH(requant_backward, column_grid(r.rows, r.C), column_block(r.C), 0, ctx->stream, r, dy, g, partial);
	if (!rc && (g.d[RQ_SX] || g.d[RQ_SW] || g.d[RQ_B] || g.d[RQ_SY] || g.d[RQ_SR]))
		rc = LAUNCH(requant_channel, (unsigned)r.C, FINISH, 0, ctx->stream, r, g, partial, parts, sums);
	if (!rc && (g.d[RQ_SX] || (g.d[RQ_SW] && !r.per_channel) || g.d[RQ_SY] || g.d[RQ_SR]))
		rc = LAUNCH(requant_steps, 1, BLOCK, 0, ctx->stream, r, g, sums);
	return rc;
}
