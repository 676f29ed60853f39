/* Cases of the float ops: layers, normalization, pooling, element-wise ops, losses, folding, casts. */
#include "ops/op_cases.h"

#include <stdio.h>
#include <string.h>

#define TOL_EXACT 0.0
#define TOL_FEW   2e-6 /* a few roundings */
#define TOL_SUM   1e-5 /* sums of up to some thousand products */
#define TOL_TF32  2e-3 /* operands rounded to 10 fraction bits, which each device does in its own way */
#define TOL_STAT  5e-5 /* differences of nearly equal sums */

static const enum exec_mode modes[] = {EXEC_TRAIN, EXEC_INFER};

static struct shape vec(int64_t n)
{
	return op_shape(1, n, 0, 0, 0);
}

static void tolerances(struct op_case *c, double forward, double gradient)
{
	c->tol = forward;
	c->tol_grad = gradient;
}

static bool has_products(const struct op_list *l, enum dtype t)
{
	return t == DT_F16 ? l->f16 : t == DT_BF16 ? l->bf16 : true;
}

/* The operands' types; f32 first, whose names stay as they are. */
static const enum dtype operand_types[] = {DT_F32, DT_F16, DT_BF16};

static const char *type_suffix(enum dtype t)
{
	return t == DT_F16 ? " f16" : t == DT_BF16 ? " bf16" : "";
}

static struct op_case *linear_case(
    struct op_list *l, enum exec_mode mode, enum dtype t, struct shape x, int64_t M, bool bias, bool relu)
{
	bool flatten = x.ndim == 4; /* an image; tokens (N,T,K) have their features in the last axis */
	int64_t K = shape_inner(x, flatten ? 0 : x.ndim - 2);
	struct op_case *c =
	    op_list_add(l, OP_LINEAR, mode, "N%d K%d M%d%s%s%s%s", (int)(shape_count(x) / K), (int)K, (int)M,
		flatten       ? " flattened"
		: x.ndim == 3 ? " 3-D"
			      : "",
		bias ? " bias" : "", relu ? " relu" : "", type_suffix(t));
	if (!c)
		return NULL;
	op_case_in(c, 0, t, x, -1, 1);
	op_case_in(c, 1, t, op_shape(2, M, K, 0, 0), -1, 1)->constant = true;
	if (bias)
		op_case_in(c, 2, DT_F32, vec(M), -2, 2)->constant = true;
	c->attr.relu = relu;
	c->attr.flatten = flatten;
	tolerances(c, TOL_SUM, TOL_SUM);
	return c;
}

static void linear_cases_of(struct op_list *l, enum dtype t)
{
	static const int64_t size[][3] = {
	    {1, 1, 1}, {3, 5, 7}, {1, 17, 33}, {8, 33, 1}, {3, 2400, 10}, {65, 33, 129}, {129, 784, 17}, {1103, 3, 5}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		for (int k = 0; k < 8; k++) {
			/* every pair of bias and relu for small sizes, one for large ones */
			if ((size[i][0] > 200 || size[i][1] > 100) && (k >> 1) != 3)
				continue;
			linear_case(
			    l, modes[k & 1], t, op_shape(2, size[i][0], size[i][1], 0, 0), size[i][2], k & 2, k & 4);
		}
	}
	for (int k = 0; k < 4; k++) {
		linear_case(l, modes[k & 1], t, op_shape(3, 3, 7, 11, 0), 17, k & 2, k & 2);
		if (k & 2)
			linear_case(l, modes[k & 1], t, op_shape(4, 3, 7, 11, 5), 17, true, false);
	}
}

static void linear_cases(struct op_list *l)
{
	for (size_t i = 0; i < sizeof(operand_types) / sizeof(operand_types[0]); i++)
		if (has_products(l, operand_types[i]))
			linear_cases_of(l, operand_types[i]);
}

struct conv_size {
	int64_t N, H, W, C, O, KH, KW;
	int stride, pad;
};

static struct op_case *conv_case(
    struct op_list *l, enum exec_mode mode, enum dtype t, const struct conv_size *z, bool bias, bool relu)
{
	struct op_case *c = op_list_add(l, OP_CONV2D, mode, "N%d %dx%d C%d O%d k%dx%d s%d p%d%s%s%s", (int)z->N,
	    (int)z->H, (int)z->W, (int)z->C, (int)z->O, (int)z->KH, (int)z->KW, z->stride, z->pad, bias ? " bias" : "",
	    relu ? " relu" : "", type_suffix(t));
	if (!c)
		return NULL;
	op_case_in(c, 0, t, op_shape(4, z->N, z->H, z->W, z->C), -1, 1);
	op_case_in(c, 1, t, op_shape(4, z->O, z->KH, z->KW, z->C), -1, 1)->constant = true;
	if (bias)
		op_case_in(c, 2, DT_F32, vec(z->O), -2, 2)->constant = true;
	c->attr = (struct attr){.stride = z->stride, .pad = z->pad, .relu = relu};
	tolerances(c, TOL_SUM, TOL_SUM);
	return c;
}

