/* What an op is: its inputs by position and name, and one row of facts that everybody asks who treats ops alike. A fact
 * that two places need stands in the row, so that a new op is one row here, a rule of shapes (infer.h) and a kernel in
 * each backend. */
#ifndef ENGINE_GRAPH_OP_H
#define ENGINE_GRAPH_OP_H

#include <stdbool.h>
#include <stdint.h>

#define NODE_MAX_IN 8

/* The inputs of each op, in order; [x] may be NODE_NONE. N batch, K in features, M out features, C channels. (..., K)
 * stands for one or more leading axes, whose product is the number of rows. */
enum op {
	OP_INPUT,     /* leaf: bound or uploaded                                                                  */
	OP_PARAM,     /* leaf: a named tensor of the param store                                                  */
	OP_LINEAR,    /* x (..., K), w (M,K), [b (M)] -> (..., M); attr.flatten, relu; see below                   */
	OP_CONV2D,    /* x (N,H,W,C), w (O,KH,KW,C), [b (O)] -> (N,H',W',O); attr.stride, pad, relu; see below     */
	OP_BATCHNORM, /* x (..., C), gamma, beta, mean, var (C) -> like x; attr.eps, relu                          */
	OP_MAXPOOL,   /* x (N,H,W,C) -> (N,H',W',C); attr.kernel, stride, pad; floor; f32, u8 or s8                */
	OP_AVGPOOL,   /* x (N,H,W,C) -> (N,C): mean over H, W; attr.raw_sum: the sum instead                       */
	OP_ADD,       /* a, b of one shape -> same; attr.relu                                                      */
	OP_DROPOUT,   /* see enum dropout_in -> like x; attr.rate; identity in INFER                               */
	OP_GELU,      /* x -> same: x * Phi(x), or its approximation by tanh: attr.gelu_tanh; see below            */
	OP_TANH,      /* x -> same                                                                                 */
	OP_LAYERNORM, /* see enum layernorm_in -> like x; attr.eps                                                  */
	OP_EMBEDDING, /* see enum embedding_in -> (M,C): rows of the table                                          */
	OP_POSITION,  /* see enum position_in -> like x: a row of a table is added by place in the sequence         */
	OP_ATTENTION, /* see enum attention_in -> (M,H*D): softmax(q k^T / sqrt(D)) v; attr.heads                    */
	OP_SEGMENT_MEAN,  /* see enum segment_in -> (N,C): mean of each sequence's rows                               */
	OP_SEGMENT_FIRST, /* see enum segment_in -> (N,C): the first row of each sequence, zeros for an empty one */
	OP_CE_LOSS,     /* logits (N,C), labels s32 (N), weight f32 (N) -> (): sum_n weight_n * CE_n; attr.smoothing  */
	OP_KD_LOSS,     /* logits (N,C), teacher (N,C), labels, weight -> (); attr.temperature, alpha                 */
	OP_BCE_LOSS,    /* see enum bce_in -> (): sum_n weight_n * mean_l BCE_nl                                      */
	OP_KD_BCE_LOSS, /* see enum kd_bce_in -> (); attr.temperature, alpha                                          */
	OP_HIDDEN_LOSS, /* see enum hidden_loss_in -> (): distance of rows of tokens from a teacher's                 */
	OP_ATTENTION_LOSS, /* see enum attention_loss_in -> (): distance of attention maps from a teacher's */
	OP_RELATION_LOSS,  /* see enum relation_loss_in -> (): divergence of relations of tokens from a teacher's  */
	OP_FOLD_WEIGHT, /* w (O,...), gamma, var (O) -> like w: w * gamma / sqrt(var + eps)                           */
	OP_FOLD_BIAS,   /* [b], gamma, beta, mean, var (O) -> (O): beta + (b - mean) * gamma / sqrt(var + eps)        */
	OP_FAKE_QUANT,  /* x, step (1 or O) -> like x, grid values (q - z) * P(s); attr.q                             */
	OP_REQUANT,     /* see enum requant_in -> like acc; attr.q, relu; the quantized layer's epilogue              */
	OP_DEQUANT,     /* x (grid f32, u8 or s8), step (1 or O) -> f32 real values; attr.q of x     */
	OP_QUANTIZE,    /* x f32, step (1 or O) -> u8 or s8 integers; attr.q                                          */
	OP_RQ_SCALE,    /* s_x (1), s_w (1 or O) or NONE, [s_y (1)] -> m (attr.channels or as s_w or 1); attr.count   */
	OP_RQ_SHIFT,    /* m (O), [b (O)], [s_y], [wq s8 (O,...)] -> c (O); attr.q of y, attr.zero_in of x            */
	OP_RQ_RESIDUAL, /* s_r (1), [s_y (1)] -> k (1): s_r / s_y                                                     */
	OP_QLINEAR,     /* x u8/s8 (..., K), wq s8 (M,K), m (M), c (M), [r u8/s8 like out, k (1)] -> u8/s8 (..., M), or
			 * f32 if !attr.q.bits; attr.flatten, relu                                                    */
	OP_QCONV2D,     /* x, wq (O,KH,KW,C), m (O), c (O), [r, k] -> like OP_QLINEAR; attr.stride, pad, relu         */
	OP_QAVGPOOL,    /* x u8/s8 (N,H,W,C), m (1), c (1) -> (N,C) u8/s8; attr.q                                     */
	OP_QLINEAR_DYN, /* x f32 (..., K), wq s8 (M,K), s_w (M), [b] -> f32 (..., M); s8 by a step of each row's own;
			 * attr.flatten, relu                                                                         */
	OP_FAKE_GELU,   /* see enum fake_gelu_in -> like x, grid values; attr.q_in, q, gelu_tanh                      */
	OP_GELU_TABLE,  /* s_x (1), s_y (1) -> u8/s8 (256): GELU of every byte; attr.q_in, q, gelu_tanh               */
	OP_QTABLE,      /* x u8/s8, table u8/s8 (256) -> like x, of the table's type: table[byte of x]; attr.q        */
	OP_SCORE_SCALE, /* s_q (1), s_k (1) -> c (1) of OP_QATTENTION; attr.count: columns of a head                  */
	OP_FAKE_ATTENTION, /* see enum fake_attention_in -> like q, grid values; attr.heads, longest, prob_bits, q    */
	OP_QATTENTION, /* see enum qattention_in -> like q, u8/s8; attr.heads, longest, prob_bits, q                 */
	OP_QEMBEDDING, /* see enum qembedding_in -> f32 (M,C): rows of an integer table times their steps            */
	OP_QPOSITION,  /* see enum qposition_in -> like x: OP_POSITION with integer tables                           */
	OP_CAST,       /* x -> same shape in attr.to                                                                 */
	OP_COUNT
};

