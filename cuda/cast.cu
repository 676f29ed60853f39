/* Conversion between float types: of one tensor, or of many by one launch. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"

template <typename From, typename To>
__global__ void __launch_bounds__(BLOCK) cast(const From *__restrict__ x, int64_t n, To *__restrict__ y)
{
	const int64_t i = element_index();
	if (i < n)
		narrow(&y[i], widen(x[i]));
}

/* The item that block b works on: the last one that begins at or before it. */
__device__ static inline int cast_of(const struct cuda_casts &c, unsigned b)
{
	int low = 0, high = c.n - 1;
	while (low < high) {
		const int middle = (low + high + 1) / 2;
		if (c.first[middle] <= b)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* A block has CASTS_BLOCK elements of one item. */
template <typename To> __global__ void __launch_bounds__(BLOCK) casts(const __grid_constant__ struct cuda_casts c)
{
	const int k = cast_of(c, blockIdx.x);
	const int64_t first = (int64_t)(blockIdx.x - c.first[k]) * CASTS_BLOCK, n = c.count[k];
	const float *const x = c.from[k];
	To *const y = (To *)c.to[k];
	for (int64_t i = first + threadIdx.x; i < n && i < first + CASTS_BLOCK; i += BLOCK)
		narrow(&y[i], x[i]);
}

template <typename From, typename To> static int launch(struct cuda_ctx *ctx, const From *x, int64_t n, void *y)
{
	return LAUNCH((cast<From, To>), cuda_blocks(n, BLOCK), BLOCK, 0, ctx->stream, x, n, (To *)y);
}

template <typename From> static int cast_from(struct cuda_ctx *ctx, const void *x, int64_t n, void *y, enum dtype to)
{
	const From *from = (const From *)x;
	if (to == DT_F16)
		return launch<From, __half>(ctx, from, n, y);
	if (to == DT_BF16)
		return launch<From, __nv_bfloat16>(ctx, from, n, y);
	return launch<From, float>(ctx, from, n, y);
}

int cuda_cast(struct cuda_ctx *ctx, const void *x, enum dtype from, int64_t n, void *y, enum dtype to)
{
	if (from == DT_F16)
		return cast_from<__half>(ctx, x, n, y, to);
	if (from == DT_BF16)
		return cast_from<__nv_bfloat16>(ctx, x, n, y, to);
	return cast_from<float>(ctx, x, n, y, to);
}

int cuda_cast_all(struct cuda_ctx *ctx, const struct cuda_casts *c, enum dtype to)
{
	const unsigned blocks = c->first[c->n];
	if (to == DT_F16)
		return LAUNCH(casts<__half>, blocks, BLOCK, 0, ctx->stream, *c);
	return LAUNCH(casts<__nv_bfloat16>, blocks, BLOCK, 0, ctx->stream, *c);
}
