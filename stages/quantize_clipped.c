/* How many values a range has clipped: those whose integer would lie beyond it, from what the annotated graph has
 * computed before it rounded. An integer at the end of its range may be exact, and one that a ReLU made zero is not
 * clipped, so the integers alone do not tell. */
#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/quantize_measure.h"

/* Value `node` of an executor that keeps all; NODE_NONE: *out stays NULL. */
static int read_value(struct executor *ex, int node, float **out)
{
	if (node == NODE_NONE)
		return 0;
	const struct node *n = &executor_graph(ex)->node[node];
	const size_t count = (size_t)shape_count(n->shape);
	*out = mem_alloc(count, sizeof(**out));
	return *out ? executor_output(ex, n->name, *out, count * sizeof(**out)) : ERR_NOMEM;
}

/* Whether rint(t) is beyond the range. */
static bool is_beyond(float t, struct qrange q)
{
	const float whole = rintf(t);
	return whole < (float)q.lo || whole > (float)q.hi;
}

static int of_fake_quant(struct executor *ex, const struct node *n, int64_t count, int64_t *clipped)
{
	float *x = NULL, *step = NULL;
	int rc = read_value(ex, n->in[FAKE_QUANT_X], &x);
	if (!rc)
		rc = read_value(ex, n->in[FAKE_QUANT_STEP], &step);
	for (int64_t i = 0; i < count && !rc; i++)
		*clipped += is_beyond(rintf(x[i] * (1.0f / *step)) + (float)n->attr.q.zero, n->attr.q);
	mem_free(x);
	mem_free(step);
	return rc;
}

/* Inputs of an OP_REQUANT, NULL where there are none. */
struct requant {
	const struct node *node;
	float *in[RQ_COUNT];
	int64_t channels, weights; /* outputs, and weights of each */
	int64_t steps;             /* of weights */
};

static float value_or(const float *v, int64_t i, float absent)
{
	return v ? v[i] : absent;
}

/* z_x * sum of an output channel's integer weights, from the grid values of its weights. */
static int64_t folded_zero(const struct requant *r, int64_t o, float power)
{
	double sum = 0;
	for (int64_t k = 0; r->in[RQ_WQ] && k < r->weights; k++)
		sum += (double)r->in[RQ_WQ][o * r->weights + k];
	return r->node->attr.zero_in * (int64_t)(sum / (double)power);
}

/* Elements o, o + channels, ... before `count`. */
static int64_t of_channel(const struct requant *r, int64_t o, int64_t count)
{
	const struct attr *a = &r->node->attr;
	const float s_w = value_or(r->in[RQ_SW], r->steps > 1 ? o : 0, 1), s_y = *r->in[RQ_SY];
	const float s_x = *r->in[RQ_SX], p_w = r->in[RQ_SW] ? quant_pow2(s_w) : 1, s_r = value_or(r->in[RQ_SR], 0, 1);
	const float one = 1.0f / (quant_pow2(s_x) * p_w), one_r = 1.0f / quant_pow2(s_r), k = quant_residual(s_r, s_y);
	const int64_t off = folded_zero(r, o, p_w);
	const float m = quant_scale(s_x, s_w, s_y, a->count ? a->count : 1);
	const float c = quant_shift(value_or(r->in[RQ_B], o, 0), s_y, m, off, a->q.zero);
	int64_t clipped = 0;
	for (int64_t i = o; i < count; i += r->channels) {
		const float acc = r->in[RQ_ACC][i] * one + (float)off;
		clipped += is_beyond(
		    quant_epilogue(acc, m, c, r->in[RQ_R], value_or(r->in[RQ_R], i, 0) * one_r, k, a->relu, a->q.zero),
		    a->q);
	}
	return clipped;
}

static int of_requant(struct executor *ex, const struct node *n, int64_t count, int64_t *clipped)
{
	const struct graph *g = executor_graph(ex);
	struct requant r = {.node = n, .channels = n->shape.dim[n->shape.ndim - 1]};
	int rc = 0;
	for (int i = 0; i < RQ_COUNT && !rc; i++)
		rc = node_has(n, i) ? read_value(ex, n->in[i], &r.in[i]) : 0;
	r.steps = node_has(n, RQ_SW) ? shape_count(g->node[n->in[RQ_SW]].shape) : 1;
	r.weights = node_has(n, RQ_WQ) ? shape_inner(g->node[n->in[RQ_WQ]].shape, 0) : 0;
	for (int64_t o = 0; o < r.channels && !rc; o++)
		*clipped += of_channel(&r, o, count);
	for (int i = 0; i < RQ_COUNT; i++)
		mem_free(r.in[i]);
	return rc;
}

