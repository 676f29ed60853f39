/* Binary cross-entropy over labels and its distillation (graph.h has the formulas). With softplus(x) = log(1 + e^x),
 * -log(sigmoid(x)) is softplus(-x) and -log(1 - sigmoid(x)) is softplus(x). */
#include <math.h>

#include "ref/ref_impl.h"

/* Without overflow: e^x of a large x is taken out. */
static double softplus(double x)
{
	return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double sigmoid(double x)
{
	double e = exp(-fabs(x));
	return (x < 0 ? e : 1) / (1 + e);
}

/* Of an unknown target nothing counts. */
static double bce(double x, double target, double pos_weight)
{
	if (target < 0)
		return 0;
	return pos_weight * target * softplus(-x) + (1 - target) * softplus(x);
}

static double bce_slope(double x, double target, double pos_weight)
{
	if (target < 0)
		return 0;
	return (1 - target) * sigmoid(x) - pos_weight * target * sigmoid(-x);
}

/* One logit of a loss: where its numbers are. `at`: position of the targets. */
struct logit {
	double x, target, weight, pos_weight;
};

static struct logit logit_of(const struct call *s, int64_t e, int at)
{
	int64_t L = s->in[0].shape.dim[1];
	return (struct logit){.x = ref_get(&s->in[0], e),
	    .target = ref_get(&s->in[at], e),
	    .weight = ref_get(&s->in[at + 1], e / L) / (double)L,
	    .pos_weight = ref_get(&s->in[at + 2], e % L)};
}

/* What is given, not learned, has no gradient. */
static void no_gradients_of_targets(const struct call *s)
{
	for (int i = 1; i < s->node->n_in; i++)
		if (s->want[i])
			ref_grad_none(s, i);
}

int ref_bce_loss_forward(struct call *s)
{
	double loss = 0;
	for (int64_t e = 0; e < shape_count(s->in[0].shape); e++) {
		struct logit z = logit_of(s, e, BCE_TARGETS);
		loss += z.weight * bce(z.x, z.target, z.pos_weight);
	}
	ref_set(&s->out, 0, loss);
	return 0;
}

int ref_bce_loss_backward(struct call *s)
{
	double g = ref_get(&s->dout, 0);
	for (int64_t e = 0; s->want[BCE_LOGITS] && e < shape_count(s->in[0].shape); e++) {
		struct logit z = logit_of(s, e, BCE_TARGETS);
		ref_grad(s, BCE_LOGITS, e, g * z.weight * bce_slope(z.x, z.target, z.pos_weight));
	}
	no_gradients_of_targets(s);
	return 0;
}

int ref_kd_bce_loss_forward(struct call *s)
{
	double loss = 0, T = s->node->attr.temperature, alpha = s->node->attr.alpha;
	for (int64_t e = 0; e < shape_count(s->in[0].shape); e++) {
		struct logit z = logit_of(s, e, KD_BCE_TARGETS);
		double soft = bce(z.x / T, sigmoid(ref_get(&s->in[KD_BCE_TEACHER], e) / T), 1);
		loss += z.weight * (alpha * T * T * soft + (1 - alpha) * bce(z.x, z.target, z.pos_weight));
	}
	ref_set(&s->out, 0, loss);
	return 0;
}

int ref_kd_bce_loss_backward(struct call *s)
{
	double T = s->node->attr.temperature, alpha = s->node->attr.alpha, g = ref_get(&s->dout, 0);
	for (int64_t e = 0; s->want[KD_BCE_LOGITS] && e < shape_count(s->in[0].shape); e++) {
		struct logit z = logit_of(s, e, KD_BCE_TARGETS);
		double soft = sigmoid(z.x / T) - sigmoid(ref_get(&s->in[KD_BCE_TEACHER], e) / T);
		double d = alpha * T * soft + (1 - alpha) * bce_slope(z.x, z.target, z.pos_weight);
		ref_grad(s, KD_BCE_LOGITS, e, g * z.weight * d);
	}
	no_gradients_of_targets(s);
	return 0;
}
