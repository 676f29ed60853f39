/* Attention between integers and its training twin, whose gradients op.h derives. One row of one head at a time. */
#include <assert.h>

#include "base/mem.h"
#include "quant/arith.h"
#include "ref/ref_impl.h"

/* One head of one sequence, as integers (T, D) of q, k and v, and numbers of a row. */
struct head {
	int64_t T, D, C, at; /* at: of its first value in q, k, v and y */
	struct ref_map map;
	int8_t *q, *k, *v;
	int32_t *p;
	float *t;
	double *u, *stays; /* stays: 0 or 1 by dropout, of each key */
	struct quant_attention a;
};

int ref_score_scale_forward(struct call *s)
{
	ref_set(&s->out, 0,
	    (double)quant_score_scale((float)ref_get(&s->in[0], 0), (float)ref_get(&s->in[1], 0), s->node->attr.count));
	return 0;
}

static void head_release(struct head *h)
{
	mem_free(h->q);
	mem_free(h->k);
	mem_free(h->v);
	mem_free(h->p);
	mem_free(h->t);
	mem_free(h->u);
	mem_free(h->stays);
}

static float step_of(const struct call *s, int i)
{
	return (float)ref_get(&s->in[i], 0);
}

/* P of q, k or v: 1 where they are integers. */
static double power_of(const struct call *s, int i)
{
	return s->node->op == OP_QATTENTION ? 1 : (double)quant_pow2(step_of(s, FAKE_ATTENTION_SQ + i));
}

/* 1/(1-rate), where p drops: the factor has it. */
static float kept(const struct call *s)
{
	return s->mode == EXEC_TRAIN ? 1.0f / (1.0f - s->node->attr.rate) : 1.0f;
}

static void head_init(struct head *h, const struct call *s, int64_t sequence, int64_t first, int64_t last, int64_t head)
{
	const struct attr *a = &s->node->attr;
	*h = (struct head){.T = last - first, .C = s->out.shape.dim[1]};
	h->D = h->C / a->heads;
	h->map = (struct ref_map){sequence, head, h->T, ref_map_stream(s)};
	h->at = first * h->C + head * h->D;
	int8_t **part[] = {&h->q, &h->k, &h->v};
	for (int i = 0; i < 3; i++) {
		*part[i] = mem_alloc((size_t)(h->T * h->D + 1), 1);
		assert(*part[i]);
		for (int64_t e = 0; e < h->T * h->D; e++)
			(*part[i])[e] =
			    (int8_t)rint(ref_get(&s->in[i], h->at + e / h->D * h->C + e % h->D) / power_of(s, i));
	}
	h->p = mem_alloc((size_t)h->T + 1, sizeof(*h->p));
	h->u = mem_alloc((size_t)h->T + 1, sizeof(*h->u));
	h->stays = mem_alloc((size_t)h->T + 1, sizeof(*h->stays));
	h->t = mem_alloc((size_t)h->D, sizeof(*h->t));
	assert(h->p && h->t && h->u && h->stays);
	h->a = (struct quant_attention){
	    .T = h->T, .D = h->D, .stride = h->D, .k = h->k, .v = h->v, .prob_bits = a->prob_bits};
	if (s->node->op == OP_QATTENTION) {
		h->a.c = step_of(s, QATTENTION_SCALE);
		h->a.factor = step_of(s, QATTENTION_FACTOR);
	} else {
		h->a.c = quant_score_scale(step_of(s, FAKE_ATTENTION_SQ), step_of(s, FAKE_ATTENTION_SK), h->D);
		h->a.factor = quant_residual(step_of(s, FAKE_ATTENTION_SV), step_of(s, FAKE_ATTENTION_SY)) * kept(s);
	}
}

/* Row i: h->p, and h->t of what does not drop. Returns S. */
static double row(const struct call *s, const struct head *h, int64_t i)
{
	double S = 0;
	quant_attention_row(&h->a, h->q + i * h->D, h->p, h->t);
	for (int64_t j = 0; j < h->T; j++) {
		S += h->p[j];
		h->stays[j] = ref_map_factor(s, &h->map, i, j) > 0 ? 1 : 0;
		h->p[j] = h->stays[j] > 0 ? h->p[j] : 0;
	}
	for (int64_t d = 0; s->mode == EXEC_TRAIN && d < h->D; d++) {
		int64_t A = 0;
		for (int64_t j = 0; j < h->T; j++)
			A += (int64_t)h->p[j] * h->v[j * h->D + d];
		h->t[d] = (float)A * (h->a.factor / (float)S);
	}
	return S;
}

static int attention_forward(struct call *s, double p_y)
{
	const struct qrange y = s->node->attr.q;
	const int64_t N = s->in[ATTENTION_STARTS].shape.dim[0] - 1;
	const int zero = s->node->op == OP_QATTENTION ? 0 : y.zero;
	for (int64_t e = 0; e < shape_count(s->out.shape); e++)
		ref_set(&s->out, e, y.zero - zero);
	for (int64_t n = 0; n < N; n++) {
		int64_t first, last;
		ref_segment(s, ATTENTION_STARTS, ATTENTION_Q, n, &first, &last);
		for (int64_t k = 0; k < s->node->attr.heads; k++) {
			struct head h;
			head_init(&h, s, n, first, last, k);
			for (int64_t i = 0; i < h.T; i++) {
				row(s, &h, i);
				for (int64_t d = 0; d < h.D; d++)
					ref_set(&s->out, h.at + i * h.C + d,
					    (double)(quant_attention_round(h.t[d], y) - zero) * p_y);
			}
			head_release(&h);
		}
	}
	return 0;
}

