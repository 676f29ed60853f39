/* Every backward of the reference against central differences of its forward, in double throughout (REF_F64): what is
 * left is the truncation error, so the tolerance is tight. Quantizing ops step: for them the function that is
 * differentiated is written down here again, with rounding offsets, clamps and ReLU masks frozen, as ref.h defines it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ops/op_cases.h"
#include "quant/arith.h"
#include "ref/ref.h"

#define H       1e-6
#define TOL     1e-6 /* of the largest gradient of the tensor */
#define SAMPLES 24   /* elements tried per input */
#define LARGEST 3000 /* elements of an input; larger cases add time, not insight */

static const struct device ref = {.backend = &ref_backend};

static double output_loss(const struct op_step *o, const struct op_host *h)
{
	const double *y = o->s.out.data;
	double sum = 0;
	for (int64_t e = 0; e < shape_count(o->s.out.shape); e++)
		sum += (double)h->dout[e] * y[e];
	return sum;
}

static double forward_loss(struct op_step *o, const struct op_host *h)
{
	assert_int_equal(op_step_forward(o), 0);
	return output_loss(o, h);
}

/* t of requant or fake_quant, unrounded, for output element e; P: the powers of two at the point of expansion. */
struct powers {
	double acc[512], y, r; /* acc: by channel or step */
};

static double at(const struct op_step *o, int i, int64_t e)
{
	const double *v = o->s.in[i].data;
	return v[shape_count(o->s.in[i].shape) == 1 ? 0 : e];
}

static double p_of(double step)
{
	return (double)quant_pow2((float)step);
}

static double fake_quant_t(const struct op_step *o, int64_t e)
{
	int64_t per_step = shape_count(o->s.out.shape) / shape_count(o->s.in[1].shape);
	return at(o, 0, e) / at(o, 1, e / per_step) + o->s.node->attr.q.zero;
}

static double requant_t(const struct op_step *o, const struct powers *p, int64_t e)
{
	const struct call *s = &o->s;
	const struct attr *a = &s->node->attr;
	int64_t c = e % s->out.shape.dim[s->out.shape.ndim - 1];
	double m = at(o, RQ_SX, 0) * (s->has_in[RQ_SW] ? at(o, RQ_SW, c) : 1) / (a->count ? (double)a->count : 1);
	double v = at(o, RQ_ACC, e) / p->acc[c] * m + (s->has_in[RQ_B] ? at(o, RQ_B, c) : 0);
	if (s->has_in[RQ_R])
		v += at(o, RQ_R, e) / p->r * at(o, RQ_SR, 0);
	return s->has_in[RQ_SY] ? v / at(o, RQ_SY, 0) + a->q.zero : v;
}

static double gelu(double x, bool by_tanh)
{
	return by_tanh ? x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2
		       : x * (1 + erf(x * M_SQRT1_2)) / 2;
}

static double fake_gelu_t(const struct op_step *o, const struct powers *p, int64_t e)
{
	const struct attr *a = &o->s.node->attr;
	double v = at(o, FAKE_GELU_X, e) / p->acc[0] * at(o, FAKE_GELU_SX, 0);
	return gelu(v, a->gelu_tanh) / at(o, FAKE_GELU_SY, 0) + a->q.zero;
}

static double t_of(const struct op_step *o, const struct powers *p, int64_t e)
{
	switch (o->s.node->op) {
	case OP_FAKE_QUANT:
		return fake_quant_t(o, e);
	case OP_FAKE_GELU:
		return fake_gelu_t(o, p, e);
	default:
		return requant_t(o, p, e);
	}
}

static struct powers powers_of(const struct op_step *o)
{
	const struct call *s = &o->s;
	struct powers p = {.y = 1, .r = 1};
	if (s->node->op == OP_FAKE_GELU) {
		p.acc[0] = p_of(at(o, FAKE_GELU_SX, 0));
		p.y = p_of(at(o, FAKE_GELU_SY, 0));
		return p;
	}
	assert_true(s->out.shape.dim[s->out.shape.ndim - 1] <= (int64_t)(sizeof(p.acc) / sizeof(p.acc[0])));
	if (s->node->op == OP_FAKE_QUANT) {
		for (int64_t i = 0; i < shape_count(s->in[1].shape); i++)
			p.acc[i] = p_of(at(o, 1, i));
		return p;
	}
	for (int64_t c = 0; c < s->out.shape.dim[s->out.shape.ndim - 1]; c++)
		p.acc[c] = p_of(at(o, RQ_SX, 0)) * (s->has_in[RQ_SW] ? p_of(at(o, RQ_SW, c)) : 1);
	if (s->has_in[RQ_SY])
		p.y = p_of(at(o, RQ_SY, 0));
	if (s->has_in[RQ_R])
		p.r = p_of(at(o, RQ_SR, 0));
	return p;
}

