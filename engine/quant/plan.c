/* The quantization plan: which layers run as integers and how adds fuse; ranges and limits set afterwards.
 * Which values are quantized follows in plan_values.c; graphs are built by annotate.c and lower.c. */
#include "quant/plan.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "quant/match.h"
#include "quant/plan_maker.h"

static bool has_integers(enum quant_method m)
{
	return GROUP_METHOD(m) & GROUP_INTEGERS;
}

static int check_bits(const char *key, int bits, int least)
{
	if (bits < least || bits > 8)
		return err_set(ERR_CONFIG, "%s must be %d to 8, found %d", key, least, bits);
	return 0;
}

static int check_rules(const struct quant_rules *r)
{
	if (r->method == QUANT_FP16 || r->method == QUANT_BF16)
		return 0;
	if (check_bits("weight_bits", r->weight_bits, 1) < 0 || check_bits("act_bits", r->act_bits, 2) < 0 ||
	    (r->edge_bits != 0 && check_bits("edge_bits", r->edge_bits, 2) < 0))
		return ERR_CONFIG;
	if (r->prob_bits != 0 && r->prob_bits != 8 && r->prob_bits != 16)
		return err_set(ERR_CONFIG, "prob_bits must be 8 or 16, found %d", r->prob_bits);
	if (r->method == QUANT_DYNAMIC && r->act_bits != 8)
		return err_set(
		    ERR_CONFIG, "method dynamic quantizes rows to 8 bits; act_bits must be 8, found %d", r->act_bits);
	return 0;
}

const char *plan_own_name(const struct node *layer)
{
	return layer->origin[0] ? layer->origin : layer->name;
}

int plan_no_match(const struct plan_maker *m, const char *option, const char *pattern)
{
	int n = m->plan->n_layer, rc;
	const char **names = mem_alloc((size_t)n * 2 + 1, sizeof(*names));
	const char *near;

	if (!names)
		return ERR_NOMEM;
	for (int i = 0; i < n; i++) {
		names[2 * i] = plan_own_name(&m->g->node[m->layer_node[i]]);
		names[2 * i + 1] = m->plan->layer[i].name;
	}
	near = str_nearest(pattern, names, 2 * n);
	if (near)
		rc = err_set(ERR_CONFIG, "%s: no layer matches '%s'; did you mean '%s'?", option, pattern, near);
	else
		rc = err_set(ERR_CONFIG, "%s: no layer matches '%s'; layers are '%s' to '%s'", option, pattern,
		    n ? names[0] : "", n ? names[2 * n - 2] : "");
	mem_free(names);
	return rc;
}

static int exclude_layers(const struct plan_maker *m)
{
	for (int p = 0; p < m->rules->exclude.n; p++) {
		const char *pattern = m->rules->exclude.v[p];
		bool found = false;

		for (int i = 0; i < m->plan->n_layer; i++) {
			struct quant_layer *l = &m->plan->layer[i];

			if (!str_match(pattern, l->name) &&
			    !str_match(pattern, plan_own_name(&m->g->node[m->layer_node[i]])))
				continue;
			l->quantized = false;
			l->prob_bits = 0;
			l->why = plan_why_text[WHY_EXCLUDED];
			found = true;
		}
		if (!found)
			return plan_no_match(m, "exclude", pattern);
	}
	return 0;
}

static int list_layers(struct plan_maker *m)
{
	struct quant_plan *p = m->plan;
	int n = 0;

	for (int i = 0; i < m->g->n; i++)
		n += group_kind_of(&m->g->node[i]) != NULL;
	p->layer = mem_alloc((size_t)n + 1, sizeof(*p->layer));
	m->layer_node = mem_alloc((size_t)n + 1, sizeof(int));
	m->quantized = mem_alloc((size_t)m->g->n + 1, sizeof(bool));
	m->own_bits = mem_alloc((size_t)m->g->n + 1, sizeof(int));
	if (!p->layer || !m->layer_node || !m->quantized || !m->own_bits)
		return ERR_NOMEM;
	m->first = m->last = NODE_NONE;
	for (int i = 0; i < m->g->n; i++) {
		const struct node *node = &m->g->node[i];
		const struct group_kind *kind = group_kind_of(node);
		struct quant_layer *l = &p->layer[p->n_layer];

		if (!kind)
			continue;
		memcpy(l->name, node->name, NODE_NAME);
		memcpy(l->output, node->name, NODE_NAME);
		l->quantized = kind->methods & GROUP_METHOD(p->method);
		l->why = l->quantized ? NULL : kind->why;
		if (l->quantized && kind->probabilities)
			l->prob_bits = m->rules->prob_bits ? m->rules->prob_bits : 16;
		if (kind->edge) {
			m->first = m->first == NODE_NONE ? i : m->first;
			m->last = i;
		}
		m->layer_node[p->n_layer++] = i;
	}
	return 0;
}

