/* pipeline evaluate CHECKPOINT...: the evaluate stage on checkpoints that exist, outside a run. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "pipeline/command.h"
#include "pipeline/data_words.h"
#include "pipeline/figures.h"
#include "pipeline/files.h"
#include "pipeline/given_data.h"
#include "pipeline/model_data.h"
#include "pipeline/progress.h"
#include "pipeline/registry.h"
#include "pipeline/report.h"
#include "pipeline/seen.h"
#include "pipeline/version.h"

struct evaluation {
	const char *config, *out;
	struct given_data given;
	struct task task; /* of the first checkpoint */
	bool json;
	char **dir;
	const char **sha256; /* (n): of the first checkpoint, by which data and task were chosen; else NULL */
	char first_sha256[HASH_HEX];
	int n;
};

static int run_stage(const struct evaluation *e, struct stage_run *run, struct progress *progress)
{
	const struct stage_kind *k = registry_stage("evaluate");
	void *options = mem_alloc(1, k->options_size);
	int rc = options ? option_parse(k->table, options, NULL, NULL, NULL) : ERR_NOMEM;
	run->name = k->name;
	run->options = options;
	run->progress = progress;
	run->n_input = e->n;
	run->input_dirs = (const char *const *)e->dir;
	run->input_names = (const char *const *)e->dir;
	run->input_sha256s = e->sha256;
	run->summary = cJSON_CreateObject();
	bool ok = run->summary != NULL;
	struct json_out info = {cJSON_CreateObject(), &ok};
	run->info = info.at;
	json_out_text(info, "program_version", program_version);
	json_out_text(info, "program_commit", program_commit);
	if (!rc)
		rc = json_out_check(info);
	if (!rc) {
		command_catch_signals(false);
		run->stop = &command_stop;
		rc = k->run(run);
	}
	if (options)
		option_clear(k->table, options);
	mem_free(options);
	cJSON_Delete(run->info);
	return rc;
}

/* The summary has one value per metric; evaluation.json, which the stage has written, has the rest. */
static int add_details(const char *folder, cJSON *summary)
{
	cJSON *full, *model = cJSON_GetObjectItemCaseSensitive(summary, "models")->child;
	int rc = files_read_json(folder, "evaluation.json", &full);
	if (rc || !full)
		return rc ? rc : err_set(ERR_FAIL, "%s/evaluation.json cannot be read", folder);
	const cJSON *from = cJSON_GetObjectItemCaseSensitive(full, "models")->child;
	for (; model && from; model = model->next, from = from->next) {
		cJSON_DeleteItemFromObjectCaseSensitive(model, "test");
		cJSON *test = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(from, "test"), true);
		if (!cJSON_AddItemToObject(model, "test", test))
			rc = err_set(ERR_NOMEM, "out of memory");
	}
	cJSON *data = cJSON_DetachItemFromObjectCaseSensitive(full, "data");
	if (data)
		cJSON_AddItemToObject(summary, "data", data);
	cJSON_Delete(full);
	return rc;
}

/* Of data that are not the checkpoint's own: its own splits are known to be apart. */
static int add_seen(const struct evaluation *e, const struct dataset *data, cJSON *summary)
{
	cJSON *model = cJSON_GetObjectItemCaseSensitive(summary, "models")->child;
	struct prints test;
	bool ok;
	int rc = dataset_split_prints(data, SPLIT_TEST, &test);
	for (int i = 0; !rc && model; i++, model = model->next) {
		struct json_out out = json_out_into(model, &ok);
		rc = seen_samples(e->dir[i], data, &test, out);
		if (!rc)
			rc = json_out_check(out);
	}
	prints_clear(&test);
	return rc;
}

static int print_result(const struct evaluation *e, cJSON *summary)
{
	if (e->json) {
		int flat = report_flatten(summary);
		return flat ? flat : command_print_json(cJSON_Duplicate(summary, true));
	}
	struct str table = {0};
	report_models(cJSON_GetObjectItem(summary, "models"), false, &table);
	if (e->n == 1 || e->given.path) { /* else the table alone; --json and --out have the rest */
		str_add(&table, "\n");
		figures_print(cJSON_GetObjectItem(summary, "models"), &e->task, &table);
	}
	int rc = table.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	if (!rc)
		fputs(str_text(&table), stdout);
	str_clear(&table);
	return rc;
}

static int evaluate_on(const struct evaluation *e, const struct dataset *data, struct device dev, const char *out)
{
	struct terminal_progress progress;
	struct stage_run run = {.out_dir = out, .data = data, .task = &e->task, .train_dev = dev, .cpu_dev = dev};
	progress_init(&progress);
	int rc = run_stage(e, &run, &progress.base);
	progress_finish(&progress);
	if (!rc)
		rc = add_details(out, run.summary);
	if (!rc && (e->given.path || e->config))
		rc = add_seen(e, data, run.summary);
	if (!rc)
		rc = print_result(e, run.summary);
	cJSON_Delete(run.summary);
	return rc;
}

