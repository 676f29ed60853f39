/* pipeline run CONFIG: validate everything, then run what is not up to date, then print the table. */
#include <stdio.h>

#include "base/err.h"
#include "pipeline/command.h"
#include "pipeline/progress.h"
#include "pipeline/report.h"
#include "pipeline/run.h"
#include "pipeline/run_args.h"

static int run_and_report(struct chain *c)
{
	struct terminal_progress progress;
	progress_init(&progress);
	char line[CHAIN_PATH + 512];
	snprintf(line, sizeof(line), "%s: %d stage%s, training on %s, %s, into %s", c->config->top.name, c->n,
	    c->n == 1 ? "" : "s", c->train_text, c->threads_text, c->out);
	progress.base.line(&progress.base, line);
	int rc = run_chain(c, &progress.base, &command_stop);
	progress_finish(&progress);
	if (!rc)
		rc = report_write(c);
	if (rc < 0)
		return rc;
	struct str table = {0};
	report_run(c, false, &table);
	rc = table.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	if (!rc)
		fputs(str_text(&table), stdout);
	str_clear(&table);
	return rc;
}

int cmd_run(int argc, char **argv)
{
	struct run_args a;
	int rc = run_args_parse(&a, argc, argv, false);
	if (rc < 0)
		return rc;
	struct run_config config;
	struct chain chain;
	command_catch_signals(true); /* reading the data may take a while */
	rc = run_config_load(&config, a.config, a.sets, a.n_sets);
	if (rc < 0)
		return rc;
	rc = chain_open(&chain, &config, a.out, false);
	if (!rc) {
		rc = chain_check_memory(&chain);
		command_begin_work();
		if (!rc)
			rc = run_and_report(&chain);
		chain_close(&chain);
	}
	run_config_clear(&config);
	return rc;
}
