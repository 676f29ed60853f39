/* Family encoder: the graph, the options and the JSON form. */
#include "graph/spec_text.h"

#define SMALL "family: encoder, layers: 2, hidden: 8, heads: [2, 3], head_size: 4, ffn: 10, positions: 32"

static void expect_shape(const struct graph *g, const char *name, const char *want)
{
	char text[64];
	assert_string_equal(shape_text(named(g, name)->shape, text), want);
}

static void encoder__params_have_berts_names_and_shapes(void **state)
{
	(void)state;
	struct model_spec s;
	struct graph g;
	assert_int_equal(spec_of(&s, "{" SMALL ", token_types: 2}", &texts), 0);
	assert_int_equal(spec_build(&g, &s, &shape), 0);
	expect_shape(&g, "embeddings.word_embeddings.weight", "(50, 8)");
	expect_shape(&g, "embeddings.position_embeddings.weight", "(32, 8)");
	expect_shape(&g, "embeddings.token_type_embeddings.weight", "(2, 8)");
	expect_shape(&g, "embeddings.LayerNorm.weight", "(8)");
	expect_shape(&g, "encoder.layer.0.attention.self.query.weight", "(8, 8)");
	expect_shape(&g, "encoder.layer.1.attention.self.value.weight", "(12, 8)");
	expect_shape(&g, "encoder.layer.1.attention.self.key.bias", "(12)");
	expect_shape(&g, "encoder.layer.1.attention.self", "(20, 12)");
	expect_shape(&g, "encoder.layer.1.attention.output.dense.weight", "(8, 12)");
	expect_shape(&g, "encoder.layer.0.intermediate.dense.weight", "(10, 8)");
	expect_shape(&g, "encoder.layer.0.output.dense.weight", "(8, 10)");
	expect_shape(&g, "encoder.layer.0.output.LayerNorm", "(20, 8)");
	expect_shape(&g, "pooling", "(3, 8)");
	expect_shape(&g, "pooler.dense.weight", "(8, 8)");
	expect_shape(&g, "classifier", "(3, 4)");
	assert_int_equal(g.output, graph_find(&g, "classifier"));
	assert_int_equal(named(&g, "encoder.layer.1.attention.self")->attr.heads, 3);
	assert_true(named(&g, "encoder.layer.1.attention.self")->attr.rate == 0.0f); /* unless it is given */
	/* The residual of a norm is what came into its branch. */
	const struct node *norm = named(&g, "encoder.layer.0.output.LayerNorm");
	assert_string_equal(g.node[norm->in[LAYERNORM_R]].name, "encoder.layer.0.attention.output.LayerNorm");
	assert_int_equal(named(&g, "pooling")->op, OP_SEGMENT_FIRST);
	assert_true(named(&g, "embeddings.position_embeddings.weight")->param.decay);
	graph_clear(&g);
	spec_clear(&s);
}

static void encoder__options_change_the_graph(void **state)
{
	(void)state;
	struct model_spec s;
	struct graph g;
	assert_int_equal(spec_of(&s,
			     "{" SMALL ", norm: pre, pooling: mean, pooler: none, activation: relu, dropout: 0, "
			     "attention_dropout: 0.25, eps: 1e-3}",
			     &texts),
	    0);
	assert_int_equal(spec_build(&g, &s, &shape), 0);
	assert_int_equal(graph_find(&g, "pooler.dense"), NODE_NONE);
	assert_int_equal(graph_find(&g, "embeddings.token_type_embeddings.weight"), NODE_NONE);
	assert_int_equal(graph_find(&g, "embeddings.dropout"), NODE_NONE);
	assert_true(named(&g, "encoder.layer.1.attention.self")->attr.rate == 0.25f);
	assert_int_equal(named(&g, "pooling")->op, OP_SEGMENT_MEAN);
	assert_true(named(&g, "encoder.layer.0.intermediate.dense")->attr.relu);
	assert_int_equal(named(&g, "encoder.layer.1.output.add")->op, OP_ADD);
	assert_int_equal(named(&g, "encoder.LayerNorm")->op, OP_LAYERNORM);
	assert_int_equal(named(&g, "encoder.layer.0.output.LayerNorm")->n_in, LAYERNORM_R); /* no residual */
	assert_true(named(&g, "encoder.LayerNorm")->attr.eps == 0.001f);
	graph_clear(&g);
	s.classes = 0;
	assert_int_equal(spec_build(&g, &s, &shape), 0);
	assert_int_equal(g.output, graph_find(&g, "pooling"));
	graph_clear(&g);
	spec_clear(&s);
}

