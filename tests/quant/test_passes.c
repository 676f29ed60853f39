/* Structure of the annotated and the lowered graph: node by node on small models, invariants on all. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "quant/models.h"
#include "quant/plan.h"

struct forms {
	struct graph folded, annotated, lowered, frozen;
	struct quant_plan plan;
};

static void forms_clear(struct forms *f)
{
	graph_clear(&f->folded);
	graph_clear(&f->annotated);
	graph_clear(&f->lowered);
	graph_clear(&f->frozen);
	quant_plan_clear(&f->plan);
}

static struct quant_rules rules_of(enum quant_method method)
{
	return (struct quant_rules){.method = method, .weight_bits = 8, .act_bits = 8, .per_channel = true};
}

static struct forms make(struct model_spec s, const struct quant_rules *rules, bool loss)
{
	struct forms f;
	float step;

	graph_init(&f.annotated);
	graph_init(&f.lowered);
	graph_init(&f.frozen);
	assert_int_equal(model_folded(&s, 3, loss, &f.folded), 0);
	assert_int_equal(quant_plan_make(&f.plan, &f.folded, rules), 0);
	for (int i = 0; i < f.plan.n_value; i++) {
		struct quant_value *v = &f.plan.value[i];

		if (!v->weight)
			assert_int_equal(
			    quant_plan_set_range(&f.plan, v->name, v->q.is_signed || v->affine ? -1 : 0, 2, &step), 0);
	}
	if (rules->method != QUANT_DYNAMIC)
		assert_int_equal(pass_annotate(&f.folded, &f.plan, true, &f.annotated), 0);
	if (!f.plan.simulated) {
		assert_int_equal(pass_lower(&f.folded, &f.plan, &f.lowered), 0);
		assert_int_equal(pass_freeze(&f.lowered, &f.frozen), 0);
	}
	return f;
}

static const struct node *node_of(const struct graph *g, const char *name)
{
	int i = graph_find(g, name);

	if (i < 0)
		fail_msg("no node '%s'", name);
	return &g->node[i];
}

static const char *input_name(const struct graph *g, const struct node *n, int i)
{
	return i < n->n_in && n->in[i] != NODE_NONE ? g->node[n->in[i]].name : "-";
}

/* Checks op and inputs (a space-separated list, "-" for absent) of a named node. */
static const struct node *assert_node(const struct graph *g, const char *name, enum op op, const char *inputs)
{
	const struct node *n = node_of(g, name);
	struct str got = {0};

	assert_string_equal(op_info(n->op)->name, op_info(op)->name);
	for (int i = 0; i < n->n_in; i++)
		str_addf(&got, "%s%s", i ? " " : "", input_name(g, n, i));
	if (strcmp(str_text(&got), inputs) != 0)
		fail_msg("inputs of '%s' are '%s', expected '%s'", name, str_text(&got), inputs);
	str_clear(&got);
	return n;
}

static void annotate__mlp_node_by_node(void **state)
{
	struct quant_rules rules = rules_of(QUANT_QAT);
	struct forms f = make(model_mlp(), &rules, true);
	const struct graph *g = &f.annotated;
	const struct node *n;

	(void)state;
	assert_node(g, "input.q", OP_FAKE_QUANT, "input input.step");
	n = assert_node(g, "fc1.weight.q", OP_FAKE_QUANT, "fc1.weight fc1.weight.step");
	assert_int_equal(n->attr.q.lo, -127);
	n = assert_node(g, "fc1.acc", OP_LINEAR, "input.q fc1.weight.q");
	assert_false(n->attr.relu);
	n = assert_node(g, "fc1.q", OP_REQUANT, "fc1.acc input.step fc1.weight.step fc1.bias fc1.step - - -");
	assert_true(n->attr.relu);
	assert_int_equal(n->attr.q.hi, 255);
	n = assert_node(g, "fc3", OP_REQUANT, "fc3.acc fc2.step fc3.weight.step fc3.bias - - - -");
	assert_int_equal(n->attr.q.bits, 0);
	assert_string_equal(g->node[g->output].name, "fc3");
	assert_int_equal(g->node[g->loss].op, OP_CE_LOSS);
	n = node_of(g, "fc1.weight.step");
	assert_int_equal(n->param.kind, PARAM_TRAINED);
	assert_true(n->param.relative && n->param.floor == 0x1p-24f && n->param.ceiling == 0x1p100f && !n->param.decay);
	assert_int_equal(n->shape.dim[0], 13);
	/* 1/sqrt(N Q_P): 5x7 weights of a channel; the units of a sample */
	assert_float_equal(n->param.gradient_scale, 1 / sqrtf(35 * 127), 1e-7f);
	assert_float_equal(node_of(g, "fc1.step")->param.gradient_scale, 1 / sqrtf(13 * 255), 1e-7f);
	forms_clear(&f);
}

