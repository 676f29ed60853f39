/* Cross-entropy with label smoothing, and the distillation loss. Both are sums over rows of weight(n) * loss(n); the
 * weights of an effective batch add up to 1. A row with label -1 has no label: it adds nothing but its soft part. */
#include <math.h>

#include "ref/ref_impl.h"

/* log sum_j exp(z(n,j)/T), with the maximum taken out so that exp cannot overflow. */
static double log_sum_exp(const struct tensor *z, int64_t n, double T)
{
	int64_t C = z->shape.dim[1];
	double max = ref_get(z, n * C), sum = 0;
	for (int64_t j = 1; j < C; j++)
		max = fmax(max, ref_get(z, n * C + j));
	for (int64_t j = 0; j < C; j++)
		sum += exp((ref_get(z, n * C + j) - max) / T);
	return max / T + log(sum);
}

/* log softmax(z(n,.)/T)_j, given log_sum_exp(z, n, T). */
static double log_softmax(const struct tensor *z, int64_t n, int64_t j, double T, double lse)
{
	return ref_get(z, n * z->shape.dim[1] + j) / T - lse;
}

/* The target distribution of label smoothing (Szegedy et al. 2016, section 7). */
static double target(int64_t label, int64_t j, int64_t C, double smoothing)
{
	return (j == label ? 1 - smoothing : 0) + smoothing / (double)C;
}

int ref_ce_loss_forward(struct call *s)
{
	const struct tensor *z = &s->in[CE_LOGITS];
	int64_t N = z->shape.dim[0], C = z->shape.dim[1];
	double loss = 0, smoothing = s->node->attr.smoothing;
	for (int64_t n = 0; n < N; n++) {
		int64_t label = (int64_t)ref_get(&s->in[CE_LABELS], n);
		double lse = log_sum_exp(z, n, 1);
		for (int64_t j = 0; label >= 0 && j < C; j++)
			loss -= ref_get(&s->in[CE_WEIGHT], n) * target(label, j, C, smoothing) *
				log_softmax(z, n, j, 1, lse);
	}
	ref_set(&s->out, 0, loss);
	return 0;
}

int ref_ce_loss_backward(struct call *s)
{
	const struct tensor *z = &s->in[CE_LOGITS];
	int64_t N = z->shape.dim[0], C = z->shape.dim[1];
	double smoothing = s->node->attr.smoothing, g = ref_get(&s->dout, 0);
	for (int64_t n = 0; s->want[CE_LOGITS] && n < N; n++) {
		int64_t label = (int64_t)ref_get(&s->in[CE_LABELS], n);
		double lse = log_sum_exp(z, n, 1);
		for (int64_t j = 0; j < C; j++) {
			double d = exp(log_softmax(z, n, j, 1, lse)) - target(label, j, C, smoothing);
			ref_grad(s, CE_LOGITS, n * C + j, label < 0 ? 0 : g * ref_get(&s->in[CE_WEIGHT], n) * d);
		}
	}
	if (s->want[CE_WEIGHT])
		ref_grad_none(s, CE_WEIGHT);
	return 0;
}

/* alpha * T^2 * KL(teacher || student) at temperature T + (1 - alpha) * CE (Hinton, Vinyals and Dean 2015, section 2:
 * T^2 keeps the size of the soft gradients independent of T). */
int ref_kd_loss_forward(struct call *s)
{
	const struct tensor *z = &s->in[KD_LOGITS], *zt = &s->in[KD_TEACHER];
	int64_t N = z->shape.dim[0], C = z->shape.dim[1];
	double loss = 0, T = s->node->attr.temperature, alpha = s->node->attr.alpha;
	for (int64_t n = 0; n < N; n++) {
		int64_t label = (int64_t)ref_get(&s->in[KD_LABELS], n);
		double lse = log_sum_exp(z, n, 1), lse_soft = log_sum_exp(z, n, T), lse_teacher = log_sum_exp(zt, n, T);
		double kl = 0, hard = label < 0 ? 0 : -log_softmax(z, n, label, 1, lse);
		for (int64_t j = 0; j < C; j++) {
			double log_teacher = log_softmax(zt, n, j, T, lse_teacher);
			kl += exp(log_teacher) * (log_teacher - log_softmax(z, n, j, T, lse_soft));
		}
		loss += ref_get(&s->in[KD_WEIGHT], n) * (alpha * T * T * kl + (1 - alpha) * hard);
	}
	ref_set(&s->out, 0, loss);
	return 0;
}

/* dKL/dz_j = (student_j - teacher_j)/T. The teacher is a fixed target: its gradient is zero. */
int ref_kd_loss_backward(struct call *s)
{
	const struct tensor *z = &s->in[KD_LOGITS], *zt = &s->in[KD_TEACHER];
	int64_t N = z->shape.dim[0], C = z->shape.dim[1];
	double T = s->node->attr.temperature, alpha = s->node->attr.alpha, g = ref_get(&s->dout, 0);
	for (int64_t n = 0; s->want[KD_LOGITS] && n < N; n++) {
		int64_t label = (int64_t)ref_get(&s->in[KD_LABELS], n);
		double lse = log_sum_exp(z, n, 1), lse_soft = log_sum_exp(z, n, T), lse_teacher = log_sum_exp(zt, n, T);
		for (int64_t j = 0; j < C; j++) {
			double soft =
			    alpha * T *
			    (exp(log_softmax(z, n, j, T, lse_soft)) - exp(log_softmax(zt, n, j, T, lse_teacher)));
			double hard = (1 - alpha) * (exp(log_softmax(z, n, j, 1, lse)) - (j == label));
			double d = g * ref_get(&s->in[KD_WEIGHT], n) * (soft + (label < 0 ? 0 : hard));
			ref_grad(s, KD_LOGITS, n * C + j, d);
		}
	}
	if (s->want[KD_TEACHER])
		ref_grad_none(s, KD_TEACHER);
	if (s->want[KD_WEIGHT])
		ref_grad_none(s, KD_WEIGHT);
	return 0;
}
