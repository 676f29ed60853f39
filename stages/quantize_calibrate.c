/* Calibration: the folded float graph shows a collector its values; ranges and steps follow. Looks at train or
 * validation images only. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "graph/pass.h"
#include "stages/quantize.h"

struct calibration {
	struct quantize_job *job;
	struct executor *ex; /* folded graph, all that is observed readable */
	struct sampler sampler;
	struct batch_fill fill;
	int batch;
	int64_t batches;
	uint32_t *index;
	int32_t *labels;
	float *x;
	float *value; /* room for the largest */
};

static size_t pixels(const struct dataset *d)
{
	return (size_t)d->height * (size_t)d->width * (size_t)d->channels;
}

int quantize_folded(const struct model_spec *spec, const struct build_shape *shape, struct graph *out)
{
	struct graph g;
	int rc;

	graph_init(&g);
	rc = spec_build(&g, spec, shape);
	if (!rc)
		rc = pass_fold(&g, out);
	graph_clear(&g);
	return rc;
}

int quantize_build_annotated(void *user, const struct build_shape *shape, struct graph *out)
{
	const struct quantize_job *job = user;
	struct graph folded;
	int rc;

	graph_init(&folded);
	rc = quantize_folded(&job->input.ckpt.spec, shape, &folded);
	if (!rc)
		rc = pass_annotate(&folded, &job->plan, false, out);
	graph_clear(&folded);
	return rc;
}

int quantize_observed(
    struct executor **out, const struct graph *g, struct param_store *params, const struct quant_plan *p)
{
	const struct executor_options o = {.mode = EXEC_INFER};
	int rc = executor_create(out, g, params, &o);

	for (int i = 0; !rc && i < p->n_value; i++)
		if (!p->value[i].weight) /* weights are params or constants, which stay anyway */
			rc = executor_keep(*out, p->value[i].name);
	if (rc < 0) {
		executor_free(*out);
		*out = NULL;
	}
	return rc;
}

int quantize_executor(struct executor **out, const struct graph *g, struct param_store *params, bool keep_all)
{
	struct executor_options o = {.mode = EXEC_INFER, .keep_all = keep_all};
	int rc = executor_create(out, g, params, &o);

	if (!rc)
		rc = executor_prepare(*out);
	if (rc < 0) {
		executor_free(*out);
		*out = NULL;
	}
	return rc;
}

int quantize_images(const struct stage_run *run, enum split split, int64_t first, int batch, float *x)
{
	struct batch_fill fill = {.data = run->data, .split = split, .stage = run->name};
	uint32_t *index = mem_alloc((size_t)batch, sizeof(*index));
	int32_t *labels = mem_alloc((size_t)batch, sizeof(*labels));
	int rc = ERR_NOMEM;

	if (index && labels) {
		for (int i = 0; i < batch; i++)
			index[i] = (uint32_t)((first + i) % run->data->n[split]);
		rc = batch_fill(&fill, index, batch, 0, 0, x, labels);
	}
	mem_free(index);
	mem_free(labels);
	return rc;
}

/* ---- batches ---- */

static size_t largest_value(const struct graph *g, const struct quant_plan *p)
{
	size_t most = 1;

	for (int i = 0; i < p->n_value; i++) {
		size_t n = (size_t)shape_count(g->node[graph_find(g, p->value[i].name)].shape);

		most = n > most ? n : most;
	}
	return most;
}

static int calibration_open(struct calibration *p, struct quantize_job *job)
{
	const struct dataset *d = job->run->data;
	enum split split = strcmp(job->o->calibration_split, "train") == 0 ? SPLIT_TRAIN : SPLIT_VAL;
	int64_t n = d->n[split];
	struct graph g;
	int rc;

	graph_init(&g);
	p->job = job;
	p->batch = (int)(job->o->calibration_batch_size < n ? job->o->calibration_batch_size : n);
	p->batches = job->o->calibration_batches < n / p->batch ? job->o->calibration_batches : n / p->batch;
	p->fill = (struct batch_fill){.data = d, .split = split, .stage = job->run->name};
	const struct build_shape shape = shape_samples(p->batch);
	rc = quantize_folded(&job->input.ckpt.spec, &shape, &g);
	if (!rc)
		rc = sampler_init(&p->sampler, job->run->seed, job->run->name, n);
	if (rc < 0)
		goto out;
	p->index = mem_alloc((size_t)p->batch, sizeof(*p->index));
	p->labels = mem_alloc((size_t)p->batch, sizeof(*p->labels));
	p->x = mem_alloc((size_t)p->batch * pixels(d), sizeof(*p->x));
	p->value = mem_alloc(largest_value(&g, &job->plan), sizeof(*p->value));
	if (!p->index || !p->labels || !p->x || !p->value) {
		rc = ERR_NOMEM;
		goto out;
	}
	rc = quantize_observed(&p->ex, &g, &job->input.params, &job->plan);
	if (!rc)
		rc = executor_prepare(p->ex);
	if (rc == ERR_NOMEM)
		err_context(rc, "calibrating with %d images at a time (calibration_batch_size)", p->batch);
out:
	graph_clear(&g);
	return rc;
}

