/* Rows of a table by id. Sums of f32 values are taken in f32, in the order that op.h defines: other backends must give
 * the same bits. */
#include "ref/ref_impl.h"

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
				sum = ref_fl(&s->dout, sum + ref_get(&s->dout, m * C + e % C));
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
