/* Timing of whole inferences. Knows models and executors; what is compared with what is the caller's business. */
#include "stages/latency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "exec/family.h"

#define BLOCKS  10 /* turns that each model gets */
#define REFILLS 3  /* untimed runs at the start of a turn: the other models have used the caches */

/* One model at one batch size. The executor is the family's. */
struct subject {
	struct executor *ex;
	const char *output; /* borrowed from the executor's graph */
	float *x, *y;
	size_t x_bytes, y_bytes;
};

static void subject_close(struct subject *s)
{
	mem_free(s->x);
	mem_free(s->y);
	*s = (struct subject){0};
}

static void fill_random(float *x, size_t n, uint64_t seed)
{
	struct rng r = rng_make(seed, "", RNG_BENCH, "input");

	for (size_t i = 0; i < n; i += 4) {
		struct rng_words u = rng_draw(r, 0, 0, (uint32_t)(i / 4));
		float z[4];

		rng_normal2(u.w[0], u.w[1], z);
		rng_normal2(u.w[2], u.w[3], z + 2);
		for (size_t k = 0; k < 4 && i + k < n; k++)
			x[i + k] = z[k];
	}
}

static int subject_open(struct subject *s, struct exec_family *family, int batch, uint64_t seed)
{
	const struct build_shape shape = shape_samples(batch);
	const struct graph *own;
	int in, rc;

	rc = exec_family_at(family, &shape, &s->ex);
	if (rc < 0)
		return rc;
	own = executor_graph(s->ex);
	in = graph_find(own, "input");
	if (in < 0 || own->output == NODE_NONE)
		return err_set(ERR_FAIL, "timing needs a graph with the input 'input' and an output");
	s->output = own->node[own->output].name;
	s->x_bytes = (size_t)shape_count(own->node[in].shape) * sizeof(float);
	s->y_bytes = (size_t)shape_count(own->node[own->output].shape) * dtype_size(own->node[own->output].dtype);
	s->x = mem_alloc(s->x_bytes, 1);
	s->y = mem_alloc(s->y_bytes, 1);
	if (!s->x || !s->y)
		return ERR_NOMEM;
	fill_random(s->x, s->x_bytes / sizeof(float), seed);
	return 0;
}

static int run_once(struct subject *s)
{
	int rc = executor_input(s->ex, "input", s->x, s->x_bytes);

	if (!rc)
		rc = executor_forward(s->ex);
	return rc < 0 ? rc : executor_output(s->ex, s->output, s->y, s->y_bytes);
}

static int run_untimed(struct subject *s, int64_t n)
{
	int rc = 0;

	for (int64_t i = 0; i < n && !rc; i++)
		rc = run_once(s);
	return rc;
}

/* Timings first..last-1 of one model. */
static int run_block(struct subject *s, double *seconds, int64_t first, int64_t last, const volatile sig_atomic_t *stop)
{
	int rc = run_untimed(s, REFILLS);

	for (int64_t i = first; i < last && !rc; i++) {
		double start = clock_now();

		if (stop && *stop)
			return err_set(ERR_INTERRUPTED, "interrupted while timing");
		rc = run_once(s);
		seconds[i] = clock_now() - start;
	}
	return rc;
}

struct timing {
	int batch;
	int64_t warmup, runs;
	const char *text;
	struct progress *progress;
	const volatile sig_atomic_t *stop;
};

static int take_turns(struct subject *s, int n, const struct timing *t, double *const *seconds)
{
	int rc = 0;

	for (int i = 0; i < n && !rc; i++)
		rc = run_untimed(&s[i], t->warmup);
	for (int64_t b = 0; b < BLOCKS && !rc; b++) {
		for (int i = 0; i < n && !rc; i++)
			rc = run_block(&s[i], seconds[i], t->runs * b / BLOCKS, t->runs * (b + 1) / BLOCKS, t->stop);
		if (t->progress && t->progress->update)
			t->progress->update(t->progress, t->text, (double)(b + 1), BLOCKS);
	}
	return rc;
}

static int measure(
    struct exec_family *const *families, int n, const struct timing *t, uint64_t seed, double *const *seconds)
{
	struct subject *s = mem_alloc((size_t)n, sizeof(*s));
	int rc = s ? 0 : ERR_NOMEM;

	for (int i = 0; i < n && !rc; i++)
		rc = subject_open(&s[i], families[i], t->batch, seed);
	if (!rc)
		rc = take_turns(s, n, t, seconds);
	for (int i = 0; s && i < n; i++)
		subject_close(&s[i]);
	mem_free(s);
	return rc;
}