static void encoder__gelu_is_the_one_that_was_chosen(void **state)
{
	static const char *const names[] = {"gelu", "gelu_tanh"};
	struct model_spec s;
	struct graph g;
	char text[256];
	(void)state;
	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "{" SMALL ", activation: %s}", names[i]);
		assert_int_equal(spec_of(&s, text, &texts), 0);
		assert_int_equal(spec_build(&g, &s, &shape), 0);
		assert_int_equal(named(&g, "encoder.layer.1.intermediate.activation")->attr.gelu_tanh, i);
		graph_clear(&g);
		spec_clear(&s);
	}
}

/* How often a unit of width w occurs along an axis: heads are head_size rows wide. */
static void encoder__labels_tell_which_axes_a_width_moves(void **state)
{
	(void)state;
	struct model_spec s, more;
	struct graph a, b;
	assert_int_equal(spec_of(&s, "{" SMALL "}", &texts), 0);
	assert_int_equal(s.n_width, 4);
	for (int w = 0; w < s.n_width; w++) {
		const int64_t unit = w % 2 == 0 ? 4 : 1;
		int makes = 0, reads = 0;
		assert_int_equal(spec_copy(&more, &s), 0);
		more.width[w]++;
		assert_int_equal(spec_build(&a, &s, &shape), 0);
		assert_int_equal(spec_build(&b, &more, &shape), 0);
		for (int i = 0; i < a.n; i++) {
			const struct node *p = &a.node[i];
			for (int d = 0; p->op == OP_PARAM && d < p->shape.ndim; d++) {
				const struct param_axis *x = &p->param.axis[d];
				bool labelled = x->width == w;
				assert_int_equal(b.node[i].shape.dim[d] - p->shape.dim[d], labelled ? unit : 0);
				assert_true(!labelled || x->inner == unit);
				makes += labelled && x->makes;
				reads += labelled && !x->makes && p->shape.ndim == 2;
			}
		}
		assert_int_equal(makes, w % 2 == 0 ? 3 : 1); /* query, key and value; or the intermediate layer */
		assert_int_equal(reads, 1);
		graph_clear(&a);
		graph_clear(&b);
		spec_clear(&more);
	}
	char name[64];
	assert_string_equal(spec_width_name(&s, 2, name), "layer1.heads");
	assert_string_equal(spec_width_name(&s, 3, name), "layer1.ffn");
	spec_clear(&s);
}

static void encoder__json_round_trip(void **state)
{
	(void)state;
	struct model_spec s, back;
	assert_int_equal(spec_of(&s, "{" SMALL ", activation: gelu_tanh, pooler: relu}", &texts), 0);
	cJSON *json = spec_to_json(&s);
	assert_string_equal(cJSON_GetObjectItem(json, "activation")->valuestring, "gelu_tanh");
	assert_int_equal(spec_from_json(&back, json), 0);
	cJSON *again = spec_to_json(&back);
	assert_true(cJSON_Compare(json, again, 1));
	cJSON_Delete(again);
	spec_clear(&back);
	cJSON_ReplaceItemInObject(json, "activation", cJSON_CreateString("silu"));
	assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "one of gelu, gelu_tanh, relu"));
	cJSON_ReplaceItemInObject(json, "activation", cJSON_CreateString("gelu"));
	cJSON_ReplaceItemInObject(json, "classes", cJSON_CreateNumber(1));
	assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
	cJSON_ReplaceItemInObject(json, "classes", cJSON_CreateNumber(0));
	assert_int_equal(spec_from_json(&back, json), 0);
	spec_clear(&back);
	cJSON_ReplaceItemInObject(json, "widths", cJSON_CreateIntArray((int[]){2, 3, 4}, 3));
	assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "two per layer"));
	cJSON_Delete(json);
	spec_clear(&s);
}

