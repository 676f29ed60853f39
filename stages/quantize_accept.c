/* The ways to integers, the cheapest first. Each is made in memory and judged on the validation split; the one that
 * passes, or comes closest, is kept, measured and saved like that of any other quantize stage. */
#include "stages/quantize_ladder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

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
	if (o->budget_ms > 0 || o->budget_bytes > 0)
		return o->budget_ms;
	return quantize_attempts(o, ATTEMPT_STATIC) ? o->accept.max_latency_ms : 0; /* whose layers are timed */
}

bool ladder_has_budget(const struct quantize_options *o)
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
		if (!quantize_attempts(o, (enum quantize_attempt)a) || (a == ATTEMPT_BITS && !ladder_has_budget(o)))
			continue;
		str_addf(out, "%s %s", before, quantize_attempt_names[a]);
		before = ",";
	}
	str_add(out, "; the last of them: ");
}

void made_free(struct made *m)
{
	if (!m)
		return;
	quantize_job_clear(&m->job);
	for (int i = 0; i < m->n_own; i++)
		mem_free(m->own[i]);
	mem_free(m->own);
	mem_free(m);
}

struct made *made_new(const struct ladder *l, int method, const char *name)
{
	struct made *m = mem_alloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->options = *l->o;
	m->options.method = method;
	m->options.layer_bits_checked = l->o->method == QUANTIZE_AUTO;
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

/* Takes m. What cannot be made of this model, such as dynamic integers without a linear layer, is an attempt that
 * failed; other errors end the stage. */
int ladder_try(struct ladder *l, struct made *m)
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
	if (!rc && !impossible && m->options.method == QUANT_STATIC && !l->times.name && ladder_needs_times(l->o))
		rc = ladder_take_times(l, m);
	if (!rc && closest) {
		made_free(l->best);
		l->best = m;
		return 0;
	}
	made_free(m);
	return rc;
}

/* ---- layers ---- */

int made_own_text(struct made *m, const char *text)
{
	char **own = mem_grow(m->own, (size_t)m->n_own, (size_t)m->n_own + 1, sizeof(*own));
	if (!own)
		return ERR_NOMEM;
	m->own = own;
	own[m->n_own] = mem_strdup(text);
	return own[m->n_own] ? (m->n_own++, 0) : ERR_NOMEM;
}

/* Measures the table if nobody has. */
static int need_table(struct ladder *l, const int64_t *bits, int n, bool usual)
{
	if (l->table.n)
		return 0;
	if (n)
		stage_line(l->run, "each layer alone at %d number%s of bits%s, on the validation split", n,
		    n == 1 ? "" : "s", usual && l->o->layer_bits.n ? ", and at its own" : "");
	else
		stage_line(l->run, "each layer alone at the bits that it is to have, on the validation split");
	l->table.metric = l->rule.row;
	return quantize_scan(l->o, l->run, &l->rule.input, bits, n, usual, &l->table);
}

/* The bits of the table: those of the options, and weight_bits. */
int ladder_bits(const struct quantize_options *o, int64_t *bits, int cap)
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

int ladder_scan(struct ladder *l)
{
	const struct option_ints *asked = &l->o->sensitivity_bits;
	int64_t bits[8];
	if (l->o->method != QUANTIZE_AUTO) /* nobody chooses by the table */
		return need_table(l, asked->v, asked->n, false);
	const bool all = (quantize_attempts(l->o, ATTEMPT_BITS) && ladder_has_budget(l->o)) || asked->n;
	return need_table(l, bits, all ? ladder_bits(l->o, bits, COUNT(bits)) : 0, true);
}

/* ---- the most sensitive layers in FP32 ---- */

/* The layer that loses most at its usual bits of those that are not taken: points first, then the loss. */
static int find_worst(const struct sensitivity *t, const bool *taken)
{
	int worst = -1;
	for (int i = 0; i < t->n; i++) {
		if (taken[i] || !t->row[i].usual)
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
		rc = made_own_text(m, l->o->exclude.v[i]);
	for (int i = 0; !rc && i < n; i++) {
		const int worst = find_worst(&l->table, taken);
		taken[worst] = true;
		str_addf(&name, "%s %s", i ? "," : "", l->table.row[worst].layer);
		rc = made_own_text(m, l->table.row[worst].layer);
	}
	m->options.exclude = (struct option_strings){m->own, m->n_own};
	snprintf(m->name, sizeof(m->name), "%s", str_text(&name));
	str_clear(&name);
	mem_free(taken);
	return rc;
}

int ladder_layers(const struct ladder *l)
{
	int n = 0;
	for (int i = 0; i < l->table.n; i++)
		n += l->table.row[i].usual;
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
	int rc = ladder_scan(l);
	const int layers = ladder_layers(l);
	const int64_t most = l->o->fp32_layers < layers - 1 ? l->o->fp32_layers : layers - 1;
	for (int n = 1; !rc && !l->passed && n <= most && is_small_enough(l, n); n *= 2) {
		struct made *m = made_new(l, QUANT_STATIC, "mixed");
		rc = m ? exclude_worst(l, m, n) : ERR_NOMEM;
		if (rc)
			made_free(m);
		else
			rc = ladder_try(l, m);
	}
	return rc;
}

/* ---- all of them ---- */

static int try_method(struct ladder *l, int method)
{
	return ladder_try(l, made_new(l, method, quant_method_names[method]));
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
		return ladder_try_bits(l);
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
	l.rule.always_timed = ladder_needs_times(o);
	if (!rc && o->sensitivity_bits.n)
		rc = ladder_scan(&l);
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
	layer_times_clear(&l.times);
	return rc;
}
