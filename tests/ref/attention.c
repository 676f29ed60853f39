/* Attention of each head within each sequence, with its scores as a matrix; and what drops out of a map. */
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ref/ref_impl.h"

/* One head of one sequence: T rows from `first` on, columns from `column` on. */
struct pair {
	int64_t sequence, first, T, column, D;
	struct rng stream;
	double *p; /* (T,T) probabilities */
	double *m; /* (T,T) their factors by dropout */
	double *g; /* (T,T) gradients of the scores, or of q, k or v */
};

struct rng ref_map_stream(const struct call *s)
{
	if (s->mode != EXEC_TRAIN)
		return (struct rng){{0, 0}};
	return rng_make(s->clock->seed, s->clock->stage, RNG_DROPOUT, s->node->name);
}

double ref_map_factor(const struct call *s, const struct ref_map *m, int64_t i, int64_t j)
{
	const double rate = (double)s->node->attr.rate;
	if (s->mode != EXEC_TRAIN || !(rate > 0))
		return 1;
	const int64_t block = (m->head * m->T + i) * 8 * ((m->T + 31) / 32) + j / 32 * 8 + j % 8;
	const uint64_t sample = s->clock->time->first_sample + (uint64_t)m->sequence;
	const struct rng_words w = rng_draw(m->stream, s->clock->time->step, sample, (uint32_t)block);
	return (double)rng_uniform(w.w[j / 8 % 4]) >= rate ? 1 / (1 - rate) : 0;
}

static int64_t at(const struct call *s, const struct pair *a, int64_t row, int64_t d)
{
	return (a->first + row) * s->out.shape.dim[1] + a->column + d;
}

static double get(const struct call *s, const struct tensor *t, const struct pair *a, int64_t row, int64_t d)
{
	return ref_get(t, at(s, a, row, d));
}

static void probabilities(const struct call *s, struct pair *a)
{
	const struct ref_map map = {a->sequence, a->column / a->D, a->T, a->stream};
	for (int64_t i = 0; i < a->T; i++) {
		double *p = a->p + i * a->T, most = -INFINITY, sum = 0;
		for (int64_t j = 0; j < a->T; j++) {
			p[j] = 0;
			for (int64_t d = 0; d < a->D; d++)
				p[j] += get(s, &s->in[ATTENTION_Q], a, i, d) * get(s, &s->in[ATTENTION_K], a, j, d);
			p[j] /= sqrt((double)a->D);
			most = fmax(most, p[j]);
		}
		for (int64_t j = 0; j < a->T; j++)
			sum += p[j] = exp(p[j] - most);
		for (int64_t j = 0; j < a->T; j++) {
			p[j] /= sum;
			a->m[i * a->T + j] = ref_map_factor(s, &map, i, j);
		}
	}
}

static void attend(const struct call *s, const struct pair *a)
{
	for (int64_t i = 0; i < a->T; i++) {
		for (int64_t d = 0; d < a->D; d++) {
			double sum = 0;
			for (int64_t j = 0; j < a->T; j++)
				sum += a->p[i * a->T + j] * a->m[i * a->T + j] * get(s, &s->in[ATTENTION_V], a, j, d);
			ref_set(&s->out, at(s, a, i, d), sum);
		}
	}
}

/* Of the scores before they are divided by sqrt(D): p * (dp - sum p * dp) / sqrt(D), dp = dout v^T, 0 or more of it by
 * what drops. */
static void score_gradients(const struct call *s, struct pair *a)
{
	for (int64_t i = 0; i < a->T; i++) {
		double *g = a->g + i * a->T, *p = a->p + i * a->T, mean = 0;
		for (int64_t j = 0; j < a->T; j++) {
			g[j] = 0;
			for (int64_t d = 0; d < a->D; d++)
				g[j] += get(s, &s->dout, a, i, d) * get(s, &s->in[ATTENTION_V], a, j, d);
			g[j] *= a->m[i * a->T + j];
			mean += p[j] * g[j];
		}
		for (int64_t j = 0; j < a->T; j++)
			g[j] = p[j] * (g[j] - mean) / sqrt((double)a->D);
	}
}

/* dq_i = sum_j g_ij k_j, dk_i = sum_j g_ji q_j, dv_i = sum_j p_ji dout_j; p as v was weighed with it. */
static void deliver(const struct call *s, const struct pair *a, int input)
{
	const struct tensor *factor = input == ATTENTION_Q ? &s->in[ATTENTION_K] : &s->in[ATTENTION_Q];
	const double *w = input == ATTENTION_V ? a->p : a->g;
	if (input == ATTENTION_V)
		factor = &s->dout;
	for (int64_t i = 0; s->want[input] && i < a->T; i++) {
		for (int64_t d = 0; d < a->D; d++) {
			double sum = 0;
			for (int64_t j = 0; j < a->T; j++)
				sum += w[input == ATTENTION_Q ? i * a->T + j : j * a->T + i] * get(s, factor, a, j, d);
			ref_grad(s, input, at(s, a, i, d), sum);
		}
	}
}

/* Every head of every sequence, forward or backward. */
static int each_pair(const struct call *s, void (*work)(const struct call *s, struct pair *a))
{
	const int64_t N = s->in[ATTENTION_STARTS].shape.dim[0] - 1, H = s->node->attr.heads, M = s->out.shape.dim[0];
	struct pair a = {.D = s->out.shape.dim[1] / H, .stream = ref_map_stream(s)};
	a.p = mem_alloc((size_t)(M * M), sizeof(*a.p));
	a.g = mem_alloc((size_t)(M * M), sizeof(*a.g));
	a.m = mem_alloc((size_t)(M * M), sizeof(*a.m));
	int rc = a.p && a.g && a.m ? 0 : ERR_NOMEM;
	for (int64_t n = 0; !rc && n < N; n++) {
		int64_t last;
		a.sequence = n;
		ref_segment(s, ATTENTION_STARTS, ATTENTION_Q, n, &a.first, &last);
		a.T = last - a.first;
		for (a.column = 0; a.column < H * a.D; a.column += a.D)
			work(s, &a);
	}
	mem_free(a.p);
	mem_free(a.g);
	mem_free(a.m);
	return rc;
}

static void pair_forward(const struct call *s, struct pair *a)
{
	probabilities(s, a);
	attend(s, a);
}

static void pair_backward(const struct call *s, struct pair *a)
{
	probabilities(s, a);
	score_gradients(s, a);
	for (int64_t e = 0; e < a->T * a->T; e++)
		a->p[e] *= a->m[e];
	for (int input = ATTENTION_Q; input <= ATTENTION_V; input++)
		deliver(s, a, input);
}

int ref_attention_forward(struct call *s)
{
	const int64_t C = s->out.shape.dim[1];
	for (int64_t e = ref_slack(s, ATTENTION_STARTS) * C; e < shape_count(s->out.shape); e++)
		ref_set(&s->out, e, 0);
	return each_pair(s, pair_forward);
}

int ref_attention_backward(struct call *s)
{
	const int64_t C = s->out.shape.dim[1];
	for (int input = ATTENTION_Q; input <= ATTENTION_V; input++)
		for (int64_t e = ref_slack(s, ATTENTION_STARTS) * C; s->want[input] && e < shape_count(s->out.shape);
		     e++)
			ref_grad(s, input, e, 0);
	return each_pair(s, pair_backward);
}
