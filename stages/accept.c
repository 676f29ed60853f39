#include "stages/accept.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/power.h"

#define AT(field) offsetof(struct accept_options, field)
#define STRING(x) #x
#define TEXT(x)   STRING(x)

const struct option accept_option_table[] = {
    {.key = "metric",
	.type = OPT_CHOICE,
	.offset = AT(metric),
	.def = "primary",
	.choices = task_metric_choices,
	.help = "validation figure that max_drop is about"},
    {.key = "max_drop",
	.type = OPT_FLOAT,
	.offset = AT(max_drop),
	.def = TEXT(ACCEPT_NO_LIMIT),
	.required = true,
	.min = 0,
	.max = ACCEPT_NO_LIMIT,
	.help = "points (hundredths) of the metric that may be lost against the input; 100 = no limit"},
    {.key = "min_ratio",
	.type = OPT_FLOAT,
	.offset = AT(min_ratio),
	.def = "0",
	.min = 0,
	.max = 1e6,
	.help = "how many times smaller than the input it must be, in bytes of model.safetensors (quantize) or in "
		"parameters that are not zero (prune); 0 = no limit"},
    {.key = "max_latency_ms",
	.type = OPT_FLOAT,
	.offset = AT(max_latency_ms),
	.def = "0",
	.min = 0,
	.max = 1e6,
	.help = "milliseconds that a validation sample may take on the CPU with the threads of the run, as the median "
		"of single runs; 0 = no limit, and it is not measured"},
    {.key = "false_positives",
	.type = OPT_FLOAT,
	.offset = AT(false_positives),
	.def = TEXT(POWER_FALSE_POSITIVES),
	.min = 1e-6,
	.max = 0.5,
	.help = "rate of false positives of the paired test that says what is more than chance"},
    {.key = "power",
	.type = OPT_FLOAT,
	.offset = AT(power),
	.def = TEXT(POWER_WANTED),
	.min = 0.05,
	.max = 0.999,
	.help = "how often that test should see a loss of max_drop; where it cannot, a warning says so"},
    OPTION_END,
};

const char *const verdict_names[] = {"ACCEPT", "REGRESSION", "ANOMALOUS", "INFEASIBLE", NULL};

/* The loss, as a row like the others. */
static const struct metric_row loss_row = {.name = "loss", .title = "loss", .unbounded = true};

bool accept_is_asked(const struct accept_options *o)
{
	return o->max_drop < ACCEPT_NO_LIMIT || o->min_ratio > 0 || o->max_latency_ms > 0;
}

static int find_row(const struct accept_options *o, const struct task *task)
{
	return task_metric_find(task, task_metric_choices[o->metric]);
}

int accept_check_limits(const struct accept_options *o)
{
	if (accept_is_asked(o) || strcmp(task_metric_choices[o->metric], "primary") == 0)
		return 0;
	return err_set(ERR_CONFIG,
	    "accept names the metric '%s' and limits nothing: give max_drop below %d, min_ratio or max_latency_ms",
	    task_metric_choices[o->metric], ACCEPT_NO_LIMIT);
}

int accept_check(const struct accept_options *o, const struct task *task)
{
	if (find_row(o, task) == TASK_METRIC_UNKNOWN)
		return err_context(ERR_CONFIG, "accept.metric");
	return 0;
}

static const char *ratio_words(const char *ratio_of)
{
	return strcmp(ratio_of, "bytes") == 0 ? "bytes" : "parameters that are not zero";
}

void accept_describe(const struct accept_options *o, const struct task *task, const char *ratio_of, struct str *out)
{
	const char *before = "; accepted with";
	if (o->max_drop < ACCEPT_NO_LIMIT) {
		str_addf(out, "%s at most %g points of validation %s lost", before, o->max_drop,
		    task_metric_name(task, find_row(o, task)));
		before = ",";
	}
	if (o->min_ratio > 0) {
		str_addf(out, "%s %g times fewer %s", before, o->min_ratio, ratio_words(ratio_of));
		before = ",";
	}
	if (o->max_latency_ms > 0)
		str_addf(out, "%s at most %g ms a sample", before, o->max_latency_ms);
}

void accept_warn_of_noise(const struct accept_options *o, const struct stage_run *run)
{
	const int64_t n = run->data->n[SPLIT_VAL];
	const double least = 100 * power_smallest_difference(n, 0, o->false_positives, o->power);
	if (o->max_drop >= ACCEPT_NO_LIMIT || least <= o->max_drop || find_row(o, run->task) == TASK_METRIC_LOSS)
		return; /* points of the loss are no right decisions */
	if (isfinite(least))
		stage_line(run,
		    "warning: %lld validation samples are too few to show a loss of max_drop (%g points): the "
		    "smallest difference of right decisions that they can show is %.2f points (%g %% false "
		    "positives, %g %% power)",
		    (long long)n, o->max_drop, least, 100 * o->false_positives, 100 * o->power);
	else
		stage_line(run, "warning: %lld validation samples cannot show any difference", (long long)n);
}

