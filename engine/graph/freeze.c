/* pass_freeze: what depends on params only becomes a param of the same name. The graph that is left has constants as
 * leaves, which is what a converted model stores. Values are copied by executor_export_constants. */
#include "base/err.h"
#include "base/mem.h"
#include "graph/pass.h"

/* Half-precision weights are stored as such: widening them to f32 is left to the run, else the file would hold f32. */
static void unmark_widening(const struct graph *g, bool *constant)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];
		if (n->op == OP_CAST && n->dtype == DT_F32 && g->node[n->in[0]].dtype != DT_F32)
			constant[i] = false;
	}
}

/* Nothing in an integer chain reads the steps of its values: m, c and k have taken them up. They are kept all the same,
 * for without them nobody could say what an integer means. */
static bool is_kept_step(const struct node *n)
{
	return n->op == OP_PARAM && (n->role == ROLE_STEP || n->role == ROLE_WEIGHT_STEP);
}

/* Marks what the frozen graph keeps: everything that is not constant, inputs, and constants that those read. */
static void mark_kept(const struct graph *g, const bool *constant, bool steps, bool *keep)
{
	for (int i = 0; i < g->n && steps; i++)
		keep[i] = is_kept_step(&g->node[i]);
	for (int i = 0; i < g->n; i++) {
		if (constant[i])
			continue;
		keep[i] = true;
		for (int k = 0; k < g->node[i].n_in; k++)
			if (g->node[i].in[k] != NODE_NONE)
				keep[g->node[i].in[k]] = true;
	}
	if (g->output != NODE_NONE)
		keep[g->output] = true;
	if (g->loss != NODE_NONE)
		keep[g->loss] = true;
}

static int freeze_node(const struct node *n, bool constant, const int *map, struct graph *out)
{
	const struct param_attr frozen = {.kind = PARAM_FROZEN, .init = INIT_UNSET};
	if (!constant)
		return graph_add_copy(out, n, map);
	int i = graph_param(out, n->name, n->dtype, n->shape, &frozen);
	/* The range of quantized weights says which integers are legal, also where no op makes them any more. */
	if (i >= 0)
		out->node[i].attr.q = n->attr.q;
	return graph_mark(out, i, n->role, n->origin);
}

static int freeze(const struct graph *g, bool steps, struct graph *out)
{
	int rc = ERR_NOMEM;
	size_t n = (size_t)g->n;
	int *map = mem_alloc(n, sizeof(*map));
	bool *constant = mem_alloc(n, sizeof(*constant)), *keep = mem_alloc(n, sizeof(*keep));
	if (!map || !constant || !keep)
		goto out;
	graph_constant(g, constant);
	unmark_widening(g, constant);
	mark_kept(g, constant, steps, keep);
	for (int i = 0; i < g->n; i++) {
		if (!keep[i])
			continue;
		if ((rc = freeze_node(&g->node[i], constant[i], map, out)) < 0)
			goto out;
		map[i] = rc;
	}
	out->output = g->output == NODE_NONE ? NODE_NONE : map[g->output];
	out->loss = g->loss == NODE_NONE ? NODE_NONE : map[g->loss];
	rc = 0;
out:
	if (rc)
		graph_clear(out);
	mem_free(map);
	mem_free(constant);
	mem_free(keep);
	return rc;
}

int pass_freeze(const struct graph *g, struct graph *out)
{
	return freeze(g, true, out);
}

int pass_freeze_without_steps(const struct graph *g, struct graph *out)
{
	return freeze(g, false, out);
}
