/* evaluate: the only stage that opens the test split. Compares checkpoints on the same samples and the same minutes:
 * the task's figures with intervals, paired flips against the first checkpoint, bytes, sparsity, latency. Chooses
 * nothing. */
#include "stages/evaluate.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "stages/partial.h"
#include "stages/seen.h"

#define AT(field)  offsetof(struct evaluate_options, field)
#define NO_LIMIT   100 /* points of max_drop */
#define TEST_BATCH 128
#define ALONE      10.0 /* a sample by itself takes as long as about so many in a batch */

static const struct option table[] = {{.key = "latency",
					  .type = OPT_BOOL,
					  .offset = AT(latency),
					  .def = "true",
					  .help = "measure latency and throughput"},
    LATENCY_OPTION_ROWS(struct evaluate_options, timing),
    {.key = "max_drop",
	.former = "max_accuracy_drop",
	.type = OPT_FLOAT,
	.offset = AT(max_drop),
	.def = "100",
	.min = 0,
	.max = NO_LIMIT,
	.help = "points (hundredths) of the primary metric that any model may lose against the first on the test "
		"split; more fails the run; 100 = no limit"},
    {.key = "min_metric",
	.former = "min_accuracy",
	.type = OPT_FLOAT,
	.offset = AT(min_metric),
	.def = "0",
	.min = 0,
	.max = 1,
	.help = "primary metric that every model must reach on the test split, from below if less is better; else "
		"the run fails; 0 = no limit"},
    OPTION_END};

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	(void)options;
	(void)input_spec;
	*key = NULL;
	return 0;
}

/* How many samples of a batch take as long as what is timed. */
static double timed_samples(const struct evaluate_options *o)
{
	const struct latency_options *t = &o->timing;

	if (!o->latency)
		return 0;
	return ALONE * (double)(t->warmup + t->runs) + (double)t->throughput_batch * (double)t->throughput_runs;
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct evaluate_options *o = s->options;

	(void)input_spec;
	if (s->data->n[SPLIT_TEST] < 1)
		return err_set(ERR_CONFIG, "the data set has no test split to evaluate on");
	if (o->max_drop < NO_LIMIT && s->n_input == 1)
		return err_set(ERR_CONFIG, "max_drop has no effect with one model: there is none to compare it with");
	out->macs = s->inputs_macs * ((double)s->data->n[SPLIT_TEST] + timed_samples(o));
	int used = snprintf(out->text, sizeof(out->text), "evaluate %d model%s on %lld test samples", s->n_input,
	    s->n_input == 1 ? "" : "s", (long long)s->data->n[SPLIT_TEST]);
	if (o->latency)
		used += snprintf(out->text + used, sizeof(out->text) - (size_t)used,
		    "; latency of %lld runs at batch 1", (long long)o->timing.runs);
	if (o->latency && o->timing.throughput_runs > 0)
		snprintf(out->text + used, sizeof(out->text) - (size_t)used, ", throughput at batch %lld",
		    (long long)o->timing.throughput_batch);
	return 0;
}

/* ---- what a checkpoint says about itself ---- */

/* "fp32", "fp16", "int8", "int8 dynamic", "w4a8", by the narrowest weights and activations. */
static void describe_precision(const struct checkpoint *c, char *text, size_t cap)
{
	int weight = 8, act = 8;

	for (int i = 0; i < c->plan.n_value; i++) {
		const struct quant_value *v = &c->plan.value[i];
		int *least = v->weight ? &weight : &act;

		*least = v->q.bits < *least ? v->q.bits : *least;
	}
	if (c->form == FORM_FLOAT)
		snprintf(text, cap, "fp32");
	else if (c->plan.method == QUANT_FP16 || c->plan.method == QUANT_BF16)
		snprintf(text, cap, "%s", quant_method_names[c->plan.method]);
	else if (weight < 8 || act < 8)
		snprintf(text, cap, "w%da%d", weight, act);
	else
		snprintf(text, cap, c->plan.method == QUANT_DYNAMIC ? "int8 dynamic" : "int8");
}

