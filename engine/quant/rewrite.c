/* The walk from a folded graph to a quantized one. What a group becomes is the business of its kind
 * (group_*.c). */
#include "quant/rewrite.h"

#include "base/err.h"
#include "base/mem.h"

/* A node that stays as it is, on real inputs. */
static int copy_node(struct rewrite *r, int i)
{
	const struct node *node = &r->in->node[i];
	int in[NODE_MAX_IN], rc;

	if (node->op == OP_INPUT)
		return r->real[i] = graph_input(r->out, node->name, node->dtype, node->shape);
	if (node->op == OP_PARAM)
		return r->real[i] = graph_param(r->out, node->name, node->dtype, node->shape, &node->param);
	for (int k = 0; k < node->n_in; k++) {
		rc = rewrite_input(r, node, k, &in[k]);
		if (rc)
			return rc;
	}
	r->real[i] = graph_add(r->out, node->op, node->name, in, node->n_in, &node->attr);
	return graph_mark(r->out, r->real[i], node->role, node->origin);
}

/* Pooling and dropout of integers. */
static int pass_through(struct rewrite *r, int i)
{
	const struct node *node = &r->in->node[i];
	int in[NODE_MAX_IN] = {r->grid[node->in[0]]};

	if (node->op == OP_DROPOUT && !r->keep_dropout)
		return r->grid[i] = in[0];
	for (int k = 1; k < node->n_in; k++) { /* where sequences begin */
		in[k] = node->in[k] == NODE_NONE ? NODE_NONE : rewrite_real(r, node->in[k]);
		if (node->in[k] != NODE_NONE && in[k] < 0)
			return in[k];
	}
	return r->grid[i] = rewrite_add(r, node->op, ROLE_QUANTIZED, i, in, node->n_in, &node->attr);
}

static int rewrite_node(struct rewrite *r, int i)
{
	const struct node *node = &r->in->node[i];
	const struct match *m = &r->match;
	int real;

	if (!r->needed[i])
		return 0;
	if (m->by_out[i] != NODE_NONE)
		return r->emit(r, &m->group[m->by_out[i]]);
	if (m->by_layer[i] != NODE_NONE) /* fused: emitted at the add */
		return 0;
	if (match_passes_through(node->op) && r->grid[node->in[0]] != NODE_NONE && m->carrier[i] != NODE_NONE)
		return pass_through(r, i);
	if (node->op == OP_DROPOUT && !r->keep_dropout) {
		real = rewrite_real(r, node->in[0]);
		return real < 0 ? real : (r->real[i] = real);
	}
	return copy_node(r, i);
}

static void mark_needed(struct rewrite *r, int root)
{
	if (root == NODE_NONE)
		return;
	r->needed[root] = true;
	for (int i = root; i >= 0; i--) {
		const struct node *node = &r->in->node[i];

		for (int k = 0; r->needed[i] && k < node->n_in; k++)
			if (node->in[k] != NODE_NONE)
				r->needed[node->in[k]] = true;
	}
}

static int walk(struct rewrite *r, bool keep_loss)
{
	int rc;

	for (int i = 0; i < r->in->n; i++) {
		rc = rewrite_node(r, i);
		if (rc < 0)
			return rc;
	}
	if (r->in->output != NODE_NONE) {
		r->out->output = rewrite_real(r, r->in->output);
		if (r->out->output < 0)
			return r->out->output;
	}
	if (keep_loss && r->in->loss != NODE_NONE)
		r->out->loss = r->real[r->in->loss];
	return 0;
}

int rewrite_run(struct rewrite *r, bool keep_loss)
{
	size_t n = (size_t)r->in->n + 1;
	int rc = match_make(&r->match, r->in, r->plan);

	if (rc)
		return rc;
	rc = ERR_NOMEM;
	r->needed = mem_alloc(n, sizeof(*r->needed));
	r->real = mem_alloc(n, sizeof(*r->real));
	r->grid = mem_alloc(n, sizeof(*r->grid));
	if (!r->needed || !r->real || !r->grid)
		goto out;
	for (int i = 0; i < r->in->n; i++)
		r->real[i] = r->grid[i] = NODE_NONE;
	mark_needed(r, r->in->output);
	if (keep_loss)
		mark_needed(r, r->in->loss);
	rc = walk(r, keep_loss);
out:
	mem_free(r->needed);
	mem_free(r->real);
	mem_free(r->grid);
	match_clear(&r->match);
	if (rc)
		graph_clear(r->out);
	return rc;
}