static void conv_cases(struct op_list *l)
{
	static const struct conv_size size[] = {{3, 7, 11, 1, 5, 3, 3, 1, 0}, {2, 7, 11, 3, 33, 3, 3, 1, 1},
	    {3, 8, 9, 17, 5, 3, 3, 2, 1}, {1, 11, 7, 5, 17, 5, 5, 1, 2}, {2, 7, 7, 33, 17, 1, 1, 2, 0},
	    {2, 9, 13, 3, 32, 5, 5, 1, 0}, {1, 6, 7, 4, 3, 3, 5, 1, 1}, {1, 5, 5, 96, 7, 5, 5, 1, 0},
	    {1, 12, 12, 64, 48, 3, 3, 1, 1}, {3, 1, 1, 1, 1, 1, 1, 1, 0}, {2, 8, 8, 16, 32, 3, 3, 2, 1}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		for (int k = 0; k < 24; k++) {
			enum dtype t = operand_types[k >> 3];
			bool both = (k >> 1 & 3) == 3; /* bias and relu: enough for large sizes and half precision */
			if (has_products(l, t) && (both || (size[i].C < 64 && t == DT_F32)))
				conv_case(l, modes[k & 1], t, &size[i], k & 2, k & 4);
		}
	}
}

static void in_tf32(struct op_case *c)
{
	if (!c)
		return;
	size_t n = strlen(c->name);
	snprintf(c->name + n, sizeof(c->name) - n, " tf32");
	c->attr.tf32 = true;
	tolerances(c, TOL_TF32, TOL_TF32);
}

/* Without ReLU: a sum near 0 that is rounded to the other side would lose or gain a whole gradient. */
static void tf32_cases(struct op_list *l)
{
	static const int64_t linear[][3] = {{3, 5, 7}, {65, 33, 129}, {129, 784, 17}};
	static const struct conv_size conv[] = {{2, 7, 11, 3, 33, 3, 3, 1, 1}, {3, 8, 9, 17, 5, 3, 3, 2, 1},
	    {2, 9, 13, 3, 32, 5, 5, 1, 0}, {2, 5, 7, 9, 8, 1, 1, 1, 0}};
	for (int k = 0; l->tf32 && k < 2; k++) {
		for (size_t i = 0; i < sizeof(linear) / sizeof(linear[0]); i++)
			in_tf32(linear_case(l, modes[k], DT_F32, op_shape(2, linear[i][0], linear[i][1], 0, 0),
			    linear[i][2], true, false));
		for (size_t i = 0; i < sizeof(conv) / sizeof(conv[0]); i++)
			in_tf32(conv_case(l, modes[k], DT_F32, &conv[i], true, false));
	}
}

static void batchnorm_case(struct op_list *l, enum exec_mode mode, struct shape x, double lo, double hi, bool relu)
{
	int64_t C = x.dim[x.ndim - 1];
	struct op_case *c = op_list_add(l, OP_BATCHNORM, mode, "rows%d C%d [%g,%g]%s", (int)(shape_count(x) / C),
	    (int)C, lo, hi, relu ? " relu" : "");
	if (!c)
		return;
	op_case_in(c, 0, DT_F32, x, lo, hi);
	op_case_in(c, 1, DT_F32, vec(C), 0.5, 1.5)->constant = true;
	op_case_in(c, 2, DT_F32, vec(C), -1, 1)->constant = true;
	op_case_in(c, 3, DT_F32, vec(C), lo, hi)->constant = true;
	op_case_in(c, 4, DT_F32, vec(C), 0.1, 2)->constant = true;
	c->attr = (struct attr){.relu = relu, .eps = 1e-5f};
	tolerances(c, TOL_STAT, TOL_STAT);
}

