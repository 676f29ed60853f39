/* Bits per layer under a budget of bytes or milliseconds, from the table of single layers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/quantize_ladder.h"
#include "stages/quantize_measure.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

/* ---- times of layers ---- */

bool ladder_needs_times(const struct quantize_options *o)
{
	return o->method == QUANTIZE_AUTO && quantize_attempts(o, ATTEMPT_BITS) && quantize_budget_ms(o) > 0;
}

void layer_times_clear(struct layer_times *t)
{
	mem_free(t->name);
	mem_free(t->fp32);
	mem_free(t->integer);
	*t = (struct layer_times){0};
}

static double sum_of(const double *seconds, int n)
{
	double sum = 0;
	for (int i = 0; i < n; i++)
		sum += seconds[i];
	return sum;
}

static void fill_times(struct layer_times *t, const struct quant_plan *p, const struct quantize_measures *m,
    const struct accept_attempt *measured)
{
	double low = 0;
	for (int i = 0; i < m->deployed.n; i++)
		low += m->node[i].seconds;
	const double fp32 = sum_of(m->fp32_seconds, m->folded.n);
	t->rest = measured->latency_ms;
	for (int i = 0; i < p->n_layer; i++) {
		const int node = p->layer[i].quantized ? quantize_deployed_node(m, &p->layer[i]) : NODE_NONE;
		const int folded = graph_find(&m->folded, p->layer[i].name);
		if (node < 0 || folded < 0 || quant_layer_weight(&m->folded, folded) == NODE_NONE)
			continue;
		memcpy(t->name[t->n], p->layer[i].name, NODE_NAME);
		t->integer[t->n] = m->node[node].seconds / fmax(low, 1e-12) * measured->latency_ms;
		t->fp32[t->n] = quantize_fp32_seconds(m, &p->layer[i]) / fmax(fp32, 1e-12) * measured->input_latency_ms;
		t->rest -= t->integer[t->n++];
	}
}

/* Of the static model, which was judged just now. */
int ladder_take_times(struct ladder *l, struct made *made)
{
	const size_t n = (size_t)made->job.plan.n_layer + 1;
	struct quantize_measures m;
	struct layer_times *t = &l->times;
	t->name = mem_alloc(n, sizeof(*t->name));
	t->fp32 = mem_alloc(n, sizeof(*t->fp32));
	t->integer = mem_alloc(n, sizeof(*t->integer));
	if (!t->name || !t->fp32 || !t->integer)
		return ERR_NOMEM;
	int rc = quantize_measure(&made->job, &m);
	if (rc)
		return rc;
	fill_times(t, &made->job.plan, &m, &l->rule.attempt[l->rule.n - 1]);
	quantize_measures_clear(&m);
	return 0;
}

/* ---- choices ---- */

#define FP32_BITS 32

/* The layers of the table with the bits that each may have, FP32 first. */
struct choices {
	int n, n_bits;
	const char **layer;
	int64_t bits[16];
	double *cost, *size; /* (n, n_bits) */
	int *pick;
};

static void choices_clear(struct choices *c)
{
	mem_free(c->layer);
	mem_free(c->cost);
	mem_free(c->size);
	mem_free(c->pick);
}

static double time_of(const struct ladder *l, const char *layer, bool integer)
{
	for (int i = 0; i < l->times.n; i++)
		if (strcmp(l->times.name[i], layer) == 0)
			return integer ? l->times.integer[i] : l->times.fp32[i];
	return 0;
}

static double weights_of(const struct sensitivity *t, const char *layer)
{
	for (int i = 0; i < t->n; i++)
		if (strcmp(t->row[i].layer, layer) == 0)
			return t->row[i].weights;
	return 0;
}

/* What a layer costs with the bits of choice c: what the loss grows by, and the bytes or milliseconds. Bits that it
 * cannot have are in no budget. */
static void fill_choice(const struct ladder *l, struct choices *c, int layer, int choice)
{
	const size_t at = (size_t)layer * (size_t)c->n_bits + (size_t)choice;
	const struct sensitivity_row *r = sensitivity_find(&l->table, c->layer[layer], (double)c->bits[choice]);
	const bool integer = c->bits[choice] != FP32_BITS;
	c->cost[at] = integer && r ? fmax(sensitivity_increase(&l->table, r), 0) : 0;
	if (l->o->budget_bytes > 0)
		c->size[at] = integer && r ? r->size : 4 * weights_of(&l->table, c->layer[layer]);
	else
		c->size[at] = time_of(l, c->layer[layer], integer);
	if (integer && !r)
		c->size[at] = INFINITY;
}

