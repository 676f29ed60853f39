/* Finding, naming and replacing nodes of a parsed tree, and errors that say where a node stands. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/yaml_impl.h"

static int find_key(const struct yaml_node *map, const char *key, size_t len)
{
	for (int i = 0; i < map->n; i++)
		if (strncmp(map->key[i]->text, key, len) == 0 && map->key[i]->text[len] == '\0')
			return i;
	return -1;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
	int i = map && map->kind == YAML_MAP ? find_key(map, key, strlen(key)) : -1;
	return i < 0 ? NULL : map->item[i];
}

bool yaml_is_null(const struct yaml_node *node)
{
	static const char *const names[] = {"", "~", "null", "Null", "NULL"};
	for (size_t i = 0; node->kind == YAML_SCALAR && !node->quoted && i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(node->text, names[i]) == 0)
			return true;
	return false;
}

static void add_part(char *out, size_t cap, size_t *len, const char *part)
{
	int n = snprintf(out + *len, cap - *len, "%s%s", *len ? "." : "", part);
	*len = n < 0 || (size_t)n >= cap - *len ? cap - 1 : *len + (size_t)n;
}

static bool find_path(const struct yaml_node *from, const struct yaml_node *node, char *out, size_t cap, size_t len)
{
	if (from == node)
		return true;
	for (int i = 0; i < from->n; i++) {
		char index[16];
		size_t longer = len;
		snprintf(index, sizeof(index), "%d", i);
		add_part(out, cap, &longer, from->kind == YAML_MAP ? from->key[i]->text : index);
		bool is_key = from->kind == YAML_MAP && from->key[i] == node;
		if (is_key || find_path(from->item[i], node, out, cap, longer))
			return true;
		out[len] = '\0';
	}
	return false;
}

bool yaml_path(const struct yaml *y, const struct yaml_node *node, char *out, size_t cap)
{
	out[0] = '\0';
	return y->root && node && find_path(y->root, node, out, cap, 0);
}

int yaml_error(const struct yaml *y, const struct yaml_node *node, const char *fmt, ...)
{
	char text[8192]; /* err_set shortens what is too long for a message */
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	const char *origin = node && node->origin ? node->origin : y && y->path ? y->path : "config";
	if (node && node->line > 0)
		return err_set(ERR_CONFIG, "%s:%d:%d: %s", origin, node->line, node->column, text);
	return err_set(ERR_CONFIG, "%s: %s", origin, text);
}

/* One step of a --set path. slot: where the value of this part is kept, NULL if the map has no such key yet. */
static int find_slot(
    struct yaml_node *at, const char *part, size_t len, const struct yaml_node *place, struct yaml_node ***slot)
{
	*slot = NULL;
	if (at->kind == YAML_MAP) {
		int i = find_key(at, part, len);
		if (i >= 0)
			*slot = &at->item[i];
		return 0;
	}
	if (at->kind == YAML_SCALAR)
		return yaml_error(
		    NULL, place, "what '%.*s' should be set in is neither a mapping nor a list", (int)len, part);
	char *end;
	long index = part[0] >= '0' && part[0] <= '9' ? strtol(part, &end, 10) : -1;
	if (index < 0 || end != part + len || index >= at->n)
		return yaml_error(
		    NULL, place, "'%.*s' is no index into a list of %d (the first is 0)", (int)len, part, at->n);
	*slot = &at->item[index];
	return 0;
}

/* Puts `value` into a new map under `key`. What is made stands at `place`. */
static int wrap(
    struct yaml_pool *pool, const struct yaml_node *place, const char *key, size_t len, struct yaml_node **value)
{
	struct yaml_node *map = yaml_pool_alloc(pool, 1, sizeof(*map)), *name = yaml_pool_alloc(pool, 1, sizeof(*name));
	if (!map || !name)
		return ERR_NOMEM;
	*map =
	    (struct yaml_node){.kind = YAML_MAP, .line = place->line, .column = place->column, .origin = place->origin};
	*name = *map;
	name->kind = YAML_SCALAR;
	name->text = yaml_pool_text(pool, key, len);
	if (!name->text || yaml_make_room(pool, map))
		return ERR_NOMEM;
	map->key[0] = name;
	map->item[0] = *value;
	map->n = 1;
	*value = map;
	return 0;
}

/* Wraps `value` into maps for the parts after the first of `path`. */
static int wrap_rest(
    struct yaml_pool *pool, const struct yaml_node *place, const char *path, size_t len, struct yaml_node **value)
{
	size_t first = strcspn(path, ".=");
	while (len > first) {
		size_t start = len;
		while (path[start - 1] != '.')
			start--;
		int rc = wrap(pool, place, path + start, len - start, value);
		if (rc)
			return rc;
		len = start - 1;
	}
	return 0;
}

static int check_path(const struct yaml_node *place, const char *path, size_t len, int *parts)
{
	size_t part = 0;
	*parts = 1;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && path[i] != '.') {
			part++;
			continue;
		}
		if (part == 0 || part > YAML_MAX_KEY)
			return yaml_error(
			    NULL, place, "the path must be keys with dots between, as in stages.prune.lr=0.01");
		*parts += i < len;
		part = 0;
	}
	if (*parts >= YAML_MAX_DEPTH)
		return yaml_error(NULL, place, "the path has too many keys");
	return 0;
}

