/* Cases of the integer layers. Every result must be equal, real outputs included. */
#include "ops/op_cases.h"

#include <math.h>

static struct shape vec(int64_t n)
{
	return op_shape(1, n, 0, 0, 0);
}

static const struct qrange q_u8 = {8, 0, 255, 0, false}, q_u8_affine = {8, 0, 255, 119, false},
			   q_s8 = {8, -128, 127, 0, true};

/* What differs between the cases of one shape. */
struct variant {
	const char *name;
	enum dtype x;
	struct qrange q; /* bits 0: real output */
	bool relu, residual;
	enum dtype r;
};
static const struct variant variants[] = {{"u8 to u8 relu", DT_U8, {8, 0, 255, 0, false}, true, false, DT_U8},
    {"u8 to s8", DT_U8, {8, -128, 127, 0, true}, false, false, DT_U8},
    {"u8 to affine u8", DT_U8, {8, 0, 255, 119, false}, false, false, DT_U8},
    {"s8 to affine u8 relu", DT_S8, {8, 0, 255, 119, false}, true, false, DT_U8},
    {"u8 to s4", DT_U8, {4, -8, 7, 0, true}, false, false, DT_U8}, {"u8 to f32", DT_U8, {0}, false, false, DT_U8},
    {"u8 to f32 relu", DT_U8, {0}, true, false, DT_U8},
    {"s8 to s8", DT_S8, {8, -128, 127, 0, true}, false, false, DT_U8}, {"s8 to f32", DT_S8, {0}, false, false, DT_U8},
    {"u8 + u8 to u8 relu", DT_U8, {8, 0, 255, 0, false}, true, true, DT_U8},
    {"u8 + s8 to u8 relu", DT_U8, {8, 0, 255, 0, false}, true, true, DT_S8},
    {"s8 + u8 to s8", DT_S8, {8, -128, 127, 0, true}, false, true, DT_U8},
    {"s8 + s8 to s8", DT_S8, {8, -128, 127, 0, true}, false, true, DT_S8},
    {"u8 + s8 to f32", DT_U8, {0}, false, true, DT_S8}, {"u8 + s8 to f32 relu", DT_U8, {0}, true, true, DT_S8}};
#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

static void integer_input(struct op_case *c, int i, enum dtype t, struct shape s)
{
	op_case_in(c, i, t, s, t == DT_U8 ? 0 : -128, t == DT_U8 ? 255 : 127);
}

/* Weights, factors and residual: m is such that t spreads over about twice the range. */
static void layer_inputs(struct op_case *c, const struct variant *v, struct shape w, struct shape out)
{
	int64_t O = w.dim[0], K = shape_inner(w, 0);
	double spread = 130.0 / (sqrt((double)K) * (v->x == DT_U8 ? 147 : 74) * 0.58 * 127);
	op_case_in(c, 1, DT_S8, w, -127, 127)->constant = true;
	op_case_in(c, 2, DT_F32, vec(O), 0.5 * spread, 1.5 * spread)->constant = true;
	op_case_in(c, 3, DT_F32, vec(O), v->q.zero - 20, v->q.zero + 20)->constant = true;
	if (v->residual) {
		integer_input(c, 4, v->r, out);
		op_case_in(c, 5, DT_F32, vec(1), 0.2, 1.2)->constant = true;
	}
	c->attr.q = v->q;
	c->attr.relu = v->relu;
}

static void qlinear_case(struct op_list *l, int64_t N, int64_t K, int64_t M, const struct variant *v)
{
	struct op_case *c = op_list_add(l, OP_QLINEAR, EXEC_INFER, "N%d K%d M%d %s", (int)N, (int)K, (int)M, v->name);
	if (!c)
		return;
	integer_input(c, 0, v->x, op_shape(2, N, K, 0, 0));
	layer_inputs(c, v, op_shape(2, M, K, 0, 0), op_shape(2, N, M, 0, 0));
}

/* Every second t is a tie: m = 1/2, c = 0. */
static void qlinear_ties(struct op_list *l)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = op_list_add(l, OP_QLINEAR, EXEC_INFER, "N%d ties", k ? 33 : 3);
		if (!c)
			return;
		op_case_in(c, 0, DT_U8, op_shape(2, k ? 33 : 3, 7, 0, 0), 0, 15);
		op_case_in(c, 1, DT_S8, op_shape(2, 35, 7, 0, 0), -4, 4)->constant = true;
		op_case_in(c, 2, DT_F32, vec(35), 0.5, 0.5)->constant = true;
		op_case_in(c, 3, DT_F32, vec(35), 0, 0)->constant = true;
		c->attr.q = q_s8;
	}
}

