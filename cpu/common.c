/* Loops and small helpers that several kernels share; see kernels.h. */
#include "cpu/kernels.h"

#include <omp.h>
#include <string.h>

#include "base/err.h"
#include "cpu/isa.h"

void cpu_split(int64_t n, int parts, int i, int64_t *first, int64_t *last)
{
	*first = n * i / parts;
	*last = n * (i + 1) / parts;
}

int cpu_need_layer(const struct call *s)
{
	enum dtype x = s->in[PRODUCT_X].dtype;
	const char *name = s->node->name, *op = op_info(s->node->op)->name;
	if (x == DT_F16) {
		return err_set(
		    ERR_DEVICE, "cpu: node %s (%s): no f16 products on the CPU; use precision bf16 or fp32", name, op);
	}
	if (s->node->attr.tf32) {
		return err_set(
		    ERR_DEVICE, "cpu: node %s (%s): no TF32 products on the CPU; use precision fp32 or bf16", name, op);
	}
	if (x == DT_BF16 && !cpu_has_bf16()) {
		return err_set(ERR_DEVICE,
		    "cpu: node %s (%s): this CPU has no bf16 products (neither AVX512-BF16 nor AMX); use precision "
		    "fp32",
		    name, op);
	}
	/* that x and w have one type and bias and output are f32 was checked when the node was added */
	return x == DT_BF16 ? 0 : call_need_f32(s, "cpu", 3);
}

void cpu_no_gradient(struct call *s, int i)
{
	if (s->want[i] && !s->accumulate[i])
		cpu_vec(VEC_ZERO, s->din[i].data, NULL, NULL, shape_count(s->din[i].shape));
}

CPU_CLONES static void vec_part(enum cpu_vec op, float *d, const float *a, const float *b, int64_t n)
{
	switch (op) {
	case VEC_COPY:
		memcpy(d, a, (size_t)n * sizeof(*d));
		break;
	case VEC_ZERO:
		memset(d, 0, (size_t)n * sizeof(*d));
		break;
	case VEC_RELU:
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			d[i] = a[i] < 0.0f ? 0.0f : a[i];
		break;
	case VEC_ADD:
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			d[i] = a[i] + b[i];
		break;
	case VEC_ADD_RELU:
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			float t = a[i] + b[i];
			d[i] = t < 0.0f ? 0.0f : t; /* NaN stays visible */
		}
		break;
	case VEC_MASK:
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			float v = a[i]; /* not a conditional read: see batchnorm.c */
			d[i] = b[i] > 0.0f ? v : 0.0f;
		}
		break;
	case VEC_MASK_ADD:
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			float v = a[i];
			d[i] += b[i] > 0.0f ? v : 0.0f;
		}
		break;
	case VEC_MUL:
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			d[i] = a[i] * b[i];
		break;
	case VEC_MUL_ADD:
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			d[i] += a[i] * b[i];
		break;
	}
}

void cpu_vec(enum cpu_vec op, float *dst, const float *a, const float *b, int64_t n)
{
	if (n < CPU_SERIAL) {
		if (n > 0)
			vec_part(op, dst, a, b, n);
		return;
	}
#pragma omp parallel
	{
		int64_t first, last;
		/* In units of a cache line, so that no line is written by two threads. */
		cpu_split((n + 15) / 16, omp_get_num_threads(), omp_get_thread_num(), &first, &last);
		first *= 16;
		last = last * 16 < n ? last * 16 : n;
		if (last > first)
			vec_part(op, dst + first, a ? a + first : NULL, b ? b + first : NULL, last - first);
	}
}

void cpu_deliver(float *din, const float *g, int64_t n, bool accumulate)
{
	cpu_vec(accumulate ? VEC_ADD : VEC_COPY, din, accumulate ? din : g, g, n);
}

void cpu_deliver_one(struct call *s, int i, int64_t at, double g)
{
	float *d = s->din[i].data;
	d[at] = (float)((s->accumulate[i] ? (double)d[at] : 0.0) + g);
}

#define PERIOD 128   /* shortest row worth a vector loop */
#define BLOCK  16384 /* elements of a block: 64 KiB, two of them fit in a second-level cache */

int64_t cpu_period(int64_t C)
{
	return C < PERIOD ? C * ((PERIOD + C - 1) / C) : C;
}

/* At least 64 rows, so that the partial sums stay small beside the tensor. */
int64_t cpu_block(int64_t W)
{
	return W * (BLOCK / W < 64 ? 64 : BLOCK / W);
}

void cpu_tile(float *t, int64_t C, int64_t W)
{
	for (int64_t i = C; i < W; i++)
		t[i] = t[i - C];
}

double cpu_fold(const float *row, int64_t c, int64_t C, int64_t W)
{
	double sum = 0.0;
	for (int64_t i = c; i < W; i += C)
		sum += (double)row[i];
	return sum;
}

CPU_CLONES void cpu_sum_period(float *sum, const float *x, int64_t n, int64_t W)
{
	memset(sum, 0, (size_t)W * sizeof(*sum));
	for (; n > 0; n -= W, x += W) {
		int64_t m = n < W ? n : W;
		cpu_prefetch(x, m);
#pragma omp simd
		for (int64_t i = 0; i < m; i++)
			sum[i] += x[i];
	}
}

size_t cpu_column_sum_scratch(int64_t rows, int64_t cols)
{
	int64_t W = cpu_period(cols), block = cpu_block(W);
	return (size_t)((rows * cols + block - 1) / block * W) * sizeof(float);
}

void cpu_column_sum(float *out, const float *g, int64_t rows, int64_t cols, bool accumulate, void *scratch)
{
	float *partial = scratch;
	int64_t W = cpu_period(cols), block = cpu_block(W), n = rows * cols, blocks = (n + block - 1) / block;
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
	for (int64_t b = 0; b < blocks; b++) {
		int64_t left = n - b * block < block ? n - b * block : block;
		cpu_sum_period(partial + b * W, g + b * block, left, W);
	}
	for (int64_t c = 0; c < cols; c++) {
		double sum = 0.0;
		for (int64_t b = 0; b < blocks; b++)
			sum += cpu_fold(partial + b * W, c, cols, W);
		out[c] = accumulate ? out[c] + (float)sum : (float)sum;
	}
}
