/* Layers that the families share, with their params: names as in PyTorch, initial values, decay and pruning labels; and
 * the losses. */
#include "graph/family.h"

#include <stdio.h>
#include <string.h>

static const struct param_axis not_prunable = {.width = -1, .outer = 1, .inner = 1};

int build_param(struct builder *b, const char *layer, const char *suffix, struct shape s, const struct param_attr *a)
{
	char name[2 * NODE_NAME];
	if (b->rc)
		return NODE_NONE;
	snprintf(name, sizeof(name), "%s.%s", layer, suffix);
	int node = graph_param(b->g, name, DT_F32, s, a);
	if (node < 0)
		b->rc = node;
	return node;
}

void build_node(struct builder *b, enum op op, const char *name, const int *in, int n_in, const struct attr *a)
{
	if (b->rc)
		return;
	int node = graph_add(b->g, op, name, in, n_in, a);
	if (node < 0)
		b->rc = node;
	else
		b->x = node;
}

void build_unary(struct builder *b, enum op op, const char *name, const struct attr *a)
{
	int in[1] = {b->x};
	build_node(b, op, name, in, 1, a);
}

static struct param_axis unit_axis(int width)
{
	return width < 0 ? not_prunable : (struct param_axis){.width = width, .outer = 1, .inner = 1};
}

/* The axis of a weight along which each index computes one unit. */
static struct param_axis made_axis(int width)
{
	struct param_axis axis = unit_axis(width);
	axis.makes = width >= 0;
	return axis;
}

/* A vector of the layer's units: biases, norms, statistics. */
static int add_units(struct builder *b, const char *layer, const char *suffix, int64_t n, struct param_axis axis,
    enum param_kind kind, float value)
{
	struct param_attr a = {.kind = kind, .init = INIT_CONSTANT, .init_value = value};
	if (kind == PARAM_STAT)
		a.momentum = 0.1f; /* PyTorch's default for running statistics */
	a.axis[0] = axis;
	return build_param(b, layer, suffix, (struct shape){.ndim = 1, .dim = {n}}, &a);
}

static int add_input(struct builder *b, const char *name, enum dtype type, struct shape shape)
{
	int node = b->rc ? NODE_NONE : graph_input(b->g, name, type, shape);
	if (node < 0 && !b->rc)
		b->rc = node;
	return node;
}

void build_images(struct builder *b)
{
	const struct input_spec *in = &b->s->input;
	b->x = add_input(b, "input", DT_F32,
	    (struct shape){.ndim = 4, .dim = {b->shape.sequences, in->height, in->width, in->channels}});
}

void build_texts(struct builder *b, int *starts)
{
	b->x = add_input(b, "ids", DT_S32, (struct shape){.ndim = 1, .dim = {b->shape.tokens}});
	*starts = add_input(b, "starts", DT_S32, (struct shape){.ndim = 1, .dim = {(int64_t)b->shape.sequences + 1}});
}

int build_second(struct builder *b)
{
	return add_input(b, "second", DT_S32, (struct shape){.ndim = 1, .dim = {b->shape.sequences}});
}

void build_linear_units(struct builder *b, const char *name, int64_t out, struct param_axis units, bool relu,
    enum init_kind init, float init_value)
{
	if (b->rc)
		return;
	struct shape x = b->g->node[b->x].shape;
	int64_t features = shape_inner(x, 0);
	/* NHWC flattens to index (h*W + w)*C + c: H*W groups of C channels */
	struct param_axis in_axis = b->channels;
	if (in_axis.width >= 0 && x.ndim > 2)
		in_axis.outer = (int)(features / x.dim[x.ndim - 1]);
	struct param_attr w = {.init = init, .init_value = init_value, .fan_in = features, .decay = true};
	w.axis[0] = units;
	w.axis[0].makes = units.width >= 0;
	w.axis[1] = in_axis;
	int in[3];
	in[LINEAR_X] = b->x;
	in[LINEAR_W] = build_param(b, name, "weight", (struct shape){.ndim = 2, .dim = {out, features}}, &w);
	in[LINEAR_B] = add_units(b, name, "bias", out, units, PARAM_TRAINED, 0);
	build_node(b, OP_LINEAR, name, in, 3, &(struct attr){.relu = relu, .flatten = x.ndim > 2});
	b->channels = units;
}

