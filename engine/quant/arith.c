/* The scalar definition of quantized arithmetic. Not fast: backends mirror these functions in vector code and are
 * tested against them. Compiled with -ffp-contract=off, so that every product and sum below is rounded by itself. */
#include "quant/arith.h"

#include <math.h>

float quant_pow2(float step)
{
	int exponent;
	float fraction;

	if (!(step > 0) || !isfinite(step))
		return NAN; /* the loss tells, and whoever looks for its cause finds the step */
	/* step = fraction * 2^exponent with fraction in [0.5, 1). round(log2 step) without log2, whose last bit
	 * differs between libraries: the boundary sqrt(1/2) is irrational, so no float can tie. */
	fraction = frexpf(step, &exponent);
	return ldexpf(1.0f, (double)fraction >= M_SQRT1_2 ? exponent : exponent - 1);
}

/* Clamping before the conversion keeps huge values and infinities defined; NaN becomes the lowest integer. */
static int clamp_to_int(float t, int lo, int hi)
{
	if (!(t > (float)lo))
		return lo;
	if (t >= (float)hi)
		return hi;
	return (int)t;
}

int quant_round(float x, float step, struct qrange q)
{
	if (qrange_is_binary(q))
		return x >= 0 ? 1 : -1;
	float inverse = 1.0f / step;

	return clamp_to_int(rintf(x * inverse), q.lo - q.zero, q.hi - q.zero) + q.zero;
}

float quant_scale(float s_x, float s_w, float s_y, int64_t count)
{
	return (float)((double)s_x * (double)s_w / ((double)s_y * (double)count));
}

float quant_shift(float bias, float s_y, float m, int64_t off, int zero_y)
{
	return (float)((double)bias / (double)s_y - (double)m * (double)off + (double)zero_y);
}

float quant_residual(float s_r, float s_y)
{
	return (float)((double)s_r / (double)s_y);
}

float quant_epilogue(float acc, float m, float c, bool has_r, float r, float k, bool relu, int zero_y)
{
	float t = acc * m;

	t = t + c;
	if (has_r)
		t = fmaf(r, k, t);
	if (relu && t < (float)zero_y)
		t = (float)zero_y;
	return t;
}

int quant_saturate(float t, struct qrange q)
{
	return clamp_to_int(rintf(t), q.lo, q.hi);
}

bool qrange_is_binary(struct qrange q)
{
	return q.bits == 1;
}

struct qrange qrange_weight(int bits)
{
	int hi = bits == 1 ? 1 : (1 << (bits - 1)) - 1;

	return (struct qrange){.bits = bits, .lo = -hi, .hi = hi, .zero = 0, .is_signed = true};
}

struct qrange qrange_signed(int bits)
{
	int hi = (1 << (bits - 1)) - 1;

	return (struct qrange){.bits = bits, .lo = -hi - 1, .hi = hi, .zero = 0, .is_signed = true};
}

struct qrange qrange_unsigned(int bits, int zero)
{
	return (struct qrange){.bits = bits, .lo = 0, .hi = (1 << bits) - 1, .zero = zero, .is_signed = false};
}

void quant_step_of_range(struct qrange *q, float lo, float hi, float *step)
{
	double low = lo < 0 ? lo : 0, high = hi > 0 ? hi : 0, s;

	if (q->is_signed) {
		/* lo is -127 for weights and -128 for activations, so that lo = -hi gives hi/127 for both */
		s = fmax(high / q->hi, low / q->lo);
		q->zero = 0;
	} else {
		s = (high - low) / q->hi;
		q->zero = low < 0 ? (int)rint(fmin(-low / s, q->hi)) : 0;
	}
	*step = (float)s;
	/* No range, or one so small that the step or its reciprocal leaves the floats. */
	if (!(*step > 0) || !isfinite(1.0f / *step)) {
		*step = 1.0f;
		q->zero = 0;
	}
}
