/* Failures of the CUDA runtime and of cuBLASLt as errors of the program: ERR_DEVICE with the name of the failing call
 * and the library's own reason. C and C++. */
#ifndef CUDA_CHECK_H
#define CUDA_CHECK_H

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* rc = CUDA_TRY(cudaMemsetAsync(...)): 0 or ERR_DEVICE. */
#define CUDA_TRY(call) cuda_check((call), #call)
#define LT_TRY(call)   cuda_lt_check((call), #call)

/* `call` is the source text; its name alone goes into the message. An error that surfaces later than its kernel names
 * the last kernel that was launched; CUDA_LAUNCH_BLOCKING=1 in the environment makes that the guilty one. */
int cuda_check(cudaError_t e, const char *call);
int cuda_lt_check(cublasStatus_t s, const char *call);
/* Checks and counts the launch just made: 0 or ERR_DEVICE naming the kernel. For LAUNCH (launch.h) and products. */
int cuda_launched(const char *kernel);
/* Of the kernels counted so far, this many were recorded and did not run; a recording of so many kernels was launched.
 */
void cuda_unlaunched(uint64_t kernels);
void cuda_replayed(uint64_t kernels);

#ifdef __cplusplus
}
#endif

#endif
