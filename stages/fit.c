/* Graphs and hooks that connect a stage with the trainer, and the estimate of what training costs. */
#include "stages/fit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "graph/spec.h"
#include "stages/common.h"

struct fit_context {
	struct fit_job *job;
	struct teacher teacher;
	const struct dataset *data; /* what is trained on: the run's, or */
	struct dataset joined;      /* with its transfer texts */
	bool teaches;               /* there is a teacher */
};

static int add_loss(const struct fit_job *job, struct graph *g)
{
	const struct task *task = &job->model->ckpt.task;
	struct task_loss loss = {.smoothing = (float)job->train->label_smoothing};
	if (job->run->teacher_dir && job->kd)
		loss = (struct task_loss){
		    .distilled = true, .temperature = (float)job->kd->temperature, .alpha = (float)job->kd->alpha};
	int rc = task->kind->add_loss(g, &loss);
	return rc || !train_mixes(job->train, task) ? rc : graph_mix_loss(g);
}

static int build(const struct fit_context *context, const struct build_shape *shape, bool train, struct graph *g)
{
	const struct fit_job *job = context->job;
	const struct model_spec *spec = &job->model->ckpt.spec;
	const struct kd_terms *terms = &context->teacher.terms;
	int rc = spec_build(g, spec, shape);
	if (!rc && train)
		rc = add_loss(job, g);
	for (int i = 0; !rc && train && i < terms->n; i++)
		rc = layer_loss_add(g, spec, &terms->item[i]);
	return rc;
}

static int build_transformed(
    const struct fit_context *context, const struct build_shape *shape, bool train, struct graph *out)
{
	const struct fit_job *job = context->job;
	struct graph g;
	graph_init(&g);
	int rc = build(context, shape, train, &g);
	if (!rc)
		rc = job->transform(job->user, &g, train, out);
	graph_clear(&g);
	return rc;
}

static int build_train(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct fit_context *context = user;
	return context->job->transform ? build_transformed(context, shape, true, g) : build(context, shape, true, g);
}

static int build_eval(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct fit_context *context = user;
	return context->job->transform ? build_transformed(context, shape, false, g)
				       : model_build(context->job->model, shape, g);
}

static int bind(void *user, struct executor *train)
{
	return teacher_bind(&((struct fit_context *)user)->teacher, train);
}

static int before_forward(void *user, struct executor *train, const struct train_batch *batch)
{
	return teacher_forward(&((struct fit_context *)user)->teacher, train, batch);
}

static int before_epoch(void *user, int64_t epoch)
{
	const struct fit_job *job = ((struct fit_context *)user)->job;
	int rc = 0;
	if (job->early && epoch == job->early->epoch)
		rc = early_take(job->early, &job->model->params);
	return rc || !job->before_epoch ? rc : job->before_epoch(job->user, epoch);
}

static int before_step(void *user)
{
	const struct fit_steps *steps = ((struct fit_context *)user)->job->steps;
	return steps->before(steps->user);
}

static int after_step(void *user, struct executor *train, double lr)
{
	const struct fit_steps *steps = ((struct fit_context *)user)->job->steps;
	return steps->after(steps->user, train, lr);
}

/* Called for several sizes: each has a session of its own. */
static int plan_teacher(void *user, int micro, struct train_extra *out)
{
	struct fit_context *context = user;
	const struct fit_job *job = context->job;
	struct teacher *t = &context->teacher;
	if (t->logits.row)
		return 0;
	session_close(&t->session);
	encoding_close(&t->samples);
	int rc = teacher_prepare(t, context->data, &job->model->ckpt.adapter, micro);
	return rc ? rc : teacher_plan(t, out);
}

/* What the hooks, and whoever trains in the trainer's place, will hold. */
static int plan_extra(void *user, int micro, struct train_extra *out)
{
	struct fit_context *context = user;
	const struct fit_steps *steps = context->job->steps;
	out->host += context->job->host_bytes + (steps ? steps->host_bytes : 0);
	return context->teaches ? plan_teacher(user, micro, out) : 0;
}

