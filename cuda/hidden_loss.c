/* OP_HIDDEN_LOSS. Forward keeps two numbers of each row; backward reads the rows once more, which costs as much as a
 * gradient kept would, and takes no memory. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static struct hidden_rows rows_of(const struct call *s)
{
	return (struct hidden_rows){.r = {.starts = s->in[HIDDEN_LOSS_STARTS].data,
					.N = s->in[HIDDEN_LOSS_STARTS].shape.dim[0] - 1,
					.M = s->in[HIDDEN_LOSS_X].shape.dim[0],
					.C = s->in[HIDDEN_LOSS_X].shape.dim[1]},
	    .x = s->in[HIDDEN_LOSS_X].data,
	    .teacher = s->in[HIDDEN_LOSS_TEACHER].data,
	    .weight = s->in[HIDDEN_LOSS_WEIGHT].data,
	    .factor = s->node->attr.factor,
	    .cosine = s->node->attr.distance == DISTANCE_COSINE};
}

static int hidden_prepare(struct call *s)
{
	const int64_t M = s->in[HIDDEN_LOSS_X].shape.dim[0];
	s->scratch = cuda_hidden_loss_scratch(M);
	if (s->mode == EXEC_TRAIN && s->want[HIDDEN_LOSS_X])
		s->saved = cuda_hidden_loss_kept(M);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", HIDDEN_LOSS_STARTS);
}

static int hidden_forward(struct call *s)
{
	return cuda_hidden_loss(s->ctx, rows_of(s), s->out.data, s->saved ? s->saved_mem : NULL, s->scratch_mem);
}

static int hidden_backward(struct call *s)
{
	int rc = 0;
	if (s->want[HIDDEN_LOSS_X])
		rc = cuda_hidden_loss_backward(s->ctx, rows_of(s), s->saved_mem, s->dout.data,
		    s->din[HIDDEN_LOSS_X].data, s->accumulate[HIDDEN_LOSS_X]);
	for (int i = HIDDEN_LOSS_TEACHER; !rc && i < s->node->n_in; i++)
		rc = cuda_no_gradient(s, i);
	return rc;
}

const struct kernel cuda_hidden_loss_kernel = {hidden_prepare, NULL, hidden_forward, hidden_backward, NULL};
