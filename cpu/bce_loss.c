/* OP_BCE_LOSS and OP_KD_BCE_LOSS (formulas in graph.h). Forward works out each row's loss and, in TRAIN, its gradient
 * for dL = 1; backward only scales it. Rows are summed in order, in double. A target of -1 is unknown: it adds nothing
 * but the logit's soft part. */
#include "cpu/kernels.h"

#include <math.h>

#define LOGIT_COST 128 /* of a logit in additions, for the choice of threads: exponential, logarithm, quotients */

static int bce_prepare(struct call *s)
{
	s->scratch = (size_t)s->in[0].shape.dim[0] * sizeof(double); /* losses of rows */
	if (s->mode == EXEC_TRAIN && s->want[0])
		s->saved = (size_t)shape_count(s->in[0].shape) * sizeof(float); /* d loss / d logits */
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", s->node->n_in);
}

/* What a logit x gives, by e^-|x|, which cannot overflow. NaN stays. */
struct logistic {
	double minus_log, minus_log_opposite; /* -log(sigmoid(x)), -log(sigmoid(-x)) */
	double sigmoid, opposite;             /* sigmoid(x); sigmoid(-x), of which 1 - sigmoid(x) would leave nothing */
};

static struct logistic logistic_of(double x)
{
	double e = exp(-fabs(x)), log_sum = log1p(e), large = 1.0 / (1.0 + e), small = e / (1.0 + e);
	return (struct logistic){.minus_log = log_sum + (x < 0.0 ? -x : 0.0),
	    .minus_log_opposite = log_sum + (x > 0.0 ? x : 0.0),
	    .sigmoid = x < 0.0 ? small : large,
	    .opposite = x < 0.0 ? large : small};
}

/* Binary cross-entropy of one logit; positive, negative: how much sigmoid(x) should be 1, and how much 0. *slope is its
 * derivative. */
static double bce(double x, double positive, double negative, double *slope)
{
	struct logistic z = logistic_of(x);
	*slope = negative * z.sigmoid - positive * z.opposite;
	return negative * z.minus_log_opposite + positive * z.minus_log;
}

/* Loss of row n; the row's gradient goes to grad, if any. */
static double loss_row(const struct call *s, int64_t n, float *grad)
{
	const bool distills = s->node->op == OP_KD_BCE_LOSS;
	const int at = distills ? KD_BCE_TARGETS : BCE_TARGETS;
	const int64_t L = s->in[0].shape.dim[1];
	const float *x = (const float *)s->in[0].data + n * L, *target = (const float *)s->in[at].data + n * L;
	const float *teacher = distills ? (const float *)s->in[KD_BCE_TEACHER].data + n * L : NULL;
	const float *pos_weight = s->in[at + 2].data;
	const double weight = (double)((const float *)s->in[at + 1].data)[n] / (double)L;
	const double alpha = (double)s->node->attr.alpha, T = (double)s->node->attr.temperature;
	double loss = 0.0;
	for (int64_t l = 0; l < L; l++) {
		double t = (double)target[l], slope, known = t < 0.0 ? 0.0 : 1.0;
		double value = bce((double)x[l], known * (double)pos_weight[l] * t, known * (1.0 - t), &slope);
		if (teacher) {
			struct logistic q = logistic_of((double)teacher[l] / T);
			double soft_slope, soft = bce((double)x[l] / T, q.sigmoid, q.opposite, &soft_slope);
			value = alpha * T * T * soft + (1.0 - alpha) * value;
			slope = alpha * T * soft_slope + (1.0 - alpha) * slope;
		}
		loss += value;
		if (grad)
			grad[l] = (float)(weight * slope);
	}
	return weight * loss;
}

static int bce_forward(struct call *s)
{
	int64_t N = s->in[0].shape.dim[0], L = s->in[0].shape.dim[1];
	double *row = s->scratch_mem, loss = 0.0;
	float *grad = s->saved ? s->saved_mem : NULL;
#pragma omp parallel for schedule(static) if (N * L >= CPU_SERIAL / LOGIT_COST)
	for (int64_t n = 0; n < N; n++)
		row[n] = loss_row(s, n, grad ? grad + n * L : NULL);
	for (int64_t n = 0; n < N; n++)
		loss += row[n];
	*(float *)s->out.data = (float)loss;
	return 0;
}

const struct kernel cpu_bce_loss_kernel = {bce_prepare, NULL, bce_forward, cpu_loss_backward, NULL};
const struct kernel cpu_kd_bce_loss_kernel = {bce_prepare, NULL, bce_forward, cpu_loss_backward, NULL};
