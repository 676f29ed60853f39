/* A plain product with its epilogue; see gemm.h. Operands are unpacked to f32 rows first, so that every inner loop runs
 * over contiguous memory. The workspace is overwritten as the real library may do. */
#include <stdlib.h>
#include <string.h>

#include "gemm.h"
#include "internal.h"
#include "simt_half.h"

#define PARTS 16

static float load(const void *p, cudaDataType_t type, int64_t i)
{
	if (type == CUDA_R_16F)
		return simt_half_to_float(((const uint16_t *)p)[i]);
	if (type == CUDA_R_16BF)
		return simt_bf16_to_float(((const uint16_t *)p)[i]);
	return ((const float *)p)[i];
}

static void store(void *p, cudaDataType_t type, int64_t i, float v)
{
	if (type == CUDA_R_16F)
		((uint16_t *)p)[i] = simt_float_to_half(v);
	else if (type == CUDA_R_16BF)
		((uint16_t *)p)[i] = simt_float_to_bf16(v);
	else
		((float *)p)[i] = v;
}

/* TF32 keeps 10 bits of fraction; to nearest, ties away from zero (PTX ISA, cvt.rna.tf32.f32). */
static float to_tf32(float v)
{
	uint32_t u = simt_float_bits(v);
	if ((u & 0x7f800000u) == 0x7f800000u)
		return v;
	return simt_bits_float((u + 0x1000u) & ~0x1fffu);
}

/* Rows of op(A), or columns of op(B): out (count, k). across: from one to the next; along: in k. */
static void unpack(float *out, const void *p, cudaDataType_t type, int64_t at, int64_t count, int64_t k, int64_t across,
    int64_t along, bool tf32)
{
	for (int64_t i = 0; i < count; i++) {
		for (int64_t e = 0; e < k; e++) {
			float v = load(p, type, at + i * across + e * along);
			out[i * k + e] = tf32 ? to_tf32(v) : v;
		}
	}
}

static float dot(const float *a, const float *b, int64_t k)
{
	float part[PARTS] = {0};
	int64_t e = 0;
	for (; e + PARTS <= k; e += PARTS)
		for (int i = 0; i < PARTS; i++)
			part[i] += a[e + i] * b[e + i];
	for (int i = 0; e + i < k; i++)
		part[i] += a[e + i] * b[e + i];
	for (int width = PARTS / 2; width > 0; width /= 2)
		for (int i = 0; i < width; i++)
			part[i] += part[i + width];
	return part[0];
}

static bool has(const struct gemm *g, int flag)
{
	return (g->epilogue & flag) == flag;
}

/* The forward epilogue of one value: bias, ReLU and its mask. */
static float finish(const struct gemm *g, float v, int64_t batch, int64_t r, int64_t c)
{
	if (has(g, CUBLASLT_EPILOGUE_BIAS))
		v += load(g->bias, g->bias_type, batch * g->bias_stride + r);
	if (has(g, CUBLASLT_EPILOGUE_RELU)) {
		if (has(g, CUBLASLT_EPILOGUE_RELU_AUX)) {
			int64_t bit = batch * g->aux_stride + c * g->aux_ld + r;
			uint8_t mask = (uint8_t)(1u << (bit % 8));
			g->aux[bit / 8] = (uint8_t)(v > 0 ? g->aux[bit / 8] | mask : g->aux[bit / 8] & ~mask);
		}
		v = v < 0 ? 0 : v; /* NaN stays */
	}
	if (has(g, CUBLASLT_EPILOGUE_DRELU)) {
		int64_t bit = batch * g->aux_stride + c * g->aux_ld + r;
		v = g->aux[bit / 8] >> (bit % 8) & 1 ? v : 0;
	}
	return v;
}

/* sums (rows) = sum over k of the unpacked rows. */
static void row_sums(const struct gemm *g, const float *rows, int64_t count, int64_t k, int64_t batch)
{
	for (int64_t i = 0; i < count; i++) {
		float sum = 0;
		for (int64_t e = 0; e < k; e++)
			sum += rows[i * k + e];
		store(g->bias, g->bias_type, batch * g->bias_stride + i, sum);
	}
}

