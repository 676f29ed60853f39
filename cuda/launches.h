/* The launches that the rows call: each is in the .cu file named above it, puts its kernels on ctx->stream and returns
 * 0 or an error naming the kernel. Pointers are device memory. C and C++. */
#ifndef CUDA_LAUNCHES_H
#define CUDA_LAUNCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "cuda/context.h"
#include "exec/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* common.cu */
/* dst = a few bytes that travel as an argument of the launch. */
#define CUDA_PUT_BYTES 64
int cuda_put(struct cuda_ctx *ctx, void *dst, const void *host, size_t bytes);
/* Sums the columns of g (rows, cols) into out (cols), adding to it if `accumulate`, in a fixed order. y: the layer's
 * output, or NULL; where y <= 0 the gradient is 0 (ReLU). masked: g after that mask in `type` (f32, f16 or bf16), or
 * NULL. out may be NULL too. scratch: cuda_column_sum_scratch bytes, where out is wanted. */
size_t cuda_column_sum_scratch(int64_t rows, int64_t cols);
int cuda_gradient_in(struct cuda_ctx *ctx, const float *g, const float *y, int64_t rows, int64_t cols, void *masked,
    enum dtype type, float *out, bool accumulate, void *scratch);
/* out (cols) = (or +=) the sum of the rows of partial (parts, cols), in a fixed order. */
int cuda_add_parts(
    struct cuda_ctx *ctx, const float *partial, int64_t parts, int64_t cols, float *out, bool accumulate);

/* half.cuh */
/* Where a forward launch writes its f32 result a second time, as bf16 or f16; NULL: nowhere. */
struct cuda_rounded {
	void *data;
	bool bf16;
};

/* conv2d.cu */
/* Geometry of a convolution: x (N,H,W,C), w (O,KH,KW,C), y (N,OH,OW,O). A column matrix is (images*OH*OW, KH*KW*C):
 * what each output pixel sees, zero in the padding, in the order of the weights. */
struct conv2d_geometry {
	int64_t N, H, W, C, OH, OW, O, KH, KW, stride, pad;
};
/* The columns of `images` images from x, which points to the first of them; `size` bytes per value. */
int cuda_im2col(
    struct cuda_ctx *ctx, const struct conv2d_geometry *g, int64_t images, size_t size, const void *x, void *col);
/* Its transpose: dx = (or += ) the sum of all column values that came from each input value, tap by tap in order. */
int cuda_col2im(struct cuda_ctx *ctx, const struct conv2d_geometry *g, int64_t images, const float *dcol, float *dx,
    bool accumulate);

/* update.cu */
/* What one update's kernels read from device memory: blocks of UPDATE_BLOCK elements are numbered through all items,
 * item k has blocks first[k] .. first[k + 1] - 1. */
#define UPDATE_BLOCK 4096
struct update_table {
	struct update_args args;
	int n; /* items */
	const struct update_item *item;
	const unsigned *first;    /* n + 1 */
	double *partial;          /* one per block: its sum of squared gradients */
	float scale;              /* of gradients, written by cuda_update_norm; negative: the update is left out */
	float correct1, correct2; /* 1 / (1 - beta^t), likewise */
};
/* The global norm, into the state; what becomes of the update, into the table and the state. */
int cuda_update_norm(struct cuda_ctx *ctx, struct update_table *table, unsigned blocks);
/* One launch over all items. */
int cuda_update_apply(struct cuda_ctx *ctx, const struct update_table *table, unsigned blocks);

/* activation.cu */
enum activation { ACTIVATION_GELU, ACTIVATION_GELU_TANH, ACTIVATION_TANH };
int cuda_activation(
    struct cuda_ctx *ctx, enum activation f, const float *x, int64_t n, float *y, struct cuda_rounded rounded);
int cuda_activation_backward(
    struct cuda_ctx *ctx, enum activation f, const float *x, const float *dy, int64_t n, float *dx, bool accumulate);

