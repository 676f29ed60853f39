/* A model is a graph: a list of nodes, each an op with one output. Nodes refer only to earlier nodes, so index order is
 * execution order. Leaves are input and param nodes. Weights being nodes makes folding, fake quantization and casts of
 * weights ordinary structure. Shapes are static and include the batch size.
 *
 * Invariants: names are unique within a graph and at most NODE_NAME-1 characters (longer is an error, never truncated);
 * shapes and dtypes of all nodes are inferred and checked when a node is added, so that backends need not check. */
#ifndef ENGINE_GRAPH_GRAPH_H
#define ENGINE_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "graph/tensor.h"

#define NODE_MAX_IN 8
#define NODE_NAME   96
#define NODE_NONE   (-1) /* an absent optional input */

/* The inputs of each op, in order; [x] may be NODE_NONE. N batch, K in features, M out features, C channels. */
enum op {
	OP_INPUT,        /* leaf: bound or uploaded                                                                  */
	OP_PARAM,        /* leaf: a named tensor of the param store                                                  */
	OP_LINEAR,       /* x (N, ...) flattened to (N,K), w (M,K), [b (M)] -> (N,M); attr.relu; see below            */
	OP_CONV2D,       /* x (N,H,W,C), w (O,KH,KW,C), [b (O)] -> (N,H',W',O); attr.stride, pad, relu; see below     */
	OP_BATCHNORM,    /* x (..., C), gamma, beta, mean, var (C) -> like x; attr.eps, relu                          */
	OP_MAXPOOL,      /* x (N,H,W,C) -> (N,H',W',C); attr.kernel, stride, pad; floor; f32, u8 or s8                */
	OP_AVGPOOL,      /* x (N,H,W,C) -> (N,C): mean over H, W; attr.raw_sum: the sum instead                       */
	OP_ADD,          /* a, b of one shape -> same; attr.relu                                                      */
	OP_DROPOUT,      /* x -> same; attr.rate; identity in INFER                                                   */
	OP_EMBEDDING,    /* see enum embedding_in -> (M,C): rows of the table                                         */
	OP_SEGMENT_MEAN, /* see enum segment_in -> (N,C): mean of each sequence's rows                               */
	OP_CE_LOSS,     /* logits (N,C), labels s32 (N), weight f32 (N) -> (): sum_n weight_n * CE_n; attr.smoothing  */
	OP_KD_LOSS,     /* logits (N,C), teacher (N,C), labels, weight -> (); attr.temperature, alpha                 */
	OP_BCE_LOSS,    /* see enum bce_in -> (): sum_n weight_n * mean_l BCE_nl                                      */
	OP_KD_BCE_LOSS, /* see enum kd_bce_in -> (); attr.temperature, alpha                                          */
	OP_FOLD_WEIGHT, /* w (O,...), gamma, var (O) -> like w: w * gamma / sqrt(var + eps)                           */
	OP_FOLD_BIAS,   /* [b], gamma, beta, mean, var (O) -> (O): beta + (b - mean) * gamma / sqrt(var + eps)        */
	OP_FAKE_QUANT,  /* x, step (1 or O) -> like x, grid values (q - z) * P(s); attr.q                             */
	OP_REQUANT,     /* see enum requant_in -> like acc; attr.q, relu; the quantized layer's epilogue              */
	OP_DEQUANT,     /* x (grid f32, u8 or s8), step (1 or O) -> f32 real values; attr.q of x                      */
	OP_QUANTIZE,    /* x f32, step (1 or O) -> u8 or s8 integers; attr.q                                          */
	OP_RQ_SCALE, /* s_x (1), s_w (1 or O) or NONE, [s_y (1)] -> m (attr.channels or as s_w or 1); attr.count    */
	OP_RQ_SHIFT, /* m (O), [b (O)], [s_y], [wq s8 (O,...)] -> c (O); attr.q of y, attr.zero_in of x             */
	OP_RQ_RESIDUAL, /* s_r (1), [s_y (1)] -> k (1): s_r / s_y */
	OP_QLINEAR, /* x u8/s8, wq s8 (M,K), m (M), c (M), [r u8/s8 like out, k (1)] -> u8/s8, or f32 if !attr.q.bits */
	OP_QCONV2D, /* x, wq (O,KH,KW,C), m (O), c (O), [r, k] -> like OP_QLINEAR; attr.stride, pad, relu          */
	OP_QAVGPOOL, /* x u8/s8 (N,H,W,C), m (1), c (1) -> (N,C) u8/s8; attr.q                                      */
	OP_QLINEAR_DYN, /* x f32 (N,...), wq s8 (M,K), s_w (M), [b] -> f32 (N,M); per-row dynamic s8; attr.relu */
	OP_QEMBEDDING,  /* see enum qembedding_in -> f32 (M,C): rows of an integer table times their steps        */
	OP_CAST, /* x -> same shape in attr.to                                                                  */
	OP_COUNT
};

