/* Between images and column matrices. Both directions are gathers: each thread owns what it writes, so nothing is added
 * by two threads and the order of every sum is fixed. */
#include "cuda/launch.h"
#include "cuda/launches.h"

#define THREADS 256

/* The geometry in 32 bits, which GPUs divide several times faster; C in units of V. */
struct pixels {
	int H, W, C, OH, OW, KH, KW, stride, pad;
};

static struct pixels pixels_of(const struct conv2d_geometry *g, int64_t C)
{
	struct pixels p;
	p.H = (int)g->H;
	p.W = (int)g->W;
	p.C = (int)C;
	p.OH = (int)g->OH;
	p.OW = (int)g->OW;
	p.KH = (int)g->KH;
	p.KW = (int)g->KW;
	p.stride = (int)g->stride;
	p.pad = (int)g->pad;
	return p;
}

/* A row of threads per output pixel, its taps and channels along threadIdx.x. */
template <typename V>
__global__ void __launch_bounds__(THREADS)
    im2col(struct pixels g, int64_t rows, const V *__restrict__ x, V *__restrict__ col)
{
	const int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
	if (row >= rows)
		return;
	const int64_t n = row / (g.OH * g.OW);
	const int pixel = (int)(row - n * (g.OH * g.OW)), K = g.KH * g.KW * g.C;
	const int top = pixel / g.OW * g.stride - g.pad, left = pixel % g.OW * g.stride - g.pad;
	for (int k = (int)threadIdx.x; k < K; k += (int)blockDim.x) {
		const int tap = k / g.C, c = k - tap * g.C, i = top + tap / g.KW, j = left + tap % g.KW;
		V v = V();
		if (i >= 0 && i < g.H && j >= 0 && j < g.W)
			v = x[((n * g.H + i) * g.W + j) * g.C + c];
		col[row * K + k] = v;
	}
}

/* A thread per input value. Output pixels whose window holds (y, x) have i*stride + p - pad = y for a tap p. */
__global__ void __launch_bounds__(THREADS)
    col2im(struct pixels g, int64_t count, const float *__restrict__ dcol, float *__restrict__ dx, bool accumulate)
{
	const int64_t e = (int64_t)blockIdx.x * THREADS + threadIdx.x;
	if (e >= count)
		return;
	const int64_t place = e / g.C, n = place / (g.H * g.W);
	const int c = (int)(e - place * g.C), at = (int)(place - n * (g.H * g.W)), y = at / g.W, x = at % g.W;
	const int64_t K = (int64_t)g.KH * g.KW * g.C;
	float sum = 0.0f;
	for (int p = 0; p < g.KH; p++) {
		const int i = y + g.pad - p;
		if (i < 0 || i % g.stride || i / g.stride >= g.OH)
			continue;
		for (int q = 0; q < g.KW; q++) {
			const int j = x + g.pad - q;
			if (j < 0 || j % g.stride || j / g.stride >= g.OW)
				continue;
			const int64_t row = (n * g.OH + i / g.stride) * g.OW + j / g.stride;
			sum += dcol[row * K + (p * g.KW + q) * g.C + c];
		}
	}
	dx[e] = accumulate ? dx[e] + sum : sum;
}

template <typename V>
static int launch_im2col(
    struct cuda_ctx *ctx, const struct conv2d_geometry *g, int64_t images, size_t size, const void *x, void *col)
{
	const struct pixels p = pixels_of(g, g->C * (int64_t)size / (int64_t)sizeof(V));
	const int64_t rows = images * g->OH * g->OW, K = (int64_t)p.KH * p.KW * p.C;
	unsigned width = 1;
	while (width < 64 && width < K)
		width *= 2;
	const dim3 block(width, THREADS / width);
	return LAUNCH(
	    im2col<V>, cuda_blocks(rows, THREADS / width), block, 0, ctx->stream, p, rows, (const V *)x, (V *)col);
}

/* Copies in the widest unit that divides a pixel's channels; images begin at multiples of it, memory at 64 bytes. */
int cuda_im2col(
    struct cuda_ctx *ctx, const struct conv2d_geometry *g, int64_t images, size_t size, const void *x, void *col)
{
	const size_t pixel = (size_t)g->C * size;
	if (pixel % sizeof(float4) == 0)
		return launch_im2col<float4>(ctx, g, images, size, x, col);
	if (pixel % sizeof(float2) == 0)
		return launch_im2col<float2>(ctx, g, images, size, x, col);
	if (pixel % sizeof(uint32_t) == 0)
		return launch_im2col<uint32_t>(ctx, g, images, size, x, col);
	return launch_im2col<uint16_t>(ctx, g, images, size, x, col);
}

int cuda_col2im(struct cuda_ctx *ctx, const struct conv2d_geometry *g, int64_t images, const float *dcol, float *dx,
    bool accumulate)
{
	const int64_t count = images * g->H * g->W * g->C;
	return LAUNCH(col2im, cuda_blocks(count, THREADS), THREADS, 0, ctx->stream, pixels_of(g, g->C), count, dcol, dx,
	    accumulate);
}
