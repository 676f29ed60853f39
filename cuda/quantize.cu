/* The integers of slices with a step each. */
#include "cuda/launches.h"
#include "cuda/quant.cuh"

template <typename T>
__global__ void __launch_bounds__(BLOCK)
    quantize(struct quant_slices q, const float *__restrict__ x, int zero, T *__restrict__ y)
{
	const int64_t e = element_index();
	if (e >= q.steps * q.n)
		return;
	const float inverse = __fdiv_rn(1.0f, q.step[e / q.n]);
	y[e] = (T)((int)round_element(q, x[e], inverse) + zero);
}

int cuda_quantize(struct cuda_ctx *ctx, struct quant_slices q, const float *x, int zero, enum dtype type, void *y)
{
	const unsigned blocks = cuda_blocks(q.steps * q.n, BLOCK);
	if (type == DT_S8)
		return LAUNCH(quantize<int8_t>, blocks, BLOCK, 0, ctx->stream, q, x, zero, (int8_t *)y);
	return LAUNCH(quantize<uint8_t>, blocks, BLOCK, 0, ctx->stream, q, x, zero, (uint8_t *)y);
}
