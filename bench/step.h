/* A prepared model with a batch of random data, and one training step of it: upload, forward, backward and AdamW with
 * clipping. Shared by the programs that time training steps. */
#ifndef BENCH_STEP_H
#define BENCH_STEP_H

#include "base/mem.h"
#include "bench/inputs.h"
#include "exec/executor.h"
#include "exec/optimizer.h"

struct built {
	struct param_store store;
	struct executor *ex;
	struct optimizer opt;
	struct inputs inputs;
	int64_t step;
};

static void built_free(struct built *b)
{
	executor_free(b->ex);
	optimizer_clear(&b->opt);
	params_clear(&b->store);
	inputs_clear(&b->inputs);
	memset(b, 0, sizeof(*b));
}

/* Labels in turn, equal weights. */
static int built_targets(struct built *b, int classes)
{
	const struct graph *g = executor_graph(b->ex);
	const int64_t N = g->node[graph_find(g, "labels")].shape.dim[0];
	int32_t *labels = mem_alloc((size_t)N, sizeof(*labels));
	float *weight = mem_alloc((size_t)N, sizeof(*weight));
	int rc = labels && weight ? 0 : ERR_NOMEM;
	for (int64_t i = 0; !rc && i < N; i++) {
		labels[i] = (int32_t)(i % classes);
		weight[i] = 1.0f / (float)N;
	}
	if (!rc)
		rc = executor_input(b->ex, "labels", labels, (size_t)N * sizeof(*labels));
	if (!rc)
		rc = executor_input(b->ex, "weight", weight, (size_t)N * sizeof(*weight));
	mem_free(labels);
	mem_free(weight);
	return rc;
}

/* g: of that model, with its loss. After an error built_free is due as well. */
static int built_make(
    struct built *b, struct device dev, const struct graph *g, const char *model, int classes, bool scale_loss)
{
	const struct executor_options options = {.mode = EXEC_TRAIN, .seed = 1, .stage = "bench"};
	const struct update_args args = {.kind = OPTIMIZER_ADAMW,
	    .lr = 1e-4f,
	    .beta1 = 0.9f,
	    .beta2 = 0.999f,
	    .eps = 1e-8f,
	    .weight_decay = 0.01f,
	    .clip_norm = 1.0f};
	params_init(&b->store, dev);
	optimizer_init(&b->opt, &b->store, &args);
	int rc = params_add_graph(&b->store, g, 1);
	if (!rc)
		rc = executor_create(&b->ex, g, &b->store, &options);
	if (!rc)
		rc = executor_prepare(b->ex);
	if (!rc && scale_loss)
		rc = optimizer_scale_loss(&b->opt);
	if (!rc && scale_loss)
		rc = executor_scale_loss(b->ex, b->opt.args.state);
	if (!rc)
		rc = inputs_make(&b->inputs, g, model);
	return rc ? rc : built_targets(b, classes);
}

static int train_step(struct built *b)
{
	int rc = inputs_give(&b->inputs, b->ex);
	executor_set_clock(b->ex, (uint64_t)b->step++, 0);
	return rc ? rc : executor_step(b->ex, false, &b->opt);
}

#endif