/* The stage writes files; without --out they go to a folder that is removed again. */
static int with_folder(const struct evaluation *e, const struct dataset *data, struct device dev)
{
	char folder[1024];
	if (e->out) {
		if (fs_exists(e->out))
			return err_set(ERR_CONFIG, "evaluate: %s exists; nothing is overwritten", e->out);
		int rc = fs_mkdirs(e->out);
		if (!rc)
			rc = evaluate_on(e, data, dev, e->out);
		return rc ? files_clear_away(e->out, rc) : 0;
	}
	int rc = files_temporary(folder, sizeof(folder));
	if (rc)
		return rc;
	return files_clear_away(folder, evaluate_on(e, data, dev, folder));
}

/* What is asked of all models is what the first was made for; each keeps the thresholds that were chosen for it. */
static int take_task(struct evaluation *e, const struct checkpoint *c)
{
	if (!c->adapter.kind || !c->task.kind)
		return err_set(
		    ERR_CHECKPOINT, "%s does not say how its input is made and which classes it knows", e->dir[0]);
	int rc = task_copy(&e->task, &c->task);
	mem_free(e->task.threshold);
	e->task.threshold = NULL;
	return rc;
}

static int open_data(struct evaluation *e, struct dataset *data)
{
	struct checkpoint c = {0};
	int rc = checkpoint_load(&c, e->dir[0]);
	if (rc)
		return rc;
	memcpy(e->first_sha256, c.info_sha256, HASH_HEX);
	e->sha256[0] = e->first_sha256;
	rc = take_task(e, &c);
	if (!rc)
		rc = e->given.path ? given_data_open(data, &e->given, &c) : model_data_open(data, &c, e->config, true);
	if (!rc && !e->given.path)
		data_words_print(data, stderr);
	checkpoint_clear(&c);
	return rc;
}

static int evaluate(struct evaluation *e)
{
	struct dataset data = {0};
	struct device dev = {0};
	e->sha256 = mem_alloc((size_t)e->n, sizeof(*e->sha256));
	int rc = e->sha256 ? registry_backend("cpu", &dev.backend) : ERR_NOMEM;
	if (!rc) /* first, for it says how many threads read the data */
		rc = dev.backend->open(&dev.ctx, &(struct open_options){0});
	if (!rc) {
		rc = open_data(e, &data);
		if (!rc)
			rc = with_folder(e, &data, dev);
		dev.backend->close(dev.ctx);
	}
	dataset_close(&data);
	task_clear(&e->task);
	mem_free(e->sha256);
	return rc;
}

static int check_options(const struct evaluation *e)
{
	const struct given_data *g = &e->given;
	if (g->path && e->config)
		return err_set(ERR_CONFIG, "evaluate: --data and --config both name the data");
	if (!g->path && (g->text_column || g->pair_column || g->label || g->labels || g->skip_bad))
		return err_set(
		    ERR_CONFIG, "evaluate: --skip-bad, --text-column, --pair-column, --label and --labels need --data");
	return 0;
}

int cmd_evaluate(int argc, char **argv)
{
	static const struct flag flags[] = {{"data", true, 'd'}, {"text-column", true, 't'}, {"pair-column", true, 'p'},
	    {"label", true, 'l'}, {"labels", true, 'L'}, {"skip-bad", true, 's'}, {"config", true, 'c'},
	    {"out", true, 'o'}, {"json", false, 'j'}, {NULL, false, 0}};
	struct evaluation e = {0};
	struct given_data *g = &e.given;
	struct args args;
	int id, rc;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		if (id == 's' && (rc = args_number("--skip-bad", args.value, 0, 1000000000, &g->skip_bad)))
			return rc;
		g->path = id == 'd' ? args.value : g->path;
		g->text_column = id == 't' ? args.value : g->text_column;
		g->pair_column = id == 'p' ? args.value : g->pair_column;
		g->label = id == 'l' ? args.value : g->label;
		g->labels = id == 'L' ? args.value : g->labels;
		e.config = id == 'c' ? args.value : e.config;
		e.out = id == 'o' ? args.value : e.out;
		e.json |= id == 'j';
	}
	rc = args_count(&args, 1, -1, "CHECKPOINT");
	e.dir = args.positional;
	e.n = args.n;
	if (!rc)
		rc = check_options(&e);
	return rc ? rc : evaluate(&e);
}
