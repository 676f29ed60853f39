/* The sweep's folder: reading and writing sweep.json and the folders of cells. */
#define _GNU_SOURCE /* syncfs */
#include "study/sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "config/yaml.h"
#include "pipeline/files.h"
#include "pipeline/version.h"

#define SWEEP_JSON_MAX (256U << 20)
#define SWEEP_FORMAT   1

void sweep_cell_clear(struct sweep_cell *c)
{
	for (int i = 0; i < c->n_stage; i++)
		mem_free(c->stage[i].name);
	mem_free(c->stage);
	mem_free(c->name);
	mem_free(c->folder);
	mem_free(c->config);
	cJSON_Delete(c->axes);
	*c = (struct sweep_cell){0};
}

static void clear_cells(struct sweep_cell *cell, int n)
{
	for (int i = 0; i < n; i++)
		sweep_cell_clear(&cell[i]);
	mem_free(cell);
}

void sweep_clear(struct sweep *s)
{
	clear_cells(s->cell, s->n);
	clear_cells(s->removed, s->n_removed);
	mem_free(s->name);
	mem_free(s->grid);
	mem_free(s->grid_text);
	cJSON_Delete(s->axes);
	cJSON_Delete(s->set);
	*s = (struct sweep){0};
}

const char *sweep_cell_dir(const struct sweep *s, const struct sweep_cell *c, char path[SWEEP_PATH])
{
	snprintf(path, SWEEP_PATH, "%s/cells/%s", s->out, c->folder);
	return path;
}

const struct sweep_cell *sweep_find(const struct sweep *s, long index)
{
	for (int i = 0; i < s->n; i++)
		if (s->cell[i].index == index)
			return &s->cell[i];
	return NULL;
}

int sweep_sharing(const struct sweep *s)
{
	int n = 0;
	for (int i = 0; i < s->n; i++)
		n += !s->cell[i].own_threads;
	return n;
}

bool sweep_config_is(const char *text, size_t n, const char *config_sha256, int threads)
{
	static const char added[] = "threads: ";
	const size_t len = sizeof(added) - 1;
	char hex[HASH_HEX];
	if (hash_bytes(text, n, hex) == 0 && strcmp(hex, config_sha256) == 0)
		return true;
	size_t at = n > 0 && text[n - 1] == '\n' ? n - 1 : 0;
	while (at > 0 && text[at - 1] != '\n')
		at--;
	if (n - at < len + 2 || strncmp(text + at, added, len) != 0 ||
	    strspn(text + at + len, "0123456789") != n - at - len - 1)
		return false;
	if (threads && strtol(text + at + len, NULL, 10) != threads)
		return false;
	return hash_bytes(text, at, hex) == 0 && strcmp(hex, config_sha256) == 0;
}

int sweep_check_config(const struct sweep *s, const struct sweep_cell *c)
{
	char dir[SWEEP_PATH], path[SWEEP_PATH + 32];
	struct fs_bytes have = {0};
	snprintf(path, sizeof(path), "%s/config.yaml", sweep_cell_dir(s, c, dir));
	int rc = fs_read_regular(path, YAML_MAX_BYTES, &have);
	if (rc == ERR_NOMEM)
		return rc;
	const bool is = !rc && sweep_config_is((const char *)have.data, have.size, c->config_sha256, s->threads);
	fs_bytes_clear(&have);
	return is ? 0
		  : err_set(ERR_CONFIG,
			"%s is gone, or was edited since the sweep was made; `pipeline sweep %s` writes it again", path,
			s->grid);
}

static void add_cell(struct json_out o, const struct sweep_cell *c)
{
	json_out_number(o, "index", c->index);
	json_out_text(o, "name", c->name);
	json_out_item(o, "axes", cJSON_Duplicate(c->axes, true));
	json_out_number(o, "seed", c->seed);
	if (c->fold < 0)
		json_out_null(o, "fold");
	else
		json_out_number(o, "fold", c->fold);
}

int sweep_cell_json(const struct sweep_cell *c, cJSON **out)
{
	bool ok;
	struct json_out root = json_out_begin(&ok);
	add_cell(root, c);
	return json_out_end(root, out);
}

static void add_cells(struct json_out list, const struct sweep_cell *cell, int n)
{
	for (int i = 0; i < n; i++) {
		struct json_out o = json_out_object(list, NULL);
		add_cell(o, &cell[i]);
		json_out_text(o, "folder", cell[i].folder);
		json_out_text(o, "config_sha256", cell[i].config_sha256);
		struct json_out stages = json_out_object(o, "stages");
		for (int j = 0; j < cell[i].n_stage; j++)
			json_out_text(stages, cell[i].stage[j].name, cell[i].stage[j].sign);
	}
}

