/* Memory planning. A value lives from the node that computes it to the last node that reads it. A gradient lives from
 * the first node that writes it to the backward of its own node; backward runs from the last node to the first, and
 * what reads a cast of the value writes the gradient, too. Two values whose lives overlap get different memory, all
 * others may share it. What the kernel of its input writes (struct call, rounds, quantizes) is alive from that input
 * on. Nothing is allocated here but the lists that the planner works on. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/internal.h"
#include "exec/memory.h"

/* A piece of an arena, alive in [first, last], both included. */
struct piece {
	size_t size, offset;
	int first, last;
	int order; /* place in the list before sorting */
};

static int larger_first(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x->order - y->order;
}

static int by_order(const void *a, const void *b)
{
	return ((const struct piece *)a)->order - ((const struct piece *)b)->order;
}

/* The lowest offset where p collides with none of the n pieces that are placed already. */
static size_t lowest_gap(const struct piece *placed, int n, const struct piece *p)
{
	size_t offset = 0;
	for (int i = 0; i < n; i++) {
		const struct piece *q = &placed[i];
		bool meets = q->first <= p->last && p->first <= q->last;
		if (!meets || q->offset >= offset + p->size || q->offset + q->size <= offset)
			continue;
		offset = q->offset + q->size;
		i = -1; /* offsets are not sorted: look at all again from the higher place */
	}
	return offset;
}

/* Greedy by size (Pisarchyk and Lee 2020, algorithm 3): the largest pieces first, each as low as it fits. Returns the
 * arena's size. */
static size_t place_pieces(struct piece *p, int n)
{
	size_t top = 0;
	qsort(p, (size_t)n, sizeof(*p), larger_first);
	for (int i = 0; i < n; i++) {
		p[i].offset = lowest_gap(p, i, &p[i]);
		if (p[i].offset + p[i].size > top)
			top = p[i].offset + p[i].size;
	}
	qsort(p, (size_t)n, sizeof(*p), by_order);
	return top;
}

static void find_last_uses(struct executor *ex)
{
	bool keep = ex->mode == EXEC_TRAIN || ex->keep_all;
	for (int i = 0; i < ex->g.n; i++) {
		const struct node *node = &ex->g.node[i];
		bool outlives = keep || ex->slot[i].kept || i == ex->g.output || i == ex->g.loss;
		ex->slot[i].last_use = outlives ? ex->g.n : i;
		for (int k = 0; k < node->n_in; k++)
			if (node->in[k] != NODE_NONE && ex->slot[node->in[k]].last_use < i)
				ex->slot[node->in[k]].last_use = i;
	}
}

/* The input whose memory node i takes over, or NODE_NONE. Refused where i reads that value through a second input too:
 * a kernel may still need it there after it began to write. */
static int grant_inplace(const struct executor *ex, int i)
{
	const struct node *node = &ex->g.node[i];
	int k = ex->call[i].inplace, from;
	if (k < 0 || k >= node->n_in || node->in[k] == NODE_NONE)
		return NODE_NONE;
	from = node->in[k];
	if (is_leaf(&ex->g.node[from]) || ex->slot[from].constant || ex->slot[from].last_use != i)
		return NODE_NONE;
	for (int other = 0; other < node->n_in; other++)
		if (other != k && node->in[other] == from)
			return NODE_NONE;
	return tensor_bytes(&ex->slot[from].tensor) == tensor_bytes(&ex->slot[i].tensor) ? from : NODE_NONE;
}

