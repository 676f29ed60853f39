/* OP_QLINEAR_DYN: linear layer whose input is quantized per row at run time. For row x: a = max|x|, s = fl(a/127), inv
 * = a > 2^-100 ? fl(127/a) : 0, q = rint(fl(x*inv)), y = fmaf(fl(f32(acc) * s_w[o]), s, b[o]). The own AVX512-VNNI
 * product where there is one and its sums fit, else that of wide.c. oneDNN is not used: it has no scale per row, and
 * its f32 sums of shifted inputs would round. Inference only. */
#include "cpu/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/isa.h"
#include "cpu/onednn.h"
#include "cpu/vnni.h"
#include "cpu/wide.h"

struct qlinear_dyn {
	bool own, amx;
	int64_t N, M, K;         /* rows of x, out and in features */
	size_t sums_at, bias_at; /* in packed_mem, behind the packed weights; zeros stand for an absent bias */
	size_t scale_at;         /* in scratch_mem, behind the quantized rows */
	size_t wide_at;          /* behind them, where the product is wide.c's */
};

/* The largest |x|: magnitudes compare as the integers of their bits, which vectorises and puts NaN on top. */
CPU_CLONES static float abs_max(const float *x, int64_t n)
{
	uint32_t best = 0;
	float a;
	for (int64_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, x + i, 4);
		bits &= 0x7fffffffu;
		best = bits > best ? bits : best;
	}
	memcpy(&a, &best, 4);
	return a;
}

CPU_CLONES static void quantize_row(const float *x, int64_t n, float inv, int8_t *q)
{
	for (int64_t i = 0; i < n; i++)
		q[i] = (int8_t)(int)rintf(x[i] * inv); /* |x * inv| <= 127 and a rounding: 127 at most */
}

static int dyn_prepare(struct call *s)
{
	struct qlinear_dyn *d = s->state = mem_alloc(1, sizeof(*d));
	if (!d)
		return ERR_NOMEM;
	d->N = shape_rows(s->out.shape);
	d->M = s->in[DYN_W].shape.dim[0];
	d->K = s->in[DYN_W].shape.dim[1];
	d->own = d->K <= WIDE_INPUTS && cpu_has_avx512_vnni();
	d->amx = d->own && d->N >= AMX_MIN_ROWS && cpu_has_amx_int8();
	s->packed = 0;
	call_reserve(&s->packed, d->own ? vnni_linear_packed_bytes(d->M, d->K) : wide_packed_bytes(d->M, d->K));
	d->sums_at = call_reserve(&s->packed, (size_t)(d->M + 15) * sizeof(int32_t));
	d->bias_at = call_reserve(&s->packed, (size_t)d->M * sizeof(float));
	s->layout = LAYOUT_OWN_DYN;
	s->scratch = 0;
	call_reserve(&s->scratch, (size_t)(d->N * d->K));
	d->scale_at = call_reserve(&s->scratch, (size_t)d->N * sizeof(float));
	d->wide_at = d->own ? 0 : call_reserve(&s->scratch, wide_scratch_bytes(d->K));
	snprintf(s->impl, sizeof(s->impl), "own_gemm_dyn:%s",
	    d->amx   ? "avx512_core_amx"
	    : d->own ? "avx512_core_vnni"
		     : wide_isa());
	return 0;
}

static int dyn_pack(struct call *s)
{
	const struct qlinear_dyn *d = s->state;
	uint8_t *packed = s->packed_mem;
	if (s->is_packed)
		return 0;
	if (d->own)
		vnni_linear_pack(
		    s->in[DYN_W].data, d->M, d->K, (int8_t *)packed, (int32_t *)(void *)(packed + d->sums_at));
	else
		wide_pack(s->in[DYN_W].data, d->M, d->K, (int8_t *)packed);
	if (s->has_in[DYN_B])
		memcpy(packed + d->bias_at, s->in[DYN_B].data, (size_t)d->M * sizeof(float));
	else
		memset(packed + d->bias_at, 0, (size_t)d->M * sizeof(float));
	return 0;
}

static void quantize_rows(const struct call *s, int8_t *q, float *scale)
{
	const struct qlinear_dyn *d = s->state;
#pragma omp parallel for schedule(static) if (d->N * d->K >= CPU_SERIAL / 8)
	for (int64_t n = 0; n < d->N; n++) {
		const float *x = (const float *)s->in[DYN_X].data + n * d->K;
		const float a = abs_max(x, d->K);
		scale[n] = a / 127.0f;
		quantize_row(x, d->K, a > 0x1p-100f ? 127.0f / a : 0.0f, q + n * d->K);
	}
}

static int dyn_forward(struct call *s)
{
	const struct qlinear_dyn *d = s->state;
	uint8_t *packed = s->packed_mem, *scratch = s->scratch_mem;
	int8_t *q = (int8_t *)scratch;
	float *scale = (float *)(void *)(scratch + d->scale_at);
	const float *bias = (const float *)(const void *)(packed + d->bias_at);
	quantize_rows(s, q, scale);
	struct int_epilogue e = {.m = s->in[DYN_SW].data, .c = bias, .row_scale = scale};
	int_epilogue_range(&e, DT_F32, (struct qrange){0}, s->node->attr.relu);
	if (!d->own) {
		const struct wide_layer wide = {.rows = d->N,
		    .M = d->M,
		    .K = d->K,
		    .x = q,
		    .x_signed = true,
		    .packed = (const int8_t *)packed,
		    .y = s->out.data,
		    .scratch = (int16_t *)(void *)(scratch + d->wide_at),
		    .e = e};
		wide_run(&wide);
		return 0;
	}
	struct vnni_linear p = {.rows = d->N,
	    .M = d->M,
	    .K = d->K,
	    .x = q,
	    .x_signed = true,
	    .packed = (const int8_t *)packed,
	    .sums = (const int32_t *)(const void *)(packed + d->sums_at),
	    .y = s->out.data,
	    .e = e};
	(d->amx ? amx_linear_run : vnni_linear_run)(&p);
	return 0;
}

static void dyn_release(struct call *s)
{
	mem_free(s->state);
	s->state = NULL;
}

const struct kernel cpu_qlinear_dyn_kernel = {
    .prepare = dyn_prepare,
    .pack = dyn_pack,
    .forward = dyn_forward,
    .release = dyn_release,
};
