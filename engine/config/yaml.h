/* YAML by libyaml: a tree whose every node knows its line and column. One document; anchors and aliases are allowed (an
 * alias becomes a copy, so that yaml_set changes one place only), merge keys and tags other than the core ones are
 * errors. A config is small: size, depth, number of nodes (copies count) and length of a text are limited, which is
 * what makes hostile files harmless. */
#ifndef ENGINE_CONFIG_YAML_H
#define ENGINE_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#define YAML_MAX_BYTES   (1U << 20) /* of a file                                        */
#define YAML_MAX_TEXT    (1U << 16) /* bytes of one scalar                              */
#define YAML_MAX_KEY     255        /* bytes of a key                                   */
#define YAML_MAX_DEPTH   32         /* the root is at depth 1                           */
#define YAML_MAX_NODES   (1U << 14) /* keys and values, copies by aliases included      */
#define YAML_MAX_ANCHORS 256

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
/* The place of a key in a mapping, or -1. */
int yaml_find(const struct yaml_node *map, const char *key);
/* Takes the item at a place, and its key, out of a list or mapping. */
void yaml_remove_at(struct yaml_node *node, int at);
/* Gives a scalar of the tree another text, as if in quotes. */
int yaml_replace_text(struct yaml *y, struct yaml_node *scalar, const char *text);
/* Applies one `--set a.b.c=VALUE`: VALUE is parsed as YAML (flow style allowed); missing maps on the way are created;
 * an existing value is replaced. List elements are addressed by index (a.0.b). ERR_CONFIG on malformed paths. */
int yaml_set(struct yaml *y, const char *assignment);
/* The same with a value of another tree, which is copied, with its places: messages name where it stands. place: the
 * node that names the path, where messages about the path point to. The other tree must live as long as y. */
int yaml_put(struct yaml *y, const struct yaml_node *place, const char *path, const struct yaml_node *value);
/* A tree of its own from one, or from a part of it, which must live as long. path: as messages name the file. */
int yaml_copy(struct yaml *out, const char *path, const struct yaml_node *root);
/* The tree as a YAML text that yaml_parse reads as the same tree, comments and places apart: mappings in block style,
 * and lists on one line where that is possible. */
struct str;
void yaml_write(const struct yaml_node *root, struct str *out);
/* True for a value that was left out, and for ~ and null. */
bool yaml_is_null(const struct yaml_node *node);
/* The node's place as keys and list indices ("stages.prune.lr", "" for the root), cut to fit; false if it is not in the
 * tree. */
bool yaml_path(const struct yaml *y, const struct yaml_node *node, char *out, size_t cap);
/* The text of a scalar as a path: "~" or "~/..." in front is HOME, $NAME and ${NAME} are environment variables, $$ is a
 * dollar sign. Lives as long as the tree. ERR_CONFIG: a variable that is not set or empty. */
int yaml_expand_path(const struct yaml *y, const struct yaml_node *node, const char **out);
/* err_set(ERR_CONFIG, "FILE:LINE:COL: message") for a node. */
int yaml_error(const struct yaml *y, const struct yaml_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
