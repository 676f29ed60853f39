/* The CUDA backend: cuBLASLt for products, own kernels for the rest. It trains and runs float graphs and the training
 * graphs of quantization; lowered integer graphs belong to the CPU, so its OP_Q* rows are missing. All work of a device
 * goes through one stream in program order, and sums run in a fixed order: a rerun gives the same bytes. */
#ifndef CUDA_CUDA_H
#define CUDA_CUDA_H

#include "exec/backend.h"

extern const struct backend cuda_backend;

/* The most bytes of convolution columns made at a time, by executors prepared from now on; at least one image. For
 * tests: the default suits large GPUs. */
void cuda_set_chunk(void *ctx, int64_t bytes);
/* Kernels and products that this process has launched, on all devices, those of recorded steps included. */
uint64_t cuda_launches(void);

#endif
