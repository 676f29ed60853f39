/* The quantization plan: which layers run as integers and how adds fuse; ranges and limits set afterwards.
 * Which values are quantized follows in plan_values.c; graphs are built by annotate.c and lower.c. */
#include "quant/plan.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "quant/match.h"
#include "quant/plan_maker.h"

const char *const quant_method_names[] = {"dynamic", "static", "qat", "fp16", "bf16", NULL};

const char *const plan_why_text[WHY_COUNT] = {
    [WHY_EXCLUDED] = "excluded by a pattern",
    [WHY_NOT_LINEAR] = "dynamic quantization covers linear layers only",
    [WHY_NO_WEIGHTS] = "has no weights",
    [WHY_REAL_AROUND] = "its input or its output is a real value",
    [WHY_NARROW] = "no integer kernel for activations of fewer than 8 bits",
};

bool plan_has_weights(const struct node *node)
{
	return op_info(node->op)->product == FLOAT_PRODUCT;
}

static bool has_integers(enum quant_method m)
{
	return m == QUANT_STATIC || m == QUANT_QAT;
}

static int check_bits(const char *key, int bits)
{
	if (bits < 2 || bits > 8)
		return err_set(ERR_CONFIG, "%s must be 2 to 8, found %d", key, bits);
	return 0;
}

static int check_rules(const struct quant_rules *r)
{
	if (r->method == QUANT_FP16 || r->method == QUANT_BF16)
		return 0;
	if (check_bits("weight_bits", r->weight_bits) < 0 || check_bits("act_bits", r->act_bits) < 0 ||
	    (r->edge_bits != 0 && check_bits("edge_bits", r->edge_bits) < 0))
		return ERR_CONFIG;
	if (r->method == QUANT_DYNAMIC && r->act_bits != 8)
		return err_set(
		    ERR_CONFIG, "method dynamic quantizes rows to 8 bits; act_bits must be 8, found %d", r->act_bits);
	return 0;
}

/* The layer's own name before folding gave it the batch norm's: its weight's name without endings. */
static void layer_alias(const struct graph *g, const struct node *node, char out[NODE_NAME])
{
	static const char *const endings[] = {".folded", ".weight"};

	memcpy(out, node->name, NODE_NAME);
	if (!plan_has_weights(node))
		return;
	memcpy(out, g->node[node->in[1]].name, NODE_NAME);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t n = strlen(out), e = strlen(endings[i]);

		if (n > e && strcmp(out + n - e, endings[i]) == 0)
			out[n - e] = '\0';
	}
}

static bool layer_matches(const struct graph *g, const struct node *node, const char *pattern)
{
	char alias[NODE_NAME];

	layer_alias(g, node, alias);
	return str_match(pattern, node->name) || str_match(pattern, alias);
}

static int no_match(const struct plan_maker *m, const char *pattern)
{
	int n = m->plan->n_layer, rc;
	const char **names = mem_alloc((size_t)n * 2 + 1, sizeof(*names));
	char(*alias)[NODE_NAME] = mem_alloc((size_t)n + 1, sizeof(*alias));
	const char *near;

	if (!names || !alias) {
		rc = ERR_NOMEM;
		goto out;
	}
	for (int i = 0; i < n; i++) {
		layer_alias(m->g, &m->g->node[m->layer_node[i]], alias[i]);
		names[2 * i] = alias[i];
		names[2 * i + 1] = m->plan->layer[i].name;
	}
	near = str_nearest(pattern, names, 2 * n);
	if (near)
		rc = err_set(ERR_CONFIG, "exclude: no layer matches '%s'; did you mean '%s'?", pattern, near);
	else
		rc = err_set(ERR_CONFIG, "exclude: no layer matches '%s'; layers are '%s' to '%s'", pattern,
		    n ? names[0] : "", n ? names[2 * n - 2] : "");
out:
	mem_free(names);
	mem_free(alias);
	return rc;
}

static int exclude_layers(const struct plan_maker *m)
{
	for (int p = 0; p < m->rules->exclude.n; p++) {
		bool found = false;

		for (int i = 0; i < m->plan->n_layer; i++) {
			struct quant_layer *l = &m->plan->layer[i];

			if (!layer_matches(m->g, &m->g->node[m->layer_node[i]], m->rules->exclude.v[p]))
				continue;
			l->quantized = false;
			l->why = plan_why_text[WHY_EXCLUDED];
			found = true;
		}
		if (!found)
			return no_match(m, m->rules->exclude.v[p]);
	}
	return 0;
}

