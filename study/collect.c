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

#define ROOM      1400
#define SWEEP_MAX (512u << 20)

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

/* A cell's folder lies below its sweep's. */
static bool is_below(const char *folder)
{
	const char *at = folder;
	if (!*folder || *folder == '/')
		return false;
	while (at) {
		if (!strncmp(at, "..", 2) && (!at[2] || at[2] == '/'))
			return false;
		at = strchr(at, '/');
		at += at ? 1 : 0;
	}
	return true;
}

static int read_cell(const char *dir, cJSON **out)
{
	char path[ROOM];
	struct fs_bytes b = {0};
	*out = NULL;
	int rc = fs_join(path, sizeof(path), dir, "cell.json");
	if (!rc && fs_exists(path))
		rc = fs_read_regular(path, SWEEP_MAX, &b);
	if (!rc && b.data)
		rc = json_parse(path, (const char *)b.data, b.size, out);
	fs_bytes_clear(&b);
	if (rc == ERR_NOMEM)
		return rc;
	err_clear(); /* the sweep's own entry serves */
	return 0;
}

static int add_cells(struct study *s, const char *sweep, const cJSON *cells)
{
	const cJSON *c;
	cJSON_ArrayForEach(c, cells)
	{
		char path[ROOM];
		const char *folder = study_text(c, "folder");
		const char *within = !strncmp(folder, "cells/", 6) ? "" : "cells/";
		cJSON *own = NULL;
		if (!is_below(folder))
			return err_set(ERR_CONFIG,
			    "%s/sweep.json: a cell's folder must lie below the sweep's, found '%s'", sweep, folder);
		if (snprintf(path, sizeof(path), "%s/%s%s", sweep, within, folder) >= (int)sizeof(path))
			return err_set(ERR_CONFIG, "%s: the path of a cell is too long", sweep);
		int rc = read_cell(path, &own);
		if (!rc && !cJSON_IsObject(own)) {
			cJSON_Delete(own);
			own = cJSON_Duplicate(c, true);
			rc = own ? 0 : err_set(ERR_NOMEM, "out of memory");
		}
		if (!rc)
			rc = add_run(s, path, sweep, own);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_sweep(struct study *s, const char *dir)
{
	char path[ROOM];
	struct fs_bytes b = {0};
	cJSON *json = NULL;
	int rc = fs_join(path, sizeof(path), dir, "sweep.json");
	if (!rc)
		rc = fs_read_regular(path, SWEEP_MAX, &b);
	if (!rc)
		rc = json_parse(path, (const char *)b.data, b.size, &json);
	fs_bytes_clear(&b);
	const cJSON *cells = cJSON_GetObjectItemCaseSensitive(json, "cells");
	if (!rc && !cJSON_IsArray(cells))
		rc = err_set(ERR_CONFIG, "%s: has no list of cells: it is not a sweep's description", path);
	if (!rc)
		rc = add_cells(s, dir, cells);
	cJSON_Delete(json);
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
