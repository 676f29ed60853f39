/* The cuBLASLt of tests/simt against the definition of a product, element by element in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cublasLt.h"
#include "graph/tensor.h"
#include "simt.h"

#define OK(call) assert_int_equal(call, 0)

/* A product to try; zero means the plainest. */
struct product {
	int m, n, k, pad; /* pad: leading dimensions are that much larger than the rows */
	bool trans_a, trans_b;
	cudaDataType_t in, out;
	float alpha, beta;
	cublasLtEpilogue_t epilogue;
	int batch;
	bool tf32;
};

/* A matrix on both sides; column-major. */
struct matrix {
	int rows, cols, ld, batch;
	cudaDataType_t type;
	double *host; /* what the device holds, exactly */
	void *device;
	cublasLtMatrixLayout_t layout;
};

static size_t size_of(cudaDataType_t t)
{
	return t == CUDA_R_32F ? 4 : 2;
}

static double from_bits(const char *p, cudaDataType_t t, size_t i)
{
	if (t == CUDA_R_32F)
		return (double)((const float *)(const void *)p)[i];
	uint16_t h = ((const uint16_t *)(const void *)p)[i];
	return (double)(t == CUDA_R_16F ? f16_to_f32(h) : bf16_to_f32(h));
}

static size_t count_of(const struct matrix *x)
{
	return (size_t)x->ld * (size_t)x->cols * (size_t)x->batch;
}

/* Down to the host, as doubles. */
static double *read_matrix(const struct matrix *x)
{
	size_t n = count_of(x);
	char *bits = malloc(n * size_of(x->type));
	double *v = malloc(n * sizeof(*v));
	assert_true(bits && v);
	OK(cudaMemcpy(bits, x->device, n * size_of(x->type), cudaMemcpyDeviceToHost));
	for (size_t i = 0; i < n; i++)
		v[i] = from_bits(bits, x->type, i);
	free(bits);
	return v;
}

static struct matrix make(int rows, int cols, int pad, int batch, cudaDataType_t type, unsigned seed)
{
	struct matrix x = {.rows = rows, .cols = cols, .ld = rows + pad, .batch = batch, .type = type};
	size_t n = count_of(&x);
	char *bits = malloc(n * size_of(type));
	int64_t stride = (int64_t)x.ld * cols;
	int32_t count = batch;
	assert_non_null(bits);
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		float v = (float)(seed >> 8) * 0x1p-23f - 1;
		if (type == CUDA_R_32F)
			((float *)(void *)bits)[i] = v;
		else
			((uint16_t *)(void *)bits)[i] = type == CUDA_R_16F ? f32_to_f16(v) : f32_to_bf16(v);
	}
	OK(cudaMalloc(&x.device, n * size_of(type)));
	OK(cudaMemcpy(x.device, bits, n * size_of(type), cudaMemcpyHostToDevice));
	free(bits);
	x.host = read_matrix(&x);
	OK(cublasLtMatrixLayoutCreate(&x.layout, type, (uint64_t)rows, (uint64_t)cols, x.ld));
	OK(cublasLtMatrixLayoutSetAttribute(x.layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)));
	OK(cublasLtMatrixLayoutSetAttribute(
	    x.layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride)));
	return x;
}

static void drop(struct matrix *x)
{
	free(x->host);
	OK(cudaFree(x->device));
	OK(cublasLtMatrixLayoutDestroy(x->layout));
}

static double at(const struct matrix *x, const double *v, int batch, int r, int c)
{
	return v[((size_t)batch * (size_t)x->cols + (size_t)c) * (size_t)x->ld + (size_t)r];
}

static double tf32(double v)
{
	int e;
	double f = frexp(v, &e);
	return ldexp(round(f * 2048), e - 11);
}

/* One try: operands, bias and mask on the device, a plan as a program makes it. */
struct trial {
	struct product p;
	struct matrix a, b, d, bias;
	uint8_t *aux_host;
	void *aux, *workspace;
	int64_t aux_ld;
	cublasLtHandle_t lt;
	cublasLtMatmulDesc_t desc;
	cublasLtMatmulPreference_t pref;
	cublasLtMatmulHeuristicResult_t plan;
};

#define WORKSPACE 4096