/* Inputs lie side by side; the nodes that are not constant share the memory behind them. */
static int plan_values(struct executor *ex)
{
	struct piece *p = mem_alloc((size_t)ex->g.n + 1, sizeof(*p));
	int *piece_of = mem_alloc((size_t)ex->g.n + 1, sizeof(*piece_of)), n = 0;
	size_t inputs = 0;
	int rc = p && piece_of ? 0 : ERR_NOMEM;
	if (rc)
		goto out;
	find_last_uses(ex);
	for (int i = 0; i < ex->g.n; i++) {
		struct slot *s = &ex->slot[i];
		size_t bytes = exec_align(tensor_bytes(&s->tensor));
		int from;
		piece_of[i] = -1;
		s->value = NO_PLACE;
		if (s->param || s->bound)
			continue;
		if (s->constant) {
			ex->memory.constants += bytes;
		} else if (is_leaf(&ex->g.node[i])) {
			s->value = inputs;
			inputs += bytes;
		} else if ((from = grant_inplace(ex, i)) != NODE_NONE) {
			piece_of[i] = piece_of[from];
			p[piece_of[i]].last = s->last_use;
		} else {
			int first = exec_is_rounded(ex, i) ? s->rounded_by : i;
			p[n] = (struct piece){.size = bytes, .first = first, .last = s->last_use, .order = n};
			piece_of[i] = n++;
		}
	}
	ex->memory.activations = inputs + place_pieces(p, n);
	for (int i = 0; i < ex->g.n; i++)
		if (piece_of[i] >= 0)
			ex->slot[i].value = inputs + p[piece_of[i]].offset;
out:
	mem_free(p);
	mem_free(piece_of);
	return rc;
}

static size_t gradient_bytes(const struct slot *s)
{
	struct tensor t = gradient_of(&s->tensor);
	return exec_align(tensor_bytes(&t));
}

/* The last reader in forward order, of the value or of its casts, is the first writer of the gradient in backward
 * order. */
static int first_writer(const struct executor *ex, int node)
{
	for (int i = ex->g.n - 1; i > node; i--)
		for (int k = 0; k < ex->g.node[i].n_in; k++)
			if (ex->call[i].want[k] && ex->slot[ex->g.node[i].in[k]].grad_of == node)
				return i;
	return node;
}

static int plan_gradients(struct executor *ex)
{
	int count = ex->g.n, n = 0;
	struct piece *p = mem_alloc((size_t)count + 1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	for (int i = 0; i < count; i++) {
		struct slot *s = &ex->slot[i];
		s->grad = NO_PLACE;
		if (!s->needs_gradient || s->grad_of != i)
			continue;
		if (exec_shares_gradient(ex, i)) {
			ex->memory.param_gradients += gradient_bytes(s) * (exec_sums_gradient(ex, i) ? 2 : 1);
			ex->memory.param_gradients += s->by_rows ? exec_align((size_t)s->tensor.shape.dim[0]) : 0;
			continue;
		}
		p[n] = (struct piece){.size = gradient_bytes(s), .order = n};
		p[n].first = ex->keep_all ? 0 : count - first_writer(ex, i);
		p[n].last = ex->keep_all || s->kept ? count : count - i;
		n++;
	}
	ex->memory.gradients = place_pieces(p, n);
	for (int i = 0, k = 0; i < count; i++)
		if (ex->slot[i].needs_gradient && ex->slot[i].grad_of == i && !exec_shares_gradient(ex, i))
			ex->slot[i].grad = p[k++].offset;
	mem_free(p);
	return 0;
}

/* What kernels asked for. */
static void plan_wishes(struct executor *ex)
{
	struct executor_memory *m = &ex->memory;
	for (int i = 0; i < ex->g.n; i++) {
		const struct call *s = &ex->call[i];
		if (exec_align(s->scratch) > m->scratch)
			m->scratch = exec_align(s->scratch);
		ex->slot[i].saved = m->saved;
		if (ex->slot[i].constant)
			m->constants += exec_align(s->saved);
		else
			m->saved += exec_align(s->saved);
		m->packed += exec_align(s->packed);
		if (ex->slot[i].param)
			m->params += tensor_bytes(&ex->slot[i].param->value);
	}
}

int exec_plan_memory(struct executor *ex)
{
	struct executor_memory *m = &ex->memory;
	int rc = plan_values(ex);
	if (!rc)
		rc = plan_gradients(ex);
	if (rc)
		return rc;
	plan_wishes(ex);
	m->total =
	    m->activations + m->gradients + m->param_gradients + m->scratch + m->saved + m->constants + m->packed;
	return 0;
}
