/* Roles of nodes: their names, and finding nodes by what they are instead of by what they are called. */
#include <string.h>

#include "base/err.h"
#include "graph/graph.h"

/* What a role adds to the name of the node that it is made from. A cast's ending is its type: see pass_autocast. */
static const char *const role_ending[ROLE_COUNT] = {
    [ROLE_VALUE] = "",
    [ROLE_FOLDED_WEIGHT] = ".folded",
    [ROLE_FOLDED_BIAS] = ".folded_bias",
    [ROLE_CAST] = ".",
    [ROLE_QUANTIZED] = ".q",
    [ROLE_STEP] = ".step",
    [ROLE_WEIGHT_STEP] = ".step",
    [ROLE_ACCUMULATOR] = ".acc",
    [ROLE_SCALE] = ".m",
    [ROLE_SHIFT] = ".c",
    [ROLE_RESIDUAL] = ".k",
    [ROLE_HALF] = ".half",
    [ROLE_REAL] = ".f32",
    [ROLE_TABLE] = ".table",
};

int role_name(char out[NODE_NAME], enum node_role role, const char *base)
{
	size_t n = strlen(base), ending = strlen(role_ending[role]);
	if (n + ending >= NODE_NAME)
		return err_set(
		    ERR_FAIL, "name '%s%s' is longer than %d characters", base, role_ending[role], NODE_NAME - 1);
	memcpy(out, base, n);
	memcpy(out + n, role_ending[role], ending + 1);
	return 0;
}

const char *node_root(const struct node *n)
{
	return n->role == ROLE_VALUE ? n->name : n->origin;
}

int graph_mark(struct graph *g, int i, enum node_role role, const char *origin)
{
	if (i < 0)
		return i;
	struct node *n = &g->node[i];
	n->role = role;
	/* An origin is the name of a node, which fits. */
	memcpy(n->origin, origin, strlen(origin) + 1);
	return i;
}

int graph_add_derived(struct graph *g, enum op op, enum node_role role, const struct node *base, const int *in,
    int n_in, const struct attr *attr)
{
	char name[NODE_NAME];
	int rc = role_name(name, role, base->name);
	if (rc)
		return rc;
	return graph_mark(g, graph_add(g, op, name, in, n_in, attr), role, node_root(base));
}

int graph_find_role(const struct graph *g, enum node_role role, const char *root)
{
	for (int i = 0; i < g->n; i++)
		if (g->node[i].role == role && strcmp(node_root(&g->node[i]), root) == 0)
			return i;
	return NODE_NONE;
}