/* add.cu */
int cuda_add(
    struct cuda_ctx *ctx, const float *a, const float *b, int64_t n, bool relu, float *y, struct cuda_rounded rounded);
/* y: the output, where there is a ReLU, else NULL. d0, d1: gradients or NULL; they may be the same memory. */
int cuda_add_backward(
    struct cuda_ctx *ctx, const float *dy, const float *y, int64_t n, float *d0, bool add0, float *d1, bool add1);

/* segment.cuh: packed tokens of N sequences in M rows of C columns; starts (N + 1). */
struct segment_rows {
	const int32_t *starts;
	int64_t N, M, C;
};

/* What drops by the step's clock. */
struct dropout_draw {
	struct rng stream;
	const struct step_time *time;
	float rate, factor; /* 1/(1-rate) */
};

/* attention.cu: heads of D columns, which are beside each other. */
struct attention_heads {
	struct segment_rows r; /* of q, k, v, y */
	int64_t D;
	float scale;              /* of scores: 1/sqrt(D) */
	struct dropout_draw drop; /* of maps; rate 0: nothing, and factor 1 */
};
struct attention_inputs {
	const float *q, *k, *v, *dy; /* dy: backward */
};
/* Or NULL; dq, dk, dv may be the same memory. */
struct attention_gradients {
	float *dq, *dk, *dv;
	bool add_q, add_k, add_v;
};
size_t cuda_attention_kept(struct attention_heads h);
size_t cuda_attention_scratch(struct attention_heads h);
/* kept: cuda_attention_kept bytes for backward, or NULL. */
int cuda_attention(struct cuda_ctx *ctx, struct attention_heads h, struct attention_inputs in, float *y, void *kept,
    struct cuda_rounded rounded);
int cuda_attention_backward(struct cuda_ctx *ctx, struct attention_heads h, struct attention_inputs in, const float *y,
    const void *kept, struct attention_gradients g, void *scratch);

/* map_loss.cu: losses on maps from token to token, within sequences. */
#define MAP_VALUES 3 /* of a relation: q, k and v */
struct map_batch {
	struct segment_rows r; /* C is not used */
	int64_t longest;       /* of a longer sequence the rows behind count for nothing */
	const float *weight;   /* (N): of the samples */
	float factor;
	bool divergence; /* of attention maps; else the mean square */
};
/* The student's or the teacher's: heads of D of C columns. Map h of value i is of a[i] times b[i]. */
struct map_side {
	const float *a[MAP_VALUES], *b[MAP_VALUES];
	int64_t C, D;
	float scale; /* of scores: 1/sqrt(D) */
	void *kept;  /* of cuda_map_softmax, cuda_map_kept bytes */
};
/* Pieces that sequences are cut into, at most; tiles of so many rows. */
int64_t cuda_map_pieces(struct map_batch b);
int64_t cuda_map_tiles(int64_t rows);
size_t cuda_map_kept(struct map_batch b, int64_t maps);
/* Of the first `values` of a side. */
int cuda_map_softmax(struct cuda_ctx *ctx, struct map_batch b, struct map_side s, int values);

/* attention_loss.cu: q is a[0], k is b[0]. */
/* For dL = 1, or NULL; every row is written. mean (M, H); slope: cuda_attention_loss_slopes of `bytes`. */
struct attention_loss_gradients {
	float *dq, *dk, *mean, *slope;
	int64_t bytes;
};
/* At most `bytes`, or what TILE rows of the longest sequence need. */
size_t cuda_attention_loss_slopes(struct map_batch b, int64_t bytes);
/* Numbers of `sum`. */
int64_t cuda_attention_loss_sums(struct map_batch b);
int cuda_attention_loss(struct cuda_ctx *ctx, struct map_batch b, struct map_side own, struct map_side teacher,
    struct attention_loss_gradients g, double *sum, float *out);

