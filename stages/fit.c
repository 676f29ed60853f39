/* Graphs and hooks that connect a stage with the trainer, and the estimate of what training costs. */
#include "stages/fit.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "train/precision.h"

struct fit_state {
	struct fit_job *job;
	struct teacher teacher;
};

static int add_loss(struct graph *g, const struct train_options *train, const struct kd_options *kd)
{
	if (kd)
		return graph_add_kd(g, (float)kd->temperature, (float)kd->alpha);
	return graph_add_ce(g, (float)train->label_smoothing);
}

static int build(const struct fit_job *job, int batch, bool train, struct graph *g)
{
	int rc = spec_build(g, &job->model->ckpt.spec, batch);
	if (rc == 0 && train)
		rc = add_loss(g, job->train, job->run->teacher_dir ? job->kd : NULL);
	return rc;
}

static int build_transformed(const struct fit_job *job, int batch, bool train, struct graph *out)
{
	struct graph g;
	graph_init(&g);
	int rc = build(job, batch, train, &g);
	if (rc == 0)
		rc = job->transform(job->user, &g, train, out);
	graph_clear(&g);
	return rc;
}

static int build_train(void *user, int batch, struct graph *g)
{
	const struct fit_job *job = ((struct fit_state *)user)->job;
	return job->transform ? build_transformed(job, batch, true, g) : build(job, batch, true, g);
}

static int build_eval(void *user, int batch, struct graph *g)
{
	const struct fit_job *job = ((struct fit_state *)user)->job;
	return job->transform ? build_transformed(job, batch, false, g) : stage_model_build(job->model, batch, g);
}

static int bind(void *user, struct executor *train)
{
	return teacher_bind(&((struct fit_state *)user)->teacher, train);
}

static int before_forward(void *user, struct executor *train, const float *x, size_t bytes)
{
	(void)train;
	return teacher_forward(&((struct fit_state *)user)->teacher, x, bytes);
}

static int before_epoch(void *user, int64_t epoch)
{
	const struct fit_job *job = ((struct fit_state *)user)->job;
	return job->before_epoch(job->user, epoch);
}

/* OUT/logs/<stage>_training.csv */
static int log_path(const struct stage_run *run, char *path, size_t cap)
{
	char dir[1024], name[128];
	int rc = fs_join(dir, sizeof dir, run->out_dir, "logs");
	if (rc < 0 || (rc = fs_mkdirs(dir)) < 0)
		return rc;
	if (snprintf(name, sizeof name, "%s_training.csv", run->name) >= (int)sizeof name)
		return err_set(ERR_FAIL, "stage name '%.40s...' is too long", run->name);
	return fs_join(path, cap, dir, name);
}

int fit_run(struct fit_job *job, struct fit_report *out)
{
	struct stage_run *run = job->run;
	struct fit_state state = {.job = job};
	char path[1024];
	*out = (struct fit_report){0};
	int rc = log_path(run, path, sizeof path);
	if (rc < 0)
		return rc;
	bool teach = run->teacher_dir && job->train->epochs > 0;
	if (teach && (rc = teacher_open(&state.teacher, run, job->kd)) < 0)
		return rc;
	struct trainer t = {.o = job->train,
	    .data = run->data,
	    .augment = run->data_options ? &run->data_options->augment : NULL,
	    .stage = run->name,
	    .seed = run->seed,
	    .dev = run->train_dev,
	    .params = &job->model->params,
	    .build_train = build_train,
	    .build_eval = build_eval,
	    .bind = teach ? bind : NULL,
	    .before_forward = teach ? before_forward : NULL,
	    .before_epoch = job->before_epoch ? before_epoch : NULL,
	    .user = &state,
	    .log_path = path,
	    .progress = run->progress,
	    .stop = run->stop,
	    .min_best_epoch = job->min_best_epoch};
	if (teach)
		snprintf(out->teacher_sha256, sizeof out->teacher_sha256, "%s", state.teacher.model.ckpt.sha256);
	rc = trainer_fit(&t, &out->result);
	if (rc == 0)
		rc = trainer_evaluate(run->train_dev, &job->model->params, build_eval, &state, run->data, SPLIT_TRAIN,
		    run->stop, &out->train);
	teacher_close(&state.teacher);
	if (rc < 0)
		fit_report_clear(out);
	return rc;
}

void fit_report_clear(struct fit_report *r)
{
	train_result_clear(&r->result);
	metrics_clear(&r->train);
	*r = (struct fit_report){0};
}

int fit_save(struct fit_job *job, const char *kind, const struct option *table, struct stage_result *r,
    const struct fit_report *report)
{
	struct checkpoint *c = &job->model->ckpt;
	struct graph g;
	graph_init(&g);
	r->val = &report->result.best;
	r->train = &report->train;
	r->fit = &report->result;
	r->teacher_sha256 = report->teacher_sha256[0] ? report->teacher_sha256 : NULL;
	int rc = checkpoint_graph(c, 1, false, &g);
	if (rc == 0)
		rc = checkpoint_from_params(c, &g, &job->model->params);
	if (rc == 0)
		rc = stage_save(job->run, kind, table, r, c);
	graph_clear(&g);
	return rc;
}

int fit_new_model(struct stage_run *run, const char *kind, const char *technique, const struct option *table,
    const struct train_options *train, const struct kd_options *kd)
{
	struct stage_model model;
	struct fit_report report = {0};
	struct fit_job job = {.run = run, .train = train, .kd = kd, .model = &model};
	struct stage_result result = {.technique = technique, .started = clock_now()};
	int rc = stage_model_init(&model, run->spec, run->train_dev, run->seed);
	if (rc < 0)
		return rc;
	rc = fit_run(&job, &report);
	if (rc == 0)
		rc = fit_save(&job, kind, table, &result, &report);
	fit_report_clear(&report);
	stage_model_clear(&model);
	return rc;
}

/* Memory of one executor for the graph, without allocating its activations. */
static int plan_memory(const struct graph *g, struct device dev, enum exec_mode mode, struct executor_memory *m)
{
	struct param_store params;
	struct executor *ex = NULL;
	params_init(&params, dev);
	int rc = params_add_graph(&params, g, 0);
	if (rc == 0)
		rc = executor_create(&ex, g, &params, &(struct executor_options){.mode = mode});
	if (rc == 0)
		rc = executor_plan(ex, m);
	executor_free(ex);
	params_clear(&params);
	return rc;
}

int fit_plan(const struct stage_run *run, const struct model_spec *spec, const struct train_options *train,
    const struct kd_options *kd, struct stage_plan *p)
{
	int batch = (int)(train->batch_size / train->accumulate);
	double per_sample, n_train = (double)run->data->n[SPLIT_TRAIN], n_val = (double)run->data->n[SPLIT_VAL];
	struct graph g;
	p->spec = *spec;
	int rc = spec_build(&g, spec, batch);
	if (rc < 0)
		return rc;
	p->parameters = graph_parameters(&g);
	per_sample = (double)graph_macs(&g) / batch;
	/* backward costs about two forwards: one for the data's gradient, one for the weights' */
	p->macs = (double)train->epochs * per_sample * (3 * n_train + n_val) + per_sample * n_train;
	if (train->epochs > 0) {
		rc = add_loss(&g, train, kd);
		if (rc == 0)
			rc = precision_cast(train, &g);
		if (rc == 0)
			rc = plan_memory(&g, run->train_dev, EXEC_TRAIN, &p->memory);
	} else {
		rc = plan_memory(&g, run->train_dev, EXEC_INFER, &p->memory);
	}
	graph_clear(&g);
	return rc;
}
