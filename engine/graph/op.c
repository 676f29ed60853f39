/* The rows of the ops: every fact about an op that is not its kernel's own business. */
#include "graph/op.h"

#include "graph/infer.h"

#define BIT(i) (1u << (i))

/* Each output element is one row of the weight (O, ...). */
static int64_t product_macs(const struct graph *g, const struct node *n)
{
	return shape_count(n->shape) * shape_inner(g->node[n->in[PRODUCT_W]].shape, 0);
}

/* Scores and their sums, as if all sequences were equally long: the graph does not know their lengths. */
static int64_t attention_macs(const struct graph *g, const struct node *n)
{
	const int64_t M = n->shape.dim[0], N = g->node[n->in[ATTENTION_STARTS]].shape.dim[0] - 1;
	return 2 * shape_count(n->shape) * ((M + N - 1) / N);
}

static const struct op_info ops[OP_COUNT] = {
    [OP_INPUT] = {.name = "input", .infer = infer_leaf},
    [OP_PARAM] = {.name = "param", .infer = infer_leaf},
    [OP_LINEAR] = {.name = "linear",
	.input = {"x", "w", "b"},
	.min_in = 2,
	.max_in = 3,
	.optional = BIT(LINEAR_B),
	.product = FLOAT_PRODUCT,
	.macs = product_macs,
	.infer = infer_linear},
    [OP_CONV2D] = {.name = "conv2d",
	.input = {"x", "w", "b"},
	.min_in = 2,
	.max_in = 3,
	.optional = BIT(CONV_B),
	.product = FLOAT_PRODUCT,
	.macs = product_macs,
	.infer = infer_conv2d},
    [OP_BATCHNORM] = {.name = "batchnorm",
	.input = {"x", "gamma", "beta", "mean", "var"},
	.min_in = 5,
	.max_in = 5,
	.infer = infer_batchnorm},
    [OP_MAXPOOL] = {.name = "maxpool",
	.input = {"x"},
	.min_in = 1,
	.max_in = 1,
	.passes_integers = true,
	.never_negative = true,
	.infer = infer_maxpool},
    [OP_AVGPOOL] =
	{.name = "avgpool", .input = {"x"}, .min_in = 1, .max_in = 1, .never_negative = true, .infer = infer_avgpool},
    [OP_ADD] =
	{.name = "add", .input = {"a", "b"}, .min_in = 2, .max_in = 2, .never_negative = true, .infer = infer_add},
    [OP_DROPOUT] = {.name = "dropout",
	.input = {"x", "starts"},
	.min_in = 1,
	.max_in = 2,
	.optional = BIT(DROPOUT_STARTS),
	.random = true,
	.passes_integers = true,
	.never_negative = true,
	.infer = infer_dropout},
    [OP_GELU] =
	{.name = "gelu", .input = {"x"}, .min_in = 1, .max_in = 1, .never_negative = true, .infer = infer_unary},
    [OP_TANH] =
	{.name = "tanh", .input = {"x"}, .min_in = 1, .max_in = 1, .never_negative = true, .infer = infer_unary},
    [OP_LAYERNORM] = {.name = "layernorm",
	.input = {"x", "gamma", "beta", "r"},
	.min_in = 3,
	.max_in = 4,
	.optional = BIT(LAYERNORM_R),
	.infer = infer_layernorm},
    [OP_EMBEDDING] = {.name = "embedding",
	.input = {"ids", "table"},
	.min_in = 2,
	.max_in = 2,
	.lookup = true,
	.infer = infer_embedding},
    [OP_POSITION] = {.name = "position",
	.input = {"x", "table", "starts", "type"},
	.min_in = 3,
	.max_in = 4,
	.optional = BIT(POSITION_TYPE),
	.infer = infer_position},
    [OP_ATTENTION] = {.name = "attention",
	.input = {"q", "k", "v", "starts"},
	.min_in = 4,
	.max_in = 4,
	.macs = attention_macs,
	.infer = infer_attention},
    [OP_SEGMENT_MEAN] =
	{.name = "segment_mean", .input = {"x", "starts"}, .min_in = 2, .max_in = 2, .infer = infer_segment},
    [OP_SEGMENT_FIRST] =
	{.name = "segment_first", .input = {"x", "starts"}, .min_in = 2, .max_in = 2, .infer = infer_segment},
    [OP_CE_LOSS] =
	{.name = "ce_loss", .input = {"logits", "labels", "weight"}, .min_in = 3, .max_in = 3, .infer = infer_ce_loss},
    [OP_KD_LOSS] = {.name = "kd_loss",
	.input = {"logits", "teacher", "labels", "weight"},
	.min_in = 4,
	.max_in = 4,
	.infer = infer_kd_loss},
    [OP_BCE_LOSS] = {.name = "bce_loss",
	.input = {"logits", "targets", "weight", "pos_weight"},
	.min_in = 4,
	.max_in = 4,
	.infer = infer_bce_loss},
    [OP_KD_BCE_LOSS] = {.name = "kd_bce_loss",
	.input = {"logits", "teacher", "targets", "weight", "pos_weight"},
	.min_in = 5,
	.max_in = 5,
	.infer = infer_kd_bce_loss},
    [OP_FOLD_WEIGHT] =
	{.name = "fold_weight", .input = {"w", "gamma", "var"}, .min_in = 3, .max_in = 3, .infer = infer_fold_weight},
    [OP_FOLD_BIAS] = {.name = "fold_bias",
	.input = {"b", "gamma", "beta", "mean", "var"},
	.min_in = 5,
	.max_in = 5,
	.optional = BIT(FOLD_BIAS_B),
	.infer = infer_fold_bias},
    [OP_FAKE_QUANT] =
	{.name = "fake_quant", .input = {"x", "step"}, .min_in = 2, .max_in = 2, .infer = infer_fake_quant},
    [OP_REQUANT] = {.name = "requant",
	.input = {"acc", "s_x", "s_w", "b", "s_y", "r", "s_r", "wq"},
	.min_in = 2,
	.max_in = RQ_COUNT,
	.optional = BIT(RQ_SW) | BIT(RQ_B) | BIT(RQ_SY) | BIT(RQ_R) | BIT(RQ_SR) | BIT(RQ_WQ),
	.infer = infer_requant},
    [OP_DEQUANT] = {.name = "dequant", .input = {"x", "step"}, .min_in = 2, .max_in = 2, .infer = infer_dequant},
    [OP_QUANTIZE] = {.name = "quantize", .input = {"x", "step"}, .min_in = 2, .max_in = 2, .infer = infer_quantize},
    [OP_RQ_SCALE] = {.name = "rq_scale",
	.input = {"s_x", "s_w", "s_y"},
	.min_in = 1,
	.max_in = 3,
	.optional = BIT(RQ_SCALE_SW) | BIT(RQ_SCALE_SY),
	.infer = infer_rq_scale},
    [OP_RQ_SHIFT] = {.name = "rq_shift",
	.input = {"m", "b", "s_y", "wq"},
	.min_in = 1,
	.max_in = 4,
	.optional = BIT(RQ_SHIFT_B) | BIT(RQ_SHIFT_SY) | BIT(RQ_SHIFT_WQ),
	.infer = infer_rq_shift},
    [OP_RQ_RESIDUAL] = {.name = "rq_residual",
	.input = {"s_r", "s_y"},
	.min_in = 1,
	.max_in = 2,
	.optional = BIT(RQ_RESIDUAL_SY),
	.infer = infer_rq_residual},
    [OP_QLINEAR] = {.name = "qlinear",
	.input = {"x", "wq", "m", "c", "r", "k"},
	.min_in = 4,
	.max_in = 6,
	.optional = BIT(QL_R) | BIT(QL_K),
	.product = INTEGER_PRODUCT,
	.macs = product_macs,
	.infer = infer_qlinear},
    [OP_QCONV2D] = {.name = "qconv2d",
	.input = {"x", "wq", "m", "c", "r", "k"},
	.min_in = 4,
	.max_in = 6,
	.optional = BIT(QL_R) | BIT(QL_K),
	.product = INTEGER_PRODUCT,
	.macs = product_macs,
	.infer = infer_qconv2d},
    [OP_QAVGPOOL] = {.name = "qavgpool", .input = {"x", "m", "c"}, .min_in = 3, .max_in = 3, .infer = infer_qavgpool},
    [OP_QLINEAR_DYN] = {.name = "qlinear_dyn",
	.input = {"x", "wq", "s_w", "b"},
	.min_in = 3,
	.max_in = 4,
	.optional = BIT(DYN_B),
	.product = INTEGER_PRODUCT,
	.macs = product_macs,
	.infer = infer_qlinear_dyn},
    [OP_QEMBEDDING] =
	{.name = "qembedding", .input = {"ids", "wq", "step"}, .min_in = 3, .max_in = 3, .infer = infer_qembedding},
    [OP_CAST] = {.name = "cast", .input = {"x"}, .min_in = 1, .max_in = 1, .never_negative = true, .infer = infer_cast},
};

const struct op_info *op_info(enum op op)
{
	return &ops[op];
}
