/* Shape and dtype inference and the checks of every op, as one table of rules. What passes here is what backends may
 * rely on without checking again. Does not know how anything is computed. */
#include "graph/infer.h"

#include <math.h>

#include "base/err.h"

/* More elements than any tensor here may have; keeps every product of dims far from overflow. */
#define COUNT_MAX ((int64_t)1 << 40)

/* A node while its rule runs: inputs by position, NULL where absent. */
struct ctx {
	struct node *n;
	const struct node *in[NODE_MAX_IN];
};

#define BIT(i) (1u << (i))

struct rule {
	struct op_info info;
	unsigned optional; /* bit i: input i may be NODE_NONE */
	int (*infer)(const struct ctx *c);
};

static const struct rule rules[OP_COUNT];

const struct op_info *op_info(enum op op)
{
	return &rules[op].info;
}

#define FAIL(c, fmt, ...)                                                                                              \
	err_set(ERR_FAIL, "%s '%s': " fmt, rules[(c)->n->op].info.name, (c)->n->name __VA_OPT__(, ) __VA_ARGS__)

static int want_dtype(const struct ctx *c, int i, enum dtype t)
{
	if (c->in[i] && c->in[i]->dtype != t)
		return FAIL(c, "input %d ('%s') is %s, must be %s", i, c->in[i]->name, dtype_name(c->in[i]->dtype),
		    dtype_name(t));
	return 0;
}

static int want_f32(const struct ctx *c, unsigned mask)
{
	for (int i = 0; i < NODE_MAX_IN; i++)
		if (mask & (1u << i) && want_dtype(c, i, DT_F32) < 0)
			return ERR_FAIL;
	return 0;
}

static int want_integer(const struct ctx *c, int i)
{
	enum dtype t = c->in[i]->dtype;
	if (t != DT_U8 && t != DT_S8)
		return FAIL(c, "input %d ('%s') is %s, must be u8 or s8", i, c->in[i]->name, dtype_name(t));
	return 0;
}

/* Input i, if there, is a vector of `a` or of `b` elements. */
static int want_vector(const struct ctx *c, int i, int64_t a, int64_t b)
{
	if (!c->in[i])
		return 0;
	struct shape s = c->in[i]->shape;
	char text[64];
	if (s.ndim == 1 && (s.dim[0] == a || s.dim[0] == b))
		return 0;
	if (a == b)
		return FAIL(c, "input %d ('%s') has shape %s, must be (%lld)", i, c->in[i]->name, shape_text(s, text),
		    (long long)a);
	return FAIL(c, "input %d ('%s') has shape %s, must be (%lld) or (%lld)", i, c->in[i]->name, shape_text(s, text),
	    (long long)a, (long long)b);
}

static int want_shape(const struct ctx *c, int i, struct shape want)
{
	char found[64], text[64];
	if (c->in[i] && !shape_equal(c->in[i]->shape, want))
		return FAIL(c, "input %d ('%s') has shape %s, must be %s", i, c->in[i]->name,
		    shape_text(c->in[i]->shape, found), shape_text(want, text));
	return 0;
}

static int want_ndim(const struct ctx *c, int i, int lo, int hi)
{
	char text[64];
	int nd = c->in[i]->shape.ndim;
	if (nd < lo || nd > hi)
		return FAIL(c, "input %d ('%s') has shape %s, must have %d%s dimensions", i, c->in[i]->name,
		    shape_text(c->in[i]->shape, text), lo, lo == hi ? "" : " or more");
	return 0;
}

static int want_range(const struct ctx *c, bool needed)
{
	struct qrange q = c->n->attr.q;
	if (q.bits == 0 && !needed)
		return 0;
	if (q.bits < 2 || q.bits > 8)
		return FAIL(c, "%d bits, must be 2 to 8", q.bits);
	int least = q.is_signed ? -128 : 0, most = q.is_signed ? 127 : 255;
	if (q.lo >= q.hi || q.lo < least || q.hi > most || q.zero < q.lo || q.zero > q.hi)
		return FAIL(c, "range %d..%d with zero point %d does not fit %d..%d", q.lo, q.hi, q.zero, least, most);
	return 0;
}

