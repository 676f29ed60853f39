#include "study/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "study/baseline.h"
#include "task/task.h"

const char *const compare_verdict_names[COMPARE_VERDICTS] = {"", "baseline", "tie", "better", "worse", "untested"};

/* ---- rows ---- */

static struct compare_row *add_row(struct compare *c, const struct study_group *g, const char *model)
{
	struct compare_row *grown = mem_grow(c->row, (size_t)c->n, (size_t)c->n + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	c->row = grown;
	struct compare_row *r = &c->row[c->n++];
	*r = (struct compare_row){.group = g,
	    .model = model,
	    .technique = "",
	    .precision = "",
	    .metric = "",
	    .baseline = -1,
	    .low = NAN,
	    .high = NAN,
	    .bytes = NAN,
	    .latency_ms = NAN,
	    .difference = NAN,
	    .p_runs = NAN,
	    .p = NAN,
	    .p_holm = NAN,
	    .paired = {.p = NAN, .error = NAN, .difference = NAN}};
	r->figures = mem_alloc((size_t)g->n, sizeof(*r->figures));
	r->run = mem_alloc((size_t)g->n, sizeof(*r->run));
	r->value = mem_alloc((size_t)g->n, sizeof(*r->value));
	for (int i = 0; i < g->n; i++)
		r->count[c->study->run[g->run[i]].state]++;
	return r->figures && r->run && r->value ? r : NULL;
}

static struct compare_row *find_row(struct compare *c, int from, const char *model)
{
	for (int i = from; i < c->n; i++)
		if (c->row[i].model && !strcmp(c->row[i].model, model))
			return &c->row[i];
	return NULL;
}

/* Beside metrics, an evaluation has counts. */
static bool is_metric(const char *name)
{
	return task_metric_row(name) || !strcmp(name, task_metric_name(NULL, TASK_METRIC_LOSS));
}

bool compare_higher_better(const struct compare_row *r)
{
	return r->of && r->of->higher_better;
}

static void take_run(struct compare_row *r, int run, const cJSON *m, const char *metric)
{
	if (!r->n) {
		r->technique = study_text(m, "technique");
		r->precision = study_text(m, "precision");
		r->metric = metric ? metric : study_text(m, "metric");
		r->of = task_metric_row(r->metric);
	}
	const double v = study_number(cJSON_GetObjectItemCaseSensitive(m, "test"), r->metric);
	if (!isfinite(v) || !is_metric(r->metric))
		return;
	r->figures[r->n] = m;
	r->run[r->n] = run;
	r->value[r->n++] = v;
}

static int add_group(struct compare *c, const struct study_group *g, const char *metric)
{
	const int from = c->n;
	for (int i = 0; i < g->n; i++) {
		const struct study_run *run = &c->study->run[g->run[i]];
		const cJSON *m;
		if (run->state != STUDY_FINISHED)
			continue;
		cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(run->evaluation, "models"))
		{
			struct compare_row *r = find_row(c, from, study_text(m, "name"));
			if (!r)
				r = add_row(c, g, study_text(m, "name"));
			if (!r)
				return ERR_NOMEM;
			if (!r->n || r->run[r->n - 1] != g->run[i])
				take_run(r, g->run[i], m, metric);
		}
	}
	return c->n > from || add_row(c, g, NULL) ? 0 : ERR_NOMEM;
}

/* ---- figures of a row ---- */

/* NaN unless all runs have it. */
static double mean_of(const struct compare_row *r, const char *block, const char *key)
{
	double sum = 0;
	for (int i = 0; i < r->n; i++) {
		const cJSON *at = block ? cJSON_GetObjectItemCaseSensitive(r->figures[i], block) : r->figures[i];
		sum += study_number(at, key);
	}
	return r->n ? sum / r->n : NAN;
}

static void take_interval(struct compare_row *r)
{
	const cJSON *own = r->n == 1 ? cJSON_GetObjectItemCaseSensitive(r->figures[0], "test_interval_95") : NULL;
	r->low = r->spread.low;
	r->high = r->spread.high;
	if (r->n != 1 || cJSON_GetArraySize(own) != 2 || strcmp(study_text(r->figures[0], "metric"), r->metric))
		return;
	r->low = cJSON_GetNumberValue(cJSON_GetArrayItem(own, 0));
	r->high = cJSON_GetNumberValue(cJSON_GetArrayItem(own, 1));
	r->of_samples = true;
}

