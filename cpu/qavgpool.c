/* OP_QAVGPOOL: mean over H and W of integers: an exact integer sum, then the epilogue of quant/arith.h (m holds the
 * division by the count). Inference only. */
#include "cpu/kernels.h"

#include <string.h>

#include "quant/arith.h"

#define BLOCK 64        /* channels summed at a time, on the stack */
#define PART  (1 << 23) /* pixels whose sum fits 31 bits: 255 * 2^23 < 2^31 */

CPU_CLONES static void add_u8(const uint8_t *x, int64_t pixels, int64_t C, int64_t n, int32_t *acc)
{
	for (int64_t p = 0; p < pixels; p++)
		for (int64_t c = 0; c < n; c++)
			acc[c] += x[p * C + c];
}

CPU_CLONES static void add_s8(const int8_t *x, int64_t pixels, int64_t C, int64_t n, int32_t *acc)
{
	for (int64_t p = 0; p < pixels; p++)
		for (int64_t c = 0; c < n; c++)
			acc[c] += x[p * C + c];
}

static void pool_block(const struct call *s, int64_t row, int64_t first)
{
	const int64_t *d = s->in[QAVGPOOL_X].shape.dim, pixels = d[1] * d[2], C = d[3];
	const int64_t n = C - first < BLOCK ? C - first : BLOCK, at = row * pixels * C + first;
	const struct attr *a = &s->node->attr;
	const float m = *(const float *)s->in[QAVGPOOL_M].data, c = *(const float *)s->in[QAVGPOOL_C].data;
	int64_t sum[BLOCK] = {0};
	for (int64_t p = 0; p < pixels; p += PART) {
		const int64_t part = pixels - p < PART ? pixels - p : PART;
		int32_t acc[BLOCK] = {0};
		if (s->in[QAVGPOOL_X].dtype == DT_U8)
			add_u8((const uint8_t *)s->in[QAVGPOOL_X].data + at + p * C, part, C, n, acc);
		else
			add_s8((const int8_t *)s->in[QAVGPOOL_X].data + at + p * C, part, C, n, acc);
		for (int64_t i = 0; i < n; i++)
			sum[i] += acc[i];
	}
	uint8_t *y = (uint8_t *)s->out.data + row * C + first;
	for (int64_t i = 0; i < n; i++) {
		const float t = quant_epilogue((float)sum[i], m, c, false, 0, 0, a->relu, a->q.zero);
		y[i] = (uint8_t)quant_saturate(t, a->q);
	}
}

static int qavgpool_forward(struct call *s)
{
	const int64_t N = s->out.shape.dim[0], C = s->out.shape.dim[1];
#pragma omp parallel for collapse(2) schedule(static) if (shape_count(s->in[QAVGPOOL_X].shape) >= 2 * CPU_SERIAL)
	for (int64_t row = 0; row < N; row++)
		for (int64_t first = 0; first < C; first += BLOCK)
			pool_block(s, row, first);
	return 0;
}

const struct kernel cpu_qavgpool_kernel = {.forward = qavgpool_forward};