/* ---- sizes ---- */

int accept_file_bytes(struct tensor_file *f, double *bytes)
{
	uint64_t n = 0;
	int rc = tensor_file_bytes(f, &n);
	*bytes = (double)n;
	return rc;
}

static int count_zeros(const struct param_store *params, const struct param *p, int64_t *zeros)
{
	const int64_t n = shape_count(p->value.shape);
	float *x = mem_alloc((size_t)n, sizeof(*x));
	int rc = x ? params_read(params, p->name, x) : ERR_NOMEM;
	for (int64_t i = 0; !rc && i < n; i++)
		*zeros += !(fabsf(x[i]) > 0);
	mem_free(x);
	return rc;
}

int accept_count_nonzero(const struct model *m, double *n)
{
	struct graph g;
	int64_t zeros = 0;
	int rc = spec_build(&g, &m->ckpt.spec, &shape_one);
	for (int i = 0; !rc && i < g.n; i++) {
		const struct param *p = params_find(&m->params, g.node[i].name);
		if (g.node[i].op == OP_PARAM && p && p->value.shape.ndim > 1)
			rc = count_zeros(&m->params, p, &zeros);
	}
	*n = rc ? 0 : (double)(graph_parameters(&g) - zeros);
	graph_clear(&g);
	return rc;
}

/* ---- measuring ---- */

/* Figures with the thresholds that the model would be saved with, and which decisions are right. */
static int measure(const struct acceptance *a, struct model *model, struct metrics *m, uint8_t *right)
{
	const struct stage_run *run = a->run;
	int rc = stage_measure_each(run, model, model_build, model, SPLIT_VAL, m, right);
	if (rc || !model->ckpt.task.search)
		return rc;
	rc = task_search_thresholds(&model->ckpt.task, m);
	metrics_clear(m);
	return rc ? rc : stage_measure_each(run, model, model_build, model, SPLIT_VAL, m, right);
}

static struct judged judged_of(const struct acceptance *a, const struct metrics *m)
{
	const struct metric_row *row = a->row >= 0 ? &m->task->kind->metric[a->row] : &loss_row;
	return (struct judged){row, task_metric_value(m, a->row), m->right, m->n};
}

static int size_of_input(struct acceptance *a)
{
	const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(a->input.ckpt.info, "size_bytes");
	if (strcmp(a->ratio_of, "bytes") != 0)
		return accept_count_nonzero(&a->input, &a->size);
	a->size = cJSON_IsNumber(bytes) ? bytes->valuedouble : NAN;
	return 0;
}

static int load_input(struct acceptance *a, bool quietly)
{
	struct stage_run run = *a->run;
	if (quietly)
		run.progress = NULL;
	return stage_model_load(&a->input, run.input_dir, run.cpu_dev, &run);
}

int accept_open(struct acceptance *a, const struct accept_options *o, const struct stage_run *run, const char *ratio_of,
    bool quietly)
{
	const size_t n = (size_t)run->data->n[SPLIT_VAL];
	*a = (struct acceptance){.o = o, .run = run, .ratio_of = ratio_of, .best = -1};
	a->row = find_row(o, run->task);
	int rc = accept_check(o, run->task);
	if (rc)
		return rc;
	a->right = mem_alloc(n, sizeof(*a->right));
	a->own = mem_alloc(n, sizeof(*a->own));
	rc = a->right && a->own ? load_input(a, quietly) : ERR_NOMEM;
	if (!rc)
		rc = measure(a, &a->input, &a->reference, a->right);
	if (!rc)
		rc = size_of_input(a);
	if (rc)
		return rc;
	stage_line(run, "input: validation %s %.6g", task_metric_name(run->task, a->row),
	    task_metric_value(&a->reference, a->row));
	accept_warn_of_noise(o, run);
	return 0;
}

void accept_close(struct acceptance *a)
{
	model_clear(&a->input);
	metrics_clear(&a->reference);
	encoding_close(&a->samples);
	mem_free(a->right);
	mem_free(a->own);
	mem_free(a->attempt);
	*a = (struct acceptance){0};
}