/* Positive and finite; NaN fails too. */
static bool positive(float x)
{
	return x > 0 && isfinite(x);
}

static int set_out(const struct ctx *c, enum dtype t, struct shape s)
{
	c->n->dtype = t;
	c->n->shape = s;
	return infer_check_shape(c->n);
}

static int set_like(const struct ctx *c, int i)
{
	return set_out(c, c->in[i]->dtype, c->in[i]->shape);
}

static int set_vector(const struct ctx *c, int64_t n)
{
	return set_out(c, DT_F32, (struct shape){.ndim = 1, .dim = {n}});
}

static enum dtype integer_type(struct qrange q)
{
	return q.is_signed ? DT_S8 : DT_U8;
}

int infer_check_shape(const struct node *n)
{
	char text[64];
	const char *op = rules[n->op].info.name;
	if (n->shape.ndim < 0 || n->shape.ndim > TENSOR_MAX_DIMS)
		return err_set(
		    ERR_FAIL, "%s '%s': %d dimensions, must be 0 to %d", op, n->name, n->shape.ndim, TENSOR_MAX_DIMS);
	int64_t count = 1;
	for (int d = 0; d < n->shape.ndim; d++) {
		int64_t v = n->shape.dim[d];
		if (v < 1)
			return err_set(ERR_FAIL, "%s '%s': shape %s has an empty dimension", op, n->name,
			    shape_text(n->shape, text));
		if (v > COUNT_MAX / count)
			return err_set(
			    ERR_FAIL, "%s '%s': shape %s is too large", op, n->name, shape_text(n->shape, text));
		count *= v;
	}
	return 0;
}

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

/* x and w, both f32 or both the same half precision, and an f32 bias. */
static int want_operands(const struct ctx *c)
{
	enum dtype x = c->in[0]->dtype;
	if (want_dtype(c, 1, is_float(x) ? x : DT_F32) < 0 || want_dtype(c, 0, is_float(x) ? x : DT_F32) < 0)
		return ERR_FAIL;
	return want_dtype(c, 2, DT_F32);
}

/* Shape (N, M) of a product of x (N, ...), flattened, with a weight (M, K). */
static int product_shape(const struct ctx *c, struct shape *out)
{
	char x_text[64], w_text[64];
	struct shape x = c->in[0]->shape, w = c->in[1]->shape;
	if (want_ndim(c, 0, 2, 4) < 0 || want_ndim(c, 1, 2, 2) < 0)
		return ERR_FAIL;
	if (shape_inner(x, 0) != w.dim[1])
		return FAIL(c, "input %s has %lld features a row, weight %s takes %lld", shape_text(x, x_text),
		    (long long)shape_inner(x, 0), shape_text(w, w_text), (long long)w.dim[1]);
	*out = (struct shape){.ndim = 2, .dim = {x.dim[0], w.dim[0]}};
	return 0;
}

static int window(const struct ctx *c, int64_t size, int64_t kernel, int64_t *out)
{
	int64_t stride = c->n->attr.stride, pad = c->n->attr.pad;
	if (stride < 1 || pad < 0 || kernel < 1)
		return FAIL(c, "stride %lld, pad %lld, kernel %lld: stride and kernel must be 1 or more, pad 0 or more",
		    (long long)stride, (long long)pad, (long long)kernel);
	if (pad >= kernel)
		return FAIL(c, "pad %lld must be smaller than the kernel's %lld", (long long)pad, (long long)kernel);
	if (size + 2 * pad < kernel)
		return FAIL(c, "a window of %lld does not fit an input of %lld with pad %lld", (long long)kernel,
		    (long long)size, (long long)pad);
	*out = (size + 2 * pad - kernel) / stride + 1;
	return 0;
}

static int conv_shape(const struct ctx *c, struct shape *out)
{
	if (want_ndim(c, 0, 4, 4) < 0 || want_ndim(c, 1, 4, 4) < 0)
		return ERR_FAIL;
	struct shape x = c->in[0]->shape, w = c->in[1]->shape;
	if (x.dim[3] != w.dim[3])
		return FAIL(c, "input has %lld channels, weight '%s' takes %lld", (long long)x.dim[3], c->in[1]->name,
		    (long long)w.dim[3]);
	*out = (struct shape){.ndim = 4, .dim = {x.dim[0], 0, 0, w.dim[0]}};
	if (window(c, x.dim[1], w.dim[1], &out->dim[1]) < 0)
		return ERR_FAIL;
	return window(c, x.dim[2], w.dim[2], &out->dim[2]);
}

