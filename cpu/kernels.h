/* What the kernels of this folder share: the rows of the kernel table (one per op, each in the op's own file) and a few
 * loops. Rows without a backward are inference only. */
#ifndef CPU_KERNELS_H
#define CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "exec/call.h"

extern const struct kernel cpu_linear_kernel, cpu_conv2d_kernel, cpu_batchnorm_kernel, cpu_maxpool_kernel,
    cpu_avgpool_kernel, cpu_add_kernel, cpu_dropout_kernel, cpu_ce_loss_kernel, cpu_kd_loss_kernel,
    cpu_fold_weight_kernel, cpu_fold_bias_kernel, cpu_fake_quant_kernel, cpu_requant_kernel, cpu_cast_kernel;
extern const struct kernel cpu_gelu_kernel, cpu_tanh_kernel, cpu_layernorm_kernel, cpu_position_kernel,
    cpu_attention_kernel, cpu_segment_first_kernel, cpu_hidden_loss_kernel, cpu_attention_loss_kernel,
    cpu_relation_loss_kernel;
extern const struct kernel cpu_embedding_kernel, cpu_segment_mean_kernel, cpu_bce_loss_kernel, cpu_kd_bce_loss_kernel,
    cpu_qembedding_kernel;
extern const struct kernel cpu_dequant_kernel, cpu_quantize_kernel, cpu_rq_scale_kernel, cpu_rq_shift_kernel,
    cpu_rq_residual_kernel, cpu_qlinear_kernel, cpu_qconv2d_kernel, cpu_qavgpool_kernel, cpu_qlinear_dyn_kernel;

extern const struct kernel cpu_fake_gelu_kernel, cpu_gelu_table_kernel, cpu_qtable_kernel, cpu_qposition_kernel,
    cpu_score_scale_kernel, cpu_qattention_kernel, cpu_fake_attention_kernel;

/* Integers of n values by one step, the bits of OP_QUANTIZE, on this thread (quantize.c). */
void cpu_quantize(const float *x, int64_t n, float step, const struct qrange *q, void *y);

/* The optimizer (update.c): struct backend.update. */
int cpu_update(void *ctx, const struct update_job *job);

/* Backward of every loss: the gradient for dL = 1, which forward saved, times dout; none for what is given (loss.c). */
int cpu_loss_backward(struct call *s);
/* d = g * k, or added, over n floats. */
void cpu_scale_into(float *d, const float *g, float k, int64_t n, bool add);

/* u8 and s8 max pooling (maxpool_int.c); OP_MAXPOOL's row calls it. */
int cpu_maxpool_int_forward(struct call *s);

/* A function with versions for AVX-512, AVX2 and the baseline, chosen when the program is loaded. For leaf loops only:
 * what OpenMP outlines is not cloned, so parallel regions call these. Sanitizer builds keep the baseline (the resolvers
 * run before the sanitizer's own set-up). */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CPU_CLONES
#endif

/* Elements below which a loop runs on the calling thread. Two are no faster then, even on free cores: half of the data
 * lie in the other one's cache. On shared cores each meeting of threads may wait for a time slice. */
#define CPU_SERIAL (1 << 18)
/* The same for products, in multiply-adds: 30 us in f32, 10 us in integers. */
#define CPU_SERIAL_MACS (1 << 22)

/* Asks for the n floats some pages' worth ahead of `row`. Loops that read several streams wait for memory without it:
 * batch norm's backward pass took 1.7 times as long. */
static inline void cpu_prefetch(const float *row, int64_t n)
{
	for (int64_t i = 0; i < n; i += 16)
		__builtin_prefetch(row + i + 1024);
}

/* Rows of sequence n of M packed ones; whatever starts holds, never outside them. */
static inline void cpu_segment(const int32_t *starts, int64_t n, int64_t M, int64_t *first, int64_t *last)
{
	*first = starts[n] < 0 ? 0 : starts[n];
	*last = starts[n + 1] < M ? starts[n + 1] : M;
}

/* The first row of slack. */
static inline int64_t cpu_slack(const int32_t *starts, int64_t N, int64_t M)
{
	const int64_t end = starts[N] < 0 ? 0 : starts[N];
	return end < M ? end : M;
}

/* Zeros in an output or, unless it is added to, a gradient (M, C) from its first row of slack on. */
static inline void cpu_clear_slack(float *x, int64_t first, int64_t M, int64_t C)
{
	if (first < M)
		memset(x + first * C, 0, (size_t)((M - first) * C) * sizeof(*x));
}

/* The sum of n rows of x (., C), in their order, goes to d, or is added to it when it is complete (embedding.c). */
void cpu_sum_rows(float *d, const float *x, const int64_t *row, int64_t n, int64_t C, bool add);

/* Splits n items among `parts`; part i is [first, last). */
void cpu_split(int64_t n, int parts, int i, int64_t *first, int64_t *last);

/* For linear and conv2d: ERR_DEVICE unless x and w are both f32, or both bf16 on a CPU that has bf16; the rest f32. */
int cpu_need_layer(const struct call *s);
/* Input i has no gradient: zeros where one is wanted. */
void cpu_no_gradient(struct call *s, int i);

/* Parallel element-wise loops over n floats; dst may be a or b. */
enum cpu_vec {
	VEC_COPY,     /* dst = a               */
	VEC_ZERO,     /* dst = 0               */
	VEC_RELU,     /* dst = a, or 0 where a < 0; NaN stays */
	VEC_ADD,      /* dst = a + b           */
	VEC_ADD_RELU, /* dst = max(a + b, 0)   */
	VEC_MASK,     /* dst = b > 0 ? a : 0   */
	VEC_MASK_ADD, /* dst += b > 0 ? a : 0  */
	VEC_MUL,      /* dst = a * b           */
	VEC_MUL_ADD,  /* dst += a * b          */
};
void cpu_vec(enum cpu_vec op, float *dst, const float *a, const float *b, int64_t n);
/* Converts n values between f32, f16 and bf16 with the rounding of engine/graph/tensor.h, in parallel (cast.c). */
void cpu_convert(void *dst, enum dtype to, const void *src, enum dtype from, int64_t n);
/* Writes or adds a finished gradient as step.accumulate asks. */
void cpu_deliver(float *din, const float *g, int64_t n, bool accumulate);
/* The same for value `at` of input i's. */
void cpu_deliver_one(struct call *s, int i, int64_t at, double g);
/* Loops over (..., C) with per-channel numbers run over a period of W = C * repeat values, so that a row is long enough
 * for vector registers whatever C is: per-channel numbers are tiled to W, sums of W are folded to C. Work is cut into
 * fixed blocks of cpu_block(W) elements, whose partial sums are added in order. */
int64_t cpu_period(int64_t C);
int64_t cpu_block(int64_t W);
void cpu_tile(float *t, int64_t C, int64_t W);                      /* t[0..C) repeated up to W */
double cpu_fold(const float *row, int64_t c, int64_t C, int64_t W); /* the sum of row[c], row[c + C], ... */
/* sum[i] = x[i] + x[i + W] + ... for i < W, over n values; on this thread. */
void cpu_sum_period(float *sum, const float *x, int64_t n, int64_t W);
/* Sums the columns of g (rows, cols) into out (cols), adding to it if `accumulate`; partial sums of fixed blocks are
 * added in order. scratch: cpu_column_sum_scratch bytes. */
size_t cpu_column_sum_scratch(int64_t rows, int64_t cols);
void cpu_column_sum(float *out, const float *g, int64_t rows, int64_t cols, bool accumulate, void *scratch);

#endif
