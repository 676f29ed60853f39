/* Cross-layer equalization: which layers are pairs, and the arithmetic on two of them. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "quant/equalize.h"
#include "quant/models.h"

#define assert_near(a, b) assert_true(fabs((double)(a) - (double)(b)) <= 1e-6 * fabs((double)(b)))

/* "first-second first-second ..." of a family's folded graph. */
static void assert_pairs(struct model_spec spec, const char *exclude, const char *want)
{
	char *patterns[] = {(char *)(size_t)exclude}, text[512] = "";
	struct quant_rules rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8};
	struct quant_plan plan;
	struct equal_pair *pair;
	struct graph g;
	int n;

	if (exclude)
		rules.exclude = (struct option_strings){patterns, 1};
	assert_int_equal(model_folded(&spec, 2, false, &g), 0);
	assert_int_equal(quant_plan_make(&plan, &g, &rules), 0);
	assert_int_equal(equal_pairs(&g, &plan, &pair, &n), 0);
	for (int i = 0; i < n; i++) {
		strcat(strcat(text, i ? " " : ""), g.node[pair[i].first].name);
		strcat(strcat(text, "-"), g.node[pair[i].second].name);
	}
	assert_string_equal(text, want);
	mem_free(pair);
	quant_plan_clear(&plan);
	graph_clear(&g);
}

static void pairs__are_layers_between_which_channels_meet_nothing_else(void **state)
{
	(void)state;
	assert_pairs(model_mlp(), NULL, "fc1-fc2 fc2-fc3");
	assert_pairs(
	    model_cnn(0), NULL, "bn1-bn2 bn2-bn3 bn3-fc1 fc1-fc2 fc2-fc3"); /* through pooling and flattening */
	/* Within a block only: what leaves it meets the other branch in the add. */
	assert_pairs(model_resnet(), NULL,
	    "stage1.block0.bn1-stage1.block0.bn2 stage1.block1.bn1-stage1.block1.bn2 "
	    "stage2.block0.bn1-stage2.block0.bn2 stage2.block1.bn1-stage2.block1.bn2");
}

/* Where nothing is quantized on either side there is nothing to gain. */
static void pairs__have_a_quantized_layer(void **state)
{
	(void)state;
	assert_pairs(model_cnn(0), "fc*", "bn1-bn2 bn2-bn3 bn3-fc1");
}

static void pairs__of_weights_that_others_share_are_none(void **state)
{
	struct quant_layer layers[3] = {{.name = "a", .quantized = true}, {.name = "b"}, {.name = "c"}};
	struct quant_plan plan = {.n_layer = 3, .layer = layers};
	struct equal_pair *pair;
	struct graph g;
	int n, x, w, i;

	(void)state;
	graph_init(&g);
	x = graph_input(&g, "x", DT_F32, shape_of(2, (int64_t[]){1, 4}));
	w = graph_param(&g, "w", DT_F32, shape_of(2, (int64_t[]){4, 4}), NULL);
	i = graph_add(&g, OP_LINEAR, "a", (int[]){x, w}, 2, NULL);
	i = graph_add(&g, OP_LINEAR, "b", (int[]){i, w}, 2, NULL);
	g.output = graph_add(&g, OP_LINEAR, "c", (int[]){i, w}, 2, NULL);
	assert_int_equal(equal_pairs(&g, &plan, &pair, &n), 0);
	assert_int_equal(n, 0);
	mem_free(pair);
	graph_clear(&g);
}

enum between { PLAIN, NORMS, ONE_BIAS, ONE_GAIN, GELU, NO_BIAS };

/* How many pairs two convolutions are, with something in common or something between them. */
static int pairs_of(enum between what)
{
	struct quant_layer layers[2] = {{.name = "a", .quantized = true}, {.name = "b", .quantized = true}};
	struct quant_plan plan = {.n_layer = 2, .layer = layers};
	const struct attr conv = {.stride = 1}, norm = {.eps = 1e-5f};
	const bool norms = what == NORMS || what == ONE_GAIN;
	struct equal_pair *pair;
	struct graph g, folded;
	int n, x, w[2], p[2][5]; /* gamma, beta, mean, variance, bias */

	graph_init(&g);
	graph_init(&folded);
	x = graph_input(&g, "x", DT_F32, shape_of(4, (int64_t[]){1, 3, 3, 4}));
	for (int i = 0; i < 2; i++) {
		w[i] = graph_param(&g, i ? "w1" : "w0", DT_F32, shape_of(4, (int64_t[]){4, 1, 1, 4}), NULL);
		for (int k = 0; k < 5; k++) {
			const char name[] = {(char)('A' + i), (char)('0' + k), '\0'};
			bool same = i && ((what == ONE_BIAS && k == 4) || (what == ONE_GAIN && k == 0));

			p[i][k] = same ? p[0][k] : graph_param(&g, name, DT_F32, shape_of(1, (int64_t[]){4}), NULL);
		}
	}
	if (what == NO_BIAS) /* a fold of the weight alone */
		w[1] = graph_add(&g, OP_FOLD_WEIGHT, "folded", (int[]){w[1], p[1][0], p[1][3]}, 3, &norm);
	for (int i = 0; i < 2; i++) {
		x = graph_add(&g, OP_CONV2D, norms ? (i ? "d" : "c") : layers[i].name, (int[]){x, w[i], p[i][4]},
		    what == NO_BIAS && i ? 2 : 3, &conv);
		if (norms)
			x = graph_add(
			    &g, OP_BATCHNORM, layers[i].name, (int[]){x, p[i][0], p[i][1], p[i][2], p[i][3]}, 5, &norm);
		if (what == GELU && !i)
			x = graph_add(&g, OP_GELU, "gelu", &x, 1, NULL);
	}
	assert_true(x >= 0);
	g.output = x;
	assert_int_equal(pass_fold(&g, &folded), 0);
	assert_int_equal(equal_pairs(&folded, &plan, &pair, &n), 0);
	mem_free(pair);
	graph_clear(&g);
	graph_clear(&folded);
	return n;
}

