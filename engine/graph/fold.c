/* pass_fold: batch norm into the weight and bias of the layer before it, as nodes on the param path. The layer moves to
 * its batch norm's place and takes its name, because the norm's params come after the layer in the old graph. Norms
 * that follow anything else, or a layer with a second consumer or its own ReLU, stay as they are. */
#include "base/err.h"
#include "base/mem.h"
#include "graph/pass.h"

struct fold {
	const struct graph *g;
	struct graph *out;
	int *map; /* old node -> new node */
	int *uses;
	bool *moved; /* a layer that its batch norm absorbs */
};

/* The layer that batch norm `n` folds into, or NULL. */
static const struct node *folds_into(const struct fold *f, const struct node *n)
{
	if (n->op != OP_BATCHNORM)
		return NULL;
	const struct node *layer = &f->g->node[n->in[BN_X]];
	bool product = op_info(layer->op)->product == FLOAT_PRODUCT;
	return product && !layer->attr.relu && f->uses[n->in[BN_X]] == 1 ? layer : NULL;
}

static int fold_layer(struct fold *f, const struct node *layer, const struct node *norm)
{
	const int *map = f->map;
	const struct node *weight = &f->g->node[layer->in[PRODUCT_W]];
	int gamma = map[norm->in[BN_GAMMA]], beta = map[norm->in[BN_BETA]];
	int mean = map[norm->in[BN_MEAN]], var = map[norm->in[BN_VAR]];
	int bias = node_has(layer, PRODUCT_B) ? map[layer->in[PRODUCT_B]] : NODE_NONE;
	struct attr eps = {.eps = norm->attr.eps};
	int w = graph_add_derived(f->out, OP_FOLD_WEIGHT, ROLE_FOLDED_WEIGHT, weight,
	    (int[]){map[layer->in[PRODUCT_W]], gamma, var}, 3, &eps);
	if (w < 0)
		return w;
	int b = graph_add_derived(
	    f->out, OP_FOLD_BIAS, ROLE_FOLDED_BIAS, weight, (int[]){bias, gamma, beta, mean, var}, 5, &eps);
	if (b < 0)
		return b;
	struct attr a = layer->attr;
	a.relu = norm->attr.relu;
	int i = graph_add(f->out, layer->op, norm->name, (int[]){map[layer->in[PRODUCT_X]], w, b}, 3, &a);
	return graph_mark(f->out, i, ROLE_VALUE, layer->name);
}

/* True if every consumer of running statistic i is a norm that gets folded. */
static bool only_folded(const struct fold *f, int i)
{
	for (int k = 0; k < f->g->n; k++) {
		const struct node *n = &f->g->node[k];
		for (int in = 0; in < n->n_in; in++)
			if (n->in[in] == i && !folds_into(f, n))
				return false;
	}
	return true;
}

static int copy_node(struct fold *f, int i)
{
	struct node n = f->g->node[i];
	/* nothing delivers observations any more: without this, `update` would decay it towards 0 */
	if (n.op == OP_PARAM && n.param.kind == PARAM_STAT && only_folded(f, i))
		n.param.kind = PARAM_FROZEN;
	return graph_add_copy(f->out, &n, f->map);
}

int pass_fold(const struct graph *g, struct graph *out)
{
	int rc = ERR_NOMEM;
	size_t n = (size_t)g->n;
	struct fold f = {.g = g, .out = out};
	f.map = mem_alloc(n, sizeof(*f.map));
	f.uses = mem_alloc(n, sizeof(*f.uses));
	f.moved = mem_alloc(n, sizeof(*f.moved));
	if (!f.map || !f.uses || !f.moved)
		goto out;
	graph_uses(g, f.uses);
	for (int i = 0; i < g->n; i++)
		if (folds_into(&f, &g->node[i]))
			f.moved[g->node[i].in[BN_X]] = true;
	for (int i = 0; i < g->n; i++) {
		if (f.moved[i])
			continue;
		const struct node *layer = folds_into(&f, &g->node[i]);
		rc = layer ? fold_layer(&f, layer, &g->node[i]) : copy_node(&f, i);
		if (rc < 0)
			goto out;
		f.map[i] = rc;
	}
	out->output = g->output == NODE_NONE ? NODE_NONE : f.map[g->output];
	out->loss = g->loss == NODE_NONE ? NODE_NONE : f.map[g->loss];
	rc = 0;
out:
	if (rc)
		graph_clear(out);
	mem_free(f.map);
	mem_free(f.uses);
	mem_free(f.moved);
	return rc;
}
