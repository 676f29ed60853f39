#include "quant/taps.h"

#include <string.h>

void taps_of(const struct graph *g, int layer, struct taps *out)
{
	const struct node *n = &g->node[layer];
	const struct shape *x = &g->node[n->in[PRODUCT_X]].shape, *w = &g->node[n->in[PRODUCT_W]].shape;
	*out = (struct taps){.K = shape_count(*w) / w->dim[0], .places = 1, .H = 1, .W = 1, .stride = 1, .out_w = 1};
	out->kernel_h = out->kernel_w = 1;
	if (n->op == OP_LINEAR) {
		out->C = out->K;
		out->places = shape_inner(*x, 0) / out->K;
		out->W = out->out_w = out->places;
		return;
	}
	out->H = x->dim[1];
	out->W = x->dim[2];
	out->C = x->dim[3];
	out->kernel_h = w->dim[1];
	out->kernel_w = w->dim[2];
	out->stride = n->attr.stride;
	out->pad = n->attr.pad;
	out->out_w = n->shape.dim[2];
	out->places = n->shape.dim[1] * n->shape.dim[2];
}

/* The part of kernel row `r` at a place that is inside the image: elements of x, how many, and where in the row. */
static int64_t inside(const struct taps *t, int64_t place, int64_t r, int64_t *from, int64_t *to)
{
	const int64_t y = place / t->out_w * t->stride - t->pad + r, left = place % t->out_w * t->stride - t->pad;
	int64_t first = left < 0 ? -left : 0, end = left + t->kernel_w > t->W ? t->W - left : t->kernel_w;
	if (y < 0 || y >= t->H || end <= first)
		return 0;
	*from = (y * t->W + left + first) * t->C;
	*to = (r * t->kernel_w + first) * t->C;
	return (end - first) * t->C;
}

void taps_row(const struct taps *t, const float *x, int64_t place, float *out)
{
	memset(out, 0, (size_t)t->K * sizeof(*out));
	for (int64_t r = 0; r < t->kernel_h; r++) {
		int64_t from = 0, to = 0, n = inside(t, place, r, &from, &to);
		memcpy(out + to, x + from, (size_t)n * sizeof(*out));
	}
}

void taps_sum(const struct taps *t, const double *x, double *sum)
{
	for (int64_t place = 0; place < t->places; place++)
		for (int64_t r = 0; r < t->kernel_h; r++) {
			int64_t from = 0, to = 0, n = inside(t, place, r, &from, &to);
			for (int64_t i = 0; i < n; i++)
				sum[to + i] += x[from + i];
		}
}