/* What running and planning share: everything but the log and the teacher's hooks. */
static struct trainer make_trainer(struct fit_context *context)
{
	const struct fit_job *job = context->job;
	const struct stage_run *run = job->run;
	return (struct trainer){.o = job->train,
	    .ranks = job->fit ? NULL : run->ranks,
	    .processes = run->ranks ? run->ranks->local_n : 1,
	    .data = context->data,
	    .adapter = &job->model->ckpt.adapter,
	    .task = &job->model->ckpt.task,
	    .augment = run->data_options ? &run->data_options->augment : NULL,
	    .stage = run->name,
	    .seed = run->seed,
	    .dev = run->train_dev,
	    .params = &job->model->params,
	    .build_train = build_train,
	    .build_eval = build_eval,
	    .before_epoch = job->before_epoch || job->early ? before_epoch : NULL,
	    .beside = job->early   ? &job->early->tensors
		      : job->steps ? job->steps->beside
				   : NULL,
	    .before_step = job->steps ? before_step : NULL,
	    .after_step = job->steps ? after_step : NULL,
	    .masks = job->masks,
	    .in_parts = job->fit != NULL,
	    .user = context,
	    .progress = run->progress,
	    .stop = run->stop,
	    .resume_path = run->resume_path,
	    .resume_key = run->key,
	    .resume_note = job->resume_note,
	    .resume_seconds = run->state_seconds > 0 ? run->state_seconds : RESUME_SECONDS,
	    .min_best_epoch = job->without_labels ? job->train->epochs - 1 : job->min_best_epoch};
}

/* OUT/logs/<stage>_training.csv */
static int log_path(const struct stage_run *run, char *path, size_t cap)
{
	char dir[1024], name[128];
	int rc = fs_join(dir, sizeof(dir), run->out_dir, "logs");
	if (!rc)
		rc = fs_mkdirs(dir);
	if (rc)
		return rc;
	if (snprintf(name, sizeof(name), "%s_training.csv", run->name) >= (int)sizeof(name))
		return err_set(ERR_FAIL, "stage name '%.40s...' is too long", run->name);
	return fs_join(path, cap, dir, name);
}

/* Where the task searches thresholds, the figures of the best weights become those with the thresholds found. */
static int choose_thresholds(struct fit_context *context, struct train_result *result)
{
	struct fit_job *job = context->job;
	struct metrics m;
	if (!job->model->ckpt.task.search)
		return 0;
	int rc = stage_validate(job->run, job->model, build_eval, context, &m);
	if (rc)
		return rc;
	rc = metrics_copy(&result->best, &m);
	metrics_clear(&m);
	return rc;
}

/* What is trained on. */
static int join_data(struct fit_context *context)
{
	const struct stage_run *run = context->job->run;
	char text[320];
	context->data = run->data;
	if (!run->transfer || context->job->train->epochs < 1)
		return 0;
	int rc = dataset_join_transfer(&context->joined, run->data, run->transfer);
	if (rc)
		return rc;
	context->data = &context->joined;
	transfer_words(run->transfer, text, sizeof(text));
	stage_line(run, "%s%s", run->transfer->in_split[SPLIT_TEST] ? "warning: " : "", text);
	return 0;
}

static void note_batch(const struct fit_context *context)
{
	const struct stage_run *run = context->job->run;
	const struct train_options *o = context->job->train;
	const int64_t batch = o->batch_size, n = context->data->n[SPLIT_TRAIN];
	/* Clients of a federation have batches of their own. */
	if (o->epochs > 0 && batch > n && !context->job->fit)
		stage_line(run,
		    "warning: batch_size %" PRId64 " is more than the %" PRId64 " training samples: an epoch is %.3g "
		    "passes over them",
		    batch, n, (double)batch / (double)n);
}

/* Params that only the training graph has, such as projections, begin with the stage and end with it: a checkpoint
 * holds those of the model's own graph. */
static int add_params(struct fit_context *context)
{
	struct graph g;
	graph_init(&g);
	int rc = build_train(context, &shape_one, &g);
	if (!rc)
		rc = params_add_graph(&context->job->model->params, &g, context->job->run->seed);
	graph_clear(&g);
	return rc;
}

static int open_teacher(struct fit_context *context)
{
	const struct fit_job *job = context->job;
	struct teacher *t = &context->teacher;
	int rc = teacher_open(t, job->run, job->kd);
	if (!rc)
		rc = teacher_compare(t, job->kd, &job->model->ckpt);
	if (!rc)
		rc = teacher_schedule(t, job->kd, job->train, job->run, context->data);
	if (!rc)
		rc = teacher_prepare(t, context->data, &job->model->ckpt.adapter,
		    (int)(job->train->batch_size / job->train->accumulate));
	if (!rc)
		rc = teacher_remember(t, job->kd, job->run, context->data);
	return rc || !t->terms.n ? rc : add_params(context);
}