/* attr.flatten of the linear ops: x (N, ...) is read as (N,K), all axes but the first being features, and the output is
 * (N,M). Memory is the same, so no op is needed between an image and a linear layer.
 *
 * x and w of OP_LINEAR and OP_CONV2D may both be f16 or both bf16; bias and output are f32 all the same, and so are all
 * gradients. The products are of the half values, the sums f32. Backward rounds dout, masked by the ReLU, to the same
 * half type before it is multiplied; the bias' gradient is the sum of the unrounded values. */

/* Rows of packed tokens. A batch of texts is one list of M rows with `starts` (N+1), ascending from 0: sequence n is
 * rows starts[n] .. starts[n+1]-1, an empty one is legal, and rows from starts[N] on are slack. Two kinds of ops keep
 * slack out of everything:
 * - An op that reads `starts` writes zeros to the slack rows of an output that has rows of tokens, and zeros to the
 * slack rows of every gradient, whatever dout holds there. (A mean or first row has no slack rows, so its x gets zeros
 * there.)
 * - An op that treats each row alone (linear, layer norm, GELU, add) treats slack rows like any others: behind a linear
 *   layer they hold its bias. It makes zero gradients of zero gradients, so its params see nothing of them either.
 * OP_EMBEDDING knows slack by the id -1. What leads from tokens to a loss must therefore pass an op that reads
 * `starts`, and observers look at rows before starts[N] only. What an op makes of a sequence depends on neither its
 * neighbours nor M; where an op's sums are not defined below, this holds for one backend on one kind of processor. */

