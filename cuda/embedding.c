/* OP_EMBEDDING: rows of a table by id. The table's gradient is dense: zeros, to which is added in the rows
 * that the batch names. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static struct embedding_tokens tokens_of(const struct call *s)
{
	return (struct embedding_tokens){.id = s->in[EMBEDDING_IDS].data,
	    .M = s->out.shape.dim[0],
	    .V = s->in[EMBEDDING_TABLE].shape.dim[0],
	    .C = s->out.shape.dim[1]};
}

static int embedding_prepare(struct call *s)
{
	call_set_impl(s, "kernel");
	return 0;
}

static int embedding_forward(struct call *s)
{
	return cuda_embedding(s->ctx, tokens_of(s), s->in[EMBEDDING_TABLE].data, s->out.data);
}

static int embedding_backward(struct call *s)
{
	struct tensor *d = &s->din[EMBEDDING_TABLE];
	int rc = 0;
	if (!s->want[EMBEDDING_TABLE])
		return 0;
	if (!s->accumulate[EMBEDDING_TABLE])
		rc = cuda_zero(s->ctx, d->data, tensor_bytes(d));
	if (rc)
		return rc;
	return cuda_embedding_gradient(s->ctx, tokens_of(s), s->dout.data, d->data);
}

const struct kernel cuda_embedding_kernel = {embedding_prepare, NULL, embedding_forward, embedding_backward, NULL};
