/* The training loop. It knows graphs, executors and data, and nothing of what is trained: distillation, pruning ramps
 * and quantization-aware training come in through the graph builders and the hooks.
 *
 * The host does not wait for the device in a step: losses and norms are read some steps later, and a step whose loss or
 * gradient turns out not to be finite is run again, on the same weights (update_state.h), to say where it happened.
 *
 * Between two steps the whole state can be saved and loaded (resume.c).
 *
 * The sampler gives the order, schedule.c the learning rate, evaluate.c the validation, fit_log.c what is written. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "exec/memory.h"
#include "train/fit_memory.h"
#include "train/fit_state.h"
#include "train/precision.h"

static int make_buffers(struct fit *f)
{
	const struct dataset *d = f->t->data;
	size_t n = (size_t)f->micro, pixels = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
	f->index = mem_alloc(n, sizeof(*f->index));
	f->x = mem_alloc(n * pixels, sizeof(*f->x));
	f->labels = mem_alloc(n, sizeof(*f->labels));
	f->weight = mem_alloc(n, sizeof(*f->weight));
	f->x_bytes = n * pixels * sizeof(*f->x);
	if (!f->index || !f->x || !f->labels || !f->weight)
		return ERR_NOMEM;
	/* Every sample weighs 1/effective batch, so that micro-batches add up to the mean of the whole. */
	for (size_t i = 0; i < n; i++)
		f->weight[i] = 1.0f / (float)f->batch;
	return 0;
}

static int make_train_executor(struct fit *f)
{
	const struct trainer *t = f->t;
	const struct executor_options o = {.mode = EXEC_TRAIN, .seed = t->seed, .stage = t->stage, .arena = &f->arena};
	struct graph g;
	int rc;
	graph_init(&g);
	rc = fit_graph(t, f->micro, &g);
	if (!rc)
		rc = executor_create(&f->ex, &g, t->params, &o);
	if (!rc && t->bind)
		rc = t->bind(t->user, f->ex);
	if (!rc)
		rc = executor_prepare(f->ex);
	for (int i = 0; !rc && i < g.n; i++) {
		struct param *unused;
		if (g.node[i].op == OP_PARAM)
			rc = params_add(&f->best_params, g.node[i].name, g.node[i].dtype, g.node[i].shape, &unused);
	}
	if (!rc)
		f->loss = executor_graph(f->ex)->node[g.loss].name;
	graph_clear(&g);
	return rc;
}

static int make_optimizer(struct fit *f)
{
	const struct train_options *o = f->t->o;
	const struct update_args args = {.kind = (enum optimizer_kind)o->optimizer,
	    .beta1 = (float)o->beta1,
	    .beta2 = (float)o->beta2,
	    .eps = (float)o->eps,
	    .weight_decay = (float)o->weight_decay,
	    .momentum = (float)o->momentum,
	    .nesterov = o->nesterov,
	    .clip_norm = (float)o->clip_norm};
	int rc = 0;
	optimizer_init(&f->opt, f->t->params, &args);
	if (o->precision == PRECISION_FP16) {
		rc = optimizer_scale_loss(&f->opt);
		if (!rc)
			rc = executor_scale_loss(f->ex, f->opt.args.state);
	}
	return rc;
}

static int fit_init(struct fit *f, const struct trainer *t)
{
	const struct dataset *d = t->data;
	struct fit_memory memory;
	int rc;
	f->t = t;
	params_init(&f->best_params, t->dev);
	readback_init(&f->readback, t->dev);
	exec_arena_init(&f->arena, t->dev);
	if (t->params->dev.backend != t->dev.backend || t->params->dev.ctx != t->dev.ctx)
		return err_set(ERR_FAIL, "the params to train are on another device");
	rc = train_options_check(t->o, NULL);
	if (rc)
		return rc;
	if (d->n[SPLIT_TRAIN] < 1 || !d->pixels[SPLIT_TRAIN])
		return err_set(ERR_DATA, "the training split is empty or not loaded");
	if (t->o->epochs > 0 && t->min_best_epoch >= t->o->epochs)
		return err_set(ERR_CONFIG,
		    "none of the %" PRId64 " epochs may be the best one: the first that may is %" PRId64, t->o->epochs,
		    t->min_best_epoch + 1);
	f->batch = (int)t->o->batch_size;
	f->micro = (int)(t->o->batch_size / t->o->accumulate);
	f->steps_per_epoch = (d->n[SPLIT_TRAIN] + f->batch - 1) / f->batch;
	f->total = f->steps_per_epoch * t->o->epochs;
	f->fill = (struct batch_fill){.data = d,
	    .split = SPLIT_TRAIN,
	    .augment = t->o->augment ? t->augment : NULL,
	    .seed = t->seed,
	    .stage = t->stage};
	rc = fit_memory_plan(t, f->micro, &memory);
	if (!rc)
		rc = fit_memory_check(t, &memory);
	if (!rc)
		rc = evaluator_init(&f->eval, t->params, t->build_eval, t->user, d, SPLIT_VAL, &f->arena);
	if (!rc)
		rc = metrics_init(&f->now, d->classes);
	if (rc || t->o->epochs == 0)
		return rc;
	rc = make_buffers(f);
	if (!rc)
		rc = sampler_init(&f->sampler, t->seed, t->stage, d->n[SPLIT_TRAIN]);
	if (!rc)
		rc = make_train_executor(f);
	if (!rc)
		rc = make_optimizer(f);
	if (!rc)
		precision_note(t->o, t->dev, t->progress);
	return rc ? rc : fit_log_open(&f->log, t, f->total);
}

