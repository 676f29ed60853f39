/* What one training step has to move as long as every node of the graph is one pass forward and one backward, each of
 * which reads an operand once and writes a result once: no columns of convolutions, no second look at a batch norm's
 * input, no separate pass over a gradient. Fusing nodes with each other can go below it. Forward reads the inputs and
 * writes the output (a max pool also which value won, a byte each); backward reads the output's gradient and what
 * needs() says, and writes the gradients of what depends on a param; a gradient with two writers is read and written
 * again. The loss leaves its gradient in its forward pass, and the gradient of a cast is its input's. The update reads
 * weight, gradient and moments, the gradient once more for its norm, and writes weight and moments. */
#include <stdio.h>
#include <stdlib.h>

#include "graph/graph.h"
#include "traffic.h"

/* Inputs by their place, of which W is needed for the gradient of X only; then the output and which value won. */
enum { X = 1, W = 2, V = 4, R = 8, Y = 16, WINNER = 32 };

static size_t bytes_of(const struct node *n)
{
	return (size_t)shape_count(n->shape) * dtype_size(n->dtype);
}

static size_t gradient_of(const struct node *n)
{
	return (size_t)shape_count(n->shape) * sizeof(float);
}

/* What backward reads beside the gradient; -1: not known. */
static int needs(const struct node *n)
{
	switch (n->op) {
	case OP_LINEAR:
	case OP_CONV2D:
		return X | W | (n->attr.relu ? Y : 0);
	case OP_BATCHNORM: /* the sign before the ReLU follows from x */
		return X | W;
	case OP_LAYERNORM:
		return X | W | R;
	case OP_ATTENTION:
	case OP_FAKE_ATTENTION:
		return X | W | V;
	case OP_EMBEDDING:
	case OP_GELU:
	case OP_TANH:
	case OP_FAKE_GELU:
	case OP_FAKE_QUANT:
	case OP_REQUANT: /* without a residual, which encoders do not have there */
	case OP_DEQUANT:
		return X;
	case OP_MAXPOOL:
		return WINNER;
	case OP_ADD:
		return n->attr.relu ? Y : 0;
	case OP_AVGPOOL:
	case OP_DROPOUT:
	case OP_POSITION:
	case OP_SEGMENT_FIRST:
	case OP_CE_LOSS:
	case OP_HIDDEN_LOSS:
	case OP_ATTENTION_LOSS:
	case OP_RELATION_LOSS:
	case OP_CAST:
		return 0;
	default:
		return -1;
	}
}

static void forward(const struct graph *g, const struct node *n, struct simt_traffic *t)
{
	for (int k = 0; k < n->n_in; k++) {
		const struct node *from = n->in[k] == NODE_NONE ? NULL : &g->node[n->in[k]];
		/* A batch norm does not look at the running statistics, a look-up at a row for each token. */
		if (from && !(from->op == OP_PARAM && from->param.kind == PARAM_STAT))
			t->read += n->op == OP_EMBEDDING && k == EMBEDDING_TABLE ? bytes_of(n) : bytes_of(from);
	}
	t->written += bytes_of(n) + (n->op == OP_MAXPOOL ? (size_t)shape_count(n->shape) : 0);
}

/* has: the gradient of a node has been written by another consumer. */
static void backward(
    const struct graph *g, const struct node *n, const bool *trained, bool *has, struct simt_traffic *t)
{
	const int what = needs(n);
	if (n->op == OP_CAST)
		return;
	t->read += n->op == OP_CE_LOSS ? 0 : gradient_of(n);
	t->read += what & Y ? bytes_of(n) : 0;
	t->read += what & WINNER ? (size_t)shape_count(n->shape) : 0;
	/* x for the gradient of w, w for that of x. */
	for (int k = 0; k < n->n_in; k++)
		if (what & (X | W | V | R) & 1 << k && n->in[k] != NODE_NONE && (k != 1 || trained[n->in[0]]))
			t->read += bytes_of(&g->node[n->in[k]]);
	for (int k = 0; k < n->n_in; k++) {
		int i = n->in[k];
		if (i == NODE_NONE || !trained[i])
			continue;
		while (g->node[i].op == OP_CAST)
			i = g->node[i].in[0];
		t->read += has[i] ? gradient_of(&g->node[i]) : 0;
		t->written += gradient_of(&g->node[i]);
		has[i] = true;
	}
}

static void update(const struct node *n, struct simt_traffic *t)
{
	const bool stat = n->param.kind == PARAM_STAT;
	t->read += bytes_of(n) * (stat ? 2 : 5);
	t->written += bytes_of(n) * (stat ? 1 : 3);
}

/* Whether a gradient comes to each node: it depends on a param that is updated. */
static void mark_trained(const struct graph *g, bool *trained)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];
		trained[i] = n->op == OP_PARAM && n->param.kind != PARAM_FROZEN;
		for (int k = 0; k < n->n_in; k++)
			trained[i] |= n->in[k] != NODE_NONE && trained[n->in[k]];
	}
}

int traffic_least(const struct graph *g, struct simt_traffic *least)
{
	bool *trained = calloc((size_t)g->n, sizeof(*trained)), *has = calloc((size_t)g->n, sizeof(*has));
	int rc = trained && has ? 0 : -1;
	if (!rc)
		mark_trained(g, trained);
	for (int i = g->n - 1; !rc && i >= 0; i--) {
		const struct node *n = &g->node[i];
		if (n->op == OP_INPUT) {
			least->written += bytes_of(n);
		} else if (n->op == OP_PARAM) {
			update(n, least);
		} else if (needs(n) < 0) {
			fprintf(stderr, "%s: what a %s moves at least is not known\n", n->name, op_info(n->op)->name);
			rc = -1;
		} else {
			forward(g, n, least);
			backward(g, n, trained, has, least);
		}
	}
	least->requested = least->read + least->written;
	free(trained);
	free(has);
	return rc;
}
