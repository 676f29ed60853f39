/* A prepared model with a batch of random data, and one training step of it: upload, forward, backward and AdamW with
 * clipping. Shared by the programs that time training steps. */
#ifndef BENCH_STEP_H
#define BENCH_STEP_H

#include "base/mem.h"
#include "bench/models.h"
#include "exec/executor.h"
#include "exec/optimizer.h"

struct built {
	struct param_store store;
	struct executor *ex;
	struct optimizer opt;
	float *x;
	size_t x_bytes;
	int64_t step;
};

static void built_free(struct built *b)
{
	executor_free(b->ex);
	optimizer_clear(&b->opt);
	params_clear(&b->store);
	mem_free(b->x);
	memset(b, 0, sizeof(*b));
}

/* Random pixels, labels 0..9 in turn, equal weights. */
static int built_feed(struct built *b)
{
	const struct graph *g = executor_graph(b->ex);
	const struct shape shape = g->node[graph_find(g, "input")].shape;
	const int64_t n = shape_count(shape), N = shape.dim[0];
	int32_t *labels = mem_alloc((size_t)N, sizeof(*labels));
	float *weight = mem_alloc((size_t)N, sizeof(*weight));
	b->x = mem_alloc((size_t)n, sizeof(*b->x));
	b->x_bytes = (size_t)n * sizeof(*b->x);
	int rc = labels && weight && b->x ? 0 : ERR_NOMEM;
	if (!rc) {
		fill_normal(b->x, n);
		for (int64_t i = 0; i < N; i++) {
			labels[i] = (int32_t)(i % 10);
			weight[i] = 1.0f / (float)N;
		}
		rc = executor_input(b->ex, "labels", labels, (size_t)N * sizeof(*labels));
	}
	if (!rc)
		rc = executor_input(b->ex, "weight", weight, (size_t)N * sizeof(*weight));
	mem_free(labels);
	mem_free(weight);
	return rc;
}

/* g: with its loss. After an error built_free is due as well. */
static int built_make(struct built *b, struct device dev, const struct graph *g, bool scale_loss)
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
	return rc ? rc : built_feed(b);
}

static int train_step(struct built *b)
{
	int rc = executor_input(b->ex, "input", b->x, b->x_bytes);
	executor_set_clock(b->ex, (uint64_t)b->step++, 0);
	return rc ? rc : executor_step(b->ex, false, &b->opt);
}

#endif