/* x and w of OP_LINEAR and OP_CONV2D may both be f16 or both bf16; bias and output are f32 all the same, and so are all
 * gradients. The products are of the half values, the sums f32. Backward rounds dout, masked by the ReLU, to the same
 * half type before it is multiplied; the bias' gradient is the sum of the unrounded values. */

/* Inputs of OP_REQUANT, the training twin of the epilogue of OP_QLINEAR / OP_QCONV2D / OP_QAVGPOOL. */
enum requant_in {
	RQ_ACC, /* f32, exact integers times P(s_x)*P(s_w): output of OP_LINEAR, OP_CONV2D or raw-sum OP_AVGPOOL    */
	RQ_SX,  /* step of the layer's input (1)                                                                    */
	RQ_SW,  /* step of the weights (1 or O); NONE for OP_AVGPOOL                                                */
	RQ_B,   /* [real bias (O)]                                                                                  */
	RQ_SY,  /* [step of the output (1)]: NONE = real output, not rounded                                        */
	RQ_R,   /* [residual, grid values like acc]                                                                 */
	RQ_SR,  /* [its step (1)]                                                                                   */
	RQ_WQ,  /* [fake-quantized weights]: needed where attr.zero_in != 0, to fold the zero point; no gradient    */
	RQ_COUNT
};

/* Inputs of OP_EMBEDDING. M tokens, V rows of the table. An id outside [0, V) reads nothing: -1 marks a row without a
 * token, any other is a fault of the data layer. Such rows are zeros and give no gradient; the table's gradient has all
 * V rows, each the sum over its tokens in ascending order, in f32. */
enum embedding_in {
	EMBEDDING_IDS,   /* s32 (M)   */
	EMBEDDING_TABLE, /* f32 (V,C) */
};

/* Inputs of OP_QEMBEDDING, inference only: a row is fl(q * step of the table's row), in f32; ids as for OP_EMBEDDING.
 */
enum qembedding_in {
	QEMBEDDING_IDS,  /* s32 (M)  */
	QEMBEDDING_Q,    /* s8 (V,C) */
	QEMBEDDING_STEP, /* f32 (V)  */
};

/* Inputs of OP_SEGMENT_MEAN. Sequence n is rows starts[n] .. starts[n+1]-1 of x; rows from starts[N] on belong to none.
 * Its mean is the sum of its rows, begun at 0, in ascending order in f32, divided by their number in f32: it depends
 * neither on other sequences nor on M. The mean of no rows is 0. */
enum segment_in {
	SEGMENT_X,      /* f32 (M,C)                                      */
	SEGMENT_STARTS, /* s32 (N+1): ascending, the first 0, the last <= M */
};

/* Inputs of OP_BCE_LOSS, for N samples of L labels: binary cross-entropy of logit x and target t, where the positive
 * part counts pos_weight p times (the definition of PyTorch's BCEWithLogitsLoss):
 *   BCE(x, t, p) = -(p * t * log(sigmoid(x)) + (1 - t) * log(1 - sigmoid(x))) */
enum bce_in {
	BCE_LOGITS,     /* f32 (N,L)                   */
	BCE_TARGETS,    /* f32 (N,L), each in [0, 1]   */
	BCE_WEIGHT,     /* f32 (N): weight of a sample */
	BCE_POS_WEIGHT, /* f32 (L)                     */
};

/* Inputs of OP_KD_BCE_LOSS: sum_n weight_n * mean_l of
 *   alpha * T^2 * BCE(x / T, sigmoid(teacher / T), 1) + (1 - alpha) * BCE(x, t, p),
 * which is the distillation of Hinton, Vinyals and Dean 2015, section 2, with one Bernoulli distribution per label. */
enum kd_bce_in {
	KD_BCE_LOGITS,     /* f32 (N,L)                 */
	KD_BCE_TEACHER,    /* f32 (N,L): its logits     */
	KD_BCE_TARGETS,    /* as for OP_BCE_LOSS        */
	KD_BCE_WEIGHT,     /* f32 (N)                   */
	KD_BCE_POS_WEIGHT, /* f32 (L)                   */
};

