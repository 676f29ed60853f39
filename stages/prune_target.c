/* Units by a budget of time. The table's sum is a prediction; the model that it leads to is timed, too, and both are
 * reported.
 *
 * Times differ from one measurement to the next, so what was chosen is kept beside the state of the training until the
 * stage is finished: a run that goes on from an interrupted one has the widths that its state has. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "stages/latency_table.h"

#define FILE_NAME "latency_table.json"
#define TOLERANCE 1.05       /* of the model's time, before it is warned of */
#define MAX_FILE  (16 << 20) /* bytes */

/* ---- the table ---- */

static struct latency_job timing_of(const struct fisher_job *job)
{
	const struct stage_run *run = job->run;
	const struct prune_target *t = &job->o->target;
	const struct input_spec *input = &job->model->ckpt.spec.input;
	struct latency_job out = {.spec = &job->model->ckpt.spec,
	    .blocks = &job->blocks,
	    .adapter = &job->model->ckpt.adapter,
	    .dev = run->cpu_dev,
	    .batch = (int)t->batch,
	    .progress = run->progress,
	    .stop = run->stop};
	if (input->kind == INPUT_TEXT)
		out.tokens = t->tokens > 0 ? t->tokens : llround(job->mean_rows);
	return out;
}

/* ---- the choice ---- */

/* Milliseconds by block and number of units. */
struct times {
	double **ms;
	int n;
};

static void times_clear(struct times *t)
{
	for (int i = 0; t->ms && i < t->n; i++)
		mem_free(t->ms[i]);
	mem_free(t->ms);
}

static int times_make(struct times *t, const struct fisher_job *job, const struct latency_table *table)
{
	*t = (struct times){.n = job->blocks.n};
	t->ms = mem_alloc((size_t)t->n, sizeof(*t->ms));
	for (int i = 0; t->ms && i < t->n; i++) {
		const struct prune_block *b = &job->blocks.item[i];
		t->ms[i] = mem_alloc((size_t)b->units + 1, sizeof(**t->ms));
		if (!t->ms[i])
			return ERR_NOMEM;
		for (int k = 0; k <= b->units; k++)
			t->ms[i][k] = latency_table_ms(table, &job->model->ckpt.spec, b, k);
	}
	return t->ms ? 0 : ERR_NOMEM;
}

static double predict(const struct fisher_job *job, const struct latency_table *table, const struct times *t)
{
	double ms = table->rest_ms;
	for (int i = 0; i < t->n; i++)
		ms += t->ms[i][job->keep[i]];
	return ms;
}

static bool keeps_all(const struct fisher_job *job)
{
	for (int i = 0; i < job->blocks.n; i++)
		if (job->keep[i] < job->blocks.item[i].units)
			return false;
	return true;
}

static int unreachable(const struct fisher_job *job, double least)
{
	return err_set(ERR_CONFIG,
	    "target.latency_ms %g cannot be reached: with what min_units, round_to and exclude keep, %.4g ms are the "
	    "least on this machine",
	    job->o->target.latency_ms, least);
}

/* Chooses by the table, then times the model that is left. What is measured changes nothing: beside other work it may
 * be any time above the true one, and units that go for that are lost. */
static int choose(
    struct fisher_job *job, const struct latency_job *timing, const struct latency_table *table, const struct times *t)
{
	struct fisher_report *r = &job->report;
	double least;
	int rc = prune_search_time(job->blocks.item, t->n, (const double *const *)job->sorted,
	    (const double *const *)t->ms, r->target_ms - table->rest_ms, job->keep, &least);
	if (rc == ERR_CONFIG)
		return unreachable(job, table->rest_ms + least);
	if (!rc)
		rc = latency_of_units(timing, job->keep, &r->measured_ms);
	if (rc)
		return rc;
	r->predicted_ms = predict(job, table, t);
	if (r->measured_ms > r->target_ms * TOLERANCE)
		stage_line(job->run, "warning: the model was measured above target.latency_ms; the table is not good "
				     "where the machine has "
				     "other work");
	return 0;
}

/* ---- what is kept ---- */

/* RESUME.KEY.latency_table.json; false: there is no place for it. */
static bool kept_path(const struct stage_run *run, char *path, size_t cap)
{
	return run->resume_path && run->key &&
	       snprintf(path, cap, "%s.%.8s." FILE_NAME, run->resume_path, run->key) < (int)cap;
}

void prune_target_forget(const struct stage_run *run)
{
	char path[1200];
	if (kept_path(run, path, sizeof(path)))
		unlink(path); /* there need not be one */
}

/* The units of each block from a document; false: it is of another stage or does not fit. */
static bool read_units(struct fisher_job *job, const cJSON *json)
{
	const cJSON *units = cJSON_GetObjectItemCaseSensitive(json, "units");
	const char *key = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "key"));
	char name[64];
	if (!key || strcmp(key, job->run->key) != 0)
		return false;
	for (int i = 0; i < job->blocks.n; i++) {
		const struct prune_block *b = &job->blocks.item[i];
		uint64_t n;
		spec_width_name(&job->model->ckpt.spec, b->width, name);
		if (!json_uint(cJSON_GetObjectItemCaseSensitive(units, name), &n) || n < (uint64_t)b->least ||
		    n > (uint64_t)b->units)
			return false;
		job->keep[i] = (int)n;
	}
	return true;
}