static void lower__mlp_node_by_node(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f = make(model_mlp(), &rules, true);
	const struct graph *g = &f.lowered;
	const struct node *n;

	(void)state;
	n = assert_node(g, "input.q", OP_QUANTIZE, "input input.step");
	assert_int_equal(n->dtype, DT_S8);
	n = assert_node(g, "fc1.weight.q", OP_QUANTIZE, "fc1.weight fc1.weight.step");
	assert_int_equal(n->dtype, DT_S8);
	assert_node(g, "fc1.m", OP_RQ_SCALE, "input.step fc1.weight.step fc1.step");
	assert_node(g, "fc1.c", OP_RQ_SHIFT, "fc1.m fc1.bias fc1.step -");
	n = assert_node(g, "fc1.q", OP_QLINEAR, "input.q fc1.weight.q fc1.m fc1.c");
	assert_int_equal(n->dtype, DT_U8);
	assert_true(n->attr.relu);
	assert_node(g, "fc3.m", OP_RQ_SCALE, "fc2.step fc3.weight.step -");
	n = assert_node(g, "fc3", OP_QLINEAR, "fc2.q fc3.weight.q fc3.m fc3.c");
	assert_int_equal(n->dtype, DT_F32);
	assert_int_equal(g->loss, NODE_NONE);
	assert_int_equal(graph_find(g, "labels"), NODE_NONE);
	g = &f.frozen; /* input, its integers, three layers, weight, m and c of each; steps of six values */
	assert_int_equal(g->n, 2 + 3 + 9 + 6);
	assert_int_equal(node_of(g, "fc1.step")->op, OP_PARAM); /* which nothing reads */
	assert_int_equal(node_of(g, "fc1.weight.q")->op, OP_PARAM);
	assert_int_equal(node_of(g, "fc1.weight.q")->dtype, DT_S8);
	forms_clear(&f);
}

static void passes__zero_points_are_folded_where_they_are_not_zero(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f;
	const struct node *n;

	(void)state;
	rules.affine = true;
	f = make(model_cnn(0), &rules, false);
	n = assert_node(&f.annotated, "bn1.q", OP_REQUANT,
	    "bn1.acc input.step conv1.weight.folded.step conv1.weight.folded_bias bn1.step - - conv1.weight.folded.q");
	assert_int_equal(n->attr.zero_in, 85);
	n = assert_node(
	    &f.lowered, "bn1.c", OP_RQ_SHIFT, "bn1.m conv1.weight.folded_bias bn1.step conv1.weight.folded.q");
	assert_int_equal(n->attr.zero_in, 85);
	/* the integers of 32 x 30 x 3 values that are above the zero point */
	n = node_of(&f.annotated, "input.step");
	assert_float_equal(n->param.gradient_scale, 1 / sqrtf(32 * 30 * 3 * (255 - 85)), 1e-8f);
	n = node_of(&f.annotated, "bn2.q");
	assert_int_equal(n->attr.zero_in, 0);
	forms_clear(&f);
}

