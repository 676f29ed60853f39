#include "graph/layer_loss.h"

#include <stdio.h>

/* What a kind compares, and by which op: the student's values come first, then the teacher's, in the same order. */
static const struct {
	enum op op;
	int taps;
	enum layer_tap tap[LAYER_LOSS_TAPS];
	const char *name;
} kinds[LAYER_LOSS_KINDS] = {[LAYER_HIDDEN] = {OP_HIDDEN_LOSS, 1, {TAP_HIDDEN}, "hidden"},
    [LAYER_ATTENTION] = {OP_ATTENTION_LOSS, 2, {TAP_QUERY, TAP_KEY}, "attention"},
    [LAYER_RELATION] = {OP_RELATION_LOSS, 3, {TAP_QUERY, TAP_KEY, TAP_VALUE}, "relation"}};

int layer_loss_taps(enum layer_loss_kind kind)
{
	return kinds[kind].taps;
}

int layer_loss_check_family(const struct model_spec *s)
{
	return s->family->layer_tap
		   ? 0
		   : err_set(ERR_CONFIG, "it compares layers over tokens, which a model of family %s has not",
			 spec_family(s));
}

/* A layer's attention in a graph of the model, or NULL. */
static const struct node *attention_of(const struct graph *g, const struct model_spec *s, int layer)
{
	char query[NODE_NAME];
	s->family->layer_tap(s, layer, TAP_QUERY, query);
	const int q = graph_find(g, query);
	for (int i = 0; q != NODE_NONE && i < g->n; i++)
		if (g->node[i].op == OP_ATTENTION && g->node[i].in[ATTENTION_Q] == q)
			return &g->node[i];
	return NULL;
}

static int find_taps(struct layer_loss *l, const struct graph *g, const struct model_spec *teacher)
{
	for (int i = 0; i < kinds[l->kind].taps; i++) {
		teacher->family->layer_tap(teacher, l->from, kinds[l->kind].tap[i], l->tap[i]);
		const int node = graph_find(g, l->tap[i]);
		if (node == NODE_NONE)
			return err_set(ERR_FAIL, "the teacher has no node '%s'", l->tap[i]);
		l->width[i] = g->node[node].shape.dim[1];
	}
	return 0;
}

static int check_blocks(const char *whose, int layer, int blocks, int64_t columns)
{
	if (columns % blocks == 0)
		return 0;
	return err_set(ERR_CONFIG, "%d blocks do not divide the %lld columns of the attention in layer %d of the %s",
	    blocks, (long long)columns, layer, whose);
}

/* own, given: graphs of both. */
static int find_heads(struct layer_loss *l, const struct graph *own, const struct model_spec *student,
    const struct graph *given, const struct model_spec *teacher)
{
	const struct node *from = attention_of(given, teacher, l->from), *to = attention_of(own, student, l->layer);
	if (!from || !to)
		return err_set(ERR_FAIL, "layer %d of the %s has no attention", from ? l->layer : l->from,
		    from ? "student" : "teacher");
	l->teacher_heads = from->attr.heads;
	if (l->kind != LAYER_RELATION)
		return 0;
	if (!l->blocks)
		l->blocks = l->teacher_heads;
	int rc = check_blocks("teacher", l->from, l->blocks, from->shape.dim[1]);
	return rc ? rc : check_blocks("student", l->layer, l->blocks, to->shape.dim[1]);
}

int layer_loss_make(struct layer_loss *l, const struct model_spec *student, const struct model_spec *teacher)
{
	struct graph own, given;
	graph_init(&own);
	graph_init(&given);
	int rc = spec_build(&own, student, &shape_one);
	if (!rc)
		rc = spec_build(&given, teacher, &shape_one);
	if (!rc)
		rc = find_taps(l, &given, teacher);
	if (!rc && l->kind != LAYER_HIDDEN)
		rc = find_heads(l, &own, student, &given, teacher);
	graph_clear(&own);
	graph_clear(&given);
	return rc;
}

int layer_loss_input(char input[NODE_NAME], const char *tap)
{
	if (snprintf(input, NODE_NAME, "teacher.%s", tap) >= NODE_NAME)
		return err_set(ERR_FAIL, "the teacher's '%s': the name is too long", tap);
	return 0;
}

/* The student's value, as wide as the teacher's. */
static int project(struct graph *g, int x, const struct layer_loss *l)
{
	char name[NODE_NAME], param[NODE_NAME];
	const int64_t have = g->node[x].shape.dim[1];
	if (l->kind != LAYER_HIDDEN || have == l->width[0])
		return x;
	snprintf(name, sizeof(name), "kd.projection.%d", l->layer);
	snprintf(param, sizeof(param), "kd.projection.%d.weight", l->layer);
	const struct param_attr a = {.init = INIT_UNIFORM, .fan_in = have, .decay = true};
	const int w = graph_param(g, param, DT_F32, (struct shape){.ndim = 2, .dim = {l->width[0], have}}, &a);
	return w < 0 ? w : graph_add(g, OP_LINEAR, name, (const int[]){x, w}, 2, NULL);
}

/* The two nodes of one compared value. */
static int add_pair(
    struct graph *g, const struct model_spec *student, const struct layer_loss *l, int i, int *own, int *given)
{
	char name[NODE_NAME];
	student->family->layer_tap(student, l->layer, kinds[l->kind].tap[i], name);
	const int x = graph_find(g, name);
	if (x == NODE_NONE)
		return err_set(ERR_FAIL, "the student has no node '%s'", name);
	*own = project(g, x, l);
	if (*own < 0)
		return *own;
	int rc = layer_loss_input(name, l->tap[i]);
	if (rc)
		return rc;
	*given = graph_find(g, name);
	if (*given == NODE_NONE)
		*given = graph_input(
		    g, name, DT_F32, (struct shape){.ndim = 2, .dim = {g->node[x].shape.dim[0], l->width[i]}});
	return *given < 0 ? *given : 0;
}

/* g->loss + term. */
static int add_to_loss(struct graph *g, int term, const char *name)
{
	char sum[NODE_NAME + 8];
	int in[2];
	in[ADD_A] = g->loss;
	in[ADD_B] = term;
	snprintf(sum, sizeof(sum), "%s.sum", name);
	const int node = graph_add(g, OP_ADD, sum, in, 2, NULL);
	if (node < 0)
		return node;
	g->loss = node;
	return 0;
}

int layer_loss_add(struct graph *g, const struct model_spec *student, const struct layer_loss *l)
{
	const int taps = kinds[l->kind].taps;
	const struct node *attention = attention_of(g, student, l->layer);
	struct attr a = {.distance = l->distance, .factor = l->factor};
	char name[NODE_NAME];
	int in[NODE_MAX_IN], rc = 0;
	if (attention && l->kind != LAYER_HIDDEN) { /* before nodes are added, which moves them */
		a.heads = l->kind == LAYER_RELATION ? l->blocks : attention->attr.heads;
		a.teacher_heads = l->teacher_heads;
		a.longest = attention->attr.longest;
	}
	for (int i = 0; !rc && i < taps; i++)
		rc = add_pair(g, student, l, i, &in[i], &in[taps + i]);
	if (rc)
		return rc;
	in[2 * taps] = graph_find(g, "starts");
	in[2 * taps + 1] = graph_find(g, "weight");
	snprintf(name, sizeof(name), "loss.%s.%d", kinds[l->kind].name, l->layer);
	const int term = graph_add(g, kinds[l->kind].op, name, in, 2 * taps + 2, &a);
	return term < 0 ? term : add_to_loss(g, term, name);
}
