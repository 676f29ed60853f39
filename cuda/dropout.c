/* OP_DROPOUT, inverted scaling (Srivastava et al. 2014, section 10). Whether an element stays is a function of seed,
 * stage, node name, step and sample, never of the position in a batch: backward draws the same words again, which costs
 * less than keeping the answers. With starts a sample is a sequence. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int dropout_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN)
		cuda_take_rounding(s);
	else
		s->inplace = DROPOUT_X;
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 1);
}

static struct segment_rows rows_of(const struct call *s)
{
	return (struct segment_rows){.starts = s->in[DROPOUT_STARTS].data,
	    .N = s->in[DROPOUT_STARTS].shape.dim[0] - 1,
	    .M = s->out.shape.dim[0],
	    .C = s->out.shape.dim[1]};
}

static int apply(struct call *s, const float *x, float *y, bool accumulate, struct cuda_rounded rounded)
{
	const int64_t N = s->out.shape.dim[0], total = shape_count(s->out.shape);
	if (s->has_in[DROPOUT_STARTS])
		return cuda_dropout_rows(s->ctx, cuda_draw_of(s), rows_of(s), x, y, accumulate, rounded);
	return cuda_dropout(s->ctx, cuda_draw_of(s), x, N, total / N, y, accumulate, rounded);
}

static int dropout_forward(struct call *s)
{
	const float *x = s->in[DROPOUT_X].data;
	if (s->mode == EXEC_TRAIN)
		return apply(s, x, s->out.data, false, cuda_rounded_of(s));
	if (s->has_in[DROPOUT_STARTS])
		return cuda_segment_copy(s->ctx, rows_of(s), x, s->out.data, false);
	if (s->out.data == x)
		return 0;
	return cuda_copy(s->ctx, s->out.data, x, tensor_bytes(&s->out));
}

static int dropout_backward(struct call *s)
{
	return apply(s, s->dout.data, s->din[DROPOUT_X].data, s->accumulate[DROPOUT_X], (struct cuda_rounded){0});
}

const struct kernel cuda_dropout_kernel = {dropout_prepare, NULL, dropout_forward, dropout_backward, NULL};
