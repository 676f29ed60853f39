/* The graph's invariants, and every rule of shape inference seen to refuse what it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "graph/graph.h"

#define SHAPE(...) shape_of((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__})
#define IN(...)    (int[]){__VA_ARGS__}, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int))

static const struct qrange u8 = {.bits = 8, .lo = 0, .hi = 255};
static const struct qrange s8 = {.bits = 8, .lo = -128, .hi = 127, .is_signed = true};

static void assert_refused(int rc, const char *part)
{
	if (rc >= 0)
		fail_msg("accepted what must be refused with '%s'", part);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static int f32(struct graph *g, const char *name, struct shape s)
{
	int i = graph_input(g, name, DT_F32, s);
	assert_true(i >= 0);
	return i;
}

static int of(struct graph *g, const char *name, enum dtype t, struct shape s)
{
	int i = graph_param(g, name, t, s, NULL);
	assert_true(i >= 0);
	return i;
}

static void graph__names_are_unique_and_never_truncated(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	char name[NODE_NAME + 1];
	memset(name, 'a', NODE_NAME);
	name[NODE_NAME] = '\0';
	assert_refused(graph_input(&g, name, DT_F32, SHAPE(1)), "96 characters");
	name[NODE_NAME - 1] = '\0';
	assert_int_equal(graph_input(&g, name, DT_F32, SHAPE(1)), 0);
	assert_string_equal(g.node[0].name, name);
	assert_refused(graph_param(&g, name, DT_F32, SHAPE(1), NULL), "exists already");
	assert_refused(graph_input(&g, "", DT_F32, SHAPE(1)), "needs a name");
	assert_int_equal(g.n, 1);
	assert_int_equal(graph_find(&g, name), 0);
	assert_int_equal(graph_find(&g, "b"), NODE_NONE);
	graph_clear(&g);
}

static void graph__nodes_refer_only_to_earlier_nodes(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = f32(&g, "x", SHAPE(2, 3));
	assert_refused(graph_add(&g, OP_ADD, "a", IN(x, 1), NULL), "not an earlier node");
	assert_refused(graph_add(&g, OP_ADD, "a", IN(x, -7), NULL), "not an earlier node");
	assert_refused(graph_add(&g, OP_ADD, "a", IN(x, NODE_NONE), NULL), "absent");
	assert_refused(graph_add(&g, OP_ADD, "a", IN(x), NULL), "1 inputs");
	assert_refused(graph_add(&g, OP_ADD, "a", IN(x, x, x), NULL), "3 inputs");
	assert_refused(graph_add(&g, OP_ADD, "a", IN(x, x, x, x, x, x, x, x, x), NULL), "9 inputs");
	assert_refused(graph_add(&g, OP_PARAM, "a", NULL, 0, NULL), "with their shape");
	assert_refused(graph_add(&g, OP_COUNT, "a", NULL, 0, NULL), "no such op");
	assert_int_equal(graph_add(&g, OP_ADD, "a", IN(x, x), NULL), 1);
	graph_clear(&g);
}

static void graph__leaves_have_sane_shapes(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	assert_refused(graph_input(&g, "x", DT_F32, SHAPE(2, 0)), "empty dimension");
	assert_refused(graph_input(&g, "x", DT_F32, SHAPE(2, -1)), "empty dimension");
	assert_refused(graph_input(&g, "x", DT_F32, SHAPE(INT64_MAX, INT64_MAX)), "too large");
	assert_refused(graph_input(&g, "x", DT_F32, SHAPE((int64_t)1 << 21, (int64_t)1 << 20)), "too large");
	assert_refused(graph_input(&g, "x", DT_F32, (struct shape){.ndim = 5}), "5 dimensions");
	assert_refused(graph_input(&g, "x", DT_F32, (struct shape){.ndim = -1}), "dimensions");
	assert_refused(graph_input(&g, "x", DT_COUNT, SHAPE(2)), "no such type");
	assert_int_equal(graph_input(&g, "x", DT_F32, (struct shape){0}), 0);
	graph_clear(&g);
}

static void graph__param_defaults(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int w = graph_param(&g, "w", DT_F32, SHAPE(6, 5), NULL);
	assert_int_equal(g.node[w].param.kind, PARAM_TRAINED);
	assert_int_equal(g.node[w].param.init, INIT_UNSET);
	assert_true(g.node[w].param.lr_factor == 1);
	assert_int_equal(g.node[w].param.axis[0].width, -1);
	struct param_attr a = {.lr_factor = 0.5f, .axis = {{.width = 3, .outer = 2, .inner = 1}}};
	int v = graph_param(&g, "v", DT_F32, SHAPE(6, 5), &a);
	assert_true(g.node[v].param.lr_factor == 0.5f);
	assert_int_equal(g.node[v].param.axis[0].width, 3);
	assert_int_equal(g.node[v].param.axis[1].width, -1); /* zeroed: not prunable */
	a.axis[0].outer = 4;
	assert_refused(graph_param(&g, "u", DT_F32, SHAPE(6, 5), &a), "no multiple of 4 x 1");
	a.axis[0] = (struct param_axis){.width = 3, .outer = 2, .inner = 2};
	assert_refused(graph_param(&g, "u", DT_F32, SHAPE(6, 5), &a), "no multiple of 2 x 2");
	graph_clear(&g);
}