static void passes__pooling_runs_on_integers(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f = make(model_cnn(0), &rules, false);

	(void)state;
	assert_node(&f.annotated, "pool1.q", OP_MAXPOOL, "bn1.q");
	assert_int_equal(assert_node(&f.lowered, "pool1.q", OP_MAXPOOL, "bn1.q")->dtype, DT_U8);
	assert_node(&f.lowered, "bn2.q", OP_QCONV2D, "pool1.q conv2.weight.folded.q bn2.m bn2.c");
	forms_clear(&f);
}

/* Pools of pools pass on the integers, step and range of what is before them all; a weight that two layers read is
 * quantized once. */
static void passes__go_through_all_pools_and_quantize_tied_weights_once(void **state)
{
	const struct attr conv = {.stride = 1, .relu = true}, pool = {.kernel = 2, .stride = 2};
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	struct graph g, out;
	struct qrange q;
	int i, w, step, quantized = 0;
	float s;

	(void)state;
	graph_init(&g);
	graph_init(&out);
	i = graph_input(&g, "x", DT_F32, shape_of(4, (int64_t[]){1, 8, 8, 3}));
	w = graph_param(&g, "w", DT_F32, shape_of(4, (int64_t[]){3, 1, 1, 3}), NULL);
	i = graph_add(&g, OP_CONV2D, "a", (int[]){i, w}, 2, &conv);
	i = graph_add(&g, OP_MAXPOOL, "pool1", &i, 1, &pool);
	i = graph_add(&g, OP_MAXPOOL, "pool2", &i, 1, &pool);
	g.output = graph_add(&g, OP_CONV2D, "b", (int[]){i, w}, 2, &conv);
	assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
	assert_int_equal(quant_plan_set_range(&p, "x", -1, 1, &s), 0);
	assert_int_equal(quant_plan_set_range(&p, "a", 0, 1, &s), 0);
	assert_int_equal(p.n_value, 3);
	assert_int_equal(pass_annotate(&g, &p, true, &out), 0);
	step = quant_grid_step(&out, graph_find(&out, "pool2.q"), &q);
	assert_true(step >= 0 && q.hi == 255 && !q.is_signed);
	assert_string_equal(out.node[step].name, "a.step");
	graph_clear(&out);
	assert_int_equal(pass_lower(&g, &p, &out), 0);
	assert_node(&out, "b", OP_QCONV2D, "pool2.q w.q b.m b.c");
	for (i = 0; i < out.n; i++)
		quantized += out.node[i].op == OP_QUANTIZE;
	assert_int_equal(quantized, 2);
	graph_clear(&out);
	quant_plan_clear(&p);
	graph_clear(&g);
}

static void passes__residual_block_fuses_the_add(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f = make(model_resnet(), &rules, false);
	const struct node *n;

	(void)state;
	n = assert_node(&f.annotated, "stage2.block0.add.q", OP_REQUANT,
	    "stage2.block0.bn2.acc stage2.block0.bn1.step stage2.block0.conv2.weight.folded.step "
	    "stage2.block0.conv2.weight.folded_bias stage2.block0.add.step stage2.block0.downsample.bn.q "
	    "stage2.block0.downsample.bn.step -");
	assert_true(n->attr.relu);
	n = assert_node(&f.lowered, "stage2.block0.add.q", OP_QCONV2D,
	    "stage2.block0.bn1.q stage2.block0.conv2.weight.folded.q stage2.block0.bn2.m stage2.block0.bn2.c "
	    "stage2.block0.downsample.bn.q stage2.block0.bn2.k");
	assert_true(n->attr.relu);
	assert_int_equal(n->dtype, DT_U8);
	assert_int_equal(node_of(&f.lowered, "stage2.block0.downsample.bn.q")->dtype, DT_S8);
	assert_int_equal(graph_find(&f.lowered, "stage2.block0.bn2"), NODE_NONE); /* it is part of the add */
	assert_node(&f.lowered, "stage2.block0.bn2.k", OP_RQ_RESIDUAL,
	    "stage2.block0.downsample.bn.step stage2.block0.add.step");
	n = assert_node(&f.annotated, "avgpool.acc", OP_AVGPOOL, "stage2.block1.add.q");
	assert_true(n->attr.raw_sum);
	n = assert_node(
	    &f.annotated, "avgpool.q", OP_REQUANT, "avgpool.acc stage2.block1.add.step - - avgpool.step - - -");
	assert_int_equal(n->attr.count, 3 * 4);
	assert_int_equal(node_of(&f.lowered, "avgpool.m")->attr.count, 3 * 4);
	assert_node(&f.lowered, "avgpool.q", OP_QAVGPOOL, "stage2.block1.add.q avgpool.m avgpool.c");
	forms_clear(&f);
}

