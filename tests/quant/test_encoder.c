/* Encoders in the plan and in both graphs: which of their values are integers, and what computes them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"
#include "quant/encoder.h"
#include "quant/plan.h"

#define GELU   "encoder.layer.0.intermediate.activation"
#define FF1    "encoder.layer.0.intermediate.dense"
#define SELF   "encoder.layer.0.attention.self"
#define WORDS  "embeddings.word_embeddings"
#define PLACES "embeddings.position_embeddings"
#define TYPES  "embeddings.token_type_embeddings"
#define FF2    "encoder.layer.0.output.dense"

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
	return (struct quant_rules){
	    .method = method, .weight_bits = 8, .act_bits = 8, .per_channel = true, .affine = true};
}

static void set_ranges(struct quant_plan *p)
{
	for (int i = 0; i < p->n_value; i++) {
		const struct quant_value *v = &p->value[i];
		float step;

		if (!v->weight)
			assert_int_equal(
			    quant_plan_set_range(p, v->name, v->q.is_signed || v->affine ? -1 : 0, 2, &step), 0);
	}
}

static struct forms make(unsigned flags, const struct quant_rules *rules)
{
	struct build_shape shape = encoder_shape(3);
	struct forms f;

	graph_init(&f.annotated);
	graph_init(&f.lowered);
	graph_init(&f.frozen);
	assert_int_equal(encoder_build_shape(&shape, flags, false, &f.folded), 0);
	if (quant_plan_make(&f.plan, &f.folded, rules) < 0)
		fail_msg("%s", err_message());
	set_ranges(&f.plan);
	if (rules->method != QUANT_DYNAMIC)
		assert_int_equal(pass_annotate(&f.folded, &f.plan, true, &f.annotated), 0);
	if (!f.plan.simulated) {
		assert_int_equal(pass_lower(&f.folded, &f.plan, &f.lowered), 0);
		assert_int_equal(pass_freeze(&f.lowered, &f.frozen), 0);
	}
	return f;
}

static const struct node *assert_node(const struct graph *g, const char *name, enum op op, const char *inputs)
{
	int i = graph_find(g, name);
	struct str got = {0};

	if (i < 0)
		fail_msg("no node '%s'", name);
	assert_string_equal(op_info(g->node[i].op)->name, op_info(op)->name);
	for (int k = 0; k < g->node[i].n_in; k++)
		str_addf(&got, "%s%s", k ? " " : "", g->node[i].in[k] < 0 ? "-" : g->node[g->node[i].in[k]].name);
	assert_string_equal(str_text(&got), inputs);
	str_clear(&got);
	return &g->node[i];
}

static const struct quant_layer *layer_of(const struct quant_plan *p, const char *name)
{
	for (int i = 0; i < p->n_layer; i++)
		if (strcmp(p->layer[i].name, name) == 0)
			return &p->layer[i];
	fail_msg("no layer '%s' in the plan", name);
	return NULL;
}

static void gelu__is_a_table_between_two_integer_layers(void **state)
{
	struct quant_rules rules = rules_of(QUANT_QAT);
	struct forms f = make(ENCODER_TANH_GELU, &rules);
	const struct node *n;

	(void)state;
	n = assert_node(&f.annotated, GELU ".q", OP_FAKE_GELU, FF1 ".q " FF1 ".step " GELU ".step");
	assert_true(n->attr.gelu_tanh);
	assert_int_equal(n->attr.q_in.zero, 85);
	assert_int_equal(n->attr.q.zero, 85);
	assert_node(&f.annotated, FF2 ".acc", OP_LINEAR, GELU ".q " FF2 ".weight.q");
	n = assert_node(&f.lowered, GELU ".table", OP_GELU_TABLE, FF1 ".step " GELU ".step");
	assert_int_equal(n->role, ROLE_TABLE);
	n = assert_node(&f.lowered, GELU ".q", OP_QTABLE, FF1 ".q " GELU ".table");
	assert_int_equal(n->dtype, DT_U8);
	assert_true(n->attr.rate == 0.0f);
	assert_node(&f.lowered, FF2, OP_QLINEAR, GELU ".q " FF2 ".weight.q " FF2 ".m " FF2 ".c");
	n = assert_node(&f.frozen, GELU ".table", OP_PARAM, "");
	assert_int_equal(n->dtype, DT_U8);
	forms_clear(&f);
}

static void gelu__is_signed_where_activations_are_symmetric(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f;

	(void)state;
	rules.affine = false;
	f = make(0, &rules);
	assert_int_equal(assert_node(&f.lowered, GELU ".q", OP_QTABLE, FF1 ".q " GELU ".table")->dtype, DT_S8);
	assert_int_equal(f.lowered.node[graph_find(&f.lowered, FF1 ".q")].dtype, DT_S8);
	forms_clear(&f);
}

static void gelu__is_real_beside_a_real_layer(void **state)
{
	static const char *const pattern[] = {FF1, FF2, GELU};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct quant_rules rules = rules_of(QUANT_STATIC);
		char *one[] = {(char *)(uintptr_t)pattern[i]};
		struct forms f;

		rules.exclude = (struct option_strings){one, 1};
		f = make(0, &rules);
		assert_node(&f.lowered, GELU, OP_GELU, FF1);
		assert_false(layer_of(&f.plan, GELU)->quantized);
		assert_string_equal(layer_of(&f.plan, GELU)->why,
		    i < 2 ? "its input or its output is a real value" : "excluded by a pattern");
		assert_true(layer_of(&f.plan, "encoder.layer.1.intermediate.activation")->quantized);
		forms_clear(&f);
	}
}

static void gelu__has_no_form_without_static_steps(void **state)
{
	struct quant_rules rules = rules_of(QUANT_DYNAMIC);
	struct forms f = make(0, &rules);

	(void)state;
	assert_node(&f.lowered, GELU, OP_GELU, FF1);
	assert_string_equal(layer_of(&f.plan, GELU)->why, "has no weights");
	forms_clear(&f);
	rules = rules_of(QUANT_STATIC);
	rules.act_bits = 4;
	f = make(0, &rules);
	assert_true(f.plan.simulated && layer_of(&f.plan, GELU)->simulated);
	assert_int_equal(f.annotated.node[graph_find(&f.annotated, GELU ".q")].attr.q.hi, 15);
	forms_clear(&f);
}

static void attention__is_of_integers_between_integer_layers(void **state)
{
	struct quant_rules rules = rules_of(QUANT_QAT);
	struct forms f = make(0, &rules);
	const struct node *n;

	(void)state;
	n = assert_node(&f.annotated, SELF ".q", OP_FAKE_ATTENTION,
	    SELF ".query.q " SELF ".key.q " SELF ".value.q starts " SELF ".query.step " SELF ".key.step " SELF
		 ".value.step " SELF ".step");
	assert_true(n->attr.heads == 3 && n->attr.prob_bits == 16 && n->attr.q.zero == 85);
	assert_true(n->attr.rate == 0.2f);
	assert_int_equal(
	    assert_node(&f.lowered, SELF ".m", OP_SCORE_SCALE, SELF ".query.step " SELF ".key.step")->attr.count, 8);
	assert_node(&f.lowered, SELF ".k", OP_RQ_RESIDUAL, SELF ".value.step " SELF ".step");
	n = assert_node(&f.lowered, SELF ".q", OP_QATTENTION,
	    SELF ".query.q " SELF ".key.q " SELF ".value.q starts " SELF ".m " SELF ".k");
	assert_int_equal(n->dtype, DT_U8);
	assert_int_equal(f.lowered.node[n->in[QATTENTION_V]].dtype, DT_S8);
	assert_int_equal(graph_find(&f.lowered, SELF), NODE_NONE);
	forms_clear(&f);
	rules.prob_bits = 8;
	f = make(0, &rules);
	assert_int_equal(f.lowered.node[graph_find(&f.lowered, SELF ".q")].attr.prob_bits, 8);
	forms_clear(&f);
}

static void attention__is_real_beside_a_real_layer(void **state)
{
	static const char *const pattern[] = {SELF ".value", SELF ".query", "encoder.layer.0.attention.output.dense"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct quant_rules rules = rules_of(QUANT_STATIC);
		char *one[] = {(char *)(uintptr_t)pattern[i]};
		struct forms f;

		rules.exclude = (struct option_strings){one, 1};
		f = make(0, &rules);
		assert_node(&f.lowered, SELF, OP_ATTENTION, SELF ".query " SELF ".key " SELF ".value starts");
		assert_string_equal(layer_of(&f.plan, SELF)->why, "its input or its output is a real value");
		assert_int_equal(layer_of(&f.plan, SELF)->prob_bits, 0);
		forms_clear(&f);
	}
}

/* The bits of probabilities are part of the plan, and of no layer without any. */
static void attention__bits_are_saved_and_checked(void **state)
{
	static const struct {
		const char *layer;
		int bits;
		const char *message;
	} wrong[] = {{SELF, 0, "have no bits"}, {SELF, 12, "must be 8 or 16"}, {FF1, 8, "no probabilities"},
	    {SELF, 17, "whole number"}};
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan read;
	struct graph g;
	struct forms f;
	cJSON *json;

	(void)state;
	rules.prob_bits = 8;
	f = make(0, &rules);
	json = quant_plan_to_json(&f.plan);
	assert_int_equal(quant_plan_from_json(&read, json), 0);
	assert_int_equal(layer_of(&read, SELF)->prob_bits, 8);
	assert_int_equal(layer_of(&read, FF1)->prob_bits, 0);
	quant_plan_clear(&read);
	cJSON_Delete(json);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct quant_layer *l = (struct quant_layer *)(uintptr_t)layer_of(&f.plan, wrong[i].layer);
		int before = l->prob_bits, rc;

		l->prob_bits = wrong[i].bits;
		json = quant_plan_to_json(&f.plan);
		graph_init(&g);
		rc = quant_plan_from_json(&read, json);
		if (!rc)
			rc = pass_lower(&f.folded, &read, &g);
		assert_int_equal(rc, ERR_CHECKPOINT);
		assert_non_null(strstr(err_message(), wrong[i].message));
		quant_plan_clear(&read);
		graph_clear(&g);
		cJSON_Delete(json);
		l->prob_bits = before;
	}
	forms_clear(&f);
}

