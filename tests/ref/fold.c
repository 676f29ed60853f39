/* Batch norm folded into the weight and bias of the layer before it, as nodes on the param path. Gradients go to the
 * weight, bias, gamma and beta; running statistics get none. */
#include <math.h>

#include "ref/ref_impl.h"

static double rstd(const struct call *s, int var, int64_t o)
{
	return 1 / sqrt(ref_get(&s->in[var], o) + s->node->attr.eps);
}

/* w * gamma / sqrt(var + eps) */
int ref_fold_weight_forward(struct call *s)
{
	int64_t O = s->out.shape.dim[0], K = shape_count(s->out.shape) / O;
	for (int64_t o = 0; o < O; o++)
		for (int64_t k = 0; k < K; k++)
			ref_set(&s->out, o * K + k,
			    ref_get(&s->in[FOLD_WEIGHT_W], o * K + k) * ref_get(&s->in[FOLD_WEIGHT_GAMMA], o) *
				rstd(s, FOLD_WEIGHT_VAR, o));
	return 0;
}

int ref_fold_weight_backward(struct call *s)
{
	int64_t O = s->out.shape.dim[0], K = shape_count(s->out.shape) / O;
	for (int64_t o = 0; s->want[FOLD_WEIGHT_W] && o < O; o++)
		for (int64_t k = 0; k < K; k++)
			ref_grad(s, FOLD_WEIGHT_W, o * K + k,
			    ref_get(&s->dout, o * K + k) * ref_get(&s->in[FOLD_WEIGHT_GAMMA], o) *
				rstd(s, FOLD_WEIGHT_VAR, o));
	for (int64_t o = 0; s->want[FOLD_WEIGHT_GAMMA] && o < O; o++) {
		double sum = 0;
		for (int64_t k = 0; k < K; k++)
			sum += ref_get(&s->dout, o * K + k) * ref_get(&s->in[FOLD_WEIGHT_W], o * K + k);
		ref_grad(s, FOLD_WEIGHT_GAMMA, o, sum * rstd(s, FOLD_WEIGHT_VAR, o));
	}
	if (s->want[FOLD_WEIGHT_VAR])
		ref_grad_none(s, FOLD_WEIGHT_VAR);
	return 0;
}

/* b - mean, where an absent bias is 0 */
static double centred(const struct call *s, int64_t o)
{
	return (s->has_in[FOLD_BIAS_B] ? ref_get(&s->in[FOLD_BIAS_B], o) : 0) - ref_get(&s->in[FOLD_BIAS_MEAN], o);
}

/* beta + (b - mean) * gamma / sqrt(var + eps) */
int ref_fold_bias_forward(struct call *s)
{
	for (int64_t o = 0; o < s->out.shape.dim[0]; o++)
		ref_set(&s->out, o,
		    ref_get(&s->in[FOLD_BIAS_BETA], o) +
			centred(s, o) * ref_get(&s->in[FOLD_BIAS_GAMMA], o) * rstd(s, FOLD_BIAS_VAR, o));
	return 0;
}

int ref_fold_bias_backward(struct call *s)
{
	int64_t O = s->out.shape.dim[0];
	for (int64_t o = 0; s->want[FOLD_BIAS_B] && o < O; o++)
		ref_grad(s, FOLD_BIAS_B, o,
		    ref_get(&s->dout, o) * ref_get(&s->in[FOLD_BIAS_GAMMA], o) * rstd(s, FOLD_BIAS_VAR, o));
	for (int64_t o = 0; s->want[FOLD_BIAS_GAMMA] && o < O; o++)
		ref_grad(s, FOLD_BIAS_GAMMA, o, ref_get(&s->dout, o) * centred(s, o) * rstd(s, FOLD_BIAS_VAR, o));
	for (int64_t o = 0; s->want[FOLD_BIAS_BETA] && o < O; o++)
		ref_grad(s, FOLD_BIAS_BETA, o, ref_get(&s->dout, o));
	if (s->want[FOLD_BIAS_MEAN])
		ref_grad_none(s, FOLD_BIAS_MEAN);
	if (s->want[FOLD_BIAS_VAR])
		ref_grad_none(s, FOLD_BIAS_VAR);
	return 0;
}
