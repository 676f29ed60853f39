/* Loading, reporting and saving, shared by the stages. Which fields follow from the model itself is checkpoint_save's
 * business; here is what only the stage knows. */
#include "stages/common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "stages/accept.h"
#include "stages/partial.h"
#include "stages/seen.h"

#define MEASURE_BATCH 128 /* large enough for full speed, small enough for any activation memory here */

/* Thresholds were chosen for this model when it was made; they stay where the run asks for no others. */
static int take_task(struct model *m, const struct stage_run *run)
{
	struct task task;
	int rc = task_copy(&task, run->task);
	if (rc)
		return rc;
	if (!task.threshold && m->ckpt.task.threshold) {
		task.threshold = m->ckpt.task.threshold; /* moved */
		m->ckpt.task.threshold = NULL;
	}
	task_clear(&m->ckpt.task);
	m->ckpt.task = task;
	return 0;
}

/* What the checkpoint in `dir` was when the run was planned. */
static const char *planned_hash(const struct stage_run *run, const char *dir)
{
	if (dir == run->input_dir)
		return run->input_sha256;
	if (dir == run->teacher_dir)
		return run->teacher_sha256;
	if (dir == run->pretrained_dir)
		return run->pretrained_sha256;
	for (int i = 0; run->input_sha256s && i < run->n_input; i++)
		if (dir == run->input_dirs[i])
			return run->input_sha256s[i];
	return NULL;
}

int stage_check_planned(const struct stage_run *run, const char *dir, const struct checkpoint *c)
{
	const char *want = planned_hash(run, dir);
	if (!want || !*want || strcmp(want, c->info_sha256) == 0)
		return 0;
	return err_set(ERR_CHECKPOINT,
	    "%s: was changed since this run began (the SHA-256 of its checkpoint_info.json was %s and is %s); run "
	    "again to use what is there now",
	    dir, want, c->info_sha256);
}

/* A checkpoint that its own stage's rule has turned down is there to be looked at, and may be named nevertheless. */
static void warn_of_verdict(const struct stage_run *run, const struct checkpoint *c, const char *dir)
{
	const cJSON *acceptance = cJSON_GetObjectItemCaseSensitive(c->info, "acceptance");
	const char *verdict = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(acceptance, "verdict"));
	for (int v = VERDICT_REGRESSION; verdict && verdict_names[v]; v++)
		if (strcmp(verdict, verdict_names[v]) == 0)
			stage_line(run, "warning: %s was not accepted: %s", dir, verdict_names[v]);
}

/* A model that exists already keeps its own normalisation, whatever the data block says for new ones. */
static void warn_of_normalisation(const struct stage_run *run, const struct adapter *a, const char *dir)
{
	const struct data_options *o = run->data_options;
	bool other = false;
	/* Where integers are pixels, this is what quantize made of the one that the model was trained with. */
	if (strcmp(a->norm_source, "bytes") == 0)
		return;
	for (int c = 0; o && a->spec.kind == INPUT_IMAGE && c < a->spec.channels && c < 4; c++)
		other |= (o->mean.n > c && (float)o->mean.v[c] != a->mean[c]) ||
			 (o->std.n > c && (float)o->std.v[c] != a->std[c]);
	if (other)
		stage_line(run,
		    "warning: %s: mean and std of the data block are not used: the model has its own, %g and %g", dir,
		    (double)a->mean[0], (double)a->std[0]);
}

int stage_warn_of(const struct stage_run *run, const struct checkpoint *c, const char *dir)
{
	warn_of_verdict(run, c, dir);
	warn_of_normalisation(run, &c->adapter, dir);
	return seen_warn(run, c, dir);
}

int stage_model_load(struct model *m, const char *dir, struct device dev, const struct stage_run *run)
{
	int rc = model_load(m, dir, dev);
	if (rc)
		return rc;
	rc = stage_check_planned(run, dir, &m->ckpt);
	if (!rc)
		rc = model_check_data(&m->ckpt, run->data, dir);
	if (!rc && (!run->out_dir || strcmp(dir, run->out_dir) != 0)) /* what is being made is loaded to be compared */
		rc = stage_warn_of(run, &m->ckpt, dir);
	if (!rc)
		rc = take_task(m, run);
	if (rc)
		model_clear(m);
	return rc;
}

int stage_measure(const struct stage_run *run, struct model *model, graph_builder build, void *user, enum split split,
    struct metrics *m)
{
	return stage_measure_each(run, model, build, user, split, m, NULL);
}

