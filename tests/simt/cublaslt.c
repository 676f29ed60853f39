/* cuBLASLt on the host: descriptors, checks, one algorithm; the arithmetic is gemm.c's. Stricter than the library where
 * a program could be lucky: leading dimensions, alignment as promised to the heuristic, workspace, ranges of memory,
 * outputs that overlap inputs. Not here, answered by NOT_SUPPORTED: row-major order, GELU, types other than f32, f16
 * and bf16, sums in anything but f32, pointers to scalars on the device. */
#include <stdlib.h>
#include <string.h>

#include "gemm.h"
#include "internal.h"

#define VERSION        120400
#define ALGO_MAGIC     0x73696d74u
#define MOST_WORKSPACE ((uint64_t)64 * 1024)
/* Of the epilogue's bit mask (cublasLt.h). */
#define AUX_LD_BITS 128
#define FILL_FULL   2 /* CUBLAS_FILL_MODE_FULL */
/* The heuristic sees no bias pointer yet and takes it for aligned to the widest load. */
#define BIAS_ALIGN 16

struct cublasLtContext {
	int device;
};

struct desc {
	int32_t compute, scale, pointer_mode, transa, transb, transc, fill, epilogue, bias_type, aux_type;
	void *bias, *aux;
	int64_t bias_stride, aux_ld, aux_stride;
};

struct preference {
	uint32_t search, schemes, align[4];
	uint64_t workspace;
};

/* A, B, C, D */
struct algo {
	uint32_t magic, align[4];
	uint64_t workspace;
};

_Static_assert(sizeof(struct desc) <= sizeof(cublasLtMatmulDescOpaque_t), "fits");
_Static_assert(sizeof(struct gemm_matrix) <= sizeof(cublasLtMatrixLayoutOpaque_t), "fits");
_Static_assert(sizeof(struct preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "fits");
_Static_assert(sizeof(struct algo) <= sizeof(cublasLtMatmulAlgo_t), "fits");

static cublasStatus_t refuse(cublasStatus_t status, const char *why)
{
	simt_complain("cublasLt: %s", why);
	return status;
}

#define REQUIRE(condition, status, why)                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return refuse(status, why);                                                                    \
	} while (0)

/* --- the library ---------------------------------------------------------------------------------------------------
 */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
	if (!handle)
		return CUBLAS_STATUS_INVALID_VALUE;
	if (simt_enter(__func__)) /* without a usable device */
		return CUBLAS_STATUS_NOT_INITIALIZED;
	*handle = calloc(1, sizeof(**handle));
	if (!*handle)
		return CUBLAS_STATUS_ALLOC_FAILED;
	(*handle)->device = simt_current();
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
	if (!handle)
		return CUBLAS_STATUS_NOT_INITIALIZED;
	free(handle);
	return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void)
{
	return VERSION;
}

static const struct {
	cublasStatus_t status;
	const char *name, *text;
} statuses[] = {{CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE", "an invalid value was passed as an argument"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH", "an absent feature of the device is required"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "the product failed to execute"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "the functionality is not supported"}};

const char *cublasLtGetStatusName(cublasStatus_t status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == status)
			return statuses[i].name;
	return "unknown";
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "unknown";
}

/* --- descriptors ---------------------------------------------------------------------------------------------------
 */

/* Where an attribute lies in its struct, and how many bytes it has. */
struct field {
	int attr;
	size_t at, size;
};
#define FIELD(attr, type, member)                                                                                      \
	{                                                                                                              \
		attr, offsetof(type, member), sizeof(((type *)NULL)->member)                                           \
	}