/* relation_loss.cu: a[i] is b[i]. */
/* Likewise, of q, k and v. */
struct relation_gradients {
	float *d[MAP_VALUES];
};
int64_t cuda_relation_loss_sums(struct map_batch b, int64_t maps);
int cuda_relation_loss(struct cuda_ctx *ctx, struct map_batch b, struct map_side own, struct map_side teacher,
    struct relation_gradients g, double *sum, float *out);

/* avgpool.cu: x (N, pixels, C), y (N, C) = factor * the sum over pixels. */
int cuda_avgpool(struct cuda_ctx *ctx, const float *x, int64_t N, int64_t pixels, int64_t C, float factor, float *y,
    struct cuda_rounded rounded);
int cuda_avgpool_backward(struct cuda_ctx *ctx, const float *dy, int64_t N, int64_t pixels, int64_t C, float factor,
    float *dx, bool accumulate);

/* batchnorm.cu: x, y (rows, C). */
/* What normalises: mean and rstd (C), or mean and var + eps where rstd is NULL. */
struct batchnorm_channels {
	const float *gamma, *beta, *mean, *rstd, *var;
	float eps;
	bool relu;
};
/* Gradients or NULL; accumulate: of the op's inputs, in order. kept: of cuda_batchnorm_statistics. */
struct batchnorm_gradients {
	float *dx, *dgamma, *dbeta, *dmean, *dvar;
	bool accumulate[5];
	const float *kept;
};
size_t cuda_batchnorm_scratch(int64_t rows, int64_t C);
/* kept (3, C): mean, 1/sqrt(var + eps), unbiased variance. */
int cuda_batchnorm_statistics(
    struct cuda_ctx *ctx, const float *x, int64_t rows, int64_t C, float eps, float *kept, void *scratch);
int cuda_batchnorm_apply(struct cuda_ctx *ctx, struct batchnorm_channels h, const float *x, int64_t rows, int64_t C,
    float *y, struct cuda_rounded rounded);
int cuda_batchnorm_backward(struct cuda_ctx *ctx, struct batchnorm_channels h, const float *x, const float *dy,
    int64_t rows, int64_t C, struct batchnorm_gradients g, void *scratch);

/* bce_loss.cu */
/* logits, targets (N, L); teacher (N, L) or NULL: no distillation. grad (N, L): d loss / d logits, or NULL. row (N):
 * scratch. */
struct bce_batch {
	const float *logits, *teacher, *targets;
	const float *weight, *pos_weight; /* (N), (L) */
	int64_t N, L;
	float temperature, alpha;
	float *grad;
	double *row;
};
int cuda_bce_loss(struct cuda_ctx *ctx, struct bce_batch b, float *out);

/* cast.cu: f32, f16 and bf16 in any combination. */
int cuda_cast(struct cuda_ctx *ctx, const void *x, enum dtype from, int64_t n, void *y, enum dtype to);
/* Many f32 tensors to f16 or bf16 by one launch, whose argument this is. Blocks of CASTS_BLOCK elements are numbered
 * through all items, item k has blocks first[k] .. first[k + 1] - 1. */
#define CASTS_MOST  64
#define CASTS_BLOCK 1024
struct cuda_casts {
	int n;
	unsigned first[CASTS_MOST + 1];
	const float *from[CASTS_MOST];
	void *to[CASTS_MOST];
	int64_t count[CASTS_MOST];
};
int cuda_cast_all(struct cuda_ctx *ctx, const struct cuda_casts *c, enum dtype to);

/* quant.cuh */
/* A tensor of `steps` slices of n elements with a step each; lo and hi bound q - z. binary: weights of 1 bit, which are
 * their signs. */
struct quant_slices {
	const float *step;
	int64_t steps, n;
	float lo, hi;
	bool binary;
};

/* dequant.cu: x is u8, s8 or grid values (f32). Bounds of the slices are not looked at. */
int cuda_dequant(struct cuda_ctx *ctx, struct quant_slices q, const void *x, enum dtype type, int zero, float *y);
size_t cuda_dequant_scratch(struct quant_slices q);
int cuda_dequant_backward(struct cuda_ctx *ctx, struct quant_slices q, const float *x, const float *dy, float *dx,
    bool add_x, float *dstep, bool add_step, void *scratch);

