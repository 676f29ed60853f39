/* GRID [--out DIR] [--jobs N] ... */
#include "study/sweep_args.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "pipeline/command.h"
#include "study/sweep_run.h"

enum { NUMBER = 1, TEXT, LIST };
/* Options with a value, and what they belong to. */
struct value_option {
	char id;
	const char *name;
	int type;
	size_t offset;
	long min, max;
	int what; /* the only use, or -1 */
};
#define AT(field) offsetof(struct sweep_args, field)
static const struct value_option values[] = {
    {'o', "--out", TEXT, AT(out), 0, 0, -1},
    {'j', "--jobs", NUMBER, AT(jobs), 1, SWEEP_MAX_JOBS, SWEEP_RUN},
    {'s', "--set", LIST, 0, 0, 0, -1},
    {'t', "--threads", NUMBER, AT(threads), 1, 1024, -1},
    {'c', "--cell", TEXT, AT(cell), 0, 0, SWEEP_CELL},
    {'u', "--until", TEXT, AT(until), 0, 0, SWEEP_CELL},
    {'T', "--tasks", TEXT, AT(tasks), 0, 0, SWEEP_CELL},
    {'O', "--offset", NUMBER, AT(offset), 0, 100000000, SWEEP_CELL},
    {'p', "--partition", TEXT, AT(partition), 0, 0, SWEEP_SLURM},
    {'g', "--gres", TEXT, AT(gres), 0, 0, SWEEP_SLURM},
    {'m', "--mem", TEXT, AT(memory), 0, 0, SWEEP_SLURM},
    {'i', "--time", TEXT, AT(time), 0, 0, SWEEP_SLURM},
    {'a', "--account", TEXT, AT(account), 0, 0, SWEEP_SLURM},
    {'C', "--cpus", NUMBER, AT(cpus), 1, 1024, SWEEP_SLURM},
    {'A', "--at-once", NUMBER, AT(at_once), 1, 1000000, SWEEP_SLURM},
    {'P', "--per-task", NUMBER, AT(per_task), 1, 10000, SWEEP_SLURM},
    {'R', "--requeues", NUMBER, AT(requeues), 0, 100000, SWEEP_SLURM},
    {'X', "--max-array", NUMBER, AT(max_array), 1, 4000001, SWEEP_SLURM},
    {'M', "--module", LIST, 0, 0, 0, SWEEP_SLURM},
    {'B', "--sbatch", LIST, 0, 0, 0, SWEEP_SLURM},
};
#define N_VALUES (sizeof(values) / sizeof(*values))

static const struct flag flags[] = {{"out", true, 'o'}, {"jobs", true, 'j'}, {"threads", true, 't'}, {"set", true, 's'},
    {"cell", true, 'c'}, {"until", true, 'u'}, {"tasks", true, 'T'}, {"offset", true, 'O'}, {"partition", true, 'p'},
    {"gres", true, 'g'}, {"mem", true, 'm'}, {"time", true, 'i'}, {"account", true, 'a'}, {"cpus", true, 'C'},
    {"at-once", true, 'A'}, {"per-task", true, 'P'}, {"requeues", true, 'R'}, {"max-array", true, 'X'},
    {"module", true, 'M'}, {"sbatch", true, 'B'}, {"plan", false, '1'}, {"freeze", false, '2'}, {"status", false, '4'},
    {"slurm", false, '5'}, {"submit", false, 'S'}, {"json", false, 'J'}, {NULL, false, 0}};

/* What goes into a job script stands there as it is: a line end would begin a line of the script. */
static int check_line(const char *option, const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_set(ERR_CONFIG, "%s must be one line of text", option);
	return *text ? 0 : err_set(ERR_CONFIG, "%s is empty", option);
}

static int add_line(struct sweep_args *a, const struct value_option *v, const char *text)
{
	const char **list = v->id == 's' ? a->set : v->id == 'M' ? a->module : a->option;
	int *n = v->id == 's' ? &a->n_set : v->id == 'M' ? &a->n_module : &a->n_option;
	const int most = v->id == 's' ? SWEEP_MAX_SETS : SWEEP_MAX_LINES;
	if (*n == most)
		return err_set(ERR_CONFIG, "sweep: more than %d %s", most, v->name);
	list[(*n)++] = text;
	return 0;
}

static int set_value(struct sweep_args *a, const struct value_option *v, const char *text)
{
	char *field = (char *)a + v->offset;
	if (v->type == NUMBER)
		return args_number(v->name, text, v->min, v->max, (long *)(void *)field);
	int rc = check_line(v->name, text);
	if (!rc && v->type == LIST)
		return add_line(a, v, text);
	if (!rc)
		memcpy(field, &text, sizeof(text));
	return rc;
}

static int set_what(struct sweep_args *a, enum sweep_what what)
{
	if (a->what != SWEEP_RUN && a->what != what)
		return err_set(ERR_CONFIG, "sweep: only one of --plan, --freeze, --cell, --status and --slurm");
	a->what = what;
	return 0;
}

/* An option that would be without effect is an error. */
static int check_uses(const struct sweep_args *a, const bool *given)
{
	static const char *const words[] = {
	    "a sweep that runs here", "--plan", "--freeze", "--cell", "--status", "--slurm"};
	for (size_t i = 0; i < N_VALUES; i++)
		if (given[i] && values[i].what >= 0 && values[i].what != (int)a->what)
			return err_set(ERR_CONFIG, "sweep: %s belongs to %s", values[i].name, words[values[i].what]);
	if (a->submit && a->what != SWEEP_SLURM)
		return err_set(ERR_CONFIG, "sweep: --submit belongs to --slurm");
	if (a->json && a->what != SWEEP_STATUS && a->what != SWEEP_SHOW)
		return err_set(ERR_CONFIG, "sweep: --json belongs to --status and --plan");
	if (a->threads && (a->what == SWEEP_CELL || a->what == SWEEP_STATUS))
		return err_set(ERR_CONFIG, "sweep: --threads is decided when the cells are made");
	if (a->n_set && (a->what == SWEEP_CELL || a->what == SWEEP_STATUS))
		return err_set(
		    ERR_CONFIG, "sweep: --set changes the base, from which the cells are made; these are made");
	if (a->tasks && a->until)
		return err_set(ERR_CONFIG, "sweep: --tasks says itself until which stage");
	return 0;
}

static int take_option(struct sweep_args *a, int id, const char *text, bool *given)
{
	if (id == 'J' || id == 'S') {
		*(id == 'J' ? &a->json : &a->submit) = true;
		return 0;
	}
	if (id >= '1' && id <= '5')
		return set_what(a, (enum sweep_what)(id - '0'));
	for (size_t i = 0; i < N_VALUES; i++) {
		if (values[i].id != id)
			continue;
		given[i] = true;
		int rc = id == 'c' ? set_what(a, SWEEP_CELL) : 0;
		return rc ? rc : set_value(a, &values[i], text);
	}
	return 0;
}

int sweep_args_parse(struct sweep_args *a, int argc, char **argv)
{
	bool given[N_VALUES] = {false};
	struct args args;
	int id, rc = 0;
	*a = (struct sweep_args){.jobs = 1, .requeues = 100, .per_task = 1};
	args_init(&args, flags, argc, argv);
	while (!rc && (id = args_next(&args)) != 0)
		rc = id < 0 ? id : take_option(a, id, args.value, given);
	if (!rc)
		rc = args_count(&args, 1, 1, "GRID");
	if (!rc)
		rc = check_uses(a, given);
	if (!rc)
		a->grid = args.positional[0];
	return rc;
}