static int infer_leaf(const struct ctx *c)
{
	return infer_check_shape(c->n);
}

static int infer_linear(const struct ctx *c)
{
	struct shape out;
	if (want_operands(c) < 0 || product_shape(c, &out) < 0 || want_vector(c, 2, out.dim[1], out.dim[1]) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, out);
}

static int infer_conv2d(const struct ctx *c)
{
	struct shape out;
	if (want_operands(c) < 0 || conv_shape(c, &out) < 0 || want_vector(c, 2, out.dim[3], out.dim[3]) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, out);
}

static int infer_batchnorm(const struct ctx *c)
{
	if (want_f32(c, 31) < 0 || want_ndim(c, 0, 2, 4) < 0)
		return ERR_FAIL;
	if (!positive(c->n->attr.eps))
		return FAIL(c, "eps %g must be positive", (double)c->n->attr.eps);
	struct shape x = c->in[0]->shape;
	int64_t channels = x.dim[x.ndim - 1];
	for (int i = 1; i < 5; i++)
		if (want_vector(c, i, channels, channels) < 0)
			return ERR_FAIL;
	return set_like(c, 0);
}

static int infer_maxpool(const struct ctx *c)
{
	enum dtype t = c->in[0]->dtype;
	if (t != DT_F32 && want_integer(c, 0) < 0)
		return ERR_FAIL;
	if (want_ndim(c, 0, 4, 4) < 0)
		return ERR_FAIL;
	if (2 * c->n->attr.pad > c->n->attr.kernel) /* else a window could lie in the padding alone */
		return FAIL(c, "pad %d is more than half of kernel %d", c->n->attr.pad, c->n->attr.kernel);
	struct shape out = c->in[0]->shape;
	if (window(c, out.dim[1], c->n->attr.kernel, &out.dim[1]) < 0 ||
	    window(c, out.dim[2], c->n->attr.kernel, &out.dim[2]) < 0)
		return ERR_FAIL;
	return set_out(c, t, out);
}

static struct shape pooled(struct shape x)
{
	return (struct shape){.ndim = 2, .dim = {x.dim[0], x.dim[3]}};
}

static int infer_avgpool(const struct ctx *c)
{
	if (want_f32(c, 1) < 0 || want_ndim(c, 0, 4, 4) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, pooled(c->in[0]->shape));
}

static int infer_add(const struct ctx *c)
{
	if (want_f32(c, 3) < 0 || want_shape(c, 1, c->in[0]->shape) < 0)
		return ERR_FAIL;
	return set_like(c, 0);
}

static int infer_dropout(const struct ctx *c)
{
	if (want_f32(c, 1) < 0 || want_ndim(c, 0, 1, 4) < 0) /* the random numbers are counted per sample */
		return ERR_FAIL;
	if (!(c->n->attr.rate >= 0 && c->n->attr.rate < 1))
		return FAIL(c, "rate %g must be in [0, 1)", (double)c->n->attr.rate);
	return set_like(c, 0);
}

/* Ids (M) at 0 and a table (V,C) at 1 give (M,C). */
static struct shape looked_up(const struct ctx *c)
{
	return (struct shape){.ndim = 2, .dim = {c->in[0]->shape.dim[0], c->in[1]->shape.dim[1]}};
}

static int infer_embedding(const struct ctx *c)
{
	if (want_dtype(c, EMBEDDING_IDS, DT_S32) < 0 || want_ndim(c, EMBEDDING_IDS, 1, 1) < 0 ||
	    want_f32(c, BIT(EMBEDDING_TABLE)) < 0 || want_ndim(c, EMBEDDING_TABLE, 2, 2) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, looked_up(c));
}

