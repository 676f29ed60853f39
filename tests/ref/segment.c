/* One row for each sequence: the mean of its rows, in the order that op.h defines, or its first. */
#include "ref/ref_impl.h"

int ref_segment_mean_forward(struct call *s)
{
	int64_t C = s->out.shape.dim[1], first, last;
	for (int64_t e = 0; e < shape_count(s->out.shape); e++) {
		double sum = 0;
		ref_segment(s, SEGMENT_STARTS, SEGMENT_X, e / C, &first, &last);
		for (int64_t m = first; m < last; m++)
			sum = ref_fl(&s->out, sum + ref_get(&s->in[SEGMENT_X], m * C + e % C));
		ref_set(&s->out, e, first < last ? ref_fl(&s->out, sum / (double)(last - first)) : 0);
	}
	return 0;
}

/* The gradient of x is zero from row m on. */
static void rest_is_zero(const struct call *s, int64_t m)
{
	int64_t C = s->in[SEGMENT_X].shape.dim[1], n = shape_count(s->in[SEGMENT_X].shape);
	for (int64_t e = m * C; s->want[SEGMENT_X] && e < n; e++)
		ref_grad(s, SEGMENT_X, e, 0);
}

int ref_segment_mean_backward(struct call *s)
{
	int64_t N = s->out.shape.dim[0], C = s->out.shape.dim[1], first, last;
	for (int64_t n = 0; s->want[SEGMENT_X] && n < N; n++) {
		ref_segment(s, SEGMENT_STARTS, SEGMENT_X, n, &first, &last);
		for (int64_t e = first * C; e < last * C; e++)
			ref_grad(s, SEGMENT_X, e,
			    ref_fl(&s->dout, ref_get(&s->dout, n * C + e % C) / (double)(last - first)));
	}
	rest_is_zero(s, ref_slack(s, SEGMENT_STARTS));
	return 0;
}

int ref_segment_first_forward(struct call *s)
{
	int64_t C = s->out.shape.dim[1], first, last;
	for (int64_t e = 0; e < shape_count(s->out.shape); e++) {
		ref_segment(s, SEGMENT_STARTS, SEGMENT_X, e / C, &first, &last);
		ref_set(&s->out, e, first < last ? ref_get(&s->in[SEGMENT_X], first * C + e % C) : 0);
	}
	return 0;
}

int ref_segment_first_backward(struct call *s)
{
	int64_t N = s->out.shape.dim[0], C = s->out.shape.dim[1], first, last;
	for (int64_t n = 0; s->want[SEGMENT_X] && n < N; n++) {
		ref_segment(s, SEGMENT_STARTS, SEGMENT_X, n, &first, &last);
		for (int64_t e = first * C; e < last * C; e++)
			ref_grad(s, SEGMENT_X, e, e / C == first ? ref_get(&s->dout, n * C + e % C) : 0);
	}
	rest_is_zero(s, ref_slack(s, SEGMENT_STARTS));
	return 0;
}
