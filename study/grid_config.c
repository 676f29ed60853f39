/* The config of one cell of a grid: the base, the values of the cell, and last the chain, which picks from the stages.
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "study/grid.h"

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

static bool chain_has(const struct yaml_node *chain, const char *stage)
{
	for (int i = 0; i < chain->n; i++)
		if (chain->item[i]->kind == YAML_SCALAR && strcmp(chain->item[i]->text, stage) == 0)
			return true;
	return false;
}

/* `input` is what comes before; of `inputs` those stay that the chain has. */
static void tie_stage(const struct yaml_node *chain, struct yaml_node *stage)
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
	if (list->kind == YAML_SCALAR && is_stage(list) && !chain_has(chain, list->text))
		yaml_remove_at(stage, at);
	if (list->kind != YAML_LIST)
		return;
	for (int i = list->n - 1; i >= 0; i--)
		if (is_stage(list->item[i]) && !chain_has(chain, list->item[i]->text))
			yaml_remove_at(list, i);
	if (list->n == 0)
		yaml_remove_at(stage, at);
}

/* What the cell itself says of inputs is put later, and stays. */
static void tie_base(struct yaml *y, const struct yaml_node *chain)
{
	int at = yaml_find(y->root, "stages");
	for (int i = 0; at >= 0 && i < y->root->item[at]->n; i++)
		tie_stage(chain, y->root->item[at]->item[i]);
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

static int apply_value(struct yaml *y, const struct grid_axis *a, const struct grid_value *v)
{
	if (a->kind == AXIS_PATH)
		return yaml_put(y, a->key, a->path, v->node);
	int rc = 0;
	for (int i = 0; a->kind == AXIS_BLOCKS && !rc && i < v->node->n; i++)
		if (strcmp(v->node->key[i]->text, "chain") != 0)
			rc = yaml_put(y, v->node->key[i], v->node->key[i]->text, v->node->item[i]);
	return rc;
}

static const struct grid_value *cell_value(const struct grid *g, int cell, int axis)
{
	return &g->axis[axis].value[grid_value_of(g, cell, axis)];
}

/* The chain that the cell's values name, or NULL. */
static const struct yaml_node *chain_of(const struct grid *g, int cell)
{
	const struct yaml_node *chain = NULL;
	for (int i = 0; !chain && i < g->n_axis; i++) {
		const struct yaml_node *node = cell_value(g, cell, i)->node;
		if (g->axis[i].kind == AXIS_CHAIN)
			chain = node;
		else if (g->axis[i].kind == AXIS_BLOCKS)
			chain = yaml_get(node, "chain");
	}
	return chain;
}

int grid_config(const struct grid *g, int cell, struct yaml *out)
{
	const struct yaml_node *chain = chain_of(g, cell);
	int rc = yaml_copy(out, g->base.path, g->base.root);
	if (!rc && chain)
		tie_base(out, chain);
	for (int i = 0; !rc && i < g->n_axis; i++)
		rc = apply_value(out, &g->axis[i], cell_value(g, cell, i));
	if (!rc && chain)
		rc = apply_chain(out, chain);
	if (rc)
		yaml_clear(out);
	return rc;
}