static int infer_segment_mean(const struct ctx *c)
{
	if (want_f32(c, BIT(SEGMENT_X)) < 0 || want_ndim(c, SEGMENT_X, 2, 2) < 0 ||
	    want_dtype(c, SEGMENT_STARTS, DT_S32) < 0 || want_ndim(c, SEGMENT_STARTS, 1, 1) < 0)
		return ERR_FAIL;
	int64_t starts = c->in[SEGMENT_STARTS]->shape.dim[0];
	if (starts < 2)
		return FAIL(c, "%lld starts, must be one more than the sequences", (long long)starts);
	return set_out(c, DT_F32, (struct shape){.ndim = 2, .dim = {starts - 1, c->in[SEGMENT_X]->shape.dim[1]}});
}

/* logits at 0, labels and weight at `at` and `at + 1`. */
static int infer_loss(const struct ctx *c, int at)
{
	if (want_ndim(c, 0, 2, 2) < 0 || want_f32(c, 1u | 1u << (at + 1)) < 0 || want_dtype(c, at, DT_S32) < 0)
		return ERR_FAIL;
	int64_t batch = c->in[0]->shape.dim[0];
	if (want_vector(c, at, batch, batch) < 0 || want_vector(c, at + 1, batch, batch) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, (struct shape){0});
}

static int infer_ce_loss(const struct ctx *c)
{
	if (!(c->n->attr.smoothing >= 0 && c->n->attr.smoothing < 1))
		return FAIL(c, "smoothing %g must be in [0, 1)", (double)c->n->attr.smoothing);
	return infer_loss(c, 1);
}

/* Temperature and share of the soft targets; logits of student and teacher at 0 and 1. */
static int want_distillation(const struct ctx *c)
{
	const struct attr *a = &c->n->attr;
	if (!positive(a->temperature))
		return FAIL(c, "temperature %g must be positive", (double)a->temperature);
	if (!(a->alpha >= 0 && a->alpha <= 1))
		return FAIL(c, "alpha %g must be in [0, 1]", (double)a->alpha);
	return want_f32(c, 3) < 0 ? ERR_FAIL : want_shape(c, 1, c->in[0]->shape);
}

static int infer_kd_loss(const struct ctx *c)
{
	return want_distillation(c) < 0 ? ERR_FAIL : infer_loss(c, 2);
}

/* Logits at 0; targets, weights of samples and of positives from `at` on. */
static int infer_label_loss(const struct ctx *c, int at)
{
	struct shape logits = c->in[0]->shape;
	if (want_ndim(c, 0, 2, 2) < 0 || want_f32(c, 1u | 7u << at) < 0 || want_shape(c, at, logits) < 0 ||
	    want_vector(c, at + 1, logits.dim[0], logits.dim[0]) < 0 ||
	    want_vector(c, at + 2, logits.dim[1], logits.dim[1]) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, (struct shape){0});
}

static int infer_bce_loss(const struct ctx *c)
{
	return infer_label_loss(c, BCE_TARGETS);
}

static int infer_kd_bce_loss(const struct ctx *c)
{
	if (want_distillation(c) < 0)
		return ERR_FAIL;
	return infer_label_loss(c, KD_BCE_TARGETS);
}

static int infer_fold_weight(const struct ctx *c)
{
	if (want_f32(c, 7) < 0 || want_ndim(c, 0, 1, 4) < 0)
		return ERR_FAIL;
	if (!positive(c->n->attr.eps))
		return FAIL(c, "eps %g must be positive", (double)c->n->attr.eps);
	int64_t out = c->in[0]->shape.dim[0];
	if (want_vector(c, 1, out, out) < 0 || want_vector(c, 2, out, out) < 0)
		return ERR_FAIL;
	return set_like(c, 0);
}

static int infer_fold_bias(const struct ctx *c)
{
	if (want_f32(c, 31) < 0 || want_ndim(c, 1, 1, 1) < 0)
		return ERR_FAIL;
	if (!positive(c->n->attr.eps))
		return FAIL(c, "eps %g must be positive", (double)c->n->attr.eps);
	for (int i = 0; i < 5; i++)
		if (want_vector(c, i, c->in[1]->shape.dim[0], c->in[1]->shape.dim[0]) < 0)
			return ERR_FAIL;
	return set_like(c, 1);
}

