/* The graph itself: adding, finding, copying, printing nodes and counting their uses and work. Shape rules are in
 * infer.c, networks in the builders, changes of graphs in the passes. */
#include "graph/graph.h"

#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "graph/infer.h"

void graph_init(struct graph *g)
{
	*g = (struct graph){.output = NODE_NONE, .loss = NODE_NONE};
}

void graph_clear(struct graph *g)
{
	mem_free(g->node);
	mem_free(g->tag);
	graph_init(g);
}

int graph_copy(struct graph *out, const struct graph *g)
{
	struct graph copy = *g;
	copy.cap = g->n;
	copy.node = NULL;
	copy.tag = NULL;
	if (g->n > 0) {
		copy.node = mem_alloc((size_t)g->n, sizeof(*copy.node));
		copy.tag = mem_alloc((size_t)g->n, sizeof(*copy.tag));
		if (!copy.node || !copy.tag) {
			mem_free(copy.node);
			mem_free(copy.tag);
			return ERR_NOMEM;
		}
		memcpy(copy.node, g->node, (size_t)g->n * sizeof(*copy.node));
		memcpy(copy.tag, g->tag, (size_t)g->n * sizeof(*copy.tag));
	}
	*out = copy;
	return 0;
}

/* Fowler, Noll and Vo's hash 1a. */
static uint32_t tag_of(const char *name)
{
	uint32_t h = 0x811C9DC5u;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x01000193u;
	return h;
}

/* Graphs are built many times, and every name that is added is looked for among all: names themselves are only looked
 * at where their tags are equal. */
int graph_find(const struct graph *g, const char *name)
{
	const uint32_t tag = tag_of(name);
	for (int i = 0; i < g->n; i++)
		if (g->tag[i] == tag && strcmp(g->node[i].name, name) == 0)
			return i;
	return NODE_NONE;
}

/* Checks the name and stores it in n. */
static int set_name(const struct graph *g, struct node *n, const char *name)
{
	const char *op = op_info(n->op)->name;
	size_t len = strlen(name);
	if (len == 0)
		return err_set(ERR_FAIL, "%s: a node needs a name", op);
	if (len >= NODE_NAME)
		return err_set(
		    ERR_FAIL, "%s '%.40s...': name of %zu characters, at most %d", op, name, len, NODE_NAME - 1);
	if (graph_find(g, name) != NODE_NONE)
		return err_set(ERR_FAIL, "%s '%s': a node of that name exists already", op, name);
	memcpy(n->name, name, len + 1);
	return 0;
}