static int choices_make(const struct ladder *l, struct choices *c)
{
	const int n = ladder_layers(l);
	int64_t bits[8];
	c->bits[c->n_bits++] = FP32_BITS;
	const int listed = ladder_bits(l->o, bits, COUNT(bits));
	for (int i = 0; i < (l->o->budget_bytes > 0 ? listed : 1); i++)
		c->bits[c->n_bits++] = bits[i];
	c->layer = mem_alloc((size_t)n + 1, sizeof(*c->layer));
	c->cost = mem_alloc((size_t)n * (size_t)c->n_bits + 1, sizeof(*c->cost));
	c->size = mem_alloc((size_t)n * (size_t)c->n_bits + 1, sizeof(*c->size));
	c->pick = mem_alloc((size_t)n + 1, sizeof(*c->pick));
	if (!c->layer || !c->cost || !c->size || !c->pick)
		return ERR_NOMEM;
	for (int i = 0; i < l->table.n; i++)
		if (l->table.row[i].usual)
			c->layer[c->n++] = l->table.row[i].layer;
	for (int i = 0; i < c->n; i++)
		for (int b = 0; b < c->n_bits; b++)
			fill_choice(l, c, i, b);
	return 0;
}

/* Options with what was picked, and a name: "bits: 2 of 4 bits, 1 of 8 bits, 1 in FP32". */
static int take_choices(const struct ladder *l, const struct choices *c, struct made *m)
{
	char text[NODE_NAME + 8];
	struct str name = {0};
	int rc = 0, excluded;
	for (int i = 0; !rc && i < l->o->exclude.n; i++)
		rc = made_own_text(m, l->o->exclude.v[i]);
	for (int i = 0; !rc && i < c->n; i++)
		if (c->bits[c->pick[i]] == FP32_BITS)
			rc = made_own_text(m, c->layer[i]);
	excluded = m->n_own;
	for (int i = 0; !rc && i < c->n; i++) {
		snprintf(text, sizeof(text), "%s=%d", c->layer[i], (int)c->bits[c->pick[i]]);
		if (c->bits[c->pick[i]] != FP32_BITS)
			rc = made_own_text(m, text);
	}
	m->options.exclude = (struct option_strings){m->own, excluded};
	m->options.layer_bits = (struct option_strings){m->own + excluded, m->n_own - excluded};
	str_add(&name, "bits:");
	for (int b = c->n_bits - 1; b >= 0; b--) {
		int n = 0;
		for (int i = 0; i < c->n; i++)
			n += c->pick[i] == b;
		if (n && c->bits[b] == FP32_BITS)
			str_addf(&name, "%s %d in FP32", name.len > 5 ? "," : "", n);
		else if (n)
			str_addf(&name, "%s %d of %d bits", name.len > 5 ? "," : "", n, (int)c->bits[b]);
	}
	snprintf(m->name, sizeof(m->name), "%s", str_text(&name));
	str_clear(&name);
	return rc;
}

/* Of the layers that are not to choose for. */
static double fp32_bytes(const struct ladder *l)
{
	return 4 * l->table.others;
}

/* Without any choice within the budget there is no model to judge. */
static int no_choice(struct ladder *l, double least)
{
	const bool bytes = l->o->budget_bytes > 0;
	const struct candidate none = {.method = "bits"};
	bool closest;
	if (bytes)
		err_set(ERR_GATE, "the fewest bits of sensitivity_bits need %.0f bytes, more than budget_bytes %.0f",
		    least + fp32_bytes(l), l->o->budget_bytes);
	else
		err_set(ERR_GATE, "with all layers as integers it is about %.4g ms, more than %.4g ms",
		    least + l->times.rest, quantize_budget_ms(l->o));
	return accept_judge(&l->rule, &none, &l->passed, &closest);
}

int ladder_try_bits(struct ladder *l)
{
	struct choices c = {0};
	struct made *m = NULL;
	double least = 0;
	if (!ladder_has_budget(l->o))
		return 0;
	int rc = ladder_scan(l);
	if (!rc)
		rc = choices_make(l, &c);
	if (!rc) {
		const double budget = l->o->budget_bytes > 0 ? l->o->budget_bytes - fp32_bytes(l)
							     : quantize_budget_ms(l->o) - l->times.rest;
		rc = quantize_choose_bits(c.cost, c.size, c.n, c.n_bits, budget, c.pick, &least);
	}
	if (rc == ERR_FAIL) {
		rc = no_choice(l, least);
	} else if (!rc) {
		m = made_new(l, QUANT_STATIC, "bits");
		rc = m ? take_choices(l, &c, m) : ERR_NOMEM;
		if (rc)
			made_free(m);
		else
			rc = ladder_try(l, m);
	}
	choices_clear(&c);
	return rc;
}
