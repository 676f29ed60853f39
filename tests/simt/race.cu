/* A program for the thread sanitizer: `simt_race_program right` adds up a block's values with the barriers that are
 * needed, and exits with 0; `... no-barrier` leaves the first one out and `... reused` the second, and the sanitizer
 * ends it with 66. Shuffles are between the accesses, but order no memory. The test reads the lines from here. */
#include <stdio.h>
#include <string.h>

#include "simt.h"

enum { RIGHT, NO_BARRIER, REUSED };

/* Twice, so that the shared memory is used again. */
__global__ void __launch_bounds__(96) add_up(const float *x, float *y, int mistake)
{
	__shared__ float part[3];
	for (int round = 0; round < 2; round++) {
		float v = x[round * 96 + static_cast<int>(threadIdx.x)];
		for (int d = 16; d; d /= 2)
			v += __shfl_xor_sync(0xffffffffu, v, d);
		if (threadIdx.x % 32 == 0)
			part[threadIdx.x / 32] = v; /* LINE reused */
		if (mistake != NO_BARRIER)
			__syncthreads();
		if (threadIdx.x == 40)
			y[round] = part[0] + part[1] + part[2]; /* LINE no-barrier */
		if (mistake != REUSED)
			__syncthreads();
	}
}

/* Lanes of a warp exchange through memory: __syncwarp orders it, a shuffle does not. */
__global__ void neighbours(float *x, int mistake)
{
	__shared__ float shared[32];
	int t = static_cast<int>(threadIdx.x);
	shared[t] = x[t];
	if (mistake == NO_BARRIER)
		__shfl_sync(0xffffffffu, t, 0);
	else
		__syncwarp();
	x[t] = shared[31 - t]; /* LINE no-syncwarp */
}

int main(int argc, char **argv)
{
	float x[192], y[2];
	void *dx, *dy;
	const char *what = argc > 1 ? argv[1] : "";
	int mistake = strncmp(what, "no-", 3) == 0 ? NO_BARRIER : strcmp(what, "reused") == 0 ? REUSED : RIGHT;
	bool warp = strcmp(what, "no-syncwarp") == 0;
	for (int i = 0; i < 192; i++)
		x[i] = static_cast<float>(i);
	cudaMalloc(&dx, sizeof(x));
	cudaMalloc(&dy, sizeof(y));
	cudaMemcpy(dx, x, sizeof(x), cudaMemcpyHostToDevice);
	float *px = static_cast<float *>(dx), *py = static_cast<float *>(dy);
	if (!warp)
		simt_launch("add_up", 2, 96, 0, nullptr, [=] { add_up(px, py, mistake); });
	if (warp || mistake == RIGHT)
		simt_launch("neighbours", 1, 32, 0, nullptr, [=] { neighbours(px, mistake); });
	cudaMemcpy(y, dy, sizeof(y), cudaMemcpyDeviceToHost);
	cudaFree(dx);
	cudaFree(dy);
	printf("%g %g\n", static_cast<double>(y[0]), static_cast<double>(y[1]));
	return mistake != RIGHT || (y[0] == 95 * 96 / 2 && y[1] == 95 * 96 / 2 + 96 * 96) ? 0 : 1;
}
