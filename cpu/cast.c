/* OP_CAST between f32, f16 and bf16, with the rounding of engine/graph/tensor.h. Mostly of weights, once per version:
 * not a hot path. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/err.h"

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static int cast_prepare(struct step *s)
{
	if (!is_float(s->in[0].dtype) || !is_float(s->out.dtype))
		return err_set(ERR_DEVICE, "cpu: node %s (cast): from %s to %s is not supported", s->node->name,
		    dtype_name(s->in[0].dtype), dtype_name(s->out.dtype));
	cpu_set_impl(s, "loop");
	return 0;
}

static float load(const void *data, enum dtype t, int64_t i)
{
	if (t == DT_F32)
		return ((const float *)data)[i];
	uint16_t half = ((const uint16_t *)data)[i];
	return t == DT_F16 ? f16_to_f32(half) : bf16_to_f32(half);
}

static void store(void *data, enum dtype t, int64_t i, float v)
{
	if (t == DT_F32)
		((float *)data)[i] = v;
	else
		((uint16_t *)data)[i] = t == DT_F16 ? f32_to_f16(v) : f32_to_bf16(v);
}

static void convert(const struct tensor *dst, const struct tensor *src, bool add)
{
	int64_t n = shape_count(dst->shape);
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
	for (int64_t i = 0; i < n; i++) {
		float v = load(src->data, src->dtype, i);
		store(dst->data, dst->dtype, i, add ? load(dst->data, dst->dtype, i) + v : v);
	}
}

static int cast_forward(struct step *s)
{
	convert(&s->out, &s->in[0], false);
	return 0;
}

static int cast_backward(struct step *s)
{
	convert(&s->din[0], &s->dout, s->accumulate[0]);
	return 0;
}

const struct kernel cpu_cast_kernel = {cast_prepare, NULL, cast_forward, cast_backward, NULL};
