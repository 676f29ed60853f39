/* Embeddings in the plan and in both graphs: a step per row of the table, real rows, signed means. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"
#include "graph/families.h"
#include "graph/pass.h"
#include "quant/bag.h"
#include "quant/plan.h"

static struct quant_rules rules_of(enum quant_method method)
{
	return (struct quant_rules){.method = method, .weight_bits = 8, .act_bits = 8, .per_channel = true};
}

static struct quant_plan plan_of(const struct graph *g, const struct quant_rules *rules)
{
	struct quant_plan p;

	if (quant_plan_make(&p, g, rules) != 0)
		fail_msg("%s", err_message());
	return p;
}

static const struct quant_value *value_of(const struct quant_plan *p, const char *name)
{
	const struct quant_value *v = quant_plan_value(p, name);

	if (!v)
		fail_msg("'%s' is not quantized", name);
	return v;
}

static const struct node *assert_node(const struct graph *g, const char *name, enum op op, const char *inputs)
{
	int i = graph_find(g, name);
	struct str got = {0};

	if (i < 0)
		fail_msg("no node '%s'", name);
	assert_string_equal(op_info(g->node[i].op)->name, op_info(op)->name);
	for (int k = 0; k < g->node[i].n_in; k++)
		str_addf(&got, "%s%s", k ? " " : "", g->node[g->node[i].in[k]].name);
	assert_string_equal(str_text(&got), inputs);
	str_clear(&got);
	return &g->node[i];
}

static void embedding__table_has_a_step_per_row_and_the_means_are_signed(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	struct graph g;

	(void)state;
	assert_int_equal(bag_build(4, &g), 0);
	p = plan_of(&g, &rules);
	assert_int_equal(p.n_layer, 3);
	assert_string_equal(p.layer[0].name, "embedding");
	assert_true(p.layer[0].quantized && !p.layer[0].why);
	assert_int_equal(value_of(&p, "embedding.weight")->channels, BAG_WORDS);
	assert_true(value_of(&p, "embedding.weight")->weight);
	assert_true(value_of(&p, "mean")->q.is_signed);
	assert_false(value_of(&p, "fc1")->q.is_signed);
	assert_null(quant_plan_value(&p, "ids"));
	assert_null(quant_plan_value(&p, "embedding"));
	assert_int_equal(p.n_value, 3 + 2);
	quant_plan_clear(&p);
	rules.affine = true;
	rules.per_channel = false;
	p = plan_of(&g, &rules);
	assert_true(value_of(&p, "mean")->affine);
	assert_false(value_of(&p, "embedding.weight")->per_channel); /* then the steps of all rows are equal */
	assert_int_equal(value_of(&p, "embedding.weight")->channels, BAG_WORDS);
	quant_plan_clear(&p);
	graph_clear(&g);
}

/* The first layer whose input is quantized is the first linear one. */
static void embedding__has_weight_bits_and_not_those_of_the_edges(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	struct graph g;

	(void)state;
	rules.weight_bits = 4;
	rules.edge_bits = 8;
	assert_int_equal(bag_build(4, &g), 0);
	p = plan_of(&g, &rules);
	assert_int_equal(value_of(&p, "embedding.weight")->q.bits, 4);
	assert_int_equal(value_of(&p, "fc1.weight")->q.bits, 8);
	assert_int_equal(value_of(&p, "fc2.weight")->q.bits, 8);
	quant_plan_clear(&p);
	graph_clear(&g);
}

