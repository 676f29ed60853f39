/* Batch norm folded into the weight and bias of the layer before it, as nodes on the param path. Gradients go to the
 * weight, bias, gamma and beta; running statistics get none. */
#include <math.h>

#include "ref/ref_impl.h"

enum { FW_W, FW_GAMMA, FW_VAR };
enum { FB_B, FB_GAMMA, FB_BETA, FB_MEAN, FB_VAR };

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
			    ref_get(&s->in[FW_W], o * K + k) * ref_get(&s->in[FW_GAMMA], o) * rstd(s, FW_VAR, o));
	return 0;
}

int ref_fold_weight_backward(struct call *s)
{
	int64_t O = s->out.shape.dim[0], K = shape_count(s->out.shape) / O;
	for (int64_t o = 0; s->want[FW_W] && o < O; o++)
		for (int64_t k = 0; k < K; k++)
			ref_grad(s, FW_W, o * K + k,
			    ref_get(&s->dout, o * K + k) * ref_get(&s->in[FW_GAMMA], o) * rstd(s, FW_VAR, o));
	for (int64_t o = 0; s->want[FW_GAMMA] && o < O; o++) {
		double sum = 0;
		for (int64_t k = 0; k < K; k++)
			sum += ref_get(&s->dout, o * K + k) * ref_get(&s->in[FW_W], o * K + k);
		ref_grad(s, FW_GAMMA, o, sum * rstd(s, FW_VAR, o));
	}
	if (s->want[FW_VAR])
		ref_grad_none(s, FW_VAR);
	return 0;
}

/* b - mean, where an absent bias is 0 */
static double centred(const struct call *s, int64_t o)
{
	return (s->has_in[FB_B] ? ref_get(&s->in[FB_B], o) : 0) - ref_get(&s->in[FB_MEAN], o);
}

/* beta + (b - mean) * gamma / sqrt(var + eps) */
int ref_fold_bias_forward(struct call *s)
{
	for (int64_t o = 0; o < s->out.shape.dim[0]; o++)
		ref_set(&s->out, o,
		    ref_get(&s->in[FB_BETA], o) + centred(s, o) * ref_get(&s->in[FB_GAMMA], o) * rstd(s, FB_VAR, o));
	return 0;
}

int ref_fold_bias_backward(struct call *s)
{
	int64_t O = s->out.shape.dim[0];
	for (int64_t o = 0; s->want[FB_B] && o < O; o++)
		ref_grad(s, FB_B, o, ref_get(&s->dout, o) * ref_get(&s->in[FB_GAMMA], o) * rstd(s, FB_VAR, o));
	for (int64_t o = 0; s->want[FB_GAMMA] && o < O; o++)
		ref_grad(s, FB_GAMMA, o, ref_get(&s->dout, o) * centred(s, o) * rstd(s, FB_VAR, o));
	for (int64_t o = 0; s->want[FB_BETA] && o < O; o++)
		ref_grad(s, FB_BETA, o, ref_get(&s->dout, o));
	if (s->want[FB_MEAN])
		ref_grad_none(s, FB_MEAN);
	if (s->want[FB_VAR])
		ref_grad_none(s, FB_VAR);
	return 0;
}
