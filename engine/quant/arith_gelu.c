/* GELU between integers, in double; see arith.h. */
#include <math.h>

#include "quant/arith.h"

static const double sqrt_half = 0.70710678118654752440, sqrt_2_pi = 0.79788456080286535588, cubic = 0.044715;

/* erfc and exp keep the digits of a far negative x, which 1 + erf and 1 + tanh lose. */
static double gelu(double x, bool by_tanh)
{
	return by_tanh ? x / (1 + exp(-2 * sqrt_2_pi * (x + cubic * x * x * x))) : x * erfc(-x * sqrt_half) / 2;
}

static double slope(double x, bool by_tanh)
{
	double p;

	if (!by_tanh)
		return erfc(-x * sqrt_half) / 2 + x * exp(-x * x / 2) * sqrt_2_pi / 2;
	p = 1 / (1 + exp(-2 * sqrt_2_pi * (x + cubic * x * x * x)));
	return p + x * p * (1 - p) * 2 * sqrt_2_pi * (1 + 3 * cubic * x * x);
}

static double real_of(const struct quant_gelu *g, int q_x)
{
	return (double)(q_x - g->x.zero) * (double)g->s_x;
}

double quant_gelu_t(const struct quant_gelu *g, int q_x)
{
	return gelu(real_of(g, q_x), g->by_tanh) / (double)g->s_y;
}

double quant_gelu_slope(const struct quant_gelu *g, int q_x)
{
	return slope(real_of(g, q_x), g->by_tanh) * (double)g->s_x / (double)g->s_y;
}

bool quant_gelu_inside(const struct quant_gelu *g, double t)
{
	return t >= g->y.lo - g->y.zero && t <= g->y.hi - g->y.zero;
}

int quant_gelu_round(const struct quant_gelu *g, int q_x)
{
	double t = rint(quant_gelu_t(g, q_x)) + g->y.zero;

	if (!(t > g->y.lo))
		return g->y.lo; /* NaN too, as in quant_round */
	return t >= g->y.hi ? g->y.hi : (int)t;
}

void quant_gelu_table(const struct quant_gelu *g, uint8_t table[256])
{
	for (int i = 0; i < 256; i++)
		table[i] = (uint8_t)quant_gelu_round(g, g->x.is_signed ? (int8_t)i : i);
}