static void set_desc(struct trial *t, cublasLtMatmulDescAttributes_t attr, const void *value, size_t size)
{
	OK(cublasLtMatmulDescSetAttribute(t->desc, attr, value, size));
}

static void trial_open(struct trial *t, struct product p)
{
	cublasOperation_t ta = p.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, tb = p.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
	int batch = p.batch ? p.batch : 1;
	size_t bytes = WORKSPACE;
	*t = (struct trial){.p = p};
	t->a = make(p.trans_a ? p.k : p.m, p.trans_a ? p.m : p.k, p.pad, batch, p.in, 1);
	t->b = make(p.trans_b ? p.n : p.k, p.trans_b ? p.k : p.n, 2 * p.pad, batch, p.in, 2);
	t->d = make(p.m, p.n, p.pad, batch, p.out, 3);
	t->bias = make(p.epilogue == CUBLASLT_EPILOGUE_BGRADB ? p.n : p.m, 1, 0, batch, p.out, 4);
	t->aux_ld = (p.m + 127) / 128 * 128;
	size_t aux_bytes = (size_t)t->aux_ld / 8 * (size_t)p.n * (size_t)batch;
	t->aux_host = malloc(aux_bytes);
	assert_non_null(t->aux_host);
	for (size_t i = 0; i < aux_bytes; i++)
		t->aux_host[i] = (uint8_t)(i * 37 ^ i >> 3);
	OK(cudaMalloc(&t->aux, aux_bytes));
	OK(cudaMemcpy(t->aux, t->aux_host, aux_bytes, cudaMemcpyHostToDevice));
	OK(cudaMalloc(&t->workspace, WORKSPACE));
	OK(cublasLtCreate(&t->lt));
	OK(cublasLtMatmulDescCreate(&t->desc, p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
	set_desc(t, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof(ta));
	set_desc(t, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof(tb));
	if (p.epilogue)
		set_desc(t, CUBLASLT_MATMUL_DESC_EPILOGUE, &t->p.epilogue, sizeof(t->p.epilogue));
	int64_t aux_stride = t->aux_ld * p.n, bias_stride = t->bias.rows;
	set_desc(t, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &t->bias.device, sizeof(void *));
	set_desc(t, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, &bias_stride, sizeof(bias_stride));
	set_desc(t, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &t->aux, sizeof(void *));
	set_desc(t, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &t->aux_ld, sizeof(t->aux_ld));
	set_desc(t, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, &aux_stride, sizeof(aux_stride));
	OK(cublasLtMatmulPreferenceCreate(&t->pref));
	OK(cublasLtMatmulPreferenceSetAttribute(
	    t->pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof(bytes)));
	for (int i = CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES; i <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES; i++)
		OK(cublasLtMatmulPreferenceSetAttribute(
		    t->pref, (cublasLtMatmulPreferenceAttributes_t)i, &(uint32_t){16}, sizeof(uint32_t)));
}

static cublasStatus_t trial_plan(struct trial *t)
{
	int found = 0;
	cublasStatus_t s = cublasLtMatmulAlgoGetHeuristic(
	    t->lt, t->desc, t->a.layout, t->b.layout, t->d.layout, t->d.layout, t->pref, 1, &t->plan, &found);
	assert_int_equal(found, s == CUBLAS_STATUS_SUCCESS);
	return s;
}

static cublasStatus_t trial_run(struct trial *t, size_t workspace)
{
	float alpha = t->p.alpha != 0 ? t->p.alpha : 1;
	return cublasLtMatmul(t->lt, t->desc, &alpha, t->a.device, t->a.layout, t->b.device, t->b.layout, &t->p.beta,
	    t->d.device, t->d.layout, t->d.device, t->d.layout, &t->plan.algo, t->workspace, workspace, NULL);
}

static void trial_close(struct trial *t)
{
	OK(cublasLtMatmulPreferenceDestroy(t->pref));
	OK(cublasLtMatmulDescDestroy(t->desc));
	OK(cublasLtDestroy(t->lt));
	drop(&t->a);
	drop(&t->b);
	drop(&t->d);
	drop(&t->bias);
	OK(cudaFree(t->aux));
	OK(cudaFree(t->workspace));
	free(t->aux_host);
	assert_int_equal(simt_live_allocations(), 0);
}

static double operand(const struct trial *t, const struct matrix *x, bool trans, int batch, int i, int e)
{
	double v = trans ? at(x, x->host, batch, e, i) : at(x, x->host, batch, i, e);
	return t->p.tf32 ? tf32(v) : v;
}

static double product_at(const struct trial *t, int batch, int r, int c)
{
	double sum = 0;
	for (int e = 0; e < t->p.k; e++)
		sum += operand(t, &t->a, t->p.trans_a, batch, r, e) * operand(t, &t->b, !t->p.trans_b, batch, c, e);
	sum *= t->p.alpha != 0 ? (double)t->p.alpha : 1;
	return sum + (double)t->p.beta * at(&t->d, t->d.host, batch, r, c);
}

static bool mask_bit(const struct trial *t, const uint8_t *aux, int batch, int r, int c)
{
	size_t bit = (size_t)((batch * t->p.n + c) * t->aux_ld + r);
	return aux[bit / 8] >> bit % 8 & 1;
}

static void close_to(double got, double want, double scale, double tol)
{
	if (!(fabs(got - want) <= tol * scale))
		print_error("%.9g, must be %.9g\n", got, want);
	assert_true(fabs(got - want) <= tol * scale);
}

static void check_values(const struct trial *t, const double *d, const uint8_t *aux, double tol)
{
	const cublasLtEpilogue_t e = t->p.epilogue;
	double scale = sqrt((double)t->p.k) + 1;
	for (int b = 0; b < t->d.batch; b++) {
		for (int c = 0; c < t->p.n; c++) {
			for (int r = 0; r < t->p.m; r++) {
				double v = product_at(t, b, r, c);
				if (e == CUBLASLT_EPILOGUE_BIAS || e == CUBLASLT_EPILOGUE_RELU_BIAS ||
				    e == CUBLASLT_EPILOGUE_RELU_AUX_BIAS)
					v += at(&t->bias, t->bias.host, b, r, 0);
				if ((e == CUBLASLT_EPILOGUE_RELU_AUX || e == CUBLASLT_EPILOGUE_RELU_AUX_BIAS) &&
				    fabs(v) > tol * scale)
					assert_int_equal(mask_bit(t, aux, b, r, c), v > 0);
				if (e == CUBLASLT_EPILOGUE_RELU || e == CUBLASLT_EPILOGUE_RELU_BIAS ||
				    e == CUBLASLT_EPILOGUE_RELU_AUX || e == CUBLASLT_EPILOGUE_RELU_AUX_BIAS)
					v = fmax(v, 0);
				if (e == CUBLASLT_EPILOGUE_DRELU || e == CUBLASLT_EPILOGUE_DRELU_BGRAD)
					v = mask_bit(t, t->aux_host, b, r, c) ? v : 0;
				close_to(at(&t->d, d, b, r, c), v, scale, tol);
			}
			/* What lies between the columns is not touched. */
			for (int r = t->p.m; r < t->d.ld; r++)
				assert_true(at(&t->d, d, b, r, c) == at(&t->d, t->d.host, b, r, c));
		}
	}
}

static void check_bias_gradient(const struct trial *t, const double *d, const double *bias, double tol)
{
	int n = t->bias.rows;
	for (int b = 0; b < t->d.batch; b++) {
		for (int i = 0; i < n; i++) {
			double sum = 0;
			for (int e = 0; t->p.epilogue != CUBLASLT_EPILOGUE_DRELU_BGRAD && e < t->p.k; e++)
				sum += t->p.epilogue == CUBLASLT_EPILOGUE_BGRADA
					   ? operand(t, &t->a, t->p.trans_a, b, i, e)
					   : operand(t, &t->b, !t->p.trans_b, b, i, e);
			for (int c = 0; t->p.epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD && c < t->p.n; c++)
				sum += at(&t->d, d, b, i, c);
			close_to(at(&t->bias, bias, b, i, 0), sum, 4 * sqrt(t->p.k + t->p.n), tol);
		}
	}
}

static void check_product(struct product p, double tol)
{
	struct trial t;
	trial_open(&t, p);
	OK(trial_plan(&t));
	OK(trial_run(&t, t.plan.workspaceSize));
	OK(cudaDeviceSynchronize());
	double *d = read_matrix(&t.d), *bias = read_matrix(&t.bias);
	size_t aux_bytes = (size_t)t.aux_ld / 8 * (size_t)p.n * (size_t)t.d.batch;
	uint8_t *aux = malloc(aux_bytes);
	assert_non_null(aux);
	OK(cudaMemcpy(aux, t.aux, aux_bytes, cudaMemcpyDeviceToHost));
	check_values(&t, d, aux, tol);
	if (p.epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD || p.epilogue == CUBLASLT_EPILOGUE_BGRADA ||
	    p.epilogue == CUBLASLT_EPILOGUE_BGRADB)
		check_bias_gradient(&t, d, bias, tol);
	else
		assert_memory_equal(bias, t.bias.host, sizeof(double) * (size_t)t.bias.rows);
	free(d);
	free(bias);
	free(aux);
	trial_close(&t);
}

static void cublaslt__every_transpose_and_type_equals_the_definition(void **state)
{
	static const struct {
		cudaDataType_t in, out;
		double tol;
	} types[] = {{CUDA_R_32F, CUDA_R_32F, 1e-6}, {CUDA_R_16F, CUDA_R_32F, 1e-6}, {CUDA_R_16BF, CUDA_R_32F, 1e-6},
	    {CUDA_R_16F, CUDA_R_16F, 1e-3}, {CUDA_R_16BF, CUDA_R_16BF, 8e-3}};
	(void)state;
	for (int trans = 0; trans < 4; trans++) {
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
			struct product p = {.m = 37,
			    .n = 11,
			    .k = 53,
			    .pad = trans,
			    .trans_a = trans & 1,
			    .trans_b = trans >> 1,
			    .in = types[i].in,
			    .out = types[i].out};
			check_product(p, types[i].tol);
			p.alpha = 0.5f;
			p.beta = -2;
			p.batch = 3;
			check_product(p, 4 * types[i].tol);
		}
	}
	check_product((struct product){.m = 1, .n = 1, .k = 1}, 1e-6);
	check_product((struct product){.m = 1, .n = 200, .k = 3, .trans_a = true}, 1e-6);
}

static void cublaslt__every_epilogue_equals_the_definition(void **state)
{
	static const cublasLtEpilogue_t all[] = {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_RELU,
	    CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_RELU_AUX,
	    CUBLASLT_EPILOGUE_RELU_AUX_BIAS, CUBLASLT_EPILOGUE_DRELU, CUBLASLT_EPILOGUE_DRELU_BGRAD,
	    CUBLASLT_EPILOGUE_BGRADA, CUBLASLT_EPILOGUE_BGRADB};
	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct product p = {.m = 131, .n = 7, .k = 19, .pad = 5, .trans_a = true, .epilogue = all[i]};
		check_product(p, 1e-6);
		p.batch = 2;
		p.in = p.out = CUDA_R_16F;
		check_product(p, 4e-3);
	}
}