static cublasStatus_t set_field(void *object, const struct field *f, size_t n, int attr, const void *value, size_t size)
{
	if (!object || !value)
		return CUBLAS_STATUS_INVALID_VALUE;
	for (size_t i = 0; i < n; i++) {
		if (f[i].attr != attr)
			continue;
		REQUIRE(size == f[i].size, CUBLAS_STATUS_INVALID_VALUE, "an attribute of the wrong size");
		memcpy((char *)object + f[i].at, value, size);
		return CUBLAS_STATUS_SUCCESS;
	}
	return refuse(CUBLAS_STATUS_INVALID_VALUE, "an unknown attribute");
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

cublasStatus_t cublasLtMatmulDescCreate(
    cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale_type)
{
	if (!desc)
		return CUBLAS_STATUS_INVALID_VALUE;
	*desc = calloc(1, sizeof(**desc));
	if (!*desc)
		return CUBLAS_STATUS_ALLOC_FAILED;
	struct desc d = {.compute = compute,
	    .scale = scale_type,
	    .fill = FILL_FULL,
	    .epilogue = CUBLASLT_EPILOGUE_DEFAULT,
	    .bias_type = -1, /* D's */
	    .aux_type = -1};
	memcpy(*desc, &d, sizeof(d));
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
	free(desc);
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(
    cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attr, const void *value, size_t size)
{
	static const struct field fields[] = {FIELD(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, struct desc, compute),
	    FIELD(CUBLASLT_MATMUL_DESC_SCALE_TYPE, struct desc, scale),
	    FIELD(CUBLASLT_MATMUL_DESC_POINTER_MODE, struct desc, pointer_mode),
	    FIELD(CUBLASLT_MATMUL_DESC_TRANSA, struct desc, transa),
	    FIELD(CUBLASLT_MATMUL_DESC_TRANSB, struct desc, transb),
	    FIELD(CUBLASLT_MATMUL_DESC_TRANSC, struct desc, transc),
	    FIELD(CUBLASLT_MATMUL_DESC_FILL_MODE, struct desc, fill),
	    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE, struct desc, epilogue),
	    FIELD(CUBLASLT_MATMUL_DESC_BIAS_POINTER, struct desc, bias),
	    FIELD(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, struct desc, bias_stride),
	    FIELD(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, struct desc, bias_type),
	    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, struct desc, aux),
	    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, struct desc, aux_ld),
	    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, struct desc, aux_stride),
	    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, struct desc, aux_type)};
	return set_field(desc, fields, COUNT(fields), (int)attr, value, size);
}

cublasStatus_t cublasLtMatrixLayoutCreate(
    cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld)
{
	if (!layout)
		return CUBLAS_STATUS_INVALID_VALUE;
	*layout = calloc(1, sizeof(**layout));
	if (!*layout)
		return CUBLAS_STATUS_ALLOC_FAILED;
	struct gemm_matrix m = {.type = type, .batch = 1, .rows = rows, .cols = cols, .ld = ld};
	memcpy(*layout, &m, sizeof(m));
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
	free(layout);
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(
    cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attr, const void *value, size_t size)
{
	static const struct field fields[] = {FIELD(CUBLASLT_MATRIX_LAYOUT_TYPE, struct gemm_matrix, type),
	    FIELD(CUBLASLT_MATRIX_LAYOUT_ORDER, struct gemm_matrix, order),
	    FIELD(CUBLASLT_MATRIX_LAYOUT_ROWS, struct gemm_matrix, rows),
	    FIELD(CUBLASLT_MATRIX_LAYOUT_COLS, struct gemm_matrix, cols),
	    FIELD(CUBLASLT_MATRIX_LAYOUT_LD, struct gemm_matrix, ld),
	    FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, struct gemm_matrix, batch),
	    FIELD(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, struct gemm_matrix, stride)};
	return set_field(layout, fields, COUNT(fields), (int)attr, value, size);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *pref)
{
	if (!pref)
		return CUBLAS_STATUS_INVALID_VALUE;
	*pref = calloc(1, sizeof(**pref));
	if (!*pref)
		return CUBLAS_STATUS_ALLOC_FAILED;
	struct preference p = {.align = {256, 256, 256, 256}}; /* the library's defaults; and no workspace */
	memcpy(*pref, &p, sizeof(p));
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t pref)
{
	free(pref);
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t pref, cublasLtMatmulPreferenceAttributes_t attr, const void *value, size_t size)
{
	static const struct field fields[] = {FIELD(CUBLASLT_MATMUL_PREF_SEARCH_MODE, struct preference, search),
	    FIELD(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, struct preference, workspace),
	    FIELD(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, struct preference, schemes),
	    FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, struct preference, align[0]),
	    FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, struct preference, align[1]),
	    FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, struct preference, align[2]),
	    FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, struct preference, align[3])};
	return set_field(pref, fields, COUNT(fields), (int)attr, value, size);
}

/* --- checks --------------------------------------------------------------------------------------------------------
 */

static size_t type_size(int32_t type)
{
	return type == CUDA_R_32F ? 4 : type == CUDA_R_16F || type == CUDA_R_16BF ? 2 : 0;
}