/* x f32 and its step: one, or one per output channel (axis 0 of a weight). */
static int value_and_step(const struct ctx *c)
{
	if (want_f32(c, 3) < 0 || want_ndim(c, 0, 1, 4) < 0 || want_range(c, true) < 0)
		return ERR_FAIL;
	return want_vector(c, 1, 1, c->in[0]->shape.dim[0]);
}

static int infer_fake_quant(const struct ctx *c)
{
	return value_and_step(c) < 0 ? ERR_FAIL : set_like(c, 0);
}

static int infer_quantize(const struct ctx *c)
{
	if (value_and_step(c) < 0)
		return ERR_FAIL;
	return set_out(c, integer_type(c->n->attr.q), c->in[0]->shape);
}

static int infer_dequant(const struct ctx *c)
{
	if (want_dtype(c, 1, DT_F32) < 0 || want_ndim(c, 0, 1, 4) < 0 ||
	    want_vector(c, 1, 1, c->in[0]->shape.dim[0]) < 0 || want_range(c, true) < 0)
		return ERR_FAIL;
	if (c->in[0]->dtype != DT_F32 && want_dtype(c, 0, integer_type(c->n->attr.q)) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, c->in[0]->shape);
}

static int infer_requant(const struct ctx *c)
{
	const struct node *const *in = c->in;
	if (want_f32(c, 0xff) < 0 || want_ndim(c, RQ_ACC, 2, 4) < 0)
		return ERR_FAIL;
	struct shape acc = in[RQ_ACC]->shape;
	int64_t out = acc.dim[acc.ndim - 1];
	if (want_vector(c, RQ_SX, 1, 1) < 0 || want_vector(c, RQ_SW, 1, out) < 0 ||
	    want_vector(c, RQ_B, out, out) < 0 || want_vector(c, RQ_SY, 1, 1) < 0 || want_shape(c, RQ_R, acc) < 0 ||
	    want_vector(c, RQ_SR, 1, 1) < 0 || want_range(c, in[RQ_SY]) < 0)
		return ERR_FAIL;
	if (!in[RQ_SY] && c->n->attr.q.bits != 0)
		return FAIL(c, "an output range without the step of the output");
	if (!in[RQ_R] != !in[RQ_SR])
		return FAIL(c, "a residual and its step come together");
	if (c->n->attr.zero_in != 0 && !in[RQ_WQ])
		return FAIL(c, "zero point %d of the input needs the quantized weights", c->n->attr.zero_in);
	if (in[RQ_WQ] && (in[RQ_WQ]->shape.ndim < 2 || in[RQ_WQ]->shape.dim[0] != out))
		return FAIL(c, "weights '%s' do not have %lld output channels", in[RQ_WQ]->name, (long long)out);
	if (c->n->attr.count < 0)
		return FAIL(c, "count %lld is negative", (long long)c->n->attr.count);
	return set_out(c, DT_F32, acc);
}

static int infer_rq_scale(const struct ctx *c)
{
	const struct attr *a = &c->n->attr;
	if (want_f32(c, 7) < 0 || want_vector(c, 0, 1, 1) < 0 || want_vector(c, 2, 1, 1) < 0)
		return ERR_FAIL;
	if (a->count < 0 || a->channels < 0)
		return FAIL(
		    c, "count %lld, channels %lld: must not be negative", (long long)a->count, (long long)a->channels);
	if (c->in[1] && want_ndim(c, 1, 1, 1) < 0)
		return ERR_FAIL;
	int64_t steps = c->in[1] ? c->in[1]->shape.dim[0] : 1;
	int64_t channels = a->channels ? a->channels : steps;
	if (want_vector(c, 1, 1, channels) < 0)
		return ERR_FAIL;
	return set_vector(c, channels);
}

static int infer_rq_shift(const struct ctx *c)
{
	if (want_f32(c, 7) < 0 || want_ndim(c, 0, 1, 1) < 0)
		return ERR_FAIL;
	int64_t out = c->in[0]->shape.dim[0];
	if (want_vector(c, 1, out, out) < 0 || want_vector(c, 2, 1, 1) < 0 || want_range(c, c->in[2]) < 0)
		return ERR_FAIL;
	if (c->n->attr.zero_in != 0 && !c->in[3])
		return FAIL(c, "zero point %d of the input needs the quantized weights", c->n->attr.zero_in);
	if (c->in[3] && (want_dtype(c, 3, DT_S8) < 0 || want_ndim(c, 3, 2, 4) < 0))
		return ERR_FAIL;
	if (c->in[3] && c->in[3]->shape.dim[0] != out)
		return FAIL(c, "weights '%s' do not have %lld output channels", c->in[3]->name, (long long)out);
	return set_vector(c, out);
}

