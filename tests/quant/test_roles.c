/* Roles: what every pass says of the nodes that it makes, and that later passes keep it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "quant/models.h"
#include "quant/plan.h"

static void assert_role(const struct graph *g, const char *name, enum node_role role, const char *root)
{
	int i = graph_find(g, name);

	if (i < 0)
		fail_msg("no node '%s'", name);
	assert_int_equal(g->node[i].role, role);
	assert_string_equal(node_root(&g->node[i]), root);
	assert_int_equal(graph_find_role(g, role, root), i);
}

/* Whoever has a role was made from a root whose name it carries on; what was not made from anything is its own root. */
static void assert_consistent(const struct graph *g)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];
		const char *root = node_root(n);

		if (n->role == ROLE_VALUE)
			assert_ptr_equal(root, n->name);
		else if (strncmp(n->name, root, strlen(root)) != 0 || n->name[strlen(root)] != '.')
			fail_msg("'%s' says that it was made from '%s'", n->name, root);
	}
}

struct forms {
	struct graph folded, annotated, half, lowered, frozen;
};

static struct forms forms_of(struct model_spec s, enum quant_method method)
{
	struct quant_rules rules = {.method = method, .weight_bits = 8, .act_bits = 8, .per_channel = true};
	struct quant_plan p;
	struct forms f;

	graph_init(&f.annotated);
	graph_init(&f.half);
	graph_init(&f.lowered);
	graph_init(&f.frozen);
	assert_int_equal(model_folded(&s, 2, false, &f.folded), 0);
	assert_int_equal(quant_plan_make(&p, &f.folded, &rules), 0);
	if (method != QUANT_DYNAMIC) {
		assert_int_equal(pass_annotate(&f.folded, &p, true, &f.annotated), 0);
		assert_int_equal(pass_autocast(&f.annotated, DT_BF16, &f.half), 0);
	}
	assert_int_equal(pass_lower(&f.folded, &p, &f.lowered), 0);
	assert_int_equal(pass_freeze(&f.lowered, &f.frozen), 0);
	assert_consistent(&f.folded);
	assert_consistent(&f.annotated);
	assert_consistent(&f.half);
	assert_consistent(&f.lowered);
	assert_consistent(&f.frozen);
	quant_plan_clear(&p);
	return f;
}

static void forms_clear(struct forms *f)
{
	graph_clear(&f->folded);
	graph_clear(&f->annotated);
	graph_clear(&f->half);
	graph_clear(&f->lowered);
	graph_clear(&f->frozen);
}

static void roles__folding_keeps_the_layers_own_name(void **state)
{
	struct forms f = forms_of(model_cnn(0), QUANT_STATIC);
	const struct node *layer = &f.folded.node[graph_find(&f.folded, "bn1")];

	(void)state;
	assert_role(&f.folded, "conv1.weight.folded", ROLE_FOLDED_WEIGHT, "conv1.weight");
	assert_role(&f.folded, "conv1.weight.folded_bias", ROLE_FOLDED_BIAS, "conv1.weight");
	assert_role(&f.folded, "conv1.weight", ROLE_VALUE, "conv1.weight");
	assert_role(&f.folded, "bn1", ROLE_VALUE, "bn1");
	assert_string_equal(layer->origin, "conv1");
	forms_clear(&f);
}

static void roles__both_quantized_graphs_say_what_they_made(void **state)
{
	struct forms f = forms_of(model_resnet(), QUANT_STATIC);

	(void)state;
	assert_role(&f.annotated, "input.q", ROLE_QUANTIZED, "input");
	assert_role(&f.annotated, "input.step", ROLE_STEP, "input");
	assert_role(&f.annotated, "conv1.weight.folded.q", ROLE_QUANTIZED, "conv1.weight");
	assert_role(&f.annotated, "conv1.weight.folded.step", ROLE_WEIGHT_STEP, "conv1.weight");
	assert_role(&f.annotated, "bn1.acc", ROLE_ACCUMULATOR, "bn1");
	assert_role(&f.annotated, "bn1.q", ROLE_QUANTIZED, "bn1");
	assert_role(&f.lowered, "stage2.block0.add.q", ROLE_QUANTIZED, "stage2.block0.add");
	assert_role(&f.lowered, "stage2.block0.bn2.m", ROLE_SCALE, "stage2.block0.bn2");
	assert_role(&f.lowered, "stage2.block0.bn2.c", ROLE_SHIFT, "stage2.block0.bn2");
	assert_role(&f.lowered, "stage2.block0.bn2.k", ROLE_RESIDUAL, "stage2.block0.bn2");
	assert_role(&f.lowered, "fc", ROLE_VALUE, "fc");
	forms_clear(&f);
	f = forms_of(model_cnn(0), QUANT_STATIC);
	assert_role(&f.lowered, "pool1.q", ROLE_QUANTIZED, "pool1");
	forms_clear(&f);
}