static cublasStatus_t check_matrix(const struct gemm_matrix *m)
{
	REQUIRE(m->order == CUBLASLT_ORDER_COL, CUBLAS_STATUS_NOT_SUPPORTED, "an order other than column-major");
	REQUIRE(type_size((int32_t)m->type), CUBLAS_STATUS_NOT_SUPPORTED, "a type other than f32, f16, bf16");
	REQUIRE(m->rows && m->cols && m->batch > 0, CUBLAS_STATUS_INVALID_VALUE, "an empty matrix");
	REQUIRE(m->ld >= (int64_t)m->rows, CUBLAS_STATUS_INVALID_VALUE, "a leading dimension below the number of rows");
	REQUIRE(m->batch == 1 || m->stride >= 0, CUBLAS_STATUS_INVALID_VALUE, "a negative stride between batches");
	return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_epilogue(const struct desc *d, const struct gemm_matrix *out)
{
	bool aux = d->epilogue & 128;
	switch (d->epilogue) {
	case CUBLASLT_EPILOGUE_DEFAULT:
	case CUBLASLT_EPILOGUE_RELU:
	case CUBLASLT_EPILOGUE_BIAS:
	case CUBLASLT_EPILOGUE_RELU_BIAS:
	case CUBLASLT_EPILOGUE_RELU_AUX:
	case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
	case CUBLASLT_EPILOGUE_DRELU:
	case CUBLASLT_EPILOGUE_DRELU_BGRAD:
	case CUBLASLT_EPILOGUE_BGRADA:
	case CUBLASLT_EPILOGUE_BGRADB:
		break;
	default:
		return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "this epilogue");
	}
	REQUIRE(!aux || (d->aux_ld >= (int64_t)out->rows && d->aux_ld % AUX_LD_BITS == 0), CUBLAS_STATUS_INVALID_VALUE,
	    "the auxiliary mask's leading dimension must be a multiple of 128 bits and cover the rows");
	REQUIRE(d->bias_type == -1 || d->bias_type == (int32_t)out->type || d->bias_type == CUDA_R_32F,
	    CUBLAS_STATUS_NOT_SUPPORTED, "a bias of this type");
	return CUBLAS_STATUS_SUCCESS;
}

/* Everything but pointers. */
static cublasStatus_t check_product(const struct desc *d, const struct gemm *g)
{
	const struct gemm_matrix *all[] = {&g->a, &g->b, &g->c, &g->d};
	for (int i = 0; i < 4; i++) {
		cublasStatus_t s = check_matrix(all[i]);
		if (s)
			return s;
		REQUIRE(all[i]->batch == g->d.batch, CUBLAS_STATUS_INVALID_VALUE, "batch counts differ");
	}
	REQUIRE(d->compute == CUBLAS_COMPUTE_32F || d->compute == CUBLAS_COMPUTE_32F_PEDANTIC ||
		    d->compute == CUBLAS_COMPUTE_32F_FAST_TF32,
	    CUBLAS_STATUS_NOT_SUPPORTED, "sums other than f32");
	REQUIRE(!g->tf32 || (g->a.type == CUDA_R_32F && g->b.type == CUDA_R_32F), CUBLAS_STATUS_NOT_SUPPORTED,
	    "TF32 products of operands other than f32");
	REQUIRE(d->scale == CUDA_R_32F, CUBLAS_STATUS_NOT_SUPPORTED, "alpha and beta other than f32");
	REQUIRE(d->pointer_mode == CUBLASLT_POINTER_MODE_HOST, CUBLAS_STATUS_NOT_SUPPORTED, "this pointer mode");
	REQUIRE(d->transc == CUBLAS_OP_N && d->fill == FILL_FULL, CUBLAS_STATUS_NOT_SUPPORTED, "this form of C");
	REQUIRE(g->a.type == g->b.type && g->c.type == g->d.type, CUBLAS_STATUS_NOT_SUPPORTED, "mixed types");
	REQUIRE(g->d.type == CUDA_R_32F || g->d.type == g->a.type, CUBLAS_STATUS_NOT_SUPPORTED,
	    "an output that is neither f32 nor of the inputs' type");
	uint64_t m = g->trans_a ? g->a.cols : g->a.rows, ka = g->trans_a ? g->a.rows : g->a.cols;
	uint64_t n = g->trans_b ? g->b.rows : g->b.cols, kb = g->trans_b ? g->b.cols : g->b.rows;
	REQUIRE(ka == kb && m == g->d.rows && n == g->d.cols, CUBLAS_STATUS_INVALID_VALUE, "shapes do not match");
	REQUIRE(g->c.rows == m && g->c.cols == n, CUBLAS_STATUS_INVALID_VALUE, "C is not of D's shape");
	return check_epilogue(d, &g->d);
}

