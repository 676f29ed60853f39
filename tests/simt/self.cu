/* See self.h. */
#include "self.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "simt.h"

#define RUN(kernel, grid, block, smem, stream, ...) run(#kernel, grid, block, smem, stream, kernel, __VA_ARGS__)

template <typename... P, typename... A>
static void run(const char *name, dim3 grid, dim3 block, size_t smem, cudaStream_t stream, void (*kernel)(P...), A... a)
{
	simt_launch(name, grid, block, smem, stream, [=] { kernel(a...); });
}

/* --- right ones ----------------------------------------------------------------------------------------------------
 */

/* The largest of the block in every thread; shared: 32 values. */
static __device__ float block_max(float v, float *shared)
{
	for (int d = 16; d; d /= 2)
		v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
	if (threadIdx.x % 32 == 0)
		shared[threadIdx.x / 32] = v;
	__syncthreads();
	v = shared[0];
	for (unsigned i = 1; i < blockDim.x / 32; i++)
		v = fmaxf(v, shared[i]);
	__syncthreads();
	return v;
}

static __device__ float block_sum(float v, float *shared)
{
	for (int d = 16; d; d /= 2)
		v += __shfl_xor_sync(0xffffffffu, v, d);
	if (threadIdx.x % 32 == 0)
		shared[threadIdx.x / 32] = v;
	__syncthreads();
	v = 0;
	for (unsigned i = 0; i < blockDim.x / 32; i++)
		v += shared[i];
	__syncthreads();
	return v;
}

template <typename T> __global__ void __launch_bounds__(128) softmax(const float *x, float *y, int cols)
{
	__shared__ float shared[32];
	SIMT_DYNAMIC_SHARED(T, row);
	float top = -INFINITY, sum = 0;
	x += (size_t)blockIdx.x * static_cast<unsigned>(cols);
	y += (size_t)blockIdx.x * static_cast<unsigned>(cols);
	for (int c = static_cast<int>(threadIdx.x); c < cols; c += static_cast<int>(blockDim.x)) {
		row[c] = T(x[c]);
		top = fmaxf(top, static_cast<float>(row[c]));
	}
	top = block_max(top, shared);
	for (int c = static_cast<int>(threadIdx.x); c < cols; c += static_cast<int>(blockDim.x))
		sum += expf(static_cast<float>(row[c]) - top);
	sum = block_sum(sum, shared);
	for (int c = static_cast<int>(threadIdx.x); c < cols; c += static_cast<int>(blockDim.x))
		y[c] = expf(static_cast<float>(row[c]) - top) / sum;
}

void self_softmax(const float *x, float *y, int rows, int cols, int in_half, cudaStream_t stream)
{
	if (in_half)
		RUN(softmax<__half>, dim3(unsigned(rows)), 128, size_t(cols) * 2, stream, x, y, cols);
	else
		RUN(softmax<float>, dim3(unsigned(rows)), 128, size_t(cols) * 4, stream, x, y, cols);
}

__global__ void add(const float *x, float *y, int n, float a, int unchecked)
{
	int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
	if (i < n || unchecked)
		y[i] = x[i] + a;
}

void self_add(const float *x, float *y, int n, float a, int unchecked, cudaStream_t stream)
{
	RUN(add, unsigned(n + 63) / 64, 64, 0, stream, x, y, n, a, unchecked);
}

__global__ void store(struct self_padded from, int *y)
{
	*y = from.value;
}

void self_store(struct self_padded from, int *y, cudaStream_t stream)
{
	RUN(store, 1, 1, 0, stream, from, y);
}

__global__ void scale(float *y, int n, float a, float b)
{
	int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
	if (i < n)
		y[i] = y[i] * a + b;
}

void self_scale(float *y, int n, float a, float b, cudaStream_t stream)
{
	RUN(scale, unsigned(n + 63) / 64, 64, 0, stream, y, n, a, b);
}

__global__ void reverse(const float *x, float *y, int barrier)
{
	__shared__ float shared[64];
	shared[threadIdx.x] = x[threadIdx.x];
	if (barrier)
		__syncthreads();
	y[threadIdx.x] = shared[63 - threadIdx.x];
}

void self_reverse(const float *x, float *y, int barrier, cudaStream_t stream)
{
	RUN(reverse, 1, 64, 0, stream, x, y, barrier);
}

__global__ void collectives(int *wrong)
{
	const unsigned all = 0xffffffffu;
	int t = static_cast<int>(threadIdx.x), lane = t % 32, bad;
	atomicAdd(&wrong[0], __ballot_sync(all, lane % 3 == 0) != 0x49249249u);
	atomicAdd(&wrong[1], __any_sync(all, t == 33) != (t >= 32) || __all_sync(all, t < 32) != (t < 32));
	atomicAdd(&wrong[2], __syncthreads_or(t == 5) == 0 || __syncthreads_and(t < 63) != 0);
	atomicAdd(&wrong[3], __syncthreads_count(t % 2) != 32);
	bad = __shfl_sync(all, t, 3, 8) != (t & ~7) + 3;
	bad |= __shfl_up_sync(all, t, 2) != (lane < 2 ? t : t - 2);
	bad |= __shfl_down_sync(all, t, 4, 16) != (lane % 16 > 11 ? t : t + 4);
	bad |= __shfl_xor_sync(all, 2.5 * t, 9) != 2.5 * (t ^ 9);
	atomicAdd(&wrong[4], bad);
	/* Half a warp may meet alone, and a lane that has returned need not come. */
	if (lane < 16)
		bad = __shfl_xor_sync(0xffffu, t, 8) != (t ^ 8);
	__syncwarp();
	atomicAdd(&wrong[5], bad);
	atomicMax(&wrong[6], 0);
	if (lane >= 24)
		return;
	atomicAdd(&wrong[6], __shfl_down_sync(all, t, 1) != t + 1 && lane < 23);
}