static int fuse_adds(struct plan_maker *m)
{
	int *uses = mem_alloc((size_t)m->g->n + 1, sizeof(*uses));

	if (!uses)
		return ERR_NOMEM;
	graph_uses(m->g, uses);
	for (int i = 0; i < m->g->n; i++) {
		int layer = m->g->node[i].op == OP_ADD ? match_fuse(m->g, i, m->quantized, uses) : NODE_NONE;

		for (int l = 0; layer != NODE_NONE && l < m->plan->n_layer; l++)
			if (m->layer_node[l] == layer)
				memcpy(m->plan->layer[l].output, m->g->node[i].name, NODE_NAME);
	}
	mem_free(uses);
	return 0;
}

/* Whether node i (or NODE_NONE) is an activation of fewer than 8 bits. */
static bool is_narrow(const struct quant_plan *p, const struct graph *g, const struct match *m, int i)
{
	if (i == NODE_NONE)
		return false;
	const char *name = g->node[m->carrier[i] != NODE_NONE ? m->carrier[i] : i].name;
	const struct quant_value *v = quant_plan_value(p, name);

	return v && !v->weight && v->q.bits != 8;
}

static void mark_simulated(struct quant_plan *p, const struct graph *g, const struct match *m)
{
	for (int i = 0; i < p->n_layer; i++) {
		struct quant_layer *l = &p->layer[i];
		int layer = graph_find(g, l->name), group = m->by_layer[layer];

		if (group == NODE_NONE)
			continue;
		bool narrow = is_narrow(p, g, m, m->group[group].residual) || is_narrow(p, g, m, m->group[group].out);
		for (int k = 0; k < g->node[layer].n_in; k++)
			narrow |= is_narrow(p, g, m, g->node[layer].in[k]);
		if (narrow) {
			l->simulated = p->simulated = true;
			l->why = plan_why_text[WHY_NARROW];
		}
	}
}

static int plan_values_of_integers(struct plan_maker *m)
{
	struct match match = {0};
	int rc = match_make(&match, m->g, m->plan);

	if (rc)
		return rc;
	rc = plan_leave_lonely(m, &match);
	if (rc)
		goto out;
	rc = plan_list_values(m, &match);
	if (rc)
		goto out;
	match_clear(&match);
	rc = match_make(&match, m->g, m->plan); /* again: now the values say what carries integers */
	if (rc)
		goto out;
	mark_simulated(m->plan, m->g, &match);
out:
	match_clear(&match);
	return rc;
}

int quant_plan_make(struct quant_plan *out, const struct graph *folded, const struct quant_rules *rules)
{
	struct plan_maker m = {.g = folded, .rules = rules, .plan = out};
	int rc, left = 0;

	*out = (struct quant_plan){.method = rules->method};
	rc = check_rules(rules);
	if (rc)
		return rc;
	rc = list_layers(&m);
	if (rc)
		goto out;
	rc = exclude_layers(&m);
	if (rc)
		goto out;
	for (int i = 0; i < out->n_layer; i++)
		left += out->layer[i].quantized && quant_layer_weight(folded, m.layer_node[i]) != NODE_NONE;
	if (left == 0) {
		rc = err_set(ERR_CONFIG, "nothing is left to quantize: no layer for method %s, or all are excluded",
		    quant_method_names[rules->method]);
		goto out;
	}
	rc = plan_take_layer_bits(&m);
	if (rc)
		goto out;
	plan_mark_quantized(&m);
	if (has_integers(rules->method)) {
		rc = fuse_adds(&m);
		if (!rc)
			rc = plan_values_of_integers(&m);
	} else if (rules->method == QUANT_DYNAMIC) {
		rc = plan_list_weights(&m);
	}
out:
	mem_free(m.layer_node);
	mem_free(m.quantized);
	mem_free(m.own_bits);
	if (rc)
		quant_plan_clear(out);
	return rc;
}
