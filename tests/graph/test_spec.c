/* Specs: options, checks, JSON, and the graphs that the families build. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/spec.h"
#include "graph/spec_samples.h"

static void assert_refused(int rc, enum err code, const char *part)
{
	assert_int_equal(rc, code);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static int64_t trained(const struct graph *g)
{
	int64_t n = 0;
	for (int i = 0; i < g->n; i++)
		if (g->node[i].op == OP_PARAM && g->node[i].attr.kind == PARAM_TRAINED)
			n += shape_count(g->node[i].shape);
	return n;
}

static int64_t parameters_of(const struct model_spec *s)
{
	struct graph g;
	assert_int_equal(spec_build(&g, s, &(struct build_shape){.sequences = 2}), 0);
	int64_t n = trained(&g);
	graph_clear(&g);
	return n;
}

static void spec__reference_networks_have_their_parameter_counts(void **state)
{
	(void)state;
	assert_int_equal(parameters_of(&sample_mlp), 235146);
	assert_int_equal(parameters_of(&sample_cnn), 434602);
	/* ResNet-18 with a 3x3 stem and 10 classes, as PyTorch counts it: 11,173,962 */
	struct model_options o = {
	    .family = FAMILY_RESNET, .stages = {.v = (int64_t[]){64, 128, 256, 512}, .n = 4}, .stem_pool = 2};
	struct model_spec s;
	assert_int_equal(spec_from_options(&s, &o, 64, 64, 3, 10), 0);
	assert_int_equal(s.n_width, 12);
	assert_int_equal(parameters_of(&s), 11173962);
}

static const struct node *named(const struct graph *g, const char *name)
{
	int i = graph_find(g, name);
	if (i == NODE_NONE)
		fail_msg("no node '%s'", name);
	return &g->node[i];
}

static void spec__cnn_has_the_expected_nodes(void **state)
{
	(void)state;
	struct graph g;
	char text[64];
	assert_int_equal(spec_build(&g, &sample_cnn, &(struct build_shape){.sequences = 7}), 0);
	assert_string_equal(shape_text(named(&g, "input")->shape, text), "(7, 64, 64, 3)");
	assert_string_equal(shape_text(named(&g, "pool3")->shape, text), "(7, 5, 5, 96)");
	assert_string_equal(shape_text(named(&g, "fc1.weight")->shape, text), "(128, 2400)");
	assert_string_equal(shape_text(named(&g, "conv2.weight")->shape, text), "(64, 5, 5, 32)");
	assert_false(named(&g, "conv1")->attr.relu);
	assert_true(named(&g, "bn1")->attr.relu);
	assert_true(named(&g, "fc1")->attr.relu);
	assert_true(named(&g, "fc2.dropout")->attr.rate == 0.25f);
	assert_int_equal(g.output, graph_find(&g, "fc3"));
	assert_false(named(&g, "fc3")->attr.relu);
	assert_true(named(&g, "conv1.weight")->attr.decay);
	assert_false(named(&g, "bn1.weight")->attr.decay);
	assert_int_equal(named(&g, "bn1.running_var")->attr.kind, PARAM_STAT);
	assert_true(named(&g, "bn1.running_var")->attr.init_value == 1);
	struct param_axis flat = named(&g, "fc1.weight")->attr.axis[1];
	assert_int_equal(flat.width, 2);
	assert_int_equal(flat.outer, 25);
	assert_int_equal(flat.inner, 1);
	assert_int_equal(named(&g, "fc3.weight")->attr.axis[0].width, -1);
	assert_int_equal(named(&g, "conv1.weight")->attr.axis[3].width, -1);
	graph_clear(&g);
}

static void spec__resnet_adds_the_main_branch_last(void **state)
{
	(void)state;
	struct graph g;
	assert_int_equal(spec_build(&g, &sample_resnet, &(struct build_shape){.sequences = 2}), 0);
	const struct node *add = named(&g, "stage2.block0.add");
	assert_string_equal(g.node[add->in[0]].name, "stage2.block0.downsample.bn");
	assert_string_equal(g.node[add->in[1]].name, "stage2.block0.bn2");
	assert_true(add->in[0] < add->in[1]);
	assert_true(add->attr.relu);
	assert_false(named(&g, "stage2.block0.bn2")->attr.relu);
	assert_false(named(&g, "stage2.block0.downsample.bn")->attr.relu);
	add = named(&g, "stage1.block0.add");
	assert_string_equal(g.node[add->in[0]].name, "pool1"); /* identity shortcut */
	assert_int_equal(graph_find(&g, "stage1.block0.downsample.conv"), NODE_NONE);
	assert_int_equal(named(&g, "stage2.block0.conv1")->attr.stride, 2);
	assert_int_equal(named(&g, "stage2.block0.conv1")->n_in, 2); /* no bias before batch norm */
	graph_clear(&g);
}

