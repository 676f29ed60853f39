/* Structured pruning without training: gradients of the mask variables, what follows from them, the smaller model. */
#include "stages/prune_fisher.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/memory.h"
#include "model/units.h"
#include "stages/prune_gates.h"

#define BATCH 16 /* samples: their values and gradients are all kept */

/* ---- samples ---- */

static int open_samples(struct fisher_job *job)
{
	const struct stage_run *run = job->run;
	const int64_t have = run->data->n[SPLIT_TRAIN], want = job->o->fisher_samples;
	struct sampler sampler;
	int rc = encoding_open(&job->samples, &job->model->ckpt.adapter, run->data, SPLIT_TRAIN);
	if (rc)
		return rc;
	job->n = want < have ? want : have;
	job->batch = job->n < BATCH ? (int)job->n : BATCH;
	job->n -= job->n % job->batch;
	job->index = mem_alloc((size_t)job->n, sizeof(*job->index));
	rc = job->index ? sampler_init(&sampler, run->seed, run->name, have) : ERR_NOMEM;
	if (rc)
		return rc;
	rc = sampler_take(&sampler, 0, (int)job->n, job->index);
	sampler_clear(&sampler);
	double rows = 0, pairs = 0;
	for (int64_t i = 0; job->samples.start && i < job->n; i++) {
		const double n = (double)(job->samples.start[job->index[i] + 1] - job->samples.start[job->index[i]]);
		rows += n;
		pairs += n * n;
	}
	job->mean_rows = rows / (double)job->n;
	job->attended = rows > 0 ? pairs / rows : 0;
	return rc;
}

int fisher_open(struct fisher_job *job)
{
	int rc = prune_blocks_find(&job->blocks, job->o, &job->model->ckpt.spec);
	if (!rc)
		rc = open_samples(job);
	if (rc)
		return rc;
	job->keep = mem_alloc((size_t)job->blocks.n, sizeof(*job->keep));
	return job->keep ? 0 : ERR_NOMEM;
}

int64_t fisher_first_row(const struct feed *feed, int sample)
{
	const struct feed_tensor *starts = feed_find(feed, "starts");
	return starts ? ((const int32_t *)starts->data)[sample] : sample;
}

int fisher_check_stop(const struct fisher_job *job, const char *what, int64_t done)
{
	const struct stage_run *run = job->run;
	if (run->stop && *run->stop)
		return err_set(ERR_INTERRUPTED, "interrupted while pruning");
	if (run->progress && run->progress->update)
		run->progress->update(run->progress, what, (double)done, (double)job->n);
	return 0;
}

/* ---- gradients ---- */

/* Where the next gradients belong: gates come in the order of blocks, each with all samples of a batch. */
struct place {
	struct fisher_job *job;
	int block;
	int64_t at; /* the batch's first sample */
	int sample; /* of the batch */
};

static int take_gradient(void *user, const struct gate *gate, const double *gradient)
{
	struct place *p = user;
	struct fisher_job *job = p->job;
	for (int u = 0; u < gate->units; u++)
		job->gradient[p->block][u * job->n + p->at + p->sample] = (float)gradient[u];
	if (++p->sample < job->batch)
		return 0;
	p->sample = 0;
	if (++p->block == job->blocks.n) {
		p->block = 0;
		p->at += job->batch;
	}
	return 0;
}

/* The gates of all blocks, in their order. */
static int find_gates(const struct fisher_job *job, struct gates *gates)
{
	const struct model_spec *spec = &job->model->ckpt.spec;
	bool *wanted = mem_alloc((size_t)spec->n_width, sizeof(*wanted));
	if (!wanted)
		return ERR_NOMEM;
	for (int i = 0; i < job->blocks.n; i++)
		wanted[job->blocks.item[i].width] = true;
	int rc = gates_find(gates, spec, wanted);
	mem_free(wanted);
	return rc;
}

int fisher_gradients(struct fisher_job *job)
{
	const struct calibration_size size = {SPLIT_TRAIN, job->batch, job->n / job->batch};
	struct place place = {.job = job};
	struct gates gates = {0};
	job->gradient = mem_alloc((size_t)job->blocks.n, sizeof(*job->gradient));
	int rc = job->gradient ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < job->blocks.n; i++) {
		job->gradient[i] = mem_alloc((size_t)job->blocks.item[i].units * (size_t)job->n, sizeof(float));
		rc = job->gradient[i] ? 0 : ERR_NOMEM;
	}
	if (!rc)
		rc = find_gates(job, &gates);
	if (!rc)
		rc = gates_run(&gates, job->run, job->model, &size, take_gradient, &place);
	gates_clear(&gates);
	return rc;
}