/* The loss with everything frozen: elements that `inside` leaves out are constants and do not matter here. */
static double frozen_loss(const struct op_step *o, const struct op_host *h, const struct powers *p, const bool *inside)
{
	const struct call *s = &o->s;
	int64_t n = shape_count(s->out.shape), per_step = n;
	double sum = 0;
	if (s->node->op == OP_FAKE_QUANT)
		per_step = n / shape_count(s->in[1].shape);
	for (int64_t e = 0; e < n; e++) {
		if (!inside[e])
			continue;
		bool fq = s->node->op == OP_FAKE_QUANT;
		double t = t_of(o, p, e);
		sum += (double)h->dout[e] * t * (fq ? p->acc[e / per_step] : p->y);
	}
	return sum;
}

static void mark_inside(const struct op_step *o, const struct powers *p, bool *inside)
{
	const struct call *s = &o->s;
	const struct attr *a = &s->node->attr;
	bool rounded = s->node->op != OP_REQUANT || s->has_in[RQ_SY];
	for (int64_t e = 0; e < shape_count(s->out.shape); e++) {
		double t = t_of(o, p, e);
		inside[e] = !rounded || (t >= a->q.lo && t <= a->q.hi);
		if (a->relu && t <= a->q.zero)
			inside[e] = false;
	}
}

/* Central difference by element e of input i; *noise: what rounding of the loss alone makes of it. */
static double difference(struct op_step *o, const struct op_host *h, int i, int64_t e, const struct powers *p,
    const bool *inside, double *noise)
{
	double *x = (double *)o->s.in[i].data + e, x0 = *x, step = H * fmax(fabs(x0), 1e-2), loss[2];
	for (int k = 0; k < 2; k++) {
		*x = k ? x0 - step : x0 + step;
		loss[k] = inside ? frozen_loss(o, h, p, inside) : forward_loss(o, h);
	}
	*x = x0;
	/* A divergence is a sum of terms of both signs, whose size is about that of their weights. */
	const double terms = o->s.node->op == OP_ATTENTION_LOSS && o->s.node->attr.distance == DISTANCE_KL ? 1 : 0;
	*noise = 8 * DBL_EPSILON * fmax(terms, fmax(fabs(loss[0]), fabs(loss[1]))) / step;
	return (loss[0] - loss[1]) / (2 * step);
}

/* A row of zeros has no direction, so that a cosine jumps there: its gradient is 0 by definition. */
static bool has_no_direction(const struct op_step *o, int i, int64_t e)
{
	if (o->s.node->op != OP_HIDDEN_LOSS || o->s.node->attr.distance != DISTANCE_COSINE || i != HIDDEN_LOSS_X)
		return false;
	const int64_t C = o->s.in[i].shape.dim[1];
	const double *row = (const double *)o->s.in[i].data + e / C * C;
	for (int64_t c = 0; c < C; c++)
		if (row[c] != 0)
			return false;
	return ((const double *)o->s.din[i].data)[e] == 0;
}

static void check_input(struct op_step *o, const struct op_host *h, int i, const struct powers *p, const bool *inside)
{
	int64_t n = shape_count(o->s.in[i].shape), stride = n > SAMPLES ? n / SAMPLES : 1;
	const double *g = o->s.din[i].data;
	double largest = 1e-3;
	for (int64_t e = 0; e < n; e++)
		largest = fmax(largest, fabs(g[e]));
	for (int64_t e = 0; e < n; e += stride) {
		if (has_no_direction(o, i, e))
			continue;
		double noise, d = difference(o, h, i, e, p, inside, &noise);
		if (!(fabs(d - g[e]) <= TOL * largest + noise))
			fail_msg("input %d[%d]: backward %.12g, differences %.12g", i, (int)e, g[e], d);
	}
}