static void passes__excluded_layers_see_real_values(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	char *patterns[] = {"stage2.block0.conv1"};
	struct forms f;

	(void)state;
	rules.exclude = (struct option_strings){patterns, 1};
	f = make(model_resnet(), &rules, false);
	/* the block's input goes to this layer as a real value and to the shortcut as integers */
	assert_node(&f.lowered, "stage1.block1.add", OP_DEQUANT, "stage1.block1.add.q stage1.block1.add.step");
	assert_node(&f.lowered, "stage2.block0.bn1", OP_CONV2D,
	    "stage1.block1.add stage2.block0.conv1.weight.folded stage2.block0.conv1.weight.folded_bias");
	assert_node(&f.lowered, "stage2.block0.bn1.q", OP_QUANTIZE, "stage2.block0.bn1 stage2.block0.bn1.step");
	assert_node(&f.annotated, "stage1.block1.add", OP_DEQUANT, "stage1.block1.add.q stage1.block1.add.step");
	assert_node(&f.annotated, "stage2.block0.bn1.q", OP_FAKE_QUANT, "stage2.block0.bn1 stage2.block0.bn1.step");
	assert_int_equal(node_of(&f.frozen, "stage2.block0.conv1.weight.folded")->op, OP_PARAM);
	forms_clear(&f);
}

static void passes__dropout_stays_in_training_only(void **state)
{
	struct quant_rules rules = rules_of(QUANT_QAT);
	struct model_spec s = model_mlp();
	struct forms f;
	int dropouts = 0;

	(void)state;
	s.own = &(struct mlp_spec){.dropout = 0.25f};
	f = make(s, &rules, true);
	for (int i = 0; i < f.annotated.n; i++)
		dropouts += f.annotated.node[i].op == OP_DROPOUT;
	assert_int_equal(dropouts, 2);
	for (int i = 0; i < f.lowered.n; i++)
		assert_int_not_equal(f.lowered.node[i].op, OP_DROPOUT);
	assert_node(&f.lowered, "fc2.q", OP_QLINEAR, "fc1.q fc2.weight.q fc2.m fc2.c");
	forms_clear(&f);
}

static void passes__per_tensor_weights_have_one_step_and_full_scales(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f;

	(void)state;
	const struct node *n;

	rules.per_channel = false;
	f = make(model_cnn(0), &rules, false);
	assert_int_equal(node_of(&f.lowered, "fc1.weight.step")->shape.dim[0], 1);
	assert_int_equal(node_of(&f.lowered, "fc1.m")->shape.dim[0], 11);
	assert_int_equal(node_of(&f.frozen, "bn1.m")->shape.dim[0], 5);
	/* all 10 x 6 weights of the layer share a step */
	n = node_of(&f.annotated, "fc3.weight.step");
	assert_float_equal(n->param.gradient_scale, 1 / sqrtf(10 * 6 * 127), 1e-7f);
	forms_clear(&f);
}