void self_collectives(int *wrong, cudaStream_t stream)
{
	RUN(collectives, 1, 64, 0, stream, wrong);
}

__global__ void uninitialised(float *y)
{
	__shared__ float fixed[4];
	SIMT_DYNAMIC_SHARED(float, dynamic);
	y[2 * blockIdx.x] = fixed[threadIdx.x];
	y[2 * blockIdx.x + 1] = dynamic[3];
	fixed[threadIdx.x] = dynamic[3] = 1;
}

void self_uninitialised(float *y, cudaStream_t stream)
{
	RUN(uninitialised, 2, 1, 16, stream, y);
}

__global__ void order(int *y, int *counter)
{
	y[atomicAdd(counter, 1)] = static_cast<int>(threadIdx.x);
}

void self_order(int *y, int *counter, int threads, cudaStream_t stream)
{
	RUN(order, 1, unsigned(threads), 0, stream, y, counter);
}

__global__ void runs_ahead(int *y)
{
	__shared__ int shared[2];
	int t = static_cast<int>(threadIdx.x), v;
	if (t % 32 == 0)
		shared[t / 32] = 1 + t / 32;
	__syncthreads();
	y[t] = shared[0] + shared[1];
	v = __shfl_xor_sync(0xffffffffu, t, 1);
	if (t % 32 == 0)
		shared[t / 32] = 100 * v;
}

void self_runs_ahead(int *y, cudaStream_t stream)
{
	RUN(runs_ahead, 1, 64, 0, stream, y);
}

/* --- wrong ones ----------------------------------------------------------------------------------------------------
 */

__global__ void returns_before_barrier(int thread)
{
	if (threadIdx.x == unsigned(thread))
		return;
	__syncthreads();
}

void self_returns_before_barrier(cudaStream_t stream)
{
	RUN(returns_before_barrier, dim3(2, 3), dim3(8, 4), 0, stream, 5);
}

__global__ void two_barriers(int limit)
{
	if (threadIdx.x < unsigned(limit))
		__syncthreads();
	else
		__syncthreads();
}

void self_two_barriers(cudaStream_t stream)
{
	RUN(two_barriers, 1, 64, 0, stream, 32);
}

__global__ void deadlock(int limit)
{
	if (threadIdx.x < unsigned(limit))
		__shfl_sync(0xffffffffu, 1, 0);
	else
		__syncthreads();
}

void self_deadlock(cudaStream_t stream)
{
	RUN(deadlock, 1, 32, 0, stream, 16);
}

__global__ void lane_not_in_mask(unsigned mask)
{
	__shfl_sync(mask, 1, 0);
}

void self_lane_not_in_mask(cudaStream_t stream)
{
	RUN(lane_not_in_mask, 1, 32, 0, stream, 0xffffu);
}

__global__ void dynamic_shared(int at)
{
	SIMT_DYNAMIC_SHARED(float, shared);
	shared[at] = 1;
}

void self_dynamic_shared(int bytes, int store_at, cudaStream_t stream)
{
	RUN(dynamic_shared, 1, 1, size_t(bytes), stream, store_at);
}

void self_opt_in_shared(int bytes)
{
	cudaFuncSetAttribute(dynamic_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

__global__ void static_shared(int at)
{
	__shared__ float shared[33];
	shared[at] = 1;
	__syncthreads();
	if (shared[0] > 2)
		shared[1] = 0;
}

void self_static_shared(int store_at, cudaStream_t stream)
{
	RUN(static_shared, 1, 1, 0, stream, store_at);
}

__global__ void misaligned(float *p)
{
	*reinterpret_cast<float4 *>(p + 1) = make_float4(1, 2, 3, 4);
}

void self_misaligned(float *p, cudaStream_t stream)
{
	RUN(misaligned, 1, 1, 0, stream, p);
}

static __device__ __noinline__ int descend(int depth)
{
	volatile char frame[4096];
	frame[0] = static_cast<char>(depth);
	return depth == 0 ? frame[0] : descend(depth - 1) + frame[0];
}

__global__ void deep_stack(int depth)
{
	descend(depth);
}

void self_deep_stack(int depth, cudaStream_t stream)
{
	RUN(deep_stack, 1, 1, 0, stream, depth);
}

__global__ void nothing(int) {}

void self_shape(unsigned grid_y, unsigned threads, cudaStream_t stream)
{
	RUN(nothing, dim3(1, grid_y), threads, 0, stream, 0);
}

__global__ void __launch_bounds__(64) bounds_64(int) {}

void self_bounds_64(unsigned threads, cudaStream_t stream)
{
	RUN(bounds_64, 1, threads, 0, stream, 0);
}

/* --- arithmetic ----------------------------------------------------------------------------------------------------
 */

uint16_t self_to_half(float f)
{
	return __half_as_ushort(__float2half_rn(f));
}

float self_from_half(uint16_t h)
{
	return __half2float(__ushort_as_half(h));
}

uint16_t self_to_bfloat16(float f)
{
	return __bfloat16_as_ushort(__float2bfloat16_rn(f));
}

int self_float2int_rn(float f)
{
	return __float2int_rn(f);
}
