/* OP_FOLD_WEIGHT and OP_FOLD_BIAS: batch norm folded into the weight and bias before it (Jacob et al. 2018,
 * section 3.2). In double, rounded once, so that weights quantize to the same integers on every backend. Running
 * statistics get a gradient of zero: they are not learned through the fold. */
#include "cpu/kernels.h"

#include <math.h>

static int fold_prepare(struct call *s)
{
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", s->node->n_in);
}

static double value(const struct call *s, int input, int64_t o)
{
	return s->has_in[input] ? (double)((const float *)s->in[input].data)[o] : 0.0;
}

static double rstd(const struct call *s, int var, int64_t o)
{
	return 1.0 / sqrt(value(s, var, o) + (double)s->node->attr.eps);
}

CPU_CLONES static void weight_row(float *y, const float *w, double gamma, double r, int64_t K, bool add)
{
#pragma omp simd
	for (int64_t k = 0; k < K; k++)
		y[k] = (float)((add ? (double)y[k] : 0.0) + (double)w[k] * gamma * r);
}

CPU_CLONES static double dot_row(const float *a, const float *b, int64_t K)
{
	double sum = 0.0;
#pragma omp simd reduction(+ : sum)
	for (int64_t k = 0; k < K; k++)
		sum += (double)a[k] * (double)b[k];
	return sum;
}

static int fold_weight_forward(struct call *s)
{
	int64_t O = s->out.shape.dim[0], K = shape_count(s->out.shape) / O;
	float *y = s->out.data;
	const float *w = s->in[FOLD_WEIGHT_W].data;
#pragma omp parallel for schedule(static) if (O * K >= CPU_SERIAL)
	for (int64_t o = 0; o < O; o++)
		weight_row(y + o * K, w + o * K, value(s, FOLD_WEIGHT_GAMMA, o), rstd(s, FOLD_WEIGHT_VAR, o), K, false);
	return 0;
}

static int fold_weight_backward(struct call *s)
{
	int64_t O = s->out.shape.dim[0], K = shape_count(s->out.shape) / O;
	const float *w = s->in[FOLD_WEIGHT_W].data, *dy = s->dout.data;
#pragma omp parallel for schedule(static) if (O * K >= CPU_SERIAL)
	for (int64_t o = 0; o < O; o++) {
		double gamma = value(s, FOLD_WEIGHT_GAMMA, o), r = rstd(s, FOLD_WEIGHT_VAR, o);
		if (s->want[FOLD_WEIGHT_W])
			weight_row((float *)s->din[FOLD_WEIGHT_W].data + o * K, dy + o * K, gamma, r, K,
			    s->accumulate[FOLD_WEIGHT_W]);
		if (s->want[FOLD_WEIGHT_GAMMA])
			cpu_deliver_one(s, FOLD_WEIGHT_GAMMA, o, dot_row(dy + o * K, w + o * K, K) * r);
	}
	cpu_no_gradient(s, FOLD_WEIGHT_VAR);
	return 0;
}

static int fold_bias_forward(struct call *s)
{
	float *y = s->out.data;
	for (int64_t o = 0; o < s->out.shape.dim[0]; o++)
		y[o] =
		    (float)(value(s, FOLD_BIAS_BETA, o) + (value(s, FOLD_BIAS_B, o) - value(s, FOLD_BIAS_MEAN, o)) *
							      value(s, FOLD_BIAS_GAMMA, o) * rstd(s, FOLD_BIAS_VAR, o));
	return 0;
}

static int fold_bias_backward(struct call *s)
{
	const float *dy = s->dout.data;
	for (int64_t o = 0; o < s->out.shape.dim[0]; o++) {
		double g = (double)dy[o], r = rstd(s, FOLD_BIAS_VAR, o);
		if (s->want[FOLD_BIAS_B])
			cpu_deliver_one(s, FOLD_BIAS_B, o, g * value(s, FOLD_BIAS_GAMMA, o) * r);
		if (s->want[FOLD_BIAS_GAMMA])
			cpu_deliver_one(
			    s, FOLD_BIAS_GAMMA, o, g * (value(s, FOLD_BIAS_B, o) - value(s, FOLD_BIAS_MEAN, o)) * r);
		if (s->want[FOLD_BIAS_BETA])
			cpu_deliver_one(s, FOLD_BIAS_BETA, o, g);
	}
	cpu_no_gradient(s, FOLD_BIAS_MEAN);
	cpu_no_gradient(s, FOLD_BIAS_VAR);
	return 0;
}

const struct kernel cpu_fold_weight_kernel = {fold_prepare, NULL, fold_weight_forward, fold_weight_backward, NULL};
const struct kernel cpu_fold_bias_kernel = {fold_prepare, NULL, fold_bias_forward, fold_bias_backward, NULL};
