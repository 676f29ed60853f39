/* Which widths can be cut by mask variables: those whose units are columns of one linear layer's input, made by linear
 * layers whose own inputs nothing cuts. Heads and feed-forward units of an encoder are; channels that pass a batch norm
 * are not, nor hidden units that others of changing number read. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/prune_fisher.h"

static int refuse(const struct model_spec *spec, int width, const struct node *op)
{
	char name[64];
	return err_set(ERR_CONFIG,
	    "method fisher cuts units that are nothing but inputs of one linear layer, as heads and feed-forward units "
	    "of an encoder are; %s of this model is more than that to '%s'",
	    spec_width_name(spec, width, name), op->name);
}

/* What `op` makes of axis d of its input k, a param of a width. */
static int note_use(
    struct prune_block *block, const struct model_spec *spec, const struct graph *g, int op, int k, int d)
{
	const struct node *node = &g->node[op], *p = &g->node[node->in[k]];
	const struct param_axis axis = p->param.axis[d];
	struct prune_block *b = &block[axis.width];
	const bool linear = node->op == OP_LINEAR, weight = linear && k == LINEAR_W;
	if (linear && k == LINEAR_B)
		return 0;
	if (!weight || p->param.axis[1 - d].width >= 0 || axis.outer != 1)
		return refuse(spec, axis.width, node);
	b->inner = axis.inner;
	b->macs += (double)p->shape.dim[1 - d] * axis.inner;
	if (d == 0)
		return 0;
	if (b->reader != NODE_NONE || node->attr.relu)
		return refuse(spec, axis.width, node);
	b->reader = op;
	b->outputs = (int)p->shape.dim[0];
	return 0;
}

/* What the output of a node is added to, dropout apart; NODE_NONE: nothing. */
static int find_residual(const struct graph *g, int node)
{
	for (int i = node + 1; i < g->n; i++) {
		const struct node *c = &g->node[i];
		if (c->op == OP_DROPOUT && c->in[DROPOUT_X] == node)
			node = i;
		else if (c->op == OP_LAYERNORM && c->in[LAYERNORM_X] == node)
			return node_has(c, LAYERNORM_R) ? c->in[LAYERNORM_R] : NODE_NONE;
		else if (c->op == OP_ADD && (c->in[ADD_A] == node || c->in[ADD_B] == node))
			return c->in[c->in[ADD_A] == node ? ADD_B : ADD_A];
	}
	return NODE_NONE;
}

static int name_nodes(struct prune_block *b, const struct model_spec *spec, const struct graph *g)
{
	if (b->reader == NODE_NONE)
		return refuse(spec, b->width, &g->node[g->output]);
	const struct node *reader = &g->node[b->reader];
	const int residual = find_residual(g, b->reader);
	memcpy(b->x, g->node[reader->in[LINEAR_X]].name, NODE_NAME);
	memcpy(b->w, g->node[reader->in[LINEAR_W]].name, NODE_NAME);
	memcpy(b->y, reader->name, NODE_NAME);
	if (residual != NODE_NONE)
		memcpy(b->residual, g->node[residual].name, NODE_NAME);
	b->attends = g->node[reader->in[LINEAR_X]].op == OP_ATTENTION;
	return 0;
}

static int by_reader(const void *a, const void *b)
{
	return ((const struct prune_block *)a)->reader - ((const struct prune_block *)b)->reader;
}

static int fill(struct prune_blocks *out, const struct model_spec *spec, const struct graph *g)
{
	int rc = 0;
	for (int i = 0; i < out->n; i++)
		out->item[i] = (struct prune_block){.width = i, .units = spec->width[i], .reader = NODE_NONE};
	for (int i = 0; !rc && i < g->n; i++)
		for (int k = 0; !rc && k < g->node[i].n_in; k++) {
			const struct node *p = node_has(&g->node[i], k) ? &g->node[g->node[i].in[k]] : NULL;
			for (int d = 0; !rc && p && p->op == OP_PARAM && d < p->shape.ndim; d++)
				if (p->param.axis[d].width >= 0)
					rc = note_use(out->item, spec, g, i, k, d);
		}
	for (int i = 0; !rc && i < out->n; i++)
		rc = name_nodes(&out->item[i], spec, g);
	if (!rc)
		qsort(out->item, (size_t)out->n, sizeof(*out->item), by_reader);
	return rc;
}

/* How many of each may stay. */
static int set_steps(struct prune_blocks *b, const struct prune_options *o, const struct model_spec *spec)
{
	bool *excluded = mem_alloc((size_t)spec->n_width + 1, sizeof(*excluded));
	int rc = excluded ? prune_excluded(o, spec, excluded) : ERR_NOMEM;
	for (int i = 0; !rc && i < b->n; i++) {
		struct prune_block *x = &b->item[i];
		x->step = prune_width_step(o, x->units);
		int64_t least = (o->min_units + x->step - 1) / x->step * x->step;
		x->excluded = excluded[x->width];
		x->least = x->excluded || least > x->units ? x->units : (int)least;
	}
	mem_free(excluded);
	return rc;
}

int prune_blocks_find(struct prune_blocks *out, const struct prune_options *o, const struct model_spec *spec)
{
	struct graph g;
	*out = (struct prune_blocks){0};
	int rc = spec_build(&g, spec, &shape_one);
	if (rc)
		return rc;
	out->item = mem_alloc((size_t)spec->n_width + 1, sizeof(*out->item));
	out->n = spec->n_width;
	rc = out->item ? fill(out, spec, &g) : ERR_NOMEM;
	if (!rc)
		rc = set_steps(out, o, spec);
	graph_clear(&g);
	if (rc)
		prune_blocks_clear(out);
	return rc;
}

void prune_blocks_clear(struct prune_blocks *b)
{
	mem_free(b->item);
	*b = (struct prune_blocks){0};
}

double prune_unit_macs(const struct prune_block *b, double attended)
{
	/* scores and context: one row of `inner` numbers with each row attended to, twice */
	return b->macs + (b->attends ? 2 * b->inner * attended : 0);
}

double prune_most_macs(const struct prune_blocks *b, double attended)
{
	double all = 0, least = 0;
	for (int i = 0; i < b->n; i++) {
		const double cost = prune_unit_macs(&b->item[i], attended);
		all += cost * b->item[i].units;
		least += cost * b->item[i].least;
	}
	return all > 0 ? 1 - least / all : 0;
}

int prune_share_check(double sparsity, double most)
{
	if (sparsity <= most + 1e-9) /* the rounding of `most` is no reason */
		return 0;
	return err_set(ERR_CONFIG,
	    "sparsity %g cannot be reached: with what min_units, round_to and exclude keep, at most %.4f of the "
	    "multiply-adds can go",
	    sparsity, most);
}

int prune_next_units(const struct prune_block *b, int units)
{
	if (units >= b->units)
		return b->units + 1;
	return units + b->step < b->units ? units + b->step : b->units;
}