static int train(struct fit_context *context, const struct trainer *planned, struct train_result *out)
{
	struct trainer t = *planned;
	struct task *task = &context->job->model->ckpt.task;
	float *weight = task->weight;
	if (context->job->without_labels)
		task->weight = NULL;
	const struct fit_job *job = context->job;
	int rc = job->fit ? job->fit(job->user, &t, out) : trainer_fit(&t, out);
	task->weight = weight;
	return rc;
}

int fit_run(struct fit_job *job, struct fit_report *out)
{
	struct stage_run *run = job->run;
	struct fit_context context = {.job = job};
	char path[1024];
	*out = (struct fit_report){0};
	int rc = log_path(run, path, sizeof(path));
	if (rc)
		return rc;
	bool teach = run->teacher_dir && job->train->epochs > 0;
	rc = join_data(&context);
	if (rc)
		goto out;
	if (!job->again)
		note_batch(&context);
	if (teach) {
		rc = open_teacher(&context);
		if (rc)
			goto out;
	}
	struct trainer t = make_trainer(&context);
	t.bind = teach ? bind : NULL;
	t.before_forward = teach ? before_forward : NULL;
	context.teaches = teach;
	t.plan = plan_extra;
	t.log_path = ranks_lead(run->ranks) ? path : NULL;
	if (teach)
		snprintf(out->teacher_sha256, sizeof(out->teacher_sha256), "%s", context.teacher.model.ckpt.sha256);
	rc = train(&context, &t, &out->result);
	run->earlier_seconds = out->result.earlier_seconds;
	if (!rc)
		rc = choose_thresholds(&context, &out->result);
	if (!rc)
		rc = stage_measure(run, job->model, build_eval, &context, SPLIT_TRAIN, &out->train);
out:
	teacher_close(&context.teacher);
	dataset_leave_transfer(&context.joined);
	if (rc)
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
	if (!rc && job->early)
		rc = early_save(job->early, job->run->out_dir, &c->info);
	if (!rc)
		rc = stage_save(job->run, kind, table, r, c);
	graph_clear(&g);
	return rc;
}

/* Says what the model begins with. */
static int begin_with(struct fit_job *job)
{
	const struct stage_run *run = job->run;
	struct checkpoint c;
	bool head;
	int rc = checkpoint_load(&c, run->pretrained_dir);
	if (rc)
		return rc;
	rc = stage_check_planned(run, run->pretrained_dir, &c);
	if (!rc)
		rc = stage_warn_of(run, &c, run->pretrained_dir);
	if (!rc)
		rc = model_begin_with(job->model, &c, &head, &job->masks);
	checkpoint_clear(&c);
	if (!rc)
		stage_line(run, "the weights of %s, %s", run->pretrained_dir,
		    head ? "its classifier too: it knows the same classes" : "with a new classifier");
	return rc;
}

int fit_new_model(struct stage_run *run, const struct fit_new *n)
{
	struct model model;
	struct fit_report report = {0};
	struct fit_job job = {.run = run,
	    .train = n->train,
	    .kd = n->kd,
	    .model = &model,
	    .fit = n->fit,
	    .user = n->user,
	    .host_bytes = n->host_bytes,
	    .early = n->early};
	struct stage_result result = {.technique = n->technique, .started = clock_now()};
	int rc = model_init(&model, run->spec, run->adapter, run->task, run->train_dev, run->seed);
	if (rc)
		return rc;
	if (run->pretrained_dir)
		rc = begin_with(&job);
	if (!rc && n->start)
		rc = n->start(run, &model);
	if (!rc)
		rc = fit_run(&job, &report);
	if (!rc)
		rc = fit_save(&job, n->kind, n->table, &result, &report);
	fit_report_clear(&report);
	model_clear(&model);
	return rc;
}

/* The teacher without weights. */
static int plan_teacher_model(struct fit_context *context)
{
	const struct fit_job *job = context->job;
	struct checkpoint *c = &context->teacher.model.ckpt;
	*c = (struct checkpoint){.form = job->run->teacher_values == VALUES_FLOAT ? FORM_FLOAT : FORM_INTEGER};
	int rc = spec_copy(&c->spec, job->run->teacher_spec);
	if (!rc)
		rc = adapter_copy(&c->adapter, job->run->teacher_adapter);
	if (!rc && job->kd)
		rc = teacher_compare(&context->teacher, job->kd, &job->model->ckpt);
	c->form = FORM_FLOAT; /* its memory is estimated by the graph that it was made from */
	if (!rc && job->kd && job->train->epochs > 0)
		rc = teacher_schedule(&context->teacher, job->kd, job->train, job->run, context->data);
	return rc;
}