static void batchnorm_cases(struct op_list *l)
{
	const struct shape size[] = {op_shape(4, 3, 7, 11, 1), op_shape(4, 2, 5, 3, 3), op_shape(4, 3, 4, 5, 17),
	    op_shape(4, 2, 9, 7, 33), op_shape(2, 7, 5, 0, 0), op_shape(2, 64, 128, 0, 0), op_shape(4, 16, 8, 8, 32)};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++)
		for (int k = 0; k < 4; k++)
			batchnorm_case(l, modes[k & 1], size[i], -1, 1, k & 2);
	batchnorm_case(l, EXEC_TRAIN, op_shape(4, 3, 7, 11, 5), 5, 7, false);     /* the mean is most of the value */
	batchnorm_case(l, EXEC_TRAIN, op_shape(2, 17011, 33, 0, 0), -1, 1, true); /* many blocks of rows */
	batchnorm_case(l, EXEC_TRAIN, op_shape(2, 1, 5, 0, 0), -1, 1, true);      /* a row has no unbiased variance */
	if (!l->failed)
		l->item[l->n - 1].in[0].no_gradient = true; /* of x it is 0 but for rounding */
}

static void maxpool_case(
    struct op_list *l, enum exec_mode mode, enum dtype t, struct shape x, const int *window, bool ties)
{
	struct op_case *c = op_list_add(l, OP_MAXPOOL, mode, "%s %dx%d C%d k%d s%d p%d%s", dtype_name(t), (int)x.dim[1],
	    (int)x.dim[2], (int)x.dim[3], window[0], window[1], window[2], ties ? " ties" : "");
	if (!c)
		return;
	struct op_input *in = op_case_in(c, 0, t, x, t == DT_U8 ? 0 : -128, t == DT_U8 ? 255 : 127);
	if (ties) {
		in->lo = t == DT_U8 ? 0 : -1;
		in->hi = 1;
		in->whole = true;
	}
	c->attr = (struct attr){.kernel = window[0], .stride = window[1], .pad = window[2]};
	tolerances(c, TOL_EXACT, TOL_FEW);
}

static void maxpool_cases(struct op_list *l)
{
	static const int window[][3] = {{2, 2, 0}, {3, 2, 1}, {2, 1, 0}, {3, 3, 0}, {3, 1, 1}};
	static const int64_t channels[] = {1, 3, 5, 17, 33, 64, 96};
	for (size_t w = 0; w < sizeof(window) / sizeof(window[0]); w++) {
		for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
			struct shape x = op_shape(4, 3, 7, 11, channels[i]);
			for (int m = 0; m < 2; m++)
				maxpool_case(l, modes[m], DT_F32, x, window[w], i & 1);
			maxpool_case(l, EXEC_INFER, DT_U8, x, window[w], i & 1);
			maxpool_case(l, EXEC_INFER, DT_S8, x, window[w], i & 1);
		}
	}
	/* windows that do not overlap: in the padding, and with gaps between them */
	static const int apart[][3] = {{2, 2, 1}, {2, 3, 0}, {3, 4, 1}};
	for (size_t w = 0; w < sizeof(apart) / sizeof(apart[0]); w++)
		for (int k = 0; k < 2; k++)
			maxpool_case(l, EXEC_TRAIN, DT_F32, op_shape(4, 2, 7, 11, k ? 17 : 3), apart[w], k);
}

static void elementwise_cases(struct op_list *l)
{
	const struct shape size[] = {op_shape(4, 3, 7, 11, 5), op_shape(2, 1, 1, 0, 0), op_shape(2, 129, 257, 0, 0)};
	for (int k = 0; k < 12; k++) {
		struct shape x = size[k >> 2];
		struct op_case *c =
		    op_list_add(l, OP_ADD, modes[k & 1], "%d values%s", (int)shape_count(x), k & 2 ? " relu" : "");
		if (!c)
			return;
		op_case_in(c, 0, DT_F32, x, -1, 1);
		op_case_in(c, 1, DT_F32, x, -1, 1);
		c->attr.relu = k & 2;
		tolerances(c, TOL_EXACT, TOL_FEW);
	}
	static const float rate[] = {0, 0.1f, 0.5f};
	for (int k = 0; k < 18; k++) {
		struct shape x = size[k % 3];
		struct op_case *c = op_list_add(
		    l, OP_DROPOUT, modes[k / 9], "%d values rate %g", (int)shape_count(x), (double)rate[k / 3 % 3]);
		if (!c)
			return;
		op_case_in(c, 0, DT_F32, x, -1, 1);
		c->attr.rate = rate[k / 3 % 3];
		tolerances(c, TOL_FEW, TOL_FEW);
	}
}