int ref_qattention_forward(struct call *s)
{
	return attention_forward(s, 1);
}

int ref_fake_attention_forward(struct call *s)
{
	return attention_forward(s, (double)quant_pow2(step_of(s, FAKE_ATTENTION_SY)));
}

/* What the gradients of all inputs are gathered in, and the sums for c, k and s_y. */
struct back {
	double *d[3]; /* of q, k, v as integers (M,C) */
	double c, factor, s_y;
};

/* Row i: h->p and h->t are those of the row; S is of all keys. */
static void row_back(const struct call *s, const struct head *h, int64_t i, double S, struct back *b)
{
	const struct qrange y = s->node->attr.q;
	const double p_y = (double)quant_pow2(step_of(s, FAKE_ATTENTION_SY)),
		     s_y = (double)step_of(s, FAKE_ATTENTION_SY);
	const int8_t *q = h->q + i * h->D;
	double of_all = 0;
	int64_t largest = 0, most = INT64_MIN, score[4096];
	assert(h->T <= 4096);
	for (int64_t j = 0; j < h->T; j++) {
		score[j] = 0;
		for (int64_t d = 0; d < h->D; d++)
			score[j] += q[d] * h->k[j * h->D + d];
		largest = score[j] > most ? j : largest;
		most = score[j] > most ? score[j] : most;
		h->u[j] = 0;
	}
	for (int64_t d = 0; d < h->D; d++) {
		const int64_t e = h->at + i * h->C + d;
		const double t = (double)h->t[d], w = (double)h->a.factor / S;
		const bool inside = t >= y.lo - y.zero && t <= y.hi - y.zero;
		const double g = inside ? ref_get(&s->dout, e) * p_y : 0;
		double A = 0;
		for (int64_t j = 0; j < h->T; j++)
			A += (double)h->p[j] * h->v[j * h->D + d];
		for (int64_t j = 0; j < h->T; j++) {
			h->u[j] += g * w * (h->stays[j] * h->v[j * h->D + d] - A / S);
			b->d[2][h->at + j * h->C + d] += g * w * h->p[j];
		}
		b->factor += g * A / S * (double)kept(s);
		b->s_y -= g * A * w / s_y;
	}
	for (int64_t j = 0; j < h->T; j++) {
		const float x = quant_exponent(score[j] - most, h->a.c, h->a.prob_bits);
		h->u[j] *= x > QUANT_LEAST ? M_LN2 * (double)quant_exp2(x) : 0;
		of_all += h->u[j];
		b->c += h->u[j] * (double)(score[j] - most);
	}
	for (int64_t j = 0; j < h->T; j++) {
		const double da = (double)h->a.c * (h->u[j] - (j == largest ? of_all : 0));
		for (int64_t d = 0; d < h->D; d++) {
			b->d[0][h->at + i * h->C + d] += da * h->k[j * h->D + d];
			b->d[1][h->at + j * h->C + d] += da * q[d];
		}
	}
}

int ref_fake_attention_backward(struct call *s)
{
	const int64_t N = s->in[ATTENTION_STARTS].shape.dim[0] - 1, n = shape_count(s->out.shape);
	struct back b = {0};
	for (int i = 0; i < 3; i++) {
		b.d[i] = mem_alloc((size_t)n, sizeof(double));
		assert(b.d[i]);
	}
	for (int64_t q = 0; q < N; q++) {
		int64_t first, last;
		ref_segment(s, ATTENTION_STARTS, ATTENTION_Q, q, &first, &last);
		for (int64_t k = 0; k < s->node->attr.heads; k++) {
			struct head h;
			head_init(&h, s, q, first, last, k);
			for (int64_t i = 0; i < h.T; i++) {
				row_back(s, &h, i, row(s, &h, i), &b);
			}
			head_release(&h);
		}
	}
	const int64_t D = s->out.shape.dim[1] / s->node->attr.heads;
	const double s_q = (double)step_of(s, FAKE_ATTENTION_SQ), s_k = (double)step_of(s, FAKE_ATTENTION_SK);
	const double s_y = (double)step_of(s, FAKE_ATTENTION_SY), per_c = M_LOG2E / sqrt((double)D);
	const double of_step[] = {b.c * s_k * per_c, b.c * s_q * per_c, b.factor / s_y, b.s_y};
	for (int i = 0; i < 3; i++) {
		for (int64_t e = 0; s->want[i] && e < n; e++)
			ref_grad(s, i, e, b.d[i][e] / power_of(s, i));
		mem_free(b.d[i]);
	}
	for (int i = 0; i < 4; i++)
		if (s->want[FAKE_ATTENTION_SQ + i])
			ref_grad(s, FAKE_ATTENTION_SQ + i, 0, of_step[i]);
	return 0;
}