/* What is never negative would be unsigned anywhere else. */
static void attention__reads_signed_integers_even_behind_a_relu(void **state)
{
	const struct attr relu = {.relu = true}, heads = {.heads = 2};
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	struct graph g, out;
	int x, w, in[4];

	(void)state;
	graph_init(&g);
	graph_init(&out);
	x = graph_input(&g, "x", DT_F32, shape_of(2, (int64_t[]){6, 4}));
	in[3] = graph_input(&g, "starts", DT_S32, shape_of(1, (int64_t[]){3}));
	w = graph_param(&g, "w", DT_F32, shape_of(2, (int64_t[]){4, 4}), NULL);
	in[0] = in[1] = in[2] = graph_add(&g, OP_LINEAR, "a", (int[]){x, w}, 2, &relu);
	x = graph_add(&g, OP_ATTENTION, "self", in, 4, &heads);
	g.output = graph_add(&g, OP_LINEAR, "b", (int[]){x, w}, 2, NULL);
	assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
	assert_true(quant_plan_value(&p, "a")->q.is_signed);
	set_ranges(&p);
	assert_int_equal(pass_lower(&g, &p, &out), 0);
	graph_clear(&out);
	for (int i = 0; i < p.n_value; i++)
		if (strcmp(p.value[i].name, "a") == 0)
			p.value[i].q = qrange_unsigned(8, 0);
	assert_int_equal(pass_lower(&g, &p, &out), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "'a': attention reads signed integers"));
	quant_plan_clear(&p);
	graph_clear(&g);
}

