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
#include "graph/families.h"
#include "graph/model_options.h"
#include "graph/spec_samples.h"

static void assert_refused(int rc, enum err code, const char *part)
{
	assert_int_equal(rc, code);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

/* The spec of an entry of `models` for grey or coloured squares and 10 classes, or the error. */
static int spec_of(struct model_spec *s, const char *text, int side, int channels)
{
	const struct input_spec input = {.height = side, .width = side, .channels = channels};
	struct model_options o = {0};
	struct yaml y;
	*s = (struct model_spec){0};
	int rc = yaml_parse("test.yaml", text, strlen(text), &y);
	if (rc)
		return rc;
	rc = model_options_parse(&o, &y, y.root);
	if (!rc)
		rc = spec_from_options(s, &o, &input, 10);
	model_options_clear(&o);
	yaml_clear(&y);
	return rc;
}

/* Beside a checkpoint a rate may be left out, and 0 is one that is given. */
static void options__of_a_checkpoint_have_rates_or_none(void **state)
{
	static const struct {
		const char *text, *json;
		double dropout; /* of a network that has 0.25 */
	} cases[] = {{"{pretrained: a}", "{\"pretrained\":\"a\",\"dropout\":null,\"attention_dropout\":null}", 0.25},
	    {"{pretrained: a, dropout: 0}", "{\"pretrained\":\"a\",\"dropout\":0,\"attention_dropout\":null}", 0}};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct model_spec s;
		struct model_options o;
		struct yaml y;
		const char *key = NULL;
		assert_int_equal(spec_of(&s, "{family: mlp, hidden: [4], dropout: 0.25}", 8, 1), 0);
		assert_int_equal(yaml_parse("t.yaml", cases[i].text, strlen(cases[i].text), &y), 0);
		assert_int_equal(model_options_parse(&o, &y, y.root), 0);
		cJSON *json = model_options_to_json(&o);
		char *text = cJSON_PrintUnformatted(json);
		assert_string_equal(text, cases[i].json);
		assert_int_equal(spec_take_rates(&s, &o, &key), 0);
		assert_null(key);
		assert_true((double)((const struct mlp_spec *)s.own)->dropout == cases[i].dropout);
		o.attention_dropout = 0.5;
		assert_refused(
		    spec_take_rates(&s, &o, &key), ERR_CONFIG, "is no option of family mlp (only of encoder)");
		assert_string_equal(key, "attention_dropout");
		cJSON_free(text);
		cJSON_Delete(json);
		model_options_clear(&o);
		yaml_clear(&y);
		spec_clear(&s);
	}
}