/* dropout.cu: x (N, n); for either direction. */
int cuda_dropout(struct cuda_ctx *ctx, struct dropout_draw d, const float *x, int64_t N, int64_t n, float *y,
    bool accumulate, struct cuda_rounded rounded);
/* The same for the rows of sequences, each of which is a sample; other rows become zeros, or stay where the others are
 * added to. */
int cuda_dropout_rows(struct cuda_ctx *ctx, struct dropout_draw d, struct segment_rows r, const float *x, float *y,
    bool accumulate, struct cuda_rounded rounded);

/* fake_attention.cu: grid values of q, k and v, with their steps; lo and hi bound q - z of y. */
struct fake_heads {
	struct attention_heads h; /* its scale is not used */
	const float *q, *k, *v, *s_q, *s_k, *s_v, *s_y;
	float top; /* quant_prob_log */
	float lo, hi;
};
/* Or NULL; those of q, k and v may be the same memory, and those of steps. */
struct fake_attention_gradients {
	float *q, *k, *v, *s_q, *s_k, *s_v, *s_y;
	bool add_q, add_k, add_v, add_s_q, add_s_k, add_s_v, add_s_y;
};
size_t cuda_fake_attention_kept(struct attention_heads h);
size_t cuda_fake_attention_scratch(struct attention_heads h);
/* For backward, or NULL: t, like y; kept: cuda_fake_attention_kept bytes. */
int cuda_fake_attention(
    struct cuda_ctx *ctx, struct fake_heads f, float *y, float *t, void *kept, struct cuda_rounded rounded);
int cuda_fake_attention_backward(struct cuda_ctx *ctx, struct fake_heads f, const float *t, const void *kept,
    const float *dy, struct fake_attention_gradients d, void *scratch);

/* fake_gelu.cu: n grid values of s_x; lo: the least q - z of them, lo + width the largest; y_lo and y_hi: of y. */
struct gelu_grid {
	const float *s_x, *s_y;
	int64_t n;
	float lo, width, y_lo, y_hi;
	bool by_tanh;
};
/* Or NULL. */
struct gelu_gradients {
	float *x, *s_x, *s_y;
	bool add_x, add_s_x, add_s_y;
};
size_t cuda_fake_gelu_table(void);
size_t cuda_fake_gelu_scratch(int64_t n);
/* table: cuda_fake_gelu_table bytes, which backward reads. */
int cuda_fake_gelu(
    struct cuda_ctx *ctx, struct gelu_grid g, const float *x, float *y, void *table, struct cuda_rounded rounded);
int cuda_fake_gelu_backward(struct cuda_ctx *ctx, struct gelu_grid g, const float *x, const float *dy,
    const void *table, struct gelu_gradients d, void *scratch);

/* fake_quant.cu */
int cuda_fake_quant(struct cuda_ctx *ctx, struct quant_slices q, const float *x, float *y, struct cuda_rounded rounded);
size_t cuda_fake_quant_scratch(struct quant_slices q);
int cuda_fake_quant_backward(struct cuda_ctx *ctx, struct quant_slices q, const float *x, const float *dy, float *dx,
    bool add_x, float *dstep, bool add_step, void *scratch);

/* embedding.cu: M tokens, table and gradient (V, C). */
struct embedding_tokens {
	const int32_t *id;
	int64_t M, V, C;
};
int cuda_embedding(struct cuda_ctx *ctx, struct embedding_tokens t, const float *table, float *y);
/* Adds to the rows that tokens name. */
int cuda_embedding_gradient(struct cuda_ctx *ctx, struct embedding_tokens t, const float *dy, float *d);