static void cublaslt__tf32_rounds_the_operands(void **state)
{
	(void)state;
	check_product((struct product){.m = 9, .n = 8, .k = 30, .tf32 = true}, 1e-6);
}

static void cublaslt__tf32_ties_go_away_from_zero(void **state)
{
	static const float x[][2] = {{1 + 0x1p-11f, 1 + 0x1p-10f}, {-1 - 0x1p-11f, -1 - 0x1p-10f},
	    {1 + 0x3p-11f, 1 + 0x2p-10f}, {1 + 0x1p-11f - 0x1p-23f, 1}, {1 + 0x1p-10f, 1 + 0x1p-10f}};
	const float one = 1;
	float y;
	(void)state;
	for (size_t i = 0; i < sizeof(x) / sizeof(x[0]); i++) {
		struct trial t;
		trial_open(&t, (struct product){.m = 1, .n = 1, .k = 1, .tf32 = true});
		OK(cudaMemcpy(t.a.device, x[i], sizeof(float), cudaMemcpyHostToDevice));
		OK(cudaMemcpy(t.b.device, &one, sizeof(one), cudaMemcpyHostToDevice));
		OK(trial_plan(&t));
		OK(trial_run(&t, t.plan.workspaceSize));
		OK(cudaMemcpy(&y, t.d.device, sizeof(y), cudaMemcpyDeviceToHost));
		assert_true(y == x[i][1]);
		trial_close(&t);
	}
}