/* ---- figures ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* share in [0, 1]; sorted ascending. */
static double percentile(const double *sorted, int64_t n, double share)
{
	double at = share * (double)(n - 1);
	int64_t low = (int64_t)at, high = low + 1 < n ? low + 1 : low;

	return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

static int finish(struct latency *l)
{
	size_t n = (size_t)(l->runs > l->batch_runs ? l->runs : l->batch_runs);
	double *sorted = mem_alloc(n, sizeof(*sorted));

	if (!sorted)
		return ERR_NOMEM;
	memcpy(sorted, l->seconds, (size_t)l->runs * sizeof(*sorted));
	qsort(sorted, (size_t)l->runs, sizeof(*sorted), compare_doubles);
	l->median = percentile(sorted, l->runs, 0.5);
	l->p95 = percentile(sorted, l->runs, 0.95);
	l->p99 = percentile(sorted, l->runs, 0.99);
	for (int64_t i = 0; i < l->runs; i++)
		l->mean += sorted[i] / (double)l->runs;
	if (l->batch_runs > 0) {
		memcpy(sorted, l->batch_seconds, (size_t)l->batch_runs * sizeof(*sorted));
		qsort(sorted, (size_t)l->batch_runs, sizeof(*sorted), compare_doubles);
		l->throughput = l->batch / fmax(percentile(sorted, l->batch_runs, 0.5), 1e-9);
	}
	mem_free(sorted);
	return 0;
}

static int measure_all(struct exec_family *const *families, int n, const struct latency_options *o, uint64_t seed,
    struct progress *progress, const volatile sig_atomic_t *stop, struct latency *out)
{
	struct timing one = {1, o->warmup, o->runs, "latency", progress, stop};
	struct timing many = {(int)o->throughput_batch, 2, o->throughput_runs, "throughput", progress, stop};
	double **seconds = mem_alloc((size_t)n, sizeof(*seconds));
	int rc = seconds ? 0 : ERR_NOMEM;

	for (int i = 0; i < n && !rc; i++)
		seconds[i] = out[i].seconds;
	if (!rc)
		rc = measure(families, n, &one, seed, seconds);
	for (int i = 0; i < n && !rc; i++)
		seconds[i] = out[i].batch_seconds;
	if (!rc && o->throughput_runs > 0)
		rc = measure(families, n, &many, seed, seconds);
	mem_free(seconds);
	for (int i = 0; i < n && !rc; i++)
		rc = finish(&out[i]);
	return rc;
}

/* Both batch sizes of a model use one copy of its packed weights. */
static int measure_families(struct stage_model *const *models, int n, const struct latency_options *o, uint64_t seed,
    struct progress *progress, const volatile sig_atomic_t *stop, struct latency *out)
{
	const struct executor_options infer = {.mode = EXEC_INFER};
	struct exec_family **families = mem_alloc((size_t)n, sizeof(struct exec_family *));
	int rc = families ? 0 : ERR_NOMEM;

	for (int i = 0; i < n && !rc; i++)
		rc = exec_family_create(&families[i], &models[i]->params, &infer, stage_model_build, models[i]);
	if (!rc)
		rc = measure_all(families, n, o, seed, progress, stop, out);
	for (int i = 0; families && i < n; i++)
		exec_family_free(families[i]);
	mem_free(families);
	return rc;
}

int latency_measure(struct stage_model *const *models, int n, const struct latency_options *o, uint64_t seed,
    struct progress *progress, const volatile sig_atomic_t *stop, struct latency *out)
{
	int rc = 0;

	for (int i = 0; i < n; i++)
		out[i] = (struct latency){
		    .runs = o->runs, .batch_runs = o->throughput_runs, .batch = (int)o->throughput_batch};
	for (int i = 0; i < n && !rc; i++) {
		out[i].seconds = mem_alloc((size_t)o->runs, sizeof(double));
		out[i].batch_seconds = mem_alloc((size_t)o->throughput_runs + 1, sizeof(double));
		rc = out[i].seconds && out[i].batch_seconds ? 0 : ERR_NOMEM;
	}
	if (!rc)
		rc = measure_families(models, n, o, seed, progress, stop, out);
	for (int i = 0; i < n && rc < 0; i++)
		latency_clear(&out[i]);
	return rc;
}

void latency_clear(struct latency *l)
{
	mem_free(l->seconds);
	mem_free(l->batch_seconds);
	*l = (struct latency){0};
}

cJSON *latency_to_json(const struct latency *l)
{
	cJSON *o = cJSON_CreateObject();
	bool ok = o && cJSON_AddNumberToObject(o, "latency_ms_median", l->median * 1e3) &&
		  cJSON_AddNumberToObject(o, "latency_ms_mean", l->mean * 1e3) &&
		  cJSON_AddNumberToObject(o, "latency_ms_p95", l->p95 * 1e3) &&
		  cJSON_AddNumberToObject(o, "latency_ms_p99", l->p99 * 1e3) &&
		  cJSON_AddNumberToObject(o, "runs", (double)l->runs) &&
		  cJSON_AddNumberToObject(o, "throughput_sps", l->throughput) &&
		  cJSON_AddNumberToObject(o, "throughput_batch", l->batch) &&
		  cJSON_AddNumberToObject(o, "throughput_runs", (double)l->batch_runs);

	if (ok)
		return o;
	cJSON_Delete(o);
	return NULL;
}

static bool add_list(cJSON *o, const char *key, const double *seconds, int64_t n)
{
	cJSON *list = cJSON_AddArrayToObject(o, key);

	for (int64_t i = 0; list && i < n; i++) {
		cJSON *v = cJSON_CreateNumber(seconds[i] * 1e3);

		if (!v || !cJSON_AddItemToArray(list, v)) {
			cJSON_Delete(v);
			return false;
		}
	}
	return list;
}

cJSON *latency_raw_to_json(const struct latency *l)
{
	cJSON *o = cJSON_CreateObject();

	if (o && add_list(o, "latency_ms", l->seconds, l->runs) &&
	    add_list(o, "throughput_batch_ms", l->batch_seconds, l->batch_runs))
		return o;
	cJSON_Delete(o);
	return NULL;
}
