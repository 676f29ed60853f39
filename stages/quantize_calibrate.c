/* The folded float graph shows observers its values (calibrate.h); ranges and steps follow. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "graph/pass.h"
#include "stages/quantize.h"

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

static struct calibrated observed(struct quantize_job *job, struct param_store *params)
{
	return (struct calibrated){.adapter = &job->input.ckpt.adapter,
	    .params = params,
	    .classes = job->input.ckpt.spec.classes,
	    .build = quantize_build_folded,
	    .user = job,
	    .keep = keep_observed};
}

int quantize_open_observed(struct session *s, struct quantize_job *job, struct param_store *params, int batch)
{
	const struct calibrated of = observed(job, params);
	const struct session_options o = {.batch = batch, .bind = of.keep};
	return session_open(s, params, of.classes, of.build, job, &o);
}

struct calibration_size quantize_calibration_size(const struct quantize_options *o, const struct dataset *d)
{
	enum split split = strcmp(o->calibration_split, "train") == 0 ? SPLIT_TRAIN : SPLIT_VAL;
	return calibration_size(d, split, o->calibration_batch_size, o->calibration_batches);
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

static int weight_step(
    struct quantize_job *job, struct calibration *p, struct executor *ex, const struct quant_value *v)
{
	enum observer_kind kind = quantize_weight_observer(job->o, v->q.bits);
	struct shape shape;
	int rc = calibration_read(p, ex, v->name, &shape);
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
	rc = rc ? err_context(rc, "weight '%s'", v->name) : write_step(job, v, step);
	mem_free(step);
	return rc;
}

/* Folded weights are constants, which an executor of any shape computes alike. */
int quantize_weight_steps(struct quantize_job *job, struct calibration *p)
{
	const struct quant_plan *plan = &job->plan;
	struct executor *ex;
	int rc = calibration_largest(p, &ex);
	for (int i = 0; i < plan->n_value && !rc; i++)
		if (plan->value[i].weight)
			rc = weight_step(job, p, ex, &plan->value[i]);
	return rc;
}

int quantize_set_ranges(struct quantize_job *job, enum observer_kind kind)
{
	for (int i = 0; i < job->plan.n_value; i++) {
		const struct quant_value *v = &job->plan.value[i];
		float lo, hi, step;
		int rc;

		if (v->weight)
			continue;
		rc = quantize_byte_range(job, v->name, &lo, &hi)
			 ? 0
			 : observer_range(&job->observers.of[i], kind, v->q, job->o->percentile, &lo, &hi);
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
		if (!job->plan.value[i].weight && strcmp(job->plan.value[i].name, job->byte_input) != 0)
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
	int rc = quantize_set_ranges(job, (enum observer_kind)kind);
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

int quantize_open_calibration(struct quantize_job *job, struct calibration *p)
{
	const struct calibrated of = observed(job, &job->input.params);
	const struct calibration_size size = quantize_calibration_size(job->o, job->run->data);
	return calibration_open(p, job->run, &of, &size, "calibration_batch_size");
}

int quantize_calibrate(struct quantize_job *job)
{
	struct calibration p = {0};
	struct collector c;
	int rc = quantize_open_calibration(job, &p);

	if (!rc)
		rc = quantize_weight_steps(job, &p);
	if (rc < 0 || !quantize_has_steps(job->o))
		goto out;
	rc = observers_init(&job->observers, &job->plan);
	if (rc < 0)
		goto out;
	c = observers_collector(&job->observers);
	rc = calibration_collect(&p, &c);
	job->calibrated = p.size.batches * p.size.batch;
	job->chosen = job->o->observer;
	if (!rc && job->o->observer == OBSERVE_AUTO)
		rc = choose_observer(job);
	if (!rc)
		rc = quantize_set_ranges(job, (enum observer_kind)job->chosen);
	if (!rc)
		rc = say_ranges(job);
out:
	calibration_close(&p);
	return rc;
}
