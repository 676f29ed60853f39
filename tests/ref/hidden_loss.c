/* What hidden states are apart from a teacher's, token by token (op.h has the formulas). */
#include <math.h>

#include "ref/ref_impl.h"

/* A row that is shorter has no direction. */
#define LEAST_NORM 1e-8

/* One token's rows. */
struct rows {
	double xx, tt, xt, apart; /* sums over the columns of x^2, t^2, x * t and (x - t)^2 */
};

static struct rows rows_of(const struct call *s, int64_t row)
{
	const int64_t C = s->in[HIDDEN_LOSS_X].shape.dim[1];
	struct rows r = {0};
	for (int64_t e = row * C; e < (row + 1) * C; e++) {
		const double x = ref_get(&s->in[HIDDEN_LOSS_X], e), t = ref_get(&s->in[HIDDEN_LOSS_TEACHER], e);
		r.xx += x * x;
		r.tt += t * t;
		r.xt += x * t;
		r.apart += (x - t) * (x - t);
	}
	return r;
}

static double cosine(const struct rows *r)
{
	const double x = sqrt(r->xx), t = sqrt(r->tt);
	return x < LEAST_NORM || t < LEAST_NORM ? 0 : r->xt / (x * t);
}

/* How much a token of sequence n counts. */
static double token_weight(const struct call *s, int64_t n, int64_t first, int64_t last)
{
	return (double)s->node->attr.factor * ref_get(&s->in[HIDDEN_LOSS_WEIGHT], n) / (double)(last - first);
}

int ref_hidden_loss_forward(struct call *s)
{
	const int64_t N = s->in[HIDDEN_LOSS_WEIGHT].shape.dim[0], C = s->in[HIDDEN_LOSS_X].shape.dim[1];
	double loss = 0;
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		ref_segment(s, HIDDEN_LOSS_STARTS, HIDDEN_LOSS_X, n, &first, &last);
		for (int64_t row = first; row < last; row++) {
			const struct rows r = rows_of(s, row);
			const double mse = r.apart / (double)C;
			loss += token_weight(s, n, first, last) *
				(s->node->attr.distance == DISTANCE_MSE ? mse : 1 - cosine(&r));
		}
	}
	ref_set(&s->out, 0, loss);
	return 0;
}

/* d distance / d x, of column x with the teacher's t. */
static double slope(const struct call *s, const struct rows *r, double x, double t)
{
	if (s->node->attr.distance == DISTANCE_MSE)
		return 2 * (x - t) / (double)s->in[HIDDEN_LOSS_X].shape.dim[1];
	if (sqrt(r->xx) < LEAST_NORM || sqrt(r->tt) < LEAST_NORM)
		return 0;
	return cosine(r) * x / r->xx - t / sqrt(r->xx * r->tt);
}

int ref_hidden_loss_backward(struct call *s)
{
	const int64_t N = s->in[HIDDEN_LOSS_WEIGHT].shape.dim[0], C = s->in[HIDDEN_LOSS_X].shape.dim[1];
	const int64_t M = s->in[HIDDEN_LOSS_X].shape.dim[0], slack = ref_slack(s, HIDDEN_LOSS_STARTS);
	const double g = ref_get(&s->dout, 0);
	for (int64_t n = 0; s->want[HIDDEN_LOSS_X] && n < N; n++) {
		int64_t first, last;
		ref_segment(s, HIDDEN_LOSS_STARTS, HIDDEN_LOSS_X, n, &first, &last);
		for (int64_t row = first; row < last; row++) {
			const struct rows r = rows_of(s, row);
			for (int64_t e = row * C; e < (row + 1) * C; e++)
				ref_grad(s, HIDDEN_LOSS_X, e,
				    g * token_weight(s, n, first, last) *
					slope(s, &r, ref_get(&s->in[HIDDEN_LOSS_X], e),
					    ref_get(&s->in[HIDDEN_LOSS_TEACHER], e)));
		}
	}
	for (int64_t e = slack * C; s->want[HIDDEN_LOSS_X] && e < M * C; e++)
		ref_grad(s, HIDDEN_LOSS_X, e, 0);
	for (int i = HIDDEN_LOSS_TEACHER; i < s->node->n_in; i++)
		if (s->want[i])
			ref_grad_none(s, i);
	return 0;
}