static void infer__linear_and_conv(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = f32(&g, "x", SHAPE(3, 7, 5, 2)), w = of(&g, "w", DT_F32, SHAPE(4, 70));
	int w71 = of(&g, "w71", DT_F32, SHAPE(4, 71)), b5 = of(&g, "b5", DT_F32, SHAPE(5)),
	    wq = of(&g, "wq", DT_S8, SHAPE(4, 70));
	struct attr flat = {.flatten = true};
	int y = graph_add(&g, OP_LINEAR, "y", IN(x, w), &flat);
	assert_true(y >= 0 && shape_equal(g.node[y].shape, SHAPE(3, 4)) && g.node[y].dtype == DT_F32);
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, w71), &flat), "70 features a row");
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, w, b5), &flat), "input b ('b5') has shape (5), must be (4)");
	int column = of(&g, "column", DT_F32, SHAPE(4, 1));
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, w, column), &flat), "has shape (4, 1), must be (4)");
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, wq), &flat), "input w ('wq') is s8, must be f32");
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, x), &flat), "dimensions");
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(b5, w), &flat), "2 or more dimensions");
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, NODE_NONE), &flat), "input w is absent");
	int k = of(&g, "k", DT_F32, SHAPE(6, 3, 3, 2)), k1 = of(&g, "k1", DT_F32, SHAPE(6, 3, 3, 1));
	int big = of(&g, "big", DT_F32, SHAPE(6, 9, 3, 2));
	struct attr a = {.stride = 2, .pad = 1};
	int c = graph_add(&g, OP_CONV2D, "c", IN(x, k, NODE_NONE), &a);
	assert_true(c >= 0 && shape_equal(g.node[c].shape, SHAPE(3, 4, 3, 6)));
	assert_refused(graph_add(&g, OP_CONV2D, "d", IN(x, k1), &a), "2 channels");
	assert_refused(graph_add(&g, OP_CONV2D, "d", IN(x, k, b5), &a), "must be (6)");
	assert_refused(graph_add(&g, OP_CONV2D, "d", IN(x, k), NULL), "stride 0");
	a.pad = 3;
	assert_refused(graph_add(&g, OP_CONV2D, "d", IN(x, k), &a), "smaller than the kernel");
	a.pad = 0;
	assert_refused(graph_add(&g, OP_CONV2D, "d", IN(x, big), &a), "does not fit an input of 7");
	a.pad = -1;
	assert_refused(graph_add(&g, OP_CONV2D, "d", IN(x, k), &a), "pad -1");
	assert_int_equal(graph_macs(&g), 3 * 4 * 70 + 3 * 4 * 3 * 6 * 18);
	int tall = of(&g, "tall", DT_F32, SHAPE(6, 3, 1, 2));
	a.pad = 0;
	int t = graph_add(&g, OP_CONV2D, "t", IN(x, tall), &a);
	assert_true(t >= 0 && shape_equal(g.node[t].shape, SHAPE(3, 3, 3, 6)));
	graph_clear(&g);
}

static void infer__linear_keeps_all_axes_but_the_last(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = f32(&g, "x", SHAPE(3, 7, 5)), w = of(&g, "w", DT_F32, SHAPE(4, 5)), b = of(&g, "b", DT_F32, SHAPE(4));
	int x4 = f32(&g, "x4", SHAPE(2, 3, 7, 5));
	int xq = of(&g, "xq", DT_S8, SHAPE(3, 7, 5)), wq = of(&g, "wq", DT_S8, SHAPE(4, 5));
	int y = graph_add(&g, OP_LINEAR, "y", IN(x, w, b), NULL), y4 = graph_add(&g, OP_LINEAR, "y4", IN(x4, w), NULL);
	assert_true(y >= 0 && shape_equal(g.node[y].shape, SHAPE(3, 7, 4)));
	assert_true(y4 >= 0 && shape_equal(g.node[y4].shape, SHAPE(2, 3, 7, 4)));
	int q = graph_add(&g, OP_QLINEAR, "q", IN(xq, wq, b, b), NULL);
	assert_true(q >= 0 && shape_equal(g.node[q].shape, SHAPE(3, 7, 4)));
	int d = graph_add(&g, OP_QLINEAR_DYN, "d", IN(x, wq, b, b), NULL);
	assert_true(d >= 0 && shape_equal(g.node[d].shape, SHAPE(3, 7, 4)));
	assert_int_equal(graph_macs(&g), (4 * 21 + 2 * 21) * 4 * 5 - 21 * 4 * 5);
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, w), &(struct attr){.flatten = true}), "35 features a row");
	graph_clear(&g);
}

static void op__rows_name_every_input_and_no_other(void **state)
{
	(void)state;
	for (int op = 0; op < OP_COUNT; op++) {
		const struct op_info *info = op_info(op);
		assert_non_null(info->name);
		assert_non_null(info->infer);
		assert_true(info->min_in <= info->max_in && info->max_in <= NODE_MAX_IN);
		for (int i = 0; i < NODE_MAX_IN; i++)
			assert_int_equal(info->input[i] != NULL, i < info->max_in);
		for (int i = info->min_in; i < info->max_in; i++) /* an input that may be left off may be absent */
			assert_true(info->optional & (1u << i));
		if (info->product) {
			assert_non_null(info->macs);
			assert_string_equal(info->input[PRODUCT_X], "x");
			assert_string_equal(info->input[PRODUCT_W], info->product == FLOAT_PRODUCT ? "w" : "wq");
		}
		if (info->passes_integers)
			assert_int_equal(info->min_in, 1);
	}
}

static void infer__half_operands_come_in_pairs_and_give_f32(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = of(&g, "x", DT_F16, SHAPE(3, 7, 5, 2)), w = of(&g, "w", DT_F16, SHAPE(4, 70));
	int wb = of(&g, "wb", DT_BF16, SHAPE(4, 70)), wf = of(&g, "wf", DT_F32, SHAPE(4, 70));
	int b = of(&g, "b", DT_F32, SHAPE(4)), bh = of(&g, "bh", DT_F16, SHAPE(4));
	int k = of(&g, "k", DT_F16, SHAPE(4, 3, 3, 2)), kf = of(&g, "kf", DT_F32, SHAPE(4, 3, 3, 2));
	struct attr a = {.stride = 1};
	struct attr flat = {.flatten = true};
	int y = graph_add(&g, OP_LINEAR, "y", IN(x, w, b), &flat), c = graph_add(&g, OP_CONV2D, "c", IN(x, k, b), &a);
	assert_true(y >= 0 && c >= 0);
	assert_int_equal(g.node[y].dtype, DT_F32);
	assert_int_equal(g.node[c].dtype, DT_F32);
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, wb), NULL), "'wb') is bf16, must be f16");
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, wf), NULL), "'wf') is f32, must be f16");
	assert_refused(graph_add(&g, OP_LINEAR, "z", IN(x, w, bh), NULL), "'bh') is f16, must be f32");
	assert_refused(graph_add(&g, OP_CONV2D, "z", IN(x, kf), &a), "'kf') is f32, must be f16");
	assert_refused(graph_add(&g, OP_ADD, "z", IN(x, x), NULL), "must be f32"); /* only these two ops */
	graph_clear(&g);
}