/* The integer range of a quantized value: q in [lo, hi], real = (q - zero) * step. bits = 0: not quantized. */
struct qrange {
	int bits;   /* nominal bits, 2..8 */
	int lo, hi; /* e.g. 0..255, -128..127, -127..127 (weights), -7..7 (4-bit weights) */
	int zero;
	bool is_signed; /* container s8, else u8 */
};

enum param_kind { PARAM_TRAINED, PARAM_FROZEN, PARAM_STAT };

enum init_kind {
	INIT_UNSET,    /* must be loaded or set; running with it unset is an error                             */
	INIT_CONSTANT, /* attr.init_value                                                                      */
	INIT_KAIMING,  /* normal, std = sqrt(2 / fan_in) (He et al. 2015, eq. 10), before ReLU                 */
	INIT_UNIFORM,  /* uniform in +-1/sqrt(attr.fan_in): PyTorch's default of linear and convolution        */
};

/* What axis d of a param means to structured pruning: its size is outer * width[index] * inner. graph_param stores an
 * axis whose outer or inner is 0 (a zeroed attr) as not prunable. */
struct param_axis {
	int width; /* index into model_spec.width, or -1: not prunable */
	int outer, inner;
};

struct attr {
	bool relu, raw_sum;
	bool
	    tf32; /* OP_LINEAR, OP_CONV2D: products, backward too, of f32 operands rounded to TF32's 10 fraction bits */
	int stride, pad, kernel; /* square, both axes */
	float eps, rate, smoothing, temperature, alpha;
	struct qrange q;  /* of the output (OP_DEQUANT: of the input) */
	int zero_in;      /* zero point of the layer's input, folded (OP_REQUANT, OP_RQ_SHIFT) */
	int64_t count;    /* OP_RQ_SCALE and OP_REQUANT of a raw sum: m is divided by count; 0 means 1 */
	int64_t channels; /* OP_RQ_SCALE: size of m where one s_w serves all O channels; 0: the size of s_w */
	enum dtype to;
	/* OP_PARAM: */
	enum param_kind kind;
	enum init_kind init;
	float init_value;
	int64_t fan_in;
	bool decay;      /* weight decay applies (weights, not biases, norms, steps) */
	bool relative;   /* the learning rate is relative to the value (quantization steps) */
	float lr_factor; /* multiplies the learning rate; set to 1 by graph_param */
	float floor;     /* smallest allowed value (steps); 0 = none */
	float momentum;  /* PARAM_STAT: new = (1-momentum)*old + momentum*observation */
	struct param_axis axis[TENSOR_MAX_DIMS];
};

struct node {
	enum op op;
	char name[NODE_NAME];
	int n_in;
	int in[NODE_MAX_IN];
	enum dtype dtype;
	struct shape shape;
	struct attr attr;
};

struct graph {
	struct node *node;
	int n, cap;
	int output; /* the logits, or NODE_NONE */
	int loss;   /* the scalar to differentiate, or NODE_NONE */
};

/* Static facts of an op: name for messages, least and most inputs. */
struct op_info {
	const char *name;
	int min_in, max_in;
	bool random; /* draws random numbers by the step's clock, in training */
};
const struct op_info *op_info(enum op op);

void graph_init(struct graph *g);
void graph_clear(struct graph *g);
int graph_copy(struct graph *out, const struct graph *g);
/* Index of the named node, or NODE_NONE. */
int graph_find(const struct graph *g, const char *name);
/* Adds a node whose inputs are earlier nodes; infers and checks shape and dtype. Returns its index or a negative error
 * naming op and node. attr == NULL: zeroed. */
int graph_add(struct graph *g, enum op op, const char *name, const int *in, int n_in, const struct attr *attr);
int graph_input(struct graph *g, const char *name, enum dtype t, struct shape s);
/* Copies a node of another graph; map: its nodes' indices in g. */
int graph_add_copy(struct graph *g, const struct node *n, const int *map);
/* A param node; `attr` gives kind, init and axes (NULL: trained, unset). lr_factor 0 is stored as 1. */
int graph_param(struct graph *g, const char *name, enum dtype t, struct shape s, const struct attr *attr);
/* True for nodes that depend on params only (and for params themselves): flags[n] by index. */
void graph_constant(const struct graph *g, bool *flags);
/* Number of consumers of each node, the output and the loss counted as one each. */
void graph_uses(const struct graph *g, int *uses);
/* One line per node: index, op, name, dtype, shape, inputs. */
struct str;
void graph_print(const struct graph *g, struct str *out);
/* Multiply-accumulates of one forward pass of the whole batch (linear and convolution, float or integer). */
int64_t graph_macs(const struct graph *g);

#endif