static void spec__mlp_takes_the_image_directly(void **state)
{
	(void)state;
	struct model_spec s = sample_mlp;
	struct graph g;
	s.n_width = 0; /* a linear classifier */
	assert_int_equal(spec_build(&g, &s, &shape_one), 0);
	assert_int_equal(g.n, 4);
	assert_string_equal(g.node[g.output].name, "fc1");
	graph_clear(&g);
}

/* Rebuilding with one width + 1 moves exactly the labelled axes, by outer * inner. */
static void spec__labels_tell_which_axes_a_width_moves(void **state)
{
	(void)state;
	for (int m = 0; m < N_SAMPLES; m++) {
		for (int w = 0; w < samples[m]->n_width; w++) {
			struct model_spec more = *samples[m];
			struct graph a, b;
			int moved = 0;
			more.width[w]++;
			assert_int_equal(spec_build(&a, samples[m], &(struct build_shape){.sequences = 2}), 0);
			assert_int_equal(spec_build(&b, &more, &(struct build_shape){.sequences = 2}), 0);
			assert_int_equal(a.n, b.n);
			for (int i = 0; i < a.n; i++) {
				const struct node *p = &a.node[i];
				assert_string_equal(p->name, b.node[i].name);
				for (int d = 0; p->op == OP_PARAM && d < p->shape.ndim; d++) {
					struct param_axis x = p->attr.axis[d];
					int64_t want = x.width == w ? (int64_t)x.outer * x.inner : 0;
					assert_int_equal(b.node[i].shape.dim[d] - p->shape.dim[d], want);
					if (x.width >= 0)
						assert_int_equal(p->shape.dim[d],
						    (int64_t)x.outer * x.inner * samples[m]->width[x.width]);
					moved += want != 0;
				}
			}
			assert_true(moved >= 3); /* its weight, its bias or norm, and the next layer's weight */
			graph_clear(&a);
			graph_clear(&b);
		}
	}
}

static void spec__width_names(void **state)
{
	(void)state;
	char name[64];
	assert_string_equal(spec_width_name(&sample_mlp, 1, name), "fc2");
	assert_string_equal(spec_width_name(&sample_cnn, 2, name), "conv3");
	assert_string_equal(spec_width_name(&sample_cnn, 3, name), "fc1");
	assert_string_equal(spec_width_name(&sample_resnet, 0, name), "stage1");
	assert_string_equal(spec_width_name(&sample_resnet, 2, name), "stage1.block1");
	assert_string_equal(spec_width_name(&sample_resnet, 3, name), "stage2");
	assert_string_equal(spec_width_name(&sample_resnet, 4, name), "stage2.block0");
}

static void spec__json_round_trip(void **state)
{
	(void)state;
	for (int m = 0; m < N_SAMPLES; m++) {
		struct model_spec back;
		memset(&back, 0x5a, sizeof(back));
		cJSON *json = spec_to_json(samples[m]);
		assert_non_null(json);
		char *text = cJSON_Print(json);
		cJSON *parsed = cJSON_Parse(text);
		assert_int_equal(spec_from_json(&back, parsed), 0);
		struct graph a, b;
		assert_int_equal(spec_build(&a, samples[m], &(struct build_shape){.sequences = 3}), 0);
		assert_int_equal(spec_build(&b, &back, &(struct build_shape){.sequences = 3}), 0);
		assert_int_equal(a.n, b.n);
		for (int i = 0; i < a.n; i++)
			assert_true(shape_equal(a.node[i].shape, b.node[i].shape));
		cJSON *again = spec_to_json(&back);
		assert_true(cJSON_Compare(json, again, true));
		graph_clear(&a);
		graph_clear(&b);
		cJSON_Delete(again);
		cJSON_Delete(parsed);
		cJSON_Delete(json);
		free(text);
	}
}

