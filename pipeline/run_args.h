/* The arguments that run and plan share. */
#ifndef PIPELINE_RUN_ARGS_H
#define PIPELINE_RUN_ARGS_H

#include <stdbool.h>

#define RUN_MAX_SETS  64
#define RUN_MAX_RANKS 4096

struct run_args {                         /* all borrowed from argv */
	const char *config, *out, *until; /* until: run alone */
	const char *sets[RUN_MAX_SETS];
	int n_sets;
	bool json;
	int ranks;                     /* plan: as if so many had been started */
	double false_positives, power; /* plan: of the test of two models (task/power.h) */
};
/* of_plan: with --json, --ranks, --false-positives and --power in the place of --until. */
int run_args_parse(struct run_args *a, int argc, char **argv, bool of_plan);

#endif
