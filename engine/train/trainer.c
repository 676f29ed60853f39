/* The training loop. It knows graphs, executors and data, and nothing of what is trained: distillation, pruning ramps
 * and quantization-aware training come in through the graph builders and the hooks.
 *
 * The host does not wait for the device in a step: losses and norms are read some steps later, and a step whose loss or
 * gradient turns out not to be finite is run again, on the same weights (update_state.h), to say where it happened.
 *
 * Between two steps the whole state can be saved and loaded (resume.c).
 *
 * Several processes share the micro-batches of a step (fit_ranks.c). fit_init.c makes what a training needs.
 *
 * The sampler gives the order, encodings the inputs, the task the targets, schedule.c the learning rate, a session the
 * validation, fit_log.c what is written. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "train/fit_memory.h"
#include "train/fit_state.h"

/* Samples first .. first + count - 1 of the training's order, as the split counts them. */
static int take_samples(struct fit *f, int64_t first, int count, uint32_t *index)
{
	const struct train_part *part = f->t->part;
	int rc = sampler_take(&f->sampler, first, count, index);
	for (int i = 0; part && !rc && i < count; i++)
		index[i] = part->sample[index[i]];
	return rc;
}

/* Who is mixed with whom in this step. */
static int draw_mixing(struct fit *f)
{
	const struct trainer *t = f->t;
	if (!f->mixing.count || f->mixed_step == f->step)
		return 0;
	mixing_draw(&f->mixing, t->task->mixup, t->seed, t->stage, (uint64_t)f->step);
	f->augmentation.mixing = &f->mixing;
	f->mixed_step = f->step;
	return take_samples(f, f->step * f->batch, f->batch, f->mixing.sample);
}

/* The sum of the samples' weights over the whole effective batch: with it, micro-batches add up to the weighted mean.
 */
static int batch_weight(struct fit *f, float *sum)
{
	const struct trainer *t = f->t;
	*sum = (float)f->batch;
	if (!task_is_weighted(t->task))
		return 0;
	int rc = take_samples(f, f->step * f->batch, f->batch, f->all);
	*sum = 0;
	for (int i = 0; !rc && i < f->batch; i++)
		*sum += f->mixing.count ? task_mixed_weight(t->task, t->data, SPLIT_TRAIN, &f->mixing, i)
					: task_sample_weight(t->task, t->data, SPLIT_TRAIN, f->all[i]);
	if (!rc && !(*sum > 0))
		rc = err_set(ERR_DATA, "the samples of step %" PRId64 " all have class weight 0", f->step + 1);
	return rc;
}

static int fill_micro(struct fit *f, int m, struct build_shape *shape)
{
	const struct trainer *t = f->t;
	int64_t first = (int64_t)m * f->micro;
	float sum;
	int rc = draw_mixing(f);
	if (!rc)
		rc = batch_weight(f, &sum);
	if (!rc)
		rc = take_samples(f, f->step * f->batch + first, f->micro, f->index);
	if (rc)
		return rc;
	f->augmentation.step = (uint64_t)f->step;
	f->augmentation.first_sample = (uint64_t)first;
	*shape = encoding_shape(&f->train_samples, f->index, f->micro, f->micro);
	rc = encoding_fill(&f->train_samples, f->index, f->micro, shape, &f->augmentation, &f->feed);
	if (!rc)
		rc = task_fill(t->task, t->data, SPLIT_TRAIN, f->index, f->micro, sum, &f->feed);
	if (!rc && f->mixing.count)
		rc = task_fill_mixed(t->task, t->data, SPLIT_TRAIN, &f->mixing, first, f->micro, sum, &f->feed);
	return rc;
}