static void lower__dynamic_quantizes_linear_layers_per_row(void **state)
{
	struct quant_rules rules = rules_of(QUANT_DYNAMIC);
	struct forms f = make(model_cnn(0), &rules, false);
	struct graph g;

	(void)state;
	assert_true(
	    assert_node(&f.lowered, "fc1", OP_QLINEAR_DYN, "bn3 fc1.weight.q fc1.weight.step fc1.bias")->attr.relu);
	assert_node(&f.lowered, "fc3", OP_QLINEAR_DYN, "fc2 fc3.weight.q fc3.weight.step fc3.bias");
	assert_int_equal(node_of(&f.lowered, "bn1")->op, OP_CONV2D);
	graph_init(&g);
	assert_int_equal(pass_annotate(&f.folded, &f.plan, false, &g), ERR_FAIL);
	assert_int_equal(g.n, 0);
	forms_clear(&f);
}

static void lower__half_precision_is_stored_as_such(void **state)
{
	enum quant_method methods[] = {QUANT_FP16, QUANT_BF16};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct quant_rules rules = rules_of(methods[i]);
		struct forms f = make(model_resnet(), &rules, false);
		const struct node *n = node_of(&f.frozen, "conv1.weight.folded.half");

		assert_int_equal(n->op, OP_PARAM);
		assert_int_equal(n->dtype, i == 0 ? DT_F16 : DT_BF16);
		assert_node(&f.frozen, "conv1.weight.folded.f32", OP_CAST, "conv1.weight.folded.half");
		assert_node(&f.frozen, "bn1", OP_CONV2D, "input conv1.weight.folded.f32 conv1.weight.folded_bias");
		assert_int_equal(graph_find(&f.frozen, "conv1.weight.folded"), NODE_NONE);
		forms_clear(&f);
	}
}

static void lower__simulated_plans_are_refused(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f;
	struct graph g;

	(void)state;
	rules.act_bits = 4;
	f = make(model_resnet(), &rules, false);
	graph_init(&g);
	assert_int_equal(pass_lower(&f.folded, &f.plan, &g), ERR_FAIL);
	assert_int_equal(g.n, 0);
	assert_int_equal(node_of(&f.annotated, "bn1.q")->attr.q.hi, 15);
	forms_clear(&f);
}

static void annotate__steps_are_frozen_unless_trained(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f = make(model_mlp(), &rules, false);
	struct graph g;

	(void)state;
	graph_init(&g);
	assert_int_equal(pass_annotate(&f.folded, &f.plan, false, &g), 0);
	assert_int_equal(node_of(&g, "input.step")->param.kind, PARAM_FROZEN);
	assert_int_equal(node_of(&g, "fc1.weight.step")->param.kind, PARAM_FROZEN);
	graph_clear(&g);
	forms_clear(&f);
}

/* What both graphs call by one name has one shape, and every integer of the lowered graph has its twin. */
static void passes__every_integer_has_its_grid_value(void **state)
{
	struct model_spec specs[] = {model_mlp(), model_cnn(0), model_cnn(1), model_resnet()};

	(void)state;
	for (size_t s = 0; s < 4; s++) {
		for (int affine = 0; affine < 2; affine++) {
			struct quant_rules rules = rules_of(QUANT_STATIC);
			struct forms f;
			int twins = 0;

			rules.affine = affine;
			f = make(specs[s], &rules, false);
			for (int i = 0; i < f.lowered.n; i++) {
				const struct node *n = &f.lowered.node[i], *twin;

				if (n->dtype != DT_U8 && n->dtype != DT_S8)
					continue;
				twin = node_of(&f.annotated, n->name);
				assert_true(shape_equal(n->shape, twin->shape));
				assert_int_equal(twin->dtype, DT_F32);
				twins++;
			}
			assert_true(twins >= 6);
			forms_clear(&f);
		}
	}
}

