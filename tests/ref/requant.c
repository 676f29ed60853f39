/* The training twin of the quantized layers' epilogue: it recovers the integer accumulator from the grid values, runs
 * the same f32 arithmetic as the integer ops, and returns grid values of the output (or real values, where the output
 * has no step). The gradients are derived in ref.h: with t' = (A*s_x*s_w/count + b + r*s_r)/s_y + z unrounded,
 *   dt/dacc = m/(P_x P_w)   dt/ds_x = A*m/s_x   dt/ds_w = A*m/s_w   dt/db = 1/s_y
 *   dt/ds_y = -(t - z)/s_y  dt/dr = k/P_r       dt/ds_r = r/s_y     m = s_x*s_w/(s_y*count), k = s_r/s_y.
 * The folded zero point of the input cancels between (A + off)*m and c: it has no gradient. */
#include <math.h>

#include "quant/arith.h"
#include "ref/ref_impl.h"

/* What one output channel needs. */
struct channel {
	float s_x, s_w, s_y, s_r; /* 1 where absent */
	float p_acc, p_y, p_r;    /* powers of two of acc, y and r */
	float m, c, k;
	int64_t off;
	int zero;
};

static float step_of(const struct call *s, int input, int64_t o)
{
	return s->has_in[input] ? (float)ref_channel(&s->in[input], o) : 1;
}

/* z_x * sum_k q_w[o][k]; the graph has the weights wherever z_x is not 0. */
static int64_t folded_zero(const struct call *s, int64_t o, float p_w)
{
	const struct tensor *w = &s->in[RQ_WQ];
	int64_t zero = s->node->attr.zero_in, K, sum = 0;
	if (zero == 0)
		return 0;
	K = shape_count(w->shape) / w->shape.dim[0];
	for (int64_t k = 0; k < K; k++)
		sum += (int64_t)(ref_get(w, o * K + k) / (double)p_w);
	return zero * sum;
}

static struct channel channel_of(const struct call *s, int64_t o)
{
	struct channel h = {0};
	bool weights = s->has_in[RQ_SW], rounded = s->has_in[RQ_SY];
	h.s_x = step_of(s, RQ_SX, 0);
	h.s_w = step_of(s, RQ_SW, o);
	h.s_y = step_of(s, RQ_SY, 0);
	h.s_r = step_of(s, RQ_SR, 0);
	float p_w = weights ? quant_pow2(h.s_w) : 1;
	h.p_acc = quant_pow2(h.s_x) * p_w;
	h.p_y = rounded ? quant_pow2(h.s_y) : 1;
	h.p_r = s->has_in[RQ_R] ? quant_pow2(h.s_r) : 1;
	h.zero = rounded ? s->node->attr.q.zero : 0;
	h.off = folded_zero(s, o, p_w);
	h.m = quant_scale(h.s_x, h.s_w, h.s_y, s->node->attr.count ? s->node->attr.count : 1);
	h.c = quant_shift(s->has_in[RQ_B] ? (float)ref_get(&s->in[RQ_B], o) : 0, h.s_y, h.m, h.off, h.zero);
	h.k = s->has_in[RQ_R] ? quant_residual(h.s_r, h.s_y) : 0;
	return h;
}

/* t before and after the ReLU; dividing by powers of two is exact. */
static float epilogue(const struct call *s, const struct channel *h, int64_t e, bool relu)
{
	float acc = (float)ref_get(&s->in[RQ_ACC], e) / h->p_acc + (float)h->off;
	float r = s->has_in[RQ_R] ? (float)ref_get(&s->in[RQ_R], e) / h->p_r : 0;
	return quant_epilogue(acc, h->m, h->c, s->has_in[RQ_R], r, h->k, relu, h->zero);
}

int ref_requant_forward(struct call *s)
{
	const struct attr *a = &s->node->attr;
	int64_t C = s->out.shape.dim[s->out.shape.ndim - 1], rows = shape_count(s->out.shape) / C;
	for (int64_t o = 0; o < C; o++) {
		struct channel h = channel_of(s, o);
		for (int64_t n = 0; n < rows; n++) {
			float t = epilogue(s, &h, n * C + o, a->relu);
			double y =
			    s->has_in[RQ_SY] ? (double)(quant_saturate(t, a->q) - h.zero) * (double)h.p_y : (double)t;
			ref_set(&s->out, n * C + o, y);
		}
	}
	return 0;
}

/* dL/dt of element e: straight through the rounding, zero where the ReLU or the clamp holds the value. */
static double gradient_t(const struct call *s, const struct channel *h, int64_t e)
{
	const struct attr *a = &s->node->attr;
	float t = epilogue(s, h, e, false);
	if (a->relu && t <= (float)h->zero)
		return 0;
	if (s->has_in[RQ_SY] && (t < (float)a->q.lo || t > (float)a->q.hi))
		return 0;
	return ref_get(&s->dout, e) * (double)h->p_y;
}

/* dt/d(input i) for output element e; for tensors the factor of the element, for steps and bias a term of the sum. */
static double derivative(const struct call *s, const struct channel *h, int i, int64_t e)
{
	double A = ref_get(&s->in[RQ_ACC], e) / (double)h->p_acc, s_y = h->s_y;
	double r = s->has_in[RQ_R] ? ref_get(&s->in[RQ_R], e) / (double)h->p_r : 0;
	double b = s->has_in[RQ_B] ? ref_get(&s->in[RQ_B], e % s->in[RQ_B].shape.dim[0]) : 0;
	double count = s->node->attr.count ? (double)s->node->attr.count : 1;
	double m = (double)h->s_x * (double)h->s_w / (s_y * count);
	switch (i) {
	case RQ_ACC:
		return m / (double)h->p_acc;
	case RQ_SX:
		return A * m / (double)h->s_x;
	case RQ_SW:
		return A * m / (double)h->s_w;
	case RQ_B:
		return 1 / s_y;
	case RQ_SY:
		return -(A * m + (b + r * (double)h->s_r) / s_y) / s_y;
	case RQ_R:
		return (double)h->s_r / s_y / (double)h->p_r;
	case RQ_SR:
		return r / s_y;
	default:
		return 0;
	}
}

int ref_requant_backward(struct call *s)
{
	int64_t C = s->out.shape.dim[s->out.shape.ndim - 1], rows = shape_count(s->out.shape) / C;
	for (int i = 0; i < RQ_COUNT; i++) {
		if (!s->want[i])
			continue;
		if (i == RQ_WQ) {
			ref_grad_none(s, i);
			continue;
		}
		int64_t size = shape_count(s->din[i].shape);
		bool per_element = i == RQ_ACC || i == RQ_R;
		double total = 0;
		for (int64_t o = 0; o < C; o++) {
			struct channel h = channel_of(s, o);
			double sum = 0;
			for (int64_t n = 0; n < rows; n++) {
				int64_t e = n * C + o;
				double d = gradient_t(s, &h, e) * derivative(s, &h, i, e);
				if (per_element)
					ref_grad(s, i, e, d);
				sum += d;
			}
			if (!per_element && size == C && C > 1)
				ref_grad(s, i, o, sum);
			total += sum;
		}
		if (!per_element && (size == 1))
			ref_grad(s, i, 0, total);
	}
	return 0;
}
