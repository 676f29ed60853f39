/* Private to engine/graph: the rules of shapes and types. infer.c has the checks that rules are made of; the rules are
 * in infer_layers.c, infer_tokens.c, infer_loss.c and infer_quant.c, each named in its op's row (op.c). What passes
 * here is what backends may rely on without checking again. */
#ifndef ENGINE_GRAPH_INFER_H
#define ENGINE_GRAPH_INFER_H

#include "base/err.h"
#include "graph/graph.h"

/* Sets dtype and shape of a node whose op, name, inputs and attributes are filled in; ERR_FAIL naming op, node and
 * input where they do not fit together. Inputs are nodes of g. */
int infer_node(const struct graph *g, struct node *n);
/* ERR_FAIL unless 1..4 (or 0) positive dims whose product fits comfortably. */
int infer_check_shape(const struct node *n);

/* A node while its rule runs: inputs by position, NULL where absent. */
struct infer {
	struct node *n;
	const struct node *in[NODE_MAX_IN];
};

/* An error that begins with op and node. */
#define FAIL(c, fmt, ...)                                                                                              \
	err_set(ERR_FAIL, "%s '%s': " fmt, op_info((c)->n->op)->name, (c)->n->name __VA_OPT__(, ) __VA_ARGS__)

/* Demands on input i, which holds if the input is absent; ERR_FAIL. */
int want_dtype(const struct infer *c, int i, enum dtype t);
int want_f32(const struct infer *c, unsigned mask); /* on all inputs of a mask */
int want_shape(const struct infer *c, int i, struct shape want);
int want_vector(const struct infer *c, int i, int64_t a, int64_t b); /* of `a` or of `b` elements */
/* Demands on an input that is there: u8 or s8; lo to hi dimensions. */
int want_integer(const struct infer *c, int i);
int want_ndim(const struct infer *c, int i, int lo, int hi);
/* Rows of tokens, f32 (M,C), and where each sequence begins, s32 (N+1). */
int want_rows(const struct infer *c, int i);
int want_starts(const struct infer *c, int i);
int want_rate(const struct infer *c);  /* attr.rate is a share, and not all */
int want_heads(const struct infer *c); /* attr.heads divide the columns of input 0; attr.longest */
/* attr.q is a range that 8 bits hold, or absent where it is not needed. */
int want_range(const struct infer *c, bool needed);
int want_weight_range(const struct infer *c); /* of attr.q, needed: also 1 bit */
int want_range_in(const struct infer *c);     /* likewise attr.q_in, which is needed */
/* Positive and finite; NaN is neither. */
bool infer_positive(float x);

/* The last step of a rule: what the output is. */
int infer_set(const struct infer *c, enum dtype t, struct shape s);
int infer_set_like(const struct infer *c, int i);
int infer_set_vector(const struct infer *c, int64_t n); /* f32 (n) */

/* Shapes that float and integer layers share: of a product with a weight (M,K), of a convolution, of a pool over all
 * pixels. */
int infer_product(const struct infer *c, struct shape *out);
int infer_conv(const struct infer *c, struct shape *out);
struct shape infer_pooled(struct shape x);
struct shape infer_looked_up(const struct infer *c); /* ids (M) at 0 and a table (V,C) at 1 give (M,C) */

/* The rules, one per op. */
int infer_leaf(const struct infer *c);
int infer_linear(const struct infer *c);
int infer_conv2d(const struct infer *c);
int infer_batchnorm(const struct infer *c);
int infer_maxpool(const struct infer *c);
int infer_avgpool(const struct infer *c);
int infer_add(const struct infer *c);
int infer_dropout(const struct infer *c);
int infer_cast(const struct infer *c);
int infer_fold_weight(const struct infer *c);
int infer_fold_bias(const struct infer *c);
int infer_ce_loss(const struct infer *c);
int infer_kd_loss(const struct infer *c);
int infer_bce_loss(const struct infer *c);
int infer_kd_bce_loss(const struct infer *c);
int infer_hidden_loss(const struct infer *c);
int infer_attention_loss(const struct infer *c);
int infer_relation_loss(const struct infer *c);
int infer_embedding(const struct infer *c);
int infer_segment(const struct infer *c);
int infer_position(const struct infer *c);
int infer_attention(const struct infer *c);
int infer_layernorm(const struct infer *c);
int infer_unary(const struct infer *c);
int infer_fake_gelu(const struct infer *c);
int infer_gelu_table(const struct infer *c);
int infer_qtable(const struct infer *c);
int infer_score_scale(const struct infer *c);
int infer_fake_attention(const struct infer *c);
int infer_qattention(const struct infer *c);
int infer_qembedding(const struct infer *c);
int infer_qposition(const struct infer *c);
int infer_fake_quant(const struct infer *c);
int infer_requant(const struct infer *c);
int infer_dequant(const struct infer *c);
int infer_quantize(const struct infer *c);
int infer_rq_scale(const struct infer *c);
int infer_rq_shift(const struct infer *c);
int infer_rq_residual(const struct infer *c);
int infer_qlinear(const struct infer *c);
int infer_qconv2d(const struct infer *c);
int infer_qavgpool(const struct infer *c);
int infer_qlinear_dyn(const struct infer *c);

#endif
