/* Plans of cuBLASLt products; see lt.h. The only file that calls cublasLtMatmul. */
#include "cuda/lt.h"

#include "base/err.h"
#include "cuda/check.h"

static cudaDataType_t lt_type(enum dtype t)
{
	return t == DT_F16 ? CUDA_R_16F : t == DT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

size_t lt_align(size_t bytes)
{
	size_t align = 64;
	while (align > 1 && bytes % align)
		align /= 2;
	return align;
}

static cublasLtEpilogue_t epilogue_of(const struct lt_shape *s)
{
	if (s->bias)
		return s->relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
	return s->relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
}

static int make_desc(struct lt_plan *p, const struct lt_shape *s)
{
	/* Row-major (r, c) is column-major (c, r): d^T (N, M) = b^T (N, K) * a^T (K, M), a transposed only if ours is.
	 */
	const cublasOperation_t first = s->transposed_b ? CUBLAS_OP_T : CUBLAS_OP_N;
	const cublasOperation_t second = s->transposed_a ? CUBLAS_OP_T : CUBLAS_OP_N;
	const cublasLtEpilogue_t epilogue = epilogue_of(s);
	const cublasComputeType_t compute = s->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
	int rc = LT_TRY(cublasLtMatmulDescCreate(&p->desc, compute, CUDA_R_32F));
	if (!rc)
		rc =
		    LT_TRY(cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof(first)));
	if (!rc)
		rc = LT_TRY(
		    cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof(second)));
	if (!rc)
		rc = LT_TRY(cublasLtMatmulDescSetAttribute(
		    p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)));
	return rc;
}

/* A row-major (rows, cols) matrix as cuBLAS sees it. */
static int make_layout(cublasLtMatrixLayout_t *out, enum dtype t, int64_t rows, int64_t cols)
{
	return LT_TRY(cublasLtMatrixLayoutCreate(out, lt_type(t), (uint64_t)cols, (uint64_t)rows, cols));
}

/* What the heuristic may count on. Its defaults (256-byte alignment, no workspace) are not ours. */
static int set_preference(cublasLtMatmulPreference_t pref, const struct lt_shape *s, size_t workspace)
{
	const struct {
		cublasLtMatmulPreferenceAttributes_t what;
		size_t bytes;
	} align[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, s->align_b},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, s->align_a},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, s->align_d},
	    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, s->align_d}};
	int rc = LT_TRY(cublasLtMatmulPreferenceSetAttribute(
	    pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof(workspace)));
	for (size_t i = 0; !rc && i < sizeof(align) / sizeof(align[0]); i++) {
		uint32_t bytes = align[i].bytes ? (uint32_t)align[i].bytes : 64;
		rc = LT_TRY(cublasLtMatmulPreferenceSetAttribute(pref, align[i].what, &bytes, sizeof(bytes)));
	}
	return rc;
}

static int choose(struct cuda_ctx *ctx, struct lt_plan *p, const struct lt_shape *s)
{
	cublasLtMatmulPreference_t pref = NULL;
	cublasLtMatmulHeuristicResult_t best = {0};
	int found = 0, rc = LT_TRY(cublasLtMatmulPreferenceCreate(&pref));
	if (rc)
		return rc;
	rc = set_preference(pref, s, ctx->workspace_bytes);
	if (!rc)
		rc = LT_TRY(
		    cublasLtMatmulAlgoGetHeuristic(ctx->lt, p->desc, p->a, p->b, p->d, p->d, pref, 1, &best, &found));
	if (!rc && found < 1)
		rc = err_set(ERR_DEVICE, "cuBLASLt has no algorithm for this product");
	if (!rc)
		rc = cuda_lt_check(best.state, "cublasLtMatmulAlgoGetHeuristic");
	p->algo = best.algo;
	p->workspace = best.workspaceSize;
	cublasLtMatmulPreferenceDestroy(pref);
	return rc;
}

int lt_make(struct cuda_ctx *ctx, struct lt_plan *p, const struct lt_shape *s)
{
	int64_t a_rows = s->transposed_a ? s->K : s->M, a_cols = s->transposed_a ? s->M : s->K;
	int64_t b_rows = s->transposed_b ? s->N : s->K, b_cols = s->transposed_b ? s->K : s->N;
	int rc = make_desc(p, s);
	if (!rc)
		rc = make_layout(&p->a, s->in, b_rows, b_cols);
	if (!rc)
		rc = make_layout(&p->b, s->in, a_rows, a_cols);
	if (!rc)
		rc = make_layout(&p->d, s->out, s->M, s->N);
	if (!rc)
		rc = choose(ctx, p, s);
	return rc ? err_context(rc, "product (%lld, %lld) x (%lld, %lld) of %s", (long long)s->M, (long long)s->K,
			(long long)s->K, (long long)s->N, s->tf32 ? "tf32" : dtype_name(s->in))
		  : 0;
}

int lt_run(struct cuda_ctx *ctx, const struct lt_plan *p, const void *a, const void *b, const void *bias, void *d,
    bool accumulate)
{
	const float one = 1.0f, beta = accumulate ? 1.0f : 0.0f;
	if (bias) {
		int rc = LT_TRY(
		    cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias)));
		if (rc)
			return rc;
	}
	int rc = LT_TRY(cublasLtMatmul(ctx->lt, p->desc, &one, b, p->a, a, p->b, &beta, d, p->d, d, p->d, &p->algo,
	    ctx->workspace, p->workspace, ctx->stream));
	return rc ? rc : cuda_launched("cublasLtMatmul");
}

void lt_free(struct lt_plan *p)
{
	if (p->d)
		cublasLtMatrixLayoutDestroy(p->d);
	if (p->b)
		cublasLtMatrixLayoutDestroy(p->b);
	if (p->a)
		cublasLtMatrixLayoutDestroy(p->a);
	if (p->desc)
		cublasLtMatmulDescDestroy(p->desc);
	*p = (struct lt_plan){0};
}
