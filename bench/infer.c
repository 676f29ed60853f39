/* Inference speed of the CPU backend: FP32 (folded graph) and INT8 (lowered graph) of the three model shapes, with
 * random weights; accuracy is no subject here. Steps come from the smallest and largest values on random inputs.
 *
 *   bench_infer                                         all of them
 *   bench_infer MODEL BATCH PRECISION [SECONDS]         e.g. cnn 32 int8; f32, int8 (static) or dynamic
 *   bench_infer --serve [THREADS]    reads such lines from standard input, so that a script can interleave other
 *                                    programs; models stay prepared
 *   bench_infer --profile MODEL BATCH PRECISION         time of each node and what executes it
 * One JSON line per measurement: model, batch, precision, runs, median_ms, best_ms, and cpu_ms: processor time of all
 * threads per run, which other work on the machine disturbs least. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "bench/inputs.h"
#include "cpu/cpu.h"
#include "exec/executor.h"
#include "graph/pass.h"
#include "quant/observer.h"
#include "quant/plan.h"

#define MAX_RUNS  20000
#define MAX_BUILT 64

struct built { /* one prepared model */
	char model[MODEL_MAX], precision[16];
	int batch;
	struct param_store store;
	struct executor *ex;
};

static int feed_random(struct executor *ex, const char *model)
{
	struct inputs in = {0};
	int rc = inputs_make(&in, executor_graph(ex), model);
	if (!rc)
		rc = inputs_give(&in, ex);
	inputs_clear(&in);
	return rc;
}

/* The steps of one quantized value from its values on the random inputs; written to the store when it has them. */
static int write_step(struct quant_plan *p, int i, struct executor *ex, struct param_store *store, bool write)
{
	struct quant_value *v = &p->value[i];
	const struct graph *g = executor_graph(ex);
	const struct node *node = &g->node[graph_find(g, v->name)];
	const int64_t n = shape_count(node->shape);
	char name[NODE_NAME + 8];
	float *x = mem_alloc((size_t)n, sizeof(*x)), *step = mem_alloc((size_t)v->channels, sizeof(*step));
	int rc = x && step ? executor_output(ex, v->name, x, (size_t)n * sizeof(*x)) : ERR_NOMEM;
	if (!rc && v->weight) {
		rc = quant_weight_steps(x, (size_t)node->shape.dim[0], (size_t)shape_inner(node->shape, 0), v->q,
		    v->per_channel, OBSERVE_MINMAX, step);
	} else if (!rc) {
		float lo = 0, hi = 0;
		for (int64_t k = 0; k < n; k++) {
			lo = x[k] < lo ? x[k] : lo;
			hi = x[k] > hi ? x[k] : hi;
		}
		rc = quant_plan_set_range(p, v->name, lo, hi, step);
	}
	snprintf(name, sizeof(name), "%s.step", v->name);
	if (!rc && write)
		rc = params_write(store, name, step);
	mem_free(x);
	mem_free(step);
	return rc;
}

/* The integer graph of `folded`, its steps calibrated by running `folded` once. */
static int lower(
    const struct graph *folded, const char *model, bool dynamic, struct param_store *store, struct graph *out)
{
	const struct quant_rules rules = {.method = dynamic ? QUANT_DYNAMIC : QUANT_STATIC,
	    .weight_bits = 8,
	    .act_bits = 8,
	    .per_channel = true,
	    .affine = true};
	const struct executor_options options = {.mode = EXEC_INFER, .keep_all = true, .stage = "bench"};
	struct quant_plan plan = {0};
	struct executor *ex = NULL;
	int rc = quant_plan_make(&plan, folded, &rules);
	if (!rc)
		rc = executor_create(&ex, folded, store, &options);
	if (!rc)
		rc = executor_prepare(ex);
	if (!rc)
		rc = feed_random(ex, model);
	if (!rc)
		rc = executor_forward(ex);
	/* ranges first: they fix the zero points that the graph is built with; then the steps have params */
	for (int write = 0; !rc && write < 2; write++) {
		for (int i = 0; !rc && i < plan.n_value; i++)
			rc = write_step(&plan, i, ex, store, write);
		if (!rc && !write)
			rc = pass_lower(folded, &plan, out);
		if (!rc && !write)
			rc = params_add_graph(store, out, 1);
	}
	executor_free(ex);
	quant_plan_clear(&plan);
	return rc;
}

