/* Which values of a folded graph are quantized, and in which form: signed, unsigned or affine, with how many bits.
 * Follows from the fusion groups (match.c) and from what the consumers of a value can take. */
#include "quant/plan_maker.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* What the quantized consumers of a value ask of it. */
struct demand {
	bool any;       /* there is one                                          */
	bool zero_only; /* one that cannot fold a zero point                     */
	bool is_signed; /* one that reads s8 only                                */
	int bits;       /* the most that any asks for                            */
};

static int layer_bits(const struct plan_maker *m, int layer, int bits)
{
	bool edge = layer == m->first || layer == m->last;

	return edge && m->rules->edge_bits ? m->rules->edge_bits : bits;
}

static void add_demand(const struct plan_maker *m, const struct group *group, int value, struct demand *d)
{
	unsigned asked = group->kind->demand(m->g, group, value);
	int bits = m->rules->act_bits;

	if (!(asked & DEMAND_INTEGERS))
		return;
	if (asked & DEMAND_AS_INPUT)
		bits = layer_bits(m, group->layer, bits);
	d->any = true;
	d->zero_only |= asked & DEMAND_ZERO_ONLY;
	d->is_signed |= asked & DEMAND_SIGNED;
	d->bits = bits > d->bits ? bits : d->bits;
}

/* integers: the value has integers by itself, which pooling and dropout pass on to their consumers. */
static void find_demand(
    const struct plan_maker *m, const struct match *match, int value, bool integers, struct demand *d)
{
	for (int i = 0; i < match->n_group; i++)
		add_demand(m, &match->group[i], value, d);
	for (int i = value + 1; integers && i < m->g->n; i++)
		if (match_passes_through(m->g->node[i].op) && m->g->node[i].in[0] == value)
			find_demand(m, match, i, true, d);
}

/* The node that a value's integers would come from: through pooling and dropout up to a group's output or a real node.
 */
static int source(const struct graph *g, int i)
{
	while (match_passes_through(g->node[i].op))
		i = g->node[i].in[0];
	return i;
}

void plan_mark_quantized(struct plan_maker *m)
{
	for (int i = 0; i < m->plan->n_layer; i++)
		m->quantized[m->layer_node[i]] = m->plan->layer[i].quantized;
}

/* Whether all that a layer without weights computes with has integers anyway. */
static bool reads_integers(const struct plan_maker *m, const struct match *match, const struct node *layer)
{
	bool all = true;

	for (int k = 0; k < layer->n_in; k++)
		if (node_has(layer, k) && m->g->node[layer->in[k]].dtype == DT_F32)
			all &= match_makes_integers(match, source(m->g, layer->in[k]));
	return all;
}

int plan_leave_lonely(struct plan_maker *m, struct match *match)
{
	for (int l = 0; l < m->plan->n_layer; l++) {
		struct quant_layer *layer = &m->plan->layer[l];
		int i = m->layer_node[l];
		const struct node *node = &m->g->node[i];
		struct demand d = {0};

		if (!layer->quantized || !group_kind_of(node)->between_integers)
			continue;
		find_demand(m, match, i, true, &d);
		if (d.any && reads_integers(m, match, node))
			continue;
		layer->quantized = false;
		layer->prob_bits = 0;
		layer->why = plan_why_text[WHY_REAL_AROUND];
	}
	plan_mark_quantized(m);
	match_clear(match);
	return match_make(match, m->g, m->plan);
}

static bool never_negative(const struct graph *g, int i)
{
	const struct node *node = &g->node[i];

	if (node->attr.relu)
		return true;
	bool so_far = op_info(node->op)->never_negative;
	for (int k = 0; so_far && k < node->n_in; k++)
		so_far = !node_has(node, k) || never_negative(g, node->in[k]);
	return so_far;
}

static struct quant_value *add_value(struct quant_plan *p, const char *name)
{
	struct quant_value *v = mem_grow(p->value, (size_t)p->n_value, (size_t)p->n_value + 1, sizeof(*v));

	if (!v)
		return NULL;
	p->value = v;
	v = &v[p->n_value++];
	*v = (struct quant_value){.channels = 1};
	memcpy(v->name, name, NODE_NAME);
	return v;
}

static int add_activation(const struct plan_maker *m, int i, const struct demand *d)
{
	struct quant_value *v = add_value(m->plan, m->g->node[i].name);

	if (!v)
		return ERR_NOMEM;
	if (d->is_signed) {
		v->q = qrange_signed(d->bits);
	} else if (never_negative(m->g, i)) {
		v->q = qrange_unsigned(d->bits, 0);
	} else if (m->rules->affine && !d->zero_only) {
		v->q = qrange_unsigned(d->bits, 0);
		v->affine = true;
	} else {
		v->q = qrange_signed(d->bits);
	}
	return 0;
}

static int add_weight(const struct plan_maker *m, int layer, int input)
{
	const struct group_kind *kind = group_kind_of(&m->g->node[layer]);
	const struct node *w = &m->g->node[m->g->node[layer].in[input]];
	int bits = m->own_bits[layer] ? m->own_bits[layer] : layer_bits(m, layer, m->rules->weight_bits);
	const struct quant_value *old = quant_plan_value(m->plan, w->name);
	struct quant_value *v;

	if (bits == 1 && !kind->binary)
		return err_set(ERR_CONFIG,
		    "layer '%s' has no weights of 1 bit, only linear layers and convolutions have: give it more by "
		    "layer_bits: [%s=8], or name it in exclude",
		    plan_own_name(&m->g->node[layer]), plan_own_name(&m->g->node[layer]));
	if (old) /* tied weights */
		return old->q.bits == bits ? 0
					   : err_set(ERR_CONFIG, "'%s' is used by layers of %d and of %d bits", w->name,
						 old->q.bits, bits);
	v = add_value(m->plan, w->name);
	if (!v)
		return ERR_NOMEM;
	v->weight = true;
	v->q = qrange_weight(bits);
	v->per_channel = m->rules->per_channel;
	if (v->per_channel || kind->step_per_row || m->plan->method == QUANT_DYNAMIC)
		v->channels = (int)w->shape.dim[0];
	return 0;
}

int plan_list_weights(const struct plan_maker *m)
{
	int rc = 0;

	for (int i = 0; i < m->plan->n_layer; i++) {
		const struct node *layer = &m->g->node[m->layer_node[i]];

		for (int k = 0; k < layer->n_in && m->plan->layer[i].quantized && !rc; k++)
			if (group_is_weight(group_kind_of(layer), layer, k))
				rc = add_weight(m, m->layer_node[i], k);
	}
	return rc;
}

int plan_list_values(const struct plan_maker *m, const struct match *match)
{
	int rc = plan_list_weights(m);

	for (int i = 0; i < m->g->n && !rc; i++) {
		enum op op = m->g->node[i].op;
		struct demand d = {0};
		bool group = match_makes_integers(match, i), integers;

		if (op == OP_PARAM || op == OP_FOLD_WEIGHT || op == OP_FOLD_BIAS)
			continue;
		integers = group || (match_passes_through(op) && match_makes_integers(match, source(m->g, i)));
		if (integers && !group)
			continue; /* a pool has its origin's range; a real node gets its own where it is consumed */
		find_demand(m, match, i, integers, &d);
		if (d.any)
			rc = add_activation(m, i, &d);
	}
	return rc;
}
