/* Rows of a table by id, and the mean of each sequence's rows. Sums of f32 values are taken in f32, in the order that
 * graph.h defines: other backends must give the same bits. */
#include "ref/ref_impl.h"

/* a + b as the tensor's type adds. */
static double add_as(const struct tensor *t, double a, double b)
{
	return t->dtype == DT_F32 ? (double)((float)a + (float)b) : a + b;
}

/* The row of the table that token m names; -1 for none. */
static int64_t row_of(const struct call *s, int64_t m)
{
	int64_t id = (int64_t)ref_get(&s->in[EMBEDDING_IDS], m);
	assert(id >= -1 && id < s->in[EMBEDDING_TABLE].shape.dim[0]);
	return id;
}

int ref_embedding_forward(struct call *s)
{
	int64_t M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	for (int64_t m = 0; m < M; m++) {
		int64_t row = row_of(s, m);
		for (int64_t c = 0; c < C; c++)
			ref_set(&s->out, m * C + c, row < 0 ? 0 : ref_get(&s->in[EMBEDDING_TABLE], row * C + c));
	}
	return 0;
}

int ref_embedding_backward(struct call *s)
{
	int64_t V = s->in[EMBEDDING_TABLE].shape.dim[0], M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	for (int64_t e = 0; s->want[EMBEDDING_TABLE] && e < V * C; e++) {
		double sum = 0;
		for (int64_t m = 0; m < M; m++)
			if (row_of(s, m) == e / C)
				sum = add_as(&s->dout, sum, ref_get(&s->dout, m * C + e % C));
		ref_grad(s, EMBEDDING_TABLE, e, sum);
	}
	return 0;
}

int ref_qembedding_forward(struct call *s)
{
	int64_t M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	for (int64_t m = 0; m < M; m++) {
		int64_t row = row_of(s, m);
		for (int64_t c = 0; c < C; c++)
			ref_set(&s->out, m * C + c,
			    row < 0
				? 0
				: ref_get(&s->in[QEMBEDDING_Q], row * C + c) * ref_get(&s->in[QEMBEDDING_STEP], row));
	}
	return 0;
}

/* The rows of sequence n. */
static void segment(const struct call *s, int64_t n, int64_t *first, int64_t *last)
{
	*first = (int64_t)ref_get(&s->in[SEGMENT_STARTS], n);
	*last = (int64_t)ref_get(&s->in[SEGMENT_STARTS], n + 1);
	assert((n > 0 || *first == 0) && *first <= *last && *last <= s->in[SEGMENT_X].shape.dim[0]);
}

/* sum / count as the tensor's type divides. */
static double divide_as(const struct tensor *t, double sum, int64_t count)
{
	return t->dtype == DT_F32 ? (double)((float)sum / (float)count) : sum / (double)count;
}

int ref_segment_mean_forward(struct call *s)
{
	int64_t C = s->out.shape.dim[1], first, last;
	for (int64_t e = 0; e < shape_count(s->out.shape); e++) {
		double sum = 0;
		segment(s, e / C, &first, &last);
		for (int64_t m = first; m < last; m++)
			sum = add_as(&s->out, sum, ref_get(&s->in[SEGMENT_X], m * C + e % C));
		ref_set(&s->out, e, first < last ? divide_as(&s->out, sum, last - first) : 0);
	}
	return 0;
}

int ref_segment_mean_backward(struct call *s)
{
	int64_t N = s->out.shape.dim[0], C = s->out.shape.dim[1], M = s->in[SEGMENT_X].shape.dim[0], first, last = 0;
	for (int64_t n = 0; s->want[SEGMENT_X] && n < N; n++) {
		segment(s, n, &first, &last);
		for (int64_t e = first * C; e < last * C; e++)
			ref_grad(s, SEGMENT_X, e, divide_as(&s->dout, ref_get(&s->dout, n * C + e % C), last - first));
	}
	for (int64_t e = last * C; s->want[SEGMENT_X] && e < M * C; e++)
		ref_grad(s, SEGMENT_X, e, 0);
	return 0;
}