static double info_number(const struct checkpoint *c, const char *block, const char *key)
{
	const cJSON *o = block ? cJSON_GetObjectItemCaseSensitive(c->info, block) : c->info;
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static int open_model(const struct evaluation *e, int i)
{
	struct evaluated *m = &e->model[i];
	const char *dir = e->run->input_dirs[i], *technique;
	int rc = stage_model_load(&m->model, dir, e->run->cpu_dev, e->run);

	if (rc)
		return rc;
	m->name = e->run->input_names[i];
	technique = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(m->model.ckpt.info, "technique"));
	snprintf(m->technique, sizeof(m->technique), "%s", technique ? technique : "");
	describe_precision(&m->model.ckpt, m->precision, sizeof(m->precision));
	m->parameters = info_number(&m->model.ckpt, "parameters", "total");
	m->nonzero = m->parameters - info_number(&m->model.ckpt, "parameters", "zero");
	m->sparsity_pct = info_number(&m->model.ckpt, NULL, "sparsity_pct");
	m->bytes = (uint64_t)info_number(&m->model.ckpt, NULL, "size_bytes");
	return seen_count(e->run, &m->model.ckpt, dir, m->seen);
}

/* ---- test split ---- */

static void say_figures(const struct evaluation *e, const struct evaluated *m)
{
	const struct metric_row *row = m->test.task->kind->metric;
	struct str text = {0};
	for (int i = 0; row[i].name; i++)
		if (row[i].table || i == m->test.task->primary)
			str_addf(&text, "%s%s %.4f", text.len ? ", " : "", row[i].name, m->test.value[i]);
	stage_line(e->run, "%s: test %s (n = %lld)", m->name, str_text(&text), (long long)m->test.n);
	str_clear(&text);
}

/* Opens the test split as the model sees it. Where texts are timed later, it stays open. */
static int open_samples(const struct evaluation *e, struct evaluated *m)
{
	double started = clock_now();
	int rc = encoding_open(&m->samples, &m->model.ckpt.adapter, e->run->data, SPLIT_TEST);
	if (!rc && m->model.ckpt.adapter.spec.kind == INPUT_TEXT)
		m->tokenize_us = 1e6 * (clock_now() - started) / (double)m->samples.n;
	return rc;
}

static int measure_model(const struct evaluation *e, struct evaluated *m)
{
	struct session s = {0};
	char unit[HASH_HEX];
	int rc = metrics_init(&m->test, &m->model.ckpt.task);
	if (!rc)
		rc = open_samples(e, m);
	if (rc)
		return rc;
	m->right = mem_alloc((size_t)m->samples.n, sizeof(*m->right));
	m->decided = mem_alloc((size_t)m->samples.n, (size_t)task_decided_width(&m->model.ckpt.task));
	const struct session_options o = {.batch = m->samples.n < TEST_BATCH ? (int)m->samples.n : TEST_BATCH};
	rc = m->right && m->decided ? session_open_model(&s, &m->model, &o) : ERR_NOMEM;
	s.decided = m->decided;
	if (!rc)
		rc = partial_unit_of_model(e->run, "evaluate", &m->model.params, &m->model.ckpt.adapter, model_build,
		    &m->model, SPLIT_TEST, unit);
	if (!rc)
		rc = partial_measure(e->run, unit, &s, &m->samples, &m->test, m->right);
	session_close(&s);
	if (!e->o->latency || m->model.ckpt.adapter.spec.kind != INPUT_TEXT)
		encoding_close(&m->samples);
	return rc;
}

static int test_model(const struct evaluation *e, int i)
{
	struct evaluated *m = &e->model[i];
	int rc = measure_model(e, m);
	if (rc)
		return err_context(rc, "%s", m->name);
	flips_count(&m->flips, e->model[0].right, m->right, e->run->data->n[SPLIT_TEST]);
	say_figures(e, m);
	return 0;
}

