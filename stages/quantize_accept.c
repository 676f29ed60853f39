/* The ways to integers, the cheapest first. Each is made in memory and judged on the validation split; the one that
 * passes, or comes closest, is kept, measured and saved like that of any other quantize stage. */
#include "stages/quantize_accept.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/quantize_measure.h"

const char *const quantize_attempt_names[] = {"dynamic", "static", "mixed", "bits", "qat", NULL};

/* Bits at which layers are measured where the options name none. */
static const int64_t usual_bits[] = {8, 6, 4, 3, 2};
#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

bool quantize_attempts(const struct quantize_options *o, enum quantize_attempt a)
{
	for (int i = 0; i < o->attempts.n; i++)
		if (strcmp(o->attempts.v[i], quantize_attempt_names[a]) == 0)
			return true;
	return false;
}

double quantize_budget_ms(const struct quantize_options *o)
{
	return o->budget_ms > 0 || o->budget_bytes > 0 ? o->budget_ms : o->accept.max_latency_ms;
}

static bool has_budget(const struct quantize_options *o)
{
	return o->budget_bytes > 0 || quantize_budget_ms(o) > 0;
}

struct quantize_options quantize_costliest(const struct quantize_options *o)
{
	struct quantize_options as = *o;
	const bool steps = quantize_attempts(o, ATTEMPT_STATIC) || quantize_attempts(o, ATTEMPT_MIXED) ||
			   quantize_attempts(o, ATTEMPT_BITS);
	if (o->method == QUANTIZE_AUTO)
		as.method = quantize_attempts(o, ATTEMPT_QAT) ? QUANT_QAT : steps ? QUANT_STATIC : QUANT_DYNAMIC;
	return as;
}

void quantize_describe_attempts(const struct quantize_options *o, struct str *out)
{
	const char *before = "the first that is accepted of";
	for (int a = 0; a < ATTEMPTS; a++) {
		if (!quantize_attempts(o, (enum quantize_attempt)a) || (a == ATTEMPT_BITS && !has_budget(o)))
			continue;
		str_addf(out, "%s %s", before, quantize_attempt_names[a]);
		before = ",";
	}
	str_add(out, "; the last of them: ");
}

/* An attempt that was made. */
struct made {
	struct quantize_options options; /* lists are borrowed, of the stage or of `own` */
	struct quantize_job job;
	char **own; /* owned */
	int n_own;
	char name[128];
};

/* Milliseconds of a sample at batch 1, of each layer of the static model and of all else: the latencies that were
 * measured, in the proportions of single ops. */
struct layer_times {
	int n;
	char (*name)[NODE_NAME];
	double *fp32, *integer; /* (n) */
	double rest;
};

struct ladder {
	const struct quantize_options *o;
	struct stage_run *run;
	struct acceptance rule;
	struct made *best;
	struct sensitivity table;
	struct layer_times times;
	bool passed;
};

static bool needs_times(const struct quantize_options *o)
{
	return o->method == QUANTIZE_AUTO && quantize_attempts(o, ATTEMPT_BITS) && quantize_budget_ms(o) > 0;
}

static void times_clear(struct layer_times *t)
{
	mem_free(t->name);
	mem_free(t->fp32);
	mem_free(t->integer);
	*t = (struct layer_times){0};
}

static void made_free(struct made *m)
{
	if (!m)
		return;
	quantize_job_clear(&m->job);
	for (int i = 0; i < m->n_own; i++)
		mem_free(m->own[i]);
	mem_free(m->own);
	mem_free(m);
}

static struct made *made_new(const struct ladder *l, int method, const char *name)
{
	struct made *m = mem_alloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->options = *l->o;
	m->options.method = method;
	if (method == QUANT_DYNAMIC)
		m->options.act_bits = 8; /* of its rows, whatever calibrated ones have */
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->job = (struct quantize_job){.o = &m->options,
	    .run = l->run,
	    .kind = "quantize",
	    .technique = quantize_type(&m->options),
	    .table = quantize_option_table};
	return m;
}

