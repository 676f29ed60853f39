/* OP_BCE_LOSS and OP_KD_BCE_LOSS. Forward works out each row's loss and, in TRAIN, its gradient for dL = 1 in the same
 * kernel; backward only scales it. Rows are added in a fixed order, in double. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int bce_prepare(struct call *s)
{
	s->scratch = (size_t)s->in[0].shape.dim[0] * sizeof(double); /* losses of rows */
	if (s->mode == EXEC_TRAIN && s->want[0])
		s->saved = tensor_bytes(&s->in[0]); /* d loss / d logits */
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", s->node->n_in);
}

static int bce_forward(struct call *s)
{
	const struct attr *a = &s->node->attr;
	const bool distills = s->node->op == OP_KD_BCE_LOSS;
	struct bce_batch b = {.logits = s->in[0].data,
	    .teacher = distills ? s->in[KD_BCE_TEACHER].data : NULL,
	    .targets = s->in[distills ? KD_BCE_TARGETS : BCE_TARGETS].data,
	    .weight = s->in[distills ? KD_BCE_WEIGHT : BCE_WEIGHT].data,
	    .pos_weight = s->in[distills ? KD_BCE_POS_WEIGHT : BCE_POS_WEIGHT].data,
	    .N = s->in[0].shape.dim[0],
	    .L = s->in[0].shape.dim[1],
	    .temperature = a->temperature,
	    .alpha = a->alpha,
	    .grad = s->saved ? s->saved_mem : NULL,
	    .row = s->scratch_mem};
	return cuda_bce_loss(s->ctx, b, s->out.data);
}

const struct kernel cuda_bce_loss_kernel = {bce_prepare, NULL, bce_forward, cuda_loss_row_backward, NULL};
const struct kernel cuda_kd_bce_loss_kernel = {bce_prepare, NULL, bce_forward, cuda_loss_row_backward, NULL};
