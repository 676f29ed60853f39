/* Reading a grid file. The configs of its cells are made in grid_config.c. */
#include "study/grid.h"

#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/option.h"

#define MAX_AXES 32

struct grid_options {
	int equal;
};
static const char *const equal_choices[] = {"refuse", "drop", NULL};
static const struct option grid_table[] = {{.key = "equal",
					       .type = OPT_CHOICE,
					       .offset = offsetof(struct grid_options, equal),
					       .def = "refuse",
					       .choices = equal_choices,
					       .help = "cells that come out equal: an error, or only the first stays"},
    OPTION_END};
static const char *const grid_skip[] = {"base", "axes", "seeds", "folds", NULL};

/* "did you mean" over the keys of a mapping. */
static const char *nearest_key(const struct yaml_node *map, const char *word)
{
	const char *names[256];
	int n = 0;
	while (map && map->kind == YAML_MAP && n < map->n && n < 256) {
		names[n] = map->key[n]->text;
		n++;
	}
	return str_nearest(word, names, n);
}

/* What a path begins with must be there: an option below it that is wrong is found by its table. */
static int check_path(const struct grid *g, const struct yaml_node *key)
{
	static const char *const blocks[] = {"stages", "models"};
	for (size_t b = 0; b < sizeof(blocks) / sizeof(*blocks); b++) {
		size_t n = strlen(blocks[b]);
		if (strncmp(key->text, blocks[b], n) != 0 || key->text[n] != '.')
			continue;
		char name[YAML_MAX_KEY + 1];
		const struct yaml_node *map = yaml_get(g->base.root, blocks[b]);
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(key->text + n + 1, "."), key->text + n + 1);
		if (yaml_get(map, name))
			return 0;
		const char *near = nearest_key(map, name);
		return yaml_error(&g->yaml, key, "'%s': %s of the base has no '%s'%s%s%s", key->text, blocks[b], name,
		    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	}
	if (strcmp(key->text, "name") == 0 || strcmp(key->text, "out") == 0 || strcmp(key->text, "store") == 0)
		return yaml_error(&g->yaml, key, "'%s' is the same for all cells of a sweep", key->text);
	return 0;
}

/* An option's path, rather than the name of an axis: it has a dot, or is a key of the top level. */
static bool is_path(const char *key)
{
	static const char *const top[] = {
	    "seed", "threads", "device", "data", "task", "models", "stages", "name", "out", "store"};
	for (size_t i = 0; i < sizeof(top) / sizeof(*top); i++)
		if (strcmp(key, top[i]) == 0)
			return true;
	return strchr(key, '.') != NULL;
}

static void add_name(struct str *out, const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR)
		str_add(out, node->text);
	for (int i = 0; i < node->n; i++) {
		str_add(out, i ? "+" : "");
		if (node->kind == YAML_MAP)
			str_addf(out, "%s=", node->key[i]->text);
		add_name(out, node->item[i]);
	}
}

static int name_value(struct grid_value *v, const char *name)
{
	struct str text = {0};
	if (!name)
		add_name(&text, v->node);
	v->name = mem_strdup(name ? name : str_text(&text));
	int rc = v->name && !text.failed ? 0 : ERR_NOMEM;
	str_clear(&text);
	return rc;
}

/* A named block: paths with values, and perhaps a chain; {} is the base as it is. */
static int check_block(const struct grid *g, const struct yaml_node *name, const struct yaml_node *block)
{
	if (block->kind != YAML_MAP)
		return yaml_error(&g->yaml, name,
		    "'%s' must be a mapping of options, as in {stages.prune.lr: 0.01}, or {} for the base as it is",
		    name->text);
	for (int i = 0; i < block->n; i++) {
		const struct yaml_node *key = block->key[i];
		if (strcmp(key->text, "chain") == 0)
			continue;
		if (!is_path(key->text))
			return yaml_error(&g->yaml, key,
			    "'%s' is no path of an option, as stages.prune.lr is, nor 'chain'", key->text);
		int rc = check_path(g, key);
		if (rc)
			return rc;
	}
	return 0;
}