/* Both take turns, so that a drifting clock favours neither. Never the test split's texts. */
static int time_model(struct acceptance *a, struct model *model, struct accept_attempt *t)
{
	const struct latency_options o = {.warmup = 50, .runs = 500, .throughput_batch = 1};
	struct latency out[2];
	int rc = 0;
	if (a->samples.n == 0 && model->ckpt.adapter.spec.kind == INPUT_TEXT)
		rc = encoding_open(&a->samples, &a->input.ckpt.adapter, a->run->data, SPLIT_VAL);
	if (rc)
		return rc;
	const struct encoding *samples = a->samples.n ? &a->samples : NULL;
	const struct latency_subject subjects[2] = {{&a->input, samples}, {model, samples}};
	rc = latency_measure(subjects, 2, &o, a->run->seed, a->run->progress, a->run->stop, out);
	if (rc)
		return rc;
	t->input_latency_ms = out[0].median * 1e3;
	t->latency_ms = out[1].median * 1e3;
	latency_clear(&out[0]);
	latency_clear(&out[1]);
	return 0;
}

/* ---- verdicts ---- */

/* Whether all answers are one class although the samples have several, or no label is ever given. */
static bool one_answer(const struct metrics *m)
{
	int predicted = 0, there = 0;
	for (int c = 0; c < m->classes; c++) {
		predicted += m->of_class[c].tp + m->of_class[c].fp > 0;
		there += m->of_class[c].support > 0;
	}
	return m->task->kind->target == TARGET_CLASS ? predicted < 2 && there > 1 : predicted == 0 && there > 0;
}