/* Copies what the descriptors say. */
static cublasStatus_t gather(struct gemm *g, struct desc *d, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t out)
{
	REQUIRE(desc && a && b && c && out, CUBLAS_STATUS_INVALID_VALUE, "a descriptor is NULL");
	memcpy(d, desc, sizeof(*d));
	memset(g, 0, sizeof(*g));
	memcpy(&g->a, a, sizeof(g->a));
	memcpy(&g->b, b, sizeof(g->b));
	memcpy(&g->c, c, sizeof(g->c));
	memcpy(&g->d, out, sizeof(g->d));
	g->trans_a = d->transa != CUBLAS_OP_N;
	g->trans_b = d->transb != CUBLAS_OP_N;
	g->tf32 = d->compute == CUBLAS_COMPUTE_32F_FAST_TF32;
	g->epilogue = d->epilogue;
	g->bias = d->bias;
	g->bias_type = d->bias_type == -1 ? g->d.type : (cudaDataType_t)d->bias_type;
	g->bias_stride = d->bias_stride;
	g->aux = d->aux;
	g->aux_ld = d->aux_ld;
	g->aux_stride = d->aux_stride;
	return check_product(d, g);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
    cublasLtMatrixLayout_t Adesc, cublasLtMatrixLayout_t Bdesc, cublasLtMatrixLayout_t Cdesc,
    cublasLtMatrixLayout_t Ddesc, cublasLtMatmulPreference_t pref, int wanted,
    cublasLtMatmulHeuristicResult_t results[], int *found)
{
	struct preference p;
	struct gemm g;
	struct desc d;
	REQUIRE(handle, CUBLAS_STATUS_NOT_INITIALIZED, "no handle");
	REQUIRE(pref && results && found && wanted > 0, CUBLAS_STATUS_INVALID_VALUE, "an argument is NULL");
	*found = 0;
	cublasStatus_t s = gather(&g, &d, desc, Adesc, Bdesc, Cdesc, Ddesc);
	if (s)
		return s;
	memcpy(&p, pref, sizeof(p));
	struct algo algo = {
	    .magic = ALGO_MAGIC, .workspace = p.workspace < MOST_WORKSPACE ? p.workspace : MOST_WORKSPACE};
	memcpy(algo.align, p.align, sizeof(algo.align));
	memset(results, 0, sizeof(*results));
	memcpy(&results->algo, &algo, sizeof(algo));
	results->workspaceSize = algo.workspace;
	results->state = CUBLAS_STATUS_SUCCESS;
	results->wavesCount = 1;
	*found = 1;
	return CUBLAS_STATUS_SUCCESS;
}

/* Bytes from the first to the last element. */
static size_t span(const struct gemm_matrix *m)
{
	int64_t last = (m->batch - 1) * m->stride + ((int64_t)m->cols - 1) * m->ld + (int64_t)m->rows;
	return (size_t)last * type_size((int32_t)m->type);
}

static bool overlap(const void *a, size_t na, const void *b, size_t nb)
{
	return (uintptr_t)a < (uintptr_t)b + nb && (uintptr_t)b < (uintptr_t)a + na;
}

