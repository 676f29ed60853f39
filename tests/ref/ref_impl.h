/* What the kernels of the reference share: reading and writing elements as double, gradients, and the kernels' names.
 * A gradient is computed completely, then stored once, and input i is finished before input i+1 is begun, for both may
 * be the same memory (add(x, x)). */
#ifndef TESTS_REF_REF_IMPL_H
#define TESTS_REF_REF_IMPL_H

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "ref/ref.h"

static inline double ref_get(const struct tensor *t, int64_t i)
{
	if (t->dtype == REF_F64)
		return ((const double *)t->data)[i];
	switch (t->dtype) {
	case DT_F32:
		return ((const float *)t->data)[i];
	case DT_F16:
		return f16_to_f32(((const uint16_t *)t->data)[i]);
	case DT_BF16:
		return bf16_to_f32(((const uint16_t *)t->data)[i]);
	case DT_S8:
		return ((const int8_t *)t->data)[i];
	case DT_U8:
		return ((const uint8_t *)t->data)[i];
	case DT_S32:
		return ((const int32_t *)t->data)[i];
	case DT_COUNT:
		break;
	}
	assert(!"a dtype that no tensor has");
	return 0;
}

/* Rounds to the tensor's type; integers must already be in range. */
static inline void ref_set(const struct tensor *t, int64_t i, double v)
{
	if (t->dtype == REF_F64) {
		((double *)t->data)[i] = v;
		return;
	}
	switch (t->dtype) {
	case DT_F32:
		((float *)t->data)[i] = (float)v;
		return;
	case DT_F16:
		((uint16_t *)t->data)[i] = f32_to_f16((float)v);
		return;
	case DT_BF16:
		((uint16_t *)t->data)[i] = f32_to_bf16((float)v);
		return;
	case DT_S8:
		((int8_t *)t->data)[i] = (int8_t)v;
		return;
	case DT_U8:
		((uint8_t *)t->data)[i] = (uint8_t)v;
		return;
	case DT_S32:
		((int32_t *)t->data)[i] = (int32_t)v;
		return;
	case DT_COUNT:
		break;
	}
	assert(!"a dtype that no tensor has");
}

/* Element i of a tensor of one or of many channels. */
static inline double ref_channel(const struct tensor *t, int64_t i)
{
	return ref_get(t, shape_count(t->shape) == 1 ? 0 : i);
}

/* One operation of values of that tensor's type: rounded to f32, or as double where nothing is rounded. A sum, product,
 * quotient or square root of two floats that is taken in double and rounded again is the float operation's. */
static inline double ref_fl(const struct tensor *t, double v)
{
	return t->dtype == REF_F64 ? v : (double)(float)v;
}

static inline double ref_fma(const struct tensor *t, double a, double b, double c)
{
	return t->dtype == REF_F64 ? fma(a, b, c) : (double)fmaf((float)a, (float)b, (float)c);
}

/* The rows of sequence n, by the input that holds the starts and x (M,C). */
static inline void ref_segment(const struct call *s, int starts, int x, int64_t n, int64_t *first, int64_t *last)
{
	*first = (int64_t)ref_get(&s->in[starts], n);
	*last = (int64_t)ref_get(&s->in[starts], n + 1);
	assert((n > 0 || *first == 0) && *first <= *last && *last <= s->in[x].shape.dim[0]);
}

/* What the dropout of a map does to key j of query i of a head, in a sequence of T rows: 0 or 1/(1-rate); 1 where
 * nothing drops (attention.c). */
struct ref_map {
	int64_t sequence, head, T;
	struct rng stream; /* ref_map_stream */
};
struct rng ref_map_stream(const struct call *s);
double ref_map_factor(const struct call *s, const struct ref_map *m, int64_t i, int64_t j);

/* The row behind the last sequence. */
static inline int64_t ref_slack(const struct call *s, int starts)
{
	return (int64_t)ref_get(&s->in[starts], s->in[starts].shape.dim[0] - 1);
}

/* Stores (or adds, where the step says so) the gradient `v` of element e of input i. */
static inline void ref_grad(const struct call *s, int i, int64_t e, double v)
{
	ref_set(&s->din[i], e, s->accumulate[i] ? ref_get(&s->din[i], e) + v : v);
}

/* The gradient of input i is zero: the op has none. */
void ref_grad_none(const struct call *s, int i);