static void infer__norm_pool_add_dropout(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = f32(&g, "x", SHAPE(3, 7, 5, 2)), v = of(&g, "v", DT_F32, SHAPE(2)), w = of(&g, "w", DT_F32, SHAPE(3));
	int ids = graph_input(&g, "ids", DT_S32, SHAPE(3, 7, 5, 2)), s = f32(&g, "s", (struct shape){0});
	struct attr a = {.eps = 1e-5f};
	assert_true(graph_add(&g, OP_BATCHNORM, "n", IN(x, v, v, v, v), &a) >= 0);
	assert_refused(graph_add(&g, OP_BATCHNORM, "m", IN(x, v, v, v, w), &a), "must be (2)");
	assert_refused(graph_add(&g, OP_BATCHNORM, "m", IN(x, v, v, v, v), NULL), "eps");
	a.eps = NAN;
	assert_refused(graph_add(&g, OP_BATCHNORM, "m", IN(x, v, v, v, v), &a), "eps");
	a = (struct attr){.kernel = 2, .stride = 2};
	int p = graph_add(&g, OP_MAXPOOL, "p", IN(x), &a);
	assert_true(shape_equal(g.node[p].shape, SHAPE(3, 3, 2, 2)));
	assert_refused(graph_add(&g, OP_MAXPOOL, "q", IN(ids), &a), "u8 or s8");
	assert_refused(graph_add(&g, OP_MAXPOOL, "q", IN(v), &a), "4 dimensions");
	a.kernel = 8;
	assert_refused(graph_add(&g, OP_MAXPOOL, "q", IN(x), &a), "does not fit");
	a = (struct attr){.kernel = 3, .stride = 2, .pad = 2};
	assert_refused(graph_add(&g, OP_MAXPOOL, "q", IN(x), &a), "more than half");
	int m = graph_add(&g, OP_AVGPOOL, "avg", IN(x), NULL);
	assert_true(shape_equal(g.node[m].shape, SHAPE(3, 2)));
	assert_refused(graph_add(&g, OP_AVGPOOL, "q", IN(m), NULL), "4 dimensions");
	assert_refused(graph_add(&g, OP_ADD, "q", IN(x, p), NULL), "must be (3, 7, 5, 2)");
	assert_refused(graph_add(&g, OP_ADD, "q", IN(x, ids), NULL), "is s32");
	a = (struct attr){.rate = 1};
	assert_refused(graph_add(&g, OP_DROPOUT, "q", IN(x), &a), "rate 1");
	a.rate = NAN;
	assert_refused(graph_add(&g, OP_DROPOUT, "q", IN(x), &a), "rate");
	a.rate = 0;
	assert_refused(graph_add(&g, OP_DROPOUT, "q", IN(s), &a), "dimensions");
	assert_true(graph_add(&g, OP_DROPOUT, "q", IN(x), &a) >= 0);
	graph_clear(&g);
}

static void infer__losses(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = f32(&g, "x", SHAPE(3, 5)), t = f32(&g, "t", SHAPE(3, 5)), t4 = f32(&g, "t4", SHAPE(3, 4));
	int y = graph_input(&g, "y", DT_S32, SHAPE(3)), y2 = graph_input(&g, "y2", DT_S32, SHAPE(2));
	int w = f32(&g, "w", SHAPE(3)), w2 = f32(&g, "w2", SHAPE(2));
	int l = graph_add(&g, OP_CE_LOSS, "l", IN(x, y, w), NULL);
	assert_true(l >= 0 && g.node[l].shape.ndim == 0);
	assert_refused(graph_add(&g, OP_CE_LOSS, "m", IN(x, y2, w), NULL), "must be (3)");
	assert_refused(graph_add(&g, OP_CE_LOSS, "m", IN(x, y, w2), NULL), "must be (3)");
	assert_refused(graph_add(&g, OP_CE_LOSS, "m", IN(x, w, w), NULL), "must be s32");
	struct attr a = {.smoothing = 1};
	assert_refused(graph_add(&g, OP_CE_LOSS, "m", IN(x, y, w), &a), "smoothing");
	a = (struct attr){.temperature = 4, .alpha = 0.7f};
	assert_true(graph_add(&g, OP_KD_LOSS, "k", IN(x, t, y, w), &a) >= 0);
	assert_refused(graph_add(&g, OP_KD_LOSS, "m", IN(x, t4, y, w), &a), "must be (3, 5)");
	a.alpha = 1.5f;
	assert_refused(graph_add(&g, OP_KD_LOSS, "m", IN(x, t, y, w), &a), "alpha");
	a = (struct attr){.alpha = 1};
	assert_refused(graph_add(&g, OP_KD_LOSS, "m", IN(x, t, y, w), &a), "temperature");
	graph_clear(&g);
}

static void infer__losses_over_labels(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = f32(&g, "x", SHAPE(3, 5)), t = f32(&g, "t", SHAPE(3, 5)), t4 = f32(&g, "t4", SHAPE(3, 4));
	int w = f32(&g, "w", SHAPE(3)), p = f32(&g, "p", SHAPE(5)), y = graph_input(&g, "y", DT_S32, SHAPE(3, 5));
	int l = graph_add(&g, OP_BCE_LOSS, "l", IN(x, t, w, p), NULL);
	assert_true(l >= 0 && g.node[l].shape.ndim == 0 && g.node[l].dtype == DT_F32);
	assert_refused(graph_add(&g, OP_BCE_LOSS, "m", IN(x, t4, w, p), NULL), "must be (3, 5)");
	assert_refused(graph_add(&g, OP_BCE_LOSS, "m", IN(x, y, w, p), NULL), "must be f32");
	assert_refused(graph_add(&g, OP_BCE_LOSS, "m", IN(x, t, p, p), NULL), "must be (3)");
	assert_refused(graph_add(&g, OP_BCE_LOSS, "m", IN(x, t, w, w), NULL), "must be (5)");
	assert_refused(graph_add(&g, OP_BCE_LOSS, "m", IN(w, w, w, w), NULL), "must have 2 dimensions");
	struct attr a = {.temperature = 4, .alpha = 0.7f};
	assert_true(graph_add(&g, OP_KD_BCE_LOSS, "k", IN(x, t, t, w, p), &a) >= 0);
	assert_refused(graph_add(&g, OP_KD_BCE_LOSS, "m", IN(x, t4, t, w, p), &a), "must be (3, 5)");
	assert_refused(graph_add(&g, OP_KD_BCE_LOSS, "m", IN(x, t, t4, w, p), &a), "must be (3, 5)");
	a.alpha = -1;
	assert_refused(graph_add(&g, OP_KD_BCE_LOSS, "m", IN(x, t, t, w, p), &a), "alpha");
	a = (struct attr){.alpha = 1};
	assert_refused(graph_add(&g, OP_KD_BCE_LOSS, "m", IN(x, t, t, w, p), &a), "temperature");
	graph_clear(&g);
}