static void damage(struct quant_plan *p, int kind)
{
	for (int i = 0; i < p->n_layer; i++) {
		struct quant_layer *l = &p->layer[i];

		if (kind == 0 && strcmp(l->name, "bn1") == 0)
			strcpy(l->name, "bn9");
		if (kind == 1 && strcmp(l->name, "stage1.block0.bn1") == 0)
			strcpy(l->output, "stage1.block0.add");
		if (kind == 2 && strcmp(l->name, "stage1.block0.bn2") == 0)
			strcpy(l->output, "stage1.block1.add");
		if (kind == 3 && strcmp(l->name, "stage2.block0.downsample.bn") == 0)
			strcpy(l->output, "stage2.block0.add");
		if (kind == 4 && strcmp(l->name, "bn1") == 0)
			strcpy(l->name, "conv1.weight.folded");
		if (kind == 5 && strcmp(l->name, "bn1") == 0)
			strcpy(l->output, "input");
	}
	for (int i = 0; i < p->n_value; i++) {
		struct quant_value *v = &p->value[i];

		if (kind == 6 && strcmp(v->name, "input") == 0)
			strcpy(v->name, "inputs");
		if (kind == 7 && strcmp(v->name, "conv1.weight.folded") == 0)
			v->channels = 4;
		if (kind == 8 && strcmp(v->name, "stage2.block0.downsample.bn") == 0)
			v->q = qrange_unsigned(8, 5);
		if (kind == 9 && strcmp(v->name, "avgpool") == 0)
			strcpy(v->name, "fc.bias");
		if (kind == 10 && strcmp(v->name, "fc.weight") == 0)
			v->weight = false;
		if (kind == 11 && strcmp(v->name, "input") == 0) /* of a padded convolution */
			v->q = qrange_unsigned(8, 5);
	}
}

/* One more value, like one that is there. */
static void add_value(struct quant_plan *p, const char *like, const char *name)
{
	struct quant_value *v = mem_grow(p->value, (size_t)p->n_value, (size_t)p->n_value + 1, sizeof(*v));

	assert_non_null(v);
	p->value = v;
	v[p->n_value] = *quant_plan_value(p, like);
	v[p->n_value].channels = 1;
	strcpy(v[p->n_value++].name, name);
}

static struct quant_layer *layer_of(struct quant_plan *p, const char *name)
{
	for (int i = 0; i < p->n_layer; i++)
		if (strcmp(p->layer[i].name, name) == 0)
			return &p->layer[i];
	fail_msg("no layer '%s'", name);
	return NULL;
}

static void assert_refused(const struct graph *folded, const struct quant_plan *p, const char *why)
{
	struct graph g;

	graph_init(&g);
	assert_int_equal(pass_lower(folded, p, &g), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), why));
	assert_int_equal(g.n, 0);
}

static void passes__a_plan_that_contradicts_itself_is_refused(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f = make(model_resnet(), &rules, false);

	(void)state;
	/* a weight's range for what the last layer gives */
	add_value(&f.plan, "fc.weight", "fc");
	assert_refused(&f.folded, &f.plan, "'fc': not listed as a quantized activation");
	f.plan.n_value--;
	/* an add of other layers, which nobody else takes */
	strcpy(layer_of(&f.plan, "stage1.block1.bn2")->output, "stage1.block1.bn2");
	strcpy(layer_of(&f.plan, "stage1.block0.bn2")->output, "stage1.block1.add");
	assert_refused(&f.folded, &f.plan, "'stage1.block0.bn2': it is not one operand of its output");
	f.plan.method = QUANT_DYNAMIC;
	assert_refused(&f.folded, &f.plan, "'bn1': dynamic quantization covers linear layers only");
	forms_clear(&f);
	rules = rules_of(QUANT_FP16);
	f = make(model_resnet(), &rules, false);
	strcpy(layer_of(&f.plan, "stage1.block0.bn2")->output, "stage1.block0.add");
	assert_refused(&f.folded, &f.plan, "'stage1.block0.bn2': only integer layers fuse with an add");
	forms_clear(&f);
}