static void fit_clear(struct fit *f)
{
	fit_log_close(&f->log);
	optimizer_clear(&f->opt);
	executor_free(f->ex);
	evaluator_clear(&f->eval);
	exec_arena_clear(&f->arena);
	params_clear(&f->best_params);
	metrics_clear(&f->now);
	sampler_clear(&f->sampler);
	mem_free(f->index);
	mem_free(f->x);
	mem_free(f->labels);
	mem_free(f->weight);
}

int fit_give_micro(struct fit *f, int m)
{
	const struct trainer *t = f->t;
	uint64_t step = (uint64_t)f->step, first = (uint64_t)m * (uint64_t)f->micro;
	int rc = sampler_take(&f->sampler, f->step * f->batch + (int64_t)first, f->micro, f->index);
	if (!rc)
		rc = batch_fill(&f->fill, f->index, f->micro, step, first, f->x, f->labels);
	if (!rc)
		rc = executor_input(f->ex, "input", f->x, f->x_bytes);
	if (!rc)
		rc = executor_input(f->ex, "labels", f->labels, (size_t)f->micro * sizeof(*f->labels));
	executor_set_clock(f->ex, step, first);
	if (!rc && t->before_forward)
		rc = t->before_forward(t->user, f->ex, f->x, f->x_bytes);
	return rc;
}

static int read_loss(struct fit *f, const struct reading *r)
{
	float loss;
	memcpy(&loss, r->value, sizeof(loss));
	f->loss_sum += (double)loss;
	return isfinite(loss) ? 0 : fit_explain(f, r, (double)loss);
}

static int read_state(struct fit *f, const struct reading *r)
{
	int64_t epoch = r->step / f->steps_per_epoch;
	struct update_state s;
	int rc = 0;
	memcpy(&s, r->value, sizeof(s));
	if (s.halted)
		rc = fit_explain(f, r, s.norm);
	if (rc && s.dynamic)
		return err_context(rc, "precision fp16: the loss scale has fallen to %g", (double)LOSS_SCALE_LEAST);
	if (!rc)
		fit_log_step(&f->log, epoch, r->step + 1, f->loss_sum / (double)(r->step % f->steps_per_epoch + 1));
	return rc;
}

/* Reads what is on its way until no more than `left` readings are. */
static int drain(struct fit *f, int left)
{
	int rc = 0;
	while (!rc && f->readback.n > left) {
		struct reading r;
		rc = readback_pop(&f->readback, &r);
		if (!rc)
			rc = r.what == READ_LOSS ? read_loss(f, &r) : read_state(f, &r);
	}
	return rc;
}

static float rate_at(const struct fit *f, int64_t step)
{
	const struct train_options *o = f->t->o;
	return (float)schedule_rate((enum schedule_kind)o->schedule, o->lr, o->warmup, step, f->total);
}

static int run_step(struct fit *f)
{
	const struct train_options *o = f->t->o;
	int rc = 0;
	if (f->t->stop && *f->t->stop)
		return ERR_INTERRUPTED; /* said by interrupted */
	f->opt.args.lr = rate_at(f, f->step);
	for (int m = 0; !rc && m < (int)o->accumulate; m++) {
		bool last = m == (int)o->accumulate - 1;
		rc = fit_give_micro(f, m);
		if (!rc)
			rc = executor_step(f->ex, m > 0, last ? &f->opt : NULL);
		if (!rc)
			rc = drain(f, READBACK_DEPTH - 2);
		if (!rc)
			rc = executor_fetch(f->ex, f->loss, &f->readback, READ_LOSS, f->step);
		if (!rc && last)
			rc = optimizer_fetch_state(&f->opt, &f->readback, READ_STATE, f->step);
	}
	f->step++;
	return rc;
}