void build_linear(struct builder *b, const char *name, int64_t out, int width, bool relu)
{
	/* layers before a ReLU keep the variance of their input; the classifier starts small */
	build_linear_units(b, name, out, unit_axis(width), relu, relu ? INIT_KAIMING : INIT_UNIFORM, 0);
}

void build_conv(
    struct builder *b, const char *name, int64_t out, int width, int kernel, int stride, int pad, bool bias, bool relu)
{
	if (b->rc)
		return;
	int64_t channels = b->g->node[b->x].shape.dim[3];
	struct param_attr w = {.init = INIT_KAIMING, .fan_in = (int64_t)kernel * kernel * channels, .decay = true};
	w.axis[0] = made_axis(width);
	w.axis[3] = b->channels;
	int in[3];
	in[CONV_X] = b->x;
	in[CONV_W] =
	    build_param(b, name, "weight", (struct shape){.ndim = 4, .dim = {out, kernel, kernel, channels}}, &w);
	in[CONV_B] = bias ? add_units(b, name, "bias", out, unit_axis(width), PARAM_TRAINED, 0) : NODE_NONE;
	build_node(b, OP_CONV2D, name, in, bias ? 3 : 2, &(struct attr){.relu = relu, .stride = stride, .pad = pad});
	b->channels = unit_axis(width);
}

void build_embedding(struct builder *b, const char *name, int64_t rows, int64_t dim, int width)
{
	struct param_attr w = {.init = INIT_NORMAL, .init_value = 0.1f, .decay = true};
	w.axis[1] = made_axis(width);
	int in[2];
	in[EMBEDDING_IDS] = b->x;
	in[EMBEDDING_TABLE] = build_param(b, name, "weight", (struct shape){.ndim = 2, .dim = {rows, dim}}, &w);
	build_node(b, OP_EMBEDDING, name, in, 2, NULL);
	b->channels = unit_axis(width);
}

void build_segment_mean(struct builder *b, const char *name, int starts)
{
	int in[2];
	in[SEGMENT_X] = b->x;
	in[SEGMENT_STARTS] = starts;
	build_node(b, OP_SEGMENT_MEAN, name, in, 2, NULL);
}

void build_batchnorm(struct builder *b, const char *name, bool relu)
{
	if (b->rc)
		return;
	struct shape x = b->g->node[b->x].shape;
	int64_t n = x.dim[x.ndim - 1];
	int in[5];
	in[BN_X] = b->x;
	in[BN_GAMMA] = add_units(b, name, "weight", n, b->channels, PARAM_TRAINED, 1);
	in[BN_BETA] = add_units(b, name, "bias", n, b->channels, PARAM_TRAINED, 0);
	in[BN_MEAN] = add_units(b, name, "running_mean", n, b->channels, PARAM_STAT, 0);
	in[BN_VAR] = add_units(b, name, "running_var", n, b->channels, PARAM_STAT, 1);
	/* eps of Ioffe and Szegedy 2015, algorithm 1, as every framework sets it */
	build_node(b, OP_BATCHNORM, name, in, 5, &(struct attr){.relu = relu, .eps = 1e-5f});
}

void build_maxpool(struct builder *b, const char *name, int size)
{
	if (size > 1)
		build_unary(b, OP_MAXPOOL, name, &(struct attr){.kernel = size, .stride = size});
}

void build_head(struct builder *b, int first, float dropout)
{
	char name[32], drop[48];
	for (int i = first; i < b->s->n_width; i++) {
		snprintf(name, sizeof(name), "fc%d", i - first + 1);
		build_linear(b, name, b->s->width[i], i, true);
		snprintf(drop, sizeof(drop), "%s.dropout", name);
		if (dropout > 0)
			build_unary(b, OP_DROPOUT, drop, &(struct attr){.rate = dropout});
	}
	snprintf(name, sizeof(name), "fc%d", b->s->n_width - first + 1);
	build_linear(b, name, b->s->classes, -1, false);
}