static int parse_value(struct yaml *y, const char *origin, const char *text, int depth, struct yaml_node **out)
{
	if (text[strspn(text, " \t")] != '\0')
		return yaml_build(y, origin, false, text, strlen(text), depth, out);
	struct yaml_node *empty = yaml_pool_alloc(y->pool, 1, sizeof(*empty));
	if (!empty)
		return ERR_NOMEM;
	*empty = (struct yaml_node){.kind = YAML_SCALAR, .origin = origin};
	empty->text = yaml_pool_text(y->pool, "", 0);
	*out = empty;
	return empty->text ? 0 : ERR_NOMEM;
}

/* Puts `value` at the path. Everything is made before the tree is touched, so that a failure leaves it as it was. */
static int set_at(struct yaml *y, const struct yaml_node *place, const char *path, size_t len, struct yaml_node *value)
{
	struct yaml_node **slot = &y->root, **next;
	const char *end = path + len;
	size_t part;
	for (;;) {
		part = strcspn(path, ".=");
		next = NULL;
		if (yaml_is_null(*slot)) /* "data:" with nothing behind it may be filled */
			break;
		int rc = find_slot(*slot, path, part, place, &next);
		if (rc)
			return rc;
		if (!next)
			break;
		slot = next;
		path += part;
		if (path == end) {
			*slot = value;
			return 0;
		}
		path++;
	}
	struct yaml_node *map = *slot;
	int rc = wrap_rest(y->pool, place, path, (size_t)(end - path), &value);
	if (!rc)
		rc = wrap(y->pool, place, path, part, &value);
	if (!rc && map->kind == YAML_MAP)
		rc = yaml_make_room(y->pool, map);
	if (rc)
		return rc;
	if (map->kind == YAML_MAP) {
		map->key[map->n] = value->key[0];
		map->item[map->n++] = value->item[0];
	} else {
		*slot = value;
	}
	return 0;
}

int yaml_set(struct yaml *y, const char *assignment)
{
	struct yaml_node *value;
	int parts;
	size_t len = strcspn(assignment, "=");
	if (!y->root)
		return err_set(ERR_CONFIG, "--set %s: there is no config to set it in", assignment);
	char *text = mem_printf("--set %s", assignment);
	if (!text)
		return ERR_NOMEM;
	char *origin = yaml_pool_text(y->pool, text, strlen(text));
	mem_free(text);
	if (!origin)
		return ERR_NOMEM;
	if (assignment[len] != '=')
		return err_set(ERR_CONFIG, "%s: must be PATH=VALUE, as in stages.prune.lr=0.01", origin);
	const struct yaml_node place = {.origin = origin};
	int rc = check_path(&place, assignment, len, &parts);
	if (!rc)
		rc = parse_value(y, origin, assignment + len + 1, parts + 1, &value);
	if (!rc)
		rc = set_at(y, &place, assignment, len, value);
	return rc;
}

static int copy_tree(struct yaml_pool *pool, const struct yaml_node *from, struct yaml_node **out)
{
	struct yaml_node *to = *out = yaml_pool_alloc(pool, 1, sizeof(*to));
	int rc = to ? 0 : ERR_NOMEM;
	if (rc)
		return rc;
	*to = *from;
	to->item = to->key = NULL;
	to->n = 0;
	if (from->text && !(to->text = yaml_pool_text(pool, from->text, strlen(from->text))))
		return ERR_NOMEM;
	while (!rc && to->n < from->n) {
		rc = yaml_make_room(pool, to);
		if (!rc && from->kind == YAML_MAP)
			rc = copy_tree(pool, from->key[to->n], &to->key[to->n]);
		if (!rc)
			rc = copy_tree(pool, from->item[to->n], &to->item[to->n]);
		to->n += !rc;
	}
	return rc;
}

int yaml_copy(struct yaml *out, const char *path, const struct yaml_node *root)
{
	*out = (struct yaml){.path = mem_strdup(path), .pool = mem_alloc(1, sizeof(struct yaml_pool))};
	int rc = out->path && out->pool ? copy_tree(out->pool, root, &out->root) : ERR_NOMEM;
	if (rc)
		yaml_clear(out);
	return rc;
}

void yaml_remove_at(struct yaml_node *node, int at)
{
	for (int i = at; i + 1 < node->n; i++) {
		node->item[i] = node->item[i + 1];
		if (node->key)
			node->key[i] = node->key[i + 1];
	}
	node->n--;
}

int yaml_find(const struct yaml_node *map, const char *key)
{
	return map->kind == YAML_MAP ? find_key(map, key, strlen(key)) : -1;
}

int yaml_replace_text(struct yaml *y, struct yaml_node *scalar, const char *text)
{
	char *copy = yaml_pool_text(y->pool, text, strlen(text));
	if (!copy)
		return ERR_NOMEM;
	scalar->text = copy;
	scalar->quoted = true;
	return 0;
}

int yaml_put(struct yaml *y, const struct yaml_node *place, const char *path, const struct yaml_node *value)
{
	struct yaml_node *copy;
	int parts, rc = check_path(place, path, strlen(path), &parts);
	if (!rc)
		rc = copy_tree(y->pool, value, &copy);
	return rc ? rc : set_at(y, place, path, strlen(path), copy);
}
