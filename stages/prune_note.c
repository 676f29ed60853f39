/* See prune_note.h. */
#include "stages/prune_note.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/mem.h"

int prune_round_name(const struct prune_job *job, int round, char *name, size_t cap)
{
	const bool one = prune_rounds(job->o) == 1;
	if (snprintf(name, cap, one ? "%s" : "%s_round%d", job->run->name, round) >= (int)cap)
		return err_set(ERR_FAIL, "stage name '%.40s...' is too long", job->run->name);
	return 0;
}

/* Files of earlier rounds, by number: the table of entropies, then the log of each round. The folder of a stage that
 * goes on is a new one. */
static int file_path(const struct prune_job *job, int i, char *path, size_t cap)
{
	char name[128], log[160];
	if (!i)
		return fs_join(path, cap, job->run->out_dir, "head_entropy.csv");
	int rc = prune_round_name(job, i, name, sizeof(name));
	snprintf(log, sizeof(log), "logs/%s_training.csv", name);
	return rc ? rc : fs_join(path, cap, job->run->out_dir, log);
}

static int save_files(const struct prune_job *job, int round, struct json_out list)
{
	for (int i = 0; i < round; i++) {
		char path[1024];
		struct fs_bytes text;
		int rc = file_path(job, i, path, sizeof(path));
		if (!rc && !fs_exists(path)) {
			json_out_null(list, NULL);
			continue;
		}
		rc = rc ? rc : fs_read(path, &text);
		if (rc)
			return rc;
		json_out_text(list, NULL, (const char *)text.data);
		fs_bytes_clear(&text);
	}
	return 0;
}

/* The row of this round has no figures of after. */
int prune_note_write(const struct prune_job *job, int round, char **note)
{
	const struct model_spec *spec = &job->model.ckpt.spec;
	const struct task *task = &job->model.ckpt.task;
	bool ok;
	cJSON *o = NULL;
	struct json_out out = json_out_begin(&ok);
	json_out_number(out, "round", round);
	json_out_exact(out, "seconds", job->run->earlier_seconds + clock_now() - job->started);
	json_out_exact(out, "initial", job->initial);
	json_out_number(out, "calibrated", (double)job->calibrated);
	struct json_out widths = json_out_list(out, "widths"), rows = json_out_list(out, "rows");
	for (int i = 0; i < spec->n_width; i++)
		json_out_number(widths, NULL, spec->width[i]);
	for (int i = 0; i < round; i++)
		prune_row_save(rows, &job->curve.row[i]);
	if (task->threshold) {
		struct json_out thresholds = json_out_list(out, "thresholds");
		for (int i = 0; i < task->classes; i++)
			json_out_exact(thresholds, NULL, task->threshold[i]);
	}
	int rc = save_files(job, round, json_out_list(out, "files"));
	const int written = json_out_end(out, &o);
	rc = rc ? rc : written;
	char *text = rc ? NULL : cJSON_PrintUnformatted(o);
	*note = text ? mem_strdup(text) : NULL;
	cJSON_free(text);
	cJSON_Delete(o);
	if (rc)
		return rc;
	return *note ? 0 : err_set(ERR_NOMEM, "out of memory");
}

static int not_a_note(const struct prune_job *job)
{
	return err_set(ERR_CHECKPOINT,
	    "%s: no state of this stage: its note; remove the file to start the stage from its beginning",
	    job->run->resume_path);
}

static int take_number(const struct prune_job *job, const cJSON *o, const char *key, double most, double *v)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= most))
		return not_a_note(job);
	*v = item->valuedouble;
	return 0;
}

/* A model of these widths; its values come with the state. */
static int take_widths(struct prune_job *job, const cJSON *widths)
{
	struct model_spec cut = {0};
	struct param_store store;
	struct graph g;
	graph_init(&g);
	params_init(&store, job->run->train_dev);
	int rc = cJSON_GetArraySize(widths) == job->input.n_width ? spec_copy(&cut, &job->input) : not_a_note(job);
	for (int i = 0; !rc && i < cut.n_width; i++) {
		uint64_t width;
		if (!json_uint(cJSON_GetArrayItem(widths, i), &width) || width < 1 || width > (uint64_t)cut.width[i])
			rc = not_a_note(job);
		else
			cut.width[i] = (int)width;
	}
	if (!rc)
		rc = spec_build(&g, &cut, &shape_one);
	if (!rc)
		rc = params_add_graph(&store, &g, job->run->seed);
	graph_clear(&g);
	if (rc) {
		params_clear(&store);
		spec_clear(&cut);
		return rc;
	}
	params_clear(&job->model.params);
	job->model.params = store;
	spec_clear(&job->model.ckpt.spec);
	job->model.ckpt.spec = cut;
	return 0;
}

static int take_files(const struct prune_job *job, int round, const cJSON *files)
{
	char path[1024];
	int rc = cJSON_GetArraySize(files) == round ? fs_join(path, sizeof(path), job->run->out_dir, "logs")
						    : not_a_note(job);
	if (!rc)
		rc = fs_mkdirs(path);
	for (int i = 0; !rc && i < round; i++) {
		const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(files, i));
		if (!text)
			continue;
		rc = file_path(job, i, path, sizeof(path));
		if (!rc)
			rc = fs_write(path, text, strlen(text));
	}
	return rc;
}

/* Those that earlier rounds have found: by which of its epochs this one is judged. */
static int take_thresholds(struct prune_job *job, const cJSON *thresholds)
{
	struct task *task = &job->model.ckpt.task;
	if (!thresholds)
		return 0;
	if (cJSON_GetArraySize(thresholds) != task->classes)
		return not_a_note(job);
	if (!task->threshold && !(task->threshold = mem_alloc((size_t)task->classes, sizeof(*task->threshold))))
		return ERR_NOMEM;
	for (int i = 0; i < task->classes; i++) {
		const cJSON *item = cJSON_GetArrayItem(thresholds, i);
		if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 1))
			return not_a_note(job);
		task->threshold[i] = item->valuedouble;
	}
	return 0;
}

int prune_note_read(struct prune_job *job, const char *note, int *round)
{
	cJSON *o = NULL;
	double at = 0, calibrated = 0;
	int rc = json_parse(job->run->resume_path, note, strlen(note), &o);
	if (!rc)
		rc = take_number(job, o, "round", prune_rounds(job->o), &at);
	if (!rc)
		rc = take_number(job, o, "seconds", 1e12, &job->run->earlier_seconds);
	if (!rc)
		rc = take_number(job, o, "initial", 1, &job->initial);
	if (!rc)
		rc = take_number(job, o, "calibrated", 1e15, &calibrated);
	*round = (int)at;
	job->calibrated = (int64_t)calibrated;
	const cJSON *rows = cJSON_GetObjectItemCaseSensitive(o, "rows");
	if (!rc && (*round < 1 || cJSON_GetArraySize(rows) != *round))
		rc = not_a_note(job);
	for (int i = 0; !rc && i < *round; i++)
		if (!prune_row_restore(&job->curve.row[i], cJSON_GetArrayItem(rows, i)))
			rc = not_a_note(job);
	job->curve.n = *round - 1;
	if (!rc)
		rc = take_widths(job, cJSON_GetObjectItemCaseSensitive(o, "widths"));
	if (!rc)
		rc = take_thresholds(job, cJSON_GetObjectItemCaseSensitive(o, "thresholds"));
	if (!rc)
		rc = take_files(job, *round, cJSON_GetObjectItemCaseSensitive(o, "files"));
	cJSON_Delete(o);
	return rc;
}