static int read_axis(struct grid *g, const struct yaml_node *key, const struct yaml_node *values)
{
	struct grid_axis *a = &g->axis[g->n_axis];
	*a = (struct grid_axis){.path = key->text, .key = key};
	a->kind = strcmp(key->text, "chain") == 0 ? AXIS_CHAIN : is_path(key->text) ? AXIS_PATH : AXIS_BLOCKS;
	if (values->kind == YAML_SCALAR && !yaml_is_null(values))
		return yaml_error(
		    &g->yaml, values, "axis '%s' must be a list of values, found '%.40s'", key->text, values->text);
	if (values->n == 0)
		return yaml_error(&g->yaml, key, "axis '%s' has no values", key->text);
	if (a->kind == AXIS_BLOCKS && values->kind != YAML_MAP)
		return yaml_error(&g->yaml, key,
		    "'%s' is no path of an option, as stages.prune.lr is; an axis of another name maps names to blocks "
		    "of options",
		    key->text);
	if (a->kind == AXIS_PATH && values->kind != YAML_LIST)
		return yaml_error(&g->yaml, values, "axis '%s' must be a list of values", key->text);
	int rc = a->kind == AXIS_PATH ? check_path(g, key) : 0;
	if (rc)
		return rc;
	a->value = mem_alloc((size_t)values->n, sizeof(*a->value));
	if (!a->value)
		return ERR_NOMEM;
	g->n_axis++;
	while (!rc && a->n < values->n) {
		const struct yaml_node *name = values->kind == YAML_MAP ? values->key[a->n] : NULL;
		struct grid_value *v = &a->value[a->n++];
		v->node = values->item[a->n - 1];
		if (a->kind == AXIS_BLOCKS)
			rc = check_block(g, name, v->node);
		if (!rc)
			rc = name_value(v, name ? name->text : NULL);
	}
	return rc;
}

/* Seeds and folds are axes too; they come last, so that their cells stand side by side. */
static int read_numbers(struct grid *g, const char *key, const char *path, int *axis)
{
	const struct yaml_node *list = yaml_get(g->yaml.root, key);
	*axis = -1;
	if (!list)
		return 0;
	const struct yaml_node named = {
	    .text = (char *)(uintptr_t)path, .line = list->line, .column = list->column, .origin = list->origin};
	if (list->kind != YAML_LIST || list->n == 0)
		return yaml_error(&g->yaml, list, "'%s' must be a list of numbers with at least one%s", key,
		    strcmp(key, "folds") == 0 ? ", or all" : "");
	*axis = g->n_axis;
	int rc = read_axis(g, &named, list);
	if (!rc)
		g->axis[*axis].key = list;
	if (!rc)
		g->axis[*axis].path = path;
	return rc;
}

/* `folds: all`: as many as data.folds of the base says. */
static int read_all_folds(struct grid *g)
{
	const struct yaml_node *all = yaml_get(g->yaml.root, "folds");
	if (!all || all->kind != YAML_SCALAR || strcmp(all->text, "all") != 0)
		return read_numbers(g, "folds", "data.fold", &g->fold_axis);
	const struct yaml_node *folds = yaml_get(yaml_get(g->base.root, "data"), "folds");
	long n = folds && folds->kind == YAML_SCALAR ? strtol(folds->text, NULL, 10) : 0;
	if (n < 2 || n > 1000)
		return yaml_error(&g->yaml, all, "'folds: all' needs data.folds in the base, a number of at least 2");
	g->fold = mem_alloc((size_t)n, sizeof(*g->fold));
	struct grid_axis *a = &g->axis[g->n_axis];
	*a = (struct grid_axis){.path = "data.fold", .key = all, .value = mem_alloc((size_t)n, sizeof(*a->value))};
	if (!g->fold || !a->value) {
		mem_free(a->value);
		return ERR_NOMEM;
	}
	g->fold_axis = g->n_axis++;
	for (a->n = 0; a->n < n; a->n++) {
		struct grid_value *v = &a->value[a->n];
		v->name = mem_printf("%d", a->n);
		g->fold[a->n] = *all;
		g->fold[a->n].text = v->name;
		v->node = &g->fold[a->n];
		if (!v->name)
			return ERR_NOMEM;
	}
	return 0;
}