static void give(struct accept_attempt *t, enum verdict v, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void give(struct accept_attempt *t, enum verdict v, const char *format, ...)
{
	const size_t used = strlen(t->reason);
	va_list args;
	t->verdict = v;
	va_start(args, format);
	if (used + 3 < sizeof(t->reason)) {
		const int gap = snprintf(t->reason + used, sizeof(t->reason) - used, "%s", used ? "; " : "");
		vsnprintf(t->reason + used + gap, sizeof(t->reason) - used - (size_t)gap, format, args);
	}
	va_end(args);
}

static void judge(
    const struct acceptance *a, const struct candidate *c, const struct metrics *m, struct accept_attempt *t)
{
	const struct accept_options *o = a->o;
	const struct judged first = judged_of(a, &a->reference), own = judged_of(a, m);
	const bool within = o->max_drop >= ACCEPT_NO_LIMIT || judged_within(&first, &own, o->max_drop);
	t->verdict = VERDICT_ACCEPT;
	if (!isfinite(own.value) || !isfinite(m->loss)) {
		give(t, VERDICT_ANOMALOUS, "%s is not a number", own.row->name);
		return;
	}
	if (one_answer(m)) {
		give(t, VERDICT_ANOMALOUS, "all answers are the same");
		return;
	}
	if (o->min_ratio > 0 && !(t->ratio >= o->min_ratio * (1 - 1e-12)))
		give(t, VERDICT_INFEASIBLE, "%.4g times fewer %s, less than min_ratio %g", t->ratio,
		    ratio_words(a->ratio_of), o->min_ratio);
	if (o->max_latency_ms > 0 && !(t->latency_ms <= o->max_latency_ms))
		give(t, VERDICT_INFEASIBLE, "%.4g ms, more than max_latency_ms %g", t->latency_ms, o->max_latency_ms);
	if (!within)
		give(t, t->verdict == VERDICT_INFEASIBLE ? VERDICT_INFEASIBLE : VERDICT_REGRESSION,
		    "loses %.4g points of validation %s, more than max_drop %g", t->drop, own.row->name, o->max_drop);
	if (t->verdict == VERDICT_ACCEPT && !c->trained && t->drop < 0 && t->flips.difference > 0 &&
	    t->flips.p <= o->false_positives)
		give(t, VERDICT_ANOMALOUS,
		    "better than its input by more than chance (%lld answers became right, %lld wrong, p = %.2g) "
		    "although nothing was trained",
		    (long long)t->flips.wrong_to_right, (long long)t->flips.right_to_wrong, t->flips.p);
}

/* How close to passing, the more the better. */
static double merit(const struct accept_attempt *t)
{
	static const double of[] = {
	    [VERDICT_ACCEPT] = 3e6, [VERDICT_REGRESSION] = 2e6, [VERDICT_ANOMALOUS] = 1e6, [VERDICT_INFEASIBLE] = 0};
	return of[t->verdict] - (isfinite(t->drop) ? fmin(t->drop, 1e5) : 1e5);
}

/* How many times what is asked for the size, or the latency, is. */
static double excess(const struct accept_options *o, const struct accept_attempt *t)
{
	const double size = o->min_ratio > 0 ? o->min_ratio / t->ratio : 0;
	return fmax(size, o->max_latency_ms > 0 ? t->latency_ms / o->max_latency_ms : 0);
}

/* Of what answers equally well, the one that lacks less in size and latency comes closer. */
static bool comes_closer(const struct acceptance *a, const struct accept_attempt *t)
{
	if (!isfinite(t->value))
		return false;
	if (a->best < 0)
		return true;
	const struct accept_attempt *best = &a->attempt[a->best];
	const double gain = merit(t) - merit(best);
	return gain > 0 || (gain >= 0 && t->verdict == VERDICT_INFEASIBLE && excess(a->o, t) < excess(a->o, best));
}

static void say(const struct acceptance *a, const struct accept_attempt *t)
{
	struct str s = {0};
	str_addf(&s, "attempt %s: ", t->method);
	if (isfinite(t->value))
		str_addf(&s, "validation %s %.6g, %.4g points %s, ", task_metric_name(a->run->task, a->row), t->value,
		    fabs(t->drop), t->drop < 0 ? "won" : "lost");
	if (isfinite(t->smallest))
		str_addf(&s, "%.2f can be shown, ", t->smallest);
	if (isfinite(t->ratio))
		str_addf(&s, "%.2f times fewer %s, ", t->ratio, ratio_words(a->ratio_of));
	if (isfinite(t->latency_ms))
		str_addf(&s, "%.4g ms (input %.4g), ", t->latency_ms, t->input_latency_ms);
	stage_line(a->run, "%s%s%s%s", str_text(&s), verdict_names[t->verdict], t->reason[0] ? ": " : "", t->reason);
	str_clear(&s);
}

static int add_attempt(struct acceptance *a, const char *method, struct accept_attempt **out)
{
	struct accept_attempt *t = mem_grow(a->attempt, (size_t)a->n, (size_t)a->n + 1, sizeof(*t));
	if (!t)
		return ERR_NOMEM;
	a->attempt = t;
	t += a->n;
	*t = (struct accept_attempt){.value = NAN,
	    .drop = NAN,
	    .ratio = NAN,
	    .latency_ms = NAN,
	    .input_latency_ms = NAN,
	    .smallest = NAN,
	    .flips = {.p = NAN}};
	snprintf(t->method, sizeof(t->method), "%s", method);
	*out = t;
	return 0;
}

static int measure_attempt(struct acceptance *a, const struct candidate *c, struct accept_attempt *t)
{
	const int64_t n = a->run->data->n[SPLIT_VAL];
	struct metrics m = {0};
	int rc = measure(a, c->model, &m, a->own);
	if (rc == ERR_FAIL) /* a loss that is no number */
		give(t, VERDICT_ANOMALOUS, "%s", err_message());
	if (rc)
		return rc == ERR_FAIL ? 0 : rc;
	const struct judged first = judged_of(a, &a->reference), own = judged_of(a, &m);
	t->value = own.value;
	t->drop = judged_loss(&first, &own);
	t->ratio = c->size > 0 ? a->size / c->size : NAN;
	flips_count(&t->flips, a->right, a->own, n);
	const double differ = (double)(t->flips.right_to_wrong + t->flips.wrong_to_right) / (double)n;
	if (a->row != TASK_METRIC_LOSS)
		t->smallest = 100 * power_smallest_difference(n, differ, a->o->false_positives, a->o->power);
	if (a->o->max_latency_ms > 0 || a->always_timed)
		rc = time_model(a, c->model, t);
	if (!rc)
		judge(a, c, &m, t);
	metrics_clear(&m);
	return rc;
}

int accept_judge(struct acceptance *a, const struct candidate *c, bool *passed, bool *closest)
{
	struct accept_attempt *t;
	char *why = c->model ? NULL : mem_strdup(err_message());
	int rc = add_attempt(a, c->method, &t);
	if (!rc && !c->model && !why)
		rc = ERR_NOMEM;
	if (!rc && !c->model)
		give(t, VERDICT_INFEASIBLE, "%s", why);
	else if (!rc)
		rc = measure_attempt(a, c, t);
	mem_free(why);
	if (rc)
		return rc;
	*closest = comes_closer(a, t);
	if (*closest)
		a->best = a->n;
	*passed = t->verdict == VERDICT_ACCEPT;
	a->n++;
	say(a, t);
	return 0;
}

int accept_verdict(const struct acceptance *a)
{
	const struct accept_attempt *t = a->best >= 0 ? &a->attempt[a->best] : a->n ? &a->attempt[a->n - 1] : NULL;
	if (!t)
		return err_set(ERR_GATE, "%s: there was no attempt", verdict_names[VERDICT_INFEASIBLE]);
	if (t->verdict == VERDICT_ACCEPT)
		return 0;
	if (a->n == 1)
		return err_set(ERR_GATE, "%s: %s: %s", verdict_names[t->verdict], t->method, t->reason);
	return err_set(ERR_GATE, "%s: none of %d attempts passes; the closest, %s: %s", verdict_names[t->verdict], a->n,
	    t->method, t->reason);
}