static void infer__losses_on_layers(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	struct attr a = {.distance = DISTANCE_COSINE, .factor = 0.5f, .heads = 2, .teacher_heads = 3};
	int x = f32(&g, "x", SHAPE(12, 8)), t = f32(&g, "t", SHAPE(12, 6)), w = f32(&g, "w", SHAPE(3));
	int short_t = f32(&g, "short", SHAPE(11, 6)), w4 = f32(&g, "w4", SHAPE(4));
	int starts = graph_input(&g, "starts", DT_S32, SHAPE(4)), s32 = graph_input(&g, "s32", DT_S32, SHAPE(12, 8));
	int h = graph_add(&g, OP_HIDDEN_LOSS, "h", IN(x, x, starts, w), &a);
	assert_true(h >= 0 && g.node[h].shape.ndim == 0 && g.node[h].dtype == DT_F32);
	assert_refused(graph_add(&g, OP_HIDDEN_LOSS, "e", IN(x, t, starts, w), &a), "must be (12, 8)");
	assert_refused(graph_add(&g, OP_HIDDEN_LOSS, "e", IN(x, s32, starts, w), &a), "must be f32");
	assert_refused(graph_add(&g, OP_HIDDEN_LOSS, "e", IN(x, x, starts, w4), &a), "must be (3)");
	assert_refused(graph_add(&g, OP_HIDDEN_LOSS, "e", IN(x, x, w, w), &a), "must be s32");
	assert_refused(graph_add(&g, OP_ATTENTION_LOSS, "e", IN(x, x, t, t, starts, w), &a), "must be mse or kl");
	a.distance = DISTANCE_KL;
	assert_refused(graph_add(&g, OP_HIDDEN_LOSS, "e", IN(x, x, starts, w), &a), "must be mse or cosine");
	int m = graph_add(&g, OP_ATTENTION_LOSS, "m", IN(x, x, t, t, starts, w), &a);
	assert_true(m >= 0 && g.node[m].shape.ndim == 0);
	int r = graph_add(&g, OP_RELATION_LOSS, "r", IN(x, x, x, t, t, t, starts, w), &a);
	assert_true(r >= 0 && g.node[r].shape.ndim == 0);
	assert_refused(graph_add(&g, OP_ATTENTION_LOSS, "e", IN(x, t, t, t, starts, w), &a), "must be (12, 8)");
	assert_refused(
	    graph_add(&g, OP_ATTENTION_LOSS, "e", IN(x, x, short_t, short_t, starts, w), &a), "11 rows of the teacher");
	a.teacher_heads = 4;
	assert_refused(graph_add(&g, OP_ATTENTION_LOSS, "e", IN(x, x, t, t, starts, w), &a), "4 heads do not divide 6");
	a.heads = 4;
	assert_refused(
	    graph_add(&g, OP_RELATION_LOSS, "e", IN(x, x, x, t, t, t, starts, w), &a), "4 heads do not divide 6");
	a.factor = 0;
	assert_refused(graph_add(&g, OP_ATTENTION_LOSS, "e", IN(x, x, x, x, starts, w), &a), "factor 0");
	graph_clear(&g);
}

static void infer__packed_tokens(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int ids = graph_input(&g, "ids", DT_S32, SHAPE(12)), starts = graph_input(&g, "starts", DT_S32, SHAPE(4));
	int one = graph_input(&g, "one", DT_S32, SHAPE(1)), pair = graph_input(&g, "pair", DT_S32, SHAPE(6, 2));
	int table = of(&g, "table", DT_F32, SHAPE(100, 8)), wq = of(&g, "wq", DT_S8, SHAPE(100, 8));
	int s = of(&g, "s", DT_F32, SHAPE(100)), s8_steps = of(&g, "s8", DT_F32, SHAPE(8));
	int x = graph_add(&g, OP_EMBEDDING, "x", IN(ids, table), NULL);
	assert_true(x >= 0 && shape_equal(g.node[x].shape, SHAPE(12, 8)));
	assert_refused(graph_add(&g, OP_EMBEDDING, "e", IN(table, table), NULL), "must be s32");
	assert_refused(graph_add(&g, OP_EMBEDDING, "e", IN(pair, table), NULL), "must have 1 dimensions");
	assert_refused(graph_add(&g, OP_EMBEDDING, "e", IN(ids, wq), NULL), "must be f32");
	assert_refused(graph_add(&g, OP_EMBEDDING, "e", IN(ids, s), NULL), "must have 2 dimensions");
	int y = graph_add(&g, OP_SEGMENT_MEAN, "y", IN(x, starts), NULL);
	assert_true(y >= 0 && shape_equal(g.node[y].shape, SHAPE(3, 8)));
	assert_refused(graph_add(&g, OP_SEGMENT_MEAN, "e", IN(x, one), NULL), "one more than the sequences");
	assert_refused(graph_add(&g, OP_SEGMENT_MEAN, "e", IN(x, s), NULL), "must be s32");
	assert_refused(graph_add(&g, OP_SEGMENT_MEAN, "e", IN(x, pair), NULL), "must have 1 dimensions");
	assert_refused(graph_add(&g, OP_SEGMENT_MEAN, "e", IN(s, starts), NULL), "must have 2 dimensions");
	int q = graph_add(&g, OP_QEMBEDDING, "q", IN(ids, wq, s), NULL);
	assert_true(q >= 0 && g.node[q].dtype == DT_F32 && shape_equal(g.node[q].shape, SHAPE(12, 8)));
	assert_refused(graph_add(&g, OP_QEMBEDDING, "e", IN(ids, wq, s8_steps), NULL), "must be (100)");
	assert_refused(graph_add(&g, OP_QEMBEDDING, "e", IN(ids, table, s), NULL), "must be s8");
	int rows = f32(&g, "rows", SHAPE(9, 8)), begin = of(&g, "begin", DT_S32, SHAPE(3));
	struct attr long_texts = {.longest = 101};
	assert_true(graph_add(&g, OP_QPOSITION, "places", IN(rows, wq, s, begin, wq, s), NULL) >= 0);
	assert_refused(graph_add(&g, OP_QPOSITION, "e", IN(rows, wq, s, begin, wq), NULL), "come together");
	int parts = of(&g, "parts", DT_S32, SHAPE(2));
	assert_true(graph_add(&g, OP_QPOSITION, "second", IN(rows, wq, s, begin, wq, s, parts), NULL) >= 0);
	assert_refused(graph_add(&g, OP_QPOSITION, "e", IN(rows, wq, s, begin, wq, s, begin), NULL), "must be (2)");
	assert_refused(graph_add(&g, OP_QPOSITION, "e", IN(rows, wq, s, begin, NODE_NONE, NODE_NONE, parts), NULL),
	    "need two rows of types");
	assert_refused(graph_add(&g, OP_QPOSITION, "e", IN(rows, table, s, begin), NULL), "must be s8");
	assert_refused(graph_add(&g, OP_QPOSITION, "e", IN(rows, wq, s8_steps, begin), NULL), "must be (100)");
	assert_refused(graph_add(&g, OP_QPOSITION, "e", IN(rows, wq, s, begin), &long_texts), "has 100 places");
	assert_refused(graph_add(&g, OP_QEMBEDDING, "e", IN(s, wq, s), NULL), "must be s32");
	assert_int_equal(graph_macs(&g), 0); /* rows are read, not multiplied */
	graph_clear(&g);
}

