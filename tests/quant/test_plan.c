/* The quantization plan of each model family: what is quantized, how, and how it is saved. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/models.h"
#include "quant/plan.h"

static struct quant_rules rules_of(enum quant_method method)
{
	return (struct quant_rules){.method = method, .weight_bits = 8, .act_bits = 8, .per_channel = true};
}

static struct quant_plan plan_of(struct model_spec s, const struct quant_rules *rules)
{
	struct quant_plan p;
	struct graph g;

	assert_int_equal(model_folded(&s, 2, false, &g), 0);
	assert_int_equal(quant_plan_make(&p, &g, rules), 0);
	graph_clear(&g);
	return p;
}

static int plan_error(struct model_spec s, const struct quant_rules *rules)
{
	struct quant_plan p;
	struct graph g;
	int rc;

	assert_int_equal(model_folded(&s, 2, false, &g), 0);
	rc = quant_plan_make(&p, &g, rules);
	assert_true(rc < 0 && !p.value && !p.layer);
	graph_clear(&g);
	return rc;
}

static const struct quant_layer *layer_of(const struct quant_plan *p, const char *name)
{
	for (int i = 0; i < p->n_layer; i++)
		if (strcmp(p->layer[i].name, name) == 0)
			return &p->layer[i];
	fail_msg("no layer %s", name);
	return NULL;
}

/* "u8", "s8", "u4", ..., "affine8", "w8", or "-" where the value is not quantized. */
static void assert_value(const struct quant_plan *p, const char *name, const char *want)
{
	const struct quant_value *v = quant_plan_value(p, name);
	char got[32] = "-";

	if (v)
		snprintf(got, sizeof(got), "%s%d",
		    v->weight        ? "w"
		    : v->affine      ? "affine"
		    : v->q.is_signed ? "s"
				     : "u",
		    v->q.bits);
	if (strcmp(got, want) != 0)
		fail_msg("'%s' is %s, expected %s", name, got, want);
}

static void plan__mlp_has_real_logits_and_unsigned_hidden_values(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p = plan_of(model_mlp(), &rules);

	(void)state;
	assert_int_equal(p.n_layer, 3);
	assert_value(&p, "input", "s8");
	assert_value(&p, "fc1", "u8");
	assert_value(&p, "fc2", "u8");
	assert_value(&p, "fc3", "-");
	assert_value(&p, "fc1.weight", "w8");
	assert_int_equal(quant_plan_value(&p, "fc1.weight")->channels, 13);
	assert_int_equal(p.n_value, 6);
	assert_false(p.simulated);
	quant_plan_clear(&p);
}

static void plan__affine_is_for_values_whose_zero_point_folds(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;

	(void)state;
	rules.affine = true;
	p = plan_of(model_mlp(), &rules);
	assert_value(&p, "input", "affine8");
	assert_value(&p, "fc1", "u8");
	quant_plan_clear(&p);
	p = plan_of(model_cnn(0), &rules);
	assert_value(&p, "input", "affine8");
	quant_plan_clear(&p);
	p = plan_of(model_cnn(1), &rules);
	assert_value(&p, "input", "s8");
	quant_plan_clear(&p);
	p = plan_of(model_resnet(), &rules);
	assert_value(&p, "input", "s8");
	assert_value(&p, "stage2.block0.downsample.bn", "s8");
	quant_plan_clear(&p);
}