int fisher_plan(struct fisher_job *job, size_t *device, size_t *host)
{
	struct gates gates = {0};
	size_t tuning = 0, reading = 0, held = 0;
	*device = 0;
	int rc = find_gates(job, &gates);
	if (!rc)
		rc = gates_plan(&gates, job->model, &job->samples, job->batch, device, &reading);
	if (!rc && job->o->tune)
		rc = prune_tune_plan(job, &tuning, host);
	gates_clear(&gates);
	if (rc)
		return rc;
	for (int i = 0; i < job->blocks.n; i++)
		held += (size_t)job->blocks.item[i].units * ((size_t)job->n * sizeof(float) + sizeof(double));
	tuning += memory_params(&job->model->params); /* those of the cut model, at most */
	*device = tuning > *device ? tuning : *device;
	*host = held + (job->o->tune && *host > reading ? *host : reading);
	return 0;
}

static int descending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x < y) - (x > y);
}

static int sort_scores(struct fisher_job *job)
{
	job->sorted = mem_alloc((size_t)job->blocks.n, sizeof(*job->sorted));
	int rc = job->sorted ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < job->blocks.n; i++) {
		const int units = job->blocks.item[i].units;
		double *score = job->sorted[i] = mem_alloc((size_t)units, sizeof(*score));
		if (!score)
			return ERR_NOMEM;
		for (int u = 0; u < units; u++) {
			const float *g = job->gradient[i] + u * job->n;
			score[u] = prune_dot(g, g, job->n) / (double)job->n;
			if (!isfinite(score[u]))
				return err_set(ERR_FAIL, "gradients of '%s' are not finite", job->blocks.item[i].x);
		}
		qsort(score, (size_t)units, sizeof(*score), descending);
	}
	return rc;
}

/* ---- the choice ---- */

/* The units by their multiply-adds. */
static int search_macs(struct fisher_job *job, const double *cost)
{
	const double most = prune_most_macs(&job->blocks, job->attended);
	int rc = prune_search_cost(job->blocks.item, job->blocks.n, (const double *const *)job->sorted, cost,
	    job->report.macs * (1 - job->o->sparsity), job->keep);
	if (rc != ERR_CONFIG)
		return rc;
	rc = prune_share_check(job->o->sparsity, most);
	/* A budget of just the least may be missed by rounding alone. */
	return rc ? rc
		  : err_set(ERR_CONFIG, "sparsity %g leaves no room: a little less can be reached", job->o->sparsity);
}

static int search(struct fisher_job *job)
{
	const int n = job->blocks.n;
	double *cost = mem_alloc((size_t)n, sizeof(*cost));
	if (!cost)
		return ERR_NOMEM;
	for (int i = 0; i < n; i++) {
		cost[i] = prune_unit_macs(&job->blocks.item[i], job->attended);
		job->report.macs += cost[i] * job->blocks.item[i].units;
	}
	int rc = job->o->target.latency_ms > 0 ? prune_target(job) : search_macs(job, cost);
	for (int i = 0; i < n; i++)
		job->report.macs_left += cost[i] * job->keep[i];
	mem_free(cost);
	return rc;
}

static int choose(struct fisher_job *job, struct slice *slice)
{
	int rc = slice_init(slice, job->model->ckpt.spec.n_width);
	for (int i = 0; !rc && i < job->blocks.n; i++) {
		const struct prune_block *b = &job->blocks.item[i];
		bool *kept = mem_alloc((size_t)b->units, sizeof(*kept));
		int *list = slice->keep[b->width] = mem_alloc((size_t)job->keep[i], sizeof(*list));
		rc = kept && list ? fisher_check_stop(job, "rearranging", job->n * i / job->blocks.n) : ERR_NOMEM;
		if (!rc)
			rc = prune_choose_units(
			    job->gradient[i], b->units, job->n, job->keep[i], job->o->rearrange, kept);
		for (int u = 0; !rc && u < b->units; u++)
			if (kept[u])
				list[slice->n_keep[b->width]++] = u;
		mem_free(kept);
	}
	return rc;
}