/* The verdict of a stage's acceptance rule stands in its record. Runs that differ in their verdicts are "mixed". */
static void take_acceptance(struct compare *c, struct compare_row *r)
{
	for (int i = 0; i < r->n; i++) {
		const struct study_stage *s = study_run_stage(&c->study->run[r->run[i]], r->model);
		const cJSON *summary = s ? cJSON_GetObjectItemCaseSensitive(s->record, "summary") : NULL;
		const char *verdict = study_text(cJSON_GetObjectItemCaseSensitive(summary, "acceptance"), "verdict");
		if (*verdict && *r->acceptance && strcmp(verdict, r->acceptance))
			verdict = "mixed";
		if (*verdict)
			snprintf(r->acceptance, sizeof(r->acceptance), "%s", verdict);
		c->has_acceptance |= *verdict != 0;
	}
}

static void fill_row(struct compare *c, struct compare_row *r)
{
	spread_of(&r->spread, r->value, r->n);
	if (!r->model)
		return;
	take_interval(r);
	r->bytes = mean_of(r, NULL, "bytes");
	r->latency_ms = mean_of(r, "latency", "latency_ms_median");
	take_acceptance(c, r);
}

/* ---- tests ---- */

static int check_metric(const struct compare *c, const char *metric)
{
	const cJSON *first = NULL, *v;
	struct str names = {0};
	for (int i = 0; i < c->n; i++) {
		if (c->row[i].n)
			return 0;
		for (int k = 0; !first && c->row[i].model && k < c->study->n; k++)
			first = cJSON_GetObjectItemCaseSensitive(c->study->run[k].evaluation, "models");
	}
	if (!metric || !first)
		return 0;
	cJSON_ArrayForEach(
	    v, cJSON_GetObjectItemCaseSensitive(first->child, "test")) if (cJSON_IsNumber(v) && is_metric(v->string))
	    str_addf(&names, "%s%s", names.len ? ", " : "", v->string);
	int rc = err_set(ERR_CONFIG, "compare: no model has a metric '%s'; there are %s", metric, str_text(&names));
	str_clear(&names);
	return rc;
}

/* The first row of the same test; its own index where it is the first. */
static int first_of_test(const struct compare *c, int at)
{
	for (int i = 0; *c->row[at].test && i < at; i++)
		if (!strcmp(c->row[i].test, c->row[at].test))
			return i;
	return at;
}

static int correct(struct compare *c)
{
	double *p = mem_alloc((size_t)c->n + 1, sizeof(*p));
	int rc = p ? 0 : ERR_NOMEM;
	for (int i = 0; p && i < c->n; i++)
		p[i] = first_of_test(c, i) == i ? c->row[i].p : NAN;
	if (!rc)
		rc = holm_adjust(p, c->n);
	for (int i = 0; !rc && i < c->n; i++) {
		struct compare_row *r = &c->row[i];
		r->p_holm = p[i] = p[first_of_test(c, i)];
		if (r->baseline == i)
			r->verdict = COMPARE_BASELINE;
		else if (!isfinite(p[i]))
			r->verdict = r->no_p ? COMPARE_UNTESTED : COMPARE_NONE;
		else if (p[i] >= COMPARE_LEVEL || !(r->difference < 0 || r->difference > 0))
			r->verdict = COMPARE_TIE;
		else
			r->verdict = (r->difference > 0) == compare_higher_better(r) ? COMPARE_BETTER : COMPARE_WORSE;
	}
	mem_free(p);
	return rc;
}

int compare_make(struct compare *c, struct study *s, const char *metric, const char *baseline)
{
	*c = (struct compare){.study = s, .has_baseline = baseline};
	int rc = study_groups_make(&c->groups, s);
	for (int i = 0; !rc && i < c->groups.n; i++)
		rc = add_group(c, &c->groups.group[i], metric);
	for (int i = 0; !rc && i < c->n; i++)
		fill_row(c, &c->row[i]);
	if (rc == ERR_NOMEM)
		err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		rc = check_metric(c, metric);
	if (!rc && baseline)
		rc = baseline_find(c, baseline);
	for (int i = 0; !rc && baseline && i < c->n; i++)
		rc = baseline_test(c, i);
	return !rc && baseline ? correct(c) : rc;
}

int compare_check_results(const struct compare *c)
{
	int damaged = 0;
	for (int i = 0; i < c->study->n; i++) {
		const enum study_state state = c->study->run[i].state;
		if (state == STUDY_FINISHED)
			return 0;
		damaged += state == STUDY_CHANGED;
	}
	return damaged ? err_set(ERR_CHECKPOINT, "no run has results; %d of %d %s damaged", damaged, c->study->n,
			     damaged == 1 ? "is" : "are")
		       : 0;
}

void compare_clear(struct compare *c)
{
	for (int i = 0; i < c->n; i++) {
		mem_free(c->row[i].figures);
		mem_free(c->row[i].run);
		mem_free(c->row[i].value);
	}
	mem_free(c->row);
	study_groups_clear(&c->groups);
	*c = (struct compare){0};
}