/* Functions of integers that lack the range of what they give. */
static void plans__without_the_range_of_an_output_are_refused(void **state)
{
	static const char *const value[] = {GELU, SELF};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct quant_rules rules = rules_of(QUANT_STATIC);
		struct forms f = make(0, &rules);
		struct graph g;
		int kept = 0;

		for (int k = 0; k < f.plan.n_value; k++)
			if (strcmp(f.plan.value[k].name, value[i]) != 0)
				f.plan.value[kept++] = f.plan.value[k];
		assert_int_equal(kept, f.plan.n_value - 1);
		f.plan.n_value = kept;
		graph_init(&g);
		assert_int_equal(pass_lower(&f.folded, &f.plan, &g), ERR_CHECKPOINT);
		assert_non_null(strstr(err_message(), "without a quantized output"));
		forms_clear(&f);
	}
}

static void tables__have_a_step_per_row_in_every_method(void **state)
{
	static const enum quant_method methods[] = {QUANT_STATIC, QUANT_QAT, QUANT_DYNAMIC};
	const char *const in =
	    WORDS " " PLACES ".weight.q " PLACES ".weight.step starts " TYPES ".weight.q " TYPES ".weight.step";

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct quant_rules rules = rules_of(methods[i]);
		struct forms f = make(0, &rules);

		assert_int_equal(quant_plan_value(&f.plan, PLACES ".weight")->channels, 40);
		assert_int_equal(quant_plan_value(&f.plan, TYPES ".weight")->channels, 2);
		assert_node(&f.lowered, PLACES, OP_QPOSITION, in);
		assert_int_equal(f.frozen.node[graph_find(&f.frozen, PLACES ".weight.q")].dtype, DT_S8);
		assert_int_equal(graph_find(&f.frozen, PLACES ".weight"), NODE_NONE);
		assert_int_equal(graph_find(&f.frozen, TYPES ".weight"), NODE_NONE);
		if (methods[i] != QUANT_DYNAMIC)
			assert_node(&f.annotated, PLACES, OP_POSITION,
			    WORDS " " PLACES ".weight.f32 starts " TYPES ".weight.f32");
		forms_clear(&f);
	}
}

