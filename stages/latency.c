/* Timing of whole inferences. Knows models and sessions; what is compared with what is the caller's business. */
#include "stages/latency.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#define BLOCKS  10 /* turns that each model gets */
#define REFILLS 3  /* untimed runs at the start of a turn: the other models have used the caches */

/* What both batch sizes have in common. */
struct protocol {
	const struct latency_subject *subject;
	int n;
	uint64_t seed;
	struct progress *progress;
	const volatile sig_atomic_t *stop;
};

struct timing {
	int batch;
	int64_t warmup, runs;
	const char *text;
};

/* One model at one batch size. */
struct timed {
	struct session session;
	const struct encoding *samples; /* NULL: the random input that the session holds */
};

static void timed_close(struct timed *t)
{
	session_close(&t->session);
	*t = (struct timed){0};
}

/* The samples of run `run` into the session's index. */
static void choose(struct timed *t, int64_t run)
{
	int64_t first = run * t->session.batch;
	for (int k = 0; k < t->session.batch; k++)
		t->session.index[k] = (uint32_t)((first + k) % t->samples->n);
}

static int run_once(struct timed *t, int64_t run)
{
	if (!t->samples)
		return session_again(&t->session);
	choose(t, run);
	return session_forward(&t->session, t->samples, t->session.index, t->session.batch);
}

static int check_stop(const volatile sig_atomic_t *stop)
{
	return stop && *stop ? err_set(ERR_INTERRUPTED, "interrupted while timing") : 0;
}

static int run_untimed(struct timed *t, int64_t run, int64_t n, const volatile sig_atomic_t *stop)
{
	int rc = 0;
	for (int64_t i = 0; i < n && !rc; i++) {
		rc = check_stop(stop);
		if (!rc)
			rc = run_once(t, run);
	}
	return rc;
}

/* Texts of other lengths need other executors: all that the timed runs need are made before the first of them. */
static int meet_shapes(struct timed *t, int64_t runs, const volatile sig_atomic_t *stop)
{
	int64_t *met = mem_alloc((size_t)runs, sizeof(*met)), n = 0;
	int rc = met ? 0 : ERR_NOMEM;
	for (int64_t run = 0; run < runs && !rc; run++) {
		choose(t, run);
		int64_t tokens =
		    encoding_shape(t->samples, t->session.index, t->session.batch, t->session.batch).tokens;
		int64_t i = 0;
		while (i < n && met[i] != tokens)
			i++;
		if (i < n)
			continue;
		met[n++] = tokens;
		rc = run_untimed(t, run, 1, stop);
	}
	mem_free(met);
	return rc;
}

static int timed_open(
    struct timed *t, const struct latency_subject *s, const struct timing *timing, const struct protocol *p)
{
	int rc = session_open_model(&t->session, s->model, &(struct session_options){.batch = timing->batch});
	t->samples = s->samples;
	if (rc)
		return rc;
	return s->samples ? meet_shapes(t, timing->runs, p->stop)
			  : session_random(&t->session, &s->model->ckpt.adapter, p->seed, timing->batch);
}

/* Timings first..last-1 of one model. */
static int run_block(struct timed *t, double *seconds, int64_t first, int64_t last, const volatile sig_atomic_t *stop)
{
	int rc = run_untimed(t, first, REFILLS, stop);
	for (int64_t i = first; i < last && !rc; i++) {
		double start = clock_now();
		rc = check_stop(stop);
		if (!rc)
			rc = run_once(t, i);
		seconds[i] = clock_now() - start;
	}
	return rc;
}

static int take_turns(struct timed *t, const struct protocol *p, const struct timing *timing, double *const *seconds)
{
	int rc = 0;
	for (int i = 0; i < p->n && !rc; i++)
		rc = run_untimed(&t[i], 0, timing->warmup, p->stop);
	for (int64_t b = 0; b < BLOCKS && !rc; b++) {
		for (int i = 0; i < p->n && !rc; i++)
			rc = run_block(
			    &t[i], seconds[i], timing->runs * b / BLOCKS, timing->runs * (b + 1) / BLOCKS, p->stop);
		if (p->progress && p->progress->update)
			p->progress->update(p->progress, timing->text, (double)(b + 1), BLOCKS);
	}
	return rc;
}

