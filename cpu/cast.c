/* OP_CAST between f32, f16 and bf16, with the rounding of engine/graph/tensor.h. Between f32 and bf16, which mixed
 * precision does to every activation and gradient in every step, the same bits come from a loop that vectorises. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/err.h"

#define CHUNK 4096 /* elements that a thread takes at a time: large enough for a vector loop */

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static int cast_prepare(struct call *s)
{
	if (!is_float(s->in[0].dtype) || !is_float(s->out.dtype))
		return err_set(ERR_DEVICE, "cpu: node %s (cast): from %s to %s is not supported", s->node->name,
		    dtype_name(s->in[0].dtype), dtype_name(s->out.dtype));
	call_set_impl(s, "loop");
	return 0;
}

/* Half to even by an addition that carries into the upper half; a NaN keeps its top bits and is made quiet. */
CPU_CLONES static void narrow_bf16(uint16_t *dst, const float *src, int64_t n)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++) {
		uint32_t u, rounded, nan;
		memcpy(&u, &src[i], sizeof(u));
		rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
		nan = u >> 16 | 0x40u;
		dst[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
	}
}

CPU_CLONES static void widen_bf16(float *dst, const uint16_t *src, int64_t n)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++) {
		uint32_t u = (uint32_t)src[i] << 16;
		memcpy(&dst[i], &u, sizeof(u));
	}
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

static void convert_part(void *dst, enum dtype to, const void *src, enum dtype from, int64_t first, int64_t n)
{
	if (to == from)
		memcpy((char *)dst + (size_t)first * dtype_size(to), (const char *)src + (size_t)first * dtype_size(to),
		    (size_t)n * dtype_size(to));
	else if (to == DT_BF16 && from == DT_F32)
		narrow_bf16((uint16_t *)dst + first, (const float *)src + first, n);
	else if (to == DT_F32 && from == DT_BF16)
		widen_bf16((float *)dst + first, (const uint16_t *)src + first, n);
	else
		for (int64_t i = first; i < first + n; i++)
			store(dst, to, i, load(src, from, i));
}

void cpu_convert(void *dst, enum dtype to, const void *src, enum dtype from, int64_t n)
{
	int64_t chunks = (n + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
	for (int64_t c = 0; c < chunks; c++)
		convert_part(dst, to, src, from, c * CHUNK, n - c * CHUNK < CHUNK ? n - c * CHUNK : CHUNK);
}

static int cast_forward(struct call *s)
{
	cpu_convert(s->out.data, s->out.dtype, s->in[0].data, s->in[0].dtype, shape_count(s->out.shape));
	return 0;
}

static int cast_backward(struct call *s)
{
	cpu_deliver(s->din[0].data, s->dout.data, shape_count(s->out.shape), s->accumulate[0]);
	return 0;
}

const struct kernel cpu_cast_kernel = {cast_prepare, NULL, cast_forward, cast_backward, NULL};
