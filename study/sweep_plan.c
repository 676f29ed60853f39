/* Planning a sweep. */
#include "study/sweep_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/number.h"
#include "pipeline/chain.h"
#include "study/sweep_freeze.h"

#define CHECK_SECONDS 1.0  /* for cells whose values all have been checked in other cells */
#define FIRST_SECONDS 60.0 /* for the others */
#define SHORT_NAME    60

/* What is needed while a sweep is planned. */
struct planner {
	struct sweep *s;
	const struct grid *g;
	struct sweep_found *found;
	int *number;              /* of each cell in the grid */
	bool **seen;              /* per axis, of each value: a cell that was checked has it */
	double begin;             /* of the checks */
	struct run_config config; /* of the chain */
	struct chain chain;       /* the last one, whose data the next may share */
	bool open;
};

static cJSON *node_json(const struct yaml_node *node)
{
	double number;
	if (node->kind == YAML_SCALAR) {
		if (!node->quoted && !number_float(node->text, &number))
			return cJSON_CreateNumber(number);
		if (!node->quoted && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0))
			return cJSON_CreateBool(node->text[0] == 't');
		return yaml_is_null(node) ? cJSON_CreateNull() : cJSON_CreateString(node->text);
	}
	cJSON *o = node->kind == YAML_MAP ? cJSON_CreateObject() : cJSON_CreateArray();
	for (int i = 0; o && i < node->n; i++) {
		cJSON *item = node_json(node->item[i]);
		if (!(node->kind == YAML_MAP ? cJSON_AddItemToObject(o, node->key[i]->text, item)
					     : cJSON_AddItemToArray(o, item))) {
			cJSON_Delete(item);
			cJSON_Delete(o);
			return NULL;
		}
	}
	return o;
}

/* A named block is known by its name. */
static cJSON *value_json(const struct grid_axis *a, const struct grid_value *v)
{
	return a->kind == AXIS_PATH ? node_json(v->node) : cJSON_CreateString(v->name);
}

static int add_json(cJSON *to, const char *key, cJSON *item)
{
	if (item && (key ? cJSON_AddItemToObject(to, key, item) : cJSON_AddItemToArray(to, item)))
		return 0;
	cJSON_Delete(item);
	return err_set(ERR_NOMEM, "out of memory");
}

static int describe_axes(struct sweep *s, const struct grid *g)
{
	s->axes = cJSON_CreateObject();
	int rc = s->axes ? 0 : err_set(ERR_NOMEM, "out of memory");
	for (int i = 0; !rc && i < g->n_axis; i++) {
		const struct grid_axis *a = &g->axis[i];
		cJSON *list = cJSON_CreateArray();
		rc = add_json(s->axes, a->path, list);
		for (int j = 0; !rc && j < a->n; j++)
			rc = add_json(list, NULL, value_json(a, &a->value[j]));
	}
	return rc;
}

static void add_short(struct str *name, const struct grid *g, int i, const char *value)
{
	const struct grid_axis *a = &g->axis[i];
	const char *dot = strrchr(a->path, '.');
	str_add(name, name->len ? "-" : "");
	if (a->kind == AXIS_PATH)
		str_add(name, i == g->seed_axis ? "s" : i == g->fold_axis ? "f" : dot ? dot + 1 : a->path);
	str_add(name, value);
}

/* "sparsity0.5-s1": the last part of each path with its value; what would be in the way of a shell becomes "_". idle:
 * which axes say nothing of this cell, or NULL. */
static int name_cell(struct sweep_cell *c, const struct grid *g, int number, const bool *idle)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-";
	struct str name = {0};
	c->axes = cJSON_CreateObject();
	int rc = c->axes ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < g->n_axis; i++) {
		const struct grid_value *v = &g->axis[i].value[grid_value_of(g, number, i)];
		if (idle && idle[i])
			continue;
		add_short(&name, g, i, v->name);
		rc = add_json(c->axes, g->axis[i].path, value_json(&g->axis[i], v));
	}
	c->name = mem_strdup(str_text(&name));
	for (char *p = c->name; p && *p; p++)
		*p = strchr(ok, *p) ? *p : '_';
	str_clear(&name);
	return rc || c->name ? rc : ERR_NOMEM;
}