static void calibration_close(struct calibration *p)
{
	executor_free(p->ex);
	sampler_clear(&p->sampler);
	mem_free(p->index);
	mem_free(p->labels);
	mem_free(p->x);
	mem_free(p->value);
}

/* Reads a value of the folded graph into p->value. */
static int read_value(struct calibration *p, const char *name, size_t *n, struct shape *shape)
{
	const struct graph *g = executor_graph(p->ex);

	*shape = g->node[graph_find(g, name)].shape;
	*n = (size_t)shape_count(*shape);
	return executor_output(p->ex, name, p->value, *n * sizeof(float));
}

/* Batch b of the calibration data through the folded graph: what it computed can be read. */
static int run_batch(struct calibration *p, int64_t b)
{
	size_t bytes = (size_t)p->batch * pixels(p->job->run->data) * sizeof(float);
	int rc = sampler_take(&p->sampler, b * p->batch, p->batch, p->index);

	if (!rc)
		rc = batch_fill(&p->fill, p->index, p->batch, 0, 0, p->x, p->labels);
	if (!rc)
		rc = executor_input(p->ex, "input", p->x, bytes);
	return rc < 0 ? rc : executor_forward(p->ex);
}

/* Every value that the collector wants of the batch that was run. All rows of a batch of images are valid. */
static int collect_batch(struct calibration *p, const struct collector *c)
{
	int rc = 0;

	for (int i = 0; i < c->n && !rc; i++) {
		struct shape shape;
		size_t n;

		rc = read_value(p, c->name(c->user, i), &n, &shape);
		if (rc < 0)
			return rc;
		int64_t rows = shape.dim[0];

		rc = c->add(c->user, i,
		    &(struct collected){.x = p->value, .rows = rows, .valid = rows, .width = (int64_t)n / rows});
	}
	return rc;
}

/* Full batches of the split, each image at most once, given to one collector. */
static int collect(struct calibration *p, const struct collector *c)
{
	struct stage_run *run = p->job->run;
	int rc = c->begin ? c->begin(c->user) : 0;

	for (int64_t b = 0; b < p->batches && !rc; b++) {
		if (run->stop && *run->stop)
			return err_set(ERR_INTERRUPTED, "interrupted while calibrating");
		rc = run_batch(p, b);
		if (!rc)
			rc = collect_batch(p, c);
		if (run->progress && run->progress->update)
			run->progress->update(run->progress, "calibrating", (double)(b + 1), (double)p->batches);
	}
	p->job->calibrated = p->batches * p->batch;
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

static int weight_steps(struct calibration *p)
{
	struct quantize_job *job = p->job;
	enum observer_kind kind = job->o->weight_observer == 1 ? OBSERVE_MSE : OBSERVE_MINMAX;

	for (int i = 0; i < job->plan.n_value; i++) {
		const struct quant_value *v = &job->plan.value[i];
		struct shape shape;
		float *step;
		size_t n, rows;
		int rc;

		if (!v->weight)
			continue;
		rc = read_value(p, v->name, &n, &shape);
		if (rc < 0)
			return rc;
		rows = (size_t)shape.dim[0];
		step = mem_alloc((size_t)v->channels, sizeof(*step));
		if (!step)
			return ERR_NOMEM;
		rc = quant_weight_steps(p->value, rows, n / rows, v->q, v->per_channel, kind, step);
		/* one step for all, where the op wants one per channel */
		for (int c = 1; !v->per_channel && c < v->channels; c++)
			step[c] = step[0];
		rc = rc < 0 ? err_context(rc, "weight '%s'", v->name) : write_step(job, v, step);
		mem_free(step);
		if (rc < 0)
			return rc;
	}
	return 0;
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

static int try_observer(struct quantize_job *job, int kind, struct metrics *m)
{
	int rc = set_ranges(job, (enum observer_kind)kind);
	bool ok;

	if (!rc)
		rc = trainer_evaluate(job->input.params.dev, &job->input.params, quantize_build_annotated, job,
		    job->run->data, SPLIT_VAL, job->run->stop, m);
	if (rc < 0)
		return rc;
	stage_line(
	    job->run, "observer %s: validation accuracy %.4f, loss %.4f", observer_names[kind], m->accuracy, m->loss);
	struct json_out choice = json_out_object(json_out_into(job->choices, &ok), observer_names[kind]);

	json_out_number(choice, "val_accuracy", m->accuracy);
	json_out_number(choice, "val_loss", m->loss);
	return json_out_check(choice);
}

/* No observer wins everywhere: each is judged by the validation accuracy of the simulated model; ties by the loss. */
static int choose_observer(struct quantize_job *job)
{
	double accuracy = -1, loss = INFINITY;
	int rc = 0;

	job->choices = cJSON_CreateObject();
	if (!job->choices)
		return err_set(ERR_NOMEM, "out of memory");
	for (int kind = 0; kind < OBSERVER_COUNT && !rc; kind++) {
		struct metrics m = {0};

		rc = try_observer(job, kind, &m);
		if (!rc && (m.accuracy > accuracy || (m.accuracy >= accuracy && m.loss < loss))) {
			accuracy = m.accuracy;
			loss = m.loss;
			job->chosen = kind;
		}
		metrics_clear(&m);
	}
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
out:
	calibration_close(&p);
	return rc;
}