/* fold.cu: weights (O, K), everything else (O). */
struct fold_weight_gradients {
	const float *dy, *w, *gamma, *var;
	float eps;
	int64_t O, K;
	float *dw, *dgamma; /* or NULL */
	bool add_w, add_gamma;
};
struct fold_bias_inputs {
	const float *b, *gamma, *beta, *mean, *var; /* b may be NULL */
	float eps;
	int64_t O;
};
struct fold_bias_gradients {
	float *db, *dgamma, *dbeta; /* or NULL */
	bool accumulate[3];
};
int cuda_fold_weight(struct cuda_ctx *ctx, const float *w, const float *gamma, const float *var, float eps, int64_t O,
    int64_t K, float *y);
int cuda_fold_weight_backward(struct cuda_ctx *ctx, struct fold_weight_gradients g);
int cuda_fold_bias(struct cuda_ctx *ctx, struct fold_bias_inputs f, float *y);
int cuda_fold_bias_backward(
    struct cuda_ctx *ctx, struct fold_bias_inputs f, const float *dy, struct fold_bias_gradients g);

/* hidden_loss.cu: x, teacher (M, C), in sequences. */
struct hidden_rows {
	struct segment_rows r;
	const float *x, *teacher, *weight; /* weight (N): of the samples */
	float factor;
	bool cosine; /* 1 - cosine; else the mean square */
};
size_t cuda_hidden_loss_kept(int64_t M);
size_t cuda_hidden_loss_scratch(int64_t M);
/* kept: cuda_hidden_loss_kept bytes for backward, or NULL. */
int cuda_hidden_loss(struct cuda_ctx *ctx, struct hidden_rows h, float *out, void *kept, void *scratch);
int cuda_hidden_loss_backward(
    struct cuda_ctx *ctx, struct hidden_rows h, const void *kept, const float *dout, float *dx, bool accumulate);

/* layernorm.cu: x, r, y (rows, C), gamma, beta (C); r may be NULL. */
struct layernorm_rows {
	const float *x, *r, *gamma, *beta;
	int64_t rows, C;
	float eps;
};
/* Or NULL; dx and dr may be the same memory. */
struct layernorm_gradients {
	float *dx, *dr, *dgamma, *dbeta;
	bool add_x, add_r, add_gamma, add_beta;
};
size_t cuda_layernorm_kept(int64_t rows);
size_t cuda_layernorm_scratch(int64_t rows, int64_t C);
/* kept: cuda_layernorm_kept bytes for backward, or NULL. */
int cuda_layernorm(struct cuda_ctx *ctx, struct layernorm_rows p, float *y, void *kept, struct cuda_rounded rounded);
int cuda_layernorm_backward(struct cuda_ctx *ctx, struct layernorm_rows p, const void *kept, const float *dy,
    struct layernorm_gradients g, void *scratch);

/* loss.cu */
/* logits (N, C); teacher (N, C) or NULL: cross-entropy. grad (N, C): d loss / d logits, or NULL. row (N): scratch. */
struct loss_batch {
	const float *logits, *teacher;
	const int32_t *labels;
	const float *weight;
	int64_t N, C;
	float smoothing, temperature, alpha;
	float *grad;
	double *row;
};
int cuda_loss(struct cuda_ctx *ctx, struct loss_batch r, float *out);
/* The losses of N rows added up in a fixed order. */
int cuda_loss_sum(struct cuda_ctx *ctx, const double *row, int64_t N, float *out);
/* d = (or +=) grad * *dout */
int cuda_loss_backward(
    struct cuda_ctx *ctx, const float *grad, const float *dout, int64_t n, float *d, bool accumulate);

/* maxpool.cu */
struct maxpool_geometry {
	int64_t N;
	int H, W, C, OH, OW, kernel, stride, pad;
};
/* winner: one byte per output, the tap of the window's first maximum; NULL: not wanted. */
int cuda_maxpool(struct cuda_ctx *ctx, const struct maxpool_geometry *g, const float *x, float *y, uint8_t *winner,
    struct cuda_rounded rounded);