static void embedding__simulated_by_real_rows_of_grid_values(void **state)
{
	struct quant_rules rules = rules_of(QUANT_QAT);
	struct graph g, a, low, frozen;
	const struct node *n;
	struct quant_plan p;

	(void)state;
	assert_int_equal(bag_build(4, &g), 0);
	p = plan_of(&g, &rules);
	graph_init(&a);
	graph_init(&low);
	graph_init(&frozen);
	assert_int_equal(pass_annotate(&g, &p, true, &a), 0);
	assert_node(&a, "embedding.weight.q", OP_FAKE_QUANT, "embedding.weight embedding.weight.step");
	n = assert_node(&a, "embedding.weight.f32", OP_DEQUANT, "embedding.weight.q embedding.weight.step");
	assert_int_equal(n->role, ROLE_REAL);
	assert_string_equal(n->origin, "embedding.weight");
	assert_node(&a, "embedding", OP_EMBEDDING, "ids embedding.weight.f32");
	assert_node(&a, "mean", OP_SEGMENT_MEAN, "embedding starts");
	assert_node(&a, "mean.q", OP_FAKE_QUANT, "mean mean.step");
	n = &a.node[graph_find(&a, "embedding.weight.step")];
	assert_int_equal(n->role, ROLE_WEIGHT_STEP);
	assert_int_equal(n->param.kind, PARAM_TRAINED);
	assert_int_equal(n->shape.dim[0], BAG_WORDS);
	assert_int_equal(pass_lower(&g, &p, &low), 0);
	assert_node(&low, "embedding", OP_QEMBEDDING, "ids embedding.weight.q embedding.weight.step");
	assert_node(&low, "mean.q", OP_QUANTIZE, "mean mean.step");
	assert_int_equal(pass_freeze(&low, &frozen), 0);
	n = &frozen.node[graph_find_role(&frozen, ROLE_QUANTIZED, "embedding.weight")];
	assert_true(n->op == OP_PARAM && n->dtype == DT_S8 && n->attr.q.lo == -127);
	graph_clear(&g);
	graph_clear(&a);
	graph_clear(&low);
	graph_clear(&frozen);
	quant_plan_clear(&p);
}

static void embedding__an_excluded_one_keeps_its_float_table(void **state)
{
	struct quant_rules rules = rules_of(QUANT_DYNAMIC);
	char *patterns[] = {"embed*"};
	struct quant_plan p;
	struct graph g, low;

	(void)state;
	assert_int_equal(bag_build(4, &g), 0);
	p = plan_of(&g, &rules);
	assert_true(p.layer[0].quantized);
	quant_plan_clear(&p);
	rules.exclude = (struct option_strings){patterns, 1};
	p = plan_of(&g, &rules);
	assert_false(p.layer[0].quantized);
	graph_init(&low);
	assert_int_equal(pass_lower(&g, &p, &low), 0);
	assert_node(&low, "embedding", OP_EMBEDDING, "ids embedding.weight");
	assert_int_equal(low.node[graph_find(&low, "fc1")].op, OP_QLINEAR_DYN);
	graph_clear(&low);
	graph_clear(&g);
	quant_plan_clear(&p);
}

/* Token by token into a linear layer: the real rows are quantized there, by a step of their own. */
static void embedding__rows_are_quantized_where_a_layer_reads_them(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	struct graph g, low;
	int64_t tokens = 6;
	int ids, x, drop;

	(void)state;
	graph_init(&g);
	ids = graph_input(&g, "ids", DT_S32, shape_of(1, &tokens));
	x = bag_param(&g, "embedding.weight", 2, BAG_WORDS, BAG_CHANNELS);
	x = graph_add(&g, OP_EMBEDDING, "embedding", (int[]){ids, x}, 2, NULL);
	drop = graph_add(&g, OP_DROPOUT, "drop", &x, 1, &(struct attr){.rate = 0.5f});
	x = bag_linear(&g, "a", x, BAG_CHANNELS, BAG_CHANNELS, false);
	drop = bag_linear(&g, "b", drop, BAG_CHANNELS, BAG_CHANNELS, false);
	g.output = graph_add(&g, OP_ADD, "sum", (int[]){x, drop}, 2, NULL);
	p = plan_of(&g, &rules);
	assert_true(value_of(&p, "embedding")->q.is_signed);
	value_of(&p, "drop");
	graph_init(&low);
	if (pass_lower(&g, &p, &low) != 0)
		fail_msg("%s", err_message());
	assert_node(&low, "embedding", OP_QEMBEDDING, "ids embedding.weight.q embedding.weight.step");
	assert_node(&low, "embedding.q", OP_QUANTIZE, "embedding embedding.step");
	assert_node(&low, "drop.q", OP_QUANTIZE, "embedding drop.step"); /* the identity at inference */
	graph_clear(&low);
	graph_clear(&g);
	quant_plan_clear(&p);
}