/* dL/d(value before the ReLU) of output element e. */
static inline double ref_dout(const struct call *s, int64_t e)
{
	return s->node->attr.relu && ref_get(&s->out, e) <= 0 ? 0 : ref_get(&s->dout, e);
}

/* TF32: 10 fraction bits, to nearest, ties away from zero, as PTX's cvt.rna.tf32.f32. NaN and infinity stay. */
static inline double ref_tf32(double v)
{
	float f = (float)v;
	uint32_t u;
	memcpy(&u, &f, sizeof(u));
	if ((u & 0x7f800000u) != 0x7f800000u)
		u = (u + 0x1000u) & ~0x1fffu;
	memcpy(&f, &u, sizeof(f));
	return (double)f;
}

/* Element e of x or w as a product takes it. */
static inline double ref_operand(const struct call *s, int i, int64_t e)
{
	double v = ref_get(&s->in[i], e);
	return s->node->attr.tf32 ? ref_tf32(v) : v;
}

/* dout as an operand of the backward products: rounded like x and w, where they are. */
static inline double ref_dout_operand(const struct call *s, int64_t e)
{
	double v = ref_dout(s, e);
	if (s->node->attr.tf32)
		return ref_tf32(v);
	if (s->in[0].dtype == DT_F16)
		return f16_to_f32(f32_to_f16((float)v));
	return s->in[0].dtype == DT_BF16 ? bf16_to_f32(f32_to_bf16((float)v)) : v;
}

static inline double ref_relu(const struct call *s, double v)
{
	return s->node->attr.relu && v < 0 ? 0 : v;
}

/* Window geometry of convolution and pooling: x (N,H,W,C), y (N,OH,OW,O). */
struct ref_window {
	int64_t N, H, W, C, OH, OW, O, kernel_h, kernel_w, stride, pad;
};
struct ref_window ref_window(const struct call *s, int64_t kernel_h, int64_t kernel_w);
/* Index of x(n,y,x,c) or y(n,y,x,o); -1 for a place in the padding. */
int64_t ref_at_in(const struct ref_window *w, int64_t n, int64_t y, int64_t x, int64_t c);
int64_t ref_at_out(const struct ref_window *w, int64_t n, int64_t y, int64_t x, int64_t o);

#define REF_KERNEL(op)                                                                                                 \
	int ref_##op##_forward(struct call *s);                                                                        \
	int ref_##op##_backward(struct call *s);
REF_KERNEL(linear)
REF_KERNEL(conv2d)
REF_KERNEL(batchnorm)
REF_KERNEL(maxpool)
REF_KERNEL(avgpool)
REF_KERNEL(add)
REF_KERNEL(dropout)
REF_KERNEL(embedding)
REF_KERNEL(gelu)
REF_KERNEL(tanh)
REF_KERNEL(layernorm)
REF_KERNEL(position)
REF_KERNEL(attention)
REF_KERNEL(segment_mean)
REF_KERNEL(segment_first)
REF_KERNEL(ce_loss)
REF_KERNEL(kd_loss)
REF_KERNEL(hidden_loss)
REF_KERNEL(attention_loss)
REF_KERNEL(relation_loss)
REF_KERNEL(bce_loss)
REF_KERNEL(kd_bce_loss)
REF_KERNEL(fold_weight)
REF_KERNEL(fold_bias)
REF_KERNEL(fake_quant)
REF_KERNEL(requant)
REF_KERNEL(dequant)
REF_KERNEL(cast)
REF_KERNEL(fake_attention)
int ref_score_scale_forward(struct call *s);
int ref_qattention_forward(struct call *s);
REF_KERNEL(fake_gelu)
int ref_gelu_table_forward(struct call *s);
int ref_qtable_forward(struct call *s);
int ref_quantize_forward(struct call *s);
int ref_rq_scale_forward(struct call *s);
int ref_rq_shift_forward(struct call *s);
int ref_rq_residual_forward(struct call *s);
int ref_qlinear_forward(struct call *s);
int ref_qconv2d_forward(struct call *s);
int ref_qavgpool_forward(struct call *s);
int ref_qlinear_dyn_forward(struct call *s);
int ref_qembedding_forward(struct call *s);
int ref_qposition_forward(struct call *s);

int ref_update(void *ctx, const struct update_job *job);

#endif
