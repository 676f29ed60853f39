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
#include <immintrin.h>

TARGET_AVX512 static inline __m128i quantize16(__m512 x, __m512 inv, __m512 zero, __m512 lo, __m512 hi)
{
	const int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
	__m512 t = _mm512_add_ps(_mm512_roundscale_ps(_mm512_mul_ps(x, inv), nearest), zero);
	t = _mm512_min_ps(_mm512_max_ps(t, lo), hi);
	return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(t)); /* low bytes: in range of either type */
}

TARGET_AVX512 static void quantize_avx512(const float *x, int64_t n, float inv, const struct qrange *q, void *y)
{
	const __m512 vi = _mm512_set1_ps(inv), zero = _mm512_set1_ps((float)q->zero);
	const __m512 lo = _mm512_set1_ps((float)q->lo), hi = _mm512_set1_ps((float)q->hi);
	uint8_t *out = y;
	int64_t i = 0;
	for (; i + 16 <= n; i += 16)
		_mm_storeu_si128((__m128i *)(out + i), quantize16(_mm512_loadu_ps(x + i), vi, zero, lo, hi));
	if (i < n) {
		const __mmask16 mask = (__mmask16)((1u << (n - i)) - 1);
		const __m128i v = quantize16(_mm512_maskz_loadu_ps(mask, x + i), vi, zero, lo, hi);
		_mm_mask_storeu_epi8(out + i, mask, v);
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
