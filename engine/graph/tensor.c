/* Sizes, names and texts of types and shapes, and the IEEE half-precision conversions. Knows no memory. */
#include "graph/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	size_t size;
} types[DT_COUNT] = {
    [DT_F32] = {"f32", 4},
    [DT_F16] = {"f16", 2},
    [DT_BF16] = {"bf16", 2},
    [DT_S8] = {"s8", 1},
    [DT_U8] = {"u8", 1},
    [DT_S32] = {"s32", 4},
};

size_t dtype_size(enum dtype t)
{
	return types[t].size;
}

const char *dtype_name(enum dtype t)
{
	return types[t].name;
}

int64_t shape_count(struct shape s)
{
	int64_t n = 1;
	for (int d = 0; d < s.ndim; d++)
		n *= s.dim[d];
	return n;
}

int64_t shape_inner(struct shape s, int axis)
{
	int64_t n = 1;
	for (int d = axis + 1; d < s.ndim; d++)
		n *= s.dim[d];
	return n;
}

int64_t shape_rows(struct shape s)
{
	int64_t rows = 1;
	for (int d = 0; d + 1 < s.ndim; d++)
		rows *= s.dim[d];
	return rows;
}

bool shape_equal(struct shape a, struct shape b)
{
	if (a.ndim != b.ndim)
		return false;
	for (int d = 0; d < a.ndim; d++)
		if (a.dim[d] != b.dim[d])
			return false;
	return true;
}

struct shape shape_of(int ndim, const int64_t *dim)
{
	struct shape s = {.ndim = ndim};
	for (int d = 0; d < ndim && d < TENSOR_MAX_DIMS; d++)
		s.dim[d] = dim[d];
	return s;
}

const char *shape_text(struct shape s, char buf[64])
{
	size_t len = 0;
	buf[len++] = '(';
	for (int d = 0; d < s.ndim && len < 60; d++) {
		int n = snprintf(buf + len, 60 - len, d ? ", %" PRId64 : "%" PRId64, s.dim[d]);
		len += n > 0 && (size_t)n < 60 - len ? (size_t)n : 60 - len - 1;
	}
	buf[len++] = ')';
	buf[len] = '\0';
	return buf;
}

size_t tensor_bytes(const struct tensor *t)
{
	return (size_t)shape_count(t->shape) * dtype_size(t->dtype);
}

static uint32_t bits_of(float x)
{
	uint32_t u;
	memcpy(&u, &x, sizeof(u));
	return u;
}

static float float_of(uint32_t u)
{
	float x;
	memcpy(&x, &u, sizeof(x));
	return x;
}

/* v / 2^shift, round half to even; shift 1..31. */
static uint32_t shift_round(uint32_t v, int shift)
{
	uint32_t half = 1u << (shift - 1), rest = v & ((half << 1) - 1), q = v >> shift;
	return q + (rest > half || (rest == half && (q & 1)));
}

uint16_t f32_to_f16(float x)
{
	uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
	if (a > 0x7f800000u) /* NaN stays one: its top payload bits, made quiet, as vcvtps2ph does */
		return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x1ffu));
	if (a >= 0x47800000u) /* 2^16 and more */
		return (uint16_t)(sign | 0x7c00u);
	if (a < 0x33000000u) /* below 2^-25: half of the least subnormal */
		return (uint16_t)sign;
	if (a < 0x38800000u) { /* subnormal half: units of 2^-24 */
		int shift = 126 - (int)(a >> 23);
		return (uint16_t)(sign | shift_round((a & 0x7fffffu) | 0x800000u, shift));
	}
	/* a carry out of the mantissa rightly raises the exponent, up to infinity */
	return (uint16_t)(sign | shift_round(a - 0x38000000u, 13));
}

float f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 0x1fu, m = h & 0x3ffu;
	if (e == 31)
		return float_of(sign | 0x7f800000u | (m ? 0x400000u | (m << 13) : 0));
	if (e == 0) { /* m * 2^-24, exact in f32 */
		float v = (float)m * 0x1p-24f;
		return sign ? -v : v;
	}
	return float_of(sign | ((e + 112) << 23) | (m << 13));
}

uint16_t f32_to_bf16(float x)
{
	uint32_t u = bits_of(x);
	if ((u & 0x7fffffffu) > 0x7f800000u)
		return (uint16_t)((u >> 16) | 0x40u);
	return (uint16_t)shift_round(u, 16);
}

float bf16_to_f32(uint16_t h)
{
	return float_of((uint32_t)h << 16);
}
