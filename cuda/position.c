/* OP_POSITION: a row of a table is added by the place of a token in its sequence, and one of the table of types. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static struct segment_rows rows_of(const struct call *s)
{
	return (struct segment_rows){.starts = s->in[POSITION_STARTS].data,
	    .N = s->in[POSITION_STARTS].shape.dim[0] - 1,
	    .M = s->out.shape.dim[0],
	    .C = s->out.shape.dim[1]};
}

/* Places where second parts begin; NULL: sequences have one part. */
static const int32_t *second_of(const struct call *s)
{
	return s->has_in[POSITION_SECOND] ? s->in[POSITION_SECOND].data : NULL;
}

static int position_prepare(struct call *s)
{
	if (s->want[POSITION_TYPE])
		s->scratch = cuda_position_scratch(rows_of(s), s->has_in[POSITION_SECOND]);
	if (s->mode == EXEC_INFER)
		s->inplace = POSITION_X;
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 2);
}

static int position_forward(struct call *s)
{
	return cuda_position(s->ctx, rows_of(s), s->in[POSITION_X].data, s->in[POSITION_TABLE].data,
	    s->in[POSITION_TABLE].shape.dim[0], s->in[POSITION_TYPE].data, second_of(s), s->out.data);
}

/* Rows of types that no part has are never read. */
static int type_gradient(struct call *s)
{
	int rc = cuda_no_gradient(s, POSITION_TYPE);
	return rc ? rc
		  : cuda_position_type(s->ctx, rows_of(s), second_of(s), s->dout.data, s->din[POSITION_TYPE].data,
			s->accumulate[POSITION_TYPE], s->scratch_mem);
}

static int position_backward(struct call *s)
{
	const float *dy = s->dout.data;
	int rc = 0;
	if (s->want[POSITION_X])
		rc = cuda_segment_copy(s->ctx, rows_of(s), dy, s->din[POSITION_X].data, s->accumulate[POSITION_X]);
	if (!rc && s->want[POSITION_TABLE])
		rc = cuda_position_table(s->ctx, rows_of(s), dy, s->in[POSITION_TABLE].shape.dim[0],
		    s->din[POSITION_TABLE].data, s->accumulate[POSITION_TABLE]);
	if (!rc && s->want[POSITION_TYPE])
		rc = type_gradient(s);
	return rc;
}

const struct kernel cuda_position_kernel = {position_prepare, NULL, position_forward, position_backward, NULL};