static void qlinear_cases(struct op_list *l)
{
	static const int64_t size[][3] = {{1, 1, 1}, {3, 5, 7}, {1, 17, 33}, {5, 63, 31}, {1, 784, 256}, {8, 130, 17},
	    {9, 2400, 10}, {64, 128, 65}, {33, 257, 129}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++)
		for (size_t v = 0; v < VARIANTS; v++)
			qlinear_case(l, size[i][0], size[i][1], size[i][2], &variants[v]);
	qlinear_ties(l);
	struct op_case *c = op_list_add(l, OP_QLINEAR, EXEC_INFER, "flattened input");
	if (!c)
		return;
	integer_input(c, 0, DT_U8, op_shape(4, 3, 5, 7, 3));
	layer_inputs(c, &variants[0], op_shape(2, 9, 105, 0, 0), op_shape(2, 3, 9, 0, 0));
	c->attr.flatten = true;
	for (size_t v = 0; v < 2 * VARIANTS; v++) { /* few rows and many: two kernels */
		int64_t T = v < VARIANTS ? 5 : 50;
		c = op_list_add(
		    l, OP_QLINEAR, EXEC_INFER, "3-D N3 T%d K21 M19 %s", (int)T, variants[v % VARIANTS].name);
		if (!c)
			return;
		integer_input(c, QL_X, variants[v % VARIANTS].x, op_shape(3, 3, T, 21, 0));
		layer_inputs(c, &variants[v % VARIANTS], op_shape(2, 19, 21, 0, 0), op_shape(3, 3, T, 19, 0));
	}
}

struct conv_size {
	int64_t N, H, W, C, O, KH, KW;
	int stride, pad;
};

static void qconv_case(struct op_list *l, const struct conv_size *z, const struct variant *v)
{
	struct op_case *c = op_list_add(l, OP_QCONV2D, EXEC_INFER, "N%d %dx%d C%d O%d k%dx%d s%d p%d %s", (int)z->N,
	    (int)z->H, (int)z->W, (int)z->C, (int)z->O, (int)z->KH, (int)z->KW, z->stride, z->pad, v->name);
	if (!c)
		return;
	int64_t OH = (z->H + 2 * z->pad - z->KH) / z->stride + 1, OW = (z->W + 2 * z->pad - z->KW) / z->stride + 1;
	integer_input(c, 0, v->x, op_shape(4, z->N, z->H, z->W, z->C));
	layer_inputs(c, v, op_shape(4, z->O, z->KH, z->KW, z->C), op_shape(4, z->N, OH, OW, z->O));
	c->attr.stride = z->stride;
	c->attr.pad = z->pad;
}

static void qconv_cases(struct op_list *l)
{
	static const struct conv_size size[] = {{3, 7, 11, 1, 5, 3, 3, 1, 0}, {2, 9, 13, 3, 32, 5, 5, 1, 0},
	    {1, 9, 13, 3, 33, 3, 3, 1, 1}, {2, 8, 9, 4, 17, 3, 3, 2, 1}, {3, 8, 9, 17, 5, 3, 3, 2, 1},
	    {1, 11, 7, 5, 17, 5, 5, 1, 2}, {2, 7, 7, 33, 17, 1, 1, 2, 0}, {1, 6, 7, 4, 3, 3, 5, 1, 1},
	    {1, 5, 5, 96, 7, 5, 5, 1, 0}, {1, 12, 12, 64, 48, 3, 3, 1, 1}, {2, 10, 10, 32, 64, 3, 3, 2, 1},
	    {1, 14, 15, 3, 16, 7, 7, 2, 3}, {3, 1, 1, 1, 1, 1, 1, 1, 0}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++)
		for (size_t v = 0; v < VARIANTS; v++)
			qconv_case(l, &size[i], &variants[v]);
}