static void infer__encoders(void **state)
{
	(void)state;
	struct graph g;
	struct attr two = {.heads = 2}, five = {.heads = 5}, none = {0}, eps = {.eps = 1e-12f}, drop = {.rate = 0.1f};
	graph_init(&g);
	int starts = graph_input(&g, "starts", DT_S32, SHAPE(4)), one = graph_input(&g, "one", DT_S32, SHAPE(1));
	int x = of(&g, "x", DT_F32, SHAPE(12, 8)), other = of(&g, "other", DT_F32, SHAPE(12, 6));
	int table = of(&g, "table", DT_F32, SHAPE(100, 8)), gamma = of(&g, "gamma", DT_F32, SHAPE(8));
	int image = of(&g, "image", DT_F32, SHAPE(3, 7, 5, 2)), s32 = graph_input(&g, "s32", DT_S32, SHAPE(12, 8));
	int like_x[] = {graph_add(&g, OP_POSITION, "p", IN(x, table, starts), NULL),
	    graph_add(&g, OP_POSITION, "t", IN(x, table, starts, table), NULL),
	    graph_add(&g, OP_ATTENTION, "a", IN(x, x, x, starts), &two),
	    graph_add(&g, OP_LAYERNORM, "l", IN(x, gamma, gamma), &eps),
	    graph_add(&g, OP_LAYERNORM, "r", IN(x, gamma, gamma, x), &eps),
	    graph_add(&g, OP_DROPOUT, "d", IN(x, starts), &drop), graph_add(&g, OP_GELU, "g", IN(x), NULL),
	    graph_add(&g, OP_TANH, "h", IN(x), NULL)};
	for (size_t i = 0; i < sizeof(like_x) / sizeof(like_x[0]); i++)
		assert_true(like_x[i] >= 0 && shape_equal(g.node[like_x[i]].shape, SHAPE(12, 8)));
	int y = graph_add(&g, OP_SEGMENT_FIRST, "y", IN(x, starts), NULL);
	assert_true(y >= 0 && shape_equal(g.node[y].shape, SHAPE(3, 8)));
	/* two products of 12 rows of 8 columns with 4 rows each, three sequences being there */
	assert_int_equal(graph_macs(&g), 2 * 12 * 8 * 4);
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(x, other, starts), NULL), "input table ('other')");
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(x, table, starts, other), NULL), "must be (12, 8)");
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(x, gamma, starts), NULL), "must have 2 dimensions");
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(x, table, one), NULL), "one more than the sequences");
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(image, table, starts), NULL), "must have 2 dimensions");
	assert_refused(graph_add(&g, OP_ATTENTION, "e", IN(x, x, x, starts), &five), "5 heads do not divide 8 columns");
	assert_refused(graph_add(&g, OP_ATTENTION, "e", IN(x, x, x, starts), &none), "0 heads");
	assert_refused(graph_add(&g, OP_ATTENTION, "e", IN(x, other, x, starts), &two), "input k ('other')");
	assert_refused(graph_add(&g, OP_ATTENTION, "e", IN(x, x, s32, starts), &two), "input v ('s32') is s32");
	assert_refused(graph_add(&g, OP_ATTENTION, "e", IN(x, x, x, gamma), &two), "must be s32");
	two.longest = -1;
	assert_refused(graph_add(&g, OP_ATTENTION, "e", IN(x, x, x, starts), &two), "longest -1");
	int parts = of(&g, "parts", DT_S32, SHAPE(3)), row = of(&g, "row", DT_F32, SHAPE(1, 8));
	assert_true(graph_add(&g, OP_POSITION, "second", IN(x, table, starts, table, parts), NULL) >= 0);
	assert_refused(
	    graph_add(&g, OP_POSITION, "e", IN(x, table, starts, row, parts), NULL), "need two rows of types");
	assert_refused(
	    graph_add(&g, OP_POSITION, "e", IN(x, table, starts, NODE_NONE, parts), NULL), "need two rows of types");
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(x, table, starts, table, starts), NULL), "must be (3)");
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(x, table, starts, table, gamma), NULL), "must be s32");
	none.longest = 100;
	assert_true(graph_add(&g, OP_POSITION, "longest", IN(x, table, starts), &none) >= 0);
	none.longest = -1;
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(x, table, starts), &none), "up to -1 tokens");
	none.longest = 101;
	assert_refused(graph_add(&g, OP_POSITION, "e", IN(x, table, starts), &none),
	    "sequences of up to 101 tokens, the table 'table' has 100 places");
	assert_refused(graph_add(&g, OP_LAYERNORM, "e", IN(x, gamma, gamma), NULL), "eps 0 must be positive");
	assert_refused(graph_add(&g, OP_LAYERNORM, "e", IN(other, gamma, gamma), &eps), "must be (6)");
	assert_refused(graph_add(&g, OP_LAYERNORM, "e", IN(x, gamma, gamma, other), &eps), "input r ('other')");
	assert_refused(graph_add(&g, OP_DROPOUT, "e", IN(image, starts), &drop), "must have 2 dimensions");
	assert_refused(graph_add(&g, OP_DROPOUT, "e", IN(x, gamma), &drop), "must be s32");
	assert_refused(graph_add(&g, OP_SEGMENT_FIRST, "e", IN(x, one), NULL), "one more than the sequences");
	assert_refused(graph_add(&g, OP_GELU, "e", IN(s32), NULL), "must be f32");
	assert_refused(graph_add(&g, OP_TANH, "e", IN(s32), NULL), "must be f32");
	graph_clear(&g);
}

static void infer__fold(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	struct attr a = {.eps = 1e-5f};
	int w = of(&g, "w", DT_F32, SHAPE(4, 3, 3, 2)), v = of(&g, "v", DT_F32, SHAPE(4)),
	    u = of(&g, "u", DT_F32, SHAPE(2));
	int f = graph_add(&g, OP_FOLD_WEIGHT, "f", IN(w, v, v), &a);
	assert_true(f >= 0 && shape_equal(g.node[f].shape, g.node[w].shape));
	assert_refused(graph_add(&g, OP_FOLD_WEIGHT, "e", IN(w, u, v), &a), "must be (4)");
	assert_refused(graph_add(&g, OP_FOLD_WEIGHT, "e", IN(w, v, v), NULL), "eps");
	assert_true(graph_add(&g, OP_FOLD_BIAS, "b", IN(NODE_NONE, v, v, v, v), &a) >= 0);
	assert_refused(graph_add(&g, OP_FOLD_BIAS, "e", IN(u, v, v, v, v), &a), "must be (4)");
	assert_refused(graph_add(&g, OP_FOLD_BIAS, "e", IN(v, NODE_NONE, v, v, v), &a), "absent");
	assert_refused(graph_add(&g, OP_FOLD_BIAS, "e", IN(v, v, v, v, v), NULL), "eps");
	graph_clear(&g);
}