static int time_models(struct evaluation *e)
{
	struct latency_subject *subjects = mem_alloc((size_t)e->n, sizeof(*subjects));
	struct latency *out = mem_alloc((size_t)e->n, sizeof(*out));
	int rc = ERR_NOMEM, slow = 0;
	while (slow < e->n && !stage_slow_integers(&e->model[slow].model.ckpt, e->run->cpu_dev))
		slow++;
	if (slow < e->n)
		stage_say_slow_integers(e->run, &e->model[slow].model.ckpt);
	if (subjects && out) {
		for (int i = 0; i < e->n; i++) {
			struct evaluated *m = &e->model[i];
			subjects[i] = (struct latency_subject){&m->model, m->samples.n ? &m->samples : NULL};
		}
		rc = latency_measure(subjects, e->n, &e->o->timing, e->run->seed, e->run->progress, e->run->stop, out);
	}
	for (int i = 0; i < e->n && !rc; i++)
		e->model[i].latency = out[i];
	mem_free(subjects);
	mem_free(out);
	return rc;
}

struct judged evaluated_judged(const struct evaluated *m)
{
	return (struct judged){
	    &m->test.task->kind->metric[m->test.task->primary], metrics_primary(&m->test), m->test.right, m->test.n};
}

/* Acceptance limits, after everything is written: a failed limit must leave its figures behind. */
static int check_limits(const struct evaluation *e)
{
	const struct judged first = evaluated_judged(&e->model[0]);
	for (int i = 0; i < e->n; i++) {
		const struct evaluated *m = &e->model[i];
		const struct judged own = evaluated_judged(m);
		const char *beyond = own.row->higher_better ? "below" : "above";
		if (e->o->min_metric > 0 &&
		    !metrics_reach(m->test.task, m->test.task->primary, own.value, e->o->min_metric))
			return err_set(ERR_GATE, "%s reaches a test %s of %.6g, %s min_metric %.6g", m->name,
			    own.row->name, own.value, beyond, e->o->min_metric);
		if (e->o->max_drop < NO_LIMIT && !judged_within(&first, &own, e->o->max_drop))
			return err_set(ERR_GATE, "%s loses %.6g points of test %s against %s, more than max_drop %.6g",
			    m->name, judged_loss(&first, &own), own.row->name, e->model[0].name, e->o->max_drop);
	}
	return 0;
}

static void evaluation_clear(struct evaluation *e)
{
	for (int i = 0; e->model && i < e->n; i++) {
		model_clear(&e->model[i].model);
		metrics_clear(&e->model[i].test);
		mem_free(e->model[i].right);
		mem_free(e->model[i].decided);
		encoding_close(&e->model[i].samples);
		latency_clear(&e->model[i].latency);
	}
	mem_free(e->model);
}

static int run(struct stage_run *s)
{
	struct evaluation e = {.o = s->options, .run = s, .n = s->n_input};
	double started = clock_now();
	int rc = 0;

	if (s->n_input < 1)
		return err_set(ERR_CONFIG, "nothing to evaluate");
	e.model = mem_alloc((size_t)e.n, sizeof(*e.model));
	if (!e.model)
		return ERR_NOMEM;
	for (int i = 0; i < e.n && !rc; i++)
		rc = open_model(&e, i);
	for (int i = 0; i < e.n && !rc; i++)
		rc = test_model(&e, i);
	if (!rc && e.o->latency)
		rc = time_models(&e);
	if (!rc)
		rc = evaluate_write(&e, started);
	if (!rc)
		rc = check_limits(&e);
	evaluation_clear(&e);
	return rc;
}

const struct stage_kind stage_evaluate = {.name = "evaluate",
    .help = "compares checkpoints on the test split: the task's figures, flips, size, latency",
    .table = table,
    .options_size = sizeof(struct evaluate_options),
    .opens_test = true,
    .input = {REF_MANY, REF_BEFORE},
    .check = check,
    .plan = plan,
    .run = run};
