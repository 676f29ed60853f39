/* Cases of quantization training and conversion: fake_quant, requant, quantize, dequant and the factors m, c, k.
 * Forward results must be equal; only gradients have a tolerance. */
#include "ops/op_cases.h"

#include "quant/arith.h"

static const enum exec_mode modes[] = {EXEC_TRAIN, EXEC_INFER};

#define TOL_GRAD 1e-5
/* The gradient of a step is a sum of terms of both signs, many times larger than their sum. */
#define TOL_STEP 2e-4

static struct shape vec(int64_t n)
{
	return op_shape(1, n, 0, 0, 0);
}

static const struct {
	const char *name;
	struct qrange q;
} ranges[] = {{"u8", {8, 0, 255, 0, false}}, {"u8 z97", {8, 0, 255, 97, false}}, {"s8", {8, -128, 127, 0, true}},
    {"w8", {8, -127, 127, 0, true}}, {"w4", {4, -7, 7, 0, true}}, {"u4", {4, 0, 15, 0, false}},
    {"w2", {2, -1, 1, 0, true}}, {"w1", {1, -1, 1, 0, true}}};
#define RANGES ((int)(sizeof(ranges) / sizeof(ranges[0])))

/* Values over one and a half times the range, so that both clamps are hit. */
static void value_input(struct op_case *c, struct shape x, struct qrange q, double step)
{
	double lo = (q.lo - q.zero - 2) * step * 1.5, hi = (q.hi - q.zero) * step * 1.5;
	op_case_in(c, 0, DT_F32, x, lo, hi);
}

static void quantize_case(
    struct op_list *l, enum op op, enum exec_mode mode, struct shape x, int range, bool per_channel)
{
	struct op_case *c = op_list_add(
	    l, op, mode, "%s %d values%s", ranges[range].name, (int)shape_count(x), per_channel ? " per channel" : "");
	if (!c)
		return;
	value_input(c, x, ranges[range].q, 0.03);
	/* steps over a factor of 4: three powers of two */
	op_case_in(c, 1, DT_F32, vec(per_channel ? x.dim[0] : 1), 0.015, 0.06)->constant = true;
	c->attr.q = ranges[range].q;
	c->tol_grad = TOL_STEP;
}

/* Halves of a step: every second value ties, and the bounds are hit exactly. */
static void ties_case(struct op_list *l, enum op op, enum exec_mode mode)
{
	struct op_case *c = op_list_add(l, op, mode, "ties");
	if (!c)
		return;
	struct op_input *x = op_case_in(c, 0, DT_F32, op_shape(2, 9, 111, 0, 0), -270, 270);
	x->whole = true;
	x->unit = 0.125;
	op_case_in(c, 1, DT_F32, vec(1), 0.25, 0.25);
	c->attr.q = ranges[2].q;
	c->tol_grad = TOL_GRAD;
}

static void quantize_cases(struct op_list *l)
{
	const struct shape size[] = {
	    op_shape(4, 3, 7, 11, 5), op_shape(2, 17, 333, 0, 0), op_shape(4, 5, 3, 3, 1), op_shape(2, 3, 2503, 0, 0)};
	for (int r = 0; r < RANGES; r++) {
		bool weights = ranges[r].name[0] == 'w';
		for (int k = 0; k < 4; k++) {
			quantize_case(l, OP_FAKE_QUANT, modes[k & 1], size[k], r, weights);
			quantize_case(l, OP_FAKE_QUANT, modes[(k + 1) & 1], size[k], r, false);
			quantize_case(l, OP_QUANTIZE, EXEC_INFER, size[k], r, weights);
			quantize_case(l, OP_QUANTIZE, EXEC_INFER, size[k], r, false);
		}
	}
	/* many blocks to a slice */
	quantize_case(l, OP_FAKE_QUANT, EXEC_TRAIN, op_shape(2, 1, 140003, 0, 0), 0, false);
	ties_case(l, OP_FAKE_QUANT, EXEC_TRAIN);
	ties_case(l, OP_QUANTIZE, EXEC_INFER);
}

static void to_grid(const struct op_case *c, void *const *host)
{
	const float *step = host[1];
	float *x = host[0];
	const int64_t n = shape_count(c->in[0].shape) / shape_count(c->in[1].shape);
	for (int64_t i = 0; i < shape_count(c->in[0].shape); i++)
		x[i] *= quant_pow2(step[i / n]);
}