/* Replaces the model by what is left of it. */
static int cut(struct fisher_job *job, const struct slice *slice)
{
	struct model *m = job->model;
	struct model_spec spec = {0};
	struct param_store left;
	params_init(&left, m->params.dev);
	int rc = slice_spec(&spec, &m->ckpt.spec, slice);
	if (!rc)
		rc = prune_slice_params(&m->ckpt.spec, &spec, slice, &m->params, &left);
	if (!rc && job->o->tune)
		rc = prune_tune(job, &spec, &left);
	if (rc) {
		params_clear(&left);
		spec_clear(&spec);
		return rc;
	}
	params_clear(&m->params);
	spec_clear(&m->ckpt.spec);
	m->params = left;
	m->ckpt.spec = spec;
	return 0;
}

/* ---- report ---- */

static void say(const struct fisher_job *job)
{
	const struct fisher_report *r = &job->report;
	const struct prune_blocks *b = &job->blocks;
	char text[400] = "", name[64];
	size_t at = 0;
	for (int i = 0; i < b->n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %d", i ? ", " : "",
		    spec_width_name(&job->model->ckpt.spec, b->item[i].width, name), job->keep[i]);
	stage_line(job->run, "kept: %s", text);
	stage_line(job->run,
	    "by the gradients of %" PRId64 " samples, %.1f %% of the multiply-adds of these layers are left", job->n,
	    100 * r->macs_left / r->macs);
	if (r->target_ms > 0)
		stage_line(job->run,
		    "as static INT8 %.3f ms, of %.3f ms before (%.3f ms predicted from the table, %g ms asked for)",
		    r->measured_ms, r->before_ms, r->predicted_ms, r->target_ms);
	if (r->tuned)
		stage_line(job->run, "gains of %d of %d layers were solved for: %.3f to %.3f", r->tuned, b->n,
		    r->least_gain, r->most_gain);
}

static int to_json(const struct fisher_job *job, cJSON **out)
{
	const struct fisher_report *r = &job->report;
	char name[64];
	bool ok;
	struct json_out o = json_out_begin(&ok);
	json_out_number(o, "samples", (double)job->n);
	json_out_number(o, "macs_left_pct", 100 * r->macs_left / r->macs);
	struct json_out units = json_out_object(o, "units");
	for (int i = 0; i < job->blocks.n; i++) {
		const struct prune_block *b = &job->blocks.item[i];
		struct json_out one = json_out_object(units, spec_width_name(&job->model->ckpt.spec, b->width, name));
		json_out_number(one, "before", b->units);
		json_out_number(one, "left", job->keep[i]);
	}
	if (r->target_ms > 0) {
		struct json_out latency = json_out_object(o, "latency");
		json_out_number(latency, "target_ms", r->target_ms);
		json_out_number(latency, "before_ms", r->before_ms);
		json_out_number(latency, "predicted_ms", r->predicted_ms);
		json_out_number(latency, "measured_ms", r->measured_ms);
	}
	json_out_number(o, "layers_tuned", r->tuned);
	if (r->tuned) {
		json_out_number(o, "least_gain", r->least_gain);
		json_out_number(o, "most_gain", r->most_gain);
	}
	return json_out_end(o, out);
}

void fisher_close(struct fisher_job *job)
{
	for (int i = 0; i < job->blocks.n; i++) {
		if (job->gradient)
			mem_free(job->gradient[i]);
		if (job->sorted)
			mem_free(job->sorted[i]);
	}
	mem_free(job->gradient);
	mem_free(job->sorted);
	mem_free(job->keep);
	mem_free(job->index);
	prune_blocks_clear(&job->blocks);
	encoding_close(&job->samples);
}

int prune_fisher(const struct prune_options *o, struct stage_run *run, struct model *model, cJSON **report)
{
	struct fisher_job job = {.o = o, .run = run, .model = model};
	struct slice slice = {0};
	int rc = fisher_open(&job);
	if (!rc)
		rc = fisher_gradients(&job);
	if (!rc)
		rc = sort_scores(&job);
	if (!rc)
		rc = search(&job);
	if (!rc)
		rc = choose(&job, &slice);
	if (!rc)
		rc = cut(&job, &slice);
	if (!rc) {
		say(&job);
		rc = to_json(&job, report);
	}
	slice_clear(&slice);
	fisher_close(&job);
	return rc;
}
