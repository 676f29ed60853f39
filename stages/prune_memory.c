/* The memory of what pruning does before it trains: gradients, norms and entropies on samples. It is released before
 * the training begins. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "exec/memory.h"
#include "stages/prune_fisher.h"

/* The model that is scored, without memory. */
static int plan_model(const struct stage_run *s, const struct model_spec *input, struct model *model)
{
	struct graph g;
	*model = (struct model){.ckpt = {.form = FORM_FLOAT}};
	params_init(&model->params, s->train_dev);
	int rc = spec_copy(&model->ckpt.spec, input);
	if (!rc)
		rc = adapter_copy(&model->ckpt.adapter, s->adapter);
	if (!rc)
		rc = task_copy(&model->ckpt.task, s->task);
	graph_init(&g);
	if (!rc)
		rc = spec_build(&g, input, &shape_one);
	if (!rc)
		rc = params_plan_graph(&model->params, &g);
	graph_clear(&g);
	return rc;
}

/* By the gradients of fisher_samples. *batch: samples of a batch. */
static int plan_fisher(const struct stage_run *s, struct model *model, int *batch, struct scoring_memory *out)
{
	struct stage_run run = *s;
	struct fisher_job job = {.o = s->options, .run = &run, .model = model};
	int rc = fisher_open(&job);
	if (!rc)
		rc = fisher_plan(&job, &out->device, &out->host);
	*batch = job.batch;
	fisher_close(&job);
	return rc;
}

static int plan_weights(const struct prune_options *o, struct model *model, const struct encoding *samples, int batch,
    struct scoring_memory *out)
{
	struct prune_set set;
	int rc = prune_set_init(&set, &model->ckpt.spec, o);
	if (!rc && prune_score_of(o) == SCORE_TAYLOR)
		rc = prune_taylor_plan(&set, model, samples, batch, &out->device, &out->host);
	else if (!rc)
		rc = prune_norms_plan(&set, model, samples, batch, &out->device, &out->host);
	prune_set_clear(&set);
	return rc;
}

/* On calibration batches. Of several rounds the first scores the largest model. */
static int plan_calibrated(const struct stage_run *s, struct model *model, int *batch, struct scoring_memory *out)
{
	const struct prune_options *o = s->options;
	const struct calibration_size size = prune_calibration_size(o, s->data);
	struct model_spec want = {0};
	struct encoding samples;
	int rc = encoding_open(&samples, &model->ckpt.adapter, s->data, size.split);
	if (rc)
		return rc;
	*batch = size.batch;
	if (o->method == PRUNE_STRUCTURED) {
		rc = prune_units_spec(o, &model->ckpt.spec, prune_share(o, 1), &want);
		if (!rc)
			rc = prune_score_units_plan(o, model, &want, &samples, size.batch, &out->device, &out->host);
	} else {
		rc = plan_weights(o, model, &samples, size.batch, out);
	}
	spec_clear(&want);
	encoding_close(&samples);
	return rc;
}

static int check_room(const struct stage_run *s, int batch, struct stage_plan *out)
{
	const struct prune_options *o = s->options;
	size_t available, total;
	int rc = memory_available(s->train_dev, &available, &total);
	if (rc || out->scoring.total <= available || out->no_room[0])
		return rc;
	snprintf(out->no_room, sizeof(out->no_room),
	    "scoring with %d samples at a time needs %.1f MiB of memory on %s, %.1f MiB are available; %s", batch,
	    MEMORY_MIB(out->scoring.total), s->train_dev.backend->name, MEMORY_MIB(available),
	    o->method == PRUNE_FISHER ? "fewer fisher_samples need less"
				      : "a smaller calibration_batch_size needs less");
	return 0;
}

int prune_plan_memory(const struct stage_run *s, const struct model_spec *input, struct stage_plan *out)
{
	const struct prune_options *o = s->options;
	struct scoring_memory *m = &out->scoring;
	struct model model;
	int batch = 0;
	if (o->method != PRUNE_FISHER && !prune_is_calibrated(o))
		return 0;
	int rc = plan_model(s, input, &model);
	if (!rc)
		rc = o->method == PRUNE_FISHER ? plan_fisher(s, &model, &batch, m)
					       : plan_calibrated(s, &model, &batch, m);
	m->device += memory_params(&model.params);
	const bool on_host = s->train_dev.backend && device_traits(s->train_dev)->on_host;
	m->total = m->device + (on_host ? m->host : 0) + MEMORY_PAGE;
	model_clear(&model);
	if (rc)
		*m = (struct scoring_memory){0};
	return rc ? rc : check_room(s, batch, out);
}