static void infer__quantized_values(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = f32(&g, "x", SHAPE(3, 4)), s = of(&g, "s", DT_F32, SHAPE(1)), w = of(&g, "w", DT_F32, SHAPE(5, 4));
	int s5 = of(&g, "s5", DT_F32, SHAPE(5));
	struct attr a = {.q = u8};
	assert_true(graph_add(&g, OP_FAKE_QUANT, "fx", IN(x, s), &a) >= 0);
	int q = graph_add(&g, OP_QUANTIZE, "q", IN(x, s), &a);
	assert_int_equal(g.node[q].dtype, DT_U8);
	assert_refused(graph_add(&g, OP_FAKE_QUANT, "e", IN(x, s5), &a), "must be (1) or (3)");
	assert_refused(graph_add(&g, OP_FAKE_QUANT, "e", IN(x, s), NULL), "0 bits");
	a.q.hi = 256;
	assert_refused(graph_add(&g, OP_QUANTIZE, "e", IN(x, s), &a), "does not fit 0..255");
	a.q = u8;
	a.q.zero = -1;
	assert_refused(graph_add(&g, OP_QUANTIZE, "e", IN(x, s), &a), "zero point -1");
	a.q.zero = 256;
	assert_refused(graph_add(&g, OP_QUANTIZE, "e", IN(x, s), &a), "zero point 256");
	a.q = (struct qrange){.bits = 1, .lo = 0, .hi = 1};
	assert_refused(graph_add(&g, OP_QUANTIZE, "e", IN(x, s), &a), "1 bit is -1 or 1, found the range 0..1");
	a.q = (struct qrange){.bits = 1, .lo = -1, .hi = 1, .is_signed = true};
	assert_true(graph_add(&g, OP_QUANTIZE, "signs", IN(w, s5), &a) >= 0);
	assert_true(graph_add(&g, OP_FAKE_QUANT, "fake_signs", IN(w, s5), &a) >= 0);
	assert_refused(graph_add(&g, OP_DEQUANT, "e", IN(w, s5), &a), "1 bits, must be 2 to 8");
	a.q = s8;
	assert_true(graph_add(&g, OP_QUANTIZE, "wq", IN(w, s5), &a) >= 0);
	assert_refused(graph_add(&g, OP_DEQUANT, "e", IN(q, s), &a), "is u8, must be s8");
	a.q = u8;
	int d = graph_add(&g, OP_DEQUANT, "d", IN(q, s), &a);
	assert_int_equal(g.node[d].dtype, DT_F32);
	assert_refused(graph_add(&g, OP_DEQUANT, "e", IN(q, s5), &a), "must be (1) or (3)");
	a.q = s8;
	assert_true(graph_add(&g, OP_DEQUANT, "dw", IN(w, s5), &a) >= 0);
	a = (struct attr){.to = DT_BF16};
	int c = graph_add(&g, OP_CAST, "c", IN(x), &a);
	assert_int_equal(g.node[c].dtype, DT_BF16);
	assert_refused(graph_add(&g, OP_CAST, "e", IN(q), &a), "casts");
	a.to = DT_S8;
	assert_refused(graph_add(&g, OP_CAST, "e", IN(x), &a), "casts");
	graph_clear(&g);
}

static void infer__requant(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int acc = f32(&g, "acc", SHAPE(3, 5)), s = of(&g, "s", DT_F32, SHAPE(1)), s5 = of(&g, "s5", DT_F32, SHAPE(5));
	int r = f32(&g, "r", SHAPE(3, 5)), r4 = f32(&g, "r4", SHAPE(3, 4)), w = of(&g, "w", DT_F32, SHAPE(5, 7));
	int w4 = of(&g, "w4", DT_F32, SHAPE(4, 7)), none = NODE_NONE;
	struct attr a = {.q = u8};
	assert_true(graph_add(&g, OP_REQUANT, "y", IN(acc, s, s5, s5, s, r, s, w), &a) >= 0);
	assert_true(graph_add(&g, OP_REQUANT, "y2", IN(acc, s, s), NULL) >= 0);
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s, s5, s5, none), &a), "without the step");
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s, s5, s5, s), NULL), "0 bits");
	const struct attr signs = {.q = {.bits = 1, .lo = -1, .hi = 1, .is_signed = true}};
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s, s5, s5, s), &signs), "1 bits, must be 2 to 8");
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s, s5, s5, s, r, none), &a), "come together");
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s, s5, s5, s, r4, s), &a), "must be (3, 5)");
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s, s5, s, s), &a), "must be (5)");
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s5), NULL), "must be (1)");
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s, s5, s5, s, none, none, w4), &a), "5 output channels");
	a.zero_in = 3;
	assert_refused(graph_add(&g, OP_REQUANT, "e", IN(acc, s, s5, s5, s), &a), "zero point 3");
	graph_clear(&g);
}

static void infer__epilogue_constants(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int s = of(&g, "s", DT_F32, SHAPE(1)), s5 = of(&g, "s5", DT_F32, SHAPE(5)),
	    wq = of(&g, "wq", DT_S8, SHAPE(5, 7));
	int none = NODE_NONE;
	int m = graph_add(&g, OP_RQ_SCALE, "m", IN(s, s5, s), NULL);
	assert_true(shape_equal(g.node[m].shape, SHAPE(5)));
	int m1 = graph_add(&g, OP_RQ_SCALE, "m1", IN(s, none, s), NULL);
	assert_true(shape_equal(g.node[m1].shape, SHAPE(1)));
	struct attr a = {.channels = 5};
	int m5 = graph_add(&g, OP_RQ_SCALE, "m5", IN(s, s), &a);
	assert_true(shape_equal(g.node[m5].shape, SHAPE(5)));
	a.channels = 4;
	assert_refused(graph_add(&g, OP_RQ_SCALE, "e", IN(s, s5), &a), "must be (1) or (4)");
	a.channels = -1;
	assert_refused(graph_add(&g, OP_RQ_SCALE, "e", IN(s, s), &a), "negative");
	a = (struct attr){.q = u8, .zero_in = 128};
	int c = graph_add(&g, OP_RQ_SHIFT, "c", IN(m, s5, s, wq), &a);
	assert_true(shape_equal(g.node[c].shape, SHAPE(5)));
	assert_refused(graph_add(&g, OP_RQ_SHIFT, "e", IN(m, s5, s), &a), "zero point 128");
	assert_refused(graph_add(&g, OP_RQ_SHIFT, "e", IN(m1, s5, s, wq), &a), "must be (1)");
	assert_refused(graph_add(&g, OP_RQ_SHIFT, "e", IN(m, s5, s, s5), &a), "must be s8");
	assert_refused(graph_add(&g, OP_RQ_SHIFT, "e", IN(m, s5, s), NULL), "0 bits");
	int k = graph_add(&g, OP_RQ_RESIDUAL, "k", IN(s, s), NULL);
	assert_true(shape_equal(g.node[k].shape, SHAPE(1)));
	assert_refused(graph_add(&g, OP_RQ_RESIDUAL, "e", IN(s5), NULL), "must be (1)");
	graph_clear(&g);
}

