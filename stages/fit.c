/* Graphs and hooks that connect a stage with the trainer, and the estimate of what training costs. */
#include "stages/fit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"

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

static int build(const struct fit_job *job, const struct build_shape *shape, bool train, struct graph *g)
{
	int rc = spec_build(g, &job->model->ckpt.spec, shape);
	if (!rc && train)
		rc = add_loss(g, job->train, job->run->teacher_dir ? job->kd : NULL);
	return rc;
}

static int build_transformed(const struct fit_job *job, const struct build_shape *shape, bool train, struct graph *out)
{
	struct graph g;
	graph_init(&g);
	int rc = build(job, shape, train, &g);
	if (!rc)
		rc = job->transform(job->user, &g, train, out);
	graph_clear(&g);
	return rc;
}

static int build_train(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct fit_job *job = ((struct fit_state *)user)->job;
	return job->transform ? build_transformed(job, shape, true, g) : build(job, shape, true, g);
}

static int build_eval(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct fit_job *job = ((struct fit_state *)user)->job;
	return job->transform ? build_transformed(job, shape, false, g) : stage_model_build(job->model, shape, g);
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

static int plan_teacher(void *user, const struct build_shape *micro, size_t *bytes)
{
	return teacher_plan(&((struct fit_state *)user)->teacher, micro, bytes);
}

/* What running and planning share: everything but the log and the teacher's hooks. */
static struct trainer make_trainer(struct fit_state *state)
{
	const struct fit_job *job = state->job;
	const struct stage_run *run = job->run;
	return (struct trainer){.o = job->train,
	    .data = run->data,
	    .augment = run->data_options ? &run->data_options->augment : NULL,
	    .stage = run->name,
	    .seed = run->seed,
	    .dev = run->train_dev,
	    .params = &job->model->params,
	    .build_train = build_train,
	    .build_eval = build_eval,
	    .before_epoch = job->before_epoch ? before_epoch : NULL,
	    .masks = job->masks,
	    .user = state,
	    .progress = run->progress,
	    .stop = run->stop,
	    .resume_path = run->resume_path,
	    .resume_key = run->key,
	    .resume_seconds = RESUME_SECONDS,
	    .min_best_epoch = job->min_best_epoch};
}

/* OUT/logs/<stage>_training.csv */
static int log_path(const struct stage_run *run, char *path, size_t cap)
{
	char dir[1024], name[128];
	int rc = fs_join(dir, sizeof(dir), run->out_dir, "logs");
	if (rc < 0 || (rc = fs_mkdirs(dir)) < 0)
		return rc;
	if (snprintf(name, sizeof(name), "%s_training.csv", run->name) >= (int)sizeof(name))
		return err_set(ERR_FAIL, "stage name '%.40s...' is too long", run->name);
	return fs_join(path, cap, dir, name);
}

int fit_run(struct fit_job *job, struct fit_report *out)
{
	struct stage_run *run = job->run;
	struct fit_state state = {.job = job};
	char path[1024];
	*out = (struct fit_report){0};
	int rc = log_path(run, path, sizeof(path));
	if (rc < 0)
		return rc;
	bool teach = run->teacher_dir && job->train->epochs > 0;
	const int64_t batch = job->train->batch_size, n = run->data->n[SPLIT_TRAIN];
	if (job->train->epochs > 0 && batch > n)
		stage_line(run,
		    "warning: batch_size %" PRId64 " is more than the %" PRId64 " training samples: an epoch is %.3g "
		    "passes over them",
		    batch, n, (double)batch / (double)n);
	if (teach && (rc = teacher_open(&state.teacher, run, job->kd)) < 0)
		return rc;
	struct trainer t = make_trainer(&state);
	t.bind = teach ? bind : NULL;
	t.before_forward = teach ? before_forward : NULL;
	t.plan = teach ? plan_teacher : NULL;
	t.log_path = path;
	if (teach)
		snprintf(out->teacher_sha256, sizeof(out->teacher_sha256), "%s", state.teacher.model.ckpt.sha256);
	rc = trainer_fit(&t, &out->result);
	run->earlier_seconds = out->result.earlier_seconds;
	if (!rc)
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
	int rc = checkpoint_graph(c, &shape_one, false, &g);
	if (!rc)
		rc = checkpoint_from_params(c, &g, &job->model->params);
	if (!rc)
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
	if (!rc)
		rc = fit_save(&job, kind, table, &result, &report);
	fit_report_clear(&report);
	stage_model_clear(&model);
	return rc;
}

/* Models without memory, as the executors' plans want them: the one to train, and the teacher. */
static int plan_models(struct fit_state *state)
{
	struct fit_job *job = state->job;
	struct stage_model *teacher = &state->teacher.model;
	struct graph g[3];
	int rc = 0;
	for (int i = 0; i < 3; i++)
		graph_init(&g[i]);
	params_init(&job->model->params, job->run->train_dev);
	params_init(&teacher->params, job->run->train_dev);
	if (job->train->epochs > 0)
		rc = build_train(state, &shape_one, &g[0]);
	if (!rc)
		rc = build_eval(state, &shape_one, &g[1]);
	if (!rc && job->run->teacher_spec) {
		teacher->ckpt = (struct checkpoint){.form = FORM_FLOAT};
		rc = spec_copy(&teacher->ckpt.spec, job->run->teacher_spec);
	}
	if (!rc && job->run->teacher_spec)
		rc = stage_model_build(teacher, &shape_one, &g[2]);
	for (int i = 0; i < 3; i++) {
		if (!rc)
			rc = params_plan_graph(i < 2 ? &job->model->params : &teacher->params, &g[i]);
		graph_clear(&g[i]);
	}
	return rc;
}

/* Whether there is room may change until the stage runs; then the trainer asks again. */
static int plan_memory(struct fit_state *state, struct stage_plan *p)
{
	const struct fit_job *job = state->job;
	struct trainer t = make_trainer(state);
	t.plan = job->run->teacher_spec && job->train->epochs > 0 ? plan_teacher : NULL;
	int rc = fit_memory_plan(&t, (int)(job->train->batch_size / job->train->accumulate), &p->fit);
	if (rc < 0)
		return rc;
	p->memory = p->fit.train;
	rc = fit_memory_check(&t, &p->fit);
	if (rc == ERR_NOMEM) {
		snprintf(p->no_room, sizeof(p->no_room), "%s", err_message());
		rc = 0;
	}
	return rc;
}

int fit_plan(
    const struct stage_run *run, const struct model_spec *spec, const struct fit_job *job, struct stage_plan *p)
{
	const struct train_options *train = job->train;
	struct stage_run own_run = *run;
	struct stage_model model = {.ckpt = {.form = FORM_FLOAT}};
	struct fit_job own = *job;
	struct fit_state state = {.job = &own};
	double per_sample, n_train = (double)run->data->n[SPLIT_TRAIN], n_val = (double)run->data->n[SPLIT_VAL];
	struct graph g;
	own.run = &own_run;
	own.model = &model;
	int rc = spec_build(&g, spec, &shape_one);
	if (rc < 0)
		return rc;
	p->parameters = graph_parameters(&g);
	per_sample = (double)graph_macs(&g);
	graph_clear(&g);
	/* backward costs about two forwards: one for the data's gradient, one for the weights' */
	p->macs = (double)train->epochs * per_sample * (3 * n_train + n_val) + per_sample * n_train;
	rc = spec_copy(&p->spec, spec);
	if (!rc)
		rc = spec_copy(&model.ckpt.spec, spec);
	if (!rc)
		rc = plan_models(&state);
	if (!rc)
		rc = plan_memory(&state, p);
	stage_model_clear(&state.teacher.model);
	stage_model_clear(&model);
	return rc;
}