/* Positions of inputs. Ops with one input have it at 0. */
enum product_in { PRODUCT_X, PRODUCT_W, PRODUCT_B }; /* x and w of all product ops, bias of the float ones */
enum linear_in { LINEAR_X, LINEAR_W, LINEAR_B };
enum conv_in { CONV_X, CONV_W, CONV_B };
enum batchnorm_in { BN_X, BN_GAMMA, BN_BETA, BN_MEAN, BN_VAR };
enum add_in { ADD_A, ADD_B };
/* Of a sample with label -1, which has none, OP_CE_LOSS is 0 and OP_KD_LOSS the part alpha * T^2 * KL alone. */
enum ce_in { CE_LOGITS, CE_LABELS, CE_WEIGHT };
enum kd_in { KD_LOGITS, KD_TEACHER, KD_LABELS, KD_WEIGHT };
enum fold_weight_in { FOLD_WEIGHT_W, FOLD_WEIGHT_GAMMA, FOLD_WEIGHT_VAR };
enum fold_bias_in { FOLD_BIAS_B, FOLD_BIAS_GAMMA, FOLD_BIAS_BETA, FOLD_BIAS_MEAN, FOLD_BIAS_VAR };
enum fake_quant_in { FAKE_QUANT_X, FAKE_QUANT_STEP };
enum quantize_in { QUANTIZE_X, QUANTIZE_STEP };
enum dequant_in { DEQUANT_X, DEQUANT_STEP };
enum rq_scale_in { RQ_SCALE_SX, RQ_SCALE_SW, RQ_SCALE_SY };
enum rq_shift_in { RQ_SHIFT_M, RQ_SHIFT_B, RQ_SHIFT_SY, RQ_SHIFT_WQ };
enum rq_residual_in { RQ_RESIDUAL_SR, RQ_RESIDUAL_SY };
enum qlayer_in { QL_X, QL_W, QL_M, QL_C, QL_R, QL_K }; /* OP_QLINEAR and OP_QCONV2D */
enum qavgpool_in { QAVGPOOL_X, QAVGPOOL_M, QAVGPOOL_C };
enum fake_gelu_in { FAKE_GELU_X, FAKE_GELU_SX, FAKE_GELU_SY };
enum gelu_table_in { GELU_TABLE_SX, GELU_TABLE_SY };
enum qtable_in { QTABLE_X, QTABLE_TABLE };
enum qlinear_dyn_in { DYN_X, DYN_W, DYN_SW, DYN_B };

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

/* Inputs of OP_POSITION: fl(fl(x + type[t]) + table[i]) for row i of its sequence, without type fl(x + table[i]). The
 * type t is 0; where sequence n has two parts, it is 1 for its rows i >= second[n]. Slack rows are zeros. Who builds
 * the graph gives attr.longest, which must fit the table; a place outside it reads nothing, as if its row were zeros.
 * The table's gradient has all P rows, each the sum over the sequences in ascending order, in f32; that of type is
 * zeros but for the rows of types that there are. */
enum position_in {
	POSITION_X,      /* f32 (M,C)                                                      */
	POSITION_TABLE,  /* f32 (P,C)                                                      */
	POSITION_STARTS, /* s32 (N+1)                                                      */
	POSITION_TYPE,   /* [f32 (T,C)]                                                    */
	POSITION_SECOND, /* [s32 (N)]: rows of a sequence's first part, any number; T >= 2 */
};