static void avgpool_and_cast_cases(struct op_list *l)
{
	static const int64_t channels[] = {1, 3, 17, 33, 64};
	for (int k = 0; k < 20; k++) {
		struct op_case *c = op_list_add(l, OP_AVGPOOL, modes[k & 1], "C%d%s", (int)channels[k >> 2],
		    k & 2 ? " raw sum of grid values" : "");
		if (!c)
			return;
		struct op_input *in = op_case_in(c, 0, DT_F32, op_shape(4, 3, 7, 5, channels[k >> 2]), -1, 1);
		c->attr.raw_sum = k & 2;
		if (c->attr.raw_sum) {
			in->whole = true;
			in->lo = -100;
			in->hi = 155;
			in->unit = 0x1p-5;
		}
		tolerances(c, c->attr.raw_sum ? TOL_EXACT : TOL_FEW, TOL_FEW);
	}
	static const enum dtype types[][2] = {
	    {DT_F32, DT_F16}, {DT_F32, DT_BF16}, {DT_F16, DT_F32}, {DT_BF16, DT_F32}, {DT_F32, DT_F32}};
	for (size_t i = 0; i < 2 * sizeof(types) / sizeof(types[0]); i++) {
		const enum dtype *t = types[i >> 1];
		struct op_case *c =
		    op_list_add(l, OP_CAST, modes[i & 1], "%s to %s", dtype_name(t[0]), dtype_name(t[1]));
		if (!c)
			return;
		/* up to f16's overflow, and by the unit into its denormals */
		op_case_in(c, 0, t[0], op_shape(2, 3, 77, 0, 0), -70000, 70000)->unit = i & 2 ? 0x1p-24 : 0;
		c->attr.to = t[1];
		tolerances(c, TOL_EXACT, TOL_FEW); /* gradients pass as they are; adding rounds */
	}
}

static void unweighted_row(const struct op_case *c, void *const *host)
{
	int32_t *labels = host[c->n_in - 2];
	float *weight = host[c->n_in - 1];
	labels[0] = -1;
	weight[c->in[c->n_in - 1].shape.dim[0] - 1] = 0;
}

/* The last class of row 0 is far above the others: only the maximum over all of them keeps exp from overflowing. */
static void last_class_far_above(const struct op_case *c, void *const *host)
{
	float *z = host[0];
	z[c->in[0].shape.dim[1] - 1] = 300;
}

static void loss_case(
    struct op_list *l, enum op op, int64_t N, int64_t C, double range, struct attr attr, bool odd_rows)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = op_list_add(l, op, modes[k], "N%d C%d +-%g smoothing %g T%g alpha %g%s", (int)N,
		    (int)C, range, (double)attr.smoothing, (double)attr.temperature, (double)attr.alpha,
		    odd_rows ? " ignored" : "");
		if (!c)
			return;
		int i = 0;
		op_case_in(c, i++, DT_F32, op_shape(2, N, C, 0, 0), -range, range);
		if (op == OP_KD_LOSS)
			op_case_in(c, i++, DT_F32, op_shape(2, N, C, 0, 0), -range, range);
		op_case_in(c, i++, DT_S32, vec(N), 0, (double)C - 1);
		op_case_in(c, i++, DT_F32, vec(N), 0, 2.0 / (double)N);
		c->attr = attr;
		c->finish = odd_rows ? unweighted_row : range > 88 ? last_class_far_above : NULL;
		tolerances(c, TOL_SUM, TOL_SUM);
	}
}

static void loss_cases(struct op_list *l)
{
	static const int64_t size[][2] = {{1, 2}, {3, 5}, {64, 10}, {7, 1000}, {301, 3}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		int64_t N = size[i][0], C = size[i][1];
		loss_case(l, OP_CE_LOSS, N, C, 3, (struct attr){0}, N > 1);
		loss_case(l, OP_CE_LOSS, N, C, 3, (struct attr){.smoothing = 0.1f}, N > 1);
		/* exp would overflow, and a confident label's gradient is a cancelling p - 1 */
		loss_case(l, OP_CE_LOSS, N, C, 90, (struct attr){0}, false);
		loss_case(l, OP_KD_LOSS, N, C, 3, (struct attr){.temperature = 4, .alpha = 0.7f}, N > 1);
		loss_case(l, OP_KD_LOSS, N, C, 3, (struct attr){.temperature = 1, .alpha = 1}, false);
		loss_case(l, OP_KD_LOSS, N, C, 3, (struct attr){.temperature = 2, .alpha = 0}, false);
		loss_case(l, OP_KD_LOSS, N, C, 90, (struct attr){.temperature = 2, .alpha = 0.5f}, false);
	}
}

/* The last sample counts nothing; nothing is known of the first one's targets, nor of the second one's first. */
static void odd_samples(const struct op_case *c, void *const *host)
{
	const int weight = c->op == OP_KD_BCE_LOSS ? KD_BCE_WEIGHT : BCE_WEIGHT;
	const int64_t N = c->in[0].shape.dim[0], L = c->in[0].shape.dim[1];
	float *target = host[weight - 1];
	((float *)host[weight])[N - 1] = 0;
	for (int64_t l = 0; l <= L; l++)
		target[l] = -1;
}