static int list_layers(struct plan_maker *m)
{
	struct quant_plan *p = m->plan;
	int n = 0;

	for (int i = 0; i < m->g->n; i++)
		n += match_is_layer(&m->g->node[i]);
	p->layer = mem_alloc((size_t)n + 1, sizeof(*p->layer));
	m->layer_node = mem_alloc((size_t)n + 1, sizeof(int));
	m->quantized = mem_alloc((size_t)m->g->n + 1, sizeof(bool));
	if (!p->layer || !m->layer_node || !m->quantized)
		return ERR_NOMEM;
	m->first = m->last = NODE_NONE;
	for (int i = 0; i < m->g->n; i++) {
		const struct node *node = &m->g->node[i];
		struct quant_layer *l = &p->layer[p->n_layer];

		if (!match_is_layer(node))
			continue;
		memcpy(l->name, node->name, NODE_NAME);
		memcpy(l->output, node->name, NODE_NAME);
		l->quantized = true;
		if (!plan_has_weights(node) && !has_integers(p->method)) {
			l->quantized = false;
			l->why = plan_why_text[WHY_NO_WEIGHTS];
		} else if (node->op != OP_LINEAR && p->method == QUANT_DYNAMIC) {
			l->quantized = false;
			l->why = plan_why_text[WHY_NOT_LINEAR];
		}
		if (plan_has_weights(node)) {
			m->first = m->first == NODE_NONE ? i : m->first;
			m->last = i;
		}
		m->layer_node[p->n_layer++] = i;
	}
	return 0;
}

void plan_mark_quantized(struct plan_maker *m)
{
	for (int i = 0; i < m->plan->n_layer; i++)
		m->quantized[m->layer_node[i]] = m->plan->layer[i].quantized;
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

static void mark_simulated(struct quant_plan *p, const struct graph *g, const struct match *m)
{
	for (int i = 0; i < p->n_layer; i++) {
		struct quant_layer *l = &p->layer[i];
		int node = graph_find(g, l->name), group = m->by_layer[node];
		int ends[3];

		if (group == NODE_NONE)
			continue;
		ends[0] = g->node[node].in[0];
		ends[1] = m->group[group].residual;
		ends[2] = m->group[group].out;
		for (int e = 0; e < 3; e++) {
			int from =
			    ends[e] != NODE_NONE && m->carrier[ends[e]] != NODE_NONE ? m->carrier[ends[e]] : ends[e];
			const struct quant_value *v =
			    from != NODE_NONE ? quant_plan_value(p, g->node[from].name) : NULL;

			if (v && v->q.bits != 8) {
				l->simulated = p->simulated = true;
				l->why = plan_why_text[WHY_NARROW];
			}
		}
	}
}

static int plan_values_of_integers(struct plan_maker *m)
{
	struct match match = {0};
	int rc = match_make(&match, m->g, m->plan);

	if (rc < 0)
		return rc;
	rc = plan_finish_avgpools(m, &match);
	if (rc < 0)
		goto out;
	rc = plan_list_values(m, &match);
	if (rc < 0)
		goto out;
	match_clear(&match);
	rc = match_make(&match, m->g, m->plan); /* again: now the values say what carries integers */
	if (rc < 0)
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
	if (rc < 0)
		return rc;
	rc = list_layers(&m);
	if (rc < 0)
		goto out;
	rc = exclude_layers(&m);
	if (rc < 0)
		goto out;
	for (int i = 0; i < out->n_layer; i++)
		left += out->layer[i].quantized && plan_has_weights(&folded->node[m.layer_node[i]]);
	if (left == 0) {
		rc = err_set(ERR_CONFIG, "nothing is left to quantize: no layer for method %s, or all are excluded",
		    quant_method_names[rules->method]);
		goto out;
	}
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
	if (rc < 0)
		quant_plan_clear(out);
	return rc;
}

void quant_plan_clear(struct quant_plan *p)
{
	mem_free(p->value);
	mem_free(p->layer);
	*p = (struct quant_plan){0};
}

static struct quant_value *find_value(const struct quant_plan *p, const char *name)
{
	for (int i = 0; i < p->n_value; i++)
		if (strcmp(p->value[i].name, name) == 0)
			return &p->value[i];
	return NULL;
}

const struct quant_value *quant_plan_value(const struct quant_plan *p, const char *name)
{
	return find_value(p, name);
}

int quant_plan_limit_weights(struct quant_plan *p, int bits)
{
	int changed = 0;

	for (int i = 0; i < p->n_value; i++) {
		if (!p->value[i].weight || p->value[i].q.bits <= bits)
			continue;
		p->value[i].q = qrange_weight(bits);
		changed++;
	}
	return changed;
}

int quant_plan_set_range(struct quant_plan *p, const char *value, float lo, float hi, float *step)
{
	struct quant_value *v = find_value(p, value);

	if (!v || v->weight)
		return err_set(ERR_FAIL, "'%s' is not a quantized activation", value);
	if (!isfinite(lo) || !isfinite(hi) || lo > hi)
		return err_set(ERR_FAIL, "'%s': [%g, %g] is not a range", value, (double)lo, (double)hi);
	if (lo < 0 && !v->q.is_signed && !v->affine)
		return err_set(ERR_FAIL, "'%s': a range from %g, but its zero point must be 0", value, (double)lo);
	quant_step_of_range(&v->q, lo, hi, step);
	return 0;
}