/* Whether the metrics a are better than b by the monitored figure; ties go to the lower loss. */
static bool is_better(enum train_monitor by, const struct metrics *a, const struct metrics *b)
{
	double x = by == MONITOR_F1_MACRO ? a->f1_macro : a->accuracy;
	double y = by == MONITOR_F1_MACRO ? b->f1_macro : b->accuracy;
	if (by == MONITOR_LOSS || !(x < y || x > y))
		return a->loss < b->loss;
	return x > y;
}

static int copy_metrics(struct metrics *to, const struct metrics *from)
{
	size_t c = (size_t)from->classes;
	struct metrics copy;
	if (to->classes != from->classes) {
		int rc = metrics_init(to, from->classes);
		if (rc)
			return rc;
	}
	copy = *from;
	copy.confusion = memcpy(to->confusion, from->confusion, c * c * sizeof(*from->confusion));
	copy.precision = memcpy(to->precision, from->precision, c * sizeof(*from->precision));
	copy.recall = memcpy(to->recall, from->recall, c * sizeof(*from->recall));
	copy.f1 = memcpy(to->f1, from->f1, c * sizeof(*from->f1));
	*to = copy;
	return 0;
}

static int keep_if_best(struct fit *f, int64_t epoch, struct train_result *out)
{
	int rc;
	if (epoch < f->t->min_best_epoch)
		return 0;
	f->bad_epochs++;
	if (f->has_best && !is_better((enum train_monitor)f->t->o->monitor, &f->now, &out->best))
		return 0;
	rc = params_copy(&f->best_params, f->t->params);
	if (!rc)
		rc = copy_metrics(&out->best, &f->now);
	f->has_best = true;
	f->bad_epochs = 0;
	out->best_epoch = epoch + 1;
	return rc;
}

/* Counts the time since the last call as time of training steps. */
static void count_time(struct fit *f)
{
	double now = clock_now();
	f->train_seconds += now - f->counted;
	f->epoch_seconds += now - f->counted;
	f->counted = now;
}

/* A state that cannot be written is no reason to end what it is the state of. */
static int keep_state(struct fit *f, const struct train_result *out)
{
	char line[512];
	int rc = resume_save(f, out);
	f->saved = clock_now();
	if (rc != ERR_IO)
		return rc;
	snprintf(line, sizeof(line), "warning: %s; the training goes on", err_message());
	if (f->t->progress && f->t->progress->line)
		f->t->progress->line(f->t->progress, line);
	return 0;
}

/* To the end of the epoch. The validation before it has used the memory of the inputs: those that stay the same are
 * given again. */
static int run_steps(struct fit *f, int64_t epoch, const struct train_result *out)
{
	int rc = executor_input(f->ex, "weight", f->weight, (size_t)f->micro * sizeof(*f->weight));
	while (!rc && f->step < (epoch + 1) * f->steps_per_epoch) {
		rc = run_step(f);
		if (rc || !f->t->resume_path || clock_now() - f->saved < f->t->resume_seconds)
			continue;
		rc = drain(f, 0);
		count_time(f);
		if (!rc)
			rc = keep_state(f, out);
	}
	return rc ? rc : drain(f, 0);
}

static int validate(struct fit *f, int64_t epoch)
{
	int rc = evaluator_run(&f->eval, f->t->stop, &f->now);
	return rc && rc != ERR_INTERRUPTED ? err_context(rc, "epoch %" PRId64, epoch + 1) : rc;
}

static int run_epoch(struct fit *f, int64_t epoch, struct train_result *out)
{
	bool begins = f->step == epoch * f->steps_per_epoch;
	f->counted = clock_now();
	int rc = begins && f->t->before_epoch ? f->t->before_epoch(f->t->user, epoch) : 0;
	if (begins)
		f->loss_sum = f->epoch_seconds = 0;
	rc = rc ? rc : run_steps(f, epoch, out);
	count_time(f);
	if (!rc)
		rc = validate(f, epoch);
	f->epoch_seconds += clock_now() - f->counted;
	if (rc)
		return rc;
	out->train_loss = f->loss_sum / (double)f->steps_per_epoch;
	out->epochs_run = f->epochs_done = epoch + 1;
	rc = keep_if_best(f, epoch, out);
	if (rc)
		return rc;
	return fit_log_epoch(&f->log, &(struct fit_row){.epoch = epoch + 1,
					  .train_loss = out->train_loss,
					  .val = &f->now,
					  .lr = (double)rate_at(f, f->step - 1),
					  .seconds = f->epoch_seconds,
					  .best = out->best_epoch == epoch + 1});
}

