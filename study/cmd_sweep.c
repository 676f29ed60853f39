/* pipeline sweep GRID: many runs as one, planned, run here or on a cluster, and looked at. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/host_threads.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "pipeline/command.h"
#include "pipeline/devices.h"
#include "pipeline/run_folder.h"
#include "study/sweep_args.h"
#include "study/sweep_cell.h"
#include "study/sweep_levels.h"
#include "study/sweep_plan.h"
#include "study/sweep_run.h"
#include "study/sweep_slurm.h"
#include "study/sweep_status.h"
#include "study/sweep_task.h"

#define SHOWN_CELLS 20

static void print_axes(const struct sweep *s)
{
	for (const cJSON *a = s->axes->child; a; a = a->next) {
		printf("  %s:", a->string);
		int n = 0;
		for (const cJSON *v = a->child; v; v = v->next) {
			char *text = cJSON_IsString(v) ? NULL : cJSON_PrintUnformatted(v);
			if (n++ < SHOWN_CELLS)
				printf(" %s", cJSON_IsString(v) ? v->valuestring : text ? text : "?");
			cJSON_free(text);
		}
		printf(n > SHOWN_CELLS ? " ... (%d values)\n" : "\n", n);
	}
}

static int print_plan(const struct sweep *s, const struct sweep_found *f)
{
	struct sweep_levels l;
	int rc = sweep_levels_make(&l, s, NULL);
	if (rc)
		return rc;
	printf("%s -> %s: %d cells, %d of %d stages are different\n", s->grid, s->out, s->n, l.distinct, l.stages);
	print_axes(s);
	const cJSON *set;
	cJSON_ArrayForEach(set, s->set) printf("  --set %s\n", set->valuestring);
	if (f->equal)
		printf("%d cells that equal others are dropped\n", f->equal);
	if (f->kept)
		printf("%d of the cells are there already, %d of them with another config than before\n", f->kept,
		    f->changed);
	if (f->set_before[0])
		printf("the cells that are there were made with %s\n", f->set_before);
	if (f->checked < s->n)
		printf("%d cells were put together with their data, with every value of the axes; the others are when "
		       "they begin\n",
		    f->checked);
	for (int i = 0; i < l.n - 1; i++)
		printf("level %d: %d shared piece%s of work, such as %s up to stage %s\n", i + 1, l.level[i].n,
		    l.level[i].n == 1 ? "" : "s", s->cell[l.level[i].task[0].cell].folder, l.level[i].task[0].until);
	for (int i = 0; i < s->n && i < SHOWN_CELLS; i++)
		printf("%s\n", s->cell[i].folder);
	if (s->n > SHOWN_CELLS)
		printf("... and %d more\n", s->n - SHOWN_CELLS);
	sweep_levels_clear(&l);
	return 0;
}

static int print_plan_json(const struct sweep *s, const struct sweep_found *f)
{
	bool ok;
	cJSON *json;
	struct sweep_levels l;
	int rc = sweep_levels_make(&l, s, NULL);
	if (rc)
		return rc;
	struct json_out root = json_out_begin(&ok);
	json_out_text(root, "out", s->out);
	json_out_item(root, "set", cJSON_Duplicate(s->set, true));
	json_out_number(root, "cells", s->n);
	json_out_number(root, "stages", l.stages);
	json_out_number(root, "different_stages", l.distinct);
	json_out_number(root, "equal_dropped", f->equal);
	json_out_number(root, "kept", f->kept);
	json_out_number(root, "changed", f->changed);
	json_out_number(root, "checked_with_data", f->checked);
	json_out_number(root, "threads", s->threads);
	struct json_out levels = json_out_list(root, "levels");
	for (int i = 0; i < l.n; i++)
		json_out_number(levels, NULL, l.level[i].n);
	struct json_out folders = json_out_list(root, "folders");
	for (int i = 0; i < s->n; i++)
		json_out_text(folders, NULL, s->cell[i].folder);
	sweep_levels_clear(&l);
	rc = json_out_end(root, &json);
	return rc ? rc : command_print_json(json);
}

static void say_changes(const struct sweep *s, const struct sweep_found *f)
{
	if (f->set_before[0])
		fprintf(stderr, "warning: the cells that are there were made with %s\n", f->set_before);
	if (f->changed)
		fprintf(stderr, "%d cells have another config than before: what it changes in them is run again\n",
		    f->changed);
	if (f->newly_removed)
		fprintf(stderr, "%d cells are no longer in the grid; their folders stay:\n", f->newly_removed);
	for (int i = s->n_removed - f->newly_removed, n = 0; i < s->n_removed && n < SHOWN_CELLS; i++, n++)
		fprintf(stderr, "  %s\n", s->removed[i].folder);
	if (f->newly_removed > SHOWN_CELLS)
		fprintf(stderr, "  ... and %d more\n", f->newly_removed - SHOWN_CELLS);
}

/* The threads that each of several cells has. */
static int share_threads(const struct sweep_args *a)
{
	struct host_threads have, got;
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (a->what == SWEEP_SLURM)
		return a->cpus ? (int)a->cpus : 1;
	host_cores("", cores > 0 ? (int)cores : 1, "usable cores", &have);
	host_threads(&have, &got);
	return got.n / (int)a->jobs > 0 ? got.n / (int)a->jobs : 1;
}

