/* The arguments of sweep. */
#ifndef STUDY_SWEEP_ARGS_H
#define STUDY_SWEEP_ARGS_H

#include <stdbool.h>

#define SWEEP_MAX_LINES 32
#define SWEEP_MAX_SETS  64

enum sweep_what { SWEEP_RUN, SWEEP_SHOW, SWEEP_FREEZE, SWEEP_CELL, SWEEP_STATUS, SWEEP_SLURM };

struct sweep_args { /* all borrowed from argv */
	const char *grid, *out;
	enum sweep_what what;
	long jobs, threads;               /* threads 0: not given */
	const char *cell, *until, *tasks; /* SWEEP_CELL */
	long offset;
	const char *set[SWEEP_MAX_SETS]; /* PATH=VALUE, of the base */
	int n_set;
	bool json, submit;
	/* SWEEP_SLURM; NULL and 0: not given */
	const char *partition, *gres, *memory, *time, *account;
	const char *module[SWEEP_MAX_LINES], *option[SWEEP_MAX_LINES];
	int n_module, n_option;
	long cpus, at_once, per_task, requeues, max_array;
};

int sweep_args_parse(struct sweep_args *a, int argc, char **argv);

#endif