int stage_measure_each(const struct stage_run *run, struct model *model, graph_builder build, void *user,
    enum split split, struct metrics *m, uint8_t *right)
{
	struct encoding e = {0};
	struct session s = {0};
	char unit[HASH_HEX];
	int rc = metrics_init(m, &model->ckpt.task);
	if (!rc)
		rc = encoding_open(&e, &model->ckpt.adapter, run->data, split);
	if (!rc) {
		const struct session_options o = {.batch = e.n < MEASURE_BATCH ? (int)e.n : MEASURE_BATCH};
		rc = session_open(&s, &model->params, model->ckpt.spec.classes, build, user, &o);
	}
	if (!rc)
		rc = partial_unit_of_model(
		    run, "measure", &model->params, &model->ckpt.adapter, build, user, split, unit);
	if (!rc)
		rc = partial_measure(run, unit, &s, &e, m, right);
	session_close(&s);
	encoding_close(&e);
	if (rc)
		metrics_clear(m);
	return rc;
}

int stage_validate(const struct stage_run *run, struct model *model, graph_builder build, void *user, struct metrics *m)
{
	int rc = stage_measure(run, model, build, user, SPLIT_VAL, m);
	if (!rc && model->ckpt.task.search) {
		rc = task_search_thresholds(&model->ckpt.task, m);
		if (!rc)
			rc = metrics_finish(m);
		if (rc)
			metrics_clear(m);
	}
	return rc;
}

int64_t graph_parameters(const struct graph *g)
{
	int64_t n = 0;
	for (int i = 0; i < g->n; i++)
		if (g->node[i].op == OP_PARAM && g->node[i].param.kind == PARAM_TRAINED)
			n += shape_count(g->node[i].shape);
	return n;
}

const char *stage_slow_integers(const struct checkpoint *c, struct device dev)
{
	bool half = c->plan.method == QUANT_FP16 || c->plan.method == QUANT_BF16;

	if (c->form != FORM_INTEGER || half || device_traits(dev)->vnni)
		return NULL;
	return "this CPU has no VNNI: integers are as exact as with it, but slower";
}

void stage_say_slow_integers(const struct stage_run *run, const struct checkpoint *c)
{
	const char *text = stage_slow_integers(c, run->cpu_dev);

	if (text)
		stage_line(run, "%s", text);
}

void stage_line(const struct stage_run *run, const char *fmt, ...)
{
	char text[512];
	va_list args;
	if (!run->progress || !run->progress->line)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	run->progress->line(run->progress, text);
}

int stage_write_json(const char *dir, const char *name, struct json_out root)
{
	char path[1024];
	cJSON *json;
	int rc = json_out_end(root, &json);
	if (rc)
		return rc;
	char *text = json_print(json, true);
	rc = text ? fs_join(path, sizeof(path), dir, name) : err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		rc = fs_write(path, text, strlen(text));
	cJSON_free(text);
	cJSON_Delete(json);
	return rc;
}

void stage_put_figures(struct json_out out, const struct metrics *m)
{
	const struct metric_row *row = m->task->kind->metric;
	for (int i = 0; row[i].name; i++)
		if (isfinite(m->value[i]))
			json_out_number(out, row[i].name, m->value[i]);
	json_out_number(out, "loss", m->loss);
}

/* The field that other tools' readers of checkpoint_info.json look for. */
static void put_macro_f1(struct json_out out, const struct metrics *m)
{
	const struct metric_row *row = m->task->kind->metric;
	for (int i = 0; row[i].name; i++)
		if (strcmp(row[i].name, "f1_macro") == 0)
			json_out_number(out, "val_macro_f1", round(m->value[i] * 1e6) / 1e6);
}

static void put_training(struct json_out out, const struct train_result *t)
{
	struct json_out o = json_out_object(out, "training");
	json_out_number(o, "epochs_run", (double)t->epochs_run);
	json_out_number(o, "best_epoch", (double)t->best_epoch);
	json_out_number(o, "steps", (double)t->steps);
	json_out_number(o, "train_loss", t->train_loss);
	json_out_number(o, "samples_per_second", t->samples_per_second);
	json_out_number(o, "executor_memory_bytes", (double)t->memory);
	if (t->saving_seconds > 0)
		json_out_number(o, "saving_seconds", t->saving_seconds);
	if (t->resumed > 0)
		json_out_number(o, "resumed", (double)t->resumed);
	json_out_text(o, "precision", precision_names[t->precision]);
	if (t->loss_scale > 0) {
		json_out_number(o, "loss_scale", t->loss_scale);
		json_out_number(o, "skipped_steps", (double)t->skipped_steps);
	}
}

