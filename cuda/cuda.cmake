# The CUDA backend, where there is a CUDA compiler; without one everything else is built as if this folder were not there.
if(NOT PIPELINE_CUDA STREQUAL OFF)
  include(CheckLanguage)
  check_language(CUDA)
  if(PIPELINE_CUDA STREQUAL ON AND NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "PIPELINE_CUDA is ON, but there is no CUDA compiler (nvcc in PATH, or CUDACXX)")
  endif()
endif()
if(PIPELINE_CUDA STREQUAL OFF OR NOT CMAKE_CUDA_COMPILER)
  message(STATUS "CUDA backend: not built (PIPELINE_CUDA is ${PIPELINE_CUDA}, CUDA compiler: ${CMAKE_CUDA_COMPILER})")
  return()
endif()

# Code for Hopper GPUs, and PTX that the driver compiles for any other GPU from compute capability 8.0 on.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-virtual 90-real)
endif()
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
enable_language(CUDA)
find_package(CUDAToolkit 12 REQUIRED)
message(STATUS "CUDA backend: toolkit ${CUDAToolkit_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")

file(GLOB cuda_sources CONFIGURE_DEPENDS cuda/*.c cuda/*.cu)
add_library(cuda_backend STATIC ${cuda_sources} cuda/load/cublaslt.c)
target_link_libraries(cuda_backend PUBLIC flags engine_exec CUDA::cudart_static ${CMAKE_DL_LIBS})
target_include_directories(cuda_backend SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
# Products and sums are fused only where a kernel says so: the arithmetic of quantization is defined without, and the
# same kernels run on the host in tests/simt.
target_compile_options(cuda_backend PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false -Werror=all-warnings -Xcompiler=-Wall,-Wextra>)
set_source_files_properties(cuda/load/cublaslt.c PROPERTIES
    COMPILE_DEFINITIONS "CUDA_LIBRARY_DIR=\"${CUDAToolkit_LIBRARY_DIR}\"")
# The only source that knows whether the backend is built in.
set_source_files_properties(pipeline/registry.c PROPERTIES COMPILE_DEFINITIONS HAVE_CUDA)
set(cuda_library cuda_backend)
