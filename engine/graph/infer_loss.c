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
