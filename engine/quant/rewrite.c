/* The walk from a folded graph to a quantized one. What a group becomes is the business of annotate.c and lower.c. */
#include "quant/rewrite.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Steps are learned relative to their value and never reach 0; 2^-24 keeps (q - z) * P(s) representable in f16. */
#define STEP_FLOOR 0x1p-24f

static int join_name(char out[NODE_NAME], const char *base, const char *suffix)
{
	size_t a = strlen(base), b = strlen(suffix);

	if (a + b >= NODE_NAME)
		return err_set(ERR_FAIL, "name '%s%s' is longer than %d characters", base, suffix, NODE_NAME - 1);
	memcpy(out, base, a);
	memcpy(out + a, suffix, b + 1);
	return 0;
}

int rewrite_add(struct rewrite *r, enum op op, const char *base, const char *suffix, const int *in, int n_in,
    const struct attr *attr)
{
	char name[NODE_NAME];

	if (join_name(name, base, suffix) < 0)
		return ERR_FAIL;
	return graph_add(r->out, op, name, in, n_in, attr);
}

int rewrite_step(struct rewrite *r, const char *value)
{
	const struct quant_value *v = quant_plan_value(r->plan, value);
	struct attr attr = {.kind = r->trained_steps ? PARAM_TRAINED : PARAM_FROZEN,
	    .init = INIT_UNSET,
	    .relative = true,
	    .floor = STEP_FLOOR};
	char name[NODE_NAME];
	int64_t n;
	int found;

	assert(v);
	if (join_name(name, value, ".step") < 0)
		return ERR_FAIL;
	found = graph_find(r->out, name);
	if (found >= 0)
		return r->out->node[found].op == OP_PARAM ? found
							  : err_set(ERR_FAIL, "name '%s' is taken by a node", name);
	n = v->channels;
	return graph_param(r->out, name, DT_F32, shape_of(1, &n), &attr);
}

static int misfit(const char *name, const char *what)
{
	return err_set(ERR_CHECKPOINT, "quantization plan does not fit the model: '%s': %s", name, what);
}

const struct quant_value *rewrite_value(const struct rewrite *r, int folded)
{
	int from = r->match.carrier[folded] != NODE_NONE ? r->match.carrier[folded] : folded;
	const struct quant_value *v = quant_plan_value(r->plan, r->in->node[from].name);

	if (!v || v->weight || v->channels != 1) {
		(void)misfit(r->in->node[from].name, "not listed as a quantized activation");
		return NULL;
	}
	return v;
}

int rewrite_real(struct rewrite *r, int folded)
{
	const struct quant_value *v;
	struct attr attr = {0};
	int in[2];

	if (r->real[folded] != NODE_NONE)
		return r->real[folded];
	assert(r->grid[folded] != NODE_NONE);
	v = rewrite_value(r, folded);
	if (!v)
		return ERR_CHECKPOINT;
	in[0] = r->grid[folded];
	in[1] = rewrite_step(r, v->name);
	if (in[1] < 0)
		return in[1];
	attr.q = v->q;
	return r->real[folded] = rewrite_add(r, OP_DEQUANT, r->in->node[folded].name, "", in, 2, &attr);
}

int rewrite_grid(struct rewrite *r, int folded)
{
	const struct quant_value *v = rewrite_value(r, folded);
	struct attr attr = {0};
	int in[2];

	if (!v)
		return ERR_CHECKPOINT;
	if (r->grid[folded] != NODE_NONE)
		return r->grid[folded];
	in[0] = r->real[folded];
	in[1] = rewrite_step(r, v->name);
	if (in[1] < 0)
		return in[1];
	attr.q = v->q;
	return r->grid[folded] = rewrite_add(r, r->quantize, v->name, ".q", in, 2, &attr);
}

int rewrite_weight(struct rewrite *r, int layer)
{
	int w = r->in->node[layer].in[1], found, in[2];
	const char *name = r->in->node[w].name;
	const struct quant_value *v = quant_plan_value(r->plan, name);
	struct attr attr = {0};
	char q_name[NODE_NAME];

	if (!v || !v->weight)
		return misfit(name, "not listed as a quantized weight");
	if (v->channels != 1 && v->channels != r->in->node[w].shape.dim[0])
		return misfit(name, "its number of steps is not its number of output channels");
	if (join_name(q_name, name, ".q") < 0)
		return ERR_FAIL;
	found = graph_find(r->out, q_name);
	if (found >= 0 && r->out->node[found].op == r->quantize) /* a tied weight */
		return found;
	in[0] = r->real[w];
	in[1] = rewrite_step(r, name);
	if (in[1] < 0)
		return in[1];
	attr.q = v->q;
	return graph_add(r->out, r->quantize, q_name, in, 2, &attr);
}

static int group_residual(struct rewrite *r, const struct group *g, struct group_ends *e)
{
	const struct quant_value *v;

	e->residual = e->s_r = NODE_NONE;
	if (g->residual == NODE_NONE)
		return 0;
	v = rewrite_value(r, g->residual);
	if (!v)
		return ERR_CHECKPOINT;
	if (v->q.zero != 0)
		return misfit(v->name, "a residual must have zero point 0");
	e->residual = rewrite_grid(r, g->residual);
	if (e->residual < 0)
		return e->residual;
	e->s_r = rewrite_step(r, v->name);
	return e->s_r < 0 ? e->s_r : 0;
}