static void built_free(struct built *b)
{
	executor_free(b->ex);
	params_clear(&b->store);
	memset(b, 0, sizeof(*b));
}

static int built_make(struct built *b, struct device dev, const char *model, int batch, const char *precision)
{
	const struct executor_options options = {.mode = EXEC_INFER, .stage = "bench"};
	const struct model_spec *spec = model_find(model);
	const bool dynamic = strcmp(precision, "dynamic") == 0, int8 = dynamic || strcmp(precision, "int8") == 0;
	struct graph g, folded, integer;
	graph_init(&g);
	graph_init(&folded);
	graph_init(&integer);
	params_init(&b->store, dev);
	int rc = spec ? 0 : ERR_CONFIG;
	if (!rc && !int8 && strcmp(precision, "f32") != 0)
		rc = err_set(ERR_CONFIG, "no precision '%s': f32, int8, dynamic", precision);
	if (!rc && batch < 1)
		rc = err_set(ERR_CONFIG, "batch %d", batch);
	if (!rc) {
		const struct build_shape shape = model_shape(model, spec, batch);
		rc = spec_build(&g, spec, &shape);
	}
	if (!rc)
		rc = pass_fold(&g, &folded);
	if (!rc)
		rc = params_add_graph(&b->store, &folded, 1);
	if (!rc && int8)
		rc = lower(&folded, model, dynamic, &b->store, &integer);
	if (!rc)
		rc = executor_create(&b->ex, int8 ? &integer : &folded, &b->store, &options);
	if (!rc)
		rc = executor_prepare(b->ex);
	if (!rc)
		rc = feed_random(b->ex, model);
	snprintf(b->model, sizeof(b->model), "%s", model);
	snprintf(b->precision, sizeof(b->precision), "%s", precision);
	b->batch = batch;
	graph_clear(&g);
	graph_clear(&folded);
	graph_clear(&integer);
	return rc;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static int measure(struct built *b, double seconds)
{
	double *t = mem_alloc(MAX_RUNS, sizeof(*t));
	int n = 0, rc = t ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < 3; i++)
		rc = executor_forward(b->ex);
	const double start = clock_now();
	const clock_t cpu = clock();
	while (!rc && n < MAX_RUNS && (n < 5 || clock_now() - start < seconds)) {
		const double before = clock_now();
		rc = executor_forward(b->ex);
		t[n++] = clock_now() - before;
	}
	const double cpu_seconds = (double)(clock() - cpu) / CLOCKS_PER_SEC;
	if (!rc) {
		qsort(t, (size_t)n, sizeof(*t), by_value);
		printf("{\"model\": \"%s\", \"batch\": %d, \"precision\": \"%s\", \"runs\": %d, \"median_ms\": %.5f, "
		       "\"best_ms\": %.5f, \"cpu_ms\": %.5f}\n",
		    b->model, b->batch, b->precision, n, 1e3 * t[n / 2], 1e3 * t[0], 1e3 * cpu_seconds / n);
		fflush(stdout);
	}
	mem_free(t);
	return rc;
}

/* The best time of each node over several runs: sums would show what else ran on the machine. */
static int profile(struct built *b)
{
	const struct graph *g = executor_graph(b->ex);
	double *seconds = mem_alloc((size_t)g->n, sizeof(*seconds)), *best = mem_alloc((size_t)g->n, sizeof(*best));
	const int runs = b->batch > 8 ? 30 : 300;
	int rc = seconds && best ? executor_forward(b->ex) : ERR_NOMEM;
	for (int i = 0; !rc && i < runs; i++) {
		memset(seconds, 0, (size_t)g->n * sizeof(*seconds));
		rc = executor_profile(b->ex, seconds);
		for (int k = 0; k < g->n; k++)
			best[k] = i == 0 || seconds[k] < best[k] ? seconds[k] : best[k];
	}
	for (int i = 0; !rc && i < g->n; i++)
		if (best[i] > 0)
			printf("%9.2f us  %-12s %-24s %s\n", 1e6 * best[i], op_info(g->node[i].op)->name,
			    g->node[i].name, executor_impl(b->ex, i));
	mem_free(seconds);
	mem_free(best);
	return rc;
}

