/* Rules of quantization: fake quantization and its epilogue, conversions, integer layers. */
#include "graph/infer.h"

#define BIT(i) (1u << (i))

static enum dtype integer_type(struct qrange q)
{
	return q.is_signed ? DT_S8 : DT_U8;
}

/* x f32 and its step: one, or one per output channel (axis 0 of a weight). */
static int value_and_step(const struct infer *c)
{
	if (want_f32(c, 3) < 0 || want_ndim(c, FAKE_QUANT_X, 1, 4) < 0 || want_weight_range(c) < 0)
		return ERR_FAIL;
	return want_vector(c, FAKE_QUANT_STEP, 1, c->in[FAKE_QUANT_X]->shape.dim[0]);
}

int infer_fake_quant(const struct infer *c)
{
	return value_and_step(c) < 0 ? ERR_FAIL : infer_set_like(c, 0);
}

int infer_quantize(const struct infer *c)
{
	if (value_and_step(c) < 0)
		return ERR_FAIL;
	return infer_set(c, integer_type(c->n->attr.q), c->in[0]->shape);
}

int infer_dequant(const struct infer *c)
{
	if (want_dtype(c, DEQUANT_STEP, DT_F32) < 0 || want_ndim(c, DEQUANT_X, 1, 4) < 0 ||
	    want_vector(c, DEQUANT_STEP, 1, c->in[DEQUANT_X]->shape.dim[0]) < 0 || want_range(c, true) < 0)
		return ERR_FAIL;
	if (c->in[DEQUANT_X]->dtype != DT_F32 && want_dtype(c, DEQUANT_X, integer_type(c->n->attr.q)) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, c->in[DEQUANT_X]->shape);
}

int infer_requant(const struct infer *c)
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
	return infer_set(c, DT_F32, acc);
}

int infer_rq_scale(const struct infer *c)
{
	const struct attr *a = &c->n->attr;
	if (want_f32(c, 7) < 0 || want_vector(c, RQ_SCALE_SX, 1, 1) < 0 || want_vector(c, RQ_SCALE_SY, 1, 1) < 0)
		return ERR_FAIL;
	if (a->count < 0 || a->channels < 0)
		return FAIL(
		    c, "count %lld, channels %lld: must not be negative", (long long)a->count, (long long)a->channels);
	if (c->in[RQ_SCALE_SW] && want_ndim(c, RQ_SCALE_SW, 1, 1) < 0)
		return ERR_FAIL;
	int64_t steps = c->in[RQ_SCALE_SW] ? c->in[RQ_SCALE_SW]->shape.dim[0] : 1;
	int64_t channels = a->channels ? a->channels : steps;
	if (want_vector(c, RQ_SCALE_SW, 1, channels) < 0)
		return ERR_FAIL;
	return infer_set_vector(c, channels);
}

int infer_rq_shift(const struct infer *c)
{
	if (want_f32(c, 7) < 0 || want_ndim(c, RQ_SHIFT_M, 1, 1) < 0)
		return ERR_FAIL;
	int64_t out = c->in[RQ_SHIFT_M]->shape.dim[0];
	if (want_vector(c, RQ_SHIFT_B, out, out) < 0 || want_vector(c, RQ_SHIFT_SY, 1, 1) < 0 ||
	    want_range(c, c->in[RQ_SHIFT_SY]) < 0)
		return ERR_FAIL;
	if (c->n->attr.zero_in != 0 && !c->in[RQ_SHIFT_WQ])
		return FAIL(c, "zero point %d of the input needs the quantized weights", c->n->attr.zero_in);
	if (c->in[RQ_SHIFT_WQ] && (want_dtype(c, RQ_SHIFT_WQ, DT_S8) < 0 || want_ndim(c, RQ_SHIFT_WQ, 2, 4) < 0))
		return ERR_FAIL;
	if (c->in[RQ_SHIFT_WQ] && c->in[RQ_SHIFT_WQ]->shape.dim[0] != out)
		return FAIL(
		    c, "weights '%s' do not have %lld output channels", c->in[RQ_SHIFT_WQ]->name, (long long)out);
	return infer_set_vector(c, out);
}