static int infer_rq_residual(const struct ctx *c)
{
	if (want_f32(c, 3) < 0 || want_vector(c, 0, 1, 1) < 0 || want_vector(c, 1, 1, 1) < 0)
		return ERR_FAIL;
	return set_vector(c, 1);
}

/* What integer linear layers and convolutions share once the shape of the output is known. */
static int infer_integer_layer(const struct ctx *c, struct shape out)
{
	int64_t channels = out.dim[out.ndim - 1];
	if (want_integer(c, 0) < 0 || want_dtype(c, 1, DT_S8) < 0 || want_f32(c, 1u << 2 | 1u << 3 | 1u << 5) < 0 ||
	    want_vector(c, 2, channels, channels) < 0 || want_vector(c, 3, channels, channels) < 0 ||
	    want_range(c, false) < 0)
		return ERR_FAIL;
	if (!c->in[4] != !c->in[5])
		return FAIL(c, "a residual and its factor come together");
	if (c->in[4] && (want_integer(c, 4) < 0 || want_shape(c, 4, out) < 0 || want_vector(c, 5, 1, 1) < 0))
		return ERR_FAIL;
	return set_out(c, c->n->attr.q.bits ? integer_type(c->n->attr.q) : DT_F32, out);
}

static int infer_qlinear(const struct ctx *c)
{
	struct shape out;
	return product_shape(c, &out) < 0 ? ERR_FAIL : infer_integer_layer(c, out);
}

static int infer_qconv2d(const struct ctx *c)
{
	struct shape out;
	return conv_shape(c, &out) < 0 ? ERR_FAIL : infer_integer_layer(c, out);
}

static int infer_qavgpool(const struct ctx *c)
{
	if (want_integer(c, 0) < 0 || want_ndim(c, 0, 4, 4) < 0 || want_f32(c, 6) < 0 || want_vector(c, 1, 1, 1) < 0 ||
	    want_vector(c, 2, 1, 1) < 0 || want_range(c, true) < 0)
		return ERR_FAIL;
	return set_out(c, integer_type(c->n->attr.q), pooled(c->in[0]->shape));
}

static int infer_qlinear_dyn(const struct ctx *c)
{
	struct shape out;
	if (product_shape(c, &out) < 0 || want_f32(c, 1u | 1u << 2 | 1u << 3) < 0 || want_dtype(c, 1, DT_S8) < 0 ||
	    want_vector(c, 2, out.dim[1], out.dim[1]) < 0 || want_vector(c, 3, out.dim[1], out.dim[1]) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, out);
}

static int infer_qembedding(const struct ctx *c)
{
	if (want_dtype(c, QEMBEDDING_IDS, DT_S32) < 0 || want_ndim(c, QEMBEDDING_IDS, 1, 1) < 0 ||
	    want_dtype(c, QEMBEDDING_Q, DT_S8) < 0 || want_ndim(c, QEMBEDDING_Q, 2, 2) < 0 ||
	    want_f32(c, BIT(QEMBEDDING_STEP)) < 0)
		return ERR_FAIL;
	int64_t rows = c->in[QEMBEDDING_Q]->shape.dim[0];
	if (want_vector(c, QEMBEDDING_STEP, rows, rows) < 0)
		return ERR_FAIL;
	return set_out(c, DT_F32, looked_up(c));
}

static int infer_cast(const struct ctx *c)
{
	enum dtype to = c->n->attr.to;
	if ((int)to < 0 || to >= DT_COUNT || !is_float(to) || !is_float(c->in[0]->dtype))
		return FAIL(c, "casts go between f32, f16 and bf16");
	return set_out(c, to, c->in[0]->shape);
}

