/* Rules of the float ops: leaves, layers, norms, pools, folding, casts. */
#include "graph/infer.h"

#define BIT(i) (1u << (i))

int infer_leaf(const struct infer *c)
{
	return infer_check_shape(c->n);
}

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

/* x and w, both f32 or both the same half precision, and an f32 bias. */
static int want_operands(const struct infer *c)
{
	enum dtype x = c->in[PRODUCT_X]->dtype, t = is_float(x) ? x : DT_F32;
	if (want_dtype(c, PRODUCT_W, t) < 0 || want_dtype(c, PRODUCT_X, t) < 0)
		return ERR_FAIL;
	return want_dtype(c, PRODUCT_B, DT_F32);
}

/* Shape (..., M) of a product of x (..., K), or of x (N, ...) read as (N,K), with a weight (M,K). */
int infer_product(const struct infer *c, struct shape *out)
{
	char x_text[64], w_text[64];
	if (want_ndim(c, PRODUCT_X, 2, TENSOR_MAX_DIMS) < 0 || want_ndim(c, PRODUCT_W, 2, 2) < 0)
		return ERR_FAIL;
	struct shape x = c->in[PRODUCT_X]->shape, w = c->in[PRODUCT_W]->shape;
	int last = c->n->attr.flatten ? 1 : x.ndim - 1; /* the axis from which on all are features */
	if (shape_inner(x, last - 1) != w.dim[1])
		return FAIL(c, "input %s has %lld features a row, weight %s takes %lld", shape_text(x, x_text),
		    (long long)shape_inner(x, last - 1), shape_text(w, w_text), (long long)w.dim[1]);
	*out = x;
	out->ndim = last + 1;
	out->dim[last] = w.dim[0];
	return 0;
}

static int window(const struct infer *c, int64_t size, int64_t kernel, int64_t *out)
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

int infer_conv(const struct infer *c, struct shape *out)
{
	if (want_ndim(c, PRODUCT_X, 4, 4) < 0 || want_ndim(c, PRODUCT_W, 4, 4) < 0)
		return ERR_FAIL;
	struct shape x = c->in[PRODUCT_X]->shape, w = c->in[PRODUCT_W]->shape;
	if (x.dim[3] != w.dim[3])
		return FAIL(c, "input has %lld channels, weight '%s' takes %lld", (long long)x.dim[3],
		    c->in[PRODUCT_W]->name, (long long)w.dim[3]);
	*out = (struct shape){.ndim = 4, .dim = {x.dim[0], 0, 0, w.dim[0]}};
	if (window(c, x.dim[1], w.dim[1], &out->dim[1]) < 0)
		return ERR_FAIL;
	return window(c, x.dim[2], w.dim[2], &out->dim[2]);
}

int infer_linear(const struct infer *c)
{
	struct shape out;
	if (want_operands(c) < 0 || infer_product(c, &out) < 0)
		return ERR_FAIL;
	int64_t units = out.dim[out.ndim - 1];
	if (want_vector(c, LINEAR_B, units, units) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, out);
}

int infer_conv2d(const struct infer *c)
{
	struct shape out;
	if (want_operands(c) < 0 || infer_conv(c, &out) < 0 || want_vector(c, CONV_B, out.dim[3], out.dim[3]) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, out);
}

int infer_batchnorm(const struct infer *c)
{
	if (want_f32(c, 31) < 0 || want_ndim(c, BN_X, 2, 4) < 0)
		return ERR_FAIL;
	if (!infer_positive(c->n->attr.eps))
		return FAIL(c, "eps %g must be positive", (double)c->n->attr.eps);
	struct shape x = c->in[BN_X]->shape;
	int64_t channels = x.dim[x.ndim - 1];
	for (int i = BN_GAMMA; i <= BN_VAR; i++)
		if (want_vector(c, i, channels, channels) < 0)
			return ERR_FAIL;
	return infer_set_like(c, BN_X);
}

int infer_maxpool(const struct infer *c)
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
	return infer_set(c, t, out);
}

struct shape infer_pooled(struct shape x)
{
	return (struct shape){.ndim = 2, .dim = {x.dim[0], x.dim[3]}};
}