static int read_axes(struct grid *g)
{
	const struct yaml_node *axes = yaml_get(g->yaml.root, "axes");
	if (axes && (axes->kind != YAML_MAP || axes->n == 0))
		return yaml_error(&g->yaml, axes, "'axes' must map paths of options to lists of values");
	if (axes && axes->n > MAX_AXES)
		return yaml_error(&g->yaml, axes, "%d axes; at most %d are possible", axes->n, MAX_AXES);
	g->axis = mem_alloc(MAX_AXES + 2, sizeof(*g->axis));
	int rc = g->axis ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && axes && i < axes->n; i++)
		rc = read_axis(g, axes->key[i], axes->item[i]);
	if (!rc)
		rc = read_numbers(g, "seeds", "seed", &g->seed_axis);
	if (!rc)
		rc = read_all_folds(g);
	if (!rc && g->n_axis == 0)
		rc = yaml_error(&g->yaml, g->yaml.root, "a grid needs 'axes', 'seeds' or 'folds'");
	return rc;
}

/* ---- what is set twice ---- */

/* Something that a value of an axis sets. */
struct setting {
	const char *path;
	const struct yaml_node *place, *value;
};

static int setting_count(const struct grid_axis *a, int value)
{
	return a->kind == AXIS_BLOCKS ? a->value[value].node->n : 1;
}

static struct setting setting_of(const struct grid_axis *a, int value, int at)
{
	const struct yaml_node *node = a->value[value].node;
	if (a->kind != AXIS_BLOCKS)
		return (struct setting){a->path, a->key, node};
	return (struct setting){node->key[at]->text, node->key[at], node->item[at]};
}

/* Where the path below `upper` begins, "" for the same path; NULL: it is no part of it. */
static const char *path_below(const char *upper, const char *path)
{
	const size_t n = strlen(upper);
	if (strncmp(upper, path, n) != 0 || (path[n] && path[n] != '.'))
		return NULL;
	return path[n] ? path + n + 1 : path + n;
}

/* Whether a value says something of what stands at a path below it. */
static bool says(const struct yaml_node *value, const char *path)
{
	while (value && *path) {
		char key[YAML_MAX_KEY + 1];
		const size_t n = strcspn(path, ".");
		if (value->kind != YAML_MAP || n >= sizeof(key))
			return value->kind == YAML_LIST;
		memcpy(key, path, n);
		key[n] = 0;
		value = yaml_get(value, key);
		path += path[n] ? n + 1 : n;
	}
	return value != NULL;
}

/* What comes later would take the place of what came before, while the tables of results show both. */
static int check_pair(const struct grid *g, struct setting first, struct setting later)
{
	const char *below = path_below(first.path, later.path);
	if (!path_below(later.path, first.path) && !(below && says(first.value, below)))
		return 0;
	return yaml_error(&g->yaml, later.place, "'%s' is set twice in a cell, first by '%s' on line %d", later.path,
	    first.path, first.place->line);
}

static int check_against(const struct grid *g, const struct grid_axis *before, struct setting later)
{
	int rc = 0;
	for (int v = 0; !rc && v < before->n; v++)
		for (int i = 0; !rc && i < setting_count(before, v); i++)
			rc = check_pair(g, setting_of(before, v, i), later);
	return rc;
}

/* A value's settings with those of the same value, and of any value of an axis before it. */
static int check_value(const struct grid *g, int axis, int v)
{
	const struct grid_axis *a = &g->axis[axis];
	int rc = 0;
	for (int k = 0; k < setting_count(a, v); k++) {
		const struct setting later = setting_of(a, v, k);
		for (int i = 0; !rc && i < k; i++)
			rc = check_pair(g, setting_of(a, v, i), later);
		for (int i = 0; !rc && i < axis; i++)
			rc = check_against(g, &g->axis[i], later);
	}
	return rc;
}

static int check_twice(const struct grid *g)
{
	int rc = 0;
	for (int axis = 0; !rc && axis < g->n_axis; axis++)
		for (int v = 0; !rc && v < g->axis[axis].n; v++)
			rc = check_value(g, axis, v);
	return rc;
}

/* ---- assignments to the base ---- */