static int of_fake_gelu(struct executor *ex, const struct node *n, int64_t count, int64_t *clipped)
{
	float *x = NULL, *s_x = NULL, *s_y = NULL;
	int rc = read_value(ex, n->in[FAKE_GELU_X], &x);
	if (!rc)
		rc = read_value(ex, n->in[FAKE_GELU_SX], &s_x);
	if (!rc)
		rc = read_value(ex, n->in[FAKE_GELU_SY], &s_y);
	if (!rc) {
		const struct quant_gelu g = {*s_x, *s_y, n->attr.q_in, n->attr.q, n->attr.gelu_tanh};
		const float p_x = quant_pow2(*s_x);
		bool beyond[256] = {false}; /* of integer q at place q - lo */
		for (int q = g.x.lo; q <= g.x.hi; q++)
			beyond[q - g.x.lo] = !quant_gelu_inside(&g, rint(quant_gelu_t(&g, q)));
		for (int64_t i = 0; i < count; i++)
			*clipped += beyond[(int)(x[i] / p_x) + g.x.zero - g.x.lo];
	}
	mem_free(x);
	mem_free(s_x);
	mem_free(s_y);
	return rc;
}

/* Values of an OP_FAKE_ATTENTION, as integers where they are grid values. */
struct attention {
	float *in[NODE_MAX_IN];
	int8_t *integers[3];
	int32_t *starts, *p;
	float *t;
};

static int to_integers(struct attention *a, int i, int64_t n)
{
	const float p = quant_pow2(*a->in[FAKE_ATTENTION_SQ + i]);
	a->integers[i] = mem_alloc((size_t)n, 1);
	for (int64_t e = 0; a->integers[i] && e < n; e++)
		a->integers[i][e] = (int8_t)(int)(a->in[i][e] / p);
	return a->integers[i] ? 0 : ERR_NOMEM;
}

/* Rows of one sequence and one head. */
static int64_t of_head(const struct attention *a, const struct node *n, int64_t first, int64_t last, int64_t head)
{
	const struct qrange y = n->attr.q;
	const int64_t C = n->shape.dim[1], D = C / n->attr.heads, at = first * C + head * D;
	const struct quant_attention of = {.T = last - first,
	    .D = D,
	    .stride = C,
	    .k = a->integers[1] + at,
	    .v = a->integers[2] + at,
	    .c = quant_score_scale(*a->in[FAKE_ATTENTION_SQ], *a->in[FAKE_ATTENTION_SK], D),
	    .factor = quant_residual(*a->in[FAKE_ATTENTION_SV], *a->in[FAKE_ATTENTION_SY]),
	    .prob_bits = n->attr.prob_bits};
	int64_t clipped = 0;
	for (int64_t i = 0; i < of.T; i++) {
		quant_attention_row(&of, a->integers[0] + at + i * C, a->p, a->t);
		for (int64_t d = 0; d < D; d++)
			clipped += is_beyond(rintf(a->t[d]) + (float)y.zero, y);
	}
	return clipped;
}

static int of_attention(struct executor *ex, const struct node *n, int64_t *clipped)
{
	const struct node *starts = &executor_graph(ex)->node[n->in[FAKE_ATTENTION_STARTS]];
	const int64_t N = starts->shape.dim[0] - 1, values = shape_count(n->shape);
	struct attention a = {0};
	int rc = 0;
	for (int i = 0; i < n->n_in && !rc; i++)
		rc = i == FAKE_ATTENTION_STARTS ? 0 : read_value(ex, n->in[i], &a.in[i]);
	for (int i = 0; i < 3 && !rc; i++)
		rc = to_integers(&a, i, values);
	a.starts = mem_alloc((size_t)N + 1, sizeof(*a.starts));
	a.p = mem_alloc((size_t)n->shape.dim[0], sizeof(*a.p));
	a.t = mem_alloc((size_t)n->shape.dim[1], sizeof(*a.t));
	if (!rc && (!a.starts || !a.p || !a.t))
		rc = ERR_NOMEM;
	if (!rc)
		rc = executor_output(ex, starts->name, a.starts, ((size_t)N + 1) * sizeof(*a.starts));
	for (int64_t i = 0; i < N * n->attr.heads && !rc; i++)
		*clipped +=
		    of_head(&a, n, a.starts[i / n->attr.heads], a.starts[i / n->attr.heads + 1], i % n->attr.heads);
	for (int i = 0; i < NODE_MAX_IN; i++)
		mem_free(a.in[i]);
	for (int i = 0; i < 3; i++)
		mem_free(a.integers[i]);
	mem_free(a.starts);
	mem_free(a.p);
	mem_free(a.t);
	return rc;
}

int quantize_clipped(struct executor *annotated, int node, int64_t count, int64_t *clipped)
{
	const struct node *n = &executor_graph(annotated)->node[node];
	if (n->op == OP_FAKE_QUANT)
		return of_fake_quant(annotated, n, count, clipped);
	if (n->op == OP_FAKE_ATTENTION)
		return of_attention(annotated, n, clipped);
	if (n->op == OP_FAKE_GELU)
		return of_fake_gelu(annotated, n, count, clipped);
	return n->op == OP_REQUANT ? of_requant(annotated, n, count, clipped) : 0;
}
