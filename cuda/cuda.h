/* The CUDA backend: cuBLASLt for products, own kernels for the rest. It trains and runs float graphs and the training
 * graphs of quantization; lowered integer graphs belong to the CPU, so its OP_Q* rows are missing. All work of a device
 * goes through one stream in program order, and sums run in a fixed order: a rerun gives the same bytes. */
#ifndef CUDA_CUDA_H
#define CUDA_CUDA_H

#include "exec/backend.h"

extern const struct backend cuda_backend;

/* Kernels and products that this process has launched, on all devices: what a step costs the host. */
uint64_t cuda_launches(void);

#endif