/* Inputs of OP_LAYERNORM (Ba, Kiros and Hinton 2016), of each row of C values, with the residual's addition. All is f32
 * and in this order, so that all backends give the same bits: x = fl(x + r); value i is added to lane i % 32, in
 * ascending order; the lanes are folded: the upper half is added to the lower, of 32, 16, 8, 4 and 2 lanes; mean =
 * fl(sum / C); d = fl(x - mean); lane = fmaf(d, d, lane), likewise; rstd = fl(1 / sqrtf(fl(fl(sum / C) + eps))); y =
 * fmaf(fl(d * rstd), gamma, beta). */
enum layernorm_in {
	LAYERNORM_X,     /* f32 (..., C)    */
	LAYERNORM_GAMMA, /* f32 (C)         */
	LAYERNORM_BETA,  /* f32 (C)         */
	LAYERNORM_R,     /* [f32, like x]   */
};

/* OP_FAKE_GELU is the training twin of OP_QTABLE over OP_GELU_TABLE (quant/arith.h has the arithmetic): x holds grid
 * values of s_x, the output those of s_y. With t = gelu(v)/s_y, v = q s_x, q = q_x - z_x, and inside the output's range
 *   dt/dx = gelu'(v) s_x / (s_y P(s_x)),  dt/ds_x = gelu'(v) q / s_y,  dt/ds_y = -t / s_y,
 * times P(s_y) each; outside all are 0. */

/* OP_GELU (Hendrycks and Gimpel 2016): x * Phi(x) with Phi(x) = (1 + erf(x / sqrt(2))) / 2. attr.gelu_tanh: the paper's
 * approximation 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), which some models were trained with. */

/* Inputs of OP_ATTENTION (Vaswani et al. 2017, section 3.2), within each sequence and for each of attr.heads heads,
 * which are H blocks of D columns. Scores are not kept: what a kernel needs grows with attr.longest, or with M where
 * that is not known. Slack rows of q, k and v are not read.
 *
 * attr.rate, in TRAIN: each probability stays, divided by 1 - rate, or becomes 0 before v is weighed with it. Key j of
 * query i of head h, in a sequence of T rows, stays if word j / 8 % 4 of block
 *   (h T + i) 8 ceil(T / 32) + j / 32 * 8 + j % 8
 * of the step and the sample, drawn as for OP_DROPOUT, is at least the rate as a number of [0, 1): 8 blocks beside each
 * other decide 32 keys. So neither the batch's composition nor its capacity changes what is dropped. Blocks are numbers
 * of 32 bits. */
enum attention_in {
	ATTENTION_Q,      /* f32 (M,H*D) */
	ATTENTION_K,      /* f32 (M,H*D) */
	ATTENTION_V,      /* f32 (M,H*D) */
	ATTENTION_STARTS, /* s32 (N+1)   */
};

/* Inputs of OP_QATTENTION, inference only: attention between integers (quant/arith.h). Slack rows are the integer that
 * stands for 0. */
enum qattention_in {
	QATTENTION_Q,      /* s8 (M,H*D); these four are where OP_ATTENTION has them */
	QATTENTION_K,      /* s8 (M,H*D) */
	QATTENTION_V,      /* s8 (M,H*D) */
	QATTENTION_STARTS, /* s32 (N+1)  */
	QATTENTION_SCALE,  /* c (1)      */
	QATTENTION_FACTOR, /* k (1)      */
};

/* Inputs of OP_FAKE_ATTENTION, its training twin on grid values. Gradients pass straight through the roundings: p_j is
 * taken as E_j, whose derivative is ln2 E_j, or 0 where x_j is held at -3. With g_d = P(s_y) dL/dy_d where t_d is
 * inside the output's range, else 0,
 *   u_j = ln2 E_j sum_d g_d (k/S) (v_jd - A_d/S)
 *   dL/da_j = c u_j, and for the first largest a less c sum_j u_j
 *   dL/dc = sum_j u_j (a_j - m),  dL/dk = sum_d g_d A_d/S
 *   dL/dv_jd = g_d (k/S) p_j,  dL/ds_y = -sum_d g_d t_d / s_y
 * of integers; grid values are P times these, and those of the other steps follow by c and k.
 *
 * attr.rate, in TRAIN, as for OP_ATTENTION: of what drops, p_j is left out of A_d but not of S, and t_d = fl(A_d
 * fl(k'/S)) with k' = fl(k fl(1/(1 - rate))). In the gradients k' is in the place of k, and p_j and v_jd, but not
 * A_d/S, are 0. */
