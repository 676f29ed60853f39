/* Integer layers: exact sums in 64 bits, then the epilogue of engine/quant/arith.h. Also the three small ops that make
 * the epilogue's factors m, c and k from steps, and the linear layer with per-row dynamic quantization. No gradients.
 */
#include <math.h>

#include "quant/arith.h"
#include "ref/ref_impl.h"

static int64_t integer(const struct tensor *t, int64_t i)
{
	return (int64_t)ref_get(t, i);
}

static float value_or(const struct call *s, int i, int64_t o, float absent)
{
	return s->has_in[i] ? (float)ref_channel(&s->in[i], o) : absent;
}

int ref_rq_scale_forward(struct call *s)
{
	int64_t count = s->node->attr.count ? s->node->attr.count : 1;
	for (int64_t o = 0; o < shape_count(s->out.shape); o++)
		ref_set(&s->out, o,
		    quant_scale(value_or(s, RQ_SCALE_SX, 0, 1), value_or(s, RQ_SCALE_SW, o, 1),
			value_or(s, RQ_SCALE_SY, 0, 1), count));
	return 0;
}

int ref_rq_shift_forward(struct call *s)
{
	const struct attr *a = &s->node->attr;
	for (int64_t o = 0; o < shape_count(s->out.shape); o++) {
		int64_t K = s->has_in[RQ_SHIFT_WQ] ? shape_inner(s->in[RQ_SHIFT_WQ].shape, 0) : 0, sum = 0;
		for (int64_t k = 0; k < K; k++)
			sum += integer(&s->in[RQ_SHIFT_WQ], o * K + k);
		float c = quant_shift(value_or(s, RQ_SHIFT_B, o, 0), value_or(s, RQ_SHIFT_SY, 0, 1),
		    value_or(s, RQ_SHIFT_M, o, 1), a->zero_in * sum, s->has_in[RQ_SHIFT_SY] ? a->q.zero : 0);
		ref_set(&s->out, o, c);
	}
	return 0;
}

int ref_rq_residual_forward(struct call *s)
{
	ref_set(&s->out, 0, quant_residual(value_or(s, RQ_RESIDUAL_SR, 0, 1), value_or(s, RQ_RESIDUAL_SY, 0, 1)));
	return 0;
}

/* Output element e of channel o from its accumulator. */
static void store(struct call *s, int64_t e, int64_t o, int64_t acc, bool residual)
{
	const struct attr *a = &s->node->attr;
	float r = residual ? (float)ref_get(&s->in[QL_R], e) : 0, k = residual ? (float)ref_get(&s->in[QL_K], 0) : 0;
	float t = quant_epilogue((float)acc, (float)ref_channel(&s->in[QL_M], o), (float)ref_channel(&s->in[QL_C], o),
	    residual, r, k, a->relu, a->q.zero);
	ref_set(&s->out, e, a->q.bits ? (double)quant_saturate(t, a->q) : (double)t);
}

int ref_qlinear_forward(struct call *s)
{
	int64_t N = shape_rows(s->out.shape), M = s->in[QL_W].shape.dim[0], K = s->in[QL_W].shape.dim[1];
	for (int64_t n = 0; n < N; n++) {
		for (int64_t m = 0; m < M; m++) {
			int64_t acc = 0;
			for (int64_t k = 0; k < K; k++)
				acc += integer(&s->in[QL_X], n * K + k) * integer(&s->in[QL_W], m * K + k);
			store(s, n * M + m, m, acc, s->has_in[QL_R]);
		}
	}
	return 0;
}

static int64_t accumulate(const struct call *s, const struct ref_window *g, int64_t n, int64_t i, int64_t j, int64_t o)
{
	int64_t acc = 0;
	for (int64_t p = 0; p < g->kernel_h; p++) {
		for (int64_t q = 0; q < g->kernel_w; q++) {
			int64_t at = ref_at_in(g, n, i * g->stride + p - g->pad, j * g->stride + q - g->pad, 0);
			int64_t w = ((o * g->kernel_h + p) * g->kernel_w + q) * g->C;
			for (int64_t c = 0; at >= 0 && c < g->C; c++)
				acc += integer(&s->in[QL_X], at + c) * integer(&s->in[QL_W], w + c);
		}
	}
	return acc;
}

/* Padding is the integer 0: a padded convolution never has a zero point. */
int ref_qconv2d_forward(struct call *s)
{
	struct ref_window g = ref_window(s, s->in[QL_W].shape.dim[1], s->in[QL_W].shape.dim[2]);
	for (int64_t n = 0; n < g.N; n++)
		for (int64_t i = 0; i < g.OH; i++)
			for (int64_t j = 0; j < g.OW; j++)
				for (int64_t o = 0; o < g.O; o++)
					store(s, ref_at_out(&g, n, i, j, o), o, accumulate(s, &g, n, i, j, o),
					    s->has_in[QL_R]);
	return 0;
}

int ref_qavgpool_forward(struct call *s)
{
	const struct attr *a = &s->node->attr;
	const int64_t *d = s->in[QAVGPOOL_X].shape.dim;
	int64_t N = d[0], pixels = d[1] * d[2], C = d[3];
	float m = (float)ref_get(&s->in[QAVGPOOL_M], 0), c = (float)ref_get(&s->in[QAVGPOOL_C], 0);
	for (int64_t n = 0; n < N; n++) {
		for (int64_t o = 0; o < C; o++) {
			int64_t acc = 0;
			for (int64_t e = 0; e < pixels; e++)
				acc += integer(&s->in[QAVGPOOL_X], (n * pixels + e) * C + o);
			float t = quant_epilogue((float)acc, m, c, false, 0, 0, a->relu, a->q.zero);
			ref_set(&s->out, n * C + o, quant_saturate(t, a->q));
		}
	}
	return 0;
}

/* Per-row dynamic quantization, every operation rounded once to f32:
 *   a = max|x|, s = a/127, inv = a > 2^-100 ? 127/a : 0, q = rint(x*inv), y = fma(fl(acc*s_w), s, b).
 * The bound keeps 127/a finite; a row below it becomes zeros. */
int ref_qlinear_dyn_forward(struct call *s)
{
	int64_t N = shape_rows(s->out.shape), M = s->in[DYN_W].shape.dim[0], K = s->in[DYN_W].shape.dim[1];
	for (int64_t n = 0; n < N; n++) {
		float max = 0;
		for (int64_t k = 0; k < K; k++)
			max = fmaxf(max, fabsf((float)ref_get(&s->in[DYN_X], n * K + k)));
		float step = max / 127.0f, inv = max > 0x1p-100f ? 127.0f / max : 0.0f;
		for (int64_t m = 0; m < M; m++) {
			int64_t acc = 0;
			for (int64_t k = 0; k < K; k++) {
				float q = rintf((float)ref_get(&s->in[DYN_X], n * K + k) * inv);
				acc += (int64_t)q * integer(&s->in[DYN_W], m * K + k);
			}
			float y =
			    fmaf((float)acc * (float)ref_channel(&s->in[DYN_SW], m), step, value_or(s, DYN_B, m, 0));
			ref_set(&s->out, n * M + m, ref_relu(s, (double)y));
		}
	}
	return 0;
}