/* Which cell it is that an error is of. */
static int cell_error(int rc, const struct sweep_cell *c, int number)
{
	return err_context(rc, "cell %d (%.200s)", number, c->name ? c->name : "");
}

/* The cell's config as text and, checked by the tables, as its stages' signs. */
static int make_cell(struct sweep_cell *c, const struct grid *g, int number, struct run_config *config)
{
	struct yaml y = {0};
	struct str text = {0};
	*config = (struct run_config){0};
	int rc = name_cell(c, g, number, NULL);
	if (!rc)
		rc = grid_config(g, number, &y);
	if (!rc)
		rc = freeze_tree(&y, g->base_dir, &c->own_threads);
	if (rc) {
		yaml_clear(&y);
		return cell_error(rc, c, number);
	}
	yaml_write(y.root, &text);
	c->config = text.failed ? NULL : mem_strdup(str_text(&text));
	rc = c->config ? hash_bytes(text.text, text.len, c->config_sha256) : err_set(ERR_NOMEM, "out of memory");
	str_clear(&text);
	if (rc) {
		yaml_clear(&y);
		return rc;
	}
	rc = run_config_read(config, &y, g->base_dir);
	if (!rc)
		rc = freeze_signs(c, config);
	c->seed = (double)config->top.seed;
	c->fold = config->data.folds > 0 ? (double)config->data.fold : -1;
	return rc ? cell_error(rc, c, number) : 0;
}

static int make_cells(struct planner *p)
{
	struct sweep *s = p->s;
	s->cell = mem_alloc((size_t)p->g->n_cell, sizeof(*s->cell));
	p->number = mem_alloc((size_t)p->g->n_cell, sizeof(*p->number));
	int rc = s->cell && p->number ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < p->g->n_cell; i++) {
		struct run_config config;
		p->number[i] = s->cell[i].index = i;
		s->n = i + 1;
		rc = make_cell(&s->cell[i], p->g, i, &config);
		run_config_clear(&config);
	}
	return rc;
}

static int compare_stages(const struct sweep_cell *a, const struct sweep_cell *b)
{
	for (int i = 0; i < a->n_stage && i < b->n_stage; i++) {
		int order = strcmp(a->stage[i].sign, b->stage[i].sign);
		if (order)
			return order;
	}
	return a->n_stage - b->n_stage;
}

static int by_stages(const void *a, const void *b)
{
	const struct sweep_cell *x = *(const struct sweep_cell *const *)a, *y = *(const struct sweep_cell *const *)b;
	int order = compare_stages(x, y);
	return order ? order : x->index - y->index;
}

static void drop_marked(struct planner *p)
{
	int n = 0;
	for (int i = 0; i < p->s->n; i++) {
		if (p->s->cell[i].index < 0) {
			sweep_cell_clear(&p->s->cell[i]);
			continue;
		}
		p->number[n] = p->number[i];
		p->s->cell[n++] = p->s->cell[i];
	}
	p->s->n = n;
}

/* An axis says nothing of a cell if the cell is the same whatever the axis' value, as the sparsity of a student that is
 * not pruned. class: of each cell in the grid, the first of those that are equal. */
static bool is_idle(const struct grid *g, const int *class, int number, int axis)
{
	int step = 1;
	for (int i = axis + 1; i < g->n_axis; i++)
		step *= g->axis[i].n;
	const int first = number - grid_value_of(g, number, axis) * step;
	for (int v = 0; v < g->axis[axis].n; v++)
		if (class[first + v * step] != class[number])
			return false;
	return g->axis[axis].n > 1;
}

/* What was dropped has shown which axes the cells that are left do not depend on: they are not said of them. */
static int hide_idle_axes(struct planner *p, const int *class)
{
	bool *idle = mem_alloc((size_t)p->g->n_axis, sizeof(*idle));
	int rc = idle ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < p->s->n; i++) {
		struct sweep_cell *c = &p->s->cell[i];
		bool any = false;
		for (int a = 0; a < p->g->n_axis; a++)
			any |= idle[a] = is_idle(p->g, class, p->number[i], a);
		if (!any)
			continue;
		mem_free(c->name);
		cJSON_Delete(c->axes);
		c->name = NULL;
		c->axes = NULL;
		rc = name_cell(c, p->g, p->number[i], idle);
	}
	mem_free(idle);
	return rc;
}