/* Up to 2^24 every sum is an integer that f32 holds: the promise that quantization rests on. */
static void cublaslt__integers_in_bf16_sum_exactly(void **state)
{
	enum { M = 3, N = 5, K = 257 };
	uint16_t a[M * K], b[K * N];
	float d[M * N];
	void *da, *db, *dd;
	cublasLtHandle_t lt;
	cublasLtMatmulDesc_t desc;
	cublasLtMatrixLayout_t la, lb, ld;
	const float one = 1, zero = 0;
	(void)state;
	for (int i = 0; i < M * K; i++)
		a[i] = f32_to_bf16((float)(i * 7919 % 256));
	for (int i = 0; i < K * N; i++)
		b[i] = f32_to_bf16((float)(i * 104729 % 255 - 127));
	OK(cudaMalloc(&da, sizeof(a)));
	OK(cudaMalloc(&db, sizeof(b)));
	OK(cudaMalloc(&dd, sizeof(d)));
	OK(cudaMemcpy(da, a, sizeof(a), cudaMemcpyHostToDevice));
	OK(cudaMemcpy(db, b, sizeof(b), cudaMemcpyHostToDevice));
	OK(cublasLtCreate(&lt));
	OK(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
	OK(cublasLtMatrixLayoutCreate(&la, CUDA_R_16BF, M, K, M));
	OK(cublasLtMatrixLayoutCreate(&lb, CUDA_R_16BF, K, N, K));
	OK(cublasLtMatrixLayoutCreate(&ld, CUDA_R_32F, M, N, M));
	/* Without an algorithm; C is not read where beta is 0. */
	OK(cublasLtMatmul(lt, desc, &one, da, la, db, lb, &zero, NULL, ld, dd, ld, NULL, NULL, 0, NULL));
	OK(cudaMemcpy(d, dd, sizeof(d), cudaMemcpyDeviceToHost));
	for (int c = 0; c < N; c++) {
		for (int r = 0; r < M; r++) {
			int64_t sum = 0;
			for (int e = 0; e < K; e++)
				sum += (int64_t)bf16_to_f32(a[e * M + r]) * (int64_t)bf16_to_f32(b[c * K + e]);
			assert_true((double)d[c * M + r] == (double)sum);
		}
	}
	OK(cublasLtMatmulDescDestroy(desc));
	OK(cublasLtMatrixLayoutDestroy(la));
	OK(cublasLtMatrixLayoutDestroy(lb));
	OK(cublasLtMatrixLayoutDestroy(ld));
	OK(cublasLtDestroy(lt));
	cudaFree(da);
	cudaFree(db);
	cudaFree(dd);
}

/* --- misuse --------------------------------------------------------------------------------------------------------
 */

static const struct product plain = {.m = 32, .n = 16, .k = 8};

static void set_layout(struct matrix *x, cublasLtMatrixLayoutAttribute_t attr, const void *value, size_t size)
{
	OK(cublasLtMatrixLayoutSetAttribute(x->layout, attr, value, size));
}

static void cublaslt__descriptors_that_do_not_fit_are_refused(void **state)
{
	struct trial t;
	(void)state;
	for (int what = 0; what < 8; what++) {
		cublasStatus_t want = what < 3 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_NOT_SUPPORTED;
		trial_open(&t, plain);
		if (what == 0)
			set_layout(&t.a, CUBLASLT_MATRIX_LAYOUT_LD, &(int64_t){31}, 8);
		if (what == 1)
			set_layout(&t.b, CUBLASLT_MATRIX_LAYOUT_COLS, &(uint64_t){17}, 8);
		if (what == 2)
			set_layout(&t.d, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &(int32_t){2}, 4);
		if (what == 3)
			set_layout(&t.a, CUBLASLT_MATRIX_LAYOUT_TYPE, &(uint32_t){CUDA_R_16F}, 4);
		if (what == 4)
			set_layout(&t.d, CUBLASLT_MATRIX_LAYOUT_TYPE, &(uint32_t){CUDA_R_16BF}, 4);
		if (what == 5)
			set_layout(&t.b, CUBLASLT_MATRIX_LAYOUT_ORDER, &(int32_t){CUBLASLT_ORDER_ROW}, 4);
		if (what == 6)
			set_desc(&t, CUBLASLT_MATMUL_DESC_EPILOGUE, &(uint32_t){CUBLASLT_EPILOGUE_GELU}, 4);
		if (what == 7)
			set_desc(&t, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, &(int32_t){64}, 4);
		assert_int_equal(trial_plan(&t), want);
		trial_close(&t);
	}
	trial_open(&t, (struct product){.m = 32, .n = 16, .k = 8, .in = CUDA_R_16BF, .out = CUDA_R_32F, .tf32 = true});
	assert_int_equal(trial_plan(&t), CUBLAS_STATUS_NOT_SUPPORTED); /* operands of another type */
	trial_close(&t);
	trial_open(&t, plain);
	set_desc(&t, CUBLASLT_MATMUL_DESC_EPILOGUE, &(uint32_t){CUBLASLT_EPILOGUE_RELU_AUX}, 4);
	set_desc(&t, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &(int64_t){96}, 8);
	assert_int_equal(trial_plan(&t), CUBLAS_STATUS_INVALID_VALUE);
	assert_int_equal(cublasLtMatmulDescSetAttribute(t.desc, CUBLASLT_MATMUL_DESC_TRANSA, &(int64_t){1}, 8),
	    CUBLAS_STATUS_INVALID_VALUE);
	trial_close(&t);
}

static void cublaslt__memory_that_does_not_fit_is_refused(void **state)
{
	struct trial t;
	(void)state;
	for (int what = 0; what < 8; what++) {
		void *a, *d;
		float host[32 * 8] = {0};
		struct product p = plain;
		if (what == 4)
			p.n = p.k; /* D of A's size */
		trial_open(&t, p);
		if (what == 5)
			set_desc(&t, CUBLASLT_MATMUL_DESC_EPILOGUE, &(uint32_t){CUBLASLT_EPILOGUE_BIAS}, 4);
		OK(trial_plan(&t));
		assert_int_equal(t.plan.workspaceSize, WORKSPACE);
		a = t.a.device;
		d = t.d.device;
		if (what == 0)
			t.a.device = NULL;
		if (what == 1)
			t.a.device = host;
		if (what == 2)
			t.a.device = (char *)a + 16; /* reaches over the end */
		if (what == 3)
			t.d.device = (char *)d - 8; /* not aligned as promised, and in front of its block */
		if (what == 4)
			t.d.device = a; /* D must not be an input */
		if (what == 5)
			set_desc(&t, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &(void *){NULL}, sizeof(void *));
		if (what == 6)
			memset(&t.plan.algo, 0, sizeof(t.plan.algo));
		assert_int_equal(trial_run(&t, what == 7 ? WORKSPACE - 1 : WORKSPACE), CUBLAS_STATUS_INVALID_VALUE);
		t.a.device = a;
		t.d.device = d;
		OK(trial_run(&t, WORKSPACE) && what != 5 && what != 6);
		OK(cudaDeviceSynchronize());
		trial_close(&t);
	}
}

/* A product may use all of what its algorithm asked for. */
static void cublaslt__the_workspace_is_overwritten(void **state)
{
	struct trial t;
	unsigned char w[WORKSPACE];
	(void)state;
	trial_open(&t, plain);
	OK(trial_plan(&t));
	OK(cudaMemset(t.workspace, 0, WORKSPACE));
	OK(trial_run(&t, WORKSPACE));
	OK(cudaMemcpy(w, t.workspace, WORKSPACE, cudaMemcpyDeviceToHost));
	for (int i = 0; i < WORKSPACE; i++)
		assert_int_equal(w[i], 0xff);
	trial_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cublaslt__every_transpose_and_type_equals_the_definition),
	    cmocka_unit_test(cublaslt__every_epilogue_equals_the_definition),
	    cmocka_unit_test(cublaslt__tf32_rounds_the_operands),
	    cmocka_unit_test(cublaslt__tf32_ties_go_away_from_zero),
	    cmocka_unit_test(cublaslt__integers_in_bf16_sum_exactly),
	    cmocka_unit_test(cublaslt__descriptors_that_do_not_fit_are_refused),
	    cmocka_unit_test(cublaslt__memory_that_does_not_fit_is_refused),
	    cmocka_unit_test(cublaslt__the_workspace_is_overwritten)};
	return cmocka_run_group_tests_name("simt cublas", tests, NULL, NULL);
}
