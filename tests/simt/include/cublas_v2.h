/* The toolkit's names of cuBLAS, version 2 of its API. */
#ifndef SIMT_CUBLAS_V2_H
#define SIMT_CUBLAS_V2_H

#include "cublas_api.h"

#define cublasCreate     cublasCreate_v2
#define cublasDestroy    cublasDestroy_v2
#define cublasGetVersion cublasGetVersion_v2
#define cublasSetStream  cublasSetStream_v2
#define cublasSgemm      cublasSgemm_v2

#endif