enum fake_attention_in {
	FAKE_ATTENTION_Q,      /* grid f32 (M,H*D) */
	FAKE_ATTENTION_K,      /* grid f32 (M,H*D) */
	FAKE_ATTENTION_V,      /* grid f32 (M,H*D) */
	FAKE_ATTENTION_STARTS, /* s32 (N+1)        */
	FAKE_ATTENTION_SQ,     /* (1)              */
	FAKE_ATTENTION_SK,     /* (1)              */
	FAKE_ATTENTION_SV,     /* (1)              */
	FAKE_ATTENTION_SY,     /* (1)              */
};

/* Inputs of OP_DROPOUT. Element e of a sample stays or goes by the random word of (step, sample, e). Without starts
 * each first index of x is a sample; with them each sequence is, and e counts from the sequence's first row on: so
 * neither the batch's composition nor its capacity changes what is dropped. */
enum dropout_in {
	DROPOUT_X,      /* f32; with starts (M,C) */
	DROPOUT_STARTS, /* [s32 (N+1)]            */
};

/* Inputs of OP_QEMBEDDING, inference only: a row is fl(q * step of the table's row), in f32; ids as for OP_EMBEDDING.
 */
enum qembedding_in {
	QEMBEDDING_IDS,  /* s32 (M)  */
	QEMBEDDING_Q,    /* s8 (V,C) */
	QEMBEDDING_STEP, /* f32 (V)  */
};

/* Inputs of OP_QPOSITION, inference only: as OP_POSITION, with a table's row fl(q * step of the row). */
enum qposition_in {
	QPOSITION_X,         /* f32 (M,C)   */
	QPOSITION_Q,         /* s8 (P,C)    */
	QPOSITION_STEP,      /* f32 (P)     */
	QPOSITION_STARTS,    /* s32 (N+1)   */
	QPOSITION_TYPE_Q,    /* [s8 (T,C)]  */
	QPOSITION_TYPE_STEP, /* [f32 (T)]; both or none */
	QPOSITION_SECOND,    /* [s32 (N)]   */
};

/* Inputs of OP_SEGMENT_MEAN and OP_SEGMENT_FIRST. The mean of a sequence is the sum of its rows, begun at 0, in
 * ascending order in f32, divided by their number in f32: it depends neither on other sequences nor on M. The mean of
 * no rows is 0. */
enum segment_in {
	SEGMENT_X,      /* f32 (M,C)                                      */
	SEGMENT_STARTS, /* s32 (N+1): ascending, the first 0, the last <= M */
};

/* Inputs of OP_BCE_LOSS, for N samples of L labels: binary cross-entropy of logit x and target t, where the positive
 * part counts pos_weight p times (the definition of PyTorch's BCEWithLogitsLoss):
 *   BCE(x, t, p) = -(p * t * log(sigmoid(x)) + (1 - t) * log(1 - sigmoid(x))) */
