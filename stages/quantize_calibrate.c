/* Calibration: the folded float graph shows a collector its values; ranges and steps follow. Looks at samples of the
 * training or the validation split only. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "graph/pass.h"
#include "stages/quantize.h"

struct calibration {
	struct quantize_job *job;
	struct calibration_size size;
	struct encoding samples;
	struct session session; /* folded graph, all that is observed readable */
	struct sampler sampler;
	float *value; /* the value that was read last */
	size_t capacity;
};

int quantize_build_folded(void *job, const struct build_shape *shape, struct graph *out)
{
	struct graph g;
	graph_init(&g);
	int rc = spec_build(&g, &((struct quantize_job *)job)->input.ckpt.spec, shape);
	if (!rc)
		rc = pass_fold(&g, out);
	graph_clear(&g);
	return rc;
}

int quantize_build_annotated(void *job, const struct build_shape *shape, struct graph *out)
{
	struct graph folded;
	graph_init(&folded);
	int rc = quantize_build_folded(job, shape, &folded);
	if (!rc)
		rc = pass_annotate(&folded, &((struct quantize_job *)job)->plan, false, out);
	graph_clear(&folded);
	return rc;
}

static int keep_observed(void *job, struct executor *ex)
{
	const struct quant_plan *p = &((struct quantize_job *)job)->plan;
	int rc = 0;
	for (int i = 0; !rc && i < p->n_value; i++)
		if (!p->value[i].weight) /* weights are params or constants, which stay anyway */
			rc = executor_keep(ex, p->value[i].name);
	return rc;
}

int quantize_open_observed(struct session *s, struct quantize_job *job, struct param_store *params, int batch)
{
	const struct session_options o = {.batch = batch, .bind = keep_observed};
	return session_open(s, params, job->input.ckpt.spec.classes, quantize_build_folded, job, &o);
}

struct calibration_size quantize_calibration_size(const struct quantize_options *o, const struct dataset *d)
{
	enum split split = strcmp(o->calibration_split, "train") == 0 ? SPLIT_TRAIN : SPLIT_VAL;
	int64_t n = d->n[split], batch = o->calibration_batch_size < n ? o->calibration_batch_size : n;
	int64_t most = batch > 0 ? n / batch : 0;
	return (struct calibration_size){.split = split,
	    .batch = (int)batch,
	    .batches = o->calibration_batches < most ? o->calibration_batches : most};
}

int64_t quantize_valid_rows(const struct session *s, int64_t rows)
{
	const struct feed_tensor *starts = feed_find(&s->feed, "starts");
	if (!starts || rows == s->batch)
		return rows;
	/* A text has a token or more: capacity and number of texts are equal only where no row is slack. */
	return ((const int32_t *)starts->data)[s->batch];
}

/* ---- batches ---- */

static int calibration_open(struct calibration *p, struct quantize_job *job)
{
	const struct stage_run *run = job->run;
	p->job = job;
	p->size = quantize_calibration_size(job->o, run->data);
	int rc = encoding_open(&p->samples, &job->input.ckpt.adapter, run->data, p->size.split);
	if (!rc)
		rc = sampler_init(&p->sampler, run->seed, run->name, p->samples.n);
	if (!rc)
		rc = quantize_open_observed(&p->session, job, &job->input.params, p->size.batch);
	if (!rc)
		rc = session_reserve(&p->session, &p->samples);
	if (rc == ERR_NOMEM)
		err_context(rc, "calibrating with %d samples at a time (calibration_batch_size)", p->size.batch);
	return rc;
}

static void calibration_close(struct calibration *p)
{
	session_close(&p->session);
	encoding_close(&p->samples);
	sampler_clear(&p->sampler);
	mem_free(p->value);
}

/* Reads a value of an executor of the folded graph into p->value. */
static int read_value(struct calibration *p, struct executor *ex, const char *name, struct shape *shape)
{
	const struct graph *g = executor_graph(ex);
	*shape = g->node[graph_find(g, name)].shape;
	size_t n = (size_t)shape_count(*shape);
	if (n > p->capacity) {
		float *value = mem_grow(p->value, p->capacity, n, sizeof(*value));
		if (!value)
			return ERR_NOMEM;
		p->value = value;
		p->capacity = n;
	}
	return executor_output(ex, name, p->value, n * sizeof(*p->value));
}

