/* Passes as structure: what fold, freeze, autocast and slice keep, rename, move and refuse. Their numbers are tested
 * where there is an executor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/pass.h"
#include "graph/spec_samples.h"

static const struct node *named(const struct graph *g, const char *name)
{
	int i = graph_find(g, name);
	if (i == NODE_NONE)
		fail_msg("no node '%s'", name);
	return &g->node[i];
}

static int count(const struct graph *g, enum op op)
{
	int n = 0;
	for (int i = 0; i < g->n; i++)
		n += g->node[i].op == op;
	return n;
}

static void folded_sample(const struct model_spec *s, struct graph *g, struct graph *f)
{
	assert_int_equal(spec_build(g, s, &(struct build_shape){.sequences = 3}), 0);
	assert_int_equal(graph_add_ce(g, 0), 0);
	graph_init(f);
	assert_int_equal(pass_fold(g, f), 0);
}

static void fold__leaves_shapes_names_and_params(void **state)
{
	(void)state;
	for (int m = 0; m < N_SAMPLES; m++) {
		struct graph g, f;
		folded_sample(samples[m], &g, &f);
		assert_int_equal(count(&f, OP_BATCHNORM), 0);
		assert_int_equal(count(&f, OP_PARAM), count(&g, OP_PARAM));
		assert_int_equal(count(&f, OP_FOLD_WEIGHT), count(&g, OP_BATCHNORM));
		assert_int_equal(graph_macs(&f), graph_macs(&g));
		assert_string_equal(f.node[f.output].name, g.node[g.output].name);
		assert_string_equal(f.node[f.loss].name, "loss");
		for (int i = 0; i < g.n; i++) {
			int k = graph_find(&f, g.node[i].name);
			bool layer = g.node[i].op == OP_CONV2D && samples[m] != &sample_bare_cnn;
			assert_int_equal(k == NODE_NONE, layer); /* the layer's own name is gone */
			if (k != NODE_NONE)
				assert_true(shape_equal(f.node[k].shape, g.node[i].shape));
		}
		graph_clear(&g);
		graph_clear(&f);
	}
}

static void fold__moves_relu_and_geometry_to_the_norms_place(void **state)
{
	(void)state;
	struct graph g, f;
	folded_sample(&sample_resnet, &g, &f);
	const struct node *c = named(&f, "stage2.block0.bn1");
	assert_int_equal(c->op, OP_CONV2D);
	assert_true(c->attr.relu);
	assert_int_equal(c->attr.stride, 2);
	assert_string_equal(f.node[c->in[1]].name, "stage2.block0.conv1.weight.folded");
	const struct node *bias = &f.node[c->in[2]];
	assert_string_equal(bias->name, "stage2.block0.conv1.weight.folded_bias");
	assert_int_equal(bias->in[FOLD_BIAS_B], NODE_NONE);
	assert_string_equal(f.node[bias->in[FOLD_BIAS_GAMMA]].name, "stage2.block0.bn1.weight");
	assert_string_equal(f.node[bias->in[FOLD_BIAS_BETA]].name, "stage2.block0.bn1.bias");
	assert_string_equal(f.node[bias->in[FOLD_BIAS_MEAN]].name, "stage2.block0.bn1.running_mean");
	assert_string_equal(f.node[bias->in[FOLD_BIAS_VAR]].name, "stage2.block0.bn1.running_var");
	assert_true(bias->attr.eps == 1e-5f);
	assert_false(named(&f, "stage2.block0.bn2")->attr.relu);
	/* nothing observes any more */
	assert_int_equal(named(&g, "bn1.running_mean")->param.kind, PARAM_STAT);
	assert_int_equal(named(&f, "bn1.running_mean")->param.kind, PARAM_FROZEN);
	assert_int_equal(named(&f, "bn1.weight")->param.kind, PARAM_TRAINED);
	graph_clear(&g);
	graph_clear(&f);
}

