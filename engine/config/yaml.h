/* YAML by libyaml's document API: a tree whose every node knows its line and column. One document; anchors and aliases
 * are allowed (expanded as references), merge keys and tags other than the core ones are errors. */
#ifndef ENGINE_CONFIG_YAML_H
#define ENGINE_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_kind kind;
	int line, column; /* 1-based, of the first character; 0 for values set from the command line */
	char *text;       /* scalar: its text; `quoted` tells "1" from 1 */
	bool quoted;
	struct yaml_node **item; /* list: n items; map: n values */
	struct yaml_node **key;  /* map: n scalar keys, in file order */
	int n;
	const char *origin; /* "config.yaml", or "--set PATH=VALUE" for values set there; owned by struct yaml */
};

struct yaml {
	char *path;
	struct yaml_node *root;
	void *pool; /* owns all nodes */
};

int yaml_read(const char *path, struct yaml *out);                                /* ERR_IO or ERR_CONFIG */
int yaml_parse(const char *name, const char *text, size_t len, struct yaml *out); /* from memory */
void yaml_clear(struct yaml *y);

/* The value of a key, or NULL. Duplicate keys are found by yaml_parse (an error). */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* Applies one `--set a.b.c=VALUE`: VALUE is parsed as YAML (flow style allowed); missing maps on the way are created;
 * an existing value is replaced. List elements are addressed by index (a.0.b). ERR_CONFIG on malformed paths. */
int yaml_set(struct yaml *y, const char *assignment);
/* err_set(ERR_CONFIG, "FILE:LINE:COL: message") for a node. */
int yaml_error(const struct yaml *y, const struct yaml_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