static int make(const struct ladder *l, struct made *m)
{
	const bool trains = m->options.method == QUANT_QAT;
	int rc = model_copy(&m->job.input, &l->rule.input, trains ? l->run->train_dev : l->run->cpu_dev);
	return rc ? rc : quantize_job_make(&m->job);
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
static int take_times(struct ladder *l, struct made *made)
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

/* Takes m. What cannot be made of this model, such as dynamic integers without a linear layer, is an attempt that
 * failed; other errors end the stage. */
static int try(struct ladder *l, struct made *m)
{
	bool closest = false;
	double size = 0;
	if (!m)
		return ERR_NOMEM;
	int rc = make(l, m);
	const bool impossible = rc == ERR_CONFIG;
	if (!rc)
		rc = accept_file_bytes(&m->job.output.ckpt.tensors, &size);
	const struct candidate c = {m->name, impossible ? NULL : &m->job.output, m->options.method == QUANT_QAT, size};
	if (!rc || impossible)
		rc = accept_judge(&l->rule, &c, &l->passed, &closest);
	if (!rc && !impossible && m->options.method == QUANT_STATIC && !l->times.name && needs_times(l->o))
		rc = take_times(l, m);
	if (!rc && closest) {
		made_free(l->best);
		l->best = m;
		return 0;
	}
	made_free(m);
	return rc;
}

/* ---- layers ---- */

static int own_text(struct made *m, const char *text)
{
	char **own = mem_grow(m->own, (size_t)m->n_own, (size_t)m->n_own + 1, sizeof(*own));
	if (!own)
		return ERR_NOMEM;
	m->own = own;
	own[m->n_own] = mem_strdup(text);
	return own[m->n_own] ? (m->n_own++, 0) : ERR_NOMEM;
}

/* Measures the table if nobody has. */
static int need_table(struct ladder *l, const int64_t *bits, int n)
{
	if (l->table.n)
		return 0;
	stage_line(l->run, "each layer alone at %d number%s of bits, on the validation split", n, n == 1 ? "" : "s");
	l->table.metric = l->rule.row;
	return quantize_scan(l->o, l->run, &l->rule.input, bits, n, &l->table);
}

/* The bits of the table: those of the options, and weight_bits. */
static int list_bits(const struct quantize_options *o, int64_t *bits, int cap)
{
	const int64_t *from = o->sensitivity_bits.n ? o->sensitivity_bits.v : usual_bits;
	const int n = o->sensitivity_bits.n ? o->sensitivity_bits.n : COUNT(usual_bits);
	int out = 0;
	bits[out++] = o->weight_bits;
	for (int i = 0; i < n && out < cap; i++) {
		bool known = false;
		for (int k = 0; k < out; k++)
			known |= bits[k] == from[i];
		if (!known)
			bits[out++] = from[i];
	}
	return out;
}

static int scan_for(struct ladder *l)
{
	int64_t bits[8];
	const bool all = (quantize_attempts(l->o, ATTEMPT_BITS) && has_budget(l->o)) || l->o->sensitivity_bits.n;
	const int n = all ? list_bits(l->o, bits, COUNT(bits)) : 1;
	bits[0] = l->o->weight_bits;
	return need_table(l, bits, n);
}

/* ---- the most sensitive layers in FP32 ---- */

/* The layer that loses most at these bits of those that are not taken: points first, then the loss. */
static int find_worst(const struct sensitivity *t, double bits, const bool *taken)
{
	int worst = -1;
	for (int i = 0; i < t->n; i++) {
		if (taken[i] || fabs(t->row[i].amount - bits) > 0.5)
			continue;
		const double drop = sensitivity_drop(t, &t->row[i]);
		const double most = worst < 0 ? -INFINITY : sensitivity_drop(t, &t->row[worst]);
		if (worst < 0 || drop > most || (!(drop < most) && t->row[i].loss > t->row[worst].loss))
			worst = i;
	}
	return worst;
}

/* The n most sensitive layers behind those that the options exclude. */
static int exclude_worst(const struct ladder *l, struct made *m, int n)
{
	bool *taken = mem_alloc((size_t)l->table.n + 1, sizeof(*taken));
	struct str name = {0};
	int rc = taken ? 0 : ERR_NOMEM;
	str_add(&name, "mixed, FP32:");
	for (int i = 0; !rc && i < l->o->exclude.n; i++)
		rc = own_text(m, l->o->exclude.v[i]);
	for (int i = 0; !rc && i < n; i++) {
		const int worst = find_worst(&l->table, (double)l->o->weight_bits, taken);
		taken[worst] = true;
		str_addf(&name, "%s %s", i ? "," : "", l->table.row[worst].layer);
		rc = own_text(m, l->table.row[worst].layer);
	}
	m->options.exclude = (struct option_strings){m->own, m->n_own};
	snprintf(m->name, sizeof(m->name), "%s", str_text(&name));
	str_clear(&name);
	mem_free(taken);
	return rc;
}

static int count_layers(const struct ladder *l)
{
	int n = 0;
	for (int i = 0; i < l->table.n; i++)
		n += fabs(l->table.row[i].amount - (double)l->o->weight_bits) < 0.5;
	return n;
}

/* With more layers in FP32 it does not become smaller again. */
static bool is_small_enough(const struct ladder *l, int n)
{
	return n == 1 || !(l->rule.attempt[l->rule.n - 1].ratio < l->o->accept.min_ratio);
}

/* With 1, 2, 4, ... layers in FP32; one at least stays quantized. */
static int try_mixed(struct ladder *l)
{
	int rc = scan_for(l);
	const int layers = count_layers(l);
	const int64_t most = l->o->fp32_layers < layers - 1 ? l->o->fp32_layers : layers - 1;
	for (int n = 1; !rc && !l->passed && n <= most && is_small_enough(l, n); n *= 2) {
		struct made *m = made_new(l, QUANT_STATIC, "mixed");
		rc = m ? exclude_worst(l, m, n) : ERR_NOMEM;
		if (rc)
			made_free(m);
		else
			rc = try(l, m);
	}
	return rc;
}

/* ---- bits per layer under a budget ---- */

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

/* What a layer costs with the bits of choice c: what the loss grows by, and the bytes or milliseconds. */
static void fill_choice(const struct ladder *l, struct choices *c, int layer, int choice)
{
	const size_t at = (size_t)layer * (size_t)c->n_bits + (size_t)choice;
	const struct sensitivity_row *usual = sensitivity_find(&l->table, c->layer[layer], (double)l->o->weight_bits);
	const struct sensitivity_row *r = sensitivity_find(&l->table, c->layer[layer], (double)c->bits[choice]);
	const bool integer = c->bits[choice] != FP32_BITS;
	c->cost[at] = integer && r ? fmax(sensitivity_increase(&l->table, r), 0) : 0;
	if (l->o->budget_bytes > 0)
		c->size[at] = integer && r ? r->size : 4 * usual->weights;
	else
		c->size[at] = time_of(l, c->layer[layer], integer);
}

static int choices_make(const struct ladder *l, struct choices *c)
{
	const int n = count_layers(l);
	int64_t bits[8];
	c->bits[c->n_bits++] = FP32_BITS;
	const int listed = list_bits(l->o, bits, COUNT(bits));
	for (int i = 0; i < (l->o->budget_bytes > 0 ? listed : 1); i++)
		c->bits[c->n_bits++] = bits[i];
	c->layer = mem_alloc((size_t)n + 1, sizeof(*c->layer));
	c->cost = mem_alloc((size_t)n * (size_t)c->n_bits + 1, sizeof(*c->cost));
	c->size = mem_alloc((size_t)n * (size_t)c->n_bits + 1, sizeof(*c->size));
	c->pick = mem_alloc((size_t)n + 1, sizeof(*c->pick));
	if (!c->layer || !c->cost || !c->size || !c->pick)
		return ERR_NOMEM;
	for (int i = 0; i < l->table.n; i++)
		if (fabs(l->table.row[i].amount - (double)l->o->weight_bits) < 0.5)
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
		rc = own_text(m, l->o->exclude.v[i]);
	for (int i = 0; !rc && i < c->n; i++)
		if (c->bits[c->pick[i]] == FP32_BITS)
			rc = own_text(m, c->layer[i]);
	excluded = m->n_own;
	for (int i = 0; !rc && i < c->n; i++) {
		snprintf(text, sizeof(text), "%s=%d", c->layer[i], (int)c->bits[c->pick[i]]);
		if (c->bits[c->pick[i]] != FP32_BITS)
			rc = own_text(m, text);
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

/* Without any choice within the budget there is no model to judge. */
static int no_choice(struct ladder *l, double least)
{
	const bool bytes = l->o->budget_bytes > 0;
	const struct candidate none = {.method = "bits"};
	bool closest;
	if (bytes)
		err_set(ERR_GATE, "the fewest bits of sensitivity_bits need %.0f bytes, more than budget_bytes %.0f",
		    least, l->o->budget_bytes);
	else
		err_set(ERR_GATE, "with all layers as integers it is about %.4g ms, more than %.4g ms",
		    least + l->times.rest, quantize_budget_ms(l->o));
	return accept_judge(&l->rule, &none, &l->passed, &closest);
}

static int try_bits(struct ladder *l)
{
	struct choices c = {0};
	struct made *m = NULL;
	double least = 0;
	if (!has_budget(l->o))
		return 0;
	int rc = scan_for(l);
	if (!rc)
		rc = choices_make(l, &c);
	if (!rc) {
		const double budget =
		    l->o->budget_bytes > 0 ? l->o->budget_bytes : quantize_budget_ms(l->o) - l->times.rest;
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
			rc = try(l, m);
	}
	choices_clear(&c);
	return rc;
}

/* ---- all of them ---- */

static int try_method(struct ladder *l, int method)
{
	return try(l, made_new(l, method, quant_method_names[method]));
}

static int try_kind(struct ladder *l, enum quantize_attempt a)
{
	switch (a) {
	case ATTEMPT_DYNAMIC:
		return try_method(l, QUANT_DYNAMIC);
	case ATTEMPT_STATIC:
		return try_method(l, QUANT_STATIC);
	case ATTEMPT_MIXED:
		return try_mixed(l);
	case ATTEMPT_BITS:
		return try_bits(l);
	default:
		return try_method(l, QUANT_QAT);
	}
}

static int try_all(struct ladder *l)
{
	int rc = 0;
	if (l->o->method != QUANTIZE_AUTO)
		return try_method(l, l->o->method);
	for (int a = 0; !rc && !l->passed && a < ATTEMPTS; a++)
		if (quantize_attempts(l->o, (enum quantize_attempt)a))
			rc = try_kind(l, (enum quantize_attempt)a);
	return rc;
}

int quantize_accepted(struct stage_run *run, double started)
{
	const struct quantize_options *o = run->options;
	struct ladder l = {.o = o, .run = run};
	int rc = accept_open(&l.rule, &o->accept, run, "bytes", false);
	l.rule.always_timed = needs_times(o);
	if (!rc && o->sensitivity_bits.n)
		rc = scan_for(&l);
	if (!rc)
		rc = try_all(&l);
	if (!rc && l.best) {
		l.best->job.acceptance = &l.rule;
		rc = quantize_job_save(&l.best->job, started);
	}
	if (!rc)
		rc = accept_verdict(&l.rule);
	made_free(l.best);
	accept_close(&l.rule);
	sensitivity_clear(&l.table);
	times_clear(&l.times);
	return rc;
}