/* A figure that checkpoint_save has put into the info. */
static double info_number(const struct checkpoint *c, const char *block, const char *key)
{
	const cJSON *o = block ? cJSON_GetObjectItemCaseSensitive(c->info, block) : c->info;
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

double stage_removed(const struct checkpoint *parent)
{
	double v = info_number(parent, "parameters", "removed");
	return v > 0 ? v : 0;
}

/* Of all starts. */
static double stage_seconds(const struct stage_run *run, const struct stage_result *r)
{
	return run->earlier_seconds + clock_now() - r->started;
}

static void put_what_was_made(
    struct json_out out, const struct stage_run *run, const struct option *table, const struct stage_result *r)
{
	char now[32];
	clock_utc(now);
	json_out_text(out, "model_name", run->model_name ? run->model_name : run->name);
	json_out_text(out, "stage", run->name);
	json_out_text(out, "technique", r->technique);
	json_out_text(out, "timestamp", now);
	if (r->parent_sha256)
		json_out_text(out, "parent_sha256", r->parent_sha256);
	else
		json_out_null(out, "parent_sha256");
	if (r->teacher_sha256)
		json_out_text(out, "teacher_sha256", r->teacher_sha256);
	if (r->val)
		put_macro_f1(out, r->val);
	json_out_number(
	    json_out_object(out, "parameters"), "removed", r->removed); /* checkpoint_save adds the others */
	const char *const given[] = {run->teacher_dir ? "teacher" : NULL, NULL};
	cJSON *options = option_to_json(table, run->options, given);
	json_out_item(out, "hyperparameters", options);
	if (options)
		json_out_number((struct json_out){.at = options, .ok = out.ok}, "seed", (double)run->seed);
}

static int add_info(
    const struct stage_run *run, const struct option *table, const struct stage_result *r, struct checkpoint *c)
{
	bool ok;
	if (!c->info && !(c->info = cJSON_CreateObject()))
		return err_set(ERR_NOMEM, "out of memory");
	struct json_out out = json_out_into(c->info, &ok);
	const cJSON *item;
	cJSON_ArrayForEach(item, run->info) json_out_item(out, item->string, cJSON_Duplicate(item, true));
	put_what_was_made(out, run, table, r);
	struct json_out metrics = json_out_object(out, "metrics");
	if (r->train)
		json_out_item(metrics, "train", metrics_to_json(r->train));
	if (r->val)
		json_out_item(metrics, "validation", metrics_to_json(r->val));
	if (r->fit)
		put_training(out, r->fit);
	json_out_item(out, "data", dataset_to_json(run->data));
	if (run->transfer)
		json_out_item(out, "transfer", transfer_to_json(run->transfer));
	json_out_number(out, "seed", (double)run->seed);
	json_out_number(out, "seconds", stage_seconds(run, r));
	json_out_number(out, "peak_memory", (double)clock_peak_memory());
	return ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

/* Fills run->summary from a saved checkpoint. */
static int summarise(struct stage_run *run, const char *kind, const struct stage_result *r, const struct checkpoint *c)
{
	char path[1024];
	uint64_t bytes;
	bool ok;
	int rc = fs_join(path, sizeof(path), run->out_dir, "model.safetensors");
	if (!rc)
		rc = fs_size(path, &bytes);
	if (rc)
		return rc;
	struct json_out out = json_out_into(run->summary, &ok);
	double total = info_number(c, "parameters", "total"), zero = info_number(c, "parameters", "zero");
	json_out_text(out, "kind", kind);
	json_out_text(out, "metric", task_metric_name(&c->task, c->task.primary));
	if (r->val)
		stage_put_figures(json_out_object(out, "val"), r->val);
	json_out_number(out, "parameters", total);
	json_out_number(out, "nonzero", total - zero);
	json_out_number(out, "bytes", (double)bytes);
	json_out_number(out, "sparsity_pct", info_number(c, NULL, "sparsity_pct"));
	json_out_number(out, "seconds", stage_seconds(run, r));
	if (r->fit) {
		json_out_number(out, "epochs_run", (double)r->fit->epochs_run);
		json_out_number(out, "best_epoch", (double)r->fit->best_epoch);
	}
	return ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

int stage_save(struct stage_run *run, const char *kind, const struct option *table, const struct stage_result *r,
    struct checkpoint *c)
{
	int rc = add_info(run, table, r, c);
	if (!rc)
		rc = seen_save(run, c);
	if (!rc)
		rc = checkpoint_save(c, run->out_dir);
	return rc ? rc : summarise(run, kind, r, c);
}