int infer_rq_residual(const struct infer *c)
{
	if (want_f32(c, 3) < 0 || want_vector(c, RQ_RESIDUAL_SR, 1, 1) < 0 || want_vector(c, RQ_RESIDUAL_SY, 1, 1) < 0)
		return ERR_FAIL;
	return infer_set_vector(c, 1);
}

/* What integer linear layers and convolutions share once the shape of the output is known. */
static int infer_integer_layer(const struct infer *c, struct shape out)
{
	int64_t channels = out.dim[out.ndim - 1];
	if (want_integer(c, QL_X) < 0 || want_dtype(c, QL_W, DT_S8) < 0 ||
	    want_f32(c, 1u << QL_M | 1u << QL_C | 1u << QL_K) < 0 || want_vector(c, QL_M, channels, channels) < 0 ||
	    want_vector(c, QL_C, channels, channels) < 0 || want_range(c, false) < 0)
		return ERR_FAIL;
	if (!c->in[QL_R] != !c->in[QL_K])
		return FAIL(c, "a residual and its factor come together");
	if (c->in[QL_R] &&
	    (want_integer(c, QL_R) < 0 || want_shape(c, QL_R, out) < 0 || want_vector(c, QL_K, 1, 1) < 0))
		return ERR_FAIL;
	return infer_set(c, c->n->attr.q.bits ? integer_type(c->n->attr.q) : DT_F32, out);
}

int infer_qlinear(const struct infer *c)
{
	struct shape out;
	return infer_product(c, &out) < 0 ? ERR_FAIL : infer_integer_layer(c, out);
}

int infer_qconv2d(const struct infer *c)
{
	struct shape out;
	return infer_conv(c, &out) < 0 ? ERR_FAIL : infer_integer_layer(c, out);
}

int infer_qavgpool(const struct infer *c)
{
	if (want_integer(c, QAVGPOOL_X) < 0 || want_ndim(c, QAVGPOOL_X, 4, 4) < 0 ||
	    want_f32(c, 1u << QAVGPOOL_M | 1u << QAVGPOOL_C) < 0 || want_vector(c, QAVGPOOL_M, 1, 1) < 0 ||
	    want_vector(c, QAVGPOOL_C, 1, 1) < 0 || want_range(c, true) < 0)
		return ERR_FAIL;
	return infer_set(c, integer_type(c->n->attr.q), infer_pooled(c->in[QAVGPOOL_X]->shape));
}

int infer_qlinear_dyn(const struct infer *c)
{
	struct shape out;
	if (infer_product(c, &out) < 0 || want_f32(c, 1u << DYN_X | 1u << DYN_SW | 1u << DYN_B) < 0 ||
	    want_dtype(c, DYN_W, DT_S8) < 0)
		return ERR_FAIL;
	int64_t units = out.dim[out.ndim - 1];
	if (want_vector(c, DYN_SW, units, units) < 0 || want_vector(c, DYN_B, units, units) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, out);
}

int infer_fake_gelu(const struct infer *c)
{
	if (want_f32(c, 7) < 0 || want_ndim(c, FAKE_GELU_X, 1, 4) < 0 || want_vector(c, FAKE_GELU_SX, 1, 1) < 0 ||
	    want_vector(c, FAKE_GELU_SY, 1, 1) < 0 || want_range(c, true) < 0 || want_range_in(c) < 0)
		return ERR_FAIL;
	return infer_set_like(c, FAKE_GELU_X);
}