static void dequant_case(struct op_list *l, enum exec_mode mode, enum dtype t, struct shape x, int range, bool per_row)
{
	struct qrange q = ranges[range].q;
	struct op_case *c = op_list_add(l, OP_DEQUANT, mode, "%s from %s, %d values%s", ranges[range].name,
	    dtype_name(t), (int)shape_count(x), per_row ? " per row" : "");
	if (!c)
		return;
	int shift = t == DT_F32 ? q.zero : 0;
	op_case_in(c, 0, t, x, q.lo - shift, q.hi - shift)->whole = true;
	op_case_in(c, 1, DT_F32, vec(per_row ? x.dim[0] : 1), 0.015, 0.06)->constant = true;
	c->attr.q = q;
	c->finish = t == DT_F32 ? to_grid : NULL;
	c->tol_grad = TOL_STEP;
}

static void dequant_cases(struct op_list *l)
{
	const struct shape size[] = {op_shape(4, 3, 25, 17, 3), op_shape(4, 3, 5, 7, 3)};
	const struct shape table[] = {op_shape(2, 37, 16, 0, 0), op_shape(2, 5, 1103, 0, 0)};
	for (int k = 0; k < 4; k++) {
		bool per_row = k & 2;
		const struct shape x = per_row ? table[k & 1] : size[k & 1];
		int range = k & 1 ? 2 : 1; /* u8 with a zero point, s8 */
		for (int m = 0; m < 2; m++)
			dequant_case(l, modes[m], DT_F32, x, range, per_row);
		dequant_case(l, EXEC_INFER, k & 1 ? DT_S8 : DT_U8, x, range, per_row); /* integers do not train */
	}
	dequant_case(l, EXEC_TRAIN, DT_F32, op_shape(2, 3, 88003, 0, 0), 1, false); /* many blocks */
	dequant_case(l, EXEC_TRAIN, DT_F32, op_shape(2, 1103, 241, 0, 0), 3, true); /* many rows */
}

enum {
	RQ_PER_CHANNEL = 1,
	RQ_BIAS = 2,
	RQ_ROUNDED = 4,
	RQ_RESIDUAL = 8,
	RQ_RELU = 16,
	RQ_ZERO_IN = 32, /* and the folded zero point's weights */
	RQ_RAW_SUM = 64, /* an average pool: no weights */
	RQ_AFFINE = 128, /* zero point of the output */
};

/* acc, residual and weights become grid values of their steps; acc is an integer times P(s_x) P(s_w[o]). */
static void requant_grid(const struct op_case *c, void *const *host)
{
	const float *s_w = host[RQ_SW], *s_r = host[RQ_SR];
	float *acc = host[RQ_ACC], *r = host[RQ_R], *wq = host[RQ_WQ];
	float p_x = quant_pow2(*(const float *)host[RQ_SX]);
	int64_t n = shape_count(c->in[RQ_ACC].shape), C = c->in[RQ_ACC].shape.dim[c->in[RQ_ACC].shape.ndim - 1];
	int64_t steps = s_w ? shape_count(c->in[RQ_SW].shape) : 0;
	for (int64_t i = 0; i < n; i++) {
		acc[i] *= p_x * (s_w ? quant_pow2(s_w[steps > 1 ? i % C : 0]) : 1);
		if (r)
			r[i] *= quant_pow2(*s_r);
	}
	int64_t K = wq ? shape_inner(c->in[RQ_WQ].shape, 0) : 0;
	for (int64_t i = 0; wq && i < C * K; i++)
		wq[i] *= quant_pow2(s_w[steps > 1 ? i / K : 0]);
}

