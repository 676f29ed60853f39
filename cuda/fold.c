/* OP_FOLD_WEIGHT and OP_FOLD_BIAS: batch norm folded into the weight and bias before it (Jacob et al. 2018,
 * section 3.2). In double, rounded once, so that weights quantize to the same integers on every backend. Running
 * statistics get a gradient of zero: they are not learned through the fold. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int fold_prepare(struct call *s)
{
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", s->node->n_in);
}

/* NULL where input i or its gradient is absent. */
static const float *input(const struct call *s, int i)
{
	return s->has_in[i] ? s->in[i].data : NULL;
}

static float *gradient(const struct call *s, int i)
{
	return s->want[i] ? s->din[i].data : NULL;
}

static int fold_weight_forward(struct call *s)
{
	int64_t O = s->out.shape.dim[0], K = shape_count(s->out.shape) / O;
	return cuda_fold_weight(s->ctx, input(s, FOLD_WEIGHT_W), input(s, FOLD_WEIGHT_GAMMA), input(s, FOLD_WEIGHT_VAR),
	    s->node->attr.eps, O, K, s->out.data);
}

static int fold_weight_backward(struct call *s)
{
	struct fold_weight_gradients g = {.dy = s->dout.data,
	    .w = input(s, FOLD_WEIGHT_W),
	    .gamma = input(s, FOLD_WEIGHT_GAMMA),
	    .var = input(s, FOLD_WEIGHT_VAR),
	    .eps = s->node->attr.eps,
	    .O = s->out.shape.dim[0],
	    .dw = gradient(s, FOLD_WEIGHT_W),
	    .dgamma = gradient(s, FOLD_WEIGHT_GAMMA),
	    .add_w = s->accumulate[FOLD_WEIGHT_W],
	    .add_gamma = s->accumulate[FOLD_WEIGHT_GAMMA]};
	g.K = shape_count(s->out.shape) / g.O;
	int rc = g.dw || g.dgamma ? cuda_fold_weight_backward(s->ctx, g) : 0;
	return rc ? rc : cuda_no_gradient(s, FOLD_WEIGHT_VAR);
}

static struct fold_bias_inputs bias_inputs(const struct call *s)
{
	return (struct fold_bias_inputs){.b = input(s, FOLD_BIAS_B),
	    .gamma = input(s, FOLD_BIAS_GAMMA),
	    .beta = input(s, FOLD_BIAS_BETA),
	    .mean = input(s, FOLD_BIAS_MEAN),
	    .var = input(s, FOLD_BIAS_VAR),
	    .eps = s->node->attr.eps,
	    .O = s->out.shape.dim[0]};
}

static int fold_bias_forward(struct call *s)
{
	return cuda_fold_bias(s->ctx, bias_inputs(s), s->out.data);
}

static int fold_bias_backward(struct call *s)
{
	struct fold_bias_gradients g = {.db = gradient(s, FOLD_BIAS_B),
	    .dgamma = gradient(s, FOLD_BIAS_GAMMA),
	    .dbeta = gradient(s, FOLD_BIAS_BETA)};
	for (int i = 0; i < 3; i++)
		g.accumulate[i] = s->accumulate[i];
	int rc = g.db || g.dgamma || g.dbeta ? cuda_fold_bias_backward(s->ctx, bias_inputs(s), s->dout.data, g) : 0;
	if (!rc)
		rc = cuda_no_gradient(s, FOLD_BIAS_MEAN);
	return rc ? rc : cuda_no_gradient(s, FOLD_BIAS_VAR);
}

const struct kernel cuda_fold_weight_kernel = {fold_prepare, NULL, fold_weight_forward, fold_weight_backward, NULL};
const struct kernel cuda_fold_bias_kernel = {fold_prepare, NULL, fold_bias_forward, fold_bias_backward, NULL};