/* The prepared model, made on first use. */
static int built_get(
    struct built *all, struct device dev, const char *model, int batch, const char *precision, struct built **out)
{
	int i = 0;
	for (; i < MAX_BUILT && all[i].ex; i++)
		if (all[i].batch == batch && strcmp(all[i].model, model) == 0 &&
		    strcmp(all[i].precision, precision) == 0)
			break;
	if (i == MAX_BUILT)
		return err_set(ERR_FAIL, "more than %d models", MAX_BUILT);
	*out = &all[i];
	if (all[i].ex)
		return 0;
	const int rc = built_make(&all[i], dev, model, batch, precision);
	if (rc)
		built_free(&all[i]);
	return rc;
}

static int serve(struct built *all, struct device dev)
{
	char line[MODEL_MAX + 64], model[MODEL_MAX], precision[16];
	int rc = 0, batch;
	double seconds;
	while (!rc && fgets(line, sizeof(line), stdin)) {
		struct built *b;
		if (sscanf(line, "%511s %d %15s %lf", model, &batch, precision, &seconds) != 4)
			return err_set(ERR_CONFIG, "expected MODEL BATCH PRECISION SECONDS, found: %s", line);
		rc = built_get(all, dev, model, batch, precision, &b);
		if (!rc)
			rc = measure(b, seconds);
	}
	return rc;
}

static int standard(struct built *all, struct device dev)
{
	static const struct {
		const char *model;
		int batch;
	} rows[] = {{"mlp", 1}, {"mlp", 32}, {"mlp", 1024}, {"cnn", 1}, {"cnn", 32}, {"resnet", 1}, {"resnet", 32}};
	int rc = 0;
	for (size_t i = 0; !rc && i < 2 * sizeof(rows) / sizeof(*rows); i++) {
		struct built *b;
		rc = built_get(all, dev, rows[i / 2].model, rows[i / 2].batch, i % 2 ? "int8" : "f32", &b);
		if (!rc)
			rc = measure(b, 1.0);
	}
	return rc;
}

int main(int argc, char **argv)
{
	static struct built all[MAX_BUILT];
	struct device dev = {.backend = &cpu_backend};
	const bool serving = argc > 1 && strcmp(argv[1], "--serve") == 0;
	const bool profiling = argc == 5 && strcmp(argv[1], "--profile") == 0;
	struct built *b;
	int rc =
	    dev.backend->open(&dev.ctx, &(struct open_options){.threads = serving && argc > 2 ? atoi(argv[2]) : 0});
	if (!rc && serving) {
		rc = serve(all, dev);
	} else if (!rc && profiling) {
		rc = built_get(all, dev, argv[2], atoi(argv[3]), argv[4], &b);
		if (!rc)
			rc = profile(b);
	} else if (!rc && (argc == 4 || argc == 5)) {
		rc = built_get(all, dev, argv[1], atoi(argv[2]), argv[3], &b);
		if (!rc)
			rc = measure(b, argc == 5 ? atof(argv[4]) : 1.0);
	} else if (!rc) {
		rc = argc == 1 ? standard(all, dev)
			       : err_set(ERR_CONFIG,
				     "usage: bench_infer [--serve [THREADS] | [--profile] MODEL BATCH PRECISION]");
	}
	if (rc)
		fprintf(stderr, "bench_infer: %s\n", err_message());
	for (int i = 0; i < MAX_BUILT; i++)
		built_free(&all[i]);
	if (dev.ctx)
		dev.backend->close(dev.ctx);
	return rc ? err_exit_status(rc) : 0;
}
