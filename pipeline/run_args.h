/* The arguments that run and plan share. */
#ifndef PIPELINE_RUN_ARGS_H
#define PIPELINE_RUN_ARGS_H

#include <stdbool.h>

#define RUN_MAX_SETS 64

struct run_args { /* all borrowed from argv */
	const char *config, *out;
	const char *sets[RUN_MAX_SETS];
	int n_sets;
	bool json;
	double false_positives, power; /* plan: of the test of two models (task/power.h) */
};
int run_args_parse(struct run_args *a, int argc, char **argv, bool of_plan);

#endif
