/* Max pooling (floats and integers; padding never wins; the first maximum of a window, row by row, takes the gradient)
 * and average pooling over all of H and W (or, with raw_sum, the sum). */
#include "ref/ref_impl.h"

/* Where the maximum of window (n,i,j) of channel c is; every window holds at least one element of the input. */
static int64_t window_maximum(
    const struct call *s, const struct ref_window *g, int64_t n, int64_t i, int64_t j, int64_t c)
{
	int64_t best = -1;
	for (int64_t p = 0; p < g->kernel_h; p++) {
		for (int64_t q = 0; q < g->kernel_w; q++) {
			int64_t at = ref_at_in(g, n, i * g->stride + p - g->pad, j * g->stride + q - g->pad, c);
			if (at >= 0 && (best < 0 || ref_get(&s->in[0], at) > ref_get(&s->in[0], best)))
				best = at;
		}
	}
	return best;
}

int ref_maxpool_forward(struct call *s)
{
	struct ref_window g = ref_window(s, s->node->attr.kernel, s->node->attr.kernel);
	for (int64_t n = 0; n < g.N; n++)
		for (int64_t i = 0; i < g.OH; i++)
			for (int64_t j = 0; j < g.OW; j++)
				for (int64_t c = 0; c < g.C; c++)
					ref_set(&s->out, ref_at_out(&g, n, i, j, c),
					    ref_get(&s->in[0], window_maximum(s, &g, n, i, j, c)));
	return 0;
}

/* dL/dx(n,y,x,c): the sum over the windows that hold (y,x) and whose maximum it is. */
static double maximum_gradient(
    const struct call *s, const struct ref_window *g, int64_t n, int64_t y, int64_t x, int64_t c)
{
	double sum = 0;
	for (int64_t p = 0; p < g->kernel_h; p++) {
		for (int64_t q = 0; q < g->kernel_w; q++) {
			int64_t i = y + g->pad - p, j = x + g->pad - q;
			if (i < 0 || j < 0 || i % g->stride || j % g->stride)
				continue;
			i /= g->stride;
			j /= g->stride;
			if (i < g->OH && j < g->OW && window_maximum(s, g, n, i, j, c) == ref_at_in(g, n, y, x, c))
				sum += ref_get(&s->dout, ref_at_out(g, n, i, j, c));
		}
	}
	return sum;
}

int ref_maxpool_backward(struct call *s)
{
	struct ref_window g = ref_window(s, s->node->attr.kernel, s->node->attr.kernel);
	for (int64_t n = 0; s->want[0] && n < g.N; n++)
		for (int64_t y = 0; y < g.H; y++)
			for (int64_t x = 0; x < g.W; x++)
				for (int64_t c = 0; c < g.C; c++)
					ref_grad(s, 0, ref_at_in(&g, n, y, x, c), maximum_gradient(s, &g, n, y, x, c));
	return 0;
}

int ref_avgpool_forward(struct call *s)
{
	const int64_t *d = s->in[0].shape.dim;
	int64_t N = d[0], pixels = d[1] * d[2], C = d[3];
	for (int64_t n = 0; n < N; n++) {
		for (int64_t c = 0; c < C; c++) {
			double sum = 0;
			for (int64_t e = 0; e < pixels; e++)
				sum += ref_get(&s->in[0], (n * pixels + e) * C + c);
			ref_set(&s->out, n * C + c, s->node->attr.raw_sum ? sum : sum / (double)pixels);
		}
	}
	return 0;
}

int ref_avgpool_backward(struct call *s)
{
	const int64_t *d = s->in[0].shape.dim;
	int64_t N = d[0], pixels = d[1] * d[2], C = d[3];
	double share = s->node->attr.raw_sum ? 1 : 1 / (double)pixels;
	for (int64_t n = 0; s->want[0] && n < N; n++)
		for (int64_t e = 0; e < pixels; e++)
			for (int64_t c = 0; c < C; c++)
				ref_grad(s, 0, (n * pixels + e) * C + c, share * ref_get(&s->dout, n * C + c));
	return 0;
}