/* Infers n and appends it. */
static int append(struct graph *g, struct node *n)
{
	int rc = infer_node(g, n);
	if (rc)
		return rc;
	if (g->n == g->cap) {
		int cap = g->cap ? 2 * g->cap : 64;
		struct node *grown = mem_grow(g->node, (size_t)g->cap, (size_t)cap, sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		g->node = grown;
		uint32_t *tag = mem_grow(g->tag, (size_t)g->cap, (size_t)cap, sizeof(*tag));
		if (!tag)
			return ERR_NOMEM;
		g->tag = tag;
		g->cap = cap;
	}
	g->node[g->n] = *n;
	g->tag[g->n] = tag_of(n->name);
	return g->n++;
}

int graph_add(struct graph *g, enum op op, const char *name, const int *in, int n_in, const struct attr *attr)
{
	if ((int)op < 0 || op >= OP_COUNT)
		return err_set(ERR_FAIL, "node '%.40s': no such op (%d)", name, (int)op);
	struct node n = {.op = op, .n_in = n_in};
	int rc = set_name(g, &n, name);
	if (rc)
		return rc;
	if (op == OP_INPUT || op == OP_PARAM)
		return err_set(ERR_FAIL, "%s '%s': leaves are added with their shape", op_info(op)->name, name);
	if (n_in < 0 || n_in > NODE_MAX_IN)
		return err_set(ERR_FAIL, "%s '%s': %d inputs", op_info(op)->name, name, n_in);
	for (int i = 0; i < NODE_MAX_IN; i++)
		n.in[i] = i < n_in ? in[i] : NODE_NONE;
	if (attr)
		n.attr = *attr;
	return append(g, &n);
}

static int add_leaf(
    struct graph *g, enum op op, const char *name, enum dtype t, struct shape s, const struct param_attr *param)
{
	struct node n = {.op = op, .dtype = t, .shape = s, .param = *param};
	int rc = set_name(g, &n, name);
	if (rc)
		return rc;
	if ((int)t < 0 || t >= DT_COUNT)
		return err_set(ERR_FAIL, "%s '%s': no such type (%d)", op_info(op)->name, name, (int)t);
	for (int i = 0; i < NODE_MAX_IN; i++)
		n.in[i] = NODE_NONE;
	return append(g, &n);
}

int graph_input(struct graph *g, const char *name, enum dtype t, struct shape s)
{
	return add_leaf(g, OP_INPUT, name, t, s, &(struct param_attr){0});
}

/* Zeroed axes mean "not prunable"; others must divide their dimension. */
static int normalise_axes(const char *name, struct shape s, struct param_attr *a)
{
	for (int d = 0; d < TENSOR_MAX_DIMS; d++) {
		struct param_axis *x = &a->axis[d];
		if (d >= s.ndim || x->width < 0 || x->outer < 1 || x->inner < 1) {
			*x = (struct param_axis){.width = -1, .outer = 1, .inner = 1};
			continue;
		}
		if (s.dim[d] % ((int64_t)x->outer * x->inner) != 0)
			return err_set(ERR_FAIL, "param '%s': axis %d of %" PRId64 " is no multiple of %d x %d", name,
			    d, s.dim[d], x->outer, x->inner);
	}
	return 0;
}

int graph_param(struct graph *g, const char *name, enum dtype t, struct shape s, const struct param_attr *param)
{
	struct param_attr a = {0};
	if (param)
		a = *param;
	if (a.lr_factor == 0)
		a.lr_factor = 1;
	if (a.gradient_scale == 0)
		a.gradient_scale = 1;
	int rc = normalise_axes(name, s, &a);
	if (rc)
		return rc;
	return add_leaf(g, OP_PARAM, name, t, s, &a);
}

static int add_copy(struct graph *g, const struct node *n, const int *map)
{
	int in[NODE_MAX_IN];
	if (n->op == OP_INPUT)
		return graph_input(g, n->name, n->dtype, n->shape);
	if (n->op == OP_PARAM) {
		int i = graph_param(g, n->name, n->dtype, n->shape, &n->param);
		if (i >= 0)
			g->node[i].attr.q = n->attr.q;
		return i;
	}
	for (int k = 0; k < n->n_in; k++)
		in[k] = n->in[k] == NODE_NONE ? NODE_NONE : map[n->in[k]];
	return graph_add(g, n->op, n->name, in, n->n_in, &n->attr);
}

int graph_add_copy(struct graph *g, const struct node *n, const int *map)
{
	return graph_mark(g, add_copy(g, n, map), n->role, n->origin);
}

void graph_constant(const struct graph *g, bool *flags)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];
		flags[i] = n->op != OP_INPUT;
		for (int k = 0; k < n->n_in; k++)
			flags[i] = flags[i] && (n->in[k] == NODE_NONE || flags[n->in[k]]);
	}
}

void graph_uses(const struct graph *g, int *uses)
{
	memset(uses, 0, (size_t)g->n * sizeof(*uses));
	for (int i = 0; i < g->n; i++) {
		for (int k = 0; k < g->node[i].n_in; k++)
			if (g->node[i].in[k] != NODE_NONE)
				uses[g->node[i].in[k]]++;
	}
	if (g->output != NODE_NONE)
		uses[g->output]++;
	if (g->loss != NODE_NONE)
		uses[g->loss]++;
}

void graph_print(const struct graph *g, struct str *out)
{
	char text[64];
	for (int i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];
		str_addf(out, "%3d %-11s %-40s %-4s %-20s", i, op_info(n->op)->name, n->name, dtype_name(n->dtype),
		    shape_text(n->shape, text));
		for (int k = 0; k < n->n_in; k++)
			str_addf(out, " %s", n->in[k] == NODE_NONE ? "-" : g->node[n->in[k]].name);
		if (n->attr.relu)
			str_add(out, " relu");
		if (i == g->output)
			str_add(out, " [output]");
		if (i == g->loss)
			str_add(out, " [loss]");
		str_add(out, "\n");
	}
}

int64_t graph_macs(const struct graph *g)
{
	int64_t total = 0;
	for (int i = 0; i < g->n; i++) {
		const struct op_info *op = op_info(g->node[i].op);
		total += op->macs ? op->macs(g, &g->node[i]) : 0;
	}
	return total;
}