static void spec__hostile_json_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *json, *part;
	} cases[] = {
	    {"[]", "must be an object"},
	    {"{}", "'family'"},
	    {"{\"family\": 3}", "'family'"},
	    {"{\"family\": \"bert\"}", "'family'"},
	    {"{\"family\": \"mlp\"}", "'classes' is missing"},
	    {"{\"family\":\"mlp\",\"classes\":1,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"dropout\":0}",
		"classes is 1"},
	    {"{\"family\":\"mlp\",\"classes\":1.5,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"dropout\":"
	     "0}",
		"'classes' must be a whole number"},
	    {"{\"family\":\"mlp\",\"classes\":1e300,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"dropout\":"
	     "0}",
		"whole number"},
	    {"{\"family\":\"mlp\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[0],\"dropout\":0}",
		"widths[0] is 0"},
	    {"{\"family\":\"mlp\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[\"4\"],\"dropout\":"
	     "0}",
		"whole number"},
	    {"{\"family\":\"mlp\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":4,\"dropout\":0}",
		"a list"},
	    {"{\"family\":\"mlp\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"dropout\":2}",
		"dropout is 2"},
	    {"{\"family\":\"mlp\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"dropout\":"
	     "true}",
		"a number"},
	    {"{\"family\":\"mlp\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"dropout\":0,"
	     "\"pool\":[]}",
		"unknown key 'pool'"},
	    {"{\"family\":\"mlp\",\"classes\":3,\"classes\":4,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],"
	     "\"dropout\":0}",
		"there twice"},
	    {"{\"family\":\"cnn\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4,5],\"kernel\":[3,"
	     "3],"
	     "\"pad\":[1],\"pool\":[2,2],\"batchnorm\":true,\"conv_bias\":true,\"dropout\":0}",
		"'pad' has 1 elements, 2 expected"},
	    {"{\"family\":\"cnn\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"kernel\":[9],"
	     "\"pad\":[0],\"pool\":[2],\"batchnorm\":true,\"conv_bias\":true,\"dropout\":0}",
		"kernel 9 does not fit"},
	    {"{\"family\":\"cnn\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"kernel\":[3],"
	     "\"pad\":[0],\"pool\":[7],\"batchnorm\":true,\"conv_bias\":true,\"dropout\":0}",
		"pool 7 does not fit"},
	    {"{\"family\":\"cnn\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"kernel\":[3],"
	     "\"pad\":[0],\"pool\":[2],\"batchnorm\":1,\"conv_bias\":true,\"dropout\":0}",
		"true or false"},
	    {"{\"family\":\"resnet\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4,4],\"blocks\":"
	     "[2],"
	     "\"conv_bias\":false,\"stem_kernel\":3,\"stem_stride\":1,\"stem_pool\":1}",
		"2 widths, must be 3"},
	    {"{\"family\":\"resnet\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4,4],\"blocks\":"
	     "[1],"
	     "\"conv_bias\":false,\"stem_kernel\":4,\"stem_stride\":1,\"stem_pool\":1}",
		"must be odd"},
	    {"{\"family\":\"resnet\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4,4],\"blocks\":"
	     "[1],"
	     "\"conv_bias\":false,\"stem_kernel\":3,\"stem_stride\":1,\"stem_pool\":9}",
		"stem_pool 9"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct model_spec s;
		cJSON *json = cJSON_Parse(cases[i].json);
		assert_non_null(json);
		assert_refused(spec_from_json(&s, json), ERR_CHECKPOINT, cases[i].part);
		cJSON_Delete(json);
	}
}

static void spec__too_many_list_elements_are_refused(void **state)
{
	(void)state;
	struct model_spec s;
	cJSON *json = spec_to_json(&sample_cnn);
	int many[200];
	for (int i = 0; i < 200; i++)
		many[i] = 3;
	cJSON_ReplaceItemInObject(json, "kernel", cJSON_CreateIntArray(many, 200));
	assert_refused(spec_from_json(&s, json), ERR_CHECKPOINT, "more than 16");
	cJSON_ReplaceItemInObject(json, "widths", cJSON_CreateIntArray(many, 200));
	assert_refused(spec_from_json(&s, json), ERR_CHECKPOINT, "more than 64");
	cJSON_Delete(json);
}

#define LIST(...)                                                                                                      \
	{                                                                                                              \
		.v = (int64_t[]){__VA_ARGS__}, .n = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))          \
	}

static void spec__options_of_another_family_are_refused(void **state)
{
	(void)state;
	struct model_spec s;
	struct model_options o = {.family = FAMILY_MLP, .hidden = LIST(8), .kernel = LIST(3)};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "'kernel' is no option of family mlp");
	o = (struct model_options){.family = FAMILY_MLP, .hidden = LIST(8), .batchnorm = MODEL_TRUE};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "'batchnorm'");
	o = (struct model_options){.family = FAMILY_CNN, .conv = LIST(8), .stem_pool = 2};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "'stem_pool' is no option of family cnn");
	o = (struct model_options){.family = FAMILY_RESNET, .stages = LIST(8), .hidden = LIST(8)};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "'hidden' is no option of family resnet");
	o = (struct model_options){.family = FAMILY_RESNET, .stages = LIST(8), .batchnorm = MODEL_FALSE};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "always has batch norm");
	o = (struct model_options){.family = FAMILY_RESNET, .stages = LIST(8), .dropout = 0.5};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "'dropout'");
	o = (struct model_options){.family = FAMILY_MLP, .dropout = 0.5};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "'hidden' is empty");
}