static void tables__of_pairs_know_where_second_texts_begin(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f = make(ENCODER_PAIRS, &rules);

	(void)state;
	assert_node(
	    &f.annotated, PLACES, OP_POSITION, WORDS " " PLACES ".weight.f32 starts " TYPES ".weight.f32 second");
	assert_node(&f.frozen, PLACES, OP_QPOSITION,
	    WORDS " " PLACES ".weight.q " PLACES ".weight.step starts " TYPES ".weight.q " TYPES ".weight.step second");
	forms_clear(&f);
}

static void tables__are_halves_where_weights_are(void **state)
{
	struct quant_rules rules = rules_of(QUANT_FP16);
	struct forms f = make(0, &rules);

	(void)state;
	assert_node(&f.frozen, PLACES, OP_POSITION, WORDS " " PLACES ".weight.f32 starts " TYPES ".weight.f32");
	assert_node(&f.frozen, TYPES ".weight.f32", OP_CAST, TYPES ".weight.half");
	forms_clear(&f);
}

/* A plan that was saved before GELU was a group lists none: it gives the graph that it gave then. */
static void plans__without_a_gelu_keep_it_real(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct forms f = make(0, &rules);
	struct quant_plan old;
	struct graph g;
	int kept = 0;

	(void)state;
	assert_int_equal(quant_plan_copy(&old, &f.plan), 0);
	for (int i = 0; i < old.n_layer; i++)
		if (!strstr(old.layer[i].name, "activation"))
			old.layer[kept++] = old.layer[i];
	assert_int_equal(kept, f.plan.n_layer - 2);
	old.n_layer = kept;
	kept = 0;
	for (int i = 0; i < old.n_value; i++) /* nor were sums quantized for it */
		if (!strstr(old.value[i].name, "intermediate.dense") || old.value[i].weight)
			old.value[kept++] = old.value[i];
	old.n_value = kept;
	graph_init(&g);
	assert_int_equal(pass_lower(&f.folded, &old, &g), 0);
	assert_node(&g, GELU, OP_GELU, FF1);
	assert_node(&g, GELU ".q", OP_QUANTIZE, GELU " " GELU ".step");
	graph_clear(&g);
	quant_plan_clear(&old);
	forms_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gelu__is_a_table_between_two_integer_layers),
	    cmocka_unit_test(gelu__is_signed_where_activations_are_symmetric),
	    cmocka_unit_test(gelu__is_real_beside_a_real_layer),
	    cmocka_unit_test(gelu__has_no_form_without_static_steps),
	    cmocka_unit_test(attention__is_of_integers_between_integer_layers),
	    cmocka_unit_test(attention__is_real_beside_a_real_layer),
	    cmocka_unit_test(attention__bits_are_saved_and_checked),
	    cmocka_unit_test(attention__reads_signed_integers_even_behind_a_relu),
	    cmocka_unit_test(plans__without_the_range_of_an_output_are_refused),
	    cmocka_unit_test(tables__have_a_step_per_row_in_every_method),
	    cmocka_unit_test(tables__of_pairs_know_where_second_texts_begin),
	    cmocka_unit_test(tables__are_halves_where_weights_are),
	    cmocka_unit_test(plans__without_a_gelu_keep_it_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
