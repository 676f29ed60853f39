/* The errors of the CUDA libraries, and the count of the kernels that were launched; see check.h. */
#include <string.h>

#include "base/err.h"
#include "cuda/check.h"
#include "cuda/cuda.h"

/* Names of kernels are literals. One host thread drives a device. */
static const char *last_kernel;
static uint64_t launches;

uint64_t cuda_launches(void)
{
	return launches;
}

static int name_length(const char *call)
{
	return (int)strcspn(call, "(");
}

int cuda_check(cudaError_t e, const char *call)
{
	if (e == cudaSuccess)
		return 0;
	cudaGetLastError(); /* else the next launch would be blamed for an error that was handled here */
	const bool of_kernel = e >= cudaErrorIllegalAddress && e <= cudaErrorLaunchFailure;
	return err_set(ERR_DEVICE, "%.*s: %s (last kernel launched: %s%s)", name_length(call), call,
	    cudaGetErrorString(e), last_kernel ? last_kernel : "none",
	    of_kernel ? "; with CUDA_LAUNCH_BLOCKING=1 the message names the one at fault" : "");
}

int cuda_lt_check(cublasStatus_t s, const char *call)
{
	if (s == CUBLAS_STATUS_SUCCESS)
		return 0;
	return err_set(ERR_DEVICE, "%.*s: %s", name_length(call), call, cublasLtGetStatusString(s));
}

void cuda_unlaunched(uint64_t kernels)
{
	launches -= kernels;
}

void cuda_replayed(uint64_t kernels)
{
	last_kernel = "one of a recorded step";
	launches += kernels;
}

int cuda_launched(const char *kernel)
{
	cudaError_t e = cudaGetLastError();
	if (e == cudaSuccess) {
		last_kernel = kernel;
		launches++;
		return 0;
	}
	return err_set(ERR_DEVICE, "kernel %s: %s", kernel, cudaGetErrorString(e));
}