static void fold__leaves_norms_that_follow_something_else(void **state)
{
	(void)state;
	struct graph g, f;
	graph_init(&g);
	graph_init(&f);
	struct shape v = {.ndim = 1, .dim = {3}}, square = {.ndim = 2, .dim = {3, 3}};
	int x = graph_input(&g, "x", DT_F32, (struct shape){.ndim = 2, .dim = {2, 3}});
	int p = graph_param(&g, "p", DT_F32, v, &(struct param_attr){.kind = PARAM_STAT});
	int w = graph_param(&g, "w", DT_F32, square, NULL);
	struct attr bn = {.eps = 1e-5f}, relu = {.relu = true};
	int a = graph_add(&g, OP_BATCHNORM, "a", (int[]){x, p, p, p, p}, 5, &bn); /* after an input */
	int l = graph_add(&g, OP_LINEAR, "l", (int[]){a, w}, 2, &relu);
	int b = graph_add(&g, OP_BATCHNORM, "b", (int[]){l, p, p, p, p}, 5, &bn); /* after a ReLU */
	int k = graph_add(&g, OP_LINEAR, "k", (int[]){b, w}, 2, NULL);
	int c = graph_add(&g, OP_BATCHNORM, "c", (int[]){k, p, p, p, p}, 5, &bn);
	g.output = graph_add(&g, OP_ADD, "d", (int[]){c, k}, 2, NULL); /* k has a second consumer */
	assert_int_equal(pass_fold(&g, &f), 0);
	assert_int_equal(count(&f, OP_BATCHNORM), 3);
	assert_int_equal(f.n, g.n);
	assert_int_equal(named(&f, "p")->param.kind, PARAM_STAT);
	graph_clear(&f);
	/* a layer that is the output itself has that as a second use */
	g.output = k;
	graph_init(&f);
	assert_int_equal(pass_fold(&g, &f), 0);
	assert_string_equal(f.node[f.output].name, "k");
	graph_clear(&f);
	graph_clear(&g);
}

static void fold__refuses_a_weight_shared_by_two_norms(void **state)
{
	(void)state;
	struct graph g, f;
	graph_init(&g);
	graph_init(&f);
	struct shape v = {.ndim = 1, .dim = {3}}, square = {.ndim = 2, .dim = {3, 3}};
	int x = graph_input(&g, "x", DT_F32, (struct shape){.ndim = 2, .dim = {2, 3}});
	int p = graph_param(&g, "p", DT_F32, v, NULL), w = graph_param(&g, "w", DT_F32, square, NULL);
	struct attr bn = {.eps = 1e-5f};
	int a = graph_add(&g, OP_LINEAR, "a", (int[]){x, w}, 2, NULL);
	int b = graph_add(&g, OP_BATCHNORM, "b", (int[]){a, p, p, p, p}, 5, &bn);
	int c = graph_add(&g, OP_LINEAR, "c", (int[]){b, w}, 2, NULL);
	g.output = graph_add(&g, OP_BATCHNORM, "d", (int[]){c, p, p, p, p}, 5, &bn);
	assert_int_equal(pass_fold(&g, &f), ERR_FAIL);
	assert_non_null(strstr(err_message(), "w.folded"));
	assert_null(f.node);
	graph_clear(&g);
}

static void freeze__constants_become_params_of_the_same_name(void **state)
{
	(void)state;
	struct graph g, f, z;
	assert_int_equal(spec_build(&g, &sample_cnn, &(struct build_shape){.sequences = 3}), 0);
	graph_init(&f);
	graph_init(&z);
	assert_int_equal(pass_fold(&g, &f), 0);
	assert_int_equal(pass_freeze(&f, &z), 0);
	assert_int_equal(count(&z, OP_FOLD_WEIGHT), 0);
	const struct node *w = named(&z, "conv1.weight.folded");
	assert_int_equal(w->op, OP_PARAM);
	assert_int_equal(w->param.kind, PARAM_FROZEN);
	assert_int_equal(w->param.init, INIT_UNSET);
	assert_true(shape_equal(w->shape, named(&f, "conv1.weight.folded")->shape));
	assert_int_equal(named(&z, "fc1.weight")->param.init, INIT_UNSET);
	assert_int_equal(graph_find(&z, "conv1.weight"), NODE_NONE); /* only the folded one is needed */
	assert_int_equal(graph_find(&z, "bn1.running_var"), NODE_NONE);
	assert_string_equal(z.node[z.output].name, "fc3");
	graph_clear(&g);
	graph_clear(&f);
	graph_clear(&z);
}