/* Convolutions of one pooled input, the first padded, the second not. */
static void plan__one_reader_decides_on_the_zero_point(void **state)
{
	const struct attr padded = {.stride = 1, .pad = 1}, plain = {.stride = 1}, pool = {.kernel = 2, .stride = 2};
	struct quant_rules rules = rules_of(QUANT_STATIC);

	(void)state;
	for (int both = 0; both < 2; both++) {
		struct quant_plan p;
		struct graph g;
		int x, w, a, b;

		graph_init(&g);
		x = graph_input(&g, "x", DT_F32, shape_of(4, (int64_t[]){1, 8, 8, 3}));
		w = graph_param(&g, "w", DT_F32, shape_of(4, (int64_t[]){3, 3, 3, 3}), NULL);
		x = graph_add(&g, OP_MAXPOOL, "pool", &x, 1, &pool);
		a = graph_add(&g, OP_CONV2D, "a", (int[]){x, w}, 2, both ? &padded : &plain);
		b = graph_add(&g, OP_CONV2D, "b", (int[]){x, w}, 2, &plain);
		a = graph_add(&g, OP_MAXPOOL, "pool_a", &a, 1, &pool);
		b = graph_add(&g, OP_MAXPOOL, "pool_b", &b, 1, &pool);
		g.output = a;
		rules.affine = both;
		assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
		assert_value(&p, "pool", "s8"); /* a pool of what may be negative may be so */
		quant_plan_clear(&p);
		rules.affine = !both;
		assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
		assert_value(&p, "pool", both ? "s8" : "affine8");
		quant_plan_clear(&p);
		graph_clear(&g);
	}
}

static void plan__an_average_pool_folds_no_zero_point(void **state)
{
	const struct attr conv = {.stride = 1};
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	struct graph g;
	int x, w, v;

	(void)state;
	graph_init(&g);
	x = graph_input(&g, "x", DT_F32, shape_of(4, (int64_t[]){1, 8, 8, 3}));
	w = graph_param(&g, "w", DT_F32, shape_of(4, (int64_t[]){3, 3, 3, 3}), NULL);
	v = graph_param(&g, "v", DT_F32, shape_of(2, (int64_t[]){5, 3}), NULL);
	x = graph_add(&g, OP_CONV2D, "a", (int[]){x, w}, 2, &conv);
	x = graph_add(&g, OP_AVGPOOL, "mean", &x, 1, NULL);
	g.output = graph_add(&g, OP_LINEAR, "b", (int[]){x, v}, 2, NULL);
	rules.affine = true;
	assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
	assert_value(&p, "x", "affine8");
	assert_value(&p, "a", "s8");
	assert_value(&p, "mean", "affine8");
	quant_plan_clear(&p);
	graph_clear(&g);
}

static void plan__pooling_needs_no_value_of_its_own(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p = plan_of(model_cnn(0), &rules);

	(void)state;
	assert_value(&p, "bn1", "u8");
	assert_value(&p, "pool1", "-");
	assert_value(&p, "bn3", "u8");
	assert_value(&p, "conv1.weight.folded", "w8");
	assert_value(&p, "conv1.weight", "-");
	assert_int_equal(p.n_value, 6 + 6);
	quant_plan_clear(&p);
}

static void plan__the_main_branch_fuses_into_the_add(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p = plan_of(model_resnet(), &rules);

	(void)state;
	assert_string_equal(layer_of(&p, "stage1.block0.bn2")->output, "stage1.block0.add");
	assert_string_equal(layer_of(&p, "stage2.block0.bn2")->output, "stage2.block0.add");
	assert_string_equal(layer_of(&p, "stage2.block0.downsample.bn")->output, "stage2.block0.downsample.bn");
	assert_value(&p, "stage2.block0.add", "u8");
	assert_value(&p, "stage2.block0.bn2", "-");
	assert_value(&p, "stage2.block0.downsample.bn", "s8");
	assert_value(&p, "avgpool", "u8");
	assert_true(layer_of(&p, "avgpool")->quantized);
	for (int i = 0; i < p.n_layer; i++)
		assert_true(p.layer[i].quantized && !p.layer[i].simulated && !p.layer[i].why);
	quant_plan_clear(&p);
}

