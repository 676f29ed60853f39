/* OP_HIDDEN_LOSS: a text is one piece of work of one thread. Sums over a row are taken in float lanes, those over rows
 * in double, texts are added in order: so the loss depends neither on the number of threads nor on slack. Backward
 * takes the sums of a row anew, which costs less than keeping a gradient of all rows. */
#include "cpu/kernels.h"

#include <math.h>

#define LEAST_NORM 1e-8 /* a row that is shorter has no direction */

static int hidden_prepare(struct call *s)
{
	s->scratch = (size_t)s->in[HIDDEN_LOSS_WEIGHT].shape.dim[0] * sizeof(double); /* losses of texts */
	call_set_impl(s, "loop");
	return 0;
}

/* Sums over the columns of a row. */
struct sums {
	float xx, tt, xt, apart; /* of x^2, t^2, x * t and (x - t)^2 */
};

CPU_CLONES static void row_products(struct sums *r, const float *x, const float *t, int64_t C)
{
	float xx = 0.0f, tt = 0.0f, xt = 0.0f;
#pragma omp simd reduction(+ : xx, tt, xt)
	for (int64_t c = 0; c < C; c++) {
		xx += x[c] * x[c];
		tt += t[c] * t[c];
		xt += x[c] * t[c];
	}
	r->xx = xx;
	r->tt = tt;
	r->xt = xt;
}

CPU_CLONES static void row_apart(struct sums *r, const float *x, const float *t, int64_t C)
{
	float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
	for (int64_t c = 0; c < C; c++)
		sum += (x[c] - t[c]) * (x[c] - t[c]);
	r->apart = sum;
}

static bool has_direction(const struct sums *r)
{
	return !(sqrt((double)r->xx) < LEAST_NORM || sqrt((double)r->tt) < LEAST_NORM); /* NaN stays visible */
}

static double cosine(const struct sums *r)
{
	return has_direction(r) ? (double)r->xt / (sqrt((double)r->xx) * sqrt((double)r->tt)) : 0.0;
}

static double row_distance(const struct call *s, const float *x, const float *t)
{
	const int64_t C = s->in[HIDDEN_LOSS_X].shape.dim[1];
	struct sums r;
	if (s->node->attr.distance == DISTANCE_MSE) {
		row_apart(&r, x, t, C);
		return (double)r.apart / (double)C;
	}
	row_products(&r, x, t, C);
	return 1.0 - cosine(&r);
}

/* How much a token of text n counts. */
static double token_weight(const struct call *s, int64_t n, int64_t tokens)
{
	return (double)s->node->attr.factor * (double)((const float *)s->in[HIDDEN_LOSS_WEIGHT].data)[n] /
	       (double)tokens;
}

static int hidden_forward(struct call *s)
{
	const int64_t N = s->in[HIDDEN_LOSS_WEIGHT].shape.dim[0], M = s->in[HIDDEN_LOSS_X].shape.dim[0];
	const int64_t C = s->in[HIDDEN_LOSS_X].shape.dim[1];
	const float *x = s->in[HIDDEN_LOSS_X].data, *t = s->in[HIDDEN_LOSS_TEACHER].data;
	double *text = s->scratch_mem, loss = 0.0;
#pragma omp parallel for schedule(static) if (M * C >= CPU_SERIAL)
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		double sum = 0.0;
		cpu_segment(s->in[HIDDEN_LOSS_STARTS].data, n, M, &first, &last);
		for (int64_t row = first; row < last; row++)
			sum += row_distance(s, x + row * C, t + row * C);
		text[n] = last > first ? token_weight(s, n, last - first) * sum : 0.0;
	}
	for (int64_t n = 0; n < N; n++)
		loss += text[n];
	*(float *)s->out.data = (float)loss;
	return 0;
}

/* d = of_x * x + of_t * t, or added. */
CPU_CLONES static void row_gradient(
    float *d, const float *x, const float *t, float of_x, float of_t, int64_t C, bool add)
{
#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		d[c] = (add ? d[c] : 0.0f) + (of_x * x[c] + of_t * t[c]);
}

/* The same of a difference, which keeps its digits where x is close to t. */
CPU_CLONES static void row_difference(float *d, const float *x, const float *t, float by, int64_t C, bool add)
{
#pragma omp simd
	for (int64_t c = 0; c < C; c++)
		d[c] = (add ? d[c] : 0.0f) + by * (x[c] - t[c]);
}

static void row_backward(const struct call *s, float *d, const float *x, const float *t, double weight)
{
	const int64_t C = s->in[HIDDEN_LOSS_X].shape.dim[1];
	const bool add = s->accumulate[HIDDEN_LOSS_X];
	struct sums r;
	if (s->node->attr.distance == DISTANCE_MSE) {
		row_difference(d, x, t, (float)(2.0 * weight / (double)C), C, add);
		return;
	}
	row_products(&r, x, t, C);
	const bool there = has_direction(&r);
	const double of_x = there ? cosine(&r) / (double)r.xx : 0.0;
	const double of_t = there ? -1.0 / (sqrt((double)r.xx) * sqrt((double)r.tt)) : 0.0;
	row_gradient(d, x, t, (float)(weight * of_x), (float)(weight * of_t), C, add);
}

static void hidden_gradient(struct call *s)
{
	const int64_t N = s->in[HIDDEN_LOSS_WEIGHT].shape.dim[0], M = s->in[HIDDEN_LOSS_X].shape.dim[0];
	const int64_t C = s->in[HIDDEN_LOSS_X].shape.dim[1];
	const float *x = s->in[HIDDEN_LOSS_X].data, *t = s->in[HIDDEN_LOSS_TEACHER].data;
	const int32_t *starts = s->in[HIDDEN_LOSS_STARTS].data;
	const double g = (double)*(const float *)s->dout.data;
	float *d = s->din[HIDDEN_LOSS_X].data;
#pragma omp parallel for schedule(static) if (M * C >= CPU_SERIAL)
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		cpu_segment(starts, n, M, &first, &last);
		const double weight = last > first ? g * token_weight(s, n, last - first) : 0.0;
		for (int64_t row = first; row < last; row++)
			row_backward(s, d + row * C, x + row * C, t + row * C, weight);
	}
	if (!s->accumulate[HIDDEN_LOSS_X])
		cpu_clear_slack(d, cpu_slack(starts, N, M), M, C);
}

static int hidden_backward(struct call *s)
{
	if (s->want[HIDDEN_LOSS_X])
		hidden_gradient(s);
	for (int i = HIDDEN_LOSS_TEACHER; i < s->node->n_in; i++)
		cpu_no_gradient(s, i);
	return 0;
}

const struct kernel cpu_hidden_loss_kernel = {hidden_prepare, NULL, hidden_forward, hidden_backward, NULL};
