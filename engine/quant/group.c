/* The kinds of fusion groups: a row each, in this list. */
#include "quant/group.h"

#include "base/err.h"

#define KINDS_MAX 32

static const struct group_kind *kinds[KINDS_MAX + 1] = {
    &group_linear, &group_conv2d, &group_avgpool, &group_gelu, &group_embedding, &group_position, &group_attention};

const struct group_kind *const *group_list(void)
{
	return kinds;
}

int group_kind_register(const struct group_kind *kind)
{
	for (int i = 0; i < KINDS_MAX; i++) {
		if (!kinds[i])
			kinds[i] = kind;
		if (kinds[i] == kind)
			return 0;
	}
	return err_set(ERR_FAIL, "no room for another kind of group");
}

const struct group_kind *group_kind_of(const struct node *node)
{
	for (int i = 0; kinds[i]; i++)
		if (kinds[i]->match(node))
			return kinds[i];
	return NULL;
}

bool group_is_weight(const struct group_kind *kind, const struct node *layer, int k)
{
	if (k < 0 || !node_has(layer, k))
		return false;
	return k == kind->weight || (k == kind->second && k != 0);
}

int quant_layer_weight(const struct graph *folded, int layer)
{
	const struct node *node = &folded->node[layer];
	const struct group_kind *kind = group_kind_of(node);

	return kind && kind->weight != NODE_NONE ? node->in[kind->weight] : NODE_NONE;
}

int64_t quant_layer_weights(const struct graph *folded, int layer)
{
	const struct node *node = &folded->node[layer];
	const struct group_kind *kind = group_kind_of(node);
	int64_t n = 0;
	for (int k = 0; kind && k < node->n_in; k++)
		if (group_is_weight(kind, node, k))
			n += shape_count(folded->node[node->in[k]].shape);
	return n;
}