/* A file has the dropout of maps only where there is some: those of older programs have none. */
static void encoder__attention_dropout_is_in_files_that_have_it(void **state)
{
	struct model_spec s, back;
	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(spec_of(&s, i ? "{" SMALL ", attention_dropout: 0.25}" : "{" SMALL "}", &texts), 0);
		cJSON *json = spec_to_json(&s);
		const cJSON *v = cJSON_GetObjectItem(json, "attention_dropout");
		assert_true(i ? v && v->valuedouble == 0.25 : !v);
		assert_int_equal(spec_from_json(&back, json), 0);
		assert_true(((const struct encoder_spec *)back.own)->attention_dropout == (i ? 0.25f : 0.0f));
		spec_clear(&back);
		if (i) {
			cJSON_ReplaceItemInObject(json, "attention_dropout", cJSON_CreateNumber(1));
			assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
			assert_non_null(strstr(err_message(), "attention_dropout is 1, must be in [0, 1)"));
			cJSON_ReplaceItemInObject(json, "attention_dropout", cJSON_CreateString("0.1"));
			assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
		}
		cJSON_Delete(json);
		spec_clear(&s);
	}
}

/* "second" is an input of models that tell two texts apart by types alone, and "pairs" a key of models of pairs. */
static void encoder__pairs_have_types_by_their_second_text(void **state)
{
	struct input_spec pairs = texts;
	struct model_spec s, back;
	struct graph g;
	(void)state;
	pairs.pairs = true;
	for (int types = 0; types <= 3; types++) {
		char text[160];
		snprintf(text, sizeof(text), "{" SMALL ", token_types: %d}", types);
		if (types == 1) {
			assert_int_equal(spec_of(&s, text, &pairs), ERR_CONFIG);
			assert_non_null(strstr(err_message(), "token_types is 1, pairs of texts need 2"));
			continue;
		}
		assert_int_equal(spec_of(&s, text, &pairs), 0);
		assert_int_equal(spec_build(&g, &s, &shape), 0);
		const struct node *places = named(&g, "embeddings.position_embeddings");
		if (types == 0) {
			assert_int_equal(graph_find(&g, "second"), NODE_NONE);
			assert_int_equal(places->n_in, 3);
		} else {
			expect_shape(&g, "second", "(3)");
			assert_int_equal(places->in[POSITION_SECOND], graph_find(&g, "second"));
		}
		graph_clear(&g);
		cJSON *json = spec_to_json(&s);
		assert_int_equal(spec_from_json(&back, json), 0);
		assert_true(input_equal(&back.input, &pairs));
		assert_false(input_equal(&back.input, &texts));
		spec_clear(&back);
		cJSON_ReplaceItemInObject(json, "pairs", cJSON_CreateNumber(1));
		assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
		assert_non_null(strstr(err_message(), "'pairs' must be true or false"));
		cJSON_Delete(json);
		spec_clear(&s);
	}
	assert_int_equal(spec_of(&s, "{" SMALL ", token_types: 2}", &texts), 0);
	cJSON *json = spec_to_json(&s);
	assert_null(cJSON_GetObjectItem(json, "pairs"));
	assert_int_equal(spec_build(&g, &s, &shape), 0);
	assert_int_equal(graph_find(&g, "second"), NODE_NONE);
	graph_clear(&g);
	cJSON_Delete(json);
	spec_clear(&s);
}

static void encoder__options_that_contradict_are_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"{family: encoder, layers: 3, hidden: 8, heads: [2, 2], ffn: 4}", "'heads' has 2 elements for 3 layers"},
	    {"{family: encoder, layers: 1, hidden: 8, heads: [3], ffn: 4}", "no multiple of 3 heads"},
	    {"{family: encoder, layers: 1, hidden: 8, heads: [2], ffn: 4, positions: 15}",
		"the model has 15 positions"},
	    {"{family: encoder, layers: 1, hidden: 8, heads: [2]}", "ffn"},
	    {"{pretrained: a, family: encoder}", "family"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct model_spec s;
		assert_int_equal(spec_of(&s, cases[i].text, &texts), ERR_CONFIG);
		if (!strstr(err_message(), cases[i].says))
			fail_msg("'%s' instead of '%s'", err_message(), cases[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(encoder__params_have_berts_names_and_shapes),
	    cmocka_unit_test(encoder__options_change_the_graph),
	    cmocka_unit_test(encoder__gelu_is_the_one_that_was_chosen),
	    cmocka_unit_test(encoder__labels_tell_which_axes_a_width_moves),
	    cmocka_unit_test(encoder__json_round_trip),
	    cmocka_unit_test(encoder__attention_dropout_is_in_files_that_have_it),
	    cmocka_unit_test(encoder__pairs_have_types_by_their_second_text),
	    cmocka_unit_test(encoder__options_that_contradict_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