static int64_t trained(const struct graph *g)
{
	int64_t n = 0;
	for (int i = 0; i < g->n; i++)
		if (g->node[i].op == OP_PARAM && g->node[i].param.kind == PARAM_TRAINED)
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
	struct model_spec s;
	assert_int_equal(spec_of(&s, "{family: resnet, stages: [64, 128, 256, 512], stem_pool: 2}", 64, 3), 0);
	assert_int_equal(s.n_width, 12);
	assert_int_equal(parameters_of(&s), 11173962);
	spec_clear(&s);
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
	assert_true(named(&g, "conv1.weight")->param.decay);
	assert_false(named(&g, "bn1.weight")->param.decay);
	assert_int_equal(named(&g, "bn1.running_var")->param.kind, PARAM_STAT);
	assert_true(named(&g, "bn1.running_var")->param.init_value == 1);
	/* Layers before a ReLU keep the variance of their inputs, as many as one output reads; the classifier starts
	 * small. */
	assert_int_equal(named(&g, "conv2.weight")->param.init, INIT_KAIMING);
	assert_int_equal(named(&g, "conv2.weight")->param.fan_in, 5 * 5 * 32);
	assert_int_equal(named(&g, "fc1.weight")->param.init, INIT_KAIMING);
	assert_int_equal(named(&g, "fc1.weight")->param.fan_in, 2400);
	assert_int_equal(named(&g, "fc3.weight")->param.init, INIT_UNIFORM);
	assert_int_equal(named(&g, "fc3.weight")->param.fan_in, 128);
	struct param_axis flat = named(&g, "fc1.weight")->param.axis[1];
	assert_int_equal(flat.width, 2);
	assert_int_equal(flat.outer, 25);
	assert_int_equal(flat.inner, 1);
	assert_int_equal(named(&g, "fc3.weight")->param.axis[0].width, -1);
	assert_int_equal(named(&g, "conv1.weight")->param.axis[3].width, -1);
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
			struct model_spec more;
			struct graph a, b;
			int moved = 0;
			assert_int_equal(spec_copy(&more, samples[m]), 0);
			more.width[w]++;
			assert_int_equal(spec_build(&a, samples[m], &(struct build_shape){.sequences = 2}), 0);
			assert_int_equal(spec_build(&b, &more, &(struct build_shape){.sequences = 2}), 0);
			assert_int_equal(a.n, b.n);
			for (int i = 0; i < a.n; i++) {
				const struct node *p = &a.node[i];
				assert_string_equal(p->name, b.node[i].name);
				for (int d = 0; p->op == OP_PARAM && d < p->shape.ndim; d++) {
					struct param_axis x = p->param.axis[d];
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
			spec_clear(&more);
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
		spec_clear(&back);
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
	    {"{\"family\": 3}", "'family' must be mlp, cnn, resnet, bag or encoder"},
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
	    {"{\"family\":\"mlp\",\"classes\":3,\"height\":8,\"width\":8,\"channels\":1,\"widths\":[4],\"dropout\":1}",
		"dropout is 1"},
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

/* Numbers of layers have no limit of their own. */
static void spec__a_hundred_layers_are_no_trouble(void **state)
{
	(void)state;
	struct model_spec s, back;
	assert_int_equal(spec_of(&s, "{family: resnet, stages: [4, 6], blocks: [90, 30]}", 8, 1), 0);
	assert_int_equal(s.n_width, 122);
	assert_int_equal(s.width[91], 6);
	cJSON *json = spec_to_json(&s);
	assert_int_equal(spec_from_json(&back, json), 0);
	assert_int_equal(parameters_of(&back), parameters_of(&s));
	int many[200];
	for (int i = 0; i < 200; i++)
		many[i] = 3;
	cJSON_ReplaceItemInObject(json, "widths", cJSON_CreateIntArray(many, 200));
	spec_clear(&back);
	assert_refused(spec_from_json(&back, json), ERR_CHECKPOINT, "200 widths, must be 122");
	cJSON_Delete(json);
	spec_clear(&s);
}

static void spec__options_of_another_family_are_refused(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"{family: mlp, hidden: 8, kernel: 3}", "1:26: 'kernel' is no option of family mlp (only of cnn)"},
	    {"{family: mlp, hidden: 8, batchnorm: true}", "'batchnorm' is no option of family mlp"},
	    {"{family: cnn, conv: 8, stem_pool: 1}", "'stem_pool' is no option of family cnn (only of resnet)"},
	    {"{family: resnet, stages: 8, hidden: []}", "'hidden' is no option of family resnet (only of mlp, cnn"},
	    {"{family: resnet, stages: 8, dropout: 0.5}", "'dropout' is no option of family resnet"},
	    {"{family: mlp, dropout: 0}", "dropout has no effect with hidden not given (only with hidden given)"},
	    {"{family: mlp, hiden: 8}", "unknown key 'hiden'; did you mean 'hidden'?"},
	    {"{family: rnn}", "'family' must be one of mlp, cnn, resnet"},
	    {"{hidden: 8}", "missing key 'family', one of mlp, cnn, resnet"},
	    {"[mlp]", "must be a mapping"},
	    {"{family: cnn, conv: 8, kernel: 64}", "'kernel' must be"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct model_spec s;
		assert_refused(spec_of(&s, cases[i][0], 8, 1), ERR_CONFIG, cases[i][1]);
		spec_clear(&s);
	}
}

static void spec__options_that_contradict_the_image_are_refused(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"{family: cnn, conv: [8, 8, 8, 8]}", "conv4: pool 2 does not fit a height of 1"},
	    {"{family: cnn, conv: [8, 8], kernel: [3, 3, 3]}", "'kernel' has 3 elements for 2 convolutions"},
	    {"{family: cnn}", "missing key 'conv'"},
	    {"{family: cnn, conv: []}", "'conv' is empty"},
	    {"{family: resnet}", "missing key 'stages'"},
	    {"{family: resnet, stages: []}", "'stages' is empty"},
	    {"{family: resnet, stages: [8, 8], stem_kernel: 4}", "stem_kernel is 4, must be odd"},
	    {"{family: resnet, stages: [8, 8], blocks: [1, 2, 3]}", "'blocks' has 3 elements for 2 stages"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct model_spec s;
		assert_refused(spec_of(&s, cases[i][0], 8, 1), ERR_CONFIG, cases[i][1]);
		assert_null(s.width);
	}
}

static void spec__option_defaults(void **state)
{
	(void)state;
	struct model_spec s;
	assert_int_equal(spec_of(&s, "{family: cnn, conv: [8, 16], kernel: 5, pool: [2, 0]}", 9, 1), 0);
	const struct cnn_spec *cnn = s.own;
	assert_int_equal(cnn->kernel.v[1], 5);
	assert_int_equal(cnn->pad.v[0], 2);
	assert_int_equal(cnn->pool.v[1], 0);
	assert_true(cnn->batchnorm && cnn->conv_bias);
	spec_clear(&s);
	assert_int_equal(spec_of(&s, "{family: resnet, stages: [8, 16]}", 9, 1), 0);
	const struct resnet_spec *resnet = s.own;
	assert_int_equal(s.n_width, 6);
	assert_int_equal(s.width[2], 8);
	assert_int_equal(s.width[3], 16);
	assert_int_equal(resnet->stem_kernel, 3);
	assert_false(resnet->conv_bias);
	spec_clear(&s);
}

static void spec__a_copy_shares_nothing(void **state)
{
	(void)state;
	struct model_spec a, b;
	assert_int_equal(spec_of(&a, "{family: cnn, conv: [8, 16], hidden: 4}", 9, 1), 0);
	assert_int_equal(spec_copy(&b, &a), 0);
	cJSON *before = spec_to_json(&a);
	a.width[1] = 3;
	((struct cnn_spec *)a.own)->pad.v[0] = 0;
	cJSON *after = spec_to_json(&b);
	assert_true(cJSON_Compare(before, after, true));
	spec_clear(&a);
	assert_int_equal(spec_copy(&a, &(struct model_spec){0}), 0);
	spec_clear(&a);
	assert_null(a.width);
	spec_clear(&b);
	cJSON_Delete(before);
	cJSON_Delete(after);
}

static void spec__copying_and_reading_survive_each_failed_allocation(void **state)
{
	(void)state;
	struct model_spec a, b;
	int failed = 0, rc = ERR_NOMEM;
	for (uint64_t i = 1; rc; i++) {
		mem_fail_at(i);
		rc = spec_of(&a, "{family: cnn, conv: [8, 16], hidden: 4}", 9, 1);
		if (!rc)
			rc = spec_copy(&b, &a);
		mem_fail_at(0);
		assert_true(!rc || rc == ERR_NOMEM);
		spec_clear(&a);
		failed += rc != 0;
	}
	spec_clear(&b);
	assert_true(failed > 10);
}

static void spec__inputs_are_equal_in_all_that_a_model_reads(void **state)
{
	(void)state;
	const struct input_spec image = {.height = 4, .width = 5, .channels = 3};
	const struct input_spec text = {.kind = INPUT_TEXT, .vocabulary = 100, .longest = 16};
	const struct input_spec other_images[] = {{.height = 5, .width = 5, .channels = 3},
	    {.height = 4, .width = 4, .channels = 3}, {.height = 4, .width = 5, .channels = 1}, text};
	const struct input_spec other_texts[] = {{.kind = INPUT_TEXT, .vocabulary = 101, .longest = 16},
	    {.kind = INPUT_TEXT, .vocabulary = 100, .longest = 17}, image};
	assert_true(input_equal(&image, &image) && input_equal(&text, &text));
	for (size_t i = 0; i < sizeof(other_images) / sizeof(other_images[0]); i++)
		assert_false(input_equal(&image, &other_images[i]));
	for (size_t i = 0; i < sizeof(other_texts) / sizeof(other_texts[0]); i++)
		assert_false(input_equal(&text, &other_texts[i]));
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
	assert_int_equal(spec_build(&g, &sample_mlp, &(struct build_shape){.sequences = 4}), 0);
	assert_int_equal(graph_add_kd_bce(&g, 4, 0.7f), 0);
	loss = &g.node[g.loss];
	assert_int_equal(loss->op, OP_KD_BCE_LOSS);
	assert_int_equal(loss->in[KD_BCE_LOGITS], g.output);
	assert_string_equal(g.node[loss->in[KD_BCE_TEACHER]].name, "teacher_logits");
	assert_string_equal(g.node[loss->in[KD_BCE_TARGETS]].name, "targets");
	assert_string_equal(g.node[loss->in[KD_BCE_WEIGHT]].name, "weight");
	assert_string_equal(g.node[loss->in[KD_BCE_POS_WEIGHT]].name, "pos_weight");
	assert_true(loss->attr.temperature == 4 && loss->attr.alpha == 0.7f);
	graph_clear(&g);
	assert_int_equal(spec_build(&g, &sample_mlp, &(struct build_shape){.sequences = 4}), 0);
	assert_int_equal(graph_add_bce(&g), 0);
	loss = &g.node[g.loss];
	assert_int_equal(loss->op, OP_BCE_LOSS);
	assert_string_equal(g.node[loss->in[BCE_TARGETS]].name, "targets");
	assert_string_equal(g.node[loss->in[BCE_POS_WEIGHT]].name, "pos_weight");
	graph_clear(&g);
	assert_true(graph_add_ce(&g, 0) < 0);
	assert_true(graph_add_bce(&g) < 0);
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

/* A family that the program does not know: the mean of the image through one linear layer. */
struct mean_spec {
	int marks;
};
static int mean_from_options(struct model_spec *s, const void *options)
{
	struct mean_spec *own = s->own;
	own->marks = (int)*(const int64_t *)options;
	return 0;
}
static int mean_check(const struct model_spec *s, enum err code)
{
	return family_range(code, "marks", -1, ((const struct mean_spec *)s->own)->marks, 1, 9);
}
static void mean_build(struct builder *b)
{
	build_images(b);
	build_unary(b, OP_AVGPOOL, "mean", NULL);
	build_head(b, 0, 0);
}
static void mean_width_name(const struct model_spec *s, int i, char buf[64])
{
	(void)s;
	snprintf(buf, 64, "fc%d", i + 1);
}
static const struct option mean_options[] = {{.key = "marks", .type = OPT_INT, .def = "2"}, OPTION_END};
static const struct spec_field mean_fields[] = {{"marks", FIELD_INT, offsetof(struct mean_spec, marks), NULL}, {0}};
static const struct family_row mean_row = {.name = "mean",
    .help = "the mean of the image",
    .input = INPUT_IMAGE,
    .option = mean_options,
    .option_size = sizeof(int64_t),
    .field = mean_fields,
    .own_size = sizeof(struct mean_spec),
    .from_options = mean_from_options,
    .check = mean_check,
    .build = mean_build,
    .width_name = mean_width_name};

static void family__one_registered_row_is_a_family(void **state)
{
	(void)state;
	struct model_spec s, back;
	assert_refused(
	    spec_of(&s, "{family: mean, marks: 3}", 8, 3), ERR_CONFIG, "one of mlp, cnn, resnet, bag, encoder, found");
	for (int i = 0; i < 2; i++) /* twice is once */
		assert_int_equal(family_register(&mean_row), 0);
	assert_int_equal(spec_of(&s, "{family: mean, marks: 3}", 8, 3), 0);
	assert_int_equal(parameters_of(&s), 3 * 10 + 10);
	cJSON *json = spec_to_json(&s);
	assert_int_equal(spec_from_json(&back, json), 0);
	assert_int_equal(((const struct mean_spec *)back.own)->marks, 3);
	spec_clear(&back);
	spec_clear(&s);
	assert_refused(spec_of(&s, "{family: mean, marks: 10}", 8, 3), ERR_CONFIG, "marks is 10, must be 1 to 9");
	assert_refused(
	    spec_of(&s, "{family: cxx}", 8, 3), ERR_CONFIG, "one of mlp, cnn, resnet, bag, encoder, mean, found");
	cJSON_Delete(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options__of_a_checkpoint_have_rates_or_none),
	    cmocka_unit_test(spec__reference_networks_have_their_parameter_counts),
	    cmocka_unit_test(spec__cnn_has_the_expected_nodes),
	    cmocka_unit_test(spec__resnet_adds_the_main_branch_last),
	    cmocka_unit_test(spec__mlp_takes_the_image_directly),
	    cmocka_unit_test(spec__labels_tell_which_axes_a_width_moves),
	    cmocka_unit_test(spec__width_names),
	    cmocka_unit_test(spec__json_round_trip),
	    cmocka_unit_test(spec__hostile_json_is_refused),
	    cmocka_unit_test(spec__a_hundred_layers_are_no_trouble),
	    cmocka_unit_test(spec__options_of_another_family_are_refused),
	    cmocka_unit_test(spec__options_that_contradict_the_image_are_refused),
	    cmocka_unit_test(spec__option_defaults),
	    cmocka_unit_test(spec__a_copy_shares_nothing),
	    cmocka_unit_test(spec__copying_and_reading_survive_each_failed_allocation),
	    cmocka_unit_test(family__one_registered_row_is_a_family),
	    cmocka_unit_test(spec__inputs_are_equal_in_all_that_a_model_reads),
	    cmocka_unit_test(spec__losses_are_added_to_the_output),
	    cmocka_unit_test(spec__build_survives_each_failed_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
