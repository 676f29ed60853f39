/* What yaml.c (parsing) and yaml_edit.c share; not for others. */
#ifndef ENGINE_CONFIG_YAML_IMPL_H
#define ENGINE_CONFIG_YAML_IMPL_H

#include "config/yaml.h"

/* Owns every node and text of a struct yaml: a chain of allocations, all released at once. */
struct yaml_pool {
	struct yaml_pooled *first;
	size_t n_node;
};

void *yaml_pool_alloc(struct yaml_pool *p, size_t count, size_t size); /* zeroed; NULL: out of memory */
char *yaml_pool_text(struct yaml_pool *p, const char *text, size_t len);
/* Makes room for item[n] (and key[n] of a map): the arrays double, old ones stay in the pool until the end. */
int yaml_make_room(struct yaml_pool *p, struct yaml_node *node);
/* Parses one document into nodes of `y`. placed: nodes get lines and columns; else 0. depth: of the place it goes to.
 */
int yaml_build(
    struct yaml *y, const char *origin, bool placed, const char *text, size_t len, int depth, struct yaml_node **out);

#endif