/* Two linear layers of one input and their sum; `relu`: the later has one; `reads`: how often it is read beside. */
static void assert_fused(bool relu, int reads, const char *first, const char *second)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	const struct attr attr = {.relu = relu};
	struct quant_plan p;
	struct graph g;
	int x, w, a, b;

	graph_init(&g);
	x = graph_input(&g, "x", DT_F32, shape_of(2, (int64_t[]){1, 4}));
	w = graph_param(&g, "w", DT_F32, shape_of(2, (int64_t[]){4, 4}), NULL);
	a = graph_add(&g, OP_LINEAR, "first", (int[]){x, w}, 2, NULL);
	b = graph_add(&g, OP_LINEAR, "second", (int[]){x, w}, 2, &attr);
	g.output = graph_add(&g, OP_ADD, "sum", (int[]){a, b}, 2, NULL);
	if (reads)
		g.output = graph_add(&g, OP_ADD, "again", (int[]){g.output, b}, 2, NULL);
	assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
	assert_string_equal(layer_of(&p, "first")->output, first);
	assert_string_equal(layer_of(&p, "second")->output, second);
	quant_plan_clear(&p);
	graph_clear(&g);
}

static void plan__layers_that_others_read_or_that_have_a_relu_fuse_no_add(void **state)
{
	(void)state;
	assert_fused(false, 0, "first", "sum");
	assert_fused(false, 1, "sum", "second");
	assert_fused(true, 0, "sum", "second");
}

static void plan__excluded_layers_make_real_values_around_them(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	char *patterns[] = {"conv2"};
	struct quant_plan p;

	(void)state;
	rules.exclude = (struct option_strings){patterns, 1};
	p = plan_of(model_cnn(0), &rules); /* by the convolution's own name, though the fold renamed it */
	assert_false(layer_of(&p, "bn2")->quantized);
	assert_string_equal(layer_of(&p, "bn2")->why, "excluded by a pattern");
	assert_value(&p, "bn1", "-"); /* only a real layer consumes it */
	assert_value(&p, "bn2", "-"); /* quantized after the pool */
	assert_value(&p, "pool2", "u8");
	assert_value(&p, "conv2.weight.folded", "-");
	quant_plan_clear(&p);
	patterns[0] = "fc";
	p = plan_of(model_resnet(), &rules);
	assert_false(layer_of(&p, "avgpool")->quantized);
	assert_value(&p, "avgpool", "-");
	assert_value(&p, "stage2.block1.add", "-");
	quant_plan_clear(&p);
	patterns[0] = "stage2.block0.bn2"; /* then the other branch fuses */
	p = plan_of(model_resnet(), &rules);
	assert_string_equal(layer_of(&p, "stage2.block0.downsample.bn")->output, "stage2.block0.add");
	assert_value(&p, "stage2.block0.bn2", "s8");
	quant_plan_clear(&p);
}

static void plan__a_pattern_without_match_names_the_nearest_layer(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	char *patterns[] = {"fc*", "cov1"};

	(void)state;
	rules.exclude = (struct option_strings){patterns, 2};
	assert_int_equal(plan_error(model_cnn(0), &rules), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "'cov1'"));
	assert_non_null(strstr(err_message(), "'conv1'"));
}

static void plan__nothing_left_is_an_error(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	char *patterns[] = {"*"}, *others[] = {"conv*", "stage*", "fc"};

	(void)state;
	rules.exclude = (struct option_strings){patterns, 1};
	assert_int_equal(plan_error(model_mlp(), &rules), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "nothing is left"));
	rules = rules_of(QUANT_STATIC);
	rules.act_bits = 9;
	assert_int_equal(plan_error(model_mlp(), &rules), ERR_CONFIG);
	rules = rules_of(QUANT_DYNAMIC);
	rules.act_bits = 4;
	assert_int_equal(plan_error(model_mlp(), &rules), ERR_CONFIG);
	rules = rules_of(QUANT_QAT);
	rules.edge_bits = 1;
	assert_int_equal(plan_error(model_mlp(), &rules), ERR_CONFIG);
	rules = rules_of(QUANT_STATIC);
	rules.prob_bits = 12;
	assert_int_equal(plan_error(model_mlp(), &rules), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "prob_bits must be 8 or 16"));
	/* an average pool has no weights: by itself it is nothing */
	rules = rules_of(QUANT_STATIC);
	rules.exclude = (struct option_strings){others, 3};
	assert_int_equal(plan_error(model_resnet(), &rules), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "nothing is left"));
}

