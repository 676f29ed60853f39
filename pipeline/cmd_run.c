/* pipeline run CONFIG: validate everything, then run what is not up to date, then print the table. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "pipeline/command.h"
#include "pipeline/progress.h"
#include "pipeline/report.h"
#include "pipeline/run.h"
#include "pipeline/run_args.h"
#include "pipeline/run_error.h"
#include "pipeline/run_folder.h"
#include "pipeline/run_ranks.h"
#include "ranks/ranks.h"

/* --until STAGE: the stages behind it are left for another run. */
static int end_at(struct chain *c, const char *until)
{
	for (int i = 0; until && i < c->n; i++) {
		if (strcmp(c->stage[i].config->name, until) != 0)
			continue;
		c->n_run = i + 1;
		return 0;
	}
	return until ? err_set(ERR_CONFIG, "run: --until %s: there is no such stage", until) : 0;
}

/* How the ranks share each stage's steps. */
static void say_ranks(const struct chain *c, struct progress *progress)
{
	char line[RUN_RANKS_LINE];
	for (int i = 0; i < c->n_run; i++)
		if (run_ranks_words(c->stage[i].config, ranks_world()->n, line))
			progress->line(progress, line);
}

static int run_and_report(struct chain *c, const char *note)
{
	struct terminal_progress progress;
	progress_init(&progress);
	char line[CHAIN_PATH + 512];
	snprintf(line, sizeof(line), "%s: %d stage%s, training on %s, %s, into %s", c->config->top.name, c->n_run,
	    c->n_run == 1 ? "" : "s", c->train_text, c->threads_text, c->out);
	progress.base.line(&progress.base, line);
	if (ranks_world())
		say_ranks(c, &progress.base);
	if (note[0])
		progress.base.line(&progress.base, note);
	int rc = run_chain(c, &progress.base, &command_stop);
	progress_finish(&progress);
	if (rc || c->n_run < c->n) /* a table of some stages would be taken for the run's */
		return rc;
	rc = report_write(c);
	if (rc)
		return rc;
	struct str table = {0};
	report_run(c, false, &table);
	rc = table.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	if (!rc)
		fputs(str_text(&table), stdout);
	str_clear(&table);
	return rc;
}

/* What keeps a run from beginning is the caller's to see, who may have named the wrong folder; of a sweep's cell nobody
 * may be looking. */
static int open_and_run(struct chain *chain, const struct run_config *config, const struct run_args *a)
{
	char note[512];
	int rc = chain_open(chain, config, a->out, false);
	const bool open = !rc;
	rc = run_ranks_begin(chain, rc, note, sizeof(note));
	if (rc) {
		if (!run_ranks_follow() && a->out && run_folder_is_cell(a->out))
			run_error_write(a->out, rc, NULL);
		if (open)
			chain_close(chain);
		return rc;
	}
	if (run_ranks_follow()) {
		command_begin_work();
		rc = run_ranks_work(chain, &command_stop);
		chain_close(chain);
		return rc;
	}
	rc = end_at(chain, a->until);
	if (!rc)
		rc = chain_check_memory(chain);
	command_begin_work();
	bool begun = !rc;
	if (!rc)
		rc = run_and_report(chain, note);
	if (rc && (begun || run_folder_is_cell(chain->out)))
		run_error_write(chain->out, rc, chain->failed);
	if (!rc)
		run_error_remove(chain->out);
	chain_close(chain);
	return rc;
}

int cmd_run(int argc, char **argv)
{
	struct run_args a;
	int rc = run_args_parse(&a, argc, argv, false);
	if (rc)
		return rc;
	struct run_config config;
	struct chain chain;
	command_catch_signals(true); /* reading the data may take a while */
	rc = run_config_load(&config, a.config, a.sets, a.n_sets);
	if (rc)
		return rc;
	if (ranks_world())
		rc = run_ranks_config(&config, ranks_world()->n);
	if (!rc)
		rc = open_and_run(&chain, &config, &a);
	run_config_clear(&config);
	return rc;
}
