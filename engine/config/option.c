/* From a YAML mapping to the fields of a block's struct, row by row of its table. Output is in option_json.c and
 * option_explain.c. */
#include "config/option.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/number.h"
#include "config/option_impl.h"

struct source {
	const struct yaml *y;
	const struct yaml_node *node; /* the value */
	bool resolved;                /* paths were expanded when it was written */
};

static int row_count(const struct option *table)
{
	int n = 0;
	while (table[n].key)
		n++;
	return n;
}

const struct option *option_find(const struct option *table, const char *key)
{
	for (const struct option *row = table; row->key; row++)
		if (strcmp(row->key, key) == 0 || (row->former && strcmp(row->former, key) == 0))
			return row;
	return NULL;
}

static bool contains(const char *const *list, const char *word)
{
	for (int i = 0; list && list[i]; i++)
		if (strcmp(list[i], word) == 0)
			return true;
	return false;
}

static int list_length(const char *const *list)
{
	int n = 0;
	while (list && list[n])
		n++;
	return n;
}

/* What stands in the file, short enough for a message. */
static void add_found(const struct yaml_node *node, struct str *out)
{
	enum { SHOWN = 40 };
	if (node->kind == YAML_LIST)
		str_add(out, node->n ? "a list" : "an empty list");
	else if (node->kind == YAML_MAP)
		str_add(out, "a mapping");
	else if (yaml_is_null(node))
		str_add(out, "no value");
	else
		str_addf(out, "'%.*s%s'%s", SHOWN, node->text, strlen(node->text) > SHOWN ? "..." : "",
		    node->quoted ? " in quotes" : "");
}

/* "'lr' must be a number in 0..1, found 'fast'". why: a further reason or ""; near: a choice that may be meant. */
static int wrong_value(const struct option *row, const struct source *s, const char *why, const char *near)
{
	struct str text = {0};
	option_describe(row, &text);
	str_add(&text, ", found ");
	add_found(s->node, &text);
	if (why[0])
		str_addf(&text, " (%s)", why);
	if (near)
		str_addf(&text, "; did you mean '%s'?", near);
	int rc = text.failed ? ERR_NOMEM : yaml_error(s->y, s->node, "'%s' must be %s", row->key, str_text(&text));
	str_clear(&text);
	return rc;
}

/* The text of a scalar that can be a number or a boolean, else "" (which is none). */
static const char *plain(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && !node->quoted ? node->text : "";
}

static bool in_range(const struct option *row, double v)
{
	return (row->min == 0.0 && row->max == 0.0) || (v >= row->min && v <= row->max);
}

static int read_bool(const struct option *row, const struct source *s, bool *out)
{
	const char *text = plain(s->node);
	*out = strcmp(text, "true") == 0;
	return *out || strcmp(text, "false") == 0 ? 0 : wrong_value(row, s, "", NULL);
}

static int read_int(const struct option *row, const struct source *s, int64_t *out)
{
	const char *why = number_int(plain(s->node), out);
	const bool ranged = row->min != 0.0 || row->max != 0.0;
	/* Limits are doubles, in which 2^53 and the number behind it are the same. */
	if (!why && in_range(row, (double)*out) && !(ranged && *out > (int64_t)1 << 53))
		return 0;
	return wrong_value(row, s, why ? why : "", NULL);
}

static int read_float(const struct option *row, const struct source *s, double *out)
{
	const char *why = number_float(plain(s->node), out);
	return !why && in_range(row, *out) ? 0 : wrong_value(row, s, why ? why : "", NULL);
}

static int wrong_choice(const struct option *row, const struct source *s)
{
	const char *near =
	    s->node->kind == YAML_SCALAR ? str_nearest(s->node->text, row->choices, list_length(row->choices)) : NULL;
	return wrong_value(row, s, "", near);
}

static int read_string(const struct option *row, const struct source *s, char **out)
{
	if (s->node->kind != YAML_SCALAR || yaml_is_null(s->node))
		return wrong_value(row, s, "", NULL);
	if (row->type == OPT_STRINGS && row->choices && !contains(row->choices, s->node->text))
		return wrong_choice(row, s);
	if (row->path && !s->resolved)
		return option_expand_path(s->y, s->node, out);
	*out = mem_strdup(s->node->text);
	return *out ? 0 : ERR_NOMEM;
}

static int read_choice(const struct option *row, const struct source *s, int *out)
{
	for (int i = 0; s->node->kind == YAML_SCALAR && row->choices[i]; i++) {
		if (strcmp(row->choices[i], s->node->text) == 0) {
			*out = i;
			return 0;
		}
	}
	return wrong_choice(row, s);
}