static int plan_grid(struct sweep *s, struct sweep_found *found, const struct sweep_args *a)
{
	struct grid g;
	int rc = grid_load(&g, a->grid, a->set, a->n_set);
	if (rc)
		return rc;
	rc = sweep_plan(s, found, &g, a->grid, a->out, (int)a->threads, share_threads(a));
	grid_clear(&g);
	if (!rc && found->no_store[0])
		fprintf(stderr, "warning: %s; each cell makes all of its stages itself\n", found->no_store);
	return rc;
}

/* Whether somebody else has numbered cells since this plan read those of the folder. */
static bool is_outdated(const struct sweep *s, const struct sweep_found *f)
{
	struct sweep now;
	const bool is = sweep_load(&now, s->out) == 0 && now.next_index != s->next_index - f->added;
	err_clear();
	sweep_clear(&now);
	return is;
}

static void say_cells(const struct sweep *s, const struct sweep_found *f)
{
	const int n = sweep_sharing(s);
	fprintf(stderr, "%d cell%s in %s, %d of them new", s->n, s->n == 1 ? "" : "s", s->out, f->added);
	if (n)
		fprintf(stderr, "; %d thread%s each", s->threads, s->threads == 1 ? "" : "s");
	if (n && n < s->n)
		fprintf(stderr, " of the %d whose configs name none", n);
	fprintf(stderr, "\n");
}

/* Two sweeps that run the cells of one folder would clear each other's half-written tables away. *fd: to be closed. */
static int lock_folder(const struct sweep *s, int *fd)
{
	char note[RUN_FOLDER_PATH + 256];
	int rc = run_folder_lock(s->out, fd, note, sizeof(note));
	if (!rc && note[0])
		fprintf(stderr, "warning: %s\n", note);
	return rc;
}

/* Written under the lock. A plan is made without it, for it may fail, and then there is no folder; it is made again if
 * another one was faster. *fd: the lock, to be closed. */
static int plan_and_write(struct sweep *s, const struct sweep_args *a, int *fd)
{
	struct sweep_found found;
	int rc = plan_grid(s, &found, a);
	if (rc)
		return rc;
	rc = lock_folder(s, fd);
	if (!rc && is_outdated(s, &found)) {
		sweep_clear(s);
		rc = plan_grid(s, &found, a);
	}
	int other = 0;
	if (!rc)
		rc = sweep_write(s);
	if (!rc)
		rc = cells_forget_other_data(s, &other);
	if (other)
		fprintf(stderr,
		    "%d cell%s finished with other data than there are now: what depends on them is run again\n", other,
		    other == 1 ? " was" : "s were");
	if (!rc)
		say_changes(s, &found);
	if (!rc)
		say_cells(s, &found);
	if (rc)
		sweep_clear(s);
	return rc;
}

