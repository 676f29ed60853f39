/* Window geometry of convolution and pooling, and the gradient of inputs that have none. */
#include "ref/ref_impl.h"

void ref_grad_none(const struct call *s, int i)
{
	int64_t n = shape_count(s->din[i].shape);
	for (int64_t e = 0; e < n; e++)
		ref_grad(s, i, e, 0);
}

struct ref_window ref_window(const struct call *s, int64_t kernel_h, int64_t kernel_w)
{
	const int64_t *x = s->in[0].shape.dim, *y = s->out.shape.dim;
	return (struct ref_window){.N = x[0],
	    .H = x[1],
	    .W = x[2],
	    .C = x[3],
	    .OH = y[1],
	    .OW = y[2],
	    .O = y[3],
	    .kernel_h = kernel_h,
	    .kernel_w = kernel_w,
	    .stride = s->node->attr.stride,
	    .pad = s->node->attr.pad};
}

int64_t ref_at_in(const struct ref_window *w, int64_t n, int64_t y, int64_t x, int64_t c)
{
	if (y < 0 || y >= w->H || x < 0 || x >= w->W)
		return -1;
	return ((n * w->H + y) * w->W + x) * w->C + c;
}

int64_t ref_at_out(const struct ref_window *w, int64_t n, int64_t y, int64_t x, int64_t o)
{
	return ((n * w->OH + y) * w->OW + x) * w->O + o;
}