static int find_equal(struct planner *p, struct sweep_found *found)
{
	struct sweep *s = p->s;
	struct sweep_cell **order = mem_alloc((size_t)s->n, sizeof(struct sweep_cell *)), *first = NULL;
	int *class = mem_alloc((size_t)s->n, sizeof(*class));
	int rc = order && class ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < s->n; i++)
		order[i] = &s->cell[i];
	if (!rc)
		qsort(order, (size_t)s->n, sizeof(struct sweep_cell *), by_stages);
	for (int i = 0; !rc && i < s->n; i++) {
		if (!first || compare_stages(first, order[i]) != 0)
			first = order[i];
		class[order[i]->index] = first->index;
		if (first == order[i])
			continue;
		found->equal++;
		if (!p->g->drop_equal)
			rc = err_set(ERR_CONFIG,
			    "%s: cells %d (%.200s) and %d (%.200s) are the same: no option of a stage differs; `equal: "
			    "drop` "
			    "in the grid keeps the first of such cells",
			    p->g->yaml.path, first->index, first->name, order[i]->index, order[i]->name);
		order[i]->index = -1;
	}
	mem_free(order);
	if (!rc)
		drop_marked(p);
	if (!rc && found->equal)
		rc = hide_idle_axes(p, class);
	mem_free(class);
	return rc;
}

/* Whether a value of the cell is in no cell that was checked. Seeds decide nothing that could be wrong. */
static bool has_new_value(const struct planner *p, int number)
{
	for (int i = 0; i < p->g->n_axis; i++)
		if (i != p->g->seed_axis && !p->seen[i][grid_value_of(p->g, number, i)])
			return true;
	return false;
}

/* The data of the last chain that has read some are kept for the next ones. */
static void keep_chain(struct planner *p, struct chain *chain, struct run_config *config)
{
	if (p->open) {
		chain_close(&p->chain);
		run_config_clear(&p->config);
	}
	p->chain = *chain;
	p->config = *config;
	p->chain.config = &p->config;
	p->open = true;
	*chain = (struct chain){0};
	*config = (struct run_config){0};
}

/* Puts the cell together with data, models and devices, as `plan` does. */
static int check_cell(struct planner *p, int i)
{
	const int number = p->number[i];
	struct sweep_cell c = {0};
	struct run_config config;
	struct chain chain = {0};
	char out[SWEEP_PATH];
	snprintf(out, sizeof(out), "%s/cells/.none", p->s->out); /* what is finished is not looked for now */
	int rc = make_cell(&c, p->g, number, &config);
	if (!rc && config.top.threads == 0)
		config.top.threads = p->s->threads;
	if (!rc) {
		rc = chain_open_like(&chain, &config, out, true, p->open ? &p->chain : NULL);
		if (!rc)
			rc = chain_check_memory(&chain);
		if (rc)
			cell_error(rc, &c, number);
	}
	for (int a = 0; a < p->g->n_axis; a++)
		p->seen[a][grid_value_of(p->g, number, a)] = true;
	if (!rc)
		memcpy(p->s->cell[i].data_key, chain.data_key, HASH_HEX);
	if (!rc && chain.store.ignored[0])
		snprintf(p->found->no_store, sizeof(p->found->no_store), "the store %s is not used: %s",
		    chain.store.path, chain.store.ignored);
	if (!rc && !chain.data_of_other)
		keep_chain(p, &chain, &config);
	chain_close(&chain);
	sweep_cell_clear(&c);
	run_config_clear(&config);
	return rc;
}

