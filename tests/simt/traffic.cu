/* Kernels whose bytes one can count by hand; see traffic.h. */
#include "traffic.h"

#include "simt.h"

template <typename... P, typename... A>
static void run(const char *name, dim3 grid, dim3 block, cudaStream_t stream, void (*kernel)(P...), A... a)
{
	simt_launch(name, grid, block, 0, stream, [=] { kernel(a...); });
}

__global__ void __launch_bounds__(64) window_sums(const float *x, float *y, int n)
{
	__shared__ float shared[64];
	const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
	shared[threadIdx.x] = 0.0f;
	for (int k = 0; k < 3; k++)
		if (i + k < n + 2)
			shared[threadIdx.x] += x[i + k];
	__syncthreads();
	if (i < n)
		y[i] = shared[threadIdx.x];
}

__global__ void __launch_bounds__(64) halve(float4 *fours, uint8_t *seen, int n)
{
	const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
	if (i >= n)
		return;
	float4 v = fours[i];
	v.x *= 0.5f;
	v.y *= 0.5f;
	v.z *= 0.5f;
	v.w *= 0.5f;
	fours[i] = v;
	seen[i] = 1;
}

void traffic_window_sums(const float *x, float *y, int n, cudaStream_t stream)
{
	run("window_sums", unsigned(n + 63) / 64, 64, stream, window_sums, x, y, n);
}

void traffic_halve(float *fours, uint8_t *seen, int n, cudaStream_t stream)
{
	run("halve", unsigned(n + 63) / 64, 64, stream, halve, reinterpret_cast<float4 *>(fours), seen, n);
}