static void plan__narrow_activations_are_simulated_narrow_weights_are_not(void **state)
{
	struct quant_rules rules = rules_of(QUANT_QAT);
	struct quant_plan p;

	(void)state;
	rules.weight_bits = 4;
	p = plan_of(model_cnn(0), &rules);
	assert_false(p.simulated);
	assert_value(&p, "fc1.weight", "w4");
	quant_plan_clear(&p);
	rules.act_bits = 4;
	rules.edge_bits = 8;
	p = plan_of(model_cnn(0), &rules);
	assert_true(p.simulated);
	assert_value(&p, "input", "s8");
	assert_value(&p, "conv1.weight.folded", "w8");
	assert_value(&p, "fc3.weight", "w8");
	assert_value(&p, "fc2", "u8"); /* the last layer's input */
	assert_value(&p, "bn1", "u4");
	assert_value(&p, "fc1", "u4");
	assert_true(layer_of(&p, "bn2")->simulated);
	assert_true(layer_of(&p, "bn1")->simulated); /* its output has 4 bits */
	assert_true(layer_of(&p, "fc2")->simulated); /* its input has 4 bits */
	assert_false(layer_of(&p, "fc3")->simulated);
	assert_non_null(layer_of(&p, "bn2")->why);
	quant_plan_clear(&p);
}

/* An input that a layer of the edge and one in the middle read, whose weight those at both ends may share. */
static int make_edges(struct quant_plan *p, struct graph *g, bool tied)
{
	struct quant_rules rules = rules_of(QUANT_QAT);
	int x, w[3], a, b;

	rules.act_bits = rules.weight_bits = 4;
	rules.edge_bits = 8;
	graph_init(g);
	x = graph_input(g, "x", DT_F32, shape_of(2, (int64_t[]){1, 4}));
	w[0] = graph_param(g, "w0", DT_F32, shape_of(2, (int64_t[]){4, 4}), NULL);
	w[1] = tied ? w[0] : graph_param(g, "w1", DT_F32, shape_of(2, (int64_t[]){4, 4}), NULL);
	w[2] = graph_param(g, "w2", DT_F32, shape_of(2, (int64_t[]){4, 4}), NULL);
	a = graph_add(g, OP_LINEAR, "first", (int[]){x, w[0]}, 2, NULL);
	b = graph_add(g, OP_LINEAR, "middle", (int[]){x, w[1]}, 2, NULL);
	a = graph_add(g, OP_ADD, "sum", (int[]){a, b}, 2, NULL);
	g->output = graph_add(g, OP_LINEAR, "last", (int[]){a, w[2]}, 2, NULL);
	return quant_plan_make(p, g, &rules);
}

static void plan__a_value_has_the_most_bits_that_a_reader_asks_for(void **state)
{
	struct quant_plan p;
	struct graph g;

	(void)state;
	assert_int_equal(make_edges(&p, &g, false), 0);
	assert_value(&p, "x", "s8");
	assert_value(&p, "w0", "w8");
	assert_value(&p, "w1", "w4");
	assert_value(&p, "sum", "s8");
	assert_value(&p, "first", "s4");
	assert_true(layer_of(&p, "middle")->simulated); /* the residual alone has 4 bits */
	quant_plan_clear(&p);
	graph_clear(&g);
	assert_int_equal(make_edges(&p, &g, true), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "'w0' is used by layers of 8 and of 4 bits"));
	graph_clear(&g);
}

