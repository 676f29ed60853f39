/* Kinds of groups by node: see group.h. */
#include "quant/group.h"

const struct group_kind *group_kind_of(const struct node *node)
{
	for (int i = 0; group_kinds[i]; i++)
		if (group_kinds[i]->match(node))
			return group_kinds[i];
	return NULL;
}

int quant_layer_weight(const struct graph *folded, int layer)
{
	const struct node *node = &folded->node[layer];
	const struct group_kind *kind = group_kind_of(node);

	return kind && kind->weight != NODE_NONE ? node->in[kind->weight] : NODE_NONE;
}