static int write_description(const struct sweep *s)
{
	bool ok;
	cJSON *json;
	struct json_out root = json_out_begin(&ok);
	json_out_number(root, "format", SWEEP_FORMAT);
	json_out_text(root, "name", s->name);
	json_out_text(root, "program_version", program_version);
	json_out_text(root, "program_commit", program_commit);
	json_out_text(root, "grid", s->grid);
	json_out_text(root, "grid_sha256", s->grid_sha256);
	json_out_text(root, "grid_text", s->grid_text);
	json_out_item(root, "set", cJSON_Duplicate(s->set, true));
	json_out_number(root, "threads", s->threads);
	json_out_number(root, "next_index", s->next_index);
	json_out_item(root, "axes", cJSON_Duplicate(s->axes, true));
	add_cells(json_out_list(root, "cells"), s->cell, s->n);
	add_cells(json_out_list(root, "removed"), s->removed, s->n_removed);
	int rc = json_out_end(root, &json);
	char *text = rc ? NULL : json_print(json, false);
	if (!rc)
		rc = text ? files_write_text(s->out, "sweep.json", text) : err_set(ERR_NOMEM, "out of memory");
	cJSON_free(text);
	cJSON_Delete(json);
	return rc;
}

static bool holds(const char *path, const char *text)
{
	struct fs_bytes have = {0};
	bool same = access(path, F_OK) == 0 && fs_read(path, &have) == 0 && have.size == strlen(text) &&
		    memcmp(have.data, text, have.size) == 0;
	fs_bytes_clear(&have);
	err_clear();
	return same;
}

/* Files of thousands of cells: they are synced together, before sweep.json names them. */
static int write_file(const char *dir, const char *name, const char *text)
{
	char path[SWEEP_PATH + 32], aside[SWEEP_PATH + 64];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (holds(path, text))
		return 0;
	snprintf(aside, sizeof(aside), "%s.%ld.0.part", path, (long)getpid());
	FILE *f = fopen(aside, "wbe");
	if (!f)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	int why = fputs(text, f) < 0 ? errno : 0;
	if (fclose(f) && !why)
		why = errno;
	if (!why && rename(aside, path) < 0)
		why = errno;
	if (why)
		unlink(aside);
	return why ? err_set(ERR_IO, "%s: %s", path, strerror(why)) : 0;
}

static int write_cell(const struct sweep *s, const struct sweep_cell *c)
{
	char dir[SWEEP_PATH];
	bool ok;
	cJSON *json;
	struct json_out root = json_out_begin(&ok);
	json_out_number(root, "format", SWEEP_FORMAT);
	json_out_text(root, "sweep_sha256", s->grid_sha256);
	add_cell(root, c);
	json_out_text(root, "config_sha256", c->config_sha256);
	int rc = json_out_end(root, &json);
	char *text = rc ? NULL : json_print(json, true);
	char *config = c->own_threads ? mem_strdup(c->config) : mem_printf("%sthreads: %d\n", c->config, s->threads);
	if (!rc && (!text || !config))
		rc = ERR_NOMEM;
	if (!rc)
		rc = fs_mkdirs(sweep_cell_dir(s, c, dir));
	if (!rc)
		rc = write_file(dir, "cell.json", text);
	if (!rc)
		rc = write_file(dir, "config.yaml", config);
	cJSON_free(text);
	mem_free(config);
	cJSON_Delete(json);
	return rc;
}

int sweep_write(const struct sweep *s)
{
	char cells[SWEEP_PATH];
	snprintf(cells, sizeof(cells), "%s/cells", s->out);
	int rc = fs_mkdirs(cells);
	for (int i = 0; !rc && i < s->n; i++)
		rc = write_cell(s, &s->cell[i]);
	int fd = rc ? -1 : open(cells, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		if (syncfs(fd) < 0 && errno != EINVAL && errno != ENOSYS)
			rc = err_set(ERR_IO, "%s: %s", cells, strerror(errno));
		close(fd);
	}
	return rc ? rc : write_description(s);
}

static const char *text_of(const cJSON *o, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
}

/* A name that is part of a path must not lead out of the folder. */
static bool is_name(const char *text)
{
	return text && *text && *text != '.' && !strchr(text, '/') && strlen(text) < 128;
}

static int read_stages(struct sweep_cell *c, const cJSON *stages)
{
	int n = cJSON_GetArraySize(stages);
	c->stage = mem_alloc((size_t)n + 1, sizeof(*c->stage));
	if (!c->stage)
		return ERR_NOMEM;
	for (const cJSON *e = cJSON_IsObject(stages) ? stages->child : NULL; e; e = e->next) {
		struct sweep_stage *t = &c->stage[c->n_stage];
		if (!is_name(e->string) || !cJSON_IsString(e) || strlen(e->valuestring) != SWEEP_SIGN - 1)
			return err_set(ERR_CONFIG, "a stage is not one");
		memcpy(t->sign, e->valuestring, SWEEP_SIGN);
		t->name = mem_strdup(e->string);
		if (!t->name)
			return ERR_NOMEM;
		c->n_stage++;
	}
	return 0;
}