static void plan__dynamic_lists_what_stays_fp32(void **state)
{
	struct quant_rules rules = rules_of(QUANT_DYNAMIC);
	struct quant_plan p;

	(void)state;
	rules.per_channel = false;
	p = plan_of(model_cnn(0), &rules);
	assert_false(layer_of(&p, "bn1")->quantized);
	assert_string_equal(layer_of(&p, "bn1")->why, "dynamic quantization covers linear layers only");
	assert_true(layer_of(&p, "fc1")->quantized);
	assert_int_equal(p.n_value, 3);
	assert_false(quant_plan_value(&p, "fc1.weight")->per_channel);
	assert_int_equal(quant_plan_value(&p, "fc1.weight")->channels, 11);
	quant_plan_clear(&p);
	rules = rules_of(QUANT_FP16);
	p = plan_of(model_resnet(), &rules);
	assert_int_equal(p.n_value, 0);
	assert_true(layer_of(&p, "bn1")->quantized);
	assert_false(layer_of(&p, "avgpool")->quantized);
	quant_plan_clear(&p);
}

static void plan__set_range_gives_zero_points_to_affine_values_only(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	float step;

	(void)state;
	rules.affine = true;
	p = plan_of(model_mlp(), &rules);
	assert_int_equal(quant_plan_set_range(&p, "input", -1, 3, &step), 0);
	assert_true(step == 4.0f / 255);
	assert_int_equal(quant_plan_value(&p, "input")->q.zero, 64);
	assert_int_equal(quant_plan_set_range(&p, "fc1", 0, 5.1f, &step), 0);
	assert_int_equal(quant_plan_value(&p, "fc1")->q.zero, 0);
	assert_int_equal(quant_plan_set_range(&p, "fc1", -0.1f, 5.1f, &step), ERR_FAIL);
	assert_int_equal(quant_plan_set_range(&p, "input", 2, 1, &step), ERR_FAIL);
	assert_int_equal(quant_plan_set_range(&p, "input", NAN, 1, &step), ERR_FAIL);
	assert_int_equal(quant_plan_set_range(&p, "input", -1, NAN, &step), ERR_FAIL);
	assert_int_equal(quant_plan_set_range(&p, "input", -1, INFINITY, &step), ERR_FAIL);
	assert_int_equal(quant_plan_set_range(&p, "fc1.weight", 0, 1, &step), ERR_FAIL);
	assert_int_equal(quant_plan_set_range(&p, "nobody", 0, 1, &step), ERR_FAIL);
	quant_plan_clear(&p);
}

static void assert_plans_equal(const struct quant_plan *a, const struct quant_plan *b)
{
	assert_int_equal(a->method, b->method);
	assert_int_equal(a->simulated, b->simulated);
	assert_int_equal(a->n_value, b->n_value);
	assert_int_equal(a->n_layer, b->n_layer);
	for (int i = 0; i < a->n_value; i++) {
		const struct quant_value *v = &a->value[i], *w = &b->value[i];

		assert_string_equal(v->name, w->name);
		assert_memory_equal(&v->q, &w->q, offsetof(struct qrange, is_signed) + 1);
		assert_true(v->weight == w->weight && v->affine == w->affine && v->per_channel == w->per_channel);
		assert_int_equal(v->channels, w->channels);
	}
	for (int i = 0; i < a->n_layer; i++) {
		assert_string_equal(a->layer[i].name, b->layer[i].name);
		assert_string_equal(a->layer[i].output, b->layer[i].output);
		assert_true(a->layer[i].quantized == b->layer[i].quantized);
		assert_true(a->layer[i].simulated == b->layer[i].simulated);
		/* Several kinds of groups give one reason in the same words. */
		assert_true(!a->layer[i].why == !b->layer[i].why);
		if (a->layer[i].why)
			assert_string_equal(a->layer[i].why, b->layer[i].why);
	}
}

