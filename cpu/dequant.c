/* OP_DEQUANT: integers, or grid values (q - z) * P(s) of the training graph, -> real values. Inference only. */
#include "cpu/kernels.h"

#include "quant/arith.h"

CPU_CLONES static void dequant_u8(const uint8_t *x, int64_t n, float zero, float step, float *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = ((float)x[i] - zero) * step;
}

CPU_CLONES static void dequant_s8(const int8_t *x, int64_t n, float zero, float step, float *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = ((float)x[i] - zero) * step;
}

CPU_CLONES static void dequant_grid(const float *x, int64_t n, float factor, float *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] * factor;
}

static int dequant_forward(struct step *s)
{
	const struct tensor *x = &s->in[0];
	const float step = *(const float *)s->in[1].data, zero = (float)s->node->attr.q.zero;
	const int64_t n = shape_count(s->out.shape), chunk = CPU_SERIAL;
	const float factor = x->dtype == DT_F32 ? step / quant_pow2(step) : step; /* exact: P is a power of two */
	float *y = s->out.data;
#pragma omp parallel for schedule(static) if (n > 2 * CPU_SERIAL)
	for (int64_t i = 0; i < n; i += chunk) {
		const int64_t m = n - i < chunk ? n - i : chunk;
		if (x->dtype == DT_U8)
			dequant_u8((const uint8_t *)x->data + i, m, zero, step, y + i);
		else if (x->dtype == DT_S8)
			dequant_s8((const int8_t *)x->data + i, m, zero, step, y + i);
		else
			dequant_grid((const float *)x->data + i, m, factor, y + i);
	}
	return 0;
}

const struct kernel cpu_dequant_kernel = {.forward = dequant_forward};