/* The lists share their layout, pointer and count; `n` grows with the elements, so that a failure can be cleared. */
static int read_list(const struct option *row, const struct source *s, void *field)
{
	struct option_ints *ints = field;
	struct option_floats *floats = field;
	struct option_strings *strings = field;
	const struct yaml_node *const single[] = {s->node};
	const struct yaml_node *const *item = single;
	int n = 1, rc = 0;
	if (s->node->kind == YAML_MAP || yaml_is_null(s->node))
		return wrong_value(row, s, "", NULL);
	if (s->node->kind == YAML_LIST) {
		item = (const struct yaml_node *const *)s->node->item;
		n = s->node->n;
	}
	if (n == 0)
		return 0;
	size_t size = row->type == OPT_INTS     ? sizeof(*ints->v)
		      : row->type == OPT_FLOATS ? sizeof(*floats->v)
						: sizeof(*strings->v);
	void *v = mem_alloc((size_t)n, size);
	if (!v)
		return ERR_NOMEM;
	if (row->type == OPT_INTS)
		ints->v = v;
	else if (row->type == OPT_FLOATS)
		floats->v = v;
	else
		strings->v = v;
	for (int i = 0; i < n && !rc; i++) {
		struct source element = {s->y, item[i], s->resolved};
		if (row->type == OPT_INTS)
			rc = read_int(row, &element, &ints->v[ints->n++]);
		else if (row->type == OPT_FLOATS)
			rc = read_float(row, &element, &floats->v[floats->n++]);
		else
			rc = read_string(row, &element, &strings->v[strings->n++]);
	}
	return rc;
}

static int parse(const struct option *table, void *block, const struct yaml *y, const struct yaml_node *node,
    const char *const *skip, bool resolved);

static int read_value(const struct option *row, void *field, const struct source *s)
{
	switch (row->type) {
	case OPT_BOOL:
		return read_bool(row, s, field);
	case OPT_INT:
		return read_int(row, s, field);
	case OPT_FLOAT:
		return read_float(row, s, field);
	case OPT_STRING:
		return read_string(row, s, field);
	case OPT_CHOICE:
		return read_choice(row, s, field);
	case OPT_INTS:
	case OPT_FLOATS:
	case OPT_STRINGS:
		return read_list(row, s, field);
	case OPT_BLOCK:
		if (s->node->kind != YAML_MAP)
			return wrong_value(row, s, "", NULL);
		return parse(row->block, field, s->y, s->node, NULL, s->resolved);
	}
	return err_set(ERR_FAIL, "option '%s' has no type", row->key);
}

int option_read_default(const struct option *row, void *field)
{
	struct yaml y;
	char name[YAML_MAX_KEY + 32];
	if (row->type == OPT_BLOCK)
		return option_parse(row->block, field, NULL, NULL, NULL);
	if (!row->def) {
		if (row->type == OPT_FLOAT)
			*(double *)field = (double)NAN;
		return 0;
	}
	snprintf(name, sizeof(name), "default of '%s'", row->key);
	int rc = yaml_parse(name, row->def, strlen(row->def), &y);
	if (rc)
		return rc;
	struct source s = {.y = &y, .node = y.root};
	rc = read_value(row, field, &s);
	yaml_clear(&y);
	return rc;
}

/* The nearest of the table's keys and the caller's. */
static const char *nearest_key(const struct option *table, const char *const *skip, const char *word)
{
	const char *best[2] = {NULL, NULL};
	best[0] = str_nearest(word, skip, list_length(skip));
	for (const struct option *row = table; row->key; row++) {
		best[1] = row->key;
		best[0] = best[0] ? str_nearest(word, best, 2) : str_nearest(word, &best[1], 1);
	}
	return best[0];
}

static int unknown_key(const struct option *table, const struct source *map, const struct yaml_node *key,
    const char *const *skip, const char *where)
{
	const char *near = nearest_key(table, skip, key->text);
	if (near)
		return yaml_error(map->y, key, "%sunknown key '%s'; did you mean '%s'?", where, key->text, near);
	struct str allowed = {0};
	for (const struct option *row = table; row->key; row++)
		str_addf(&allowed, "%s%s", allowed.len ? ", " : "", row->key);
	for (int i = 0; skip && skip[i]; i++)
		str_addf(&allowed, "%s%s", allowed.len ? ", " : "", skip[i]);
	int rc = allowed.failed ? ERR_NOMEM
				: yaml_error(map->y, key, "%sunknown key '%s'; allowed: %s", where, key->text,
				      allowed.len ? str_text(&allowed) : "none");
	str_clear(&allowed);
	return rc;
}