int rewrite_ends(struct rewrite *r, const struct group *g, struct group_ends *e)
{
	const struct node *layer = &r->in->node[g->layer];
	struct shape x_shape = r->in->node[layer->in[0]].shape;

	*e = (struct group_ends){.layer = layer->name, .out = r->in->node[g->out].name, .relu = g->relu, .count = 1};
	e->weight = e->bias = e->s_w = e->s_y = NODE_NONE;
	e->x = rewrite_value(r, layer->in[0]);
	if (!e->x)
		return ERR_CHECKPOINT;
	if (e->x->q.zero != 0 && (layer->op == OP_AVGPOOL || (layer->op == OP_CONV2D && layer->attr.pad > 0)))
		return misfit(e->x->name, "its consumer cannot fold a zero point");
	e->in = rewrite_grid(r, layer->in[0]);
	if (e->in < 0)
		return e->in;
	e->s_x = rewrite_step(r, e->x->name);
	if (e->s_x < 0)
		return e->s_x;
	if (layer->op == OP_AVGPOOL) {
		e->count = x_shape.dim[1] * x_shape.dim[2];
	} else {
		e->weight = rewrite_weight(r, g->layer);
		e->s_w = e->weight < 0 ? e->weight : rewrite_step(r, r->in->node[layer->in[1]].name);
		if (e->s_w < 0)
			return e->s_w;
		if (layer->n_in > 2 && layer->in[2] != NODE_NONE)
			e->bias = r->real[layer->in[2]];
	}
	if (r->match.carrier[g->out] == g->out) {
		e->y = rewrite_value(r, g->out);
		e->s_y = e->y ? rewrite_step(r, e->y->name) : ERR_CHECKPOINT;
		if (e->s_y < 0)
			return e->s_y;
	} else if (layer->op == OP_AVGPOOL) {
		return misfit(layer->name, "an average pool without a quantized output");
	}
	return group_residual(r, g, e);
}

/* A node that stays as it is, on real inputs. */
static int copy_node(struct rewrite *r, int i)
{
	const struct node *node = &r->in->node[i];
	int in[NODE_MAX_IN];

	if (node->op == OP_INPUT)
		return r->real[i] = graph_input(r->out, node->name, node->dtype, node->shape);
	if (node->op == OP_PARAM)
		return r->real[i] = graph_param(r->out, node->name, node->dtype, node->shape, &node->attr);
	for (int k = 0; k < node->n_in; k++) {
		in[k] = node->in[k] == NODE_NONE ? NODE_NONE : rewrite_real(r, node->in[k]);
		if (in[k] < 0 && in[k] != NODE_NONE)
			return in[k];
	}
	return r->real[i] = graph_add(r->out, node->op, node->name, in, node->n_in, &node->attr);
}

/* Pooling and dropout of integers. */
static int pass_through(struct rewrite *r, int i)
{
	const struct node *node = &r->in->node[i];
	int in = r->grid[node->in[0]];

	if (node->op == OP_DROPOUT && !r->keep_dropout)
		return r->grid[i] = in;
	return r->grid[i] = rewrite_add(r, node->op, node->name, ".q", &in, 1, &node->attr);
}

static int rewrite_node(struct rewrite *r, int i)
{
	const struct node *node = &r->in->node[i];
	const struct match *m = &r->match;
	int real;

	if (!r->needed[i])
		return 0;
	if (m->by_out[i] != NODE_NONE)
		return r->emit(r, &m->group[m->by_out[i]]);
	if (m->by_layer[i] != NODE_NONE) /* fused: emitted at the add */
		return 0;
	if (match_passes_through(node->op) && r->grid[node->in[0]] != NODE_NONE && m->carrier[i] != NODE_NONE)
		return pass_through(r, i);
	if (node->op == OP_DROPOUT && !r->keep_dropout) {
		real = rewrite_real(r, node->in[0]);
		return real < 0 ? real : (r->real[i] = real);
	}
	return copy_node(r, i);
}

static void mark_needed(struct rewrite *r, int root)
{
	if (root == NODE_NONE)
		return;
	r->needed[root] = true;
	for (int i = root; i >= 0; i--) {
		const struct node *node = &r->in->node[i];

		for (int k = 0; r->needed[i] && k < node->n_in; k++)
			if (node->in[k] != NODE_NONE)
				r->needed[node->in[k]] = true;
	}
}

static int walk(struct rewrite *r, bool keep_loss)
{
	int rc;

	for (int i = 0; i < r->in->n; i++) {
		rc = rewrite_node(r, i);
		if (rc < 0)
			return rc;
	}
	if (r->in->output != NODE_NONE) {
		r->out->output = rewrite_real(r, r->in->output);
		if (r->out->output < 0)
			return r->out->output;
	}
	if (keep_loss && r->in->loss != NODE_NONE)
		r->out->loss = r->real[r->in->loss];
	return 0;
}

int rewrite_run(struct rewrite *r, bool keep_loss)
{
	size_t n = (size_t)r->in->n + 1;
	int rc = match_make(&r->match, r->in, r->plan);

	if (rc < 0)
		return rc;
	rc = ERR_NOMEM;
	r->needed = mem_alloc(n, sizeof(*r->needed));
	r->real = mem_alloc(n, sizeof(*r->real));
	r->grid = mem_alloc(n, sizeof(*r->grid));
	if (!r->needed || !r->real || !r->grid)
		goto out;
	for (int i = 0; i < r->in->n; i++)
		r->real[i] = r->grid[i] = NODE_NONE;
	mark_needed(r, r->in->output);
	if (keep_loss)
		mark_needed(r, r->in->loss);
	rc = walk(r, keep_loss);
out:
	mem_free(r->needed);
	mem_free(r->real);
	mem_free(r->grid);
	match_clear(&r->match);
	if (rc < 0)
		graph_clear(r->out);
	return rc;
}