/* What stands at a path, or NULL. */
static const struct yaml_node *value_at(const struct yaml_node *node, const char *path)
{
	while (node && *path) {
		char key[YAML_MAX_KEY + 1];
		const size_t n = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		node = yaml_get(node, key);
		path += path[n] ? n + 1 : n;
	}
	return node;
}

/* Whether this is an input that names a stage: chains say themselves what a stage takes, and leave it out. */
static bool is_chained_input(const struct grid *g, struct setting set)
{
	const char *last = strrchr(set.path, '.');
	return strncmp(set.path, "stages.", 7) == 0 && strcmp(last, ".input") == 0 && set.value &&
	       set.value->kind == YAML_SCALAR && yaml_get(yaml_get(g->base.root, "stages"), set.value->text);
}

/* A cell's own value would take the place of what was set, or say it again. */
static int check_against_axes(const struct grid *g, struct setting set)
{
	const bool chained = is_chained_input(g, set);
	for (int axis = 0; axis < g->n_axis; axis++)
		for (int v = 0; v < g->axis[axis].n; v++)
			for (int i = 0; i < setting_count(&g->axis[axis], v); i++) {
				const struct setting s = setting_of(&g->axis[axis], v, i);
				const char *below = path_below(set.path, s.path);
				if (chained && strcmp(s.path, "chain") == 0)
					return yaml_error(&g->yaml, set.place,
					    "the grid's chain on line %d says what a stage takes", s.place->line);
				if (path_below(s.path, set.path) || (below && says(set.value, below)))
					return yaml_error(&g->yaml, set.place,
					    "the grid sets '%s' in its cells, on line %d", s.path, s.place->line);
			}
	return 0;
}

/* check: the axes are known; else the base is changed. */
static int apply_set(struct grid *g, const char *text, bool check)
{
	char path[256];
	char *origin = mem_printf("--set %s", text);
	if (!origin)
		return ERR_NOMEM;
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(text, "="), text);
	const struct yaml_node place = {.text = path, .origin = origin};
	int rc = 0;
	if (check) {
		rc = check_against_axes(g, (struct setting){path, &place, value_at(g->base.root, path)});
	} else {
		if (strcmp(path, "out") == 0)
			rc = yaml_error(&g->yaml, &place, "cells have folders of their own; --out is the sweep's");
		else if (strcmp(path, "name") == 0)
			rc = yaml_error(
			    &g->yaml, &place, "cells are called by their values; --out is the sweep's folder");
		else if (strchr(path, '.'))
			rc = check_path(g, &place); /* before a stage of that name is there */
		if (!rc)
			rc = yaml_set(&g->base, text);
	}
	mem_free(origin);
	return rc;
}

static int apply_sets(struct grid *g, bool check)
{
	int rc = 0;
	for (int i = 0; !rc && i < g->n_set; i++)
		rc = apply_set(g, g->set[i], check);
	return rc;
}

static int count_cells(struct grid *g)
{
	uint64_t n = 1;
	struct str product = {0};
	for (int i = 0; i < g->n_axis; i++) {
		str_addf(&product, "%s%d", i ? " x " : "", g->axis[i].n);
		if (__builtin_mul_overflow(n, (uint64_t)g->axis[i].n, &n))
			n = UINT64_MAX;
	}
	int rc = 0;
	if (n > GRID_MAX_CELLS)
		rc = yaml_error(&g->yaml, yaml_get(g->yaml.root, "axes"),
		    "the grid has %s%" PRIu64 " cells (%s); at most %d are possible",
		    n == UINT64_MAX ? "more than " : "", n, str_text(&product), GRID_MAX_CELLS);
	g->n_cell = rc ? 0 : (int)n;
	str_clear(&product);
	return rc;
}

/* A path is looked for in the current folder, then in the grid's, as data are. */
static int find_base(struct grid *g, const struct yaml_node *base, const char *dir)
{
	char path[PATH_MAX];
	int rc =
	    snprintf(path, sizeof(path), "%s", base->text) < PATH_MAX ? 0 : err_set(ERR_CONFIG, "path is too long");
	if (!rc && !fs_exists(path) && base->text[0] != '/')
		rc = fs_join(path, sizeof(path), dir, base->text);
	if (!rc && !fs_exists(path))
		return yaml_error(
		    &g->yaml, base, "'%s': no such file, neither in the current folder nor in %s", base->text, dir);
	if (!rc)
		rc = yaml_read(path, &g->base);
	if (rc)
		return rc == ERR_IO ? yaml_error(&g->yaml, base, "the base cannot be read") : rc;
	g->base_dir = mem_strdup(dirname(path));
	return g->base_dir ? 0 : ERR_NOMEM;
}