/* Inputs whose gradient is by definition something else than the derivative. */
static bool by_definition(enum op op, int i)
{
	return (op == OP_BATCHNORM && i >= 3) || (op == OP_CE_LOSS && i == 2) ||
	       (op == OP_KD_LOSS && (i == 1 || i == 3)) || ((op == OP_BCE_LOSS || op == OP_KD_BCE_LOSS) && i > 0) ||
	       (op == OP_HIDDEN_LOSS && i != HIDDEN_LOSS_X) || (op == OP_ATTENTION_LOSS && i > ATTENTION_LOSS_K) ||
	       (op == OP_RELATION_LOSS && i > RELATION_LOSS_V) || (op == OP_REQUANT && i == RQ_WQ);
}

static void check_case(const struct op_case *c)
{
	bool steps = c->op == OP_FAKE_QUANT || c->op == OP_REQUANT || c->op == OP_FAKE_GELU, *inside = NULL;
	struct op_host h;
	struct op_step o;
	struct powers p = {.y = 1};
	assert_int_equal(op_host_fill(&h, c), 0);
	assert_int_equal(op_step_open(&o, ref, c, &h, (struct op_options){.want = op_case_wants(c), .wide = true}), 0);
	forward_loss(&o, &h);
	assert_int_equal(op_step_backward(&o, &h), 0);
	if (steps) {
		inside = mem_alloc((size_t)shape_count(o.s.out.shape), sizeof(*inside));
		assert_non_null(inside);
		p = powers_of(&o);
		mark_inside(&o, &p, inside);
	}
	for (int i = 0; i < c->n_in; i++)
		if (o.s.want[i] && !by_definition(c->op, i))
			check_input(&o, &h, i, &p, inside);
	mem_free(inside);
	op_step_close(&o);
	op_host_clear(&h);
}

static void check_op(enum op op)
{
	struct op_list l = {0};
	int checked = 0;
	op_cases_float(&l);
	op_cases_tokens(&l);
	op_cases_quantize(&l);
	assert_false(l.failed);
	for (int i = 0; i < l.n; i++) {
		const struct op_case *c = &l.item[i];
		bool small = true;
		for (int k = 0; k < c->n_in; k++)
			small = small && (!c->in[k].present || shape_count(c->in[k].shape) <= LARGEST);
		/* two equal maxima of a window have no derivative; ties are in the known answers */
		if (c->op != op || c->mode != EXEC_TRAIN || !small || strstr(c->name, "ties"))
			continue;
		check_case(c);
		checked++;
	}
	op_list_clear(&l);
	assert_true(checked > 0);
}

static void ref__backward_is_the_derivative_of_forward(void **state)
{
	check_op(*(const enum op *)*state);
}

int main(void)
{
	static enum op ops[] = {OP_LINEAR, OP_CONV2D, OP_BATCHNORM, OP_MAXPOOL, OP_AVGPOOL, OP_ADD, OP_DROPOUT, OP_GELU,
	    OP_TANH, OP_LAYERNORM, OP_EMBEDDING, OP_POSITION, OP_ATTENTION, OP_SEGMENT_MEAN, OP_SEGMENT_FIRST,
	    OP_CE_LOSS, OP_KD_LOSS, OP_BCE_LOSS, OP_KD_BCE_LOSS, OP_HIDDEN_LOSS, OP_ATTENTION_LOSS, OP_RELATION_LOSS,
	    OP_FOLD_WEIGHT, OP_FOLD_BIAS, OP_FAKE_QUANT, OP_REQUANT, OP_DEQUANT, OP_FAKE_GELU};
	struct CMUnitTest tests[sizeof(ops) / sizeof(ops[0])] = {0};
	size_t n = sizeof(ops) / sizeof(ops[0]);
	for (size_t i = 0; i < n; i++) {
		tests[i].name = op_info(ops[i])->name;
		tests[i].test_func = ref__backward_is_the_derivative_of_forward;
		tests[i].initial_state = &ops[i];
	}
	return _cmocka_run_group_tests("gradients", tests, n, NULL, NULL);
}