int cuda_maxpool_backward(struct cuda_ctx *ctx, const struct maxpool_geometry *g, const float *dy,
    const uint8_t *winner, float *dx, bool accumulate);

/* position.cu: x, y, dy (M, C), table and its gradient (P, C); the table of types and its gradient, or NULL; second
 * (N): the place where the second part of a sequence begins, whose type is 1, or NULL. */
int cuda_position(struct cuda_ctx *ctx, struct segment_rows r, const float *x, const float *table, int64_t P,
    const float *type, const int32_t *second, float *y);
int cuda_position_table(
    struct cuda_ctx *ctx, struct segment_rows r, const float *dy, int64_t P, float *d, bool accumulate);
size_t cuda_position_scratch(struct segment_rows r, bool pairs);
int cuda_position_type(struct cuda_ctx *ctx, struct segment_rows r, const int32_t *second, const float *dy, float *d,
    bool accumulate, void *scratch);

/* quantize.cu: y is s8 or u8. */
int cuda_quantize(struct cuda_ctx *ctx, struct quant_slices q, const float *x, int zero, enum dtype type, void *y);

/* requant.cu: acc, residual, y (rows, C). */
struct requant_inputs {
	const float *acc, *s_x, *s_w, *bias, *s_y, *residual, *s_r; /* NULL where absent */
	const double *off;                                          /* (C) of cuda_requant_offsets, or NULL: 0 */
	int64_t rows, C, count;
	float lo, hi;
	int zero;         /* of the output */
	bool per_channel; /* s_w is (C) */
	bool relu;
};
/* By enum requant_in; NULL: not wanted. */
struct requant_gradients {
	float *d[RQ_COUNT];
	bool accumulate[RQ_COUNT];
};
/* The zero point of the input folded: off = zero_in * the integer weights wq (C, K) of each channel added up. */
int cuda_requant_offsets(
    struct cuda_ctx *ctx, struct requant_inputs r, const float *wq, int64_t K, int zero_in, double *off);
int cuda_requant(struct cuda_ctx *ctx, struct requant_inputs r, float *y, struct cuda_rounded rounded);
size_t cuda_requant_scratch(int64_t rows, int64_t C);
int cuda_requant_backward(
    struct cuda_ctx *ctx, struct requant_inputs r, const float *dy, struct requant_gradients g, void *scratch);

/* rq.cu */
/* An optional vector of n values, one of which may serve all channels. */
struct rq_input {
	const float *data; /* NULL: absent */
	int64_t n;
};
int cuda_rq_scale(struct cuda_ctx *ctx, struct rq_input s_x, struct rq_input s_w, struct rq_input s_y, int64_t count,
    int64_t n, float *m);
/* wq (M, K) or K = 0. */
int cuda_rq_shift(struct cuda_ctx *ctx, const float *m, struct rq_input bias, struct rq_input s_y, const int8_t *wq,
    int64_t K, int zero_in, int zero_out, int64_t M, float *c);
int cuda_rq_residual(struct cuda_ctx *ctx, struct rq_input s_r, struct rq_input s_y, float *k);

/* segment.cu: x (M, C), y (N, C). */
int cuda_segment_mean(
    struct cuda_ctx *ctx, struct segment_rows r, const float *x, float *y, struct cuda_rounded rounded);
int cuda_segment_mean_backward(
    struct cuda_ctx *ctx, struct segment_rows r, const float *dy, float *dx, bool accumulate);
int cuda_segment_first(
    struct cuda_ctx *ctx, struct segment_rows r, const float *x, float *y, struct cuda_rounded rounded);
int cuda_segment_first_backward(
    struct cuda_ctx *ctx, struct segment_rows r, const float *dy, float *dx, bool accumulate);
/* y (M, C) = (or +=) x in the rows of sequences; other rows become zeros, or stay. y may be x. */
int cuda_segment_copy(struct cuda_ctx *ctx, struct segment_rows r, const float *x, float *y, bool accumulate);

#ifdef __cplusplus
}
#endif

#endif