static void freeze__leaves_half_precision_weights_as_they_are(void **state)
{
	(void)state;
	struct graph g, z;
	graph_init(&g);
	graph_init(&z);
	int x = graph_input(&g, "x", DT_F32, (struct shape){.ndim = 2, .dim = {2, 3}});
	int w = graph_param(&g, "w", DT_F32, (struct shape){.ndim = 2, .dim = {4, 3}}, NULL);
	int half = graph_add(&g, OP_CAST, "half", (int[]){w}, 1, &(struct attr){.to = DT_F16});
	int wide = graph_add(&g, OP_CAST, "wide", (int[]){half}, 1, &(struct attr){.to = DT_F32});
	g.output = graph_add(&g, OP_LINEAR, "y", (int[]){x, wide}, 2, NULL);
	assert_int_equal(pass_freeze(&g, &z), 0);
	assert_int_equal(named(&z, "half")->op, OP_PARAM);
	assert_int_equal(named(&z, "half")->dtype, DT_F16);
	assert_int_equal(named(&z, "wide")->op, OP_CAST); /* else the file would hold f32 */
	assert_int_equal(graph_find(&z, "w"), NODE_NONE);
	graph_clear(&g);
	graph_clear(&z);
}

static void autocast__casts_both_operands_of_each_layer_and_nothing_else(void **state)
{
	(void)state;
	for (int m = 0; m < N_SAMPLES; m++) {
		enum dtype half = m & 1 ? DT_F16 : DT_BF16;
		struct graph g, h;
		int layers = 0;
		assert_int_equal(spec_build(&g, samples[m], &(struct build_shape){.sequences = 3}), 0);
		assert_int_equal(graph_add_ce(&g, 0), 0);
		graph_init(&h);
		assert_int_equal(pass_autocast(&g, half, &h), 0);
		for (int i = 0; i < h.n; i++) {
			const struct node *n = &h.node[i];
			bool layer = n->op == OP_LINEAR || n->op == OP_CONV2D;
			assert_int_equal(n->dtype == half, n->op == OP_CAST);
			layers += layer;
			for (int k = 0; k < n->n_in; k++) /* biases, norms and losses read f32 */
				if (n->in[k] != NODE_NONE)
					assert_int_equal(h.node[n->in[k]].dtype == half, layer && k < 2);
		}
		assert_true(layers > 0 && layers == count(&g, OP_LINEAR) + count(&g, OP_CONV2D));
		for (int i = 0; i < g.n; i++) { /* every value keeps its name, type and attributes */
			const struct node *n = named(&h, g.node[i].name);
			assert_true(n->op == g.node[i].op && n->dtype == g.node[i].dtype);
			assert_memory_equal(&n->attr, &g.node[i].attr, sizeof(n->attr));
		}
		assert_int_equal(h.n, g.n + count(&h, OP_CAST));
		assert_string_equal(h.node[h.output].name, g.node[g.output].name);
		assert_string_equal(h.node[h.loss].name, "loss");
		graph_clear(&g);
		graph_clear(&h);
	}
}

static void autocast__casts_a_shared_value_once(void **state)
{
	(void)state;
	struct graph g, h, again;
	graph_init(&g);
	graph_init(&h);
	graph_init(&again);
	int x = graph_input(&g, "x", DT_F32, (struct shape){.ndim = 2, .dim = {2, 3}});
	int w = graph_param(&g, "w", DT_F32, (struct shape){.ndim = 2, .dim = {3, 3}}, NULL);
	int a = graph_add(&g, OP_LINEAR, "a", (int[]){x, w}, 2, NULL);
	int b = graph_add(&g, OP_LINEAR, "b", (int[]){a, w}, 2, NULL);
	g.output = graph_add(&g, OP_ADD, "y", (int[]){a, b}, 2, NULL);
	assert_int_equal(pass_autocast(&g, DT_BF16, &h), 0);
	assert_int_equal(count(&h, OP_CAST), 3); /* x, w and a */
	assert_int_equal(named(&h, "a")->in[1], named(&h, "b")->in[1]);
	assert_string_equal(h.node[named(&h, "b")->in[1]].name, "w.bf16");
	/* what is half already is used as it is */
	assert_int_equal(pass_autocast(&h, DT_BF16, &again), 0);
	assert_int_equal(again.n, h.n);
	graph_clear(&again);
	assert_int_equal(pass_autocast(&g, DT_F32, &again), ERR_FAIL);
	assert_non_null(strstr(err_message(), "autocast to f32"));
	graph_clear(&g);
	graph_clear(&h);
}