/* A host input of a loss and what its shape follows from. */
struct loss_input {
	const char *name;
	enum dtype dtype;
	enum { PER_LOGIT, PER_SAMPLE, PER_LABEL } shape;
};
static const struct loss_input input_teacher = {"teacher_logits", DT_F32, PER_LOGIT},
			       input_labels = {"labels", DT_S32, PER_SAMPLE},
			       input_targets = {"targets", DT_F32, PER_LOGIT},
			       input_weight = {"weight", DT_F32, PER_SAMPLE},
			       input_pos_weight = {"pos_weight", DT_F32, PER_LABEL};

/* Appends the op of the logits and n further inputs that ends in the scalar "loss". */
static int add_loss(struct graph *g, enum op op, const struct loss_input *const *inputs, int n, const struct attr *a)
{
	int in[NODE_MAX_IN] = {g->output};
	if (g->output == NODE_NONE)
		return err_set(ERR_FAIL, "loss: the graph has no output");
	const struct shape logits = g->node[g->output].shape;
	for (int i = 0; i < n; i++) {
		struct shape s = logits;
		if (inputs[i]->shape != PER_LOGIT)
			s = (struct shape){.ndim = 1, .dim = {logits.dim[inputs[i]->shape == PER_LABEL]}};
		in[i + 1] = graph_input(g, inputs[i]->name, inputs[i]->dtype, s);
		if (in[i + 1] < 0)
			return in[i + 1];
	}
	int loss = graph_add(g, op, "loss", in, n + 1, a);
	if (loss < 0)
		return loss;
	g->loss = loss;
	return 0;
}

int graph_add_ce(struct graph *g, float smoothing)
{
	const struct loss_input *const in[] = {&input_labels, &input_weight};
	return add_loss(g, OP_CE_LOSS, in, 2, &(struct attr){.smoothing = smoothing});
}

int graph_add_kd(struct graph *g, float temperature, float alpha)
{
	const struct loss_input *const in[] = {&input_teacher, &input_labels, &input_weight};
	return add_loss(g, OP_KD_LOSS, in, 3, &(struct attr){.temperature = temperature, .alpha = alpha});
}

int graph_add_bce(struct graph *g)
{
	const struct loss_input *const in[] = {&input_targets, &input_weight, &input_pos_weight};
	return add_loss(g, OP_BCE_LOSS, in, 3, NULL);
}

int graph_add_kd_bce(struct graph *g, float temperature, float alpha)
{
	const struct loss_input *const in[] = {&input_teacher, &input_targets, &input_weight, &input_pos_weight};
	return add_loss(g, OP_KD_BCE_LOSS, in, 4, &(struct attr){.temperature = temperature, .alpha = alpha});
}

/* Whether it differs for what is mixed into a sample. */
static bool is_of_sample(const char *name)
{
	return !strcmp(name, input_labels.name) || !strcmp(name, input_targets.name) ||
	       !strcmp(name, input_weight.name);
}

int graph_mix_loss(struct graph *g)
{
	char name[NODE_NAME];
	int in[NODE_MAX_IN], sum[2], mixed = 0;
	if (g->loss == NODE_NONE)
		return err_set(ERR_FAIL, "mixup: the graph has no loss");
	const struct node loss = g->node[g->loss]; /* a copy: nodes move when others are added */
	for (int i = 0; i < loss.n_in; i++) {
		in[i] = loss.in[i];
		if (in[i] == NODE_NONE || !is_of_sample(g->node[in[i]].name))
			continue;
		const struct node input = g->node[in[i]];
		snprintf(name, sizeof(name), "%s.mixed", input.name);
		in[i] = graph_input(g, name, input.dtype, input.shape);
		if (in[i] < 0)
			return in[i];
		mixed++;
	}
	if (mixed != 2)
		return err_set(
		    ERR_FAIL, "mixup: the loss '%s' does not end in targets and weights of samples", loss.name);
	sum[ADD_A] = g->loss;
	sum[ADD_B] = graph_add(g, loss.op, "loss.mixed", in, loss.n_in, &loss.attr);
	if (sum[ADD_B] < 0)
		return sum[ADD_B];
	const int node = graph_add(g, OP_ADD, "loss.sum", sum, 2, NULL);
	if (node < 0)
		return node;
	g->loss = node;
	return 0;
}
