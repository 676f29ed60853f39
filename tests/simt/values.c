/* See values.h. Compiled twice, with VALUES as the name of what it defines. */
#include "simt/values.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stddef.h>

#define V(name)     {#name, (long long)(name)},
#define SIZE(type)  {"sizeof " #type, (long long)sizeof(type)},
#define PLACE(t, m) {"offset of " #t "." #m, (long long)offsetof(t, m)},

const struct value VALUES[] = {
    /* clang-format off */
    V(cudaSuccess) V(cudaErrorInvalidValue) V(cudaErrorMemoryAllocation) V(cudaErrorInitializationError)
    V(cudaErrorCudartUnloading) V(cudaErrorInvalidConfiguration) V(cudaErrorInvalidMemcpyDirection)
    V(cudaErrorInsufficientDriver) V(cudaErrorNoDevice) V(cudaErrorInvalidDevice)
    V(cudaErrorNoKernelImageForDevice) V(cudaErrorInvalidResourceHandle) V(cudaErrorIllegalState)
    V(cudaErrorNotReady) V(cudaErrorIllegalAddress) V(cudaErrorLaunchOutOfResources) V(cudaErrorLaunchTimeout)
    V(cudaErrorLaunchFailure) V(cudaErrorStreamCaptureUnsupported) V(cudaErrorStreamCaptureInvalidated)
    V(cudaErrorStreamCaptureUnmatched) V(cudaErrorStreamCaptureUnjoined) V(cudaErrorStreamCaptureIsolation)
    V(cudaErrorStreamCaptureImplicit) V(cudaErrorCapturedEvent) V(cudaErrorUnknown)
    V(cudaMemcpyHostToHost) V(cudaMemcpyHostToDevice) V(cudaMemcpyDeviceToHost) V(cudaMemcpyDeviceToDevice)
    V(cudaMemcpyDefault) V(cudaHostAllocPortable) V(cudaHostAllocMapped) V(cudaHostAllocWriteCombined)
    V(cudaStreamNonBlocking) V(cudaEventBlockingSync) V(cudaEventDisableTiming) V(cudaStreamLegacy)
    V(cudaStreamCaptureModeGlobal) V(cudaStreamCaptureModeThreadLocal) V(cudaStreamCaptureModeRelaxed)
    V(cudaStreamCaptureStatusNone) V(cudaStreamCaptureStatusActive) V(cudaStreamCaptureStatusInvalidated)
    V(cudaFuncAttributeMaxDynamicSharedMemorySize) V(cudaFuncAttributePreferredSharedMemoryCarveout)
    V(cudaDevAttrMaxThreadsPerBlock) V(cudaDevAttrMaxSharedMemoryPerBlock) V(cudaDevAttrWarpSize)
    V(cudaDevAttrClockRate) V(cudaDevAttrMultiProcessorCount) V(cudaDevAttrMemoryClockRate)
    V(cudaDevAttrGlobalMemoryBusWidth) V(cudaDevAttrL2CacheSize) V(cudaDevAttrMaxThreadsPerMultiProcessor)
    V(cudaDevAttrComputeCapabilityMajor) V(cudaDevAttrComputeCapabilityMinor)
    V(cudaDevAttrMaxSharedMemoryPerMultiprocessor) V(cudaDevAttrMaxSharedMemoryPerBlockOptin)
    V(CUDA_R_32F) V(CUDA_R_64F) V(CUDA_R_16F) V(CUDA_R_8I) V(CUDA_R_8U) V(CUDA_R_32I) V(CUDA_R_16BF)
    V(CUBLAS_STATUS_SUCCESS) V(CUBLAS_STATUS_NOT_INITIALIZED) V(CUBLAS_STATUS_ALLOC_FAILED)
    V(CUBLAS_STATUS_INVALID_VALUE) V(CUBLAS_STATUS_ARCH_MISMATCH) V(CUBLAS_STATUS_MAPPING_ERROR)
    V(CUBLAS_STATUS_EXECUTION_FAILED) V(CUBLAS_STATUS_INTERNAL_ERROR) V(CUBLAS_STATUS_NOT_SUPPORTED)
    V(CUBLAS_OP_N) V(CUBLAS_OP_T) V(CUBLAS_OP_C) V(CUBLAS_POINTER_MODE_HOST) V(CUBLAS_POINTER_MODE_DEVICE)
    V(CUBLAS_COMPUTE_32F) V(CUBLAS_COMPUTE_32F_PEDANTIC) V(CUBLAS_COMPUTE_32F_FAST_TF32)
    V(CUBLASLT_POINTER_MODE_HOST) V(CUBLASLT_POINTER_MODE_DEVICE) V(CUBLASLT_ORDER_COL) V(CUBLASLT_ORDER_ROW)
    V(CUBLASLT_MATRIX_LAYOUT_TYPE) V(CUBLASLT_MATRIX_LAYOUT_ORDER) V(CUBLASLT_MATRIX_LAYOUT_ROWS)
    V(CUBLASLT_MATRIX_LAYOUT_COLS) V(CUBLASLT_MATRIX_LAYOUT_LD) V(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT)
    V(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)
    V(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE) V(CUBLASLT_MATMUL_DESC_SCALE_TYPE) V(CUBLASLT_MATMUL_DESC_POINTER_MODE)
    V(CUBLASLT_MATMUL_DESC_TRANSA) V(CUBLASLT_MATMUL_DESC_TRANSB) V(CUBLASLT_MATMUL_DESC_TRANSC)
    V(CUBLASLT_MATMUL_DESC_FILL_MODE) V(CUBLASLT_MATMUL_DESC_EPILOGUE) V(CUBLASLT_MATMUL_DESC_BIAS_POINTER)
    V(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE) V(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER)
    V(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD) V(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE)
    V(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE) V(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE)
    V(CUBLASLT_EPILOGUE_DEFAULT) V(CUBLASLT_EPILOGUE_RELU) V(CUBLASLT_EPILOGUE_BIAS)
    V(CUBLASLT_EPILOGUE_RELU_BIAS) V(CUBLASLT_EPILOGUE_RELU_AUX) V(CUBLASLT_EPILOGUE_RELU_AUX_BIAS)
    V(CUBLASLT_EPILOGUE_DRELU) V(CUBLASLT_EPILOGUE_DRELU_BGRAD) V(CUBLASLT_EPILOGUE_GELU)
    V(CUBLASLT_EPILOGUE_GELU_BIAS) V(CUBLASLT_EPILOGUE_GELU_AUX) V(CUBLASLT_EPILOGUE_GELU_AUX_BIAS)
    V(CUBLASLT_EPILOGUE_DGELU) V(CUBLASLT_EPILOGUE_DGELU_BGRAD) V(CUBLASLT_EPILOGUE_BGRADA)
    V(CUBLASLT_EPILOGUE_BGRADB) V(CUBLASLT_MATMUL_PREF_SEARCH_MODE)
    V(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) V(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES)
    V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES) V(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)
    V(CUBLASLT_REDUCTION_SCHEME_NONE) V(CUBLASLT_REDUCTION_SCHEME_INPLACE)
    V(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) V(CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE)
    V(CUBLASLT_REDUCTION_SCHEME_MASK)
    SIZE(cublasLtMatmulDescOpaque_t) SIZE(cublasLtMatrixLayoutOpaque_t) SIZE(cublasLtMatmulPreferenceOpaque_t)
    SIZE(cublasLtMatmulAlgo_t) SIZE(cublasLtMatmulHeuristicResult_t)
    PLACE(cublasLtMatmulHeuristicResult_t, workspaceSize) PLACE(cublasLtMatmulHeuristicResult_t, state)
    {NULL, 0}
    /* clang-format on */
};