int infer_avgpool(const struct infer *c)
{
	if (want_f32(c, 1) < 0 || want_ndim(c, 0, 4, 4) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, infer_pooled(c->in[0]->shape));
}

int infer_add(const struct infer *c)
{
	if (want_f32(c, 3) < 0 || want_shape(c, ADD_B, c->in[ADD_A]->shape) < 0)
		return ERR_FAIL;
	return infer_set_like(c, ADD_A);
}

int want_rate(const struct infer *c)
{
	if (!(c->n->attr.rate >= 0 && c->n->attr.rate < 1))
		return FAIL(c, "rate %g must be in [0, 1)", (double)c->n->attr.rate);
	return 0;
}

int infer_dropout(const struct infer *c)
{
	if (want_f32(c, BIT(DROPOUT_X)) < 0)
		return ERR_FAIL;
	if (!c->in[DROPOUT_STARTS] && want_ndim(c, DROPOUT_X, 1, 4) < 0) /* the random numbers are counted per sample */
		return ERR_FAIL;
	if (c->in[DROPOUT_STARTS] && (want_rows(c, DROPOUT_X) < 0 || want_starts(c, DROPOUT_STARTS) < 0))
		return ERR_FAIL;
	return want_rate(c) < 0 ? ERR_FAIL : infer_set_like(c, DROPOUT_X);
}

int infer_unary(const struct infer *c)
{
	return want_f32(c, 1) < 0 ? ERR_FAIL : infer_set_like(c, 0);
}

int infer_layernorm(const struct infer *c)
{
	if (want_f32(c, 15) < 0 || want_ndim(c, LAYERNORM_X, 1, TENSOR_MAX_DIMS) < 0)
		return ERR_FAIL;
	if (!infer_positive(c->n->attr.eps))
		return FAIL(c, "eps %g must be positive", (double)c->n->attr.eps);
	struct shape x = c->in[LAYERNORM_X]->shape;
	int64_t channels = x.dim[x.ndim - 1];
	if (want_vector(c, LAYERNORM_GAMMA, channels, channels) < 0 ||
	    want_vector(c, LAYERNORM_BETA, channels, channels) < 0 || want_shape(c, LAYERNORM_R, x) < 0)
		return ERR_FAIL;
	return infer_set_like(c, LAYERNORM_X);
}

int infer_cast(const struct infer *c)
{
	enum dtype to = c->n->attr.to;
	if ((int)to < 0 || to >= DT_COUNT || !is_float(to) || !is_float(c->in[0]->dtype))
		return FAIL(c, "casts go between f32, f16 and bf16");
	return infer_set(c, to, c->in[0]->shape);
}

int infer_fold_weight(const struct infer *c)
{
	if (want_f32(c, 7) < 0 || want_ndim(c, FOLD_WEIGHT_W, 1, 4) < 0)
		return ERR_FAIL;
	if (!infer_positive(c->n->attr.eps))
		return FAIL(c, "eps %g must be positive", (double)c->n->attr.eps);
	int64_t out = c->in[FOLD_WEIGHT_W]->shape.dim[0];
	if (want_vector(c, FOLD_WEIGHT_GAMMA, out, out) < 0 || want_vector(c, FOLD_WEIGHT_VAR, out, out) < 0)
		return ERR_FAIL;
	return infer_set_like(c, FOLD_WEIGHT_W);
}

int infer_fold_bias(const struct infer *c)
{
	if (want_f32(c, 31) < 0 || want_ndim(c, FOLD_BIAS_GAMMA, 1, 1) < 0)
		return ERR_FAIL;
	if (!infer_positive(c->n->attr.eps))
		return FAIL(c, "eps %g must be positive", (double)c->n->attr.eps);
	for (int i = FOLD_BIAS_B; i <= FOLD_BIAS_VAR; i++)
		if (want_vector(c, i, c->in[FOLD_BIAS_GAMMA]->shape.dim[0], c->in[FOLD_BIAS_GAMMA]->shape.dim[0]) < 0)
			return ERR_FAIL;
	return infer_set_like(c, FOLD_BIAS_GAMMA);
}
