/* Rows of a table added by the place of a token in its sequence, and rows of a table of types by its part. */
#include "ref/ref_impl.h"

/* The part of its sequence, 0 or 1, that a place in sequence n is of. */
static int64_t part_of(const struct call *s, int second, int64_t n, int64_t place)
{
	return s->has_in[second] && (double)place >= ref_get(&s->in[second], n);
}

/* The place of row m in its sequence; -1: m is slack. *part: of the sequence. */
static int64_t place_of(const struct call *s, int64_t m, int64_t *part)
{
	int64_t N = s->in[POSITION_STARTS].shape.dim[0] - 1, first, last;
	for (int64_t n = 0; n < N; n++) {
		ref_segment(s, POSITION_STARTS, POSITION_X, n, &first, &last);
		*part = part_of(s, POSITION_SECOND, n, m - first);
		if (m >= first && m < last)
			return m - first;
	}
	return -1;
}

int ref_position_forward(struct call *s)
{
	int64_t M = s->out.shape.dim[0], C = s->out.shape.dim[1], P = s->in[POSITION_TABLE].shape.dim[0];
	for (int64_t e = 0; e < M * C; e++) {
		int64_t part, place = place_of(s, e / C, &part);
		double y = place < 0 ? 0 : ref_get(&s->in[POSITION_X], e);
		if (place >= 0 && s->has_in[POSITION_TYPE])
			y = ref_fl(&s->out, y + ref_get(&s->in[POSITION_TYPE], part * C + e % C));
		if (place >= 0 && place < P)
			y = ref_fl(&s->out, y + ref_get(&s->in[POSITION_TABLE], place * C + e % C));
		ref_set(&s->out, e, y);
	}
	return 0;
}

/* Value e of a table of integers, as the real form reads it. */
static double table_value(const struct call *s, int table, int step, int64_t e)
{
	int64_t C = s->out.shape.dim[1];
	return ref_fl(&s->out, ref_get(&s->in[table], e) * ref_get(&s->in[step], e / C));
}

int ref_qposition_forward(struct call *s)
{
	int64_t N = s->in[QPOSITION_STARTS].shape.dim[0] - 1, C = s->out.shape.dim[1], first, last = 0;
	for (int64_t n = 0; n < N; n++) {
		ref_segment(s, QPOSITION_STARTS, QPOSITION_X, n, &first, &last);
		for (int64_t e = 0; e < (last - first) * C; e++) {
			double y = ref_get(&s->in[QPOSITION_X], first * C + e);
			if (s->has_in[QPOSITION_TYPE_Q])
				y = ref_fl(&s->out, y + table_value(s, QPOSITION_TYPE_Q, QPOSITION_TYPE_STEP,
							    part_of(s, QPOSITION_SECOND, n, e / C) * C + e % C));
			if (e / C < s->in[QPOSITION_Q].shape.dim[0])
				y = ref_fl(&s->out, y + table_value(s, QPOSITION_Q, QPOSITION_STEP, e));
			ref_set(&s->out, first * C + e, y);
		}
	}
	for (int64_t e = last * C; e < shape_count(s->out.shape); e++)
		ref_set(&s->out, e, 0);
	return 0;
}

/* The sum over the sequences that reach so far. */
static void table_gradient(const struct call *s)
{
	int64_t N = s->in[POSITION_STARTS].shape.dim[0] - 1, C = s->out.shape.dim[1], first, last;
	for (int64_t e = 0; e < shape_count(s->in[POSITION_TABLE].shape); e++) {
		double sum = 0;
		for (int64_t n = 0; n < N; n++) {
			ref_segment(s, POSITION_STARTS, POSITION_X, n, &first, &last);
			if (first + e / C < last)
				sum = ref_fl(&s->dout, sum + ref_get(&s->dout, first * C + e));
		}
		ref_grad(s, POSITION_TABLE, e, sum);
	}
}

static void type_gradient(const struct call *s)
{
	int64_t C = s->out.shape.dim[1], rows = ref_slack(s, POSITION_STARTS);
	for (int64_t e = 0; e < shape_count(s->in[POSITION_TYPE].shape); e++) {
		double sum = 0;
		for (int64_t m = 0; m < rows; m++) {
			int64_t part;
			place_of(s, m, &part);
			sum += part == e / C ? ref_get(&s->dout, m * C + e % C) : 0;
		}
		ref_grad(s, POSITION_TYPE, e, sum);
	}
}

int ref_position_backward(struct call *s)
{
	int64_t n = shape_count(s->out.shape), C = s->out.shape.dim[1], rows = ref_slack(s, POSITION_STARTS);
	for (int64_t e = 0; s->want[POSITION_X] && e < n; e++)
		ref_grad(s, POSITION_X, e, e < rows * C ? ref_get(&s->dout, e) : 0);
	if (s->want[POSITION_TABLE])
		table_gradient(s);
	if (s->want[POSITION_TYPE])
		type_gradient(s);
	return 0;
}
