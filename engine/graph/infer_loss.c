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

int infer_kd_loss(const struct infer *c)
{
	const struct attr *a = &c->n->attr;
	if (!infer_positive(a->temperature))
		return FAIL(c, "temperature %g must be positive", (double)a->temperature);
	if (!(a->alpha >= 0 && a->alpha <= 1))
		return FAIL(c, "alpha %g must be in [0, 1]", (double)a->alpha);
	if (want_f32(c, 3) < 0 || want_shape(c, KD_TEACHER, c->in[KD_LOGITS]->shape) < 0)
		return ERR_FAIL;
	return infer_loss(c, KD_LABELS);
}
