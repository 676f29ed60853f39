#include "stages/gradients.h"

#include "base/err.h"
#include "base/mem.h"
#include "exec/memory.h"
#include "graph/pass.h"

int gradients_build(const struct model_spec *spec, const struct task *task, bool matrices,
    const struct build_shape *shape, struct graph *out)
{
	struct graph g;
	graph_init(&g);
	int rc = spec_build(&g, spec, shape);
	for (int i = 0; !rc && i < g.n; i++) {
		struct node *n = &g.node[i];
		n->attr.rate = 0;
		if (n->op == OP_PARAM && n->shape.ndim > 1 && !matrices)
			n->param.kind = PARAM_FROZEN;
	}
	if (!rc)
		rc = task->kind->add_loss(&g, &(struct task_loss){0});
	if (!rc)
		rc = pass_fold(&g, out);
	graph_clear(&g);
	return rc;
}

struct gradient_run {
	const struct stage_run *run;
	const struct calibration_size *size;
	struct model *model;
	struct encoding samples;
	struct sampler sampler;
	struct exec_family *family;
	struct feed feed;
	uint32_t *index;
};

static int open_family(
    struct exec_family **out, const struct gradients *to, struct model *model, const struct executor_options *o)
{
	int rc = exec_family_create(out, &model->params, o, to->build, to->graph);
	if (!rc && to->keep)
		exec_family_on_bind(*out, to->keep);
	return rc;
}

static int open_run(struct gradient_run *r, const struct gradients *to)
{
	const struct stage_run *run = r->run;
	const struct executor_options o = {.mode = EXEC_TRAIN, .seed = run->seed, .stage = run->name};
	int rc = encoding_open(&r->samples, &r->model->ckpt.adapter, run->data, r->size->split);
	if (!rc)
		rc = sampler_init(&r->sampler, run->seed, run->name, r->samples.n);
	if (!rc)
		rc = open_family(&r->family, to, r->model, &o);
	if (rc)
		return rc;
	const struct build_shape largest = encoding_largest(&r->samples, r->size->batch);
	r->index = mem_alloc((size_t)r->size->batch, sizeof(*r->index));
	rc = r->index ? exec_family_reserve(r->family, &largest) : ERR_NOMEM;
	if (rc == ERR_NOMEM)
		err_context(rc, "gradients of %d samples at a time", r->size->batch);
	return rc;
}

static void close_run(struct gradient_run *r)
{
	exec_family_free(r->family);
	encoding_close(&r->samples);
	sampler_clear(&r->sampler);
	feed_clear(&r->feed);
	mem_free(r->index);
}

/* Brings batch b's inputs and targets into the feed. */
static int fill_batch(struct gradient_run *r, int64_t b, struct executor **ex)
{
	const int n = r->size->batch;
	struct build_shape shape;
	int rc = sampler_take(&r->sampler, b * n, n, r->index);
	if (rc)
		return rc;
	shape = encoding_shape(&r->samples, r->index, n, n);
	rc = encoding_fill(&r->samples, r->index, n, &shape, NULL, &r->feed);
	if (!rc)
		rc = task_fill(&r->model->ckpt.task, r->run->data, r->size->split, r->index, n, 1, &r->feed);
	return rc ? rc : exec_family_at(r->family, &shape, ex);
}

int gradients_run(
    const struct gradients *to, const struct stage_run *run, struct model *model, const struct calibration_size *size)
{
	struct gradient_run r = {.run = run, .size = size, .model = model};
	int rc = open_run(&r, to);
	for (int64_t b = 0; !rc && b < size->batches; b++) {
		struct executor *ex;
		if (run->stop && *run->stop) {
			rc = err_set(ERR_INTERRUPTED, "interrupted while %s", to->what);
			break;
		}
		rc = fill_batch(&r, b, &ex);
		if (!rc)
			rc = executor_feed(ex, &r.feed);
		if (!rc)
			rc = executor_step(ex, false, NULL);
		if (!rc)
			rc = to->add(to->user, ex, &r.feed, size->batch);
		if (run->progress && run->progress->update)
			run->progress->update(run->progress, to->what, (double)(b + 1), (double)size->batches);
	}
	close_run(&r);
	return rc;
}

int gradients_plan(
    const struct gradients *to, struct model *model, const struct encoding *samples, int batch, size_t *bytes)
{
	const struct executor_options o = {.mode = EXEC_TRAIN};
	const struct build_shape largest = encoding_largest(samples, batch);
	struct exec_family *family = NULL;
	struct executor_memory m;
	int rc = open_family(&family, to, model, &o);
	if (!rc)
		rc = exec_family_plan(family, &largest, &m);
	if (!rc)
		*bytes = memory_executor(&m);
	exec_family_free(family);
	return rc;
}