void option_where(const struct yaml *y, const struct yaml_node *map, char where[OPTION_WHERE])
{
	where[0] = '\0';
	if (y && yaml_path(y, map, where, OPTION_WHERE - 2) && where[0])
		memcpy(where + strlen(where), ": ", 3);
}

/* The value of a row, under its key or its former one. */
static const struct yaml_node *find_value(const struct option *row, const struct yaml_node *map)
{
	const struct yaml_node *value = yaml_get(map, row->key);
	return value || !row->former ? value : yaml_get(map, row->former);
}

static int check_keys(const struct option *table, const struct source *map, const char *const *skip)
{
	char where[OPTION_WHERE];
	option_where(map->y, map->node, where);
	for (int i = 0; i < map->node->n; i++) {
		const struct yaml_node *key = map->node->key[i];
		const struct option *row = option_find(table, key->text);
		if (!row && !contains(skip, key->text))
			return unknown_key(table, map, key, skip, where);
		if (row && strcmp(row->key, key->text) != 0 && yaml_get(map->node, row->key))
			return yaml_error(map->y, key, "%s'%s' is the former name of '%s', which is given too", where,
			    key->text, row->key);
	}
	for (const struct option *row = table; row->key; row++) {
		if (row->required && !yaml_get(map->node, row->key)) {
			struct str allowed = {0};
			option_describe(row, &allowed);
			int rc = allowed.failed ? ERR_NOMEM
						: yaml_error(map->y, map->node, "%smissing key '%s', %s", where,
						      row->key, str_text(&allowed));
			str_clear(&allowed);
			return rc;
		}
	}
	return 0;
}

static int parse_rows(const struct option *table, char *block, const struct source *map)
{
	int n = row_count(table);
	for (int i = 0; i < n; i++) {
		const struct option *row = &table[i];
		struct source value = {map->y, find_value(row, map->node), map->resolved};
		int rc = value.node ? read_value(row, block + row->offset, &value)
				    : option_read_default(row, block + row->offset);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse(const struct option *table, void *block, const struct yaml *y, const struct yaml_node *node,
    const char *const *skip, bool resolved)
{
	struct source map = {y, node, resolved};
	int rc = 0;
	if (node && node->kind != YAML_MAP) {
		struct str found = {0};
		char where[OPTION_WHERE];
		option_where(y, node, where);
		add_found(node, &found);
		rc = found.failed ? ERR_NOMEM
				  : yaml_error(y, node, "%smust be a mapping of keys to values, found %s", where,
					str_text(&found));
		str_clear(&found);
	}
	if (!rc && node)
		rc = check_keys(table, &map, skip);
	if (!rc)
		rc = parse_rows(table, block, &map);
	if (!rc && node && !resolved)
		rc = option_check_effects(table, block, y, node);
	if (rc)
		option_clear(table, block);
	return rc;
}

int option_parse(const struct option *table, void *block, const struct yaml *y, const struct yaml_node *node,
    const char *const *skip)
{
	return parse(table, block, y, node, skip, false);
}

int option_parse_resolved(const struct option *table, void *block, const struct yaml *y, const struct yaml_node *node)
{
	return parse(table, block, y, node, NULL, true);
}

void option_free_value(const struct option *row, void *field)
{
	struct option_ints *ints = field;
	struct option_floats *floats = field;
	struct option_strings *strings = field;
	switch (row->type) {
	case OPT_BOOL:
		*(bool *)field = false;
		break;
	case OPT_INT:
		*(int64_t *)field = 0;
		break;
	case OPT_FLOAT:
		*(double *)field = 0.0;
		break;
	case OPT_CHOICE:
		*(int *)field = 0;
		break;
	case OPT_STRING:
		mem_free(*(char **)field);
		*(char **)field = NULL;
		break;
	case OPT_INTS:
		mem_free(ints->v);
		*ints = (struct option_ints){0};
		break;
	case OPT_FLOATS:
		mem_free(floats->v);
		*floats = (struct option_floats){0};
		break;
	case OPT_STRINGS:
		for (int i = 0; i < strings->n; i++)
			mem_free(strings->v[i]);
		mem_free(strings->v);
		*strings = (struct option_strings){0};
		break;
	case OPT_BLOCK:
		option_clear(row->block, field);
		break;
	}
}

void option_clear(const struct option *table, void *block)
{
	for (const struct option *row = table; row->key; row++)
		option_free_value(row, (char *)block + row->offset);
}
