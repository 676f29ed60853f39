/* Speed of one training step on the CPU backend: upload, forward, backward and AdamW with clipping, on random data.
 *
 *   bench_train_step MODEL BATCH [STEPS]      one measurement
 *   bench_train_step --serve [THREADS]        reads "MODEL BATCH STEPS" lines from standard input, so that a script can
 *                                             interleave other programs; models stay prepared
 *   bench_train_step --profile MODEL BATCH    time of each node, forward and backward
 * One JSON line per measurement: model, batch, runs, median_ms, best_ms, and cpu_ms: processor time of all threads per
 * step. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/step.h"
#include "cpu/cpu.h"

#define MAX_BUILT 16
#define MAX_NODES 512

struct entry { /* one prepared model */
	char model[MODEL_MAX];
	int batch;
	struct built built;
};

/* The backend with a stop watch around each kernel, for --profile. The fastest run of each node of the one profiled
 * graph, in seconds: on a machine with other work the mean says more about that. */
static struct kernel timed_kernel[OP_COUNT];
static struct backend timed_backend;
static const struct node *first_node;
static double forward_seconds[MAX_NODES], backward_seconds[MAX_NODES], pack_seconds[MAX_NODES], update_seconds;

static void keep_fastest(double *best, double seconds)
{
	if (*best == 0.0 || seconds < *best)
		*best = seconds;
}

static int timed(int (*call)(struct call *), struct call *s, double *seconds)
{
	const double before = clock_now();
	const int rc = call(s);
	if (first_node)
		keep_fastest(&seconds[s->node - first_node], clock_now() - before);
	return rc;
}

static int timed_pack(struct call *s)
{
	return timed(cpu_backend.kernels[s->node->op]->pack, s, pack_seconds);
}

static int timed_forward(struct call *s)
{
	return timed(cpu_backend.kernels[s->node->op]->forward, s, forward_seconds);
}

static int timed_backward(struct call *s)
{
	return timed(cpu_backend.kernels[s->node->op]->backward, s, backward_seconds);
}

static int timed_update(void *ctx, const struct update_job *job)
{
	const double before = clock_now();
	const int rc = cpu_backend.update(ctx, job);
	keep_fastest(&update_seconds, clock_now() - before);
	return rc;
}

static const struct backend *make_timed_backend(void)
{
	timed_backend = cpu_backend;
	for (int op = 0; op < OP_COUNT; op++) {
		if (!cpu_backend.kernels[op])
			continue;
		timed_kernel[op] = *cpu_backend.kernels[op];
		timed_backend.kernels[op] = &timed_kernel[op];
		timed_kernel[op].pack = timed_kernel[op].pack ? timed_pack : NULL;
		timed_kernel[op].forward = timed_forward;
		timed_kernel[op].backward = timed_kernel[op].backward ? timed_backward : NULL;
	}
	timed_backend.update = timed_update;
	return &timed_backend;
}