/* In training graphs dropout by sequence keeps its starts among integers. */
static void dropout__of_sequences_stays_one_among_integers(void **state)
{
	struct quant_rules rules = rules_of(QUANT_QAT);
	struct quant_plan p;
	struct graph g, a;
	int64_t tokens = 6, sequences = 3;
	int ids, x, starts;

	(void)state;
	graph_init(&g);
	graph_init(&a);
	ids = graph_input(&g, "ids", DT_S32, shape_of(1, &tokens));
	starts = graph_input(&g, "starts", DT_S32, shape_of(1, &sequences));
	x = bag_param(&g, "embedding.weight", 2, BAG_WORDS, BAG_CHANNELS);
	x = graph_add(&g, OP_EMBEDDING, "embedding", (int[]){ids, x}, 2, NULL);
	x = bag_linear(&g, "a", x, BAG_CHANNELS, BAG_CHANNELS, true);
	x = graph_add(&g, OP_DROPOUT, "drop", (int[]){x, starts}, 2, &(struct attr){.rate = 0.5f});
	g.output = bag_linear(&g, "b", x, BAG_CHANNELS, BAG_CHANNELS, false);
	p = plan_of(&g, &rules);
	if (pass_annotate(&g, &p, true, &a) != 0)
		fail_msg("%s", err_message());
	assert_node(&a, "drop.q", OP_DROPOUT, "a.q starts");
	graph_clear(&a);
	graph_clear(&g);
	quant_plan_clear(&p);
}

static void embedding__family_bag_is_quantized_whole(void **state)
{
	const struct model_spec spec = {.family = &family_bag,
	    .input = {.kind = INPUT_TEXT, .vocabulary = 50, .longest = 8},
	    .classes = 3,
	    .n_width = 2,
	    .width = (int[]){12, 5},
	    .own = &(struct bag_spec){0}};
	const struct build_shape shape = {.sequences = 4, .tokens = 20, .longest = 8};
	struct quant_rules rules = rules_of(QUANT_QAT);
	struct graph g, a, low;
	struct quant_plan p;

	(void)state;
	graph_init(&a);
	graph_init(&low);
	assert_int_equal(spec_build(&g, &spec, &shape), 0);
	p = plan_of(&g, &rules);
	for (int i = 0; i < p.n_layer; i++)
		assert_true(p.layer[i].quantized && !p.simulated);
	assert_int_equal(p.n_layer, 3);
	assert_int_equal(value_of(&p, "embedding.weight")->channels, 50);
	assert_int_equal(pass_annotate(&g, &p, true, &a), 0);
	assert_int_equal(pass_lower(&g, &p, &low), 0);
	assert_int_equal(low.node[graph_find(&low, "embedding")].op, OP_QEMBEDDING);
	graph_clear(&g);
	graph_clear(&a);
	graph_clear(&low);
	quant_plan_clear(&p);
}

static void embedding__a_plan_without_a_step_per_row_is_refused(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	struct graph g, out;

	(void)state;
	assert_int_equal(bag_build(4, &g), 0);
	p = plan_of(&g, &rules);
	for (int i = 0; i < p.n_value; i++)
		if (strcmp(p.value[i].name, "embedding.weight") == 0)
			p.value[i].channels = 1;
	graph_init(&out);
	assert_int_equal(pass_lower(&g, &p, &out), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "'embedding.weight'"));
	assert_int_equal(pass_annotate(&g, &p, false, &out), ERR_CHECKPOINT);
	assert_int_equal(out.n, 0);
	graph_clear(&g);
	quant_plan_clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(embedding__table_has_a_step_per_row_and_the_means_are_signed),
	    cmocka_unit_test(embedding__has_weight_bits_and_not_those_of_the_edges),
	    cmocka_unit_test(embedding__simulated_by_real_rows_of_grid_values),
	    cmocka_unit_test(embedding__an_excluded_one_keeps_its_float_table),
	    cmocka_unit_test(embedding__rows_are_quantized_where_a_layer_reads_them),
	    cmocka_unit_test(dropout__of_sequences_stays_one_among_integers),
	    cmocka_unit_test(embedding__family_bag_is_quantized_whole),
	    cmocka_unit_test(embedding__a_plan_without_a_step_per_row_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
