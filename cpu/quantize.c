/* OP_QUANTIZE: f32 -> u8 or s8, with one step or one per slice of the first axis (weights). Inference only; the same
 * bits as quant_round (quant/arith.h): rint(fl(x * fl(1/s))) + z, saturated; of 1 bit the signs. */
#include "cpu/kernels.h"

#include <math.h>

#include "base/err.h"
#include "cpu/isa.h"
#include "quant/arith.h"

/* The integer of one value; clamping happens in float, where an overflow of the integer is impossible. */
static inline float round_clamp(float x, float inv, float zero, float lo, float hi)
{
	const float t = rintf(x * inv) + zero;
	return !(t > lo) ? lo : t > hi ? hi : t; /* NaN: lo */
}

static void quantize_plain(const float *x, int64_t n, float inv, const struct qrange *q, void *y)
{
	const float zero = (float)q->zero, lo = (float)q->lo, hi = (float)q->hi;
	if (q->is_signed)
		for (int64_t i = 0; i < n; i++)
			((int8_t *)y)[i] = (int8_t)round_clamp(x[i], inv, zero, lo, hi);
	else
		for (int64_t i = 0; i < n; i++)
			((uint8_t *)y)[i] = (uint8_t)round_clamp(x[i], inv, zero, lo, hi);
}

#if defined(__x86_64__)
#include "cpu/bytes.h"

/* Bounds are whole numbers, so values may be clamped before they are rounded; the zero point is taken off the bounds
 * and added to the integers. */
struct rounding {
	__m512 inv, lo, hi;
	__m512i zero;
};

TARGET_AVX512 static inline __m512i quantize16(__m512 x, const struct rounding *r)
{
	const __m512 t = _mm512_max_ps(_mm512_mul_ps(x, r->inv), r->lo); /* NaN: lo */
	return _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_min_ps(t, r->hi)), r->zero);
}

TARGET_AVX512 static void quantize_avx512(const float *x, int64_t n, float inv, const struct qrange *q, void *y)
{
	const struct rounding r = {.inv = _mm512_set1_ps(inv),
	    .lo = _mm512_set1_ps((float)(q->lo - q->zero)),
	    .hi = _mm512_set1_ps((float)(q->hi - q->zero)),
	    .zero = _mm512_set1_epi32(q->zero)};
	uint8_t *out = y;
	int64_t i = 0;
	for (; i + 64 <= n; i += 64) {
		__m512i v[4];
		for (int part = 0; part < 4; part++)
			v[part] = quantize16(_mm512_loadu_ps(x + i + 16 * part), &r);
		_mm512_storeu_si512(out + i, cpu_bytes64(v, q->is_signed));
	}
	for (; i < n; i += 16) {
		const __mmask16 lanes = (__mmask16)(n - i >= 16 ? 0xffffu : (1u << (n - i)) - 1);
		_mm_mask_storeu_epi8(
		    out + i, lanes, _mm512_cvtepi32_epi8(quantize16(_mm512_maskz_loadu_ps(lanes, x + i), &r)));
	}
}
#endif

/* Weights of 1 bit; NaN: -1. */
static void quantize_signs(const float *x, int64_t n, int8_t *y)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] >= 0.0f ? 1 : -1;
}

void cpu_quantize(const float *x, int64_t n, float step, const struct qrange *q, void *y)
{
	const float inv = 1.0f / step;
	if (qrange_is_binary(*q)) {
		quantize_signs(x, n, y);
		return;
	}
#if defined(__x86_64__)
	if (cpu_has_avx512()) {
		quantize_avx512(x, n, inv, q, y);
		return;
	}
#endif
	quantize_plain(x, n, inv, q, y);
}

static int quantize_forward(struct call *s)
{
	const struct qrange *q = &s->node->attr.q;
	const float *x = s->in[QUANTIZE_X].data, *step = s->in[QUANTIZE_STEP].data;
	const int64_t steps = shape_count(s->in[QUANTIZE_STEP].shape), n = shape_count(s->out.shape);
	uint8_t *y = s->out.data;
	if (steps > 1) { /* constant weights: once per version, not worth a second thread */
		for (int64_t o = 0; o < steps; o++)
			cpu_quantize(x + o * (n / steps), n / steps, step[o], q, y + o * (n / steps));
		return 0;
	}
	const int64_t chunk = CPU_SERIAL / 8;
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
	for (int64_t i = 0; i < n; i += chunk)
		cpu_quantize(x + i, n - i < chunk ? n - i : chunk, *step, q, y + i);
	return 0;
}

static int quantize_prepare(struct call *s)
{
	const struct qrange *q = &s->node->attr.q;
	if (q->is_signed != (s->out.dtype == DT_S8))
		return err_set(ERR_FAIL, "cpu: node %s: range and type differ in sign", s->node->name);
	return 0;
}

const struct kernel cpu_quantize_kernel = {.prepare = quantize_prepare, .forward = quantize_forward};
