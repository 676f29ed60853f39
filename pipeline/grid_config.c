/* The config of one cell of a grid: the base, the values of the cell, and last the chain, which picks from the stages.
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/grid.h"

int grid_value_of(const struct grid *g, int cell, int axis)
{
	for (int i = g->n_axis - 1; i > axis; i--)
		cell /= g->axis[i].n;
	return cell % g->axis[axis].n;
}

/* A checkpoint's path has a slash, a stage's name has none. */
static bool is_stage(const struct yaml_node *ref)
{
	return ref->kind == YAML_SCALAR && !strchr(ref->text, '/');
}

/* `input` is what comes before; of `inputs` those stay that the chain has. */
static void tie_stage(const struct yaml_node *stages, struct yaml_node *stage)
{
	if (stage->kind != YAML_MAP)
		return;
	int at = yaml_find(stage, "input");
	if (at >= 0 && is_stage(stage->item[at]))
		yaml_remove_at(stage, at);
	at = yaml_find(stage, "inputs");
	if (at < 0)
		return;
	struct yaml_node *list = stage->item[at];
	if (list->kind == YAML_SCALAR && is_stage(list) && yaml_find(stages, list->text) < 0)
		yaml_remove_at(stage, at);
	if (list->kind != YAML_LIST)
		return;
	for (int i = list->n - 1; i >= 0; i--)
		if (is_stage(list->item[i]) && yaml_find(stages, list->item[i]->text) < 0)
			yaml_remove_at(list, i);
	if (list->n == 0)
		yaml_remove_at(stage, at);
}

static int unknown_stage(const struct yaml_node *stages, const struct yaml_node *name)
{
	const char *names[256];
	int n = 0;
	while (n < stages->n && n < 256) {
		names[n] = stages->key[n]->text;
		n++;
	}
	const char *near = name->kind == YAML_SCALAR ? str_nearest(name->text, names, n) : NULL;
	return yaml_error(NULL, name, "chain: the base has no stage '%s'%s%s%s",
	    name->kind == YAML_SCALAR ? name->text : "(not a name)", near ? "; did you mean '" : "", near ? near : "",
	    near ? "'?" : "");
}

/* Puts the stages that the chain names to the front, in its order, and cuts the others off. */
static int pick(struct yaml_node *stages, const struct yaml_node *chain)
{
	for (int i = 0; i < chain->n; i++) {
		int at = chain->item[i]->kind == YAML_SCALAR ? yaml_find(stages, chain->item[i]->text) : -1;
		if (at < 0)
			return unknown_stage(stages, chain->item[i]);
		if (at < i)
			return yaml_error(NULL, chain->item[i], "chain: stage '%s' comes twice", chain->item[i]->text);
		struct yaml_node *key = stages->key[at], *item = stages->item[at];
		for (; at > i; at--) {
			stages->key[at] = stages->key[at - 1];
			stages->item[at] = stages->item[at - 1];
		}
		stages->key[i] = key;
		stages->item[i] = item;
	}
	stages->n = chain->n;
	for (int i = 0; i < stages->n; i++)
		tie_stage(stages, stages->item[i]);
	return 0;
}

static int apply_chain(struct yaml *y, const struct yaml_node *chain)
{
	if (chain->kind != YAML_LIST || chain->n == 0)
		return yaml_error(NULL, chain, "a chain is a list of stages with at least one, as in [teacher, prune]");
	int at = yaml_find(y->root, "stages");
	if (at < 0 || y->root->item[at]->kind != YAML_MAP)
		return yaml_error(NULL, chain, "chain: the base has no stages");
	return pick(y->root->item[at], chain);
}

/* *chain: the last one that the cell's values name. */
static int apply_value(
    struct yaml *y, const struct grid_axis *a, const struct grid_value *v, const struct yaml_node **chain)
{
	if (a->kind == AXIS_PATH)
		return yaml_put(y, a->key, a->path, v->node);
	if (a->kind == AXIS_CHAIN) {
		*chain = v->node;
		return 0;
	}
	int rc = 0;
	for (int i = 0; !rc && i < v->node->n; i++) {
		if (strcmp(v->node->key[i]->text, "chain") == 0)
			*chain = v->node->item[i];
		else
			rc = yaml_put(y, v->node->key[i], v->node->key[i]->text, v->node->item[i]);
	}
	return rc;
}

int grid_config(const struct grid *g, int cell, struct yaml *out)
{
	const struct yaml_node *chain = NULL;
	int rc = yaml_copy(out, g->base.path, g->base.root);
	for (int i = 0; !rc && i < g->n_axis; i++)
		rc = apply_value(out, &g->axis[i], &g->axis[i].value[grid_value_of(g, cell, i)], &chain);
	if (!rc && chain)
		rc = apply_chain(out, chain);
	if (rc)
		yaml_clear(out);
	return rc;
}
