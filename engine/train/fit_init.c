/* What a training is made of, before its first step: samples, executors, optimizer, validation, and whether there is
 * room for all of it. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "train/fit_memory.h"
#include "train/fit_state.h"
#include "train/precision.h"

/* The params that the training graph has, to be copied when they are the best. */
static int list_params(struct fit *f)
{
	const struct graph *g = executor_graph(f->ex);
	int rc = 0;
	for (int i = 0; !rc && i < g->n; i++) {
		struct param *unused;
		if (g->node[i].op == OP_PARAM && !f->t->part && fit_leads(f))
			rc = params_add(&f->best_params, g->node[i].name, g->node[i].dtype, g->node[i].shape, &unused);
	}
	f->loss = rc ? NULL : mem_strdup(g->node[g->loss].name);
	return rc ? rc : f->loss ? 0 : ERR_NOMEM;
}

static int bind_hook(void *trainer, struct executor *ex)
{
	const struct trainer *t = trainer;
	return t->bind(t->user, ex);
}

/* The family of training executors, the first of them for the largest batch that can come: what follows fits into its
 * memory. */
static int make_train_executor(struct fit *f)
{
	const struct trainer *t = f->t;
	const struct executor_options o = {
	    .mode = EXEC_TRAIN, .seed = t->seed, .stage = t->stage, .arena = &f->arena, .sums = fit_sums(t, f->micro)};
	struct build_shape largest;
	f->index = mem_alloc((size_t)f->micro, sizeof(*f->index));
	f->all = mem_alloc((size_t)f->batch, sizeof(*f->all));
	if (!f->index || !f->all)
		return ERR_NOMEM;
	f->trainer = *t;
	int rc = fit_largest(t, f->micro, &f->train_samples, &largest);
	if (!rc)
		rc = exec_family_create(&f->family, t->params, &o, fit_graph, &f->trainer);
	if (!rc && t->bind)
		exec_family_on_bind(f->family, bind_hook);
	if (!rc)
		rc = exec_family_at(f->family, &largest, &f->ex);
	return rc ? rc : list_params(f);
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

void fit_note_samples(const struct trainer *t, const struct encoding *e)
{
	const char *word = samples_word(e->data->kind, e->data->pairs);
	char line[256];
	if (!t->progress || !t->progress->line)
		return;
	if (e->truncated) {
		snprintf(line, sizeof(line), "%" PRId64 " of %" PRId64 " %s of the %s split are cut to %d tokens",
		    e->truncated, e->n, word, split_names[e->split], e->adapter->spec.longest);
		t->progress->line(t->progress, line);
	}
	if (e->without_tokens) {
		snprintf(line, sizeof(line), "warning: %" PRId64 " of %" PRId64 " %s of the %s split have no token",
		    e->without_tokens, e->n, word, split_names[e->split]);
		t->progress->line(t->progress, line);
	}
}

static int open_samples(struct fit *f)
{
	const struct trainer *t = f->t;
	if (t->part) {
		f->train_samples = *t->part->samples;
		return 0;
	}
	int rc = encoding_open(&f->train_samples, t->adapter, t->data, SPLIT_TRAIN);
	if (!rc)
		rc = encoding_open(&f->val_samples, t->adapter, t->data, SPLIT_VAL);
	if (rc)
		return rc;
	fit_note_samples(t, &f->train_samples);
	fit_note_samples(t, &f->val_samples);
	return 0;
}

static int open_validation(struct fit *f)
{
	const struct trainer *t = f->t;
	const struct session_options o = {.batch = fit_validation_batch(&f->val_samples), .arena = &f->arena};
	int rc = session_open(&f->eval, t->params, t->task->classes, t->build_eval, t->user, &o);
	return rc ? rc : metrics_init(&f->now, t->task);
}

static int check_mixup(const struct trainer *t)
{
	if (!t->adapter->kind->mixes)
		return err_set(ERR_CONFIG,
		    "task.mixup: inputs of kind '%s' cannot be mixed; augment: false trains without",
		    t->adapter->kind->name);
	if (t->o->batch_size < 2)
		return err_set(ERR_CONFIG,
		    "task.mixup mixes samples of a batch, and batch_size is 1; augment: false trains without");
	return 0;
}

int trainer_check(const struct trainer *t)
{
	int rc = train_options_check(t->o, NULL);
	if (!rc && t->o->label_smoothing > 0 && t->task->kind->target != TARGET_CLASS)
		rc = err_set(ERR_CONFIG, "label_smoothing has no effect with task %s", t->task->kind->name);
	if (!rc && t->o->epochs > 0 && t->min_best_epoch >= t->o->epochs)
		rc = err_set(ERR_CONFIG,
		    "none of the %" PRId64 " epochs may be the best one: the first that may is %" PRId64, t->o->epochs,
		    t->min_best_epoch + 1);
	if (!rc && t->augment && t->o->augment)
		rc = adapter_check_augment(t->adapter, t->augment);
	if (!rc && train_mixes(t->o, t->task))
		rc = check_mixup(t);
	if (!rc && task_metric_find(t->task, task_metric_choices[t->o->monitor]) == TASK_METRIC_UNKNOWN)
		rc = err_context(ERR_CONFIG, "monitor");
	return rc;
}

/* What a whole training needs and a part does without: room for all of it, and validation. */
static int open_whole(struct fit *f)
{
	const struct trainer *t = f->t;
	struct fit_memory memory;
	if (t->part)
		return 0;
	int rc = fit_memory_plan(t, f->micro, &f->train_samples, &f->val_samples, &memory);
	if (!rc)
		rc = fit_memory_check(t, &f->train_samples, &f->val_samples, &memory);
	return rc ? rc : open_validation(f);
}

static void count_steps(struct fit *f)
{
	const struct trainer *t = f->t;
	f->n = t->part ? t->part->n : t->data->n[SPLIT_TRAIN];
	f->end = t->part ? t->part->end_epoch : t->o->epochs;
	f->epochs_done = t->part ? t->part->first_epoch : 0;
	f->steps_per_epoch = (f->n + f->batch - 1) / f->batch;
	f->total = f->steps_per_epoch * t->o->epochs;
	f->step = f->epochs_done * f->steps_per_epoch;
}

int fit_init(struct fit *f, const struct trainer *t)
{
	f->t = t;
	params_init(&f->best_params, t->dev);
	readback_init(&f->readback, t->dev);
	exec_arena_init(&f->arena, t->dev);
	if (t->params->dev.backend != t->dev.backend || t->params->dev.ctx != t->dev.ctx)
		return err_set(ERR_FAIL, "the params to train are on another device");
	int rc = trainer_check(t);
	if (rc)
		return rc;
	f->monitor = task_metric_find(t->task, task_metric_choices[t->o->monitor]);
	f->batch = (int)t->o->batch_size;
	f->micro = (int)(t->o->batch_size / t->o->accumulate);
	count_steps(f);
	f->augmentation =
	    (struct augmentation){.options = t->o->augment ? t->augment : NULL, .seed = t->seed, .stage = t->stage};
	rc = open_samples(f);
	if (!rc && t->o->epochs > 0 && train_mixes(t->o, t->task))
		rc = mixing_init(&f->mixing, f->batch);
	if (!rc)
		rc = fit_check_norms(t, f->micro, &f->train_samples);
	if (!rc)
		rc = open_whole(f);
	if (rc || t->o->epochs == 0)
		return rc;
	rc = sampler_init(&f->sampler, t->seed, t->stage, f->n);
	if (!rc)
		rc = make_train_executor(f);
	if (!rc)
		rc = make_optimizer(f);
	if (!rc)
		precision_note(t->o, t->dev, t->progress);
	return rc ? rc : fit_log_open(&f->log, t, f->total);
}

void fit_clear(struct fit *f)
{
	fit_log_close(&f->log);
	optimizer_clear(&f->opt);
	exec_family_free(f->family);
	session_close(&f->eval);
	exec_arena_clear(&f->arena);
	if (!f->t->part)
		encoding_close(&f->train_samples);
	encoding_close(&f->val_samples);
	params_clear(&f->best_params);
	metrics_clear(&f->now);
	sampler_clear(&f->sampler);
	feed_clear(&f->feed);
	mixing_clear(&f->mixing);
	fit_ranks_clear(f);
	mem_free(f->index);
	mem_free(f->all);
	mem_free(f->loss);
}