static void plan__a_copy_is_equal_and_its_own(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p, copy;
	char *patterns[] = {"fc"};
	uint64_t n;

	(void)state;
	rules.exclude = (struct option_strings){patterns, 1};
	p = plan_of(model_resnet(), &rules);
	mem_fail_at(0);
	assert_int_equal(quant_plan_copy(&copy, &p), 0);
	n = mem_count();
	assert_plans_equal(&p, &copy);
	copy.value[0].q = qrange_weight(7);
	assert_int_equal(quant_plan_value(&p, "conv1.weight.folded")->q.bits, 8);
	quant_plan_clear(&copy);
	for (uint64_t i = 1; i <= n; i++) {
		mem_fail_at(i);
		assert_int_equal(quant_plan_copy(&copy, &p), ERR_NOMEM);
		assert_null(copy.value);
	}
	mem_fail_at(0);
	quant_plan_clear(&p);
	assert_int_equal(quant_plan_copy(&copy, &p), 0); /* of nothing */
	assert_int_equal(copy.n_layer, 0);
	quant_plan_clear(&copy);
}

static char *plan_text(void)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p;
	float step;
	cJSON *json;
	char *text;

	rules.affine = true;
	p = plan_of(model_mlp(), &rules);
	assert_int_equal(quant_plan_set_range(&p, "input", -1, 3, &step), 0);
	json = quant_plan_to_json(&p);
	text = cJSON_PrintUnformatted(json);
	assert_non_null(text);
	cJSON_Delete(json);
	quant_plan_clear(&p);
	return text;
}

static void plan__json_round_trip_is_exact(void **state)
{
	enum quant_method methods[] = {QUANT_STATIC, QUANT_QAT, QUANT_DYNAMIC, QUANT_BF16};
	char *patterns[] = {"stage1*bn1"};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct quant_rules rules = rules_of(methods[i]);
		struct quant_plan p, back;
		cJSON *json;

		rules.exclude = (struct option_strings){patterns, 1};
		rules.act_bits = methods[i] == QUANT_QAT ? 4 : 8;
		rules.edge_bits = methods[i] == QUANT_QAT ? 8 : 0;
		p = plan_of(model_resnet(), &rules);
		json = quant_plan_to_json(&p);
		assert_non_null(json);
		assert_int_equal(quant_plan_from_json(&back, json), 0);
		assert_plans_equal(&p, &back);
		cJSON_Delete(json);
		quant_plan_clear(&p);
		quant_plan_clear(&back);
	}
}

/* Reads the saved MLP plan with one text replaced by another. */
static int read_with(const char *from, const char *to)
{
	char *text = plan_text(), *at = strstr(text, from), *changed = malloc(strlen(text) + strlen(to) + 1);
	struct quant_plan p;
	cJSON *json;
	int rc;

	assert_non_null(at);
	memcpy(changed, text, (size_t)(at - text));
	strcpy(changed + (at - text), to);
	strcat(changed, at + strlen(from));
	json = cJSON_Parse(changed);
	if (!json)
		fail_msg("not JSON: %s", changed);
	rc = quant_plan_from_json(&p, json);
	if (!rc)
		quant_plan_clear(&p);
	cJSON_Delete(json);
	free(changed);
	cJSON_free(text);
	return rc;
}

