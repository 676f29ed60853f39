/* Max pooling. A block is one line of the image (of the output forward, of the input backward), its threads take the
 * line's values in turn. Backward gathers: each input value adds up the windows that it won, in a fixed order. */
#include "cuda/grid.cuh"
#include "cuda/half.cuh"

__global__ void __launch_bounds__(BLOCK) maxpool(struct maxpool_geometry g, const float *__restrict__ x,
    float *__restrict__ y, uint8_t *__restrict__ winner, struct cuda_rounded rounded)
{
	const int64_t line = blockIdx.x, image = line / g.OH * g.H;
	const int top = (int)(line % g.OH) * g.stride - g.pad, p0 = max(0, -top), p1 = min(g.kernel, g.H - top);
	for (int e = (int)threadIdx.x; e < g.OW * g.C; e += (int)blockDim.x) {
		const int j = e / g.C, c = e - j * g.C, left = j * g.stride - g.pad;
		const int q0 = max(0, -left), q1 = min(g.kernel, g.W - left);
		float best = 0.0f;
		int won = -1;
		for (int p = p0; p < p1; p++) {
			for (int q = q0; q < q1; q++) {
				const float v = x[((image + top + p) * g.W + left + q) * g.C + c];
				if (won >= 0 && !(v > best) && v == v) /* NaN wins over everything */
					continue;
				best = v;
				won = p * g.kernel + q;
			}
		}
		put_result(y, rounded, line * g.OW * g.C + e, best);
		if (winner)
			winner[line * g.OW * g.C + e] = (uint8_t)won;
	}
}

/* First and last window (by output index) that holds input index i. */
struct span {
	int first, last;
};

__device__ static inline struct span windows_of(int i, int out, const struct maxpool_geometry &g)
{
	const int lowest = i + g.pad - g.kernel + 1;
	return {lowest <= 0 ? 0 : (lowest + g.stride - 1) / g.stride, min(out - 1, (i + g.pad) / g.stride)};
}

__global__ void __launch_bounds__(BLOCK) maxpool_backward(struct maxpool_geometry g, const float *__restrict__ dy,
    const uint8_t *__restrict__ winner, float *__restrict__ dx, bool accumulate)
{
	const int64_t line = blockIdx.x, image = line / g.H * g.OH;
	const int h = (int)(line % g.H);
	const struct span rows = windows_of(h, g.OH, g);
	for (int e = (int)threadIdx.x; e < g.W * g.C; e += (int)blockDim.x) {
		const int w = e / g.C, c = e - w * g.C;
		const struct span cols = windows_of(w, g.OW, g);
		float sum = 0.0f;
		for (int i = rows.first; i <= rows.last; i++) {
			for (int j = cols.first; j <= cols.last; j++) {
				const int64_t at = ((image + i) * g.OW + j) * g.C + c;
				const int tap = (h + g.pad - i * g.stride) * g.kernel + (w + g.pad - j * g.stride);
				sum += winner[at] == tap ? dy[at] : 0.0f;
			}
		}
		deliver(&dx[line * g.W * g.C + e], accumulate, sum);
	}
}

/* Threads for a line of n values: whole warps. */
static unsigned threads_of(int64_t n)
{
	return n >= BLOCK ? BLOCK : (unsigned)(n + WARP - 1) / WARP * WARP;
}

int cuda_maxpool(struct cuda_ctx *ctx, const struct maxpool_geometry *g, const float *x, float *y, uint8_t *winner,
    struct cuda_rounded rounded)
{
	return LAUNCH(maxpool, (unsigned)(g->N * g->OH), threads_of((int64_t)g->OW * g->C), 0, ctx->stream, *g, x, y,
	    winner, rounded);
}

int cuda_maxpool_backward(struct cuda_ctx *ctx, const struct maxpool_geometry *g, const float *dy,
    const uint8_t *winner, float *dx, bool accumulate)
{
	return LAUNCH(maxpool_backward, (unsigned)(g->N * g->H), threads_of((int64_t)g->W * g->C), 0, ctx->stream, *g,
	    dy, winner, dx, accumulate);
}
