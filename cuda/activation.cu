/* GELU, exact and by tanh, and tanh, element by element. What is small beside 1 is never taken from 1: the tail of the
 * normal distribution has its own function, and so has what a sigmoid lacks. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"

#define SQRT_HALF      0.707106769f
#define SQRT_HALF_REST 1.21016175e-8f
#define SQRT_2_PI      0.797884561f /* sqrt(2 / pi) */
#define CUBIC          0.044715f

/* NaN stays, which fminf and fmaxf would hide. */
__device__ static inline float between(float x, float limit)
{
	return x < -limit ? -limit : x > limit ? limit : x;
}

/* Far out, what rounding takes from the argument of erfc or of the density is many ulps of their value: it is added
 * again, times the derivative, which for erfc(z) tends to -2 z erfc(z). */
struct gelu {
	/* Phi(x) */
	__device__ static float below(float x)
	{
		const float t = between(x, 20.0f); /* 0 or 1 beyond, and no product of 0 and infinity */
		const float z = t * -SQRT_HALF, tail = erfcf(z);
		const float lost = __fmaf_rn(t, -SQRT_HALF, -z) - t * SQRT_HALF_REST;
		return 0.5f * (z > 0.0f ? __fmaf_rn(tail * (-2.0f * z), lost, tail) : tail);
	}
	__device__ static float value(float x) { return x * below(x); }
	/* Phi(x) + x * phi(x) */
	__device__ static float slope(float x)
	{
		const float t = fabsf(x) > 20.0f ? 20.0f : x; /* e^-200 is 0, and no square infinite */
		const float square = t * t, e = expf(-0.5f * square);
		const float density = __fmaf_rn(-0.5f * __fmaf_rn(t, t, -square), e, e);
		return __fmaf_rn(x * (0.5f * SQRT_2_PI), density, below(x));
	}
};

/* (1 + tanh(u)) / 2 = 1 / (1 + e^(-2u)). */
struct gelu_tanh {
	/* e^(-2u); behind e^60 comes nothing that counts, but an infinity that makes a NaN of 0. */
	__device__ static float power(float x)
	{
		const float t = -2.0f * SQRT_2_PI * x * __fmaf_rn(CUBIC, x * x, 1.0f);
		return expf(t > 60.0f ? 60.0f : t);
	}
	/* Beyond 14 the sigmoid is 0 or 1 to the last digit: what it is multiplied by must not be large itself. */
	__device__ static float value(float x) { return (x < -14.0f ? -14.0f : x) / (1.0f + power(between(x, 14.0f))); }
	__device__ static float slope(float x)
	{
		const float t = between(x, 14.0f), e = power(t), p = 1.0f / (1.0f + e);
		return __fmaf_rn(t * p * (e * p), 2.0f * SQRT_2_PI * __fmaf_rn(3.0f * CUBIC, t * t, 1.0f), p);
	}
};

struct tanh_of {
	__device__ static float value(float x) { return tanhf(x); }
	/* 1 - tanh^2 = 4 e / (1 + e)^2 with e = e^(-2|x|) */
	__device__ static float slope(float x)
	{
		const float e = expf(-2.0f * fabsf(x)), r = 1.0f / (1.0f + e);
		return 4.0f * e * r * r;
	}
};

/* y may be x. */
template <typename F>
__global__ void __launch_bounds__(BLOCK) activation(const float *x, int64_t n, float *y, struct cuda_rounded rounded)
{
	const int64_t i = element_index();
	if (i < n)
		put_result(y, rounded, i, F::value(x[i]));
}

template <typename F>
__global__ void __launch_bounds__(BLOCK) activation_backward(
    const float *__restrict__ x, const float *__restrict__ dy, int64_t n, float *__restrict__ dx, bool accumulate)
{
	const int64_t i = element_index();
	if (i < n)
		deliver(&dx[i], accumulate, dy[i] * F::slope(x[i]));
}

int cuda_activation(
    struct cuda_ctx *ctx, enum activation f, const float *x, int64_t n, float *y, struct cuda_rounded rounded)
{
	const unsigned blocks = cuda_blocks(n, BLOCK);
	if (f == ACTIVATION_GELU)
		return LAUNCH(activation<gelu>, blocks, BLOCK, 0, ctx->stream, x, n, y, rounded);
	if (f == ACTIVATION_GELU_TANH)
		return LAUNCH(activation<gelu_tanh>, blocks, BLOCK, 0, ctx->stream, x, n, y, rounded);
	return LAUNCH(activation<tanh_of>, blocks, BLOCK, 0, ctx->stream, x, n, y, rounded);
}

int cuda_activation_backward(
    struct cuda_ctx *ctx, enum activation f, const float *x, const float *dy, int64_t n, float *dx, bool accumulate)
{
	const unsigned blocks = cuda_blocks(n, BLOCK);
	if (f == ACTIVATION_GELU)
		return LAUNCH(activation_backward<gelu>, blocks, BLOCK, 0, ctx->stream, x, dy, n, dx, accumulate);
	if (f == ACTIVATION_GELU_TANH)
		return LAUNCH(activation_backward<gelu_tanh>, blocks, BLOCK, 0, ctx->stream, x, dy, n, dx, accumulate);
	return LAUNCH(activation_backward<tanh_of>, blocks, BLOCK, 0, ctx->stream, x, dy, n, dx, accumulate);
}
