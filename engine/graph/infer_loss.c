/* Rules of the losses. */
#include "graph/infer.h"

/* logits at 0, labels and weight at `at` and `at + 1`. */
static int infer_loss(const struct infer *c, int at)
{
	if (want_ndim(c, 0, 2, 2) < 0 || want_f32(c, 1u | 1u << (at + 1)) < 0 || want_dtype(c, at, DT_S32) < 0)
		return ERR_FAIL;
	int64_t batch = c->in[0]->shape.dim[0];
	if (want_vector(c, at, batch, batch) < 0 || want_vector(c, at + 1, batch, batch) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, (struct shape){0});
}

int infer_ce_loss(const struct infer *c)
{
	if (!(c->n->attr.smoothing >= 0 && c->n->attr.smoothing < 1))
		return FAIL(c, "smoothing %g must be in [0, 1)", (double)c->n->attr.smoothing);
	return infer_loss(c, CE_LABELS);
}

/* Temperature and share of the soft targets; logits of student and teacher at 0 and 1. */
static int want_distillation(const struct infer *c)
{
	const struct attr *a = &c->n->attr;
	if (!infer_positive(a->temperature))
		return FAIL(c, "temperature %g must be positive", (double)a->temperature);
	if (!(a->alpha >= 0 && a->alpha <= 1))
		return FAIL(c, "alpha %g must be in [0, 1]", (double)a->alpha);
	return want_f32(c, 3) < 0 ? ERR_FAIL : want_shape(c, KD_TEACHER, c->in[KD_LOGITS]->shape);
}

int infer_kd_loss(const struct infer *c)
{
	return want_distillation(c) < 0 ? ERR_FAIL : infer_loss(c, KD_LABELS);
}

/* Logits at 0; targets, weights of samples and of positives from `at` on. */
static int infer_label_loss(const struct infer *c, int at)
{
	struct shape logits = c->in[0]->shape;
	if (want_ndim(c, 0, 2, 2) < 0 || want_f32(c, 1u | 7u << at) < 0 || want_shape(c, at, logits) < 0 ||
	    want_vector(c, at + 1, logits.dim[0], logits.dim[0]) < 0 ||
	    want_vector(c, at + 2, logits.dim[1], logits.dim[1]) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, (struct shape){0});
}

int infer_bce_loss(const struct infer *c)
{
	return infer_label_loss(c, BCE_TARGETS);
}

int infer_kd_bce_loss(const struct infer *c)
{
	if (want_distillation(c) < 0)
		return ERR_FAIL;
	return infer_label_loss(c, KD_BCE_TARGETS);
}

/* Of every loss on layers: the factor, and the weights of the samples at the last input, `starts` before it. */
static int want_samples(const struct infer *c, int starts)
{
	if (!infer_positive(c->n->attr.factor))
		return FAIL(c, "factor %g must be positive", (double)c->n->attr.factor);
	if (want_starts(c, starts) < 0 || want_dtype(c, starts + 1, DT_F32) < 0)
		return ERR_FAIL;
	const int64_t N = c->in[starts]->shape.dim[0] - 1;
	return want_vector(c, starts + 1, N, N);
}

int infer_hidden_loss(const struct infer *c)
{
	if (c->n->attr.distance != DISTANCE_MSE && c->n->attr.distance != DISTANCE_COSINE)
		return FAIL(c, "distance %d: must be mse or cosine", (int)c->n->attr.distance);
	if (want_rows(c, HIDDEN_LOSS_X) < 0 || want_dtype(c, HIDDEN_LOSS_TEACHER, DT_F32) < 0 ||
	    want_shape(c, HIDDEN_LOSS_TEACHER, c->in[HIDDEN_LOSS_X]->shape) < 0 ||
	    want_samples(c, HIDDEN_LOSS_STARTS) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, (struct shape){0});
}

/* n inputs from `first` on of one shape (M,C), which `heads` cut into blocks of equal columns. */
static int want_cut_in_heads(const struct infer *c, int first, int n, int heads)
{
	if (want_rows(c, first) < 0)
		return ERR_FAIL;
	const struct shape s = c->in[first]->shape;
	for (int i = first; i < first + n; i++)
		if (want_dtype(c, i, DT_F32) < 0 || want_shape(c, i, s) < 0)
			return ERR_FAIL;
	if (s.dim[0] != c->in[0]->shape.dim[0])
		return FAIL(
		    c, "%lld rows of the teacher for %lld", (long long)s.dim[0], (long long)c->in[0]->shape.dim[0]);
	if (heads < 1 || s.dim[1] % heads)
		return FAIL(c, "%d heads do not divide %lld columns", heads, (long long)s.dim[1]);
	return 0;
}

/* n values of the student, n of the teacher, starts, weights. */
static int infer_map_loss(const struct infer *c, int n, int teacher_heads)
{
	if (want_cut_in_heads(c, 0, n, c->n->attr.heads) < 0 || want_cut_in_heads(c, n, n, teacher_heads) < 0 ||
	    want_samples(c, 2 * n) < 0)
		return ERR_FAIL;
	if (c->n->attr.longest < 0)
		return FAIL(c, "longest %lld: must not be negative", (long long)c->n->attr.longest);
	return infer_set(c, DT_F32, (struct shape){0});
}

int infer_attention_loss(const struct infer *c)
{
	if (c->n->attr.distance != DISTANCE_MSE && c->n->attr.distance != DISTANCE_KL)
		return FAIL(c, "distance %d: must be mse or kl", (int)c->n->attr.distance);
	return infer_map_loss(c, ATTENTION_LOSS_TEACHER_Q, c->n->attr.teacher_heads);
}

int infer_relation_loss(const struct infer *c)
{
	return infer_map_loss(c, RELATION_LOSS_TEACHER_Q, c->n->attr.heads);
}