/* The state of the moment is kept, if there is a place for it; the error stays that of the interruption. */
static int interrupted(struct fit *f, const struct train_result *out)
{
	int rc;
	if (!f->t->resume_path)
		return err_set(ERR_INTERRUPTED, "interrupted");
	rc = drain(f, 0);
	if (!rc)
		rc = resume_save(f, out);
	if (rc)
		return err_context(rc, "interrupted");
	return err_set(ERR_INTERRUPTED,
	    "interrupted in epoch %" PRId64 " after step %" PRId64 "; the same run goes on from there",
	    f->epochs_done + 1, f->step);
}

static bool is_complete(const struct fit *f)
{
	const struct train_options *o = f->t->o;
	return f->epochs_done >= o->epochs || (o->patience > 0 && f->bad_epochs >= o->patience);
}

static int run_all(struct fit *f, struct train_result *out)
{
	const struct train_options *o = f->t->o;
	int rc = 0;
	if (o->epochs == 0) {
		rc = evaluator_run(&f->eval, f->t->stop, &f->now);
		return rc ? rc : copy_metrics(&out->best, &f->now);
	}
	while (!rc && !is_complete(f))
		rc = run_epoch(f, f->epochs_done, out);
	if (rc == ERR_INTERRUPTED)
		rc = interrupted(f, out);
	if (!rc && f->t->resume_path && clock_now() - f->saved >= RESUME_END_SECONDS)
		rc = keep_state(f, out);
	return rc ? rc : params_copy(f->t->params, &f->best_params);
}

static int result_scale(const struct fit *f, struct train_result *out)
{
	struct update_state s;
	int rc = f->opt.scaled ? optimizer_read_state(&f->opt, &s) : 0;
	if (rc || !f->opt.scaled)
		return rc;
	out->loss_scale = (double)s.scale;
	out->skipped_steps = s.skipped;
	return 0;
}

static int result_memory(const struct fit *f, struct train_result *out)
{
	struct executor_memory train = {0}, validation;
	int rc = executor_plan(f->eval.ex, &validation);
	if (!rc && f->ex)
		rc = executor_plan(f->ex, &train);
	out->memory = (f->ex ? memory_executor(&train) : 0) + memory_beside(&train, &validation);
	return rc;
}

/* From the state of an interrupted fit, if there is one. */
static int resume_fit(struct fit *f, struct train_result *out)
{
	char line[128];
	int rc = f->t->resume_path ? resume_load(f, out) : 0;
	if (rc != 1)
		return rc;
	if (is_complete(f))
		snprintf(line, sizeof(line), "going on after its training, which was complete");
	else
		snprintf(line, sizeof(line), "going on in epoch %" PRId64 " after step %" PRId64 " of %" PRId64,
		    f->epochs_done + 1, f->step, f->total);
	if (f->t->progress && f->t->progress->line)
		f->t->progress->line(f->t->progress, line);
	return 0;
}

int trainer_fit(struct trainer *t, struct train_result *out)
{
	struct fit f = {.start = clock_now()};
	int rc;
	f.saved = f.start;
	*out = (struct train_result){0};
	rc = fit_init(&f, t);
	if (!rc && f.ex)
		rc = resume_fit(&f, out);
	if (!rc)
		rc = run_all(&f, out);
	if (rc)
		goto out;
	out->steps = f.step;
	out->precision = t->o->precision;
	out->seconds = f.earlier_seconds + clock_now() - f.start;
	out->earlier_seconds = f.earlier_seconds;
	out->samples_per_second = f.train_seconds > 0 ? (double)(f.step * f.batch) / f.train_seconds : 0;
	rc = result_memory(&f, out);
	if (!rc)
		rc = result_scale(&f, out);
out:
	fit_clear(&f);
	if (rc)
		train_result_clear(out);
	return rc;
}

void train_result_clear(struct train_result *r)
{
	metrics_clear(&r->best);
	*r = (struct train_result){0};
}