static int entry_make(struct entry *e, struct device dev, const char *model, int batch)
{
	const struct model_spec *spec = model_find(model);
	struct graph g;
	graph_init(&g);
	snprintf(e->model, sizeof(e->model), "%s", model);
	e->batch = batch;
	int rc = spec ? 0 : ERR_CONFIG;
	if (!rc && batch < 1)
		rc = err_set(ERR_CONFIG, "batch %d", batch);
	if (!rc) {
		const struct build_shape shape = model_shape(model, spec, batch);
		rc = spec_build(&g, spec, &shape);
	}
	if (!rc)
		rc = graph_add_ce(&g, 0.0f);
	if (!rc)
		rc = built_make(&e->built, dev, &g, model, spec->classes, false);
	graph_clear(&g);
	return rc;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static int measure(struct entry *e, int steps)
{
	double *t = steps > 0 ? mem_alloc((size_t)steps, sizeof(*t)) : NULL;
	int rc = t ? 0 : err_set(ERR_CONFIG, "%d steps", steps);
	for (int i = 0; !rc && i < 3; i++)
		rc = train_step(&e->built);
	const clock_t cpu = clock();
	for (int i = 0; !rc && i < steps; i++) {
		const double before = clock_now();
		rc = train_step(&e->built);
		t[i] = clock_now() - before;
	}
	const double cpu_seconds = (double)(clock() - cpu) / CLOCKS_PER_SEC;
	if (!rc) {
		qsort(t, (size_t)steps, sizeof(*t), by_value);
		printf("{\"model\": \"%s\", \"batch\": %d, \"runs\": %d, \"median_ms\": %.4f, \"best_ms\": %.4f, "
		       "\"cpu_ms\": %.4f}\n",
		    e->model, e->batch, steps, 1e3 * t[steps / 2], 1e3 * t[0], 1e3 * cpu_seconds / steps);
		fflush(stdout);
	}
	mem_free(t);
	return rc;
}

static int profile(struct built *b)
{
	const struct graph *g = executor_graph(b->ex);
	const int steps = 60;
	int rc = g->n > MAX_NODES ? err_set(ERR_FAIL, "more than %d nodes", MAX_NODES) : train_step(b);
	if (rc)
		return rc;
	first_node = g->node;
	double total = 0.0;
	for (int i = 0; !rc && i < steps; i++) {
		const double before = clock_now();
		rc = train_step(b);
		keep_fastest(&total, clock_now() - before);
	}
	printf("%10s %10s %10s  us, fastest of %d steps\n", "pack", "forward", "backward", steps);
	double sum = update_seconds;
	for (int i = 0; !rc && i < g->n; i++) {
		const double f = forward_seconds[i], w = backward_seconds[i], p = pack_seconds[i];
		sum += f + w + p;
		if (f + w + p > 0.0)
			printf("%10.1f %10.1f %10.1f  %-12s %-28s %s\n", 1e6 * p, 1e6 * f, 1e6 * w,
			    op_info(g->node[i].op)->name, g->node[i].name, executor_impl(b->ex, i));
	}
	printf("%10.1f us update, %.1f us sum of all, %.1f us fastest step\n", 1e6 * update_seconds, 1e6 * sum,
	    1e6 * total);
	return rc;
}

/* The prepared model, made on first use. */
static int entry_get(struct entry *all, struct device dev, const char *model, int batch, struct entry **out)
{
	int i = 0;
	while (i < MAX_BUILT && all[i].built.ex && (all[i].batch != batch || strcmp(all[i].model, model) != 0))
		i++;
	if (i == MAX_BUILT)
		return err_set(ERR_FAIL, "more than %d models", MAX_BUILT);
	*out = &all[i];
	return all[i].built.ex ? 0 : entry_make(&all[i], dev, model, batch);
}

static int serve(struct entry *all, struct device dev)
{
	char line[MODEL_MAX + 64], model[MODEL_MAX];
	int rc = 0, batch, steps;
	while (!rc && fgets(line, sizeof(line), stdin)) {
		struct entry *e;
		if (sscanf(line, "%511s %d %d", model, &batch, &steps) != 3)
			return err_set(ERR_CONFIG, "expected MODEL BATCH STEPS, found: %s", line);
		rc = entry_get(all, dev, model, batch, &e);
		if (!rc)
			rc = measure(e, steps);
	}
	return rc;
}

int main(int argc, char **argv)
{
	static struct entry all[MAX_BUILT];
	const bool serving = argc > 1 && strcmp(argv[1], "--serve") == 0;
	const bool profiling = argc == 4 && strcmp(argv[1], "--profile") == 0;
	struct device dev = {.backend = profiling ? make_timed_backend() : &cpu_backend};
	struct entry *e;
	int rc =
	    dev.backend->open(&dev.ctx, &(struct open_options){.threads = serving && argc > 2 ? atoi(argv[2]) : 0});
	if (!rc && serving) {
		rc = serve(all, dev);
	} else if (!rc && profiling) {
		rc = entry_get(all, dev, argv[2], atoi(argv[3]), &e);
		if (!rc)
			rc = profile(&e->built);
	} else if (!rc && (argc == 3 || argc == 4)) {
		rc = entry_get(all, dev, argv[1], atoi(argv[2]), &e);
		if (!rc)
			rc = measure(e, argc == 4 ? atoi(argv[3]) : 50);
	} else if (!rc) {
		rc = err_set(ERR_CONFIG,
		    "usage: bench_train_step MODEL BATCH [STEPS] | --serve [THREADS] | --profile MODEL BATCH");
	}
	if (rc)
		fprintf(stderr, "bench_train_step: %s\n", err_message());
	for (int i = 0; i < MAX_BUILT; i++)
		built_free(&all[i].built);
	if (dev.ctx)
		dev.backend->close(dev.ctx);
	return rc ? err_exit_status(rc) : 0;
}