/* Batch b of the calibration data through the folded graph: what it computed can be read. */
static int run_batch(struct calibration *p, int64_t b)
{
	struct session *s = &p->session;
	int rc = sampler_take(&p->sampler, b * s->batch, s->batch, s->index);
	return rc ? rc : session_push(s, &p->samples, s->index, s->batch);
}

/* Every value that the collector wants of the batch that was run. */
static int collect_batch(struct calibration *p, const struct collector *c)
{
	int rc = 0;
	for (int i = 0; i < c->n && !rc; i++) {
		struct shape shape;
		rc = read_value(p, p->session.ex, c->name(c->user, i), &shape);
		if (rc)
			return rc;
		const int64_t rows = shape.dim[0];
		const struct collected value = {.x = p->value,
		    .rows = rows,
		    .valid = quantize_valid_rows(&p->session, rows),
		    .width = shape_count(shape) / rows};
		rc = c->add(c->user, i, &value);
	}
	return rc;
}

/* Full batches of the split, each sample at most once, given to one collector. */
static int collect(struct calibration *p, const struct collector *c)
{
	struct stage_run *run = p->job->run;
	const int64_t batches = p->size.batches;
	int rc = c->begin ? c->begin(c->user) : 0;
	for (int64_t b = 0; b < batches && !rc; b++) {
		if (run->stop && *run->stop)
			return err_set(ERR_INTERRUPTED, "interrupted while calibrating");
		rc = run_batch(p, b);
		if (!rc)
			rc = collect_batch(p, c);
		if (run->progress && run->progress->update)
			run->progress->update(run->progress, "calibrating", (double)(b + 1), (double)batches);
	}
	p->job->calibrated = batches * p->size.batch;
	return rc < 0 || !c->end ? rc : c->end(c->user);
}

/* ---- steps ---- */

static int write_step(struct quantize_job *job, const struct quant_value *v, const float *step)
{
	char name[NODE_NAME];
	int64_t n = v->channels;
	struct param *p;
	int rc = quant_step_name(name, v->name);

	if (!rc)
		rc = params_add(&job->input.params, name, DT_F32, shape_of(1, &n), &p);
	return rc < 0 ? rc : params_write(&job->input.params, name, step);
}

static int weight_step(struct calibration *p, struct executor *ex, const struct quant_value *v)
{
	enum observer_kind kind = p->job->o->weight_observer == 1 ? OBSERVE_MSE : OBSERVE_MINMAX;
	struct shape shape;
	int rc = read_value(p, ex, v->name, &shape);
	if (rc)
		return rc;
	size_t rows = (size_t)shape.dim[0], width = (size_t)shape_count(shape) / rows;
	float *step = mem_alloc((size_t)v->channels, sizeof(*step));
	if (!step)
		return ERR_NOMEM;
	rc = quant_weight_steps(p->value, rows, width, v->q, v->per_channel, kind, step);
	/* one step for all, where the op wants one per channel */
	for (int c = 1; !v->per_channel && c < v->channels; c++)
		step[c] = step[0];
	rc = rc ? err_context(rc, "weight '%s'", v->name) : write_step(p->job, v, step);
	mem_free(step);
	return rc;
}

/* Folded weights are constants, which an executor of any shape computes alike. */
static int weight_steps(struct calibration *p)
{
	const struct build_shape shape = encoding_largest(&p->samples, p->size.batch);
	const struct quant_plan *plan = &p->job->plan;
	struct executor *ex;
	int rc = exec_family_at(p->session.family, &shape, &ex);
	for (int i = 0; i < plan->n_value && !rc; i++)
		if (plan->value[i].weight)
			rc = weight_step(p, ex, &plan->value[i]);
	return rc;
}

static int set_ranges(struct quantize_job *job, enum observer_kind kind)
{
	for (int i = 0; i < job->plan.n_value; i++) {
		const struct quant_value *v = &job->plan.value[i];
		float lo, hi, step;
		int rc;

		if (v->weight)
			continue;
		rc = observer_range(&job->observers.of[i], kind, v->q, job->o->percentile, &lo, &hi);
		if (!rc)
			rc = quant_plan_set_range(&job->plan, v->name, lo, hi, &step);
		if (!rc)
			rc = write_step(job, v, &step);
		if (rc < 0)
			return err_context(rc, "range of '%s'", v->name);
	}
	return 0;
}

/* Noise of half the signal's energy or more, where the whole range would have a quarter of that noise at most. */
#define POOR_DB   3.0
#define BETTER_DB 6.0