static void tf32__marks_each_layer_and_changes_nothing_else(void **state)
{
	(void)state;
	for (int m = 0; m < N_SAMPLES; m++) {
		struct graph g, h, half;
		assert_int_equal(spec_build(&g, samples[m], &(struct build_shape){.sequences = 3}), 0);
		assert_int_equal(graph_add_ce(&g, 0), 0);
		graph_init(&h);
		graph_init(&half);
		assert_int_equal(pass_tf32(&g, &h), 0);
		assert_true(h.n == g.n && h.output == g.output && h.loss == g.loss);
		for (int i = 0; i < g.n; i++) {
			struct attr attr = h.node[i].attr;
			assert_int_equal(attr.tf32, g.node[i].op == OP_LINEAR || g.node[i].op == OP_CONV2D);
			attr.tf32 = false;
			assert_memory_equal(&attr, &g.node[i].attr, sizeof(attr));
			assert_string_equal(h.node[i].name, g.node[i].name);
		}
		graph_clear(&h);
		assert_int_equal(pass_autocast(&g, DT_BF16, &half), 0);
		assert_int_equal(pass_tf32(&half, &h), ERR_FAIL);
		assert_non_null(strstr(err_message(), "are bf16"));
		assert_int_equal(h.n, 0);
		graph_clear(&half);
		graph_clear(&g);
	}
}

static int to_f16(const struct graph *g, struct graph *out)
{
	return pass_autocast(g, DT_F16, out);
}

static void passes__survive_each_failed_allocation(void **state)
{
	(void)state;
	struct graph g, f;
	assert_int_equal(spec_build(&g, &sample_resnet, &(struct build_shape){.sequences = 2}), 0);
	int (*const pass[])(const struct graph *, struct graph *) = {pass_fold, pass_freeze, to_f16};
	for (int p = 0; p < 3; p++) {
		graph_init(&f);
		mem_fail_at(0);
		assert_int_equal(pass[p](&g, &f), 0);
		uint64_t n = mem_count();
		graph_clear(&f);
		for (uint64_t i = 1; i <= n; i++) {
			mem_fail_at(i);
			assert_int_equal(pass[p](&g, &f), ERR_NOMEM);
			assert_null(f.node);
		}
		mem_fail_at(0);
	}
	graph_clear(&g);
}

/* slice: keeps units (1, 2) of 3 and so on */
static void keep_units(struct slice *s, int width, int n, const int *units)
{
	s->n_keep[width] = n;
	s->keep[width] = mem_alloc((size_t)n, sizeof(int));
	memcpy(s->keep[width], units, (size_t)n * sizeof(int));
}

static void slice__spec_gets_the_new_widths(void **state)
{
	(void)state;
	struct slice s;
	struct model_spec out;
	assert_int_equal(slice_init(&s, 5), 0);
	keep_units(&s, 1, 2, (int[]){0, 4});
	assert_int_equal(slice_spec(&out, &sample_resnet, &s), 0);
	assert_int_equal(out.width[1], 2);
	assert_int_equal(out.width[0], 6);
	spec_clear(&out);
	s.keep[1][0] = 4;
	assert_int_equal(slice_spec(&out, &sample_resnet, &s), ERR_FAIL);
	s.keep[1][0] = 0, s.keep[1][1] = 5;
	assert_int_equal(slice_spec(&out, &sample_resnet, &s), ERR_FAIL);
	s.n_keep[1] = 0;
	assert_int_equal(slice_spec(&out, &sample_resnet, &s), ERR_FAIL);
	assert_non_null(strstr(err_message(), "stage1.block0"));
	slice_clear(&s);
	assert_int_equal(slice_init(&s, 10), 0);
	keep_units(&s, 9, 1, (int[]){0});
	assert_int_equal(slice_spec(&out, &sample_resnet, &s), ERR_FAIL);
	assert_non_null(strstr(err_message(), "slice of 10 widths: the model has 5"));
	slice_clear(&s);
	assert_null(s.keep);
}