static int check_all(struct planner *p, struct sweep_found *found)
{
	const struct grid *g = p->g;
	p->seen = mem_alloc((size_t)g->n_axis, sizeof(bool *));
	bool *done = mem_alloc((size_t)p->s->n, sizeof(*done));
	int rc = p->seen && done ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < g->n_axis; i++) {
		p->seen[i] = mem_alloc((size_t)g->axis[i].n, sizeof(bool));
		rc = p->seen[i] ? 0 : ERR_NOMEM;
	}
	p->begin = clock_now();
	for (int pass = 0; !rc && pass < 2; pass++) {
		for (int i = 0; !rc && i < p->s->n; i++) {
			double limit = pass ? CHECK_SECONDS : FIRST_SECONDS;
			if (done[i] || (!pass && !has_new_value(p, p->number[i])) || clock_now() - p->begin > limit)
				continue;
			rc = check_cell(p, i);
			done[i] = true;
			found->checked++;
		}
	}
	mem_free(done);
	return rc;
}

static int by_config(const void *a, const void *b)
{
	const struct sweep_cell *x = *(const struct sweep_cell *const *)a, *y = *(const struct sweep_cell *const *)b;
	return strcmp(x->config_sha256, y->config_sha256);
}

static int by_name(const void *a, const void *b)
{
	const struct sweep_cell *x = *(const struct sweep_cell *const *)a, *y = *(const struct sweep_cell *const *)b;
	return strcmp(x->name, y->name);
}

/* Gives cells without a folder that of an earlier cell that compares as equal and was not taken yet. */
static void match(
    struct sweep *s, struct sweep_cell **old, int n, int (*order)(const void *, const void *), int *changed)
{
	qsort(old, (size_t)n, sizeof(struct sweep_cell *), order);
	for (int i = 0; i < s->n; i++) {
		struct sweep_cell *c = &s->cell[i];
		if (c->folder)
			continue;
		struct sweep_cell **at = bsearch(&c, old, (size_t)n, sizeof(struct sweep_cell *), order);
		if (!at || !(*at)->folder)
			continue;
		c->folder = (*at)->folder;
		c->index = (*at)->index;
		(*at)->folder = NULL;
		*changed += strcmp(c->config_sha256, (*at)->config_sha256) != 0;
	}
}

/* Earlier cells that no new one has taken, the removed of earlier times first. */
static int keep_removed(struct sweep *s, struct sweep *old, struct sweep_found *found)
{
	s->removed = mem_alloc((size_t)(old->n + old->n_removed) + 1, sizeof(*s->removed));
	if (!s->removed)
		return ERR_NOMEM;
	for (int i = 0; i < old->n_removed + old->n; i++) {
		struct sweep_cell *c = i < old->n_removed ? &old->removed[i] : &old->cell[i - old->n_removed];
		if (!c->folder)
			continue;
		found->newly_removed += i >= old->n_removed;
		s->removed[s->n_removed++] = *c;
		*c = (struct sweep_cell){0};
	}
	return 0;
}

static int number_new(struct sweep *s, struct sweep_found *found)
{
	for (int i = 0; i < s->n; i++) {
		struct sweep_cell *c = &s->cell[i];
		if (c->folder)
			continue;
		c->index = s->next_index++;
		c->folder = mem_printf("%04d-%.*s", c->index, SHORT_NAME, c->name);
		if (!c->folder)
			return ERR_NOMEM;
		found->added++;
	}
	found->kept = s->n - found->added;
	return 0;
}

static int meet_earlier(struct sweep *s, struct sweep *old, struct sweep_found *found)
{
	const int n = old->n + old->n_removed;
	struct sweep_cell **list = mem_alloc((size_t)n + 1, sizeof(struct sweep_cell *));
	int rc = list ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < n; i++)
		list[i] = i < old->n ? &old->cell[i] : &old->removed[i - old->n];
	if (!rc) {
		match(s, list, n, by_config, &found->changed);
		match(s, list, n, by_name, &found->changed);
	}
	mem_free(list);
	s->next_index = old->next_index;
	if (!rc)
		rc = number_new(s, found);
	return rc ? rc : keep_removed(s, old, found);
}

static int describe_set(struct sweep *s, const struct grid *g)
{
	s->set = cJSON_CreateArray();
	int rc = s->set ? 0 : err_set(ERR_NOMEM, "out of memory");
	for (int i = 0; !rc && i < g->n_set; i++)
		rc = add_json(s->set, NULL, cJSON_CreateString(g->set[i]));
	return rc;
}