static cublasStatus_t check_memory(const struct gemm *g, const struct algo *algo)
{
	const struct {
		const void *p;
		const struct gemm_matrix *m;
	} all[] = {{g->A, &g->a}, {g->B, &g->b}, {g->C, &g->c}, {g->D, &g->d}};
	for (int i = 0; i < 4; i++) {
		if (i == 2 && g->beta == 0) /* C is not touched */
			continue;
		REQUIRE(all[i].p, CUBLAS_STATUS_INVALID_VALUE, "a matrix is NULL");
		REQUIRE(simt_where(all[i].p, span(all[i].m)) == SIMT_DEVICE, CUBLAS_STATUS_INVALID_VALUE,
		    "a matrix is not in one live block of device memory");
		REQUIRE((uintptr_t)all[i].p % algo->align[i] == 0, CUBLAS_STATUS_INVALID_VALUE,
		    "a matrix is not aligned as the heuristic was told");
	}
	size_t d = span(&g->d);
	REQUIRE(!overlap(g->D, d, g->A, span(&g->a)) && !overlap(g->D, d, g->B, span(&g->b)),
	    CUBLAS_STATUS_INVALID_VALUE, "D overlaps an input");
	REQUIRE(g->beta == 0 || (g->C == g->D && g->c.ld == g->d.ld && g->c.stride == g->d.stride) ||
		    !overlap(g->D, d, g->C, span(&g->c)),
	    CUBLAS_STATUS_INVALID_VALUE, "D overlaps C with another layout");
	REQUIRE(g->workspace_bytes == 0 || simt_where(g->workspace, g->workspace_bytes) == SIMT_DEVICE,
	    CUBLAS_STATUS_INVALID_VALUE, "the workspace is smaller than the algorithm needs, or no device memory");
	REQUIRE(g->workspace_bytes == 0 || (uintptr_t)g->workspace % 256 == 0, CUBLAS_STATUS_INVALID_VALUE,
	    "the workspace is not aligned to 256 bytes");
	return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_epilogue_memory(const struct gemm *g)
{
	bool by_column = g->epilogue == CUBLASLT_EPILOGUE_BGRADB;
	bool bias = g->epilogue & (CUBLASLT_EPILOGUE_BIAS | 16) || g->epilogue >= CUBLASLT_EPILOGUE_BGRADA;
	size_t count = by_column ? g->d.cols : g->d.rows;
	REQUIRE(!bias || simt_where(g->bias, count * type_size((int32_t)g->bias_type)) == SIMT_DEVICE,
	    CUBLAS_STATUS_INVALID_VALUE, "the bias is NULL, or not in one live block of device memory");
	REQUIRE(!bias || (uintptr_t)g->bias % BIAS_ALIGN == 0, CUBLAS_STATUS_INVALID_VALUE, "the bias is not aligned");
	size_t bits = (size_t)g->aux_ld * g->d.cols;
	REQUIRE(!(g->epilogue & 128) || simt_where(g->aux, (bits + 7) / 8) == SIMT_DEVICE, CUBLAS_STATUS_INVALID_VALUE,
	    "the auxiliary mask is NULL, or not in one live block of device memory");
	return CUBLAS_STATUS_SUCCESS;
}

static void run_product(void *data)
{
	simt_count.gemms++;
	gemm_run(data);
	gemm_touch(data);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *A,
    cublasLtMatrixLayout_t Adesc, const void *B, cublasLtMatrixLayout_t Bdesc, const void *beta, const void *C,
    cublasLtMatrixLayout_t Cdesc, void *D, cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t *chosen,
    void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
	struct algo algo = {.magic = ALGO_MAGIC, .align = {4, 4, 4, 4}};
	struct gemm g;
	struct desc d;
	REQUIRE(handle, CUBLAS_STATUS_NOT_INITIALIZED, "no handle");
	REQUIRE(alpha && beta, CUBLAS_STATUS_INVALID_VALUE, "alpha or beta is NULL");
	if (simt_enter(__func__))
		return CUBLAS_STATUS_EXECUTION_FAILED;
	cublasStatus_t s = gather(&g, &d, desc, Adesc, Bdesc, Cdesc, Ddesc);
	if (s)
		return s;
	if (chosen)
		memcpy(&algo, chosen, sizeof(algo));
	REQUIRE(algo.magic == ALGO_MAGIC, CUBLAS_STATUS_INVALID_VALUE, "an algorithm that no heuristic gave");
	REQUIRE(workspace_bytes >= algo.workspace, CUBLAS_STATUS_INVALID_VALUE,
	    "the workspace is smaller than the algorithm needs, or no device memory");
	g.A = A;
	g.B = B;
	g.C = C;
	g.D = D;
	memcpy(&g.alpha, alpha, sizeof(g.alpha));
	memcpy(&g.beta, beta, sizeof(g.beta));
	g.workspace = workspace;
	g.workspace_bytes = algo.workspace;
	if (simt_check_device(__func__, "handle", handle->device) ||
	    simt_check_device(__func__, "stream", simt_stream_device(stream)) ||
	    simt_check_device(__func__, "output", simt_memory_device(D)))
		return CUBLAS_STATUS_INVALID_VALUE;
	s = check_memory(&g, &algo);
	if (!s)
		s = check_epilogue_memory(&g);
	if (s)
		return s;
	struct gemm *task = malloc(sizeof(*task));
	if (!task)
		return CUBLAS_STATUS_ALLOC_FAILED;
	*task = g;
	return simt_submit(stream, simt_work_make(__func__, run_product, NULL, task)) ? CUBLAS_STATUS_EXECUTION_FAILED
										      : CUBLAS_STATUS_SUCCESS;
}