static bool read_figures(struct fisher_report *r, const cJSON *json)
{
	const struct {
		const char *key;
		double *to;
	} figure[] = {
	    {"before_ms", &r->before_ms}, {"predicted_ms", &r->predicted_ms}, {"measured_ms", &r->measured_ms}};
	for (size_t i = 0; i < sizeof(figure) / sizeof(*figure); i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, figure[i].key);
		if (!cJSON_IsNumber(v))
			return false;
		*figure[i].to = v->valuedouble;
	}
	return true;
}

/* *found: an interrupted run of this stage has left its choice; job->keep and the figures are its. */
static int take_kept(struct fisher_job *job, bool *found)
{
	char path[1200];
	struct fs_bytes bytes;
	cJSON *json = NULL;
	*found = false;
	if (!kept_path(job->run, path, sizeof(path)) || !fs_exists(path))
		return 0;
	int rc = fs_read_regular(path, MAX_FILE, &bytes);
	if (!rc)
		rc = json_parse(path, (const char *)bytes.data, bytes.size, &json);
	if (!rc && read_units(job, json) && read_figures(&job->report, json)) {
		*found = true;
		stage_line(job->run, "the table of times of the interrupted run is used again");
		rc = stage_write_json(job->run->out_dir, FILE_NAME, (struct json_out){.at = json, .ok = &(bool){true}});
		json = NULL;
	}
	fs_bytes_clear(&bytes);
	cJSON_Delete(json);
	return rc == ERR_NOMEM || rc == 0 || *found ? rc : 0;
}

static int write_table(struct fisher_job *job, const struct latency_job *timing, const struct latency_table *table,
    const char *dir, const char *name)
{
	const struct fisher_report *r = &job->report;
	char width[64];
	bool ok;
	struct json_out o = json_out_begin(&ok);
	json_out_text(o, "key", job->run->key);
	struct json_out cpu = json_out_object(o, "cpu");
	int rc = ok ? timing->dev.backend->describe(timing->dev.ctx, cpu.at) : 0;
	static const char *const program[] = {"program_version", "program_commit"};
	for (int i = 0; i < 2; i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(job->run->info, program[i]);
		if (v)
			json_out_item(o, program[i], cJSON_Duplicate(v, true));
	}
	json_out_text(o, "precision", "static INT8");
	json_out_number(o, "batch", timing->batch);
	if (timing->tokens)
		json_out_number(o, "tokens", (double)timing->tokens);
	latency_table_put(table, o);
	json_out_number(o, "target_ms", r->target_ms);
	json_out_number(o, "before_ms", r->before_ms);
	json_out_number(o, "predicted_ms", r->predicted_ms);
	json_out_number(o, "measured_ms", r->measured_ms);
	struct json_out units = json_out_object(o, "units");
	for (int i = 0; i < job->blocks.n; i++)
		json_out_number(
		    units, spec_width_name(&job->model->ckpt.spec, job->blocks.item[i].width, width), job->keep[i]);
	const int written = stage_write_json(dir, name, o);
	return rc ? rc : written;
}

/* Into the stage's folder, and beside the state of its training if there may be one. */
static int keep_table(struct fisher_job *job, const struct latency_job *timing, const struct latency_table *table)
{
	char path[1200];
	int rc = write_table(job, timing, table, job->run->out_dir, FILE_NAME);
	if (rc || job->o->train.epochs == 0 || !kept_path(job->run, path, sizeof(path)))
		return rc;
	char *slash = strrchr(path, '/');
	if (!slash)
		return write_table(job, timing, table, ".", path);
	*slash = '\0';
	return write_table(job, timing, table, path, slash + 1);
}

int prune_target(struct fisher_job *job)
{
	struct latency_table table = {0};
	struct times times = {0};
	bool found;
	job->report.target_ms = job->o->target.latency_ms;
	int rc = take_kept(job, &found);
	if (rc || found)
		return rc;
	const struct latency_job timing = timing_of(job);
	for (int i = 0; i < job->blocks.n; i++)
		job->keep[i] = job->blocks.item[i].units;
	rc = latency_of_units(&timing, job->keep, &job->report.before_ms);
	if (!rc)
		rc = latency_table_measure(&table, &timing);
	if (!rc)
		rc = times_make(&times, job, &table);
	if (!rc)
		rc = choose(job, &timing, &table, &times);
	if (!rc && keeps_all(job))
		stage_line(job->run, "the model takes %.3f ms as it is: nothing is removed", job->report.before_ms);
	if (!rc)
		rc = keep_table(job, &timing, &table);
	times_clear(&times);
	latency_table_clear(&table);
	return rc;
}
