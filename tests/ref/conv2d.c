/* Convolution, NHWC activations, weights (O,KH,KW,C), zero padding:
 * y(n,i,j,o) = relu(b(o) + sum_{p,q,c} x(n, i*stride+p-pad, j*stride+q-pad, c) w(o,p,q,c)). */
#include "ref/ref_impl.h"

static int64_t at_weight(const struct ref_window *g, int64_t o, int64_t p, int64_t q, int64_t c)
{
	return ((o * g->kernel_h + p) * g->kernel_w + q) * g->C + c;
}

static double output_value(const struct call *s, const struct ref_window *g, int64_t n, int64_t i, int64_t j, int64_t o)
{
	double sum = s->has_in[CONV_B] ? ref_get(&s->in[CONV_B], o) : 0;
	for (int64_t p = 0; p < g->kernel_h; p++) {
		for (int64_t q = 0; q < g->kernel_w; q++) {
			int64_t at = ref_at_in(g, n, i * g->stride + p - g->pad, j * g->stride + q - g->pad, 0);
			for (int64_t c = 0; at >= 0 && c < g->C; c++)
				sum +=
				    ref_operand(s, CONV_X, at + c) * ref_operand(s, CONV_W, at_weight(g, o, p, q, c));
		}
	}
	return sum;
}

int ref_conv2d_forward(struct call *s)
{
	struct ref_window g = ref_window(s, s->in[CONV_W].shape.dim[1], s->in[CONV_W].shape.dim[2]);
	for (int64_t n = 0; n < g.N; n++)
		for (int64_t i = 0; i < g.OH; i++)
			for (int64_t j = 0; j < g.OW; j++)
				for (int64_t o = 0; o < g.O; o++)
					ref_set(&s->out, ref_at_out(&g, n, i, j, o),
					    ref_relu(s, output_value(s, &g, n, i, j, o)));
	return 0;
}

/* dL/dx(n,y,x,c): the outputs whose windows hold (y,x) are those with i*stride + p - pad = y for a tap p. */
static double input_gradient(
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
			for (int64_t o = 0; i < g->OH && j < g->OW && o < g->O; o++)
				sum += ref_dout_operand(s, ref_at_out(g, n, i, j, o)) *
				       ref_operand(s, CONV_W, at_weight(g, o, p, q, c));
		}
	}
	return sum;
}

static double weight_gradient(
    const struct call *s, const struct ref_window *g, int64_t o, int64_t p, int64_t q, int64_t c)
{
	double sum = 0;
	for (int64_t n = 0; n < g->N; n++) {
		for (int64_t i = 0; i < g->OH; i++) {
			for (int64_t j = 0; j < g->OW; j++) {
				int64_t at = ref_at_in(g, n, i * g->stride + p - g->pad, j * g->stride + q - g->pad, c);
				if (at >= 0)
					sum +=
					    ref_dout_operand(s, ref_at_out(g, n, i, j, o)) * ref_operand(s, CONV_X, at);
			}
		}
	}
	return sum;
}

int ref_conv2d_backward(struct call *s)
{
	struct ref_window g = ref_window(s, s->in[CONV_W].shape.dim[1], s->in[CONV_W].shape.dim[2]);
	int64_t pixels = g.N * g.OH * g.OW;
	for (int64_t n = 0; s->want[CONV_X] && n < g.N; n++)
		for (int64_t y = 0; y < g.H; y++)
			for (int64_t x = 0; x < g.W; x++)
				for (int64_t c = 0; c < g.C; c++)
					ref_grad(
					    s, CONV_X, ref_at_in(&g, n, y, x, c), input_gradient(s, &g, n, y, x, c));
	for (int64_t o = 0; s->want[CONV_W] && o < g.O; o++)
		for (int64_t p = 0; p < g.kernel_h; p++)
			for (int64_t q = 0; q < g.kernel_w; q++)
				for (int64_t c = 0; c < g.C; c++)
					ref_grad(
					    s, CONV_W, at_weight(&g, o, p, q, c), weight_gradient(s, &g, o, p, q, c));
	for (int64_t o = 0; s->want[CONV_B] && o < g.O; o++) {
		double sum = 0;
		for (int64_t e = 0; e < pixels; e++)
			sum += ref_dout(s, e * g.O + o);
		ref_grad(s, CONV_B, o, sum);
	}
	return 0;
}
