/* Fusion groups: which nodes of a folded graph run as one integer op. Decides nothing about ranges or bits. */
#include "quant/match.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

bool match_passes_through(enum op op)
{
	return op_info(op)->passes_integers;
}

bool match_makes_integers(const struct match *m, int i)
{
	return m->by_out[i] != NODE_NONE && !m->group[m->by_out[i]].kind->real_output;
}

static bool can_fuse(const struct graph *g, int i, const int *uses)
{
	const struct node *node = &g->node[i];
	const struct group_kind *kind = group_kind_of(node);

	/* A ReLU before the add would have to run before the residual is added: the epilogue has it after. */
	return kind && kind->fuses_add && !node->attr.relu && uses[i] == 1;
}

int match_fuse(const struct graph *g, int add, const bool *candidate, const int *uses)
{
	int a = g->node[add].in[0], b = g->node[add].in[1];
	int later = a > b ? a : b, earlier = a > b ? b : a;

	if (candidate[later] && can_fuse(g, later, uses))
		return later;
	if (candidate[earlier] && can_fuse(g, earlier, uses))
		return earlier;
	return NODE_NONE;
}

static int make_group(
    struct group *out, const struct graph *g, const struct quant_layer *l, enum quant_method method, const int *uses)
{
	int layer = graph_find(g, l->name), add;
	const struct group_kind *kind = layer < 0 ? NULL : group_kind_of(&g->node[layer]);
	const struct node *node;

	if (!kind)
		return quant_misfit(l->name, "no layer of that name can be quantized");
	if (!(kind->methods & GROUP_METHOD(method)))
		return quant_misfit(l->name, kind->why);
	*out = (struct group){.kind = kind,
	    .layer = layer,
	    .add = NODE_NONE,
	    .residual = NODE_NONE,
	    .out = layer,
	    .prob_bits = l->prob_bits,
	    .relu = g->node[layer].attr.relu};
	if (kind->probabilities != (l->prob_bits != 0))
		return quant_misfit(
		    l->name, kind->probabilities ? "its probabilities have no bits" : "it has no probabilities");
	if (strcmp(l->name, l->output) == 0)
		return 0;
	if (!(GROUP_METHOD(method) & GROUP_INTEGERS))
		return quant_misfit(l->name, "only integer layers fuse with an add");
	add = graph_find(g, l->output);
	if (add < 0 || g->node[add].op != OP_ADD || !can_fuse(g, layer, uses))
		return quant_misfit(l->name, "it cannot fuse into its output");
	node = &g->node[add];
	if ((node->in[0] == layer) == (node->in[1] == layer))
		return quant_misfit(l->name, "it is not one operand of its output");
	out->add = out->out = add;
	out->residual = node->in[0] == layer ? node->in[1] : node->in[0];
	out->relu = node->attr.relu;
	return 0;
}

static void find_carriers(struct match *m, const struct graph *g, const struct quant_plan *p)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *node = &g->node[i];

		m->carrier[i] = NODE_NONE;
		if (match_makes_integers(m, i) && quant_plan_value(p, node->name))
			m->carrier[i] = i;
		else if (match_passes_through(node->op))
			m->carrier[i] = m->carrier[node->in[0]];
	}
}

int match_make(struct match *out, const struct graph *g, const struct quant_plan *p)
{
	size_t n = (size_t)g->n;
	int *uses = mem_alloc(n + 1, sizeof(*uses));
	int rc = ERR_NOMEM;

	*out = (struct match){0};
	out->group = mem_alloc((size_t)p->n_layer + 1, sizeof(*out->group));
	out->by_layer = mem_alloc(n + 1, sizeof(int));
	out->by_out = mem_alloc(n + 1, sizeof(int));
	out->carrier = mem_alloc(n + 1, sizeof(int));
	if (!uses || !out->group || !out->by_layer || !out->by_out || !out->carrier)
		goto out;
	for (int i = 0; i < g->n; i++)
		out->by_layer[i] = out->by_out[i] = NODE_NONE;
	graph_uses(g, uses);
	for (int i = 0; i < p->n_layer; i++) {
		struct group *group = &out->group[out->n_group];

		if (!p->layer[i].quantized)
			continue;
		rc = make_group(group, g, &p->layer[i], p->method, uses);
		if (rc)
			goto out;
		if (out->by_layer[group->layer] != NODE_NONE || out->by_out[group->out] != NODE_NONE) {
			rc = quant_misfit(p->layer[i].name, "it or its output is listed twice");
			goto out;
		}
		out->by_layer[group->layer] = out->by_out[group->out] = out->n_group++;
	}
	find_carriers(out, g, p);
	rc = 0;
out:
	mem_free(uses);
	if (rc)
		match_clear(out);
	return rc;
}

void match_clear(struct match *m)
{
	mem_free(m->group);
	mem_free(m->by_layer);
	mem_free(m->by_out);
	mem_free(m->carrier);
	*m = (struct match){0};
}
