/* OP_SEGMENT_MEAN and OP_SEGMENT_FIRST: one row for each sequence. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static struct segment_rows rows_of(const struct call *s)
{
	return (struct segment_rows){.starts = s->in[SEGMENT_STARTS].data,
	    .N = s->out.shape.dim[0],
	    .M = s->in[SEGMENT_X].shape.dim[0],
	    .C = s->out.shape.dim[1]};
}

static int segment_prepare(struct call *s)
{
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return 0;
}

static int segment_mean_forward(struct call *s)
{
	return cuda_segment_mean(s->ctx, rows_of(s), s->in[SEGMENT_X].data, s->out.data, cuda_rounded_of(s));
}

static int segment_mean_backward(struct call *s)
{
	if (!s->want[SEGMENT_X])
		return 0;
	return cuda_segment_mean_backward(
	    s->ctx, rows_of(s), s->dout.data, s->din[SEGMENT_X].data, s->accumulate[SEGMENT_X]);
}

const struct kernel cuda_segment_mean_kernel = {
    segment_prepare, NULL, segment_mean_forward, segment_mean_backward, NULL};

static int segment_first_forward(struct call *s)
{
	return cuda_segment_first(s->ctx, rows_of(s), s->in[SEGMENT_X].data, s->out.data, cuda_rounded_of(s));
}

static int segment_first_backward(struct call *s)
{
	if (!s->want[SEGMENT_X])
		return 0;
	return cuda_segment_first_backward(
	    s->ctx, rows_of(s), s->dout.data, s->din[SEGMENT_X].data, s->accumulate[SEGMENT_X]);
}

const struct kernel cuda_segment_first_kernel = {
    segment_prepare, NULL, segment_first_forward, segment_first_backward, NULL};
