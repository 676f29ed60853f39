/* Runs a split through an INFER executor. The last batch is padded with copies of its last sample; their logits are not
 * looked at. */
#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "train/evaluate.h"

#define EVAL_BATCH 128 /* large enough for full speed, small enough for any activation memory here */

static int check_graph(const struct graph *g, int batch, const struct dataset *d)
{
	int in = graph_find(g, "input");
	const int64_t x[] = {batch, d->height, d->width, d->channels}, y[] = {batch, d->classes};
	char want[64], have[64];
	if (in < 0 || g->node[in].op != OP_INPUT || g->output == NODE_NONE)
		return err_set(ERR_FAIL, "evaluation needs a graph with the input 'input' and an output");
	if (!shape_equal(g->node[in].shape, shape_of(4, x)))
		return err_set(ERR_DATA, "the model takes images of %s, the data gives %s",
		    shape_text(g->node[in].shape, have), shape_text(shape_of(4, x), want));
	if (!shape_equal(g->node[g->output].shape, shape_of(2, y)) || g->node[g->output].dtype != DT_F32)
		return err_set(ERR_DATA, "the model gives %s %s, the data needs f32 %s",
		    dtype_name(g->node[g->output].dtype), shape_text(g->node[g->output].shape, have),
		    shape_text(shape_of(2, y), want));
	return 0;
}

static int evaluator_executor(
    struct evaluator *e, struct param_store *params, graph_builder build, void *user, struct exec_arena *arena)
{
	const struct executor_options o = {.mode = EXEC_INFER, .arena = arena};
	struct graph g;
	int rc;
	graph_init(&g);
	const struct build_shape shape = shape_samples(e->batch);
	rc = build(user, &shape, &g);
	if (!rc)
		rc = check_graph(&g, e->batch, e->fill.data);
	if (!rc)
		rc = executor_create(&e->ex, &g, params, &o);
	if (!rc) {
		const struct graph *own = executor_graph(e->ex);
		e->output = own->node[own->output].name;
	}
	graph_clear(&g);
	return rc;
}

/* Everything that needs no memory but the executor's lists. */
static int evaluator_open(struct evaluator *e, struct param_store *params, graph_builder build, void *user,
    const struct dataset *data, enum split split, struct exec_arena *arena)
{
	*e = (struct evaluator){.fill = {.data = data, .split = split, .stage = ""}};
	if (data->n[split] < 1 || !data->pixels[split])
		return err_set(
		    ERR_DATA, "the %s split is %s", split_names[split], data->n[split] < 1 ? "empty" : "not loaded");
	e->batch = data->n[split] < EVAL_BATCH ? (int)data->n[split] : EVAL_BATCH;
	return evaluator_executor(e, params, build, user, arena);
}

static size_t sample_pixels(const struct dataset *d)
{
	return (size_t)d->height * (size_t)d->width * (size_t)d->channels;
}

int evaluator_plan(struct param_store *params, graph_builder build, void *user, const struct dataset *data,
    enum split split, struct executor_memory *m, size_t *buffers)
{
	struct evaluator e;
	int rc = evaluator_open(&e, params, build, user, data, split, NULL);
	if (!rc)
		rc = executor_plan(e.ex, m);
	*buffers = (size_t)e.batch * (sample_pixels(data) * sizeof(*e.x) + (size_t)data->classes * sizeof(*e.logits) +
					 sizeof(*e.index) + sizeof(*e.labels));
	evaluator_clear(&e);
	return rc;
}

int evaluator_init(struct evaluator *e, struct param_store *params, graph_builder build, void *user,
    const struct dataset *data, enum split split, struct exec_arena *arena)
{
	int rc = evaluator_open(e, params, build, user, data, split, arena);
	size_t n = (size_t)e->batch;
	if (rc)
		goto out;
	e->index = mem_alloc(n, sizeof(*e->index));
	e->x = mem_alloc(n * sample_pixels(data), sizeof(*e->x));
	e->labels = mem_alloc(n, sizeof(*e->labels));
	e->logits = mem_alloc(n * (size_t)data->classes, sizeof(*e->logits));
	rc = e->index && e->x && e->labels && e->logits ? 0 : ERR_NOMEM;
	if (!rc)
		rc = executor_prepare(e->ex);
out:
	if (rc)
		evaluator_clear(e);
	return rc;
}

void evaluator_clear(struct evaluator *e)
{
	executor_free(e->ex);
	mem_free(e->index);
	mem_free(e->x);
	mem_free(e->labels);
	mem_free(e->logits);
	*e = (struct evaluator){0};
}

static int run_batch(struct evaluator *e, int64_t first, struct metrics *m)
{
	const struct dataset *d = e->fill.data;
	int64_t last = d->n[e->fill.split] - 1, count = last + 1 - first;
	size_t rows = (size_t)e->batch, pixels = sample_pixels(d);
	int rc;
	if (count > e->batch)
		count = e->batch;
	for (int i = 0; i < e->batch; i++)
		e->index[i] = (uint32_t)(i < count ? first + i : last);
	rc = batch_fill(&e->fill, e->index, e->batch, 0, 0, e->x, e->labels);
	if (!rc)
		rc = executor_input(e->ex, "input", e->x, rows * pixels * sizeof(*e->x));
	if (!rc)
		rc = executor_forward(e->ex);
	if (!rc)
		rc = executor_output(e->ex, e->output, e->logits, rows * (size_t)d->classes * sizeof(*e->logits));
	if (!rc)
		metrics_add(m, e->logits, e->labels, count);
	for (int64_t i = 0; !rc && e->predicted && i < count; i++)
		e->predicted[first + i] = metrics_predict(e->logits + i * d->classes, d->classes);
	return rc;
}

int evaluator_run(struct evaluator *e, const volatile sig_atomic_t *stop, struct metrics *m)
{
	int64_t n = e->fill.data->n[e->fill.split];
	int rc = 0;
	metrics_reset(m);
	for (int64_t first = 0; !rc && first < n; first += e->batch) {
		if (stop && *stop)
			return err_set(
			    ERR_INTERRUPTED, "interrupted while measuring on the %s split", split_names[e->fill.split]);
		rc = run_batch(e, first, m);
	}
	if (rc)
		return rc;
	metrics_finish(m);
	if (!isfinite(m->loss))
		return err_set(ERR_FAIL, "the logits of the %s split are not finite", split_names[e->fill.split]);
	return 0;
}

int trainer_evaluate(struct device dev, struct param_store *params, graph_builder build, void *user,
    const struct dataset *data, enum split split, const volatile sig_atomic_t *stop, struct metrics *out)
{
	struct evaluator e;
	int rc;
	*out = (struct metrics){0};
	if (params->dev.backend != dev.backend || params->dev.ctx != dev.ctx)
		return err_set(ERR_FAIL, "the params to evaluate are on another device");
	rc = evaluator_init(&e, params, build, user, data, split, NULL);
	if (rc)
		return rc;
	rc = metrics_init(out, data->classes);
	if (!rc)
		rc = evaluator_run(&e, stop, out);
	if (rc)
		metrics_clear(out);
	evaluator_clear(&e);
	return rc;
}