static void plan__hostile_json_is_refused(void **state)
{
	static const char *const cases[][2] = {
	    {"\"static\"", "\"ternary\""},
	    {"\"static\"", "7"},
	    {"\"simulated\":false", "\"simulated\":true"},
	    {"\"simulated\":false", "\"simulated\":0"},
	    {"\"bits\":8", "\"bits\":9"},
	    {"\"bits\":8", "\"bits\":7"},
	    {"\"bits\":8", "\"bits\":8.5"},
	    {"\"bits\":8", "\"bits\":1e300"},
	    {"\"bits\":8,", ""},
	    {"\"zero\":64", "\"zero\":256"},
	    {"\"zero\":64", "\"zero\":-1"},
	    {"\"bits\":8,\"lo\":0,\"hi\":255,\"zero\":64", "\"bits\":4,\"lo\":0,\"hi\":15,\"zero\":16"},
	    {"\"per_channel\":false,\"channels\":1", "\"per_channel\":false,\"channels\":2"},
	    {"\"per_channel\":false", "\"per_channel\":true"},
	    {"\"bits\":8,\"lo\":0,\"hi\":255,\"zero\":64", "\"bits\":1,\"lo\":0,\"hi\":1,\"zero\":1"},
	    {"\"bits\":8,\"lo\":0,\"hi\":255,\"zero\":64", "\"bits\":1,\"lo\":0,\"hi\":1,\"zero\":0"},
	    {"\"bits\":8,\"lo\":-127,\"hi\":127", "\"bits\":1,\"lo\":0,\"hi\":1"},
	    {"\"bits\":8,\"lo\":-127,\"hi\":127", "\"bits\":0,\"lo\":-1,\"hi\":1"},
	    {"\"zero\":64", "\"zero\":63.5"},
	    {"\"weight\":true,\"affine\":false", "\"weight\":true,\"affine\":true"},
	    {"\"hi\":255", "\"hi\":254"},
	    {"\"lo\":-127", "\"lo\":-128"},
	    {"\"affine\":true", "\"affine\":false"},
	    {"\"channels\":13", "\"channels\":0"},
	    {"\"channels\":13", "\"channels\":99999999999"},
	    {"\"name\":\"input\"", "\"name\":\"\""},
	    {"\"name\":\"input\"", "\"name\":null"},
	    {"\"name\":\"input\"", "\"name\":\"fc1\""},
	    {"\"name\":\"input\"", "\"nme\":\"input\""},
	    {"\"name\":\"input\"", "\"name\":\"input\",\"name\":\"input\""},
	    {"\"name\":\"input\"", "\"name\":\"input\",\"extra\":1"},
	    {"\"why\":null", "\"why\":\"because\""},
	    {"\"why\":null", "\"why\":\"excluded by a pattern\""},
	    {"\"quantized\":true", "\"quantized\":false"},
	    {"\"output\":\"fc1\"", "\"output\":5"},
	    {"\"values\":[", "\"values\":[[],"},
	    {"\"layers\":[", "\"layers\":[null,"},
	    {"\"layers\":", "\"leyers\":"},
	};

	(void)state;
	assert_int_equal(read_with("\"zero\":64", "\"zero\":63"), 0);
	assert_int_equal(
	    read_with("\"bits\":8,\"lo\":0,\"hi\":255,\"zero\":64", "\"bits\":4,\"lo\":0,\"hi\":15,\"zero\":15"), 0);
	assert_int_equal(read_with("\"bits\":8,\"lo\":-127,\"hi\":127", "\"bits\":1,\"lo\":-1,\"hi\":1"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = read_with(cases[i][0], cases[i][1]);

		if (rc != ERR_CHECKPOINT)
			fail_msg("%s for %s gave %d", cases[i][1], cases[i][0], rc);
	}
}

static void assert_not_read(cJSON *json, const char *why)
{
	struct quant_plan p;

	assert_int_equal(quant_plan_from_json(&p, json), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), why));
	assert_true(!p.value && !p.layer);
	cJSON_Delete(json);
}

