/* Layer norm in the order that op.h defines: other backends must give the same bits. */
#include "base/err.h"
#include "base/mem.h"
#include "ref/ref_impl.h"

#define LANES 32

/* Value i of row m, the residual added. */
static double value(const struct call *s, int64_t m, int64_t i)
{
	const int64_t e = m * s->in[LAYERNORM_GAMMA].shape.dim[0] + i;
	const double x = ref_get(&s->in[LAYERNORM_X], e);
	return s->has_in[LAYERNORM_R] ? ref_fl(&s->out, x + ref_get(&s->in[LAYERNORM_R], e)) : x;
}

static double fold(const struct call *s, double lane[LANES])
{
	for (int half = LANES / 2; half; half /= 2)
		for (int l = 0; l < half; l++)
			lane[l] = ref_fl(&s->out, lane[l] + lane[l + half]);
	return lane[0];
}

struct row {
	double mean, rstd;
};

static struct row statistics(const struct call *s, int64_t m)
{
	const int64_t C = s->in[LAYERNORM_GAMMA].shape.dim[0];
	double lane[LANES] = {0}, square[LANES] = {0};
	struct row r;
	for (int64_t i = 0; i < C; i++)
		lane[i % LANES] = ref_fl(&s->out, lane[i % LANES] + value(s, m, i));
	r.mean = ref_fl(&s->out, fold(s, lane) / (double)C);
	for (int64_t i = 0; i < C; i++) {
		const double d = ref_fl(&s->out, value(s, m, i) - r.mean);
		square[i % LANES] = ref_fma(&s->out, d, d, square[i % LANES]);
	}
	const double var = ref_fl(&s->out, ref_fl(&s->out, fold(s, square) / (double)C) + (double)s->node->attr.eps);
	r.rstd = ref_fl(&s->out, 1 / ref_fl(&s->out, sqrt(var)));
	return r;
}

static double normal(const struct call *s, struct row r, int64_t m, int64_t i)
{
	return ref_fl(&s->out, ref_fl(&s->out, value(s, m, i) - r.mean) * r.rstd);
}

int ref_layernorm_forward(struct call *s)
{
	const int64_t C = s->in[LAYERNORM_GAMMA].shape.dim[0], rows = shape_count(s->out.shape) / C;
	for (int64_t m = 0; m < rows; m++) {
		const struct row r = statistics(s, m);
		for (int64_t i = 0; i < C; i++)
			ref_set(&s->out, m * C + i,
			    ref_fma(&s->out, normal(s, r, m, i), ref_get(&s->in[LAYERNORM_GAMMA], i),
				ref_get(&s->in[LAYERNORM_BETA], i)));
	}
	return 0;
}

/* dx = rstd * (g - mean(g) - n * mean(g * n)), n the normalised value and g = dy * gamma. */
static void row_gradient(const struct call *s, int input, int64_t m)
{
	const int64_t C = s->in[LAYERNORM_GAMMA].shape.dim[0];
	const struct row r = statistics(s, m);
	double sum = 0, product = 0;
	for (int64_t i = 0; i < C; i++) {
		const double g = ref_get(&s->dout, m * C + i) * ref_get(&s->in[LAYERNORM_GAMMA], i);
		sum += g;
		product += g * normal(s, r, m, i);
	}
	for (int64_t i = 0; i < C; i++) {
		const double g = ref_get(&s->dout, m * C + i) * ref_get(&s->in[LAYERNORM_GAMMA], i);
		ref_grad(
		    s, input, m * C + i, r.rstd * (g - sum / (double)C - normal(s, r, m, i) * product / (double)C));
	}
}

static int param_gradients(const struct call *s)
{
	const int64_t C = s->in[LAYERNORM_GAMMA].shape.dim[0], rows = shape_count(s->out.shape) / C;
	double *sum = mem_alloc((size_t)(2 * C), sizeof(*sum));
	if (!sum)
		return ERR_NOMEM;
	for (int64_t m = 0; m < rows; m++) {
		const struct row r = statistics(s, m);
		for (int64_t i = 0; i < C; i++) {
			sum[i] += ref_get(&s->dout, m * C + i) * normal(s, r, m, i);
			sum[C + i] += ref_get(&s->dout, m * C + i);
		}
	}
	for (int64_t i = 0; s->want[LAYERNORM_GAMMA] && i < C; i++)
		ref_grad(s, LAYERNORM_GAMMA, i, sum[i]);
	for (int64_t i = 0; s->want[LAYERNORM_BETA] && i < C; i++)
		ref_grad(s, LAYERNORM_BETA, i, sum[C + i]);
	mem_free(sum);
	return 0;
}

int ref_layernorm_backward(struct call *s)
{
	const int64_t rows = shape_count(s->out.shape) / s->in[LAYERNORM_GAMMA].shape.dim[0];
	for (int64_t m = 0; s->want[LAYERNORM_X] && m < rows; m++)
		row_gradient(s, LAYERNORM_X, m);
	int rc = param_gradients(s);
	for (int64_t m = 0; !rc && s->want[LAYERNORM_R] && m < rows; m++)
		row_gradient(s, LAYERNORM_R, m);
	return rc;
}