/* What a person must know of the range of a value that was chosen, if anything. */
static int say_range(const struct quantize_job *job, const struct quant_value *v, const struct observer *o)
{
	float lo, hi, all_lo, all_hi, step;
	struct qrange q = v->q;
	int rc = observer_range(o, (enum observer_kind)job->chosen, q, job->o->percentile, &lo, &hi);
	if (!rc)
		rc = observer_range(o, OBSERVE_MINMAX, q, 100, &all_lo, &all_hi);
	if (rc)
		return rc;
	quant_step_of_range(&q, lo, hi, &step);
	if (observer_is_empty(o)) {
		stage_line(job->run,
		    "warning: '%s' was 0 throughout calibration: it has no range, its step is 1 and all below 0.5 "
		    "becomes 0",
		    v->name);
		return 0;
	}
	if (step > hi - lo) {
		stage_line(job->run,
		    "warning: '%s' is too small for integers: its range is [%g, %g], and all becomes 0", v->name,
		    (double)lo, (double)hi);
		return 0;
	}
	const double db = observer_sqnr(o, v->q, lo, hi), all = observer_sqnr(o, v->q, all_lo, all_hi);
	if (db < POOR_DB && all > db + BETTER_DB)
		stage_line(job->run,
		    "warning: observer %s gives '%s' the range [%g, %g], which loses most of it (%.1f dB); minmax has "
		    "[%g, %g] (%.1f dB)",
		    observer_names[job->chosen], v->name, (double)lo, (double)hi, db, (double)all_lo, (double)all_hi,
		    all);
	return 0;
}

static int say_ranges(const struct quantize_job *job)
{
	int rc = 0;
	for (int i = 0; i < job->plan.n_value && !rc; i++)
		if (!job->plan.value[i].weight)
			rc = say_range(job, &job->plan.value[i], &job->observers.of[i]);
	return rc;
}

/* The figures that are defined, by the names of the task's rows, and the loss. */
static void put_choice(struct json_out out, const struct metrics *m)
{
	const struct metric_row *row = m->task->kind->metric;
	for (int i = 0; row[i].name; i++)
		if (isfinite(m->value[i]))
			json_out_number(out, row[i].name, m->value[i]);
	json_out_number(out, "loss", m->loss);
}

static int try_observer(struct quantize_job *job, int kind, struct metrics *m)
{
	const struct task *task = &job->input.ckpt.task;
	bool ok;
	int rc = set_ranges(job, (enum observer_kind)kind);
	if (!rc)
		rc = stage_measure(job->run, &job->input, quantize_build_annotated, job, SPLIT_VAL, m);
	if (rc)
		return rc;
	stage_line(job->run, "observer %s: validation %s %.4f, loss %.4f", observer_names[kind],
	    task_metric_name(task, task->primary), metrics_primary(m), m->loss);
	struct json_out choice = json_out_object(json_out_into(job->choices, &ok), observer_names[kind]);
	put_choice(choice, m);
	return json_out_check(choice);
}

/* No observer wins everywhere: each is judged by the task's primary metric of the simulated model on the validation
 * split; ties by the loss. */
static int choose_observer(struct quantize_job *job)
{
	struct metrics best = {0};
	int rc = 0;
	job->choices = cJSON_CreateObject();
	if (!job->choices)
		return err_set(ERR_NOMEM, "out of memory");
	for (int kind = 0; kind < OBSERVER_COUNT && !rc; kind++) {
		struct metrics m = {0};
		rc = try_observer(job, kind, &m);
		if (!rc && (kind == 0 || metrics_better(&m, &best, job->input.ckpt.task.primary))) {
			job->chosen = kind;
			rc = metrics_copy(&best, &m);
		}
		metrics_clear(&m);
	}
	metrics_clear(&best);
	return rc;
}

int quantize_calibrate(struct quantize_job *job)
{
	struct calibration p = {0};
	struct collector c;
	int rc = calibration_open(&p, job);

	if (!rc)
		rc = weight_steps(&p);
	if (rc < 0 || !quantize_has_steps(job->o))
		goto out;
	rc = observers_init(&job->observers, &job->plan);
	if (rc < 0)
		goto out;
	c = observers_collector(&job->observers);
	rc = collect(&p, &c);
	job->chosen = job->o->observer;
	if (!rc && job->o->observer == OBSERVE_AUTO)
		rc = choose_observer(job);
	if (!rc)
		rc = set_ranges(job, (enum observer_kind)job->chosen);
	if (!rc)
		rc = say_ranges(job);
out:
	calibration_close(&p);
	return rc;
}
