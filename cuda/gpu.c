/* The GPUs that this process can see: which one is asked for, whether it can be used, and what doctor and reports say
 * about it. Allocates nothing on a device. CUDA_VISIBLE_DEVICES decides what is visible. */
#include <stdio.h>

#include "base/err.h"
#include "cuda/check.h"
#include "cuda/kernels.h"

/* "13.0", or "none": the driver's version is 0 where there is no driver. */
static void version_text(int v, char out[16])
{
	if (v > 0)
		snprintf(out, 16, "%d.%d", v / 1000, v % 1000 / 10);
	else
		snprintf(out, 16, "none");
}

static void versions(char driver[16], char runtime[16])
{
	int v = 0;
	version_text(cudaDriverGetVersion(&v) == cudaSuccess ? v : 0, driver);
	v = 0;
	version_text(cudaRuntimeGetVersion(&v) == cudaSuccess ? v : 0, runtime);
}

static int no_gpu(const char *reason)
{
	char driver[16], runtime[16];
	cudaGetLastError();
	versions(driver, runtime);
	return err_set(ERR_DEVICE, "cuda: no usable GPU: %s (CUDA driver %s, runtime %s)", reason, driver, runtime);
}

/* Any error of the first call means that no GPU can be used, and leaves its output as it was. */
static int count_gpus(int *count)
{
	*count = 0;
	cudaError_t e = cudaGetDeviceCount(count);
	return e != cudaSuccess ? no_gpu(cudaGetErrorString(e)) : *count < 1 ? no_gpu("no GPU is visible") : 0;
}

static int check_capability(int gpu, const struct cudaDeviceProp *prop)
{
	return prop->major >= CUDA_OLDEST_MAJOR
		   ? 0
		   : err_set(ERR_DEVICE,
			 "cuda: no usable GPU: GPU %d (%s) has compute capability %d.%d, at least %d.0 is needed", gpu,
			 prop->name, prop->major, prop->minor, CUDA_OLDEST_MAJOR);
}

int cuda_choose_gpu(int gpu, struct cudaDeviceProp *prop)
{
	int count, rc = count_gpus(&count);
	if (rc)
		return rc;
	if (gpu < 0 || gpu >= count) {
		return err_set(ERR_DEVICE, "cuda: there is no GPU %d: %d GPU%s visible (CUDA_VISIBLE_DEVICES chooses)",
		    gpu, count, count == 1 ? " is" : "s are");
	}
	cudaError_t e = cudaSetDevice(gpu);
	if (e == cudaSuccess)
		e = cudaGetDeviceProperties(prop, gpu);
	return e != cudaSuccess ? no_gpu(cudaGetErrorString(e)) : check_capability(gpu, prop);
}

/* What is said about a GPU wherever one is named; its memory as it is now. The GPU must be the current one. */
static int add_gpu(cJSON *o, int gpu, const struct cudaDeviceProp *prop)
{
	char capability[32];
	size_t available = 0, total = 0;
	int rc = CUDA_TRY(cudaMemGetInfo(&available, &total));
	if (rc)
		return rc;
	snprintf(capability, sizeof(capability), "%d.%d", prop->major, prop->minor);
	bool ok = cJSON_AddStringToObject(o, "gpu", prop->name) && cJSON_AddNumberToObject(o, "index", gpu) &&
		  cJSON_AddStringToObject(o, "compute_capability", capability) &&
		  cJSON_AddNumberToObject(o, "multiprocessors", prop->multiProcessorCount) &&
		  cJSON_AddNumberToObject(o, "memory_total", (double)total) &&
		  cJSON_AddNumberToObject(o, "memory_free", (double)available);
	return ok ? 0 : err_set(ERR_NOMEM, "cuda: describe: out of memory");
}

/* The oldest GPUs that are taken multiply all three types. Integer rows are missing, so nothing saturates. */
void cuda_fill_traits(struct device_traits *t, const struct cudaDeviceProp *prop)
{
	*t = (struct device_traits){.vnni = true, .bf16 = true, .f16 = true, .tf32 = true};
	snprintf(t->name, sizeof(t->name), "%s", prop->name);
}

const struct device_traits *cuda_traits(void *ctx)
{
	return &((const struct cuda_ctx *)ctx)->traits;
}

int cuda_describe(void *ctx, cJSON *o)
{
	const struct cuda_ctx *c = ctx;
	struct cudaDeviceProp prop;
	char driver[16], runtime[16], cublas[32];
	const size_t v = cublasLtGetVersion();
	int rc = CUDA_TRY(cudaGetDeviceProperties(&prop, c->device));
	if (rc)
		return rc;
	if (!cJSON_AddStringToObject(o, "backend", "cuda"))
		return err_set(ERR_NOMEM, "cuda: describe: out of memory");
	rc = add_gpu(o, c->device, &prop);
	if (rc)
		return rc;
	versions(driver, runtime);
	snprintf(cublas, sizeof(cublas), "%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
	bool ok = cJSON_AddBoolToObject(o, "bf16", c->traits.bf16) && cJSON_AddBoolToObject(o, "f16", c->traits.f16) &&
		  cJSON_AddBoolToObject(o, "tf32", c->traits.tf32) && cJSON_AddStringToObject(o, "driver", driver) &&
		  cJSON_AddStringToObject(o, "runtime", runtime) && cJSON_AddStringToObject(o, "cublas", cublas);
	return ok ? 0 : err_set(ERR_NOMEM, "cuda: describe: out of memory");
}

/* One GPU of the list; what keeps it from being used is its reason. */
static int list_gpu(cJSON *array, int gpu)
{
	struct cudaDeviceProp prop;
	cJSON *o = cJSON_CreateObject();
	if (!o || !cJSON_AddItemToArray(array, o)) {
		cJSON_Delete(o);
		return err_set(ERR_NOMEM, "cuda: list: out of memory");
	}
	int rc = CUDA_TRY(cudaSetDevice(gpu));
	if (!rc)
		rc = CUDA_TRY(cudaGetDeviceProperties(&prop, gpu));
	if (!rc)
		rc = add_gpu(o, gpu, &prop);
	if (!rc)
		rc = check_capability(gpu, &prop);
	bool ok = cJSON_AddBoolToObject(o, "usable", !rc);
	if (rc == ERR_DEVICE) {
		ok = ok && (cJSON_HasObjectItem(o, "index") || cJSON_AddNumberToObject(o, "index", gpu)) &&
		     cJSON_AddStringToObject(o, "reason", err_message());
		err_clear();
		rc = 0;
	}
	return rc || ok ? rc : err_set(ERR_NOMEM, "cuda: list: out of memory");
}

int cuda_list(cJSON *array)
{
	int count, before = 0, rc = count_gpus(&count);
	if (!rc)
		rc = CUDA_TRY(cudaGetDevice(&before));
	if (rc)
		return rc;
	for (int gpu = 0; !rc && gpu < count; gpu++)
		rc = list_gpu(array, gpu);
	cudaError_t e = cudaSetDevice(before);
	return rc ? rc : cuda_check(e, "cudaSetDevice");
}
