/* evaluate: the only stage that opens the test split. Compares checkpoints on the same samples and the same minutes:
 * accuracy with intervals, paired flips against the first checkpoint, bytes, sparsity, latency. Chooses nothing. */
#include "stages/evaluate.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "train/evaluate.h"

#define AT(field) offsetof(struct evaluate_options, field)

static const struct option table[] = {{.key = "latency",
					  .type = OPT_BOOL,
					  .offset = AT(latency),
					  .def = "true",
					  .help = "measure latency and throughput"},
    LATENCY_OPTION_ROWS(struct evaluate_options, timing),
    {.key = "max_accuracy_drop",
	.type = OPT_FLOAT,
	.offset = AT(max_accuracy_drop),
	.def = "100",
	.min = 0,
	.max = 100,
	.help = "percentage points of test accuracy that any model may lose against the first; more fails the run"},
    {.key = "min_accuracy",
	.type = OPT_FLOAT,
	.offset = AT(min_accuracy),
	.def = "0",
	.min = 0,
	.max = 1,
	.help = "test accuracy that every model must reach; less fails the run"},
    OPTION_END};

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	(void)options;
	(void)input_spec;
	*key = NULL;
	return 0;
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct evaluate_options *o = s->options;
	struct graph g;
	int rc = 0;

	if (s->data->n[SPLIT_TEST] < 1)
		return err_set(ERR_CONFIG, "the data set has no test split to evaluate on");
	graph_init(&g);
	if (input_spec) {
		rc = spec_copy(&out->spec, input_spec);
		if (!rc)
			rc = spec_build(&g, input_spec, &shape_one);
	}
	if (!rc && input_spec) {
		out->parameters = graph_parameters(&g);
		out->macs = (double)graph_macs(&g) * (double)s->data->n[SPLIT_TEST] * s->n_input;
	}
	graph_clear(&g);
	if (o->latency)
		snprintf(out->text, sizeof(out->text),
		    "evaluate %d model%s on %lld test samples; latency of %lld runs at batch 1, throughput at batch "
		    "%lld",
		    s->n_input, s->n_input == 1 ? "" : "s", (long long)s->data->n[SPLIT_TEST],
		    (long long)o->timing.runs, (long long)o->timing.throughput_batch);
	else
		snprintf(out->text, sizeof(out->text), "evaluate %d model%s on %lld test samples", s->n_input,
		    s->n_input == 1 ? "" : "s", (long long)s->data->n[SPLIT_TEST]);
	return rc;
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
	uint64_t total = 0;
	int rc = stage_model_load(&m->model, dir, e->run->cpu_dev, e->run->data);

	if (rc < 0)
		return rc;
	m->name = e->run->input_names[i];
	technique = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(m->model.ckpt.info, "technique"));
	snprintf(m->technique, sizeof(m->technique), "%s", technique ? technique : "");
	describe_precision(&m->model.ckpt, m->precision, sizeof(m->precision));
	m->parameters = info_number(&m->model.ckpt, "parameters", "total");
	m->nonzero = m->parameters - info_number(&m->model.ckpt, "parameters", "zero");
	m->sparsity_pct = info_number(&m->model.ckpt, NULL, "sparsity_pct");
	total = (uint64_t)info_number(&m->model.ckpt, NULL, "size_bytes");
	m->bytes = total;
	return 0;
}

/* ---- test split ---- */

static int test_model(const struct evaluation *e, int i)
{
	const struct dataset *d = e->run->data;
	struct evaluated *m = &e->model[i];
	struct evaluator ev;
	int rc = metrics_init(&m->test, d->classes);

	if (rc < 0)
		return rc;
	m->predicted = mem_alloc((size_t)d->n[SPLIT_TEST], sizeof(*m->predicted));
	if (!m->predicted)
		return ERR_NOMEM;
	rc = evaluator_init(&ev, &m->model.params, stage_model_build, &m->model, d, SPLIT_TEST, NULL);
	if (rc < 0)
		return err_context(rc, "%s", m->name);
	ev.predicted = m->predicted;
	rc = evaluator_run(&ev, e->run->stop, &m->test);
	evaluator_clear(&ev);
	if (rc < 0)
		return err_context(rc, "%s", m->name);
	flips_count(&m->flips, d->label[SPLIT_TEST], e->model[0].predicted, m->predicted, d->n[SPLIT_TEST]);
	stage_line(e->run, "%s: test accuracy %.4f, macro F1 %.4f (n = %lld)", m->name, m->test.accuracy,
	    m->test.f1_macro, (long long)m->test.n);
	return 0;
}

static int time_models(struct evaluation *e)
{
	struct stage_model **models = mem_alloc((size_t)e->n, sizeof(*models));
	struct latency *out = mem_alloc((size_t)e->n, sizeof(*out));
	int rc = ERR_NOMEM;

	if (models && out) {
		for (int i = 0; i < e->n; i++)
			models[i] = &e->model[i].model;
		rc = latency_measure(models, e->n, &e->o->timing, e->run->seed, e->run->progress, e->run->stop, out);
	}
	for (int i = 0; i < e->n && !rc; i++)
		e->model[i].latency = out[i];
	mem_free(models);
	mem_free(out);
	return rc;
}

/* Acceptance limits, after everything is written: a failed limit must leave its figures behind. */
static int check_limits(const struct evaluation *e)
{
	double first = e->model[0].test.accuracy;

	for (int i = 0; i < e->n; i++) {
		const struct evaluated *m = &e->model[i];
		double drop = 100 * (first - m->test.accuracy);

		if (m->test.accuracy < e->o->min_accuracy)
			return err_set(ERR_GATE, "%s reaches a test accuracy of %.4f, below min_accuracy %.4f", m->name,
			    m->test.accuracy, e->o->min_accuracy);
		if (drop > e->o->max_accuracy_drop)
			return err_set(ERR_GATE,
			    "%s loses %.2f points of test accuracy against %s, more than max_accuracy_drop %.2f",
			    m->name, drop, e->model[0].name, e->o->max_accuracy_drop);
	}
	return 0;
}

static void evaluation_clear(struct evaluation *e)
{
	for (int i = 0; e->model && i < e->n; i++) {
		stage_model_clear(&e->model[i].model);
		metrics_clear(&e->model[i].test);
		mem_free(e->model[i].predicted);
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
    .help = "compares checkpoints on the test split: accuracy, flips, size, latency",
    .table = table,
    .options_size = sizeof(struct evaluate_options),
    .opens_test = true,
    .input = {REF_MANY, REF_BEFORE},
    .check = check,
    .plan = plan,
    .run = run};
