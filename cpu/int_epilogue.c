/* The epilogue of own integer kernels for sums in memory; see int_epilogue.h. */
#include "cpu/int_epilogue.h"

#include <math.h>

#include "cpu/kernels.h"

void int_epilogue_range(struct int_epilogue *e, enum dtype out, struct qrange q, bool relu)
{
	e->out = out;
	e->lo = out == DT_F32 ? -INFINITY : (float)q.lo;
	e->hi = out == DT_F32 ? INFINITY : (float)q.hi;
	const float zero = out == DT_F32 ? 0.0f : (float)q.zero;
	if (relu && e->lo < zero)
		e->lo = zero;
}

void int_epilogue_bind(const struct call *s, struct int_epilogue *e)
{
	e->m = s->in[QL_M].data;
	e->c = s->in[QL_C].data;
	if (!s->has_in[QL_R])
		return;
	e->r = s->in[QL_R].data;
	e->k = *(const float *)s->in[QL_K].data;
}

/* fl(fl(sum * m) + c), or with a row's scale fma(fl(sum * m), s, c). */
CPU_CLONES static void scale(float *t, const float *m, const float *c, const float *s, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		const float v = t[i] * m[i];
		t[i] = s ? fmaf(v, *s, c[i]) : v + c[i];
	}
}

CPU_CLONES static void add_residual(float *t, const void *r, bool is_signed, int64_t n, float k)
{
	const uint8_t *u = r;
	const int8_t *i8 = r;
	for (int64_t i = 0; i < n; i++)
		t[i] = fmaf(is_signed ? (float)i8[i] : (float)u[i], k, t[i]);
}

/* The bounds are integers where the output is, so clamping before rounding gives the same as after. NaN: lo. */
CPU_CLONES static void clamp(float *t, float lo, float hi, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		const float v = t[i] > lo ? t[i] : lo;
		t[i] = v < hi ? v : hi;
	}
}

CPU_CLONES static void store_integers(uint8_t *y, const float *t, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		y[i] = (uint8_t)(int)rintf(t[i]); /* of s8 too: the low byte */
}

void int_epilogue_run(const struct int_epilogue *e, float *sum, void *y, int64_t row, int64_t col, int64_t n, int64_t M)
{
	const int64_t at = row * M + col;
	scale(sum, e->m + col, e->c + col, e->row_scale ? e->row_scale + row : NULL, n);
	if (e->r)
		add_residual(sum, (const uint8_t *)e->r + at, e->r_signed, n, e->k);
	clamp(sum, e->lo, e->hi, n);
	if (e->out != DT_F32) {
		store_integers((uint8_t *)y + at, sum, n);
		return;
	}
	for (int64_t i = 0; i < n; i++)
		((float *)y)[at + i] = sum[i];
}