int infer_gelu_table(const struct infer *c)
{
	if (want_f32(c, 3) < 0 || want_vector(c, GELU_TABLE_SX, 1, 1) < 0 || want_vector(c, GELU_TABLE_SY, 1, 1) < 0 ||
	    want_range(c, true) < 0 || want_range_in(c) < 0)
		return ERR_FAIL;
	return infer_set(c, integer_type(c->n->attr.q), (struct shape){.ndim = 1, .dim = {256}});
}

int infer_qtable(const struct infer *c)
{
	if (want_integer(c, QTABLE_X) < 0 || want_range(c, true) < 0 ||
	    want_dtype(c, QTABLE_TABLE, integer_type(c->n->attr.q)) < 0 || want_vector(c, QTABLE_TABLE, 256, 256) < 0)
		return ERR_FAIL;
	return infer_set(c, integer_type(c->n->attr.q), c->in[QTABLE_X]->shape);
}

int infer_score_scale(const struct infer *c)
{
	if (want_f32(c, 3) < 0 || want_vector(c, 0, 1, 1) < 0 || want_vector(c, 1, 1, 1) < 0)
		return ERR_FAIL;
	if (c->n->attr.count < 1)
		return FAIL(c, "count %lld, must be the columns of a head", (long long)c->n->attr.count);
	return infer_set_vector(c, 1);
}

/* What both forms of attention between integers ask, of q, k and v of type t. Scores are exact in f32 too, 1024 * 128^2
 * being 2^24, and a byte of the probabilities is weighed in 31 bits, 65536 * 255 * 128. */
static int integer_attention(const struct infer *c, enum dtype t)
{
	for (int i = ATTENTION_Q; i <= ATTENTION_V; i++)
		if (want_dtype(c, i, t) < 0 || want_ndim(c, i, 2, 2) < 0 ||
		    want_shape(c, i, c->in[ATTENTION_Q]->shape) < 0)
			return ERR_FAIL;
	if (want_starts(c, ATTENTION_STARTS) < 0 || want_heads(c) < 0 || want_range(c, true) < 0)
		return ERR_FAIL;
	const int64_t columns = c->in[ATTENTION_Q]->shape.dim[1] / c->n->attr.heads;
	if (c->n->attr.longest > 65536)
		return FAIL(c, "sequences of %lld rows, must be 65536 at most", (long long)c->n->attr.longest);
	if (columns > 1024)
		return FAIL(c, "heads of %lld columns, must be 1024 at most", (long long)columns);
	if (c->n->attr.prob_bits != 8 && c->n->attr.prob_bits != 16)
		return FAIL(c, "%d bits of probabilities, must be 8 or 16", c->n->attr.prob_bits);
	for (int i = ATTENTION_STARTS + 1; i < c->n->n_in; i++)
		if (want_dtype(c, i, DT_F32) < 0 || want_vector(c, i, 1, 1) < 0)
			return ERR_FAIL;
	return 0;
}

int infer_fake_attention(const struct infer *c)
{
	return integer_attention(c, DT_F32) < 0 || want_rate(c) < 0 ? ERR_FAIL : infer_set_like(c, ATTENTION_Q);
}

int infer_qattention(const struct infer *c)
{
	if (integer_attention(c, DT_S8) < 0)
		return ERR_FAIL;
	return infer_set(c, integer_type(c->n->attr.q), c->in[ATTENTION_Q]->shape);
}

int infer_qembedding(const struct infer *c)
{
	if (want_dtype(c, QEMBEDDING_IDS, DT_S32) < 0 || want_ndim(c, QEMBEDDING_IDS, 1, 1) < 0 ||
	    want_dtype(c, QEMBEDDING_Q, DT_S8) < 0 || want_ndim(c, QEMBEDDING_Q, 2, 2) < 0 ||
	    want_f32(c, BIT(QEMBEDDING_STEP)) < 0)
		return ERR_FAIL;
	int64_t rows = c->in[QEMBEDDING_Q]->shape.dim[0];
	if (want_vector(c, QEMBEDDING_STEP, rows, rows) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, infer_looked_up(c));
}