static void run_batch(const struct gemm *g, int64_t batch, float *a, float *b, float *grad)
{
	int64_t m = (int64_t)g->d.rows, n = (int64_t)g->d.cols;
	int64_t k = (int64_t)(g->trans_a ? g->a.rows : g->a.cols);
	unpack(
	    a, g->A, g->a.type, batch * g->a.stride, m, k, g->trans_a ? g->a.ld : 1, g->trans_a ? 1 : g->a.ld, g->tf32);
	unpack(
	    b, g->B, g->b.type, batch * g->b.stride, n, k, g->trans_b ? 1 : g->b.ld, g->trans_b ? g->b.ld : 1, g->tf32);
	if (g->epilogue == CUBLASLT_EPILOGUE_BGRADA)
		row_sums(g, a, m, k, batch);
	if (g->epilogue == CUBLASLT_EPILOGUE_BGRADB)
		row_sums(g, b, n, k, batch);
	memset(grad, 0, (size_t)m * sizeof(*grad));
	for (int64_t c = 0; c < n; c++) {
		for (int64_t r = 0; r < m; r++) {
			float v = g->alpha * dot(a + r * k, b + c * k, k);
			if (g->beta != 0) /* else C is not read: it may be NaN */
				v += g->beta * load(g->C, g->c.type, batch * g->c.stride + c * g->c.ld + r);
			v = finish(g, v, batch, r, c);
			grad[r] += v;
			store(g->D, g->d.type, batch * g->d.stride + c * g->d.ld + r, v);
		}
	}
	if (g->epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD)
		for (int64_t r = 0; r < m; r++)
			store(g->bias, g->bias_type, batch * g->bias_stride + r, grad[r]);
}

void gemm_run(const struct gemm *g)
{
	size_t m = g->d.rows, n = g->d.cols, k = g->trans_a ? g->a.rows : g->a.cols;
	float *a = malloc((m * k + 1) * sizeof(*a)), *b = malloc((n * k + 1) * sizeof(*b));
	float *grad = malloc((m + 1) * sizeof(*grad));
	if (!a || !b || !grad)
		simt_fatal("out of host memory");
	if (g->workspace_bytes)
		simt_fill(g->workspace, 0xff, g->workspace_bytes);
	for (int64_t batch = 0; batch < g->d.batch; batch++)
		run_batch(g, batch, a, b, grad);
	free(a);
	free(b);
	free(grad);
}

static size_t size_of(cudaDataType_t type)
{
	return type == CUDA_R_32F ? 4 : 2;
}

static void touch_matrix(const struct gemm_matrix *m, const void *p, bool written)
{
	const size_t size = size_of(m->type);
	for (int64_t b = 0; b < m->batch; b++)
		for (int64_t c = 0; c < (int64_t)m->cols; c++)
			simt_touch(
			    (const char *)p + (size_t)(b * m->stride + c * m->ld) * size, m->rows * size, written);
}

/* Of what the epilogue reads or writes beside D: the bias or its gradient, and the ReLU's mask. */
static void touch_epilogue(const struct gemm *g)
{
	const bool gradient = g->epilogue == CUBLASLT_EPILOGUE_BGRADA || g->epilogue == CUBLASLT_EPILOGUE_BGRADB ||
			      has(g, CUBLASLT_EPILOGUE_DRELU_BGRAD);
	const size_t biases = g->epilogue == CUBLASLT_EPILOGUE_BGRADB ? g->d.cols : g->d.rows;
	for (int64_t b = 0; b < g->d.batch; b++) {
		if (gradient || has(g, CUBLASLT_EPILOGUE_BIAS))
			simt_touch((const char *)g->bias + (size_t)(b * g->bias_stride) * size_of(g->bias_type),
			    biases * size_of(g->bias_type), gradient);
		if (has(g, CUBLASLT_EPILOGUE_RELU_AUX) || has(g, CUBLASLT_EPILOGUE_DRELU))
			for (uint64_t c = 0; c < g->d.cols; c++)
				simt_touch(g->aux + (b * g->aux_stride + (int64_t)c * g->aux_ld) / 8,
				    (g->d.rows + 7) / 8, has(g, CUBLASLT_EPILOGUE_RELU_AUX));
	}
}

void gemm_touch(const struct gemm *g)
{
	static const struct {
		int epilogue;
		const char *name;
	} names[] = {{CUBLASLT_EPILOGUE_RELU, " RELU"}, {CUBLASLT_EPILOGUE_BIAS, " BIAS"},
	    {CUBLASLT_EPILOGUE_RELU_BIAS, " RELU_BIAS"}, {CUBLASLT_EPILOGUE_RELU_AUX, " RELU_AUX"},
	    {CUBLASLT_EPILOGUE_RELU_AUX_BIAS, " RELU_AUX_BIAS"}, {CUBLASLT_EPILOGUE_DRELU, " DRELU"},
	    {CUBLASLT_EPILOGUE_DRELU_BGRAD, " DRELU_BGRAD"}, {CUBLASLT_EPILOGUE_BGRADA, " BGRADA"},
	    {CUBLASLT_EPILOGUE_BGRADB, " BGRADB"}};
	const char *name = "";
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		name = names[i].epilogue == g->epilogue ? names[i].name : name;
	simt_task_name("%s %c%c%s", simt_running(), g->trans_a ? 'T' : 'N', g->trans_b ? 'T' : 'N', name);
	touch_matrix(&g->a, g->A, false);
	touch_matrix(&g->b, g->B, false);
	if (g->beta != 0)
		touch_matrix(&g->c, g->C, false);
	touch_epilogue(g);
	touch_matrix(&g->d, g->D, true);
}
