/* The kinds of fusion groups: a row each, in this list. */
#include "quant/group.h"

static const struct group_kind *const built_in[] = {
    &group_linear, &group_conv2d, &group_avgpool, &group_embedding, NULL};
static const struct group_kind *const *in_use = built_in;

const struct group_kind *const *group_list(void)
{
	return in_use;
}

void group_use(const struct group_kind *const *rows)
{
	in_use = rows;
}

const struct group_kind *group_kind_of(const struct node *node)
{
	for (int i = 0; in_use[i]; i++)
		if (in_use[i]->match(node))
			return in_use[i];
	return NULL;
}

int quant_layer_weight(const struct graph *folded, int layer)
{
	const struct node *node = &folded->node[layer];
	const struct group_kind *kind = group_kind_of(node);

	return kind && kind->weight != NODE_NONE ? node->in[kind->weight] : NODE_NONE;
}
