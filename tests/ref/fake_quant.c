/* From real values to quantized ones and back: fake_quant (grid values (q - z) * P(s)), quantize (the integers),
 * dequant (real values). A step tensor has one element, or one per row of axis 0 (weights). The gradients are derived
 * in ref.h. */
#include "quant/arith.h"
#include "ref/ref_impl.h"

/* Elements of x that share step i: [i*n, (i+1)*n). */
static int64_t elements_per_step(const struct call *s)
{
	return shape_count(s->in[FAKE_QUANT_X].shape) / shape_count(s->in[FAKE_QUANT_STEP].shape);
}

int ref_fake_quant_forward(struct call *s)
{
	const struct qrange q = s->node->attr.q;
	int64_t total = shape_count(s->out.shape), n = elements_per_step(s);
	for (int64_t e = 0; e < total; e++) {
		float step = (float)ref_get(&s->in[FAKE_QUANT_STEP], e / n);
		int value = quant_round((float)ref_get(&s->in[FAKE_QUANT_X], e), step, q);
		ref_set(&s->out, e, (double)(value - q.zero) * (double)quant_pow2(step));
	}
	return 0;
}

/* Straight-through estimator: the same comparison as the rounding sees it, so f32(x * f32(1/s)), before rint. */
static bool inside(double x, double step, struct qrange q)
{
	float t = (float)x * (1.0f / (float)step);
	return t >= (float)(q.lo - q.zero) && t <= (float)(q.hi - q.zero);
}

int ref_fake_quant_backward(struct call *s)
{
	const struct qrange q = s->node->attr.q;
	int64_t n = elements_per_step(s), steps = shape_count(s->in[FAKE_QUANT_STEP].shape);
	for (int64_t i = 0; s->want[FAKE_QUANT_X] && i < steps; i++) {
		double step = ref_get(&s->in[FAKE_QUANT_STEP], i), slope = (double)quant_pow2((float)step) / step;
		for (int64_t e = i * n; e < (i + 1) * n; e++) {
			bool in = inside(ref_get(&s->in[FAKE_QUANT_X], e), step, q);
			ref_grad(s, FAKE_QUANT_X, e, in ? slope * ref_get(&s->dout, e) : 0);
		}
	}
	for (int64_t i = 0; s->want[FAKE_QUANT_STEP] && i < steps; i++) {
		double step = ref_get(&s->in[FAKE_QUANT_STEP], i), slope = (double)quant_pow2((float)step) / step,
		       sum = 0;
		for (int64_t e = i * n; e < (i + 1) * n; e++) {
			double x = ref_get(&s->in[FAKE_QUANT_X], e);
			if (inside(x, step, q))
				sum -= ref_get(&s->dout, e) * slope * x / step;
		}
		ref_grad(s, FAKE_QUANT_STEP, i, sum);
	}
	return 0;
}

int ref_quantize_forward(struct call *s)
{
	int64_t total = shape_count(s->out.shape), n = elements_per_step(s);
	for (int64_t e = 0; e < total; e++)
		ref_set(&s->out, e,
		    quant_round((float)ref_get(&s->in[FAKE_QUANT_X], e), (float)ref_get(&s->in[FAKE_QUANT_STEP], e / n),
			s->node->attr.q));
	return 0;
}

/* q - z of element e: from the integer, or from the grid value. */
static double centred_integer(const struct call *s, int64_t e, double step)
{
	double x = ref_get(&s->in[FAKE_QUANT_X], e);
	if (s->in[FAKE_QUANT_X].dtype == DT_U8 || s->in[FAKE_QUANT_X].dtype == DT_S8)
		return x - s->node->attr.q.zero;
	return x / (double)quant_pow2((float)step);
}

int ref_dequant_forward(struct call *s)
{
	int64_t total = shape_count(s->out.shape), n = elements_per_step(s);
	for (int64_t e = 0; e < total; e++) {
		double step = ref_get(&s->in[FAKE_QUANT_STEP], e / n);
		ref_set(&s->out, e, centred_integer(s, e, step) * step);
	}
	return 0;
}

int ref_dequant_backward(struct call *s)
{
	int64_t n = elements_per_step(s), steps = shape_count(s->in[FAKE_QUANT_STEP].shape);
	for (int64_t i = 0; s->want[FAKE_QUANT_X] && i < steps; i++) {
		double step = ref_get(&s->in[FAKE_QUANT_STEP], i), slope = step / (double)quant_pow2((float)step);
		for (int64_t e = i * n; e < (i + 1) * n; e++)
			ref_grad(s, FAKE_QUANT_X, e, ref_get(&s->dout, e) * slope);
	}
	for (int64_t i = 0; s->want[FAKE_QUANT_STEP] && i < steps; i++) {
		double step = ref_get(&s->in[FAKE_QUANT_STEP], i), sum = 0;
		for (int64_t e = i * n; e < (i + 1) * n; e++)
			sum += ref_get(&s->dout, e) * centred_integer(s, e, step);
		ref_grad(s, FAKE_QUANT_STEP, i, sum);
	}
	return 0;
}