/* The sweep as it was frozen: of a folder, or of the grid file that it was made from, which must be the same still
 * where a cell's number counts. */
static int load_frozen(struct sweep *s, const struct sweep_args *a)
{
	struct grid g;
	if (fs_is_dir(a->grid)) {
		const char *idle = a->out ? "--out" : a->n_set ? "--set" : a->threads ? "--threads" : NULL;
		return idle ? err_set(ERR_CONFIG, "sweep: %s beside a sweep's folder, whose cells are made", idle)
			    : sweep_load(s, a->grid);
	}
	int rc = grid_identify(&g, a->grid);
	if (rc)
		return rc;
	char *out = a->out ? mem_strdup(a->out) : mem_printf("runs/%s", g.name);
	rc = out ? sweep_load(s, out) : ERR_NOMEM;
	const bool changed = !rc && strcmp(s->grid_sha256, g.sha256) != 0;
	if (changed && a->what == SWEEP_STATUS)
		fprintf(stderr, "warning: %s has changed since the cells in %s were made; this is how those are\n",
		    a->grid, out);
	if (changed && a->what == SWEEP_CELL) {
		rc = err_set(ERR_CONFIG,
		    "%s has changed since the cells in %s were made; `pipeline sweep %s --freeze` makes "
		    "them anew, with the --set that they had",
		    a->grid, out, a->grid);
		sweep_clear(s);
	}
	mem_free(out);
	grid_clear(&g);
	return rc;
}

/* Cells of a sweep that is gone on with are what it has frozen. Looking at it says so and goes on. */
static int check_configs(const struct sweep *s, bool only_say)
{
	for (int i = 0; i < s->n; i++) {
		int rc = sweep_check_config(s, &s->cell[i]);
		if (!rc)
			continue;
		if (rc != ERR_CONFIG || !only_say)
			return rc;
		fprintf(stderr, "warning: %s\n", err_message());
		err_clear();
		break;
	}
	return 0;
}

static int show_plan(const struct sweep_args *a)
{
	struct sweep s;
	struct sweep_found found;
	int rc = plan_grid(&s, &found, a);
	if (rc)
		return rc;
	rc = a->json ? print_plan_json(&s, &found) : print_plan(&s, &found);
	sweep_clear(&s);
	return rc;
}

static int do_sweep(struct sweep *s, const struct sweep_args *a)
{
	switch (a->what) {
	case SWEEP_RUN:
		return sweep_run(s, (int)a->jobs, &command_stop);
	case SWEEP_CELL:
		return sweep_task_run(s, a, &command_stop);
	case SWEEP_STATUS:
		return sweep_status(s, a->json);
	case SWEEP_SLURM:
		return sweep_slurm(s, a);
	default: /* SWEEP_FREEZE is done */
		return 0;
	}
}

int cmd_sweep(int argc, char **argv)
{
	struct sweep_args a;
	struct sweep s;
	int lock = -1, rc = sweep_args_parse(&a, argc, argv);
	if (rc)
		return rc;
	if (a.what == SWEEP_SHOW)
		return show_plan(&a);
	const bool frozen = a.what == SWEEP_CELL || a.what == SWEEP_STATUS || fs_is_dir(a.grid);
	if (a.what == SWEEP_RUN || a.what == SWEEP_CELL)
		command_catch_signals(true);
	rc = frozen ? load_frozen(&s, &a) : plan_and_write(&s, &a, &lock);
	if (rc)
		goto out;
	if (frozen && a.what != SWEEP_CELL)
		rc = check_configs(&s, a.what == SWEEP_STATUS);
	if (!rc && frozen && a.what == SWEEP_RUN)
		rc = lock_folder(&s, &lock);
	command_begin_work();
	if (!rc)
		rc = do_sweep(&s, &a);
	sweep_clear(&s);
out:
	if (lock >= 0)
		close(lock);
	return rc;
}