static void infer__integer_layers(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = graph_input(&g, "x", DT_U8, SHAPE(3, 4, 4, 2)), r = graph_input(&g, "r", DT_S8, SHAPE(3, 5));
	int w = of(&g, "w", DT_S8, SHAPE(5, 32)), k = of(&g, "k", DT_S8, SHAPE(5, 3, 3, 2)),
	    wu = of(&g, "wu", DT_U8, SHAPE(5, 32));
	int m = of(&g, "m", DT_F32, SHAPE(5)), one = of(&g, "one", DT_F32, SHAPE(1)), f = f32(&g, "f", SHAPE(3, 32));
	struct attr a = {.q = s8, .flatten = true}, flat = {.flatten = true};
	int y = graph_add(&g, OP_QLINEAR, "y", IN(x, w, m, m, r, one), &a);
	assert_true(g.node[y].dtype == DT_S8 && shape_equal(g.node[y].shape, SHAPE(3, 5)));
	int real = graph_add(&g, OP_QLINEAR, "real", IN(x, w, m, m), &flat);
	assert_int_equal(g.node[real].dtype, DT_F32);
	assert_refused(graph_add(&g, OP_QLINEAR, "e", IN(x, w, one, m), &a), "must be (5)");
	assert_refused(graph_add(&g, OP_QLINEAR, "e", IN(x, wu, m, m), &a), "must be s8");
	assert_refused(graph_add(&g, OP_QLINEAR, "e", IN(f, w, m, m), &a), "u8 or s8");
	assert_refused(graph_add(&g, OP_QLINEAR, "e", IN(x, w, m, m, r), &a), "come together");
	assert_refused(graph_add(&g, OP_QLINEAR, "e", IN(x, w, m, m, f, one), &a), "u8 or s8");
	a.stride = 1;
	int c = graph_add(&g, OP_QCONV2D, "c", IN(x, k, m, m), &a);
	assert_true(shape_equal(g.node[c].shape, SHAPE(3, 2, 2, 5)));
	assert_refused(graph_add(&g, OP_QCONV2D, "e", IN(x, k, m, m, r, one), &a), "must be (3, 2, 2, 5)");
	int p = graph_add(&g, OP_QAVGPOOL, "p", IN(x, one, one), &a);
	assert_true(shape_equal(g.node[p].shape, SHAPE(3, 2)));
	assert_refused(graph_add(&g, OP_QAVGPOOL, "e", IN(x, one, one), NULL), "0 bits");
	assert_refused(graph_add(&g, OP_QAVGPOOL, "e", IN(x, m, one), &a), "must be (1)");
	int d = graph_add(&g, OP_QLINEAR_DYN, "d", IN(f, w, m, NODE_NONE), NULL);
	assert_int_equal(g.node[d].dtype, DT_F32);
	assert_refused(graph_add(&g, OP_QLINEAR_DYN, "e", IN(x, w, m), &flat), "must be f32");
	assert_refused(graph_add(&g, OP_QLINEAR_DYN, "e", IN(f, w, one), NULL), "must be (5)");
	graph_clear(&g);
}

static void infer__functions_of_integers(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	struct attr a = {.q = {8, -128, 127, 0, true}};
	int x = of(&g, "x", DT_U8, SHAPE(3, 7, 5, 2)), f = f32(&g, "f", SHAPE(3, 7, 5, 2));
	int one = f32(&g, "one", SHAPE(1)), m = f32(&g, "m", SHAPE(5));
	struct attr gelu = {.q = a.q, .q_in = {8, 0, 255, 9, false}}, bad = gelu;
	bad.q_in.zero = 256;
	int t = graph_add(&g, OP_GELU_TABLE, "t", IN(one, one), &gelu), u = of(&g, "u", DT_U8, SHAPE(256));
	assert_true(g.node[t].dtype == DT_S8 && shape_equal(g.node[t].shape, SHAPE(256)));
	assert_refused(graph_add(&g, OP_GELU_TABLE, "e", IN(one, m), &gelu), "must be (1)");
	assert_refused(graph_add(&g, OP_GELU_TABLE, "e", IN(one, one), &bad), "zero point 256");
	assert_refused(graph_add(&g, OP_FAKE_GELU, "e", IN(f, one, one), &bad), "zero point 256");
	assert_refused(graph_add(&g, OP_FAKE_GELU, "e", IN(x, one, one), &gelu), "must be f32");
	int looked = graph_add(&g, OP_QTABLE, "looked", IN(x, t), &gelu);
	assert_true(g.node[looked].dtype == DT_S8 && shape_equal(g.node[looked].shape, g.node[x].shape));
	assert_refused(graph_add(&g, OP_QTABLE, "e", IN(x, u), &gelu), "must be s8");
	assert_refused(graph_add(&g, OP_QTABLE, "e", IN(f, t), &gelu), "u8 or s8");
	struct attr heads = {.q = a.q, .heads = 2, .prob_bits = 16}, none = heads;
	none.prob_bits = 12;
	int rows = of(&g, "rows", DT_S8, SHAPE(12, 8)), real = f32(&g, "real", SHAPE(12, 8));
	int starts = of(&g, "starts", DT_S32, SHAPE(4));
	int at = graph_add(&g, OP_QATTENTION, "at", IN(rows, rows, rows, starts, one, one), &heads);
	assert_true(g.node[at].dtype == DT_S8 && shape_equal(g.node[at].shape, SHAPE(12, 8)));
	int fake = graph_add(&g, OP_FAKE_ATTENTION, "fake", IN(real, real, real, starts, one, one, one, one), &heads);
	assert_true(fake >= 0 && g.node[fake].dtype == DT_F32);
	assert_refused(graph_add(&g, OP_QATTENTION, "e", IN(rows, rows, real, starts, one, one), &heads), "must be s8");
	assert_refused(graph_add(&g, OP_QATTENTION, "e", IN(rows, rows, rows, starts, one, m), &heads), "must be (1)");
	assert_refused(graph_add(&g, OP_QATTENTION, "e", IN(rows, rows, rows, starts, one, one), &none), "12 bits");
	heads.longest = 65537;
	assert_refused(
	    graph_add(&g, OP_QATTENTION, "e", IN(rows, rows, rows, starts, one, one), &heads), "65536 at most");
	heads.longest = 0;
	heads.heads = 3;
	assert_refused(
	    graph_add(&g, OP_QATTENTION, "e", IN(rows, rows, rows, starts, one, one), &heads), "3 heads do not divide");
	assert_refused(graph_add(&g, OP_SCORE_SCALE, "e", IN(one, one), NULL), "columns of a head");
	graph_clear(&g);
}

