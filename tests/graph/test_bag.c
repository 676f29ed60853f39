/* Family bag: the graph, the options and the JSON form of a model of texts. */
#include "graph/spec_text.h"

static void bag__has_the_expected_nodes(void **state)
{
	(void)state;
	struct model_spec s;
	struct graph g;
	char text[64];
	assert_int_equal(spec_of(&s, "{family: bag, dim: 6, hidden: [5], dropout: 0.5}", &texts), 0);
	assert_int_equal(spec_build(&g, &s, &shape), 0);
	assert_string_equal(shape_text(named(&g, "ids")->shape, text), "(20)");
	assert_string_equal(shape_text(named(&g, "starts")->shape, text), "(4)");
	assert_string_equal(shape_text(named(&g, "embedding.weight")->shape, text), "(50, 6)");
	assert_string_equal(shape_text(named(&g, "embedding")->shape, text), "(20, 6)");
	assert_string_equal(shape_text(named(&g, "pool")->shape, text), "(3, 6)");
	assert_string_equal(shape_text(named(&g, "fc1.weight")->shape, text), "(5, 6)");
	assert_string_equal(shape_text(named(&g, "fc2")->shape, text), "(3, 4)");
	assert_true(named(&g, "fc1.dropout")->attr.rate == 0.5f);
	assert_int_equal(g.output, graph_find(&g, "fc2"));
	graph_clear(&g);
	assert_int_equal(spec_build(&g, &s, &(struct build_shape){.sequences = 3}), ERR_FAIL); /* no token fits */
	assert_string_equal(spec_width_name(&s, 0, text), "embedding");
	assert_string_equal(spec_width_name(&s, 1, text), "fc1");
	spec_clear(&s);
}

static void bag__labels_tell_which_axes_a_width_moves(void **state)
{
	(void)state;
	struct model_spec s, more;
	struct graph a, b;
	assert_int_equal(spec_of(&s, "{family: bag, dim: 6, hidden: [5]}", &texts), 0);
	for (int w = 0; w < s.n_width; w++) {
		int makes = 0;
		assert_int_equal(spec_copy(&more, &s), 0);
		more.width[w]++;
		assert_int_equal(spec_build(&a, &s, &shape), 0);
		assert_int_equal(spec_build(&b, &more, &shape), 0);
		for (int i = 0; i < a.n; i++) {
			const struct node *p = &a.node[i];
			for (int d = 0; p->op == OP_PARAM && d < p->shape.ndim; d++) {
				bool labelled = p->param.axis[d].width == w;
				assert_int_equal(b.node[i].shape.dim[d] - p->shape.dim[d], labelled);
				makes += labelled && p->param.axis[d].makes;
			}
		}
		assert_int_equal(makes, 1); /* the table makes width 0, fc1.weight width 1 */
		graph_clear(&a);
		graph_clear(&b);
		spec_clear(&more);
	}
	spec_clear(&s);
}

static void bag__json_round_trip(void **state)
{
	(void)state;
	struct model_spec s, back;
	assert_int_equal(spec_of(&s, "{family: bag, dim: 6}", &texts), 0);
	cJSON *json = spec_to_json(&s);
	char *text = cJSON_PrintUnformatted(json);
	assert_string_equal(
	    text, "{\"family\":\"bag\",\"classes\":4,\"vocabulary\":50,\"longest\":16,\"widths\":[6],\"dropout\":0}");
	assert_int_equal(spec_from_json(&back, json), 0);
	assert_true(input_equal(&back.input, &texts));
	spec_clear(&back);
	cJSON_ReplaceItemInObject(json, "widths", cJSON_CreateArray());
	assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "the first is the embedding's"));
	cJSON_ReplaceItemInObject(json, "vocabulary", cJSON_CreateNumber(0));
	assert_int_equal(spec_from_json(&back, json), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "vocabulary is 0"));
	cJSON_Delete(json);
	free(text);
	spec_clear(&s);
}

static void bag__takes_no_images_and_image_families_take_no_texts(void **state)
{
	(void)state;
	const struct input_spec images = {.height = 8, .width = 8, .channels = 1};
	struct model_spec s;
	assert_int_equal(spec_of(&s, "{family: bag}", &images), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "family bag takes texts, the data gives images"));
	assert_int_equal(spec_of(&s, "{family: mlp}", &texts), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "family mlp takes images, the data gives texts"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bag__has_the_expected_nodes),
	    cmocka_unit_test(bag__labels_tell_which_axes_a_width_moves),
	    cmocka_unit_test(bag__json_round_trip),
	    cmocka_unit_test(bag__takes_no_images_and_image_families_take_no_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