enum bce_in {
	BCE_LOGITS,     /* f32 (N,L)                   */
	BCE_TARGETS,    /* f32 (N,L), each in [0, 1]; -1: unknown, BCE is 0 */
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

/* What two rows are apart. Every loss on layers has the form
 *   attr.factor * sum_n weight_n * (mean over the T_n tokens of sequence n of what a token's rows are apart),
 * so that a token counts as much as others of its text, a text as its sample does, and micro-batches add up. A sequence
 * without tokens adds nothing, and slack rows are not read. The teacher's inputs are given: their gradient is zero. */
enum distance {
	DISTANCE_MSE,    /* mean over the columns of (x - t)^2 */
	DISTANCE_COSINE, /* 1 - x . t / (|x| |t|); 1, without a gradient, where one of them is shorter than 1e-8 */
	DISTANCE_KL,     /* of distributions: sum of t * log(t / x), both at least 1e-30 in the logarithm */
	DISTANCES
};

/* Inputs of OP_HIDDEN_LOSS: M tokens, N sequences; attr.distance (MSE or COSINE), factor. */
enum hidden_loss_in {
	HIDDEN_LOSS_X,       /* f32 (M,C)              */
	HIDDEN_LOSS_TEACHER, /* f32 (M,C)              */
	HIDDEN_LOSS_STARTS,  /* s32 (N+1)              */
	HIDDEN_LOSS_WEIGHT,  /* f32 (N): of the samples */
};

/* Inputs of OP_ATTENTION_LOSS: the maps of two attentions, each the mean over its heads of softmax(q k^T / sqrt(D)); a
 * token's rows are those of its query, as long as its sequence. attr.heads, teacher_heads, distance (MSE or KL),
 * factor, longest. Both maps are computed here: what a kernel needs grows with the longest sequence, not with its
 * square. */
enum attention_loss_in {
	ATTENTION_LOSS_Q,         /* f32 (M,H*D) */
	ATTENTION_LOSS_K,         /* f32 (M,H*D) */
	ATTENTION_LOSS_TEACHER_Q, /* f32 (M,H'*D') */
	ATTENTION_LOSS_TEACHER_K, /* f32 (M,H'*D') */
	ATTENTION_LOSS_STARTS,    /* s32 (N+1)   */
	ATTENTION_LOSS_WEIGHT,    /* f32 (N)     */
};

/* Inputs of OP_RELATION_LOSS: self-attention relations (Wang et al. 2021, "MiniLMv2", section 3). The columns of all
 * heads are cut anew into attr.heads blocks of d columns, of the student and of the teacher alike, whose widths may
 * differ. The relation of a block a of q, k or v is softmax(a a^T / sqrt(d)) within a sequence; what a token's rows are
 * apart is KL(teacher || student), as the mean over the blocks and over q, k and v. attr.factor, longest. Memory as for
 * OP_ATTENTION_LOSS. */
enum relation_loss_in {
	RELATION_LOSS_Q,         /* f32 (M,C)  */
	RELATION_LOSS_K,         /* f32 (M,C)  */
	RELATION_LOSS_V,         /* f32 (M,C)  */
	RELATION_LOSS_TEACHER_Q, /* f32 (M,C') */
	RELATION_LOSS_TEACHER_K, /* f32 (M,C') */
	RELATION_LOSS_TEACHER_V, /* f32 (M,C') */
	RELATION_LOSS_STARTS,    /* s32 (N+1)  */
	RELATION_LOSS_WEIGHT,    /* f32 (N)    */
};

/* Ops that multiply x by weights w (out channels, ...) and sum: the layers that hold nearly all params and work. */
enum op_product {
	NO_PRODUCT,
	FLOAT_PRODUCT,  /* of float x, w and bias at the places of enum product_in: what is folded, cast, pruned    */
	INTEGER_PRODUCT /* of integer weights: what float products are lowered to                                   */
};

struct graph;
struct node;
struct infer;

/* The row of an op. */
struct op_info {
	const char *name;               /* as messages and prints have it                                           */
	const char *input[NODE_MAX_IN]; /* the inputs' names, in order; NULL from max_in on                         */
	int min_in, max_in;
	unsigned optional; /* bit i: input i may be NODE_NONE                                                       */
	bool random;       /* draws random numbers by the step's clock, in training, if attr.rate is above 0        */
	enum op_product product;
	bool lookup; /* rows of weights, at the place of a product's, are looked up by ids                    */
	bool passes_integers; /* its output has the step and zero point of its first input: integers go through     */
	bool never_negative;  /* no output is negative where no input is                                            */
	/* Multiply-accumulates of a forward pass of the node; NULL: none to speak of. All products have it. */
	int64_t (*macs)(const struct graph *g, const struct node *n);
	int (*infer)(const struct infer *c); /* the rule of shapes and types: see infer.h                           */
};
const struct op_info *op_info(enum op op);

#endif