int fit_give_micro(struct fit *f, int m)
{
	const struct trainer *t = f->t;
	struct build_shape shape;
	int rc = fill_micro(f, m, &shape);
	if (!rc)
		rc = exec_family_at(f->family, &shape, &f->ex);
	if (!rc)
		rc = executor_feed(f->ex, &f->feed);
	if (rc)
		return rc;
	executor_set_clock(f->ex, f->augmentation.step, f->augmentation.first_sample);
	const struct train_batch batch = {
	    .index = f->index, .count = f->micro, .augmentation = &f->augmentation, .shape = &shape, .feed = &f->feed};
	return t->before_forward ? t->before_forward(t->user, f->ex, &batch) : 0;
}

static int read_loss(struct fit *f, const struct reading *r)
{
	float loss;
	memcpy(&loss, r->value, sizeof(loss));
	if (r->step != f->loss_step)
		f->loss_before = f->loss_sum;
	f->loss_step = r->step;
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

int fit_take_reading(struct fit *f, const struct reading *r)
{
	return r->what == READ_LOSS ? read_loss(f, r) : read_state(f, r);
}

/* Reads what is on its way until no more than `left` readings are. */
static int drain(struct fit *f, int left)
{
	int rc = 0;
	while (!rc && f->readback.n > left) {
		struct reading r;
		rc = readback_pop(&f->readback, &r);
		if (!rc)
			rc = fit_take_reading(f, &r);
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
	f->opt.args.lr = rate_at(f, f->step);
	if (f->t->ranks)
		return fit_ranks_step(f);
	if (f->t->stop && *f->t->stop)
		return ERR_INTERRUPTED; /* said by interrupted */
	if (f->t->before_step)
		rc = f->t->before_step(f->t->user);
	for (int m = 0; !rc && m < (int)o->accumulate; m++) {
		bool last = m == (int)o->accumulate - 1;
		rc = fit_give_micro(f, m);
		if (!rc)
			rc = executor_step(f->ex, m > 0, last ? &f->opt : NULL);
		f->torn = !rc && last;
		if (!rc && last && f->t->after_step)
			rc = f->t->after_step(f->t->user, f->ex, (double)f->opt.args.lr);
		if (!rc)
			rc = drain(f, READBACK_DEPTH - 2);
		if (!rc)
			rc = executor_fetch(f->ex, f->loss, &f->readback, READ_LOSS, f->step);
		if (!rc && last)
			rc = optimizer_fetch_state(&f->opt, &f->readback, READ_STATE, f->step);
	}
	if (rc)
		return rc;
	f->step++;
	f->torn = false;
	return 0;
}

static int keep_if_best(struct fit *f, int64_t epoch, struct train_result *out)
{
	int rc;
	if (epoch < f->t->min_best_epoch)
		return 0;
	f->bad_epochs++;
	if (f->has_best && !metrics_better(&f->now, &out->best, f->monitor))
		return 0;
	rc = params_copy(&f->best_params, f->t->params);
	if (!rc)
		rc = metrics_copy(&out->best, &f->now);
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
	const double start = clock_now();
	int rc = resume_save(f, out);
	f->saved = clock_now();
	f->cost = f->saved - start;
	f->saving += f->cost;
	if (rc != ERR_IO)
		return rc;
	snprintf(line, sizeof(line), "warning: %s; the training goes on", err_message());
	if (f->t->progress && f->t->progress->line)
		f->t->progress->line(f->t->progress, line);
	return 0;
}

double resume_interval(double seconds, double cost)
{
	return cost > RESUME_LONG ? fmax(seconds, RESUME_SHARE * cost) : seconds;
}

/* Whether this process keeps the state, and where there is a place for it. */
static bool keeps_state(const struct fit *f)
{
	return f->t->resume_path && fit_leads(f);
}

static bool is_due(const struct fit *f)
{
	return keeps_state(f) && clock_now() - f->saved >= resume_interval(f->t->resume_seconds, f->cost);
}

/* To the end of the epoch. */
static int run_steps(struct fit *f, int64_t epoch, const struct train_result *out)
{
	int rc = 0;
	while (!rc && f->step < (epoch + 1) * f->steps_per_epoch) {
		rc = run_step(f);
		if (rc || !is_due(f))
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
	int rc = session_measure(&f->eval, &f->val_samples, f->t->stop, &f->now, NULL);
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
	if (!rc && !f->t->part && fit_leads(f))
		rc = validate(f, epoch);
	f->epoch_seconds += clock_now() - f->counted;
	if (rc)
		return rc;
	f->torn = true;
	out->train_loss = f->loss_sum / (double)f->steps_per_epoch;
	out->epochs_run = f->epochs_done = epoch + 1;
	if (f->t->part || !fit_leads(f))
		return 0;
	rc = keep_if_best(f, epoch, out);
	if (rc)
		return rc;
	rc = fit_log_epoch(&f->log, &(struct fit_row){.epoch = epoch + 1,
					.train_loss = out->train_loss,
					.val = &f->now,
					.lr = (double)rate_at(f, f->step - 1),
					.seconds = f->epoch_seconds,
					.best = out->best_epoch == epoch + 1});
	f->torn = rc != 0;
	return rc;
}

/* The state of the moment is kept, if there is a place for it; the error stays that of the interruption. */
static int interrupted(struct fit *f, const struct train_result *out)
{
	int rc;
	if (!keeps_state(f))
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

/* Nothing of a step that fails before its update is in the params: the state before it is kept, where keeping takes no
 * memory to speak of. The error stays that of the failure, and so do its words. */
static int out_of_memory(struct fit *f, const struct train_result *out)
{
	char why[512];
	snprintf(why, sizeof(why), "%s", err_message());
	int rc = !keeps_state(f) || f->torn || !device_traits(f->t->dev)->on_host ? ERR_NOMEM : drain(f, 0);
	if (!rc && f->loss_step == f->step)
		f->loss_sum = f->loss_before; /* without the step's micro-batches that were run */
	if (!rc)
		rc = resume_save(f, out);
	return err_set(ERR_NOMEM, "%s%s", why, rc ? "" : "; the state is kept, the same run goes on from there");
}

static bool is_complete(const struct fit *f)
{
	const struct train_options *o = f->t->o;
	return f->epochs_done >= f->end || (o->patience > 0 && f->bad_epochs >= o->patience);
}

static int run_all(struct fit *f, struct train_result *out)
{
	const struct train_options *o = f->t->o;
	int rc = 0;
	if (o->epochs == 0 && !fit_leads(f))
		return ERR_LEFT;
	if (o->epochs == 0) {
		rc = session_measure(&f->eval, &f->val_samples, f->t->stop, &f->now, NULL);
		return rc ? rc : metrics_copy(&out->best, &f->now);
	}
	while (!rc && !is_complete(f))
		rc = fit_ranks_epoch(f, run_epoch(f, f->epochs_done, out));
	if (rc == ERR_INTERRUPTED)
		rc = interrupted(f, out);
	if (rc == ERR_NOMEM)
		rc = out_of_memory(f, out);
	if (!rc && !fit_leads(f))
		return ERR_LEFT;
	if (!rc && f->t->resume_path &&
	    (f->t->resume_note || clock_now() - f->saved >= fmin(RESUME_END_SECONDS, f->t->resume_seconds)))
		rc = keep_state(f, out);
	return rc || f->t->part ? rc : params_copy(f->t->params, &f->best_params);
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
	struct fit_memory m;
	if (f->t->part)
		return 0;
	int rc = fit_memory_plan(f->t, f->micro, &f->train_samples, &f->val_samples, &m);
	out->memory = rc ? 0 : m.training + m.validation;
	return rc;
}

/* From the state of an interrupted fit, if there is one. */
static int resume_fit(struct fit *f, struct train_result *out)
{
	char line[128];
	int rc = fit_ranks_resume(f, out);
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
	struct fit f = {.start = clock_now(), .loss_step = -1, .mixed_step = -1};
	int rc;
	f.saved = f.start;
	*out = (struct train_result){0};
	rc = fit_ranks_begin(&f, fit_init(&f, t));
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
	out->saving_seconds = f.saving;
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
