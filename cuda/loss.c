/* OP_CE_LOSS and OP_KD_LOSS. Forward works out each row's loss and, in TRAIN, its gradient for dL = 1 in the same
 * kernel; backward only scales it. Rows are added in a fixed order, in double. A row with label -1 adds nothing but its
 * soft part. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int loss_prepare(struct call *s)
{
	s->scratch = (size_t)s->in[0].shape.dim[0] * sizeof(double); /* losses of rows */
	if (s->mode == EXEC_TRAIN && s->want[0])
		s->saved = tensor_bytes(&s->in[0]); /* d loss / d logits */
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", s->node->op == OP_KD_LOSS ? KD_LABELS : CE_LABELS);
}

static int loss_forward(struct call *s)
{
	const struct attr *a = &s->node->attr;
	bool kd = s->node->op == OP_KD_LOSS;
	struct loss_batch r = {.logits = s->in[0].data,
	    .teacher = kd ? s->in[KD_TEACHER].data : NULL,
	    .labels = s->in[kd ? KD_LABELS : CE_LABELS].data,
	    .weight = s->in[kd ? KD_WEIGHT : CE_WEIGHT].data,
	    .N = s->in[0].shape.dim[0],
	    .C = s->in[0].shape.dim[1],
	    .smoothing = a->smoothing,
	    .temperature = a->temperature,
	    .alpha = a->alpha,
	    .grad = s->saved ? s->saved_mem : NULL,
	    .row = s->scratch_mem};
	return cuda_loss(s->ctx, r, s->out.data);
}

/* The teacher's logits, targets and weights are given, not learned: their gradient is zero. */
int cuda_loss_row_backward(struct call *s)
{
	int rc = 0;
	if (s->want[0])
		rc = cuda_loss_backward(
		    s->ctx, s->saved_mem, s->dout.data, shape_count(s->in[0].shape), s->din[0].data, s->accumulate[0]);
	for (int i = 1; !rc && i < s->node->n_in; i++)
		rc = cuda_no_gradient(s, i);
	return rc;
}

const struct kernel cuda_ce_loss_kernel = {loss_prepare, NULL, loss_forward, cuda_loss_row_backward, NULL};
const struct kernel cuda_kd_loss_kernel = {loss_prepare, NULL, loss_forward, cuda_loss_row_backward, NULL};