static void requant_case(struct op_list *l, enum exec_mode mode, struct shape acc, unsigned f)
{
	int64_t C = acc.dim[acc.ndim - 1];
	struct op_case *c = op_list_add(l, OP_REQUANT, mode, "%dd C%d%s%s%s%s%s%s%s%s", acc.ndim, (int)C,
	    f & RQ_PER_CHANNEL ? " per-channel" : "", f & RQ_BIAS ? " bias" : "", f & RQ_ROUNDED ? "" : " real",
	    f & RQ_RESIDUAL ? " residual" : "", f & RQ_RELU ? " relu" : "", f & RQ_ZERO_IN ? " zero" : "",
	    f & RQ_RAW_SUM ? " raw-sum" : "", f & RQ_AFFINE ? " affine" : "");
	if (!c)
		return;
	op_case_in(c, RQ_ACC, DT_F32, acc, -20000, 20000)->whole = true;
	op_case_in(c, RQ_SX, DT_F32, vec(1), 0.015, 0.06)->constant = true;
	if (!(f & RQ_RAW_SUM))
		op_case_in(c, RQ_SW, DT_F32, vec(f & RQ_PER_CHANNEL ? C : 1), 0.004, 0.016)->constant = true;
	if (f & RQ_BIAS)
		op_case_in(c, RQ_B, DT_F32, vec(C), -3, 3)->constant = true;
	if (f & RQ_ROUNDED)
		op_case_in(c, RQ_SY, DT_F32, vec(1), 0.03, 0.06)->constant = true;
	if (f & RQ_RESIDUAL) {
		op_case_in(c, RQ_R, DT_F32, acc, -128, 127)->whole = true;
		op_case_in(c, RQ_SR, DT_F32, vec(1), 0.015, 0.06)->constant = true;
	}
	if (f & RQ_ZERO_IN) {
		struct op_input *w = op_case_in(c, RQ_WQ, DT_F32, op_shape(2, C, 321, 0, 0), -127, 127);
		w->whole = w->constant = true;
		c->attr.zero_in = 113;
	}
	if (f & RQ_ROUNDED)
		c->attr.q = ranges[f & RQ_RELU ? 0 : f & RQ_AFFINE ? 1 : 2].q;
	c->attr.relu = f & RQ_RELU;
	c->attr.count = f & RQ_RAW_SUM ? 49 : 0;
	c->finish = requant_grid;
	c->tol_grad = TOL_STEP;
}

static void requant_cases(struct op_list *l)
{
	static const unsigned flags[] = {0, RQ_ROUNDED, RQ_ROUNDED | RQ_BIAS, RQ_ROUNDED | RQ_PER_CHANNEL | RQ_BIAS,
	    RQ_ROUNDED | RQ_PER_CHANNEL | RQ_BIAS | RQ_RELU,
	    RQ_ROUNDED | RQ_PER_CHANNEL | RQ_BIAS | RQ_RESIDUAL | RQ_RELU, RQ_ROUNDED | RQ_PER_CHANNEL | RQ_RESIDUAL,
	    RQ_ROUNDED | RQ_PER_CHANNEL | RQ_BIAS | RQ_ZERO_IN | RQ_AFFINE, RQ_ROUNDED | RQ_ZERO_IN,
	    RQ_PER_CHANNEL | RQ_BIAS, RQ_PER_CHANNEL | RQ_BIAS | RQ_ZERO_IN, RQ_BIAS | RQ_RELU,
	    RQ_PER_CHANNEL | RQ_RESIDUAL, RQ_ROUNDED | RQ_RAW_SUM, RQ_ROUNDED | RQ_BIAS | RQ_AFFINE};
	const struct shape size[] = {
	    op_shape(2, 3, 5, 0, 0), op_shape(4, 3, 7, 5, 17), op_shape(2, 65, 37, 0, 0), op_shape(4, 2, 3, 3, 1)};
	for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++)
		for (int i = 0; i < 4; i++)
			if (!(flags[k] & RQ_RAW_SUM) || size[i].ndim == 2)
				for (int m = 0; m < 2; m++)
					requant_case(l, modes[m], size[i], flags[k]);
	/* many channels, many rows: sums that are put together from parts */
	requant_case(l, EXEC_TRAIN, op_shape(2, 5, 261, 0, 0), RQ_ROUNDED | RQ_PER_CHANNEL | RQ_BIAS | RQ_RESIDUAL);
	requant_case(l, EXEC_TRAIN, op_shape(2, 528401, 1, 0, 0), RQ_ROUNDED);
	for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k += 5)
		requant_case(l, EXEC_TRAIN, op_shape(2, 1103, 5, 0, 0), flags[k]);
	/* sums of 0: t lies exactly on the bound of the ReLU, where the gradient is 0 */
	requant_case(l, EXEC_TRAIN, op_shape(2, 33, 7, 0, 0), RQ_ROUNDED | RQ_RELU);
	if (!l->failed) {
		l->item[l->n - 1].in[RQ_ACC].lo = -3;
		l->item[l->n - 1].in[RQ_ACC].hi = 3;
	}
}

static void gelu_input(struct op_case *c, int x_range, int y_range, int s_x)
{
	op_case_in(c, s_x, DT_F32, vec(1), 0.015, 0.06)->constant = true;
	op_case_in(c, s_x + 1, DT_F32, vec(1), 0.008, 0.03)->constant = true; /* large results are clipped */
	c->attr.q_in = ranges[x_range].q;
	c->attr.q = ranges[y_range].q;
}

