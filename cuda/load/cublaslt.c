/* cuBLASLt, loaded when the first of its functions is called: linked in, its 500 MB would be mapped and relocated at
 * every start of the program (0.2 s), also for work on the CPU, and a machine without it could not start the program at
 * all. Functions of the library's own names and signatures, for all that lt.c and device.c call; the linker says which
 * one is missing. Holds nothing else. */
#include <cublasLt.h>
#include <dlfcn.h>
#include <stdio.h>

#define TEXT_OF(x)      #x
#define TEXT(x)         TEXT_OF(x)
#define LIBRARY         "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)
#define STATUS_UNLOADED CUBLAS_STATUS_NOT_INITIALIZED

static char reason[256];

/* By the loader's own search, then from the toolkit that the program was built with. */
static void *library(void)
{
	static void *handle;
	if (!handle)
		handle = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
	if (!handle) {
		const char *why = dlerror();
		snprintf(reason, sizeof(reason), "%s", why ? why : LIBRARY " cannot be loaded");
		handle = dlopen(CUDA_LIBRARY_DIR "/" LIBRARY, RTLD_LAZY | RTLD_LOCAL);
	}
	return handle;
}

static void *symbol(const char *name)
{
	void *handle = library(), *found = handle ? dlsym(handle, name) : NULL;
	if (handle && !found)
		snprintf(reason, sizeof(reason), "%s has no %s", LIBRARY, name);
	return found;
}

/* A function of the library that stays found; POSIX lets a data pointer from dlsym be a function. */
#define FORWARD(name, parameters, arguments)                                                                           \
	cublasStatus_t name parameters                                                                                 \
	{                                                                                                              \
		static __typeof__(&name) real;                                                                         \
		if (!real)                                                                                             \
			*(void **)&real = symbol(#name);                                                               \
		return real ? real arguments : STATUS_UNLOADED;                                                        \
	}

FORWARD(cublasLtCreate, (cublasLtHandle_t * h), (h))
FORWARD(cublasLtDestroy, (cublasLtHandle_t h), (h))
FORWARD(
    cublasLtMatmulDescCreate, (cublasLtMatmulDesc_t * d, cublasComputeType_t c, cudaDataType_t scale), (d, c, scale))
FORWARD(cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t d), (d))
FORWARD(cublasLtMatmulDescSetAttribute,
    (cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what, const void *value, size_t size),
    (d, what, value, size))
FORWARD(cublasLtMatrixLayoutCreate,
    (cublasLtMatrixLayout_t * l, cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld),
    (l, type, rows, cols, ld))
FORWARD(cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t l), (l))
FORWARD(cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t * p), (p))
FORWARD(cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t p), (p))
FORWARD(cublasLtMatmulPreferenceSetAttribute,
    (cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t what, const void *value, size_t size),
    (p, what, value, size))
FORWARD(cublasLtMatmulAlgoGetHeuristic,
    (cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t la, cublasLtMatrixLayout_t lb,
	cublasLtMatrixLayout_t lc, cublasLtMatrixLayout_t ld, cublasLtMatmulPreference_t p, int wanted,
	cublasLtMatmulHeuristicResult_t results[], int *found),
    (h, d, la, lb, lc, ld, p, wanted, results, found))
FORWARD(cublasLtMatmul,
    (cublasLtHandle_t h, cublasLtMatmulDesc_t desc, const void *alpha, const void *a, cublasLtMatrixLayout_t la,
	const void *b, cublasLtMatrixLayout_t lb, const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *d,
	cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
	cudaStream_t stream),
    (h, desc, alpha, a, la, b, lb, beta, c, lc, d, ld, algo, workspace, bytes, stream))

size_t cublasLtGetVersion(void)
{
	static __typeof__(&cublasLtGetVersion) real;
	if (!real)
		*(void **)&real = symbol("cublasLtGetVersion");
	return real ? real() : 0;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
	static __typeof__(&cublasLtGetStatusString) real;
	if (!real)
		*(void **)&real = symbol("cublasLtGetStatusString");
	return real ? real(status) : reason;
}