static void roles__later_passes_keep_them(void **state)
{
	struct forms f = forms_of(model_cnn(0), QUANT_STATIC);
	const struct node *n;

	(void)state;
	assert_role(&f.half, "fc1.acc", ROLE_ACCUMULATOR, "fc1");
	assert_role(&f.half, "conv1.weight.folded.q.bf16", ROLE_CAST, "conv1.weight");
	assert_role(&f.half, "bn3.q.bf16", ROLE_CAST, "bn3");
	assert_role(&f.frozen, "bn1.m", ROLE_SCALE, "bn1");
	assert_role(&f.frozen, "bn1.step", ROLE_STEP, "bn1");
	assert_role(&f.frozen, "fc1.weight.q", ROLE_QUANTIZED, "fc1.weight");
	n = &f.frozen.node[graph_find(&f.frozen, "fc1.weight.q")];
	assert_true(n->op == OP_PARAM && n->attr.q.lo == -127 && n->attr.q.hi == 127);
	forms_clear(&f);
	f = forms_of(model_cnn(0), QUANT_FP16);
	assert_role(&f.frozen, "conv1.weight.folded.half", ROLE_HALF, "conv1.weight");
	assert_role(&f.frozen, "conv1.weight.folded.f32", ROLE_REAL, "conv1.weight");
	forms_clear(&f);
	f = forms_of(model_cnn(0), QUANT_DYNAMIC);
	assert_role(&f.frozen, "fc1.weight.step", ROLE_WEIGHT_STEP, "fc1.weight");
	assert_role(&f.frozen, "conv1.weight.folded", ROLE_FOLDED_WEIGHT, "conv1.weight");
	forms_clear(&f);
}

/* Steps that no op reads stay in a frozen graph, and only those go without them. */
static void roles__freezing_keeps_steps_on_demand(void **state)
{
	struct forms f = forms_of(model_cnn(0), QUANT_STATIC);
	struct graph lean;
	int unread = 0;

	(void)state;
	graph_init(&lean);
	assert_int_equal(pass_freeze_without_steps(&f.lowered, &lean), 0);
	for (int i = 0; i < f.frozen.n; i++) {
		const struct node *n = &f.frozen.node[i];
		bool step = n->role == ROLE_STEP || n->role == ROLE_WEIGHT_STEP;

		if (graph_find(&lean, n->name) != NODE_NONE)
			continue;
		assert_true(step);
		unread++;
	}
	assert_int_equal(unread, 5 + 6); /* hidden values, weights */
	assert_true(graph_find(&lean, "input.step") >= 0);
	graph_clear(&lean);
	forms_clear(&f);
}

static void roles__names_that_grow_too_long_are_refused(void **state)
{
	char base[NODE_NAME] = {0}, name[NODE_NAME];

	(void)state;
	memset(base, 'x', NODE_NAME - 1 - 2);
	assert_int_equal(role_name(name, ROLE_QUANTIZED, base), 0);
	assert_int_equal(strlen(name), NODE_NAME - 1);
	assert_int_equal(role_name(name, ROLE_STEP, base), ERR_FAIL);
	assert_int_equal(quant_step_name(name, base), ERR_FAIL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(roles__folding_keeps_the_layers_own_name),
	    cmocka_unit_test(roles__both_quantized_graphs_say_what_they_made),
	    cmocka_unit_test(roles__later_passes_keep_them),
	    cmocka_unit_test(roles__freezing_keeps_steps_on_demand),
	    cmocka_unit_test(roles__names_that_grow_too_long_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