static void label_loss_case(
    struct op_list *l, enum op op, int64_t N, int64_t L, double range, struct attr attr, bool soft)
{
	for (int k = 0; k < 2; k++) {
		struct op_case *c = op_list_add(l, op, modes[k], "N%d L%d +-%g T%g alpha %g%s", (int)N, (int)L, range,
		    (double)attr.temperature, (double)attr.alpha, soft ? " soft targets" : "");
		if (!c)
			return;
		int i = 0;
		op_case_in(c, i++, DT_F32, op_shape(2, N, L, 0, 0), -range, range);
		if (op == OP_KD_BCE_LOSS)
			op_case_in(c, i++, DT_F32, op_shape(2, N, L, 0, 0), -range, range);
		op_case_in(c, i++, DT_F32, op_shape(2, N, L, 0, 0), 0, 1)->whole = !soft;
		op_case_in(c, i++, DT_F32, vec(N), 0, 2.0 / (double)N);
		op_case_in(c, i++, DT_F32, vec(L), 0.25, 20);
		c->attr = attr;
		c->finish = N > 1 ? odd_samples : NULL;
		tolerances(c, TOL_SUM, TOL_SUM);
	}
}

static void label_loss_cases(struct op_list *l)
{
	static const int64_t size[][2] = {{1, 1}, {3, 5}, {64, 6}, {7, 1000}, {301, 3}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		int64_t N = size[i][0], L = size[i][1];
		label_loss_case(l, OP_BCE_LOSS, N, L, 3, (struct attr){0}, false);
		label_loss_case(l, OP_BCE_LOSS, N, L, 3, (struct attr){0}, true);
		label_loss_case(l, OP_BCE_LOSS, N, L, 200, (struct attr){0}, false); /* exp would overflow */
		label_loss_case(l, OP_KD_BCE_LOSS, N, L, 3, (struct attr){.temperature = 4, .alpha = 0.7f}, false);
		label_loss_case(l, OP_KD_BCE_LOSS, N, L, 3, (struct attr){.temperature = 1, .alpha = 1}, false);
		label_loss_case(l, OP_KD_BCE_LOSS, N, L, 3, (struct attr){.temperature = 2, .alpha = 0}, true);
		label_loss_case(l, OP_KD_BCE_LOSS, N, L, 300, (struct attr){.temperature = 2, .alpha = 0.5f}, false);
	}
}

static void fold_cases(struct op_list *l)
{
	const struct shape size[] = {
	    op_shape(4, 5, 3, 3, 17), op_shape(2, 33, 129, 0, 0), op_shape(4, 1, 1, 1, 1), op_shape(2, 3, 1003, 0, 0)};
	for (int k = 0; k < 8; k++) {
		struct shape w = size[k >> 1];
		struct op_case *c =
		    op_list_add(l, OP_FOLD_WEIGHT, modes[k & 1], "O%d %d values", (int)w.dim[0], (int)shape_count(w));
		if (!c)
			return;
		op_case_in(c, 0, DT_F32, w, -1, 1)->constant = true;
		op_case_in(c, 1, DT_F32, vec(w.dim[0]), -1.5, 1.5)->constant = true;
		struct op_input *var = op_case_in(c, 2, DT_F32, vec(w.dim[0]), 0.01, 2);
		var->constant = var->no_gradient = true;
		c->attr.eps = 1e-5f;
		tolerances(c, TOL_FEW, TOL_SUM);
	}
	for (int k = 0; k < 8; k++) {
		int64_t O = k & 4 ? 33 : 1;
		struct op_case *c = op_list_add(l, OP_FOLD_BIAS, modes[k & 1], "O%d%s", (int)O, k & 2 ? " bias" : "");
		if (!c)
			return;
		for (int i = k & 2 ? 0 : 1; i < 5; i++) {
			struct op_input *in = op_case_in(c, i, DT_F32, vec(O), i == 4 ? 0.01 : -1, 1.5);
			in->constant = true;
			in->no_gradient = i >= 3;
		}
		c->attr.eps = 1e-5f;
		tolerances(c, TOL_FEW, TOL_FEW);
	}
}

void op_cases_float(struct op_list *l)
{
	linear_cases(l);
	conv_cases(l);
	tf32_cases(l);
	batchnorm_cases(l);
	maxpool_cases(l);
	elementwise_cases(l);
	avgpool_and_cast_cases(l);
	loss_cases(l);
	label_loss_cases(l);
	fold_cases(l);
}