static int read_cell(struct sweep_cell *c, const cJSON *o, int at)
{
	uint64_t index;
	const char *name = text_of(o, "name"), *folder = text_of(o, "folder"), *sha = text_of(o, "config_sha256");
	const cJSON *seed = cJSON_GetObjectItemCaseSensitive(o, "seed");
	const cJSON *fold = cJSON_GetObjectItemCaseSensitive(o, "fold");
	if (!json_uint(cJSON_GetObjectItemCaseSensitive(o, "index"), &index) || index > 100000000 || !name ||
	    !is_name(folder) || !hash_is_hex(sha) || !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(o, "axes")))
		return err_set(ERR_CONFIG,
		    "cell %d is not one: its index, name, folder (a name, without '/'), axes or "
		    "config_sha256 is missing or wrong",
		    at);
	c->index = (int)index;
	c->name = mem_strdup(name);
	c->folder = mem_strdup(folder);
	memcpy(c->config_sha256, sha, HASH_HEX);
	c->axes = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(o, "axes"), true);
	c->seed = cJSON_IsNumber(seed) ? seed->valuedouble : 0;
	c->fold = cJSON_IsNumber(fold) ? fold->valuedouble : -1;
	if (!c->name || !c->folder || !c->axes)
		return ERR_NOMEM;
	return read_stages(c, cJSON_GetObjectItemCaseSensitive(o, "stages"));
}

static int read_cells(struct sweep_cell **cell, int *n, const cJSON *list)
{
	*cell = mem_alloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(**cell));
	int rc = *cell ? 0 : ERR_NOMEM;
	for (const cJSON *e = cJSON_IsArray(list) ? list->child : NULL; !rc && e; e = e->next) {
		rc = read_cell(&(*cell)[*n], e, *n);
		++*n;
	}
	return rc;
}

/* Sweeps of older programs have none. */
static int read_set(struct sweep *s, const cJSON *json)
{
	const cJSON *set = cJSON_GetObjectItemCaseSensitive(json, "set"), *e;
	cJSON_ArrayForEach(e, set) if (!cJSON_IsString(e)) return err_set(ERR_CONFIG, "'set' must be a list of texts");
	if (set && !cJSON_IsArray(set))
		return err_set(ERR_CONFIG, "'set' must be a list of texts");
	s->set = set ? cJSON_Duplicate(set, true) : cJSON_CreateArray();
	return s->set ? 0 : ERR_NOMEM;
}

static int read_description(struct sweep *s, const cJSON *json)
{
	uint64_t format, threads, next;
	const char *name = text_of(json, "name"), *grid = text_of(json, "grid"), *sha = text_of(json, "grid_sha256");
	const char *text = text_of(json, "grid_text");
	if (!json_uint(cJSON_GetObjectItemCaseSensitive(json, "format"), &format) || format != SWEEP_FORMAT)
		return err_set(ERR_CONFIG, "it is not a sweep that this program can read");
	if (!name || !grid || !text || !hash_is_hex(sha) ||
	    !json_uint(cJSON_GetObjectItemCaseSensitive(json, "threads"), &threads) || threads > 1024 ||
	    !json_uint(cJSON_GetObjectItemCaseSensitive(json, "next_index"), &next) || next > 100000000)
		return err_set(ERR_CONFIG, "a field is missing or wrong");
	s->name = mem_strdup(name);
	s->grid = mem_strdup(grid);
	s->grid_text = mem_strdup(text);
	memcpy(s->grid_sha256, sha, HASH_HEX);
	s->threads = (int)threads;
	s->next_index = (int)next;
	s->axes = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(json, "axes"), true);
	if (!s->name || !s->grid || !s->grid_text || !s->axes)
		return ERR_NOMEM;
	int rc = read_set(s, json);
	if (!rc)
		rc = read_cells(&s->cell, &s->n, cJSON_GetObjectItemCaseSensitive(json, "cells"));
	return rc ? rc : read_cells(&s->removed, &s->n_removed, cJSON_GetObjectItemCaseSensitive(json, "removed"));
}

int sweep_load(struct sweep *s, const char *out)
{
	char path[SWEEP_OUT + 32];
	struct fs_bytes bytes = {0};
	cJSON *json = NULL;
	*s = (struct sweep){0};
	if (strlen(out) > SWEEP_OUT)
		return err_set(ERR_CONFIG, "the path of the sweep's folder has %zu bytes; at most %d are possible: %s",
		    strlen(out), SWEEP_OUT, out);
	snprintf(s->out, sizeof(s->out), "%s", out);
	snprintf(path, sizeof(path), "%s/sweep.json", out);
	if (!fs_exists(path))
		return err_set(
		    ERR_CONFIG, "%s: there is no sweep in this folder; `pipeline sweep GRID --freeze` makes one", path);
	int rc = fs_read_regular(path, SWEEP_JSON_MAX, &bytes);
	if (!rc)
		rc = json_parse(path, (const char *)bytes.data, bytes.size, &json);
	if (!rc) {
		rc = read_description(s, json);
		if (rc)
			rc = err_context(rc, "%s", path);
	}
	fs_bytes_clear(&bytes);
	cJSON_Delete(json);
	if (rc)
		sweep_clear(s);
	return rc == ERR_CHECKPOINT ? ERR_CONFIG : rc; /* json_parse is mostly of checkpoints */
}