/* A layer that stays real and is called as the step of the one behind it. */
static void passes__a_step_whose_name_is_taken_is_refused(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	char *patterns[] = {"b.step"};
	struct quant_plan p;
	struct graph g, out;
	float s;
	int x, w;

	(void)state;
	graph_init(&g);
	graph_init(&out);
	x = graph_input(&g, "x", DT_F32, shape_of(2, (int64_t[]){1, 4}));
	w = graph_param(&g, "w", DT_F32, shape_of(2, (int64_t[]){4, 4}), NULL);
	x = graph_add(&g, OP_LINEAR, "a", (int[]){x, w}, 2, NULL);
	x = graph_add(&g, OP_LINEAR, "b.step", (int[]){x, w}, 2, NULL);
	x = graph_add(&g, OP_LINEAR, "b", (int[]){x, w}, 2, NULL);
	g.output = graph_add(&g, OP_LINEAR, "c", (int[]){x, w}, 2, NULL);
	rules.exclude = (struct option_strings){patterns, 1};
	assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
	for (int i = 0; i < p.n_value; i++)
		if (!p.value[i].weight)
			assert_int_equal(quant_plan_set_range(&p, p.value[i].name, -1, 1, &s), 0);
	assert_int_equal(pass_lower(&g, &p, &out), ERR_FAIL);
	assert_non_null(strstr(err_message(), "name 'b.step' is taken by a node"));
	quant_plan_clear(&p);
	graph_clear(&g);
}

static void passes__a_plan_of_another_model_is_refused(void **state)
{
	(void)state;
	for (int kind = 0; kind <= 11; kind++) {
		struct quant_rules rules = rules_of(QUANT_STATIC);
		struct forms f = make(model_resnet(), &rules, false);
		struct graph g;
		int rc;

		damage(&f.plan, kind);
		graph_init(&g);
		rc = pass_annotate(&f.folded, &f.plan, false, &g);
		if (rc != ERR_CHECKPOINT)
			fail_msg("annotate, damage %d: %d %s", kind, rc, err_message());
		assert_int_equal(g.n, 0);
		rc = pass_lower(&f.folded, &f.plan, &g);
		if (rc != ERR_CHECKPOINT)
			fail_msg("lower, damage %d: %d %s", kind, rc, err_message());
		forms_clear(&f);
	}
}

static void passes__each_failing_allocation_is_an_error(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f = make(model_resnet(), &rules, false);
	struct graph g;
	uint64_t n;

	(void)state;
	graph_init(&g);
	mem_fail_at(0);
	assert_int_equal(pass_lower(&f.folded, &f.plan, &g), 0);
	n = mem_count();
	graph_clear(&g);
	for (uint64_t i = 1; i <= n; i++) {
		mem_fail_at(i);
		assert_int_equal(pass_lower(&f.folded, &f.plan, &g), ERR_NOMEM);
	}
	mem_fail_at(0);
	forms_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(annotate__mlp_node_by_node),
	    cmocka_unit_test(lower__mlp_node_by_node),
	    cmocka_unit_test(passes__zero_points_are_folded_where_they_are_not_zero),
	    cmocka_unit_test(passes__pooling_runs_on_integers),
	    cmocka_unit_test(passes__go_through_all_pools_and_quantize_tied_weights_once),
	    cmocka_unit_test(passes__residual_block_fuses_the_add),
	    cmocka_unit_test(passes__excluded_layers_see_real_values),
	    cmocka_unit_test(passes__dropout_stays_in_training_only),
	    cmocka_unit_test(passes__per_tensor_weights_have_one_step_and_full_scales),
	    cmocka_unit_test(lower__dynamic_quantizes_linear_layers_per_row),
	    cmocka_unit_test(lower__half_precision_is_stored_as_such),
	    cmocka_unit_test(lower__simulated_plans_are_refused),
	    cmocka_unit_test(annotate__steps_are_frozen_unless_trained),
	    cmocka_unit_test(passes__every_integer_has_its_grid_value),
	    cmocka_unit_test(passes__a_plan_that_contradicts_itself_is_refused),
	    cmocka_unit_test(passes__a_step_whose_name_is_taken_is_refused),
	    cmocka_unit_test(passes__a_plan_of_another_model_is_refused),
	    cmocka_unit_test(passes__each_failing_allocation_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
