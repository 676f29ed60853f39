/* GELU, exact and by tanh, and tanh. */
#include "ref/ref_impl.h"

static const double sqrt_half = 0.70710678118654752440, sqrt_2_pi = 0.79788456080286535588, cubic = 0.044715;

int ref_gelu_forward(struct call *s)
{
	for (int64_t e = 0; e < shape_count(s->out.shape); e++) {
		double x = ref_get(&s->in[0], e), u = sqrt_2_pi * (x + cubic * x * x * x);
		/* erfc and exp keep the digits of a far negative x, which 1 + erf and 1 + tanh lose. */
		ref_set(&s->out, e, s->node->attr.gelu_tanh ? x / (1 + exp(-2 * u)) : x * erfc(-x * sqrt_half) / 2);
	}
	return 0;
}

int ref_gelu_backward(struct call *s)
{
	for (int64_t e = 0; s->want[0] && e < shape_count(s->out.shape); e++) {
		double x = ref_get(&s->in[0], e), u = sqrt_2_pi * (x + cubic * x * x * x), d;
		if (s->node->attr.gelu_tanh) {
			double p = 1 / (1 + exp(-2 * u));
			d = p + x * p * (1 - p) * 2 * sqrt_2_pi * (1 + 3 * cubic * x * x);
		} else {
			d = erfc(-x * sqrt_half) / 2 + x * exp(-x * x / 2) * sqrt_2_pi / 2;
		}
		ref_grad(s, 0, e, d * ref_get(&s->dout, e));
	}
	return 0;
}

int ref_tanh_forward(struct call *s)
{
	for (int64_t e = 0; e < shape_count(s->out.shape); e++)
		ref_set(&s->out, e, tanh(ref_get(&s->in[0], e)));
	return 0;
}

int ref_tanh_backward(struct call *s)
{
	for (int64_t e = 0; s->want[0] && e < shape_count(s->out.shape); e++) {
		double c = cosh(ref_get(&s->in[0], e)); /* 1 - tanh^2 has lost its digits far out */
		ref_grad(s, 0, e, ref_get(&s->dout, e) / (c * c));
	}
	return 0;
}