/* GELU of every kind of range: grid values, and the table. */
static void gelu_cases(struct op_list *l)
{
	static const int pair[][2] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {0, 0}, {5, 5}, {4, 5}};
	const struct shape size[] = {op_shape(2, 17, 333, 0, 0), op_shape(2, 3, 5, 0, 0)};
	for (int k = 0; k < 28; k++) {
		const int *p = pair[k / 4], m = k & 1;
		const struct shape x = size[k / 2 & 1];
		const struct qrange q = ranges[p[0]].q;
		struct op_case *c = op_list_add(l, OP_FAKE_GELU, modes[m], "%s to %s, %d values%s", ranges[p[0]].name,
		    ranges[p[1]].name, (int)shape_count(x), k & 2 ? " tanh" : "");
		if (!c)
			return;
		op_case_in(c, FAKE_GELU_X, DT_F32, x, q.lo - q.zero, q.hi - q.zero)->whole = true;
		gelu_input(c, p[0], p[1], FAKE_GELU_SX);
		c->attr.gelu_tanh = k & 2;
		c->finish = to_grid;
		c->tol_grad = TOL_STEP;
		if (m)
			continue;
		c = op_list_add(l, OP_GELU_TABLE, EXEC_INFER, "%s to %s%s", ranges[p[0]].name, ranges[p[1]].name,
		    k & 2 ? " tanh" : "");
		if (!c)
			return;
		gelu_input(c, p[0], p[1], GELU_TABLE_SX);
		c->attr.gelu_tanh = k & 2;
	}
	/* many values to a slice */
	struct op_case *c = op_list_add(l, OP_FAKE_GELU, EXEC_TRAIN, "many values");
	if (!c)
		return;
	op_case_in(c, FAKE_GELU_X, DT_F32, op_shape(2, 3, 88003, 0, 0), -128, 127)->whole = true;
	gelu_input(c, 2, 1, FAKE_GELU_SX);
	c->finish = to_grid;
	c->tol_grad = TOL_STEP;
}

static void factor_cases(struct op_list *l)
{
	for (int k = 0; k < 12; k++) { /* m: with and without s_w per channel, s_y, count; one s_w for all channels */
		int64_t O = k & 1 ? 33 : 1;
		int channels = k & 8 ? (k & 1 ? 33 : 17) : 0;
		struct op_case *c = op_list_add(l, OP_RQ_SCALE, EXEC_INFER, "O%d%s%s channels %d", (int)O,
		    k & 2 ? " s_y" : "", k & 4 ? " raw sum" : "", channels);
		if (!c)
			return;
		op_case_in(c, 0, DT_F32, vec(1), 0.01, 0.1);
		if (!(k & 4))
			op_case_in(c, 1, DT_F32, vec(O), 0.001, 0.1);
		if (k & 2)
			op_case_in(c, 2, DT_F32, vec(1), 0.01, 0.1);
		c->attr.count = k & 4 ? 49 : 0;
		c->attr.channels = channels;
	}
	for (int k = 0; k < 16; k++) {
		int64_t O = k & 1 ? 33 : 1;
		struct op_case *c = op_list_add(l, OP_RQ_SHIFT, EXEC_INFER, "O%d%s%s%s", (int)O, k & 2 ? " bias" : "",
		    k & 4 ? " s_y" : "", k & 8 ? " zero" : "");
		if (!c)
			return;
		op_case_in(c, 0, DT_F32, vec(O), 0.001, 0.1);
		if (k & 2)
			op_case_in(c, 1, DT_F32, vec(O), -3, 3);
		if (k & 4)
			op_case_in(c, 2, DT_F32, vec(1), 0.01, 0.1);
		if (k & 8)
			op_case_in(c, 3, DT_S8, op_shape(4, O, 3, 5, 37), -127, 127);
		c->attr.q = k & 4 ? ranges[1].q : (struct qrange){0};
		c->attr.zero_in = k & 8 ? 131 : 0;
	}
	for (int k = 0; k < 2; k++) {
		struct op_case *c = op_list_add(l, OP_RQ_RESIDUAL, EXEC_INFER, "%s", k ? "s_y" : "real");
		if (!c)
			return;
		op_case_in(c, 0, DT_F32, vec(1), 0.01, 0.1);
		if (k)
			op_case_in(c, 1, DT_F32, vec(1), 0.01, 0.1);
	}
}

void op_cases_quantize(struct op_list *l)
{
	quantize_cases(l);
	dequant_cases(l);
	requant_cases(l);
	gelu_cases(l);
	factor_cases(l);
}