static int measure(const struct protocol *p, const struct timing *timing, double *const *seconds)
{
	struct timed *t = mem_alloc((size_t)p->n, sizeof(*t));
	int rc = t ? 0 : ERR_NOMEM;
	for (int i = 0; i < p->n && !rc; i++)
		rc = timed_open(&t[i], &p->subject[i], timing, p);
	if (!rc)
		rc = take_turns(t, p, timing, seconds);
	for (int i = 0; t && i < p->n; i++)
		timed_close(&t[i]);
	mem_free(t);
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

static void describe_input(struct latency *l, const struct latency_subject *s)
{
	const struct encoding *e = s->samples;
	const struct adapter *a = &s->model->ckpt.adapter;
	const bool texts = a->spec.kind == INPUT_TEXT;
	struct build_shape shape = {.sequences = 1};
	if (!e) {
		snprintf(l->input, sizeof(l->input), "random");
		if (a->kind->typical)
			a->kind->typical(a, 1, &shape);
		l->tokens = (double)shape.tokens;
		return;
	}
	snprintf(l->input, sizeof(l->input), "%s %s", split_names[e->split],
	    samples_word(texts ? SAMPLE_TEXT : SAMPLE_IMAGE, a->spec.pairs));
	for (int64_t i = 0; texts && i < l->runs; i++)
		l->tokens += (double)(e->start[i % e->n + 1] - e->start[i % e->n]) / (double)l->runs;
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

static int measure_both(const struct protocol *p, const struct latency_options *o, struct latency *out)
{
	const struct timing one = {1, o->warmup, o->runs, "latency"};
	const struct timing many = {(int)o->throughput_batch, 2, o->throughput_runs, "throughput"};
	double **seconds = mem_alloc((size_t)p->n, sizeof(*seconds));
	int rc = seconds ? 0 : ERR_NOMEM;
	for (int i = 0; i < p->n && !rc; i++)
		seconds[i] = out[i].seconds;
	if (!rc)
		rc = measure(p, &one, seconds);
	for (int i = 0; i < p->n && !rc; i++)
		seconds[i] = out[i].batch_seconds;
	if (!rc && o->throughput_runs > 0)
		rc = measure(p, &many, seconds);
	mem_free(seconds);
	for (int i = 0; i < p->n && !rc; i++) {
		describe_input(&out[i], &p->subject[i]);
		rc = finish(&out[i]);
	}
	return rc;
}

int latency_measure(const struct latency_subject *subjects, int n, const struct latency_options *o, uint64_t seed,
    struct progress *progress, const volatile sig_atomic_t *stop, struct latency *out)
{
	const struct protocol p = {subjects, n, seed, progress, stop};
	int rc = 0;
	for (int i = 0; i < n; i++)
		out[i] = (struct latency){.runs = o->runs,
		    .batch_runs = o->throughput_runs,
		    .batch = (int)o->throughput_batch,
		    .throughput = NAN};
	for (int i = 0; i < n && !rc; i++) {
		out[i].seconds = mem_alloc((size_t)o->runs, sizeof(double));
		out[i].batch_seconds = mem_alloc((size_t)o->throughput_runs + 1, sizeof(double));
		rc = out[i].seconds && out[i].batch_seconds ? 0 : ERR_NOMEM;
	}
	if (!rc)
		rc = measure_both(&p, o, out);
	for (int i = 0; i < n && rc; i++)
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
	bool ok;
	cJSON *json;
	struct json_out o = json_out_begin(&ok);
	json_out_number(o, "latency_ms_median", l->median * 1e3);
	json_out_number(o, "latency_ms_mean", l->mean * 1e3);
	json_out_number(o, "latency_ms_p95", l->p95 * 1e3);
	json_out_number(o, "latency_ms_p99", l->p99 * 1e3);
	json_out_number(o, "runs", (double)l->runs);
	json_out_text(o, "latency_input", l->input);
	if (l->tokens > 0)
		json_out_number(o, "latency_tokens", l->tokens);
	json_out_number(o, "throughput_sps", l->throughput);
	json_out_number(o, "throughput_batch", l->batch);
	json_out_number(o, "throughput_runs", (double)l->batch_runs);
	return json_out_end(o, &json) == 0 ? json : NULL;
}

static void add_list(struct json_out o, const char *key, const double *seconds, int64_t n)
{
	struct json_out list = json_out_list(o, key);
	for (int64_t i = 0; i < n; i++)
		json_out_number(list, NULL, seconds[i] * 1e3);
}

cJSON *latency_raw_to_json(const struct latency *l)
{
	bool ok;
	cJSON *json;
	struct json_out o = json_out_begin(&ok);
	add_list(o, "latency_ms", l->seconds, l->runs);
	add_list(o, "throughput_batch_ms", l->batch_seconds, l->batch_runs);
	return json_out_end(o, &json) == 0 ? json : NULL;
}