static void qtable_cases(struct op_list *l)
{
	static const int64_t size[] = {1, 63, 64, 65, 777, 300007};
	for (int k = 0; k < 24; k++) {
		enum dtype x = k & 1 ? DT_S8 : DT_U8;
		struct op_case *c = op_list_add(l, OP_QTABLE, EXEC_INFER, "%d values %s to %s", (int)size[k / 4],
		    dtype_name(x), k & 2 ? "s8" : "u8");
		if (!c)
			return;
		integer_input(c, QTABLE_X, x, op_shape(2, 1, size[k / 4], 0, 0));
		integer_input(c, QTABLE_TABLE, k & 2 ? DT_S8 : DT_U8, vec(256));
		c->in[QTABLE_TABLE].constant = true;
		c->attr.q = k & 2 ? q_s8 : q_u8_affine;
	}
}

static void qavgpool_cases(struct op_list *l)
{
	static const int64_t channels[] = {1, 3, 17, 33, 64};
	for (int k = 0; k < 30; k++) {
		enum dtype t = k & 1 ? DT_S8 : DT_U8;
		struct qrange q = k % 3 == 0 ? q_u8 : k % 3 == 1 ? q_s8 : q_u8_affine;
		const bool relu = k % 4 == 2;
		struct op_case *c = op_list_add(l, OP_QAVGPOOL, EXEC_INFER, "C%d %s to %s%s%s", (int)channels[k / 6],
		    dtype_name(t), q.is_signed ? "s8" : "u8", q.zero ? " affine" : "", relu ? " relu" : "");
		if (!c)
			return;
		integer_input(c, 0, t, op_shape(4, 3, 7, 5, channels[k / 6]));
		op_case_in(c, 1, DT_F32, vec(1), 0.8 / 35, 1.6 / 35)->constant = true;
		op_case_in(c, 2, DT_F32, vec(1), relu ? q.zero - 150 : q.zero - 5, q.zero + 5)->constant = true;
		c->attr.q = q;
		c->attr.relu = relu;
	}
}

/* Row 0 is zeros, row 1 too small for 127/max|x| to be finite. */
static void odd_rows(const struct op_case *c, void *const *host)
{
	float *x = host[0];
	int64_t K = shape_inner(c->in[0].shape, 0);
	for (int64_t k = 0; k < K; k++) {
		x[k] = 0;
		x[K + k] *= 0x1p-120f;
	}
}

static struct op_case *qlinear_dyn_case(
    struct op_list *l, struct shape x, int64_t K, int64_t M, bool bias, bool relu, const char *kind)
{
	int64_t N = shape_count(x) / K;
	struct op_case *c = op_list_add(l, OP_QLINEAR_DYN, EXEC_INFER, "N%d K%d M%d%s%s%s", (int)N, (int)K, (int)M,
	    bias ? " bias" : "", relu ? " relu" : "", kind);
	if (!c)
		return NULL;
	op_case_in(c, DYN_X, DT_F32, x, -3, 2);
	op_case_in(c, DYN_W, DT_S8, op_shape(2, M, K, 0, 0), -127, 127)->constant = true;
	op_case_in(c, DYN_SW, DT_F32, vec(M), 0.001, 0.02)->constant = true;
	if (bias)
		op_case_in(c, DYN_B, DT_F32, vec(M), -1, 1)->constant = true;
	c->attr.relu = relu;
	return c;
}

static void qlinear_dyn_cases(struct op_list *l)
{
	static const int64_t size[][3] = {
	    {1, 1, 1}, {3, 5, 7}, {1, 17, 33}, {5, 784, 31}, {9, 2400, 10}, {64, 128, 65}, {33, 257, 129}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		for (int k = 0; k < 4; k++) {
			int64_t N = size[i][0], K = size[i][1], M = size[i][2];
			struct op_case *c = qlinear_dyn_case(l, op_shape(2, N, K, 0, 0), K, M, k & 1, k & 2, "");
			if (!c)
				return;
			c->finish = N > 2 ? odd_rows : NULL;
		}
	}
	qlinear_dyn_case(l, op_shape(3, 3, 7, 11, 0), 11, 17, true, false, " 3-D");
	struct op_case *c = qlinear_dyn_case(l, op_shape(4, 3, 5, 7, 3), 105, 9, true, true, " flattened");
	if (c)
		c->attr.flatten = true;
}

void op_cases_integer(struct op_list *l)
{
	qlinear_cases(l);
	qconv_cases(l);
	qtable_cases(l);
	qavgpool_cases(l);
	qlinear_dyn_cases(l);
}