/* Models without memory, as the executors' plans want them: the one to train, and the teacher. */
static int plan_models(struct fit_context *context)
{
	struct fit_job *job = context->job;
	struct model *teacher = &context->teacher.model;
	struct graph g[3];
	int rc = 0;
	for (int i = 0; i < 3; i++)
		graph_init(&g[i]);
	params_init(&job->model->params, job->run->train_dev);
	params_init(&teacher->params, job->run->train_dev);
	if (job->run->teacher_spec)
		rc = plan_teacher_model(context);
	if (!rc && job->train->epochs > 0)
		rc = build_train(context, &shape_one, &g[0]);
	if (!rc)
		rc = build_eval(context, &shape_one, &g[1]);
	if (!rc && job->run->teacher_spec)
		rc = model_build(teacher, &shape_one, &g[2]);
	for (int i = 0; i < 3; i++) {
		if (!rc)
			rc = params_plan_graph(i < 2 ? &job->model->params : &teacher->params, &g[i]);
		graph_clear(&g[i]);
	}
	return rc;
}

/* Whether there is room may change until the stage runs; then the trainer asks again. */
static int plan_memory(struct fit_context *context, struct stage_plan *p)
{
	const struct fit_job *job = context->job;
	const struct adapter *adapter = &job->model->ckpt.adapter;
	struct encoding train = {0}, val = {0};
	struct trainer t = make_trainer(context);
	context->teaches = job->run->teacher_spec && job->train->epochs > 0;
	t.plan = plan_extra;
	int rc = trainer_check(&t);
	if (!rc && job->kd && job->run->teacher_spec)
		rc = kd_task_check(job->kd, t.task);
	if (!rc)
		rc = encoding_open(&train, adapter, context->data, SPLIT_TRAIN);
	if (!rc)
		rc = encoding_open(&val, adapter, job->run->data, SPLIT_VAL);
	if (!rc) {
		fit_note_samples(&t, &train);
		fit_note_samples(&t, &val);
	}
	const int micro = (int)(job->train->batch_size / job->train->accumulate);
	if (!rc)
		rc = fit_check_norms(&t, micro, &train);
	if (!rc)
		rc = fit_memory_plan(&t, micro, &train, &val, &p->fit);
	if (!rc)
		rc = fit_memory_check(&t, &train, &val, &p->fit);
	p->memory = p->fit.train;
	if (rc == ERR_NOMEM && p->fit.total) {
		snprintf(p->no_room, sizeof(p->no_room), "%s", err_message());
		rc = 0;
	}
	encoding_close(&train);
	encoding_close(&val);
	return rc;
}

int fit_plan(
    const struct stage_run *run, const struct model_spec *spec, const struct fit_job *job, struct stage_plan *p)
{
	const struct train_options *train = job->train;
	struct stage_run own_run = *run;
	struct model model = {.ckpt = {.form = FORM_FLOAT}};
	struct fit_job own = *job;
	struct fit_context context = {.job = &own};
	double per_sample, n_train = (double)run->data->n[SPLIT_TRAIN], n_val = (double)run->data->n[SPLIT_VAL];
	struct graph g;
	own.run = &own_run;
	own.model = &model;
	int rc = spec_build(&g, spec, &shape_one);
	if (rc)
		return rc;
	p->parameters = graph_parameters(&g);
	per_sample = (double)graph_macs(&g);
	graph_clear(&g);
	rc = join_data(&context);
	if (rc)
		return rc;
	note_batch(&context);
	/* backward costs about two forwards: one for the data's gradient, one for the weights' */
	p->macs = (double)train->epochs * per_sample * (3 * (double)context.data->n[SPLIT_TRAIN] + n_val) +
		  per_sample * n_train;
	rc = spec_copy(&p->spec, spec);
	if (!rc && run->pretrained_masks)
		rc = mask_forecast_copy(&p->masks, run->pretrained_masks);
	if (!rc)
		rc = spec_copy(&model.ckpt.spec, spec);
	if (!rc)
		rc = adapter_copy(&model.ckpt.adapter, run->adapter);
	if (!rc)
		rc = task_copy(&model.ckpt.task, run->task);
	if (!rc)
		rc = plan_models(&context);
	if (!rc)
		rc = plan_memory(&context, p);
	teacher_close(&context.teacher);
	dataset_leave_transfer(&context.joined);
	model_clear(&model);
	return rc;
}