static int read_base(struct grid *g, const char *dir)
{
	const struct yaml_node *base = yaml_get(g->yaml.root, "base");
	int rc;
	if (!base || (base->kind == YAML_SCALAR ? yaml_is_null(base) : base->kind != YAML_MAP))
		return yaml_error(
		    &g->yaml, base ? base : g->yaml.root, "'base' must be the path of a config, or a config");
	if (base->kind == YAML_SCALAR) {
		rc = find_base(g, base, dir);
	} else {
		g->base_dir = mem_strdup(dir);
		rc = g->base_dir ? yaml_copy(&g->base, g->yaml.path, base) : ERR_NOMEM;
	}
	if (!rc && g->base.root->kind != YAML_MAP)
		rc = yaml_error(&g->base, g->base.root, "a config is a mapping with name, data, models and stages");
	return rc;
}

/* The grid's name: its file's, without folder and ending. */
static int take_name(struct grid *g, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const char *dot = strrchr(base, '.');
	int n = dot && dot > base ? (int)(dot - base) : (int)strlen(base);
	g->name = mem_printf("%.*s", n, base);
	return g->name ? 0 : ERR_NOMEM;
}

static int read_all(struct grid *g, const char *path)
{
	struct grid_options o = {0};
	char *copy = mem_strdup(path);
	int rc = copy ? 0 : ERR_NOMEM;
	if (!rc && g->yaml.root->kind != YAML_MAP)
		rc = yaml_error(&g->yaml, g->yaml.root, "a grid is a mapping with base, axes, seeds and folds");
	if (!rc)
		rc = option_parse(grid_table, &o, &g->yaml, g->yaml.root, grid_skip);
	g->drop_equal = o.equal == 1;
	if (!rc)
		rc = read_base(g, dirname(copy));
	if (!rc)
		rc = apply_sets(g, false);
	if (!rc)
		rc = read_axes(g);
	if (!rc)
		rc = count_cells(g);
	if (!rc)
		rc = check_twice(g);
	if (!rc)
		rc = apply_sets(g, true);
	mem_free(copy);
	return rc;
}

int grid_identify(struct grid *g, const char *path)
{
	struct fs_bytes bytes;
	*g = (struct grid){.seed_axis = -1, .fold_axis = -1};
	int rc = fs_read_regular(path, YAML_MAX_BYTES, &bytes);
	if (rc)
		return rc == ERR_IO ? err_set(ERR_CONFIG, "%s", err_message()) : rc;
	rc = hash_bytes(bytes.data, bytes.size, g->sha256);
	if (!rc)
		rc = take_name(g, path);
	if (!rc) {
		g->text = mem_strdup((const char *)bytes.data);
		g->bytes = bytes.size;
		rc = g->text ? 0 : ERR_NOMEM;
	}
	fs_bytes_clear(&bytes);
	if (rc)
		grid_clear(g);
	return rc;
}

int grid_load(struct grid *g, const char *path, const char *const *set, int n_set)
{
	int rc = grid_identify(g, path);
	if (rc)
		return rc;
	g->set = set;
	g->n_set = n_set;
	rc = yaml_parse(path, g->text, g->bytes, &g->yaml);
	if (!rc)
		rc = read_all(g, path);
	if (rc)
		grid_clear(g);
	return rc;
}

void grid_clear(struct grid *g)
{
	for (int i = 0; i < g->n_axis; i++) {
		for (int j = 0; j < g->axis[i].n; j++)
			mem_free(g->axis[i].value[j].name);
		mem_free(g->axis[i].value);
	}
	mem_free(g->axis);
	mem_free(g->fold);
	mem_free(g->text);
	mem_free(g->name);
	mem_free(g->base_dir);
	yaml_clear(&g->base);
	yaml_clear(&g->yaml);
	*g = (struct grid){0};
}
