/* Which gradients are computed, and which node writes each of them first. All of it is decided once, at prepare.
 *
 * A gradient is needed if its node depends on something that is trained and reaches the loss. Trained are the params of
 * kind TRAINED, and running statistics where a batch norm observes them.
 *
 * A gradient with several consumers is a sum. Backward runs from the last node to the first; the first consumer that
 * runs overwrites the gradient, so that nobody has to zero it, and the later ones add to it. The gradient of a param
 * outlives a step, so that micro-batches can be summed up: there the first consumer overwrites in the first micro-batch
 * and adds in the others.
 *
 * The gradient of a cast is the memory of its input's gradient (see internal.h). */
#include "exec/internal.h"

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

/* Running mean and variance are observed where a batch norm normalises by the batch; a folded weight also reads the
 * variance, but has nothing to say about it. */
static bool observes(const struct node *node, int input)
{
	return node->op == OP_BATCHNORM && input >= 3;
}

/* Whether a gradient may flow from node i back into its input k. */
static bool can_flow(const struct executor *ex, int i, int k)
{
	const struct node *node = &ex->g.node[i], *from;
	if (node->in[k] == NODE_NONE)
		return false;
	from = &ex->g.node[node->in[k]];
	if (!is_float(from->dtype))
		return false;
	return from->op != OP_PARAM || from->param.kind != PARAM_STAT || observes(node, k);
}

/* First half of slot.needs_gradient: the node depends on something that is trained. */
static void mark_depending(struct executor *ex)
{
	for (int i = 0; i < ex->g.n; i++) {
		const struct node *node = &ex->g.node[i];
		struct slot *s = &ex->slot[i];
		s->needs_gradient = node->op == OP_PARAM && node->param.kind != PARAM_FROZEN && is_float(node->dtype);
		for (int k = 0; k < node->n_in; k++)
			if (can_flow(ex, i, k) && ex->slot[node->in[k]].needs_gradient)
				s->needs_gradient = true;
	}
}

/* Second half, from the loss backwards: of those that depend on something trained, the ones that reach the loss. A
 * kernel is asked for the gradient of an input if that input is one of them. */
static void mark_reaching(struct executor *ex)
{
	for (int i = ex->g.n - 1; i >= 0; i--) {
		const struct node *node = &ex->g.node[i];
		bool reached = i == ex->g.loss;
		for (int c = i + 1; !reached && c < ex->g.n; c++)
			for (int k = 0; k < ex->g.node[c].n_in; k++)
				reached |= ex->g.node[c].in[k] == i && ex->call[c].want[k];
		ex->slot[i].needs_gradient = ex->slot[i].needs_gradient && reached;
		for (int k = 0; k < node->n_in; k++)
			ex->call[i].want[k] =
			    ex->slot[i].needs_gradient && can_flow(ex, i, k) && ex->slot[node->in[k]].needs_gradient;
	}
}

/* Inputs come before their casts, so a chain of casts ends at what was cast first. The gradient of the loss stays its
 * own: it is a constant. */
static void merge_casts(struct executor *ex)
{
	for (int i = 0; i < ex->g.n; i++) {
		const struct node *node = &ex->g.node[i];
		bool merged = node->op == OP_CAST && ex->call[i].want[0] && i != ex->g.loss && !ex->keep_all;
		ex->slot[i].grad_of = merged ? ex->slot[node->in[0]].grad_of : i;
	}
}

/* Whether node c writes gradient `of` through its input k, and no other way is there to write it. */
static bool only_writer(const struct executor *ex, int of, int c, int k)
{
	for (int other = 0; other < ex->g.n; other++)
		for (int in = 0; in < ex->g.node[other].n_in; in++)
			if ((other != c || in != k) && ex->call[other].want[in] &&
			    ex->slot[ex->g.node[other].in[in]].grad_of == of)
				return false;
	return true;
}

/* Sums of micro-batches are made of whole gradients, which nobody asks for their rows. */
void exec_plan_rows(struct executor *ex)
{
	for (int c = 0; c < ex->g.n; c++) {
		struct call *call = &ex->call[c];
		for (int k = 0; k < ex->g.node[c].n_in; k++) {
			if (!call->by_rows[k])
				continue;
			const int of = ex->slot[ex->g.node[c].in[k]].grad_of;
			const bool table = call->want[k] && ex->slot[of].param && ex->g.node[of].shape.ndim == 2 &&
					   only_writer(ex, of, c, k);
			call->by_rows[k] = table && !exec_sums_gradient(ex, of);
			ex->slot[of].table = table;
			ex->slot[of].by_rows = call->by_rows[k];
		}
	}
}

void exec_plan_gradients(struct executor *ex)
{
	if (ex->mode != EXEC_TRAIN || ex->g.loss == NODE_NONE)
		return;
	mark_depending(ex);
	mark_reaching(ex);
	merge_casts(ex);
	/* In backward order, inputs in index order, the first write overwrites. */
	for (int c = ex->g.n - 1; c >= 0; c--) {
		for (int k = 0; exec_runs_backward(ex, c) && k < ex->g.node[c].n_in; k++) {
			struct slot *to;
			if (!ex->call[c].want[k])
				continue;
			to = &ex->slot[ex->slot[ex->g.node[c].in[k]].grad_of];
			ex->call[c].accumulate[k] = to->param || to->has_writer;
			ex->slot[c].writes_first[k] = to->param && !to->has_writer;
			to->has_writer = true;
		}
	}
}