static void pairs__share_no_param_and_have_only_between_them_what_scaling_passes(void **state)
{
	(void)state;
	assert_int_equal(pairs_of(PLAIN), 1);
	assert_int_equal(pairs_of(NORMS), 1);
	assert_int_equal(pairs_of(ONE_BIAS), 0);
	assert_int_equal(pairs_of(ONE_GAIN), 0);
	assert_int_equal(pairs_of(GELU), 0);
	assert_int_equal(pairs_of(NO_BIAS), 0);
}

/* y = second * relu(first * x + shift), with the batch norm's gain and variance folded. */
static void run(const struct equal_layer *a, const struct equal_layer *b, const double *x, double *y)
{
	double h[8];

	for (int64_t o = 0; o < a->O; o++) {
		double sum = 0, by = a->gain ? (double)a->gain[o] / sqrt((double)a->variance[o] + (double)a->eps) : 1;

		for (int64_t k = 0; k < a->K; k++)
			sum += (double)a->w[o * a->K + k] * x[k];
		h[o] = fmax(sum * by + (double)a->shift[o], 0);
	}
	for (int64_t o = 0; o < b->O; o++) {
		y[o] = 0;
		for (int64_t k = 0; k < b->K; k++)
			y[o] += (double)b->w[o * b->K + k] * h[k % a->O] * (1 + (double)(k / a->O));
	}
}

/* Second layers of one and of two positions per channel; channel 2 is read by nobody, channel 3 is constant. */
static void step__makes_ranges_equal_and_changes_no_output(void **state)
{
	static const double x[3] = {0.3, -1.2, 0.8};

	(void)state;
	for (int norm = 0; norm < 2; norm++) {
		float w[5][3] = {{1, 2, -3}, {-4e4f, 1e4f, 2e4f}, {70, 5, -6}, {0, 0, 0}, {0.01f, -0.02f, 0}};
		float v[2][10] = {{1, 2e-4f, 0, 3, 5, -2, 1e-4f, 0, 1, 4}, {2, -3e-4f, 0, 1, -9, 3, 0, 0, 2, 7}};
		float shift[5] = {0.5f, 100, 1, 2, 0.1f}, gain[5] = {1, -2, 3, 1, 0.5f}, var[5] = {1, 4, 2, 1, 0.1f};
		struct equal_layer a = {5, 3, &w[0][0], norm ? gain : NULL, norm ? var : NULL, shift, 1e-5f};
		struct equal_layer b = {2, 10, &v[0][0], NULL, NULL, NULL, 0};
		double before[2], after[2], most, spread = equal_spread(&a);

		run(&a, &b, x, before);
		assert_int_equal(equal_step(&a, &b, &most), 0);
		run(&a, &b, x, after);
		assert_near(after[0], before[0]);
		assert_near(after[1], before[1]);
		assert_true(most > 1e3 && spread > 1e5 && equal_spread(&a) < 100);
		for (int i = 0; i < 5; i++) { /* the largest weight that makes channel i, and that reads it */
			double by = norm ? fabs((double)gain[i]) / sqrt((double)var[i] + 1e-5) : 1, made = 0, read = 0;

			for (int k = 0; k < 3; k++)
				made = fmax(made, fabs((double)w[i][k]) * by);
			for (int k = i; k < 10; k += 5)
				read = fmax(read, fmax(fabs((double)v[0][k]), fabs((double)v[1][k])));
			if (i < 2 || i == 4)
				assert_near(made, read);
			assert_true(i != 2 || (made > 1e-3 && made < 20)); /* as the others */
			assert_true(i != 3 || (made == 0 && read == 3));
		}
		assert_int_equal(equal_step(&a, &b, &most), 0);
		assert_true(most < 1.0001);
	}
}

static void step__tells_the_largest_change_up_or_down(void **state)
{
	(void)state;
	for (int up = 0; up < 2; up++) {
		float w = up ? 4 : 0.25f, v = up ? 0.25f : 4;
		struct equal_layer a = {1, 1, &w, NULL, NULL, NULL, 0}, b = {1, 1, &v, NULL, NULL, NULL, 0};
		double most;

		assert_int_equal(equal_step(&a, &b, &most), 0);
		assert_near(most, 4);
		assert_near(w, 1);
		assert_near(v, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pairs__are_layers_between_which_channels_meet_nothing_else),
	    cmocka_unit_test(pairs__have_a_quantized_layer),
	    cmocka_unit_test(pairs__of_weights_that_others_share_are_none),
	    cmocka_unit_test(pairs__share_no_param_and_have_only_between_them_what_scaling_passes),
	    cmocka_unit_test(step__tells_the_largest_change_up_or_down),
	    cmocka_unit_test(step__makes_ranges_equal_and_changes_no_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