/* What differs from before, in words. */
static void compare_set(const struct sweep *s, const struct sweep *old, char *text, size_t cap)
{
	struct str words = {0};
	const cJSON *e;
	if (!old->set || cJSON_Compare(s->set, old->set, true))
		return;
	cJSON_ArrayForEach(e, old->set) str_addf(&words, "%s--set %s", words.len ? " " : "", e->valuestring);
	snprintf(text, cap, "%s", words.len ? str_text(&words) : "no --set");
	str_clear(&words);
}

static int begin(struct sweep *s, const struct grid *g, const char *grid_path, const char *out)
{
	int n =
	    out ? snprintf(s->out, sizeof(s->out), "%s", out) : snprintf(s->out, sizeof(s->out), "runs/%s", g->name);
	if (n == 0 || n > SWEEP_OUT)
		return err_set(ERR_CONFIG, "the path of the sweep's folder must have 1 to %d bytes", SWEEP_OUT);
	s->name = mem_strdup(g->name);
	s->grid = mem_strdup(grid_path);
	s->grid_text = mem_strdup(g->text);
	memcpy(s->grid_sha256, g->sha256, HASH_HEX);
	int rc = s->name && s->grid && s->grid_text ? describe_set(s, g) : ERR_NOMEM;
	return rc ? rc : describe_axes(s, g);
}

/* A first making that was interrupted leaves a lock, and cells that no sweep.json names yet; anything else is not ours.
 */
static int check_foreign(const char *out)
{
	struct fs_list list = {0};
	if (!fs_exists(out))
		return 0;
	int rc = fs_check_dir(out);
	if (!rc)
		rc = fs_list(out, &list);
	for (int i = 0; !rc && i < list.n; i++)
		if (strcmp(list.name[i], ".lock") != 0 && strcmp(list.name[i], "cells") != 0 &&
		    strncmp(list.name[i], "sweep.json.", 11) != 0)
			rc = err_set(ERR_CONFIG,
			    "%s holds '%s' and no sweep.json: it is not a sweep's folder; choose a new or empty one as "
			    "--out",
			    out, list.name[i]);
	fs_list_clear(&list);
	return rc;
}

/* The folder's sweep as it was; an empty one if there is none. */
static int load_earlier(struct sweep *old, const char *out)
{
	char path[SWEEP_OUT + 32];
	*old = (struct sweep){0};
	snprintf(path, sizeof(path), "%s/sweep.json", out);
	if (fs_exists(path))
		return sweep_load(old, out);
	snprintf(path, sizeof(path), "%s/run.json", out);
	if (fs_exists(path))
		return err_set(ERR_CONFIG, "%s is the folder of a run; choose another --out", out);
	return check_foreign(out);
}

int sweep_plan(struct sweep *s, struct sweep_found *found, const struct grid *g, const char *grid_path, const char *out,
    int threads, int share)
{
	struct planner p = {.s = s, .g = g, .found = found};
	struct sweep old = {0};
	*s = (struct sweep){0};
	*found = (struct sweep_found){0};
	int rc = begin(s, g, grid_path, out);
	if (!rc)
		rc = load_earlier(&old, s->out);
	if (!rc)
		compare_set(s, &old, found->set_before, sizeof(found->set_before));
	s->threads = threads ? threads : old.threads ? old.threads : share;
	if (!rc)
		rc = make_cells(&p);
	if (!rc && threads && !sweep_sharing(s))
		rc = err_set(ERR_CONFIG,
		    "sweep: --threads is for configs with 'threads: 0', and all cells name a number; `--set "
		    "threads=%d` "
		    "gives the base another",
		    threads);
	if (!rc)
		rc = find_equal(&p, found);
	if (!rc)
		rc = check_all(&p, found);
	if (!rc)
		rc = meet_earlier(s, &old, found);
	if (p.open) {
		chain_close(&p.chain);
		run_config_clear(&p.config);
	}
	for (int i = 0; p.seen && i < g->n_axis; i++)
		mem_free(p.seen[i]);
	mem_free(p.seen);
	mem_free(p.number);
	sweep_clear(&old);
	if (rc)
		sweep_clear(s);
	return rc;
}