static void slice__flattened_input_follows_its_channels(void **state)
{
	(void)state;
	/* bare CNN: conv2 gives (N, 3, 3, 5), so fc1.weight is (3, 45) with index (h*3 + w)*5 + c */
	struct slice s;
	struct model_spec small;
	struct graph g, h;
	assert_int_equal(slice_init(&s, 2), 0);
	keep_units(&s, 1, 2, (int[]){1, 4});
	assert_int_equal(slice_spec(&small, &sample_bare_cnn, &s), 0);
	assert_int_equal(spec_build(&g, &sample_bare_cnn, &shape_one), 0);
	assert_int_equal(spec_build(&h, &small, &shape_one), 0);
	const struct node *from = named(&g, "fc1.weight"), *to = named(&h, "fc1.weight");
	int64_t features = from->shape.dim[1], spatial = features / 5;
	assert_int_equal(to->shape.dim[1], spatial * 2);
	uint16_t *src = mem_alloc((size_t)(3 * features), sizeof(*src)),
		 *dst = mem_alloc((size_t)(3 * spatial * 2), sizeof *dst);
	for (int64_t i = 0; i < 3 * features; i++)
		src[i] = (uint16_t)i;
	assert_int_equal(slice_param(from, to, &s, src, dst, sizeof(*src)), 0);
	for (int64_t o = 0; o < 3; o++) {
		for (int64_t p = 0; p < spatial; p++) {
			assert_int_equal(dst[(o * spatial + p) * 2 + 0], src[o * features + p * 5 + 1]);
			assert_int_equal(dst[(o * spatial + p) * 2 + 1], src[o * features + p * 5 + 4]);
		}
	}
	mem_free(src);
	mem_free(dst);
	slice_clear(&s);
	graph_clear(&g);
	graph_clear(&h);
	spec_clear(&small);
}

static void slice__both_axes_of_a_convolution(void **state)
{
	(void)state;
	struct slice s;
	struct model_spec small;
	struct graph g, h;
	assert_int_equal(slice_init(&s, 2), 0);
	keep_units(&s, 0, 2, (int[]){0, 2});
	keep_units(&s, 1, 3, (int[]){0, 1, 3});
	assert_int_equal(slice_spec(&small, &sample_bare_cnn, &s), 0);
	assert_int_equal(spec_build(&g, &sample_bare_cnn, &shape_one), 0);
	assert_int_equal(spec_build(&h, &small, &shape_one), 0);
	const struct node *from = named(&g, "conv2.weight"), *to = named(&h, "conv2.weight");
	float src[5 * 2 * 2 * 3], dst[3 * 2 * 2 * 2];
	for (int i = 0; i < 60; i++)
		src[i] = (float)i;
	assert_int_equal(slice_param(from, to, &s, src, dst, sizeof(*src)), 0);
	for (int o = 0, at = 0; o < 3; o++) {
		for (int k = 0; k < 4; k++)
			for (int i = 0; i < 2; i++)
				assert_true(dst[at++] == (float)((s.keep[1][o] * 4 + k) * 3 + s.keep[0][i]));
	}
	uint8_t mask[5] = {1, 0, 1, 0, 1}, cut[3];
	assert_int_equal(slice_param(named(&g, "conv2.bias"), named(&h, "conv2.bias"), &s, mask, cut, 1), 0);
	assert_memory_equal(cut, ((uint8_t[]){1, 0, 0}), 3);
	assert_int_equal(slice_param(from, named(&h, "conv2.bias"), &s, src, dst, 4), ERR_FAIL);
	assert_int_equal(slice_param(from, from, &s, src, dst, 4), ERR_FAIL); /* new shape does not fit the slice */
	slice_clear(&s);
	assert_int_equal(slice_param(from, to, &s, src, dst, 4), ERR_FAIL); /* shapes differ, no slice */
	graph_clear(&g);
	graph_clear(&h);
	spec_clear(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fold__leaves_shapes_names_and_params),
	    cmocka_unit_test(fold__moves_relu_and_geometry_to_the_norms_place),
	    cmocka_unit_test(fold__leaves_norms_that_follow_something_else),
	    cmocka_unit_test(fold__refuses_a_weight_shared_by_two_norms),
	    cmocka_unit_test(freeze__constants_become_params_of_the_same_name),
	    cmocka_unit_test(freeze__leaves_half_precision_weights_as_they_are),
	    cmocka_unit_test(autocast__casts_both_operands_of_each_layer_and_nothing_else),
	    cmocka_unit_test(autocast__casts_a_shared_value_once),
	    cmocka_unit_test(tf32__marks_each_layer_and_changes_nothing_else),
	    cmocka_unit_test(passes__survive_each_failed_allocation),
	    cmocka_unit_test(slice__spec_gets_the_new_widths),
	    cmocka_unit_test(slice__flattened_input_follows_its_channels),
	    cmocka_unit_test(slice__both_axes_of_a_convolution),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