static const struct rule rules[OP_COUNT] = {
    [OP_INPUT] = {{"input", 0, 0}, 0, infer_leaf},
    [OP_PARAM] = {{"param", 0, 0}, 0, infer_leaf},
    [OP_LINEAR] = {{"linear", 2, 3}, BIT(2), infer_linear},
    [OP_CONV2D] = {{"conv2d", 2, 3}, BIT(2), infer_conv2d},
    [OP_BATCHNORM] = {{"batchnorm", 5, 5}, 0, infer_batchnorm},
    [OP_MAXPOOL] = {{"maxpool", 1, 1}, 0, infer_maxpool},
    [OP_AVGPOOL] = {{"avgpool", 1, 1}, 0, infer_avgpool},
    [OP_ADD] = {{"add", 2, 2}, 0, infer_add},
    [OP_DROPOUT] = {{"dropout", 1, 1, .random = true}, 0, infer_dropout},
    [OP_EMBEDDING] = {{"embedding", 2, 2}, 0, infer_embedding},
    [OP_SEGMENT_MEAN] = {{"segment_mean", 2, 2}, 0, infer_segment_mean},
    [OP_CE_LOSS] = {{"ce_loss", 3, 3}, 0, infer_ce_loss},
    [OP_KD_LOSS] = {{"kd_loss", 4, 4}, 0, infer_kd_loss},
    [OP_BCE_LOSS] = {{"bce_loss", 4, 4}, 0, infer_bce_loss},
    [OP_KD_BCE_LOSS] = {{"kd_bce_loss", 5, 5}, 0, infer_kd_bce_loss},
    [OP_FOLD_WEIGHT] = {{"fold_weight", 3, 3}, 0, infer_fold_weight},
    [OP_FOLD_BIAS] = {{"fold_bias", 5, 5}, BIT(0), infer_fold_bias},
    [OP_FAKE_QUANT] = {{"fake_quant", 2, 2}, 0, infer_fake_quant},
    [OP_REQUANT] = {{"requant", 2, RQ_COUNT}, BIT(RQ_SW) | BIT(RQ_B) | BIT(RQ_SY) | BIT(RQ_R) | BIT(RQ_SR) | BIT(RQ_WQ),
	infer_requant},
    [OP_DEQUANT] = {{"dequant", 2, 2}, 0, infer_dequant},
    [OP_QUANTIZE] = {{"quantize", 2, 2}, 0, infer_quantize},
    [OP_RQ_SCALE] = {{"rq_scale", 1, 3}, BIT(1) | BIT(2), infer_rq_scale},
    [OP_RQ_SHIFT] = {{"rq_shift", 1, 4}, BIT(1) | BIT(2) | BIT(3), infer_rq_shift},
    [OP_RQ_RESIDUAL] = {{"rq_residual", 1, 2}, BIT(1), infer_rq_residual},
    [OP_QLINEAR] = {{"qlinear", 4, 6}, BIT(4) | BIT(5), infer_qlinear},
    [OP_QCONV2D] = {{"qconv2d", 4, 6}, BIT(4) | BIT(5), infer_qconv2d},
    [OP_QAVGPOOL] = {{"qavgpool", 3, 3}, 0, infer_qavgpool},
    [OP_QLINEAR_DYN] = {{"qlinear_dyn", 3, 4}, BIT(3), infer_qlinear_dyn},
    [OP_QEMBEDDING] = {{"qembedding", 3, 3}, 0, infer_qembedding},
    [OP_CAST] = {{"cast", 1, 1}, 0, infer_cast},
};

int infer_node(const struct graph *g, struct node *n)
{
	const struct rule *r = &rules[n->op];
	struct ctx c = {.n = n};
	if (n->n_in < r->info.min_in || n->n_in > r->info.max_in)
		return FAIL(&c, "%d inputs, must have %d to %d", n->n_in, r->info.min_in, r->info.max_in);
	for (int i = 0; i < n->n_in; i++) {
		int from = n->in[i];
		if (from == NODE_NONE && r->optional & BIT(i))
			continue;
		if (from < 0 || from >= g->n)
			return FAIL(&c, "input %d is %s", i, from == NODE_NONE ? "absent" : "not an earlier node");
		c.in[i] = &g->node[from];
	}
	return r->infer(&c);
}
