/* pipeline evaluate CHECKPOINT...: the evaluate stage on checkpoints that exist, outside a run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "pipeline/command.h"
#include "pipeline/files.h"
#include "pipeline/model_data.h"
#include "pipeline/progress.h"
#include "pipeline/registry.h"
#include "pipeline/report.h"
#include "pipeline/version.h"

struct evaluation {
	const char *config, *out;
	bool json;
	char **dir;
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
	run->summary = cJSON_CreateObject();
	bool ok = run->summary != NULL;
	struct json_out info = {cJSON_CreateObject(), &ok};
	run->info = info.at;
	json_out_text(info, "program_version", program_version);
	json_out_text(info, "program_commit", program_commit);
	if (!rc)
		rc = json_out_check(info);
	if (!rc) {
		command_catch_signals();
		run->stop = &command_stop;
		rc = k->run(run);
	}
	if (options)
		option_clear(k->table, options);
	mem_free(options);
	cJSON_Delete(run->info);
	return rc;
}

static int print_result(const struct evaluation *e, cJSON *summary)
{
	if (e->json)
		return command_print_json(summary);
	struct str table = {0};
	report_models(cJSON_GetObjectItem(summary, "models"), false, &table);
	int rc = table.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	if (!rc)
		fputs(str_text(&table), stdout);
	str_clear(&table);
	cJSON_Delete(summary);
	return rc;
}

static int evaluate_on(const struct evaluation *e, const struct dataset *data, struct device dev, const char *out)
{
	struct terminal_progress progress;
	struct stage_run run = {.out_dir = out, .data = data, .train_dev = dev, .cpu_dev = dev};
	progress_init(&progress);
	int rc = run_stage(e, &run, &progress.base);
	progress_finish(&progress);
	if (!rc)
		return print_result(e, run.summary);
	cJSON_Delete(run.summary);
	return rc;
}

/* The stage writes files; without --out they go to a folder that is removed again. */
static int with_folder(const struct evaluation *e, const struct dataset *data, struct device dev)
{
	const char *tmp = getenv("TMPDIR");
	char folder[1024];
	if (e->out) {
		if (fs_exists(e->out))
			return err_set(ERR_CONFIG, "evaluate: %s exists; nothing is overwritten", e->out);
		int rc = fs_mkdirs(e->out);
		if (!rc)
			rc = evaluate_on(e, data, dev, e->out);
		return rc < 0 ? files_clear_away(e->out, rc) : 0;
	}
	snprintf(folder, sizeof(folder), "%s/pipeline-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(folder))
		return err_set(ERR_IO, "%s: %s", folder, strerror(errno));
	return files_clear_away(folder, evaluate_on(e, data, dev, folder));
}

static int evaluate(const struct evaluation *e)
{
	struct checkpoint c = {0};
	struct dataset data = {0};
	struct device dev = {0};
	int rc = checkpoint_load(&c, e->dir[0]);
	if (rc < 0)
		return rc;
	rc = model_data_open(&data, &c, e->config, true);
	checkpoint_clear(&c);
	if (!rc)
		rc = registry_backend("cpu", &dev.backend);
	if (!rc)
		rc = dev.backend->open(&dev.ctx, &(struct open_options){0});
	if (!rc) {
		rc = with_folder(e, &data, dev);
		dev.backend->close(dev.ctx);
	}
	dataset_close(&data);
	return rc;
}

int cmd_evaluate(int argc, char **argv)
{
	static const struct flag flags[] = {
	    {"config", true, 'c'}, {"out", true, 'o'}, {"json", false, 'j'}, {NULL, false, 0}};
	struct evaluation e = {0};
	struct args args;
	int id;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		e.config = id == 'c' ? args.value : e.config;
		e.out = id == 'o' ? args.value : e.out;
		e.json |= id == 'j';
	}
	int rc = args_count(&args, 1, -1, "CHECKPOINT");
	e.dir = args.positional;
	e.n = args.n;
	return rc < 0 ? rc : evaluate(&e);
}