/* What no change of one word makes of a plan. */
static void plan__lists_that_contradict_themselves_are_refused(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct quant_plan p = plan_of(model_mlp(), &rules);
	struct quant_layer *l = &p.layer[1];
	const struct quant_layer before = *l;
	cJSON *json;

	(void)state;
	memcpy(l->name, p.layer[0].name, NODE_NAME);
	assert_not_read(quant_plan_to_json(&p), "layers: 'fc1' is listed twice");
	*l = before;
	l->quantized = false;
	l->simulated = p.simulated = true;
	l->why = "no integer kernel for activations of fewer than 8 bits";
	assert_not_read(quant_plan_to_json(&p), "'simulated' is true for a layer that is not quantized");
	*l = before;
	p.simulated = false;
	json = quant_plan_to_json(&p);
	cJSON_GetObjectItem(json, "layers")->type = cJSON_Object;
	assert_not_read(json, "must be lists");
	json = quant_plan_to_json(&p);
	for (int i = cJSON_GetArraySize(cJSON_GetObjectItem(json, "values")); i <= 65536; i++)
		assert_true(cJSON_AddItemToArray(cJSON_GetObjectItem(json, "values"), cJSON_CreateNull()));
	assert_not_read(json, "too few or too many entries");
	p.n_layer = 0;
	assert_not_read(quant_plan_to_json(&p), "too few or too many entries");
	assert_not_read(cJSON_CreateArray(), "must be an object");
	quant_plan_clear(&p);
}

static void plan__a_name_of_96_characters_is_refused(void **state)
{
	char name[160] = "\"output\":\"";

	(void)state;
	memset(name + strlen(name), 'x', 96);
	strcat(name, "\"");
	assert_int_equal(read_with("\"output\":\"fc1\"", name), ERR_CHECKPOINT);
}

static void plan__each_failing_allocation_is_an_error(void **state)
{
	struct quant_rules rules = rules_of(QUANT_STATIC);
	struct model_spec s = model_resnet();
	struct quant_plan p;
	struct graph g;
	uint64_t n;

	(void)state;
	assert_int_equal(model_folded(&s, 2, false, &g), 0);
	mem_fail_at(0);
	assert_int_equal(quant_plan_make(&p, &g, &rules), 0);
	quant_plan_clear(&p);
	n = mem_count();
	assert_true(n > 10);
	for (uint64_t i = 1; i <= n; i++) {
		mem_fail_at(i);
		assert_int_equal(quant_plan_make(&p, &g, &rules), ERR_NOMEM);
		assert_null(p.value);
	}
	mem_fail_at(0);
	graph_clear(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plan__mlp_has_real_logits_and_unsigned_hidden_values),
	    cmocka_unit_test(plan__affine_is_for_values_whose_zero_point_folds),
	    cmocka_unit_test(plan__one_reader_decides_on_the_zero_point),
	    cmocka_unit_test(plan__an_average_pool_folds_no_zero_point),
	    cmocka_unit_test(plan__pooling_needs_no_value_of_its_own),
	    cmocka_unit_test(plan__the_main_branch_fuses_into_the_add),
	    cmocka_unit_test(plan__layers_that_others_read_or_that_have_a_relu_fuse_no_add),
	    cmocka_unit_test(plan__excluded_layers_make_real_values_around_them),
	    cmocka_unit_test(plan__a_pattern_without_match_names_the_nearest_layer),
	    cmocka_unit_test(plan__nothing_left_is_an_error),
	    cmocka_unit_test(plan__narrow_activations_are_simulated_narrow_weights_are_not),
	    cmocka_unit_test(plan__a_value_has_the_most_bits_that_a_reader_asks_for),
	    cmocka_unit_test(plan__dynamic_lists_what_stays_fp32),
	    cmocka_unit_test(plan__set_range_gives_zero_points_to_affine_values_only),
	    cmocka_unit_test(plan__a_copy_is_equal_and_its_own),
	    cmocka_unit_test(plan__json_round_trip_is_exact),
	    cmocka_unit_test(plan__hostile_json_is_refused),
	    cmocka_unit_test(plan__lists_that_contradict_themselves_are_refused),
	    cmocka_unit_test(plan__a_name_of_96_characters_is_refused),
	    cmocka_unit_test(plan__each_failing_allocation_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