static void spec__options_that_contradict_the_image_are_refused(void **state)
{
	(void)state;
	struct model_spec s;
	struct model_options o = {.family = FAMILY_CNN, .conv = LIST(8, 8, 8, 8)};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "conv4: pool 2 does not fit a height of 1");
	o = (struct model_options){.family = FAMILY_CNN, .conv = LIST(8, 8), .kernel = LIST(3, 3, 3)};
	assert_refused(
	    spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "'kernel' has 3 elements for 2 convolutions");
	o = (struct model_options){.family = FAMILY_CNN};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "needs 'conv'");
	o = (struct model_options){.family = FAMILY_RESNET};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "needs 'stages'");
	o = (struct model_options){.family = FAMILY_RESNET, .stages = LIST(8, 8), .blocks = LIST(40)};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "more than 64 layers");
	o = (struct model_options){.family = FAMILY_RESNET, .stages = LIST(8, 8), .blocks = LIST(1, 2, 3)};
	assert_refused(spec_from_options(&s, &o, 8, 8, 1, 10), ERR_CONFIG, "'blocks' has 3 elements for 2 stages");
}

static void spec__option_defaults(void **state)
{
	(void)state;
	struct model_spec s;
	struct model_options o = {.family = FAMILY_CNN, .conv = LIST(8, 16), .kernel = LIST(5), .pool = LIST(2, 0)};
	assert_int_equal(spec_from_options(&s, &o, 9, 9, 1, 10), 0);
	assert_int_equal(s.kernel[1], 5);
	assert_int_equal(s.pad[0], 2);
	assert_int_equal(s.pool[1], 0);
	assert_true(s.batchnorm && s.conv_bias);
	o = (struct model_options){.family = FAMILY_RESNET, .stages = LIST(8, 16)};
	assert_int_equal(spec_from_options(&s, &o, 9, 9, 1, 10), 0);
	assert_int_equal(s.n_width, 6);
	assert_int_equal(s.width[2], 8);
	assert_int_equal(s.width[3], 16);
	assert_int_equal(s.stem_kernel, 3);
	assert_false(s.conv_bias);
}

static void spec__losses_are_added_to_the_output(void **state)
{
	(void)state;
	struct graph g;
	assert_int_equal(spec_build(&g, &sample_mlp, &(struct build_shape){.sequences = 4}), 0);
	assert_int_equal(graph_add_kd(&g, 4, 0.7f), 0);
	const struct node *loss = &g.node[g.loss];
	assert_int_equal(loss->op, OP_KD_LOSS);
	assert_int_equal(loss->in[0], g.output);
	assert_string_equal(g.node[loss->in[1]].name, "teacher_logits");
	assert_true(loss->attr.temperature == 4 && loss->attr.alpha == 0.7f);
	assert_true(graph_add_ce(&g, 0) < 0); /* "labels" exists */
	graph_clear(&g);
	assert_int_equal(spec_build(&g, &sample_mlp, &(struct build_shape){.sequences = 4}), 0);
	assert_int_equal(graph_add_ce(&g, 0.1f), 0);
	assert_true(g.node[g.loss].attr.smoothing == 0.1f);
	graph_clear(&g);
	assert_true(graph_add_ce(&g, 0) < 0);
}

static void spec__build_survives_each_failed_allocation(void **state)
{
	(void)state;
	struct graph g;
	mem_fail_at(0);
	assert_int_equal(spec_build(&g, &sample_resnet, &(struct build_shape){.sequences = 2}), 0);
	uint64_t n = mem_count();
	graph_clear(&g);
	assert_true(n >= 1);
	for (uint64_t i = 1; i <= n; i++) {
		mem_fail_at(i);
		assert_int_equal(spec_build(&g, &sample_resnet, &(struct build_shape){.sequences = 2}), ERR_NOMEM);
		assert_null(g.node);
	}
	mem_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(spec__reference_networks_have_their_parameter_counts),
	    cmocka_unit_test(spec__cnn_has_the_expected_nodes),
	    cmocka_unit_test(spec__resnet_adds_the_main_branch_last),
	    cmocka_unit_test(spec__mlp_takes_the_image_directly),
	    cmocka_unit_test(spec__labels_tell_which_axes_a_width_moves),
	    cmocka_unit_test(spec__width_names),
	    cmocka_unit_test(spec__json_round_trip),
	    cmocka_unit_test(spec__hostile_json_is_refused),
	    cmocka_unit_test(spec__too_many_list_elements_are_refused),
	    cmocka_unit_test(spec__options_of_another_family_are_refused),
	    cmocka_unit_test(spec__options_that_contradict_the_image_are_refused),
	    cmocka_unit_test(spec__option_defaults),
	    cmocka_unit_test(spec__losses_are_added_to_the_output),
	    cmocka_unit_test(spec__build_survives_each_failed_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