static void graph__constants_uses_and_print(void **state)
{
	(void)state;
	struct graph g;
	graph_init(&g);
	int x = f32(&g, "x", SHAPE(2, 3)), w = of(&g, "w", DT_F32, SHAPE(3, 3));
	struct attr a = {.to = DT_BF16};
	int c = graph_add(&g, OP_CAST, "c", IN(w), &a);
	int y = graph_add(&g, OP_LINEAR, "y", IN(x, w, NODE_NONE), NULL);
	g.output = g.loss = y;
	bool constant[4];
	int uses[4];
	graph_constant(&g, constant);
	graph_uses(&g, uses);
	assert_false(constant[x]);
	assert_true(constant[w] && constant[c]);
	assert_false(constant[y]);
	assert_int_equal(uses[w], 2);
	assert_int_equal(uses[c], 0);
	assert_int_equal(uses[y], 2);
	struct str s = {0};
	graph_print(&g, &s);
	assert_non_null(strstr(str_text(&s), "linear"));
	assert_non_null(strstr(str_text(&s), "x w -"));
	str_clear(&s);
	struct graph copy;
	assert_int_equal(graph_copy(&copy, &g), 0);
	assert_int_equal(graph_add(&copy, OP_ADD, "z", IN(y, y), NULL), 4);
	assert_int_equal(g.n, 4);
	graph_clear(&copy);
	graph_clear(&g);
}

static void tensor__half_precision_rounds_to_nearest_even(void **state)
{
	(void)state;
	assert_int_equal(f32_to_f16(1.0f), 0x3c00);
	assert_int_equal(f32_to_f16(-2.0f), 0xc000);
	assert_int_equal(f32_to_f16(65504.0f), 0x7bff);
	assert_int_equal(f32_to_f16(65520.0f), 0x7c00); /* half-way to 2^16 goes to even: infinity */
	assert_int_equal(f32_to_f16(65519.0f), 0x7bff);
	assert_int_equal(f32_to_f16(1.0f + 0x1p-11f), 0x3c00); /* tie, even below */
	assert_int_equal(f32_to_f16(1.0f + 0x3p-11f), 0x3c02); /* tie, even above */
	assert_int_equal(f32_to_f16(0x1p-24f), 1);
	assert_int_equal(f32_to_f16(0x1p-25f), 0); /* tie to even */
	assert_int_equal(f32_to_f16(0x1.000002p-25f), 1);
	assert_int_equal(f32_to_f16(0x1.ffcp-15f), 0x3ff + 1); /* rounds up into the normal numbers */
	assert_int_equal(f32_to_f16(INFINITY), 0x7c00);
	assert_true((f32_to_f16(NAN) & 0x7fff) > 0x7c00);
	assert_int_equal(f32_to_bf16(1.0f), 0x3f80);
	assert_int_equal(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
	assert_int_equal(f32_to_bf16(1.0f + 0x3p-8f), 0x3f82);
	assert_int_equal(f32_to_bf16(3.4e38f), 0x7f80);
	assert_true((f32_to_bf16(NAN) & 0x7fff) > 0x7f80);
	for (uint32_t h = 0; h < 0x10000; h++) { /* every half that is a number survives the way through f32 */
		if ((h & 0x7c00) != 0x7c00 || !(h & 0x3ff))
			assert_int_equal(f32_to_f16(f16_to_f32((uint16_t)h)), h);
		if ((h & 0x7f80) != 0x7f80 || !(h & 0x7f))
			assert_int_equal(f32_to_bf16(bf16_to_f32((uint16_t)h)), h);
	}
}

#if defined(__x86_64__)
#include <immintrin.h>
__attribute__((target("f16c"))) static int hardware_f16(float x)
{
	return _mm_extract_epi16(_mm_cvtps_ph(_mm_set1_ps(x), _MM_FROUND_TO_NEAREST_INT), 0) & 0xffff;
}
static void tensor__half_precision_agrees_with_the_hardware(void **state)
{
	(void)state;
	if (!__builtin_cpu_supports("f16c"))
		skip();
	for (uint64_t u = 0; u < 0x100000000u; u += 9973) {
		uint32_t bits = (uint32_t)u;
		float x;
		memcpy(&x, &bits, 4);
		assert_int_equal(f32_to_f16(x), hardware_f16(x));
	}
}
#endif

static void graph__survives_each_failed_allocation(void **state)
{
	(void)state;
	for (uint64_t n = 1; n < 4; n++) {
		struct graph g, copy = {0};
		graph_init(&g);
		mem_fail_at(n);
		int rc = 0;
		char name[16];
		for (int i = 0; i < 70 && rc >= 0; i++) {
			snprintf(name, sizeof(name), "p%d", i);
			rc = graph_input(&g, name, DT_F32, SHAPE(1));
		}
		if (rc >= 0)
			rc = graph_copy(&copy, &g);
		mem_fail_at(0);
		assert_int_equal(rc, ERR_NOMEM);
		graph_clear(&g);
		graph_clear(&copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(graph__names_are_unique_and_never_truncated),
		cmocka_unit_test(graph__nodes_refer_only_to_earlier_nodes),
		cmocka_unit_test(graph__leaves_have_sane_shapes),
		cmocka_unit_test(graph__param_defaults),
		cmocka_unit_test(infer__linear_and_conv),
		cmocka_unit_test(infer__linear_keeps_all_axes_but_the_last),
		cmocka_unit_test(op__rows_name_every_input_and_no_other),
		cmocka_unit_test(infer__half_operands_come_in_pairs_and_give_f32),
		cmocka_unit_test(infer__norm_pool_add_dropout),
		cmocka_unit_test(infer__losses),
		cmocka_unit_test(infer__losses_over_labels),
		cmocka_unit_test(infer__losses_on_layers),
		cmocka_unit_test(infer__packed_tokens),
		cmocka_unit_test(infer__encoders),
		cmocka_unit_test(infer__fold),
		cmocka_unit_test(infer__quantized_values),
		cmocka_unit_test(infer__requant),
		cmocka_unit_test(infer__epilogue_constants),
		cmocka_unit_test(infer__integer_layers),
		cmocka_unit_test(infer__functions_of_integers),
		cmocka_unit_test(graph__constants_uses_and_print),
		cmocka_unit_test(tensor__half_precision_rounds_to_nearest_even),
#if defined(__x86_64__)
		cmocka_unit_test(tensor__half_precision_agrees_with_the_hardware),
#endif
		cmocka_unit_test(graph__survives_each_failed_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
