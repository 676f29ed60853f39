#define _GNU_SOURCE /* realpath */
#include "study/collect.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "study/sweep.h"

#define ROOM     1400
#define CELL_MAX (1u << 20)

static bool holds(const char *dir, const char *name)
{
	char path[ROOM];
	return fs_join(path, sizeof(path), dir, name) == 0 && fs_exists(path);
}

/* By the folder that a path leads to, whatever it is called. */
static bool same_folder(const char *a, const char *b)
{
	char *x = realpath(a, NULL), *y = realpath(b, NULL);
	bool same = x && y && !strcmp(x, y);
	free(x);
	free(y);
	return same;
}

static bool is_there(const struct study *s, const char *path)
{
	for (int i = 0; i < s->n; i++)
		if (!strcmp(study_base(s->run[i].path), study_base(path)) && same_folder(s->run[i].path, path))
			return true;
	return false;
}

static int add_run(struct study *s, const char *path, const char *sweep, cJSON *cell)
{
	if (is_there(s, path)) {
		cJSON_Delete(cell);
		return 0;
	}
	if (s->n == STUDY_RUNS_MAX) {
		cJSON_Delete(cell);
		return err_set(ERR_CONFIG, "more than %d runs", STUDY_RUNS_MAX);
	}
	if (s->n == s->cap) {
		int cap = s->cap ? 2 * s->cap : 64;
		struct study_run *grown = mem_grow(s->run, (size_t)s->cap, (size_t)cap, sizeof(*grown));
		if (!grown) {
			cJSON_Delete(cell);
			return ERR_NOMEM;
		}
		s->run = grown;
		s->cap = cap;
	}
	return study_run_read(&s->run[s->n++], path, sweep, cell);
}

static int read_cell(const char *dir, cJSON **out)
{
	char path[ROOM];
	struct fs_bytes b = {0};
	*out = NULL;
	int rc = fs_join(path, sizeof(path), dir, "cell.json");
	if (!rc && fs_exists(path))
		rc = fs_read_regular(path, CELL_MAX, &b);
	if (!rc && b.data)
		rc = json_parse(path, (const char *)b.data, b.size, out);
	fs_bytes_clear(&b);
	if (rc == ERR_NOMEM)
		return rc;
	err_clear(); /* the sweep's own entry serves */
	return 0;
}

/* Whether both files call the cell the same. */
static bool names_same(const cJSON *cell, const struct sweep_cell *c)
{
	const cJSON *fold = cJSON_GetObjectItemCaseSensitive(cell, "fold");
	const double seed = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(cell, "seed"));
	return cJSON_Compare(cJSON_GetObjectItemCaseSensitive(cell, "axes"), c->axes, true) && seed >= c->seed &&
	       seed <= c->seed && (cJSON_IsNumber(fold) ? (int)fold->valuedouble : -1) == (int)c->fold;
}

/* A cell's own file says what the folder holds; where there is none yet, the sweep does. */
static int add_cell(struct study *s, const struct sweep *sweep, const struct sweep_cell *c)
{
	char dir[SWEEP_PATH];
	cJSON *cell = NULL;
	int rc = read_cell(sweep_cell_dir(sweep, c, dir), &cell);
	if (!rc && !cJSON_IsObject(cell)) {
		cJSON_Delete(cell);
		rc = sweep_cell_json(c, &cell);
	}
	if (rc)
		return rc;
	const bool same = names_same(cell, c);
	const int n = s->n;
	rc = add_run(s, dir, sweep->out, cell);
	return rc || same || s->n == n ? rc
				       : study_run_doubt(&s->run[n], "its cell.json is not what its sweep.json has");
}

static int add_sweep(struct study *s, const char *dir)
{
	struct sweep sweep;
	int rc = sweep_load(&sweep, dir);
	for (int i = 0; !rc && i < sweep.n; i++)
		rc = add_cell(s, &sweep, &sweep.cell[i]);
	sweep_clear(&sweep);
	return rc;
}

int study_collect(struct study *s, char *const *path, int n)
{
	int rc = 0;
	*s = (struct study){0};
	for (int i = 0; !rc && i < n; i++) {
		char dir[ROOM];
		size_t len = strlen(path[i]);
		while (len > 1 && path[i][len - 1] == '/')
			len--;
		snprintf(dir, sizeof(dir), "%.*s", (int)(len < ROOM ? len : ROOM), path[i]);
		cJSON *cell = NULL;
		if (fs_is_dir(dir) && holds(dir, "sweep.json"))
			rc = add_sweep(s, dir);
		else if (!fs_exists(dir))
			rc = err_set(ERR_CONFIG, "%s: there is no such folder", dir);
		else if (!fs_is_dir(dir) ||
			 (!holds(dir, "run.json") && !holds(dir, "cell.json") && !holds(dir, "error.json")))
			rc = err_set(
			    ERR_CONFIG, "%s: is neither a run's folder (run.json) nor a sweep's (sweep.json)", dir);
		else if ((rc = read_cell(dir, &cell)) == 0)
			rc = add_run(s, dir, NULL, cell);
	}
	return rc;
}

void study_clear(struct study *s)
{
	for (int i = 0; i < s->n; i++)
		study_run_clear(&s->run[i]);
	mem_free(s->run);
	*s = (struct study){0};
}
