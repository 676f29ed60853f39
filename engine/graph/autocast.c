/* pass_autocast and pass_tf32: operands of less precision for mixed-precision training. What is cast, and that nothing
 * else is, is decided here once for all backends: x and w of linear layers and convolutions, whose products take nearly
 * all of the time and whose sums stay f32. Params stay f32: an optimizer's step is smaller than the spacing of
 * half-precision weights (Micikevicius et al. 2018, section 3.1), so what is cast is a copy, made by a node of its own.
 */
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/pass.h"

struct autocast {
	const struct graph *g;
	struct graph *out;
	enum dtype half;
	int *map;  /* old node -> new node */
	int *cast; /* old node -> its cast in the new graph, or NODE_NONE */
};

/* The operand's value in half precision: one cast serves all layers that read it. */
static int half_of(struct autocast *a, int i)
{
	char name[NODE_NAME + 8];
	if (a->g->node[i].dtype == a->half)
		return a->map[i];
	if (a->cast[i] != NODE_NONE)
		return a->cast[i];
	const struct node *of = &a->g->node[i];
	snprintf(name, sizeof(name), "%s.%s", of->name, dtype_name(a->half));
	int cast = graph_add(a->out, OP_CAST, name, (int[]){a->map[i]}, 1, &(struct attr){.to = a->half});
	return a->cast[i] = graph_mark(a->out, cast, ROLE_CAST, node_root(of));
}

static int copy_layer(struct autocast *a, const struct node *n)
{
	int in[NODE_MAX_IN];
	for (int k = PRODUCT_X; k <= PRODUCT_W; k++) { /* the bias is added to f32 sums */
		in[k] = half_of(a, n->in[k]);
		if (in[k] < 0)
			return in[k];
	}
	if (n->n_in > PRODUCT_B)
		in[PRODUCT_B] = node_has(n, PRODUCT_B) ? a->map[n->in[PRODUCT_B]] : NODE_NONE;
	return graph_mark(a->out, graph_add(a->out, n->op, n->name, in, n->n_in, &n->attr), n->role, n->origin);
}

static int copy_all(struct autocast *a)
{
	for (int i = 0; i < a->g->n; i++) {
		const struct node *n = &a->g->node[i];
		bool layer = op_info(n->op)->product == FLOAT_PRODUCT;
		a->cast[i] = NODE_NONE;
		a->map[i] = layer ? copy_layer(a, n) : graph_add_copy(a->out, n, a->map);
		if (a->map[i] < 0)
			return a->map[i];
	}
	a->out->output = a->g->output == NODE_NONE ? NODE_NONE : a->map[a->g->output];
	a->out->loss = a->g->loss == NODE_NONE ? NODE_NONE : a->map[a->g->loss];
	return 0;
}

int pass_autocast(const struct graph *g, enum dtype half, struct graph *out)
{
	size_t n = (size_t)g->n;
	struct autocast a = {.g = g, .out = out, .half = half};
	int rc;
	if (half != DT_F16 && half != DT_BF16)
		return err_set(ERR_FAIL, "autocast to %s: only f16 and bf16 are half precision", dtype_name(half));
	a.map = mem_alloc(n, sizeof(*a.map));
	a.cast = mem_alloc(n, sizeof(*a.cast));
	rc = a.map && a.cast ? copy_all(&a) : ERR_NOMEM;
	if (rc)
		graph_clear(out);
	mem_free(a.map);
	mem_free(a.cast);
	return rc;
}

int pass_tf32(const struct graph *g, struct graph *out)
{
	int rc = graph_copy(out, g);
	for (int i = 0; !rc && i < out->n; i++) {
		struct node *n = &out->node[i];
		if (op_info(n->op)->product != FLOAT_PRODUCT)
			continue;
		if (out->node[n->in[PRODUCT_X]].dtype != DT_F32)
			rc = err_set(ERR_FAIL, "TF32 products: the operands of '%s' are %s", n->name,
			    dtype_name(out->node[n->in[PRODUCT_X]].dtype));
		n->attr.tf32 = true;
	}
	if (rc)
		graph_clear(out);
	return rc;
}
