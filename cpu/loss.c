/* OP_CE_LOSS and OP_KD_LOSS. Forward works out each row's loss and, in TRAIN, its gradient for dL = 1; backward only
 * scales it. Rows are summed in order, in double. A row with label -1 has no label: it adds nothing but its soft part.
 */
#include "cpu/kernels.h"

#include <math.h>

#define EXP_COST 16 /* an exponential in additions, for the choice of threads */

static int loss_prepare(struct call *s)
{
	size_t n = (size_t)s->in[0].shape.dim[0], values = (size_t)shape_count(s->in[0].shape);
	int labels = s->node->op == OP_KD_LOSS ? KD_LABELS : CE_LABELS;
	s->scratch = n * sizeof(double) + 3 * values * sizeof(float); /* losses of rows; three distributions */
	if (s->mode == EXEC_TRAIN && s->want[0])
		s->saved = values * sizeof(float); /* d loss / d logits */
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", labels);
}

/* p = softmax(z / T); returns the logarithm of the denominator with the maximum taken out, and that maximum. */
static double softmax_row(float *p, const float *z, int64_t C, float T, float *max_out)
{
	float max = z[0];
	for (int64_t j = 1; j < C; j++)
		max = z[j] > max ? z[j] : max;
	double sum = 0.0;
	for (int64_t j = 0; j < C; j++) {
		p[j] = expf((z[j] - max) / T);
		sum += (double)p[j];
	}
	float inverse = (float)(1.0 / sum);
	for (int64_t j = 0; j < C; j++)
		p[j] *= inverse;
	*max_out = max;
	return log(sum);
}

/* Cross-entropy of one row against (1 - smoothing) * onehot + smoothing/C (Szegedy et al. 2016, section 7); `grad` (may
 * be NULL) gets weight * d/dz, or is added to if `add`. */
static double ce_row(
    float *p, const float *z, int64_t C, int32_t label, double smoothing, double weight, float *grad, bool add)
{
	float max;
	double log_sum = softmax_row(p, z, C, 1.0f, &max), share = smoothing / (double)C, loss = 0.0;
	for (int64_t j = 0; share > 0.0 && j < C; j++)
		loss -= share * ((double)(z[j] - max) - log_sum);
	loss -= (1.0 - smoothing) * ((double)(z[label] - max) - log_sum);
	/* p - 1 of a confident label cancels: it is minus the sum of the others. */
	double others = 0.0;
	for (int64_t j = 0; grad && j < C; j++)
		others += j == label ? 0.0 : (double)p[j];
	for (int64_t j = 0; grad && j < C; j++) {
		double d = (j == label ? smoothing - others : (double)p[j]) - share;
		grad[j] = (float)((add ? (double)grad[j] : 0.0) + weight * d);
	}
	return weight * loss;
}

/* T^2 * KL(teacher || student) at temperature T (Hinton, Vinyals and Dean 2015, section 2), times weight. */
static double kl_row(
    float *p, float *q, const float *z, const float *zt, int64_t C, float T, double weight, float *grad)
{
	float max, max_t;
	double log_sum = softmax_row(p, z, C, T, &max), log_sum_t = softmax_row(q, zt, C, T, &max_t), kl = 0.0;
	for (int64_t j = 0; j < C; j++) {
		double log_t = (double)(zt[j] - max_t) / (double)T - log_sum_t;
		kl += (double)q[j] * (log_t - ((double)(z[j] - max) / (double)T - log_sum));
	}
	for (int64_t j = 0; grad && j < C; j++)
		grad[j] = (float)(weight * (double)T * ((double)p[j] - (double)q[j]));
	return weight * (double)T * (double)T * kl;
}

/* Loss of row n; the row's gradient goes to grad, if any. */
static double loss_row(const struct call *s, int64_t n, float *p, float *grad)
{
	const struct attr *a = &s->node->attr;
	bool kd = s->node->op == OP_KD_LOSS;
	int64_t N = s->in[0].shape.dim[0], C = s->in[0].shape.dim[1];
	const float *z = (const float *)s->in[0].data + n * C;
	int32_t label = ((const int32_t *)s->in[kd ? KD_LABELS : CE_LABELS].data)[n];
	double weight = (double)((const float *)s->in[kd ? KD_WEIGHT : CE_WEIGHT].data)[n];
	p += n * C;
	if (!kd && label >= 0)
		return ce_row(p, z, C, label, (double)a->smoothing, weight, grad, false);
	if (!kd) {
		for (int64_t j = 0; grad && j < C; j++)
			grad[j] = 0.0f;
		return 0.0;
	}
	const float *zt = (const float *)s->in[KD_TEACHER].data + n * C;
	double alpha = (double)a->alpha;
	double soft = kl_row(p, p + N * C, z, zt, C, a->temperature, alpha * weight, grad);
	if (label < 0)
		return soft;
	return soft + ce_row(p + 2 * N * C, z, C, label, 0.0, (1.0 - alpha) * weight, grad, true);
}

static int loss_forward(struct call *s)
{
	int64_t N = s->in[0].shape.dim[0], C = s->in[0].shape.dim[1];
	double *row = s->scratch_mem;
	float *p = (float *)(row + N), *grad = s->saved ? s->saved_mem : NULL;
#pragma omp parallel for schedule(static) if (N * C >= CPU_SERIAL / EXP_COST)
	for (int64_t n = 0; n < N; n++)
		row[n] = loss_row(s, n, p, grad ? grad + n * C : NULL);
	double loss = 0.0;
	for (int64_t n = 0; n < N; n++)
		loss += row[n];
	*(float *)s->out.data = (float)loss;
	return 0;
}

CPU_CLONES void cpu_scale_into(float *d, const float *g, float k, int64_t n, bool add)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		d[i] = (add ? d[i] : 0.0f) + g[i] * k;
}

/* The teacher's logits, targets and weights are given, not learned: their gradient is zero. */
int cpu_loss_backward(struct call *s)
{
	if (s->want[0])
		cpu_scale_into(s->din[0].data, s->saved_mem, *(const float *)s->dout.data, shape_count(s->in[0].shape),
		    s->accumulate[0]);
	for (int i = 1; i < s->node->n_in; i++)
		cpu_no_gradient(s, i);
	return 0;
}

const struct kernel cpu_ce_loss_kernel = {loss_prepare, NULL, loss_forward, cpu_loss_backward, NULL};
const struct kernel cpu_kd_loss_kernel = {loss_prepare, NULL, loss_forward, cpu_loss_backward, NULL};
