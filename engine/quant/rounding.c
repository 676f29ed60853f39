/* AdaRound; see rounding.h. Sixteen channels at a time: what belongs to a weight is an array (K, 16), so that sums over
 * rows and inputs run in the lanes of a vector, in the same order whatever the vector's width is. */
#include "quant/rounding.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/arith.h"

#define LANES      16
#define PULL       1.0f
#define STRETCH    1.2f
#define LOW        (-0.1f)
#define BETA_FIRST 20
#define BETA_LAST  2
#define WARM       0.2
#define RATE       0.01f
#define BETA1      0.9f
#define BETA2      0.999f
#define EPSILON    1e-8f

/* Wider vectors where the processor has them; without fused multiply-adds (-ffp-contract=off) the bits are the same. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&               \
    !defined(__SANITIZE_THREAD__)
#define VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORIZED
#endif

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

/* Sixteen channels while they are learned; (K) lanes each. */
struct block {
	const struct rounding *r;
	const uint32_t *order;           /* (iterations * ROUNDING_ROWS) rows */
	int64_t first, n;                /* channels */
	lanes *w;                        /* the weights in use, real units */
	lanes *base, *h, *v, *m, *s, *g; /* the lower integer or that of a weight that stays; h; V; moments; gradient */
	float span;                      /* from the lower integer to the upper one: 1, of 1 bit 2 */
	lanes *frozen;                   /* 1: stays */
	lanes bias, step, inverse;       /* inverse: of the nearest integers' error, 0 where a channel is not learned */
};

/* ---- products ---- */

/* out: (rows) lanes: x w + bias. */
VECTORIZED static void forward(
    const float *const *x, int rows, int64_t K, const lanes *w, const lanes *bias, lanes *out)
{
	int i = 0;
	for (; i + 4 <= rows; i += 4) {
		lanes a = *bias, b = a, c = a, d = a;
		for (int64_t k = 0; k < K; k++) {
			a += x[i][k] * w[k];
			b += x[i + 1][k] * w[k];
			c += x[i + 2][k] * w[k];
			d += x[i + 3][k] * w[k];
		}
		out[i] = a;
		out[i + 1] = b;
		out[i + 2] = c;
		out[i + 3] = d;
	}
	for (; i < rows; i++) {
		lanes a = *bias;
		for (int64_t k = 0; k < K; k++)
			a += x[i][k] * w[k];
		out[i] = a;
	}
}

/* g (K) lanes += x^T e. */
VECTORIZED static void gradient(const float *const *x, int rows, int64_t K, const lanes *e, lanes *g)
{
	for (int i = 0; i + 4 <= rows; i += 4)
		for (int64_t k = 0; k < K; k++)
			g[k] += (x[i][k] * e[i] + x[i + 1][k] * e[i + 1]) +
				(x[i + 2][k] * e[i + 2] + x[i + 3][k] * e[i + 3]);
}

/* ---- errors ---- */

static float target(const struct rounding *r, int64_t row, int64_t channel)
{
	return r->y[row * r->O + channel];
}

/* Sums of squared errors of the weights in use over all rows, per channel. */
static void errors_of(const struct block *b, double sum[LANES])
{
	const struct rounding *r = b->r;
	for (int c = 0; c < LANES; c++)
		sum[c] = 0;
	for (int64_t row = 0; row < r->N; row += 4) {
		const int rows = r->N - row < 4 ? (int)(r->N - row) : 4;
		const float *x[4];
		lanes out[4];
		for (int i = 0; i < rows; i++)
			x[i] = r->x + (row + i) * r->K;
		forward(x, rows, r->K, b->w, &b->bias, out);
		for (int i = 0; i < rows; i++)
			for (int c = 0; c < b->n; c++) {
				float t = r->relu ? fmaxf(out[i][c], 0) : out[i][c];
				double e = (double)t - (double)target(r, row + i, b->first + c);
				sum[c] += e * e;
			}
	}
}

/* ---- one iteration ---- */

static void soften(struct block *b)
{
	for (int64_t k = 0; k < b->r->K; k++) {
		for (int c = 0; c < b->n; c++) {
			const float h = STRETCH / (1 + expf(-b->v[k][c])) + LOW;
			b->h[k][c] = b->frozen[k][c] > 0 ? 0 : fminf(fmaxf(h, 0), 1);
		}
		b->w[k] = (b->base[k] + b->span * b->h[k]) * b->step;
	}
}

/* d/dh of 1 - |2h - 1|^beta, without the sign: 2 beta |2h - 1|^(beta - 1). */
static float slope(float h, int beta)
{
	const float a = fabsf(2 * h - 1);
	float p = 1;
	for (int i = 1; i < beta; i++)
		p *= a;
	return 2 * (float)beta * p;
}

/* beta 0: without the second term. t: counts from 1. */
static void update(struct block *b, int beta, int64_t t)
{
	const float pull = PULL / (float)b->r->K;
	const float rate = RATE * sqrtf(1 - powf(BETA2, (float)t)) / (1 - powf(BETA1, (float)t));
	for (int64_t k = 0; k < b->r->K; k++)
		for (int c = 0; c < b->n; c++) {
			const float h = b->h[k][c];
			if (b->frozen[k][c] > 0 || !(b->inverse[c] > 0))
				continue;
			float g = b->g[k][c] * b->step[c] * b->span;
			if (beta)
				g += h > 0.5f ? -pull * slope(h, beta) : pull * slope(h, beta);
			/* The slope of h, 0 where it is clipped. */
			const float sigmoid = (h - LOW) / STRETCH;
			g *= h > 0 && h < 1 ? STRETCH * sigmoid * (1 - sigmoid) : 0;
			b->m[k][c] = BETA1 * b->m[k][c] + (1 - BETA1) * g;
			b->s[k][c] = BETA2 * b->s[k][c] + (1 - BETA2) * g * g;
			b->v[k][c] -= rate * b->m[k][c] / (sqrtf(b->s[k][c]) + EPSILON);
		}
}

static void iterate(struct block *b, int64_t t)
{
	const struct rounding *r = b->r;
	const uint32_t *rows = b->order + t * ROUNDING_ROWS;
	const float *x[ROUNDING_ROWS];
	lanes out[ROUNDING_ROWS];
	for (int i = 0; i < ROUNDING_ROWS; i++)
		x[i] = r->x + (int64_t)rows[i] * r->K;
	soften(b);
	forward(x, ROUNDING_ROWS, r->K, b->w, &b->bias, out);
	for (int i = 0; i < ROUNDING_ROWS; i++) {
		lanes e = {0};
		for (int c = 0; c < b->n; c++) {
			const float z = r->relu ? fmaxf(out[i][c], 0) : out[i][c];
			e[c] = r->relu && !(out[i][c] > 0) ? 0 : z - target(r, rows[i], b->first + c);
		}
		out[i] = e * b->inverse * (2.0f / ROUNDING_ROWS);
	}
	memset(b->g, 0, (size_t)r->K * sizeof(*b->g));
	gradient(x, ROUNDING_ROWS, r->K, out, b->g);
	const double done = (double)t / (double)r->iterations;
	const int span = BETA_FIRST - BETA_LAST;
	update(b, done < WARM ? 0 : BETA_FIRST - (int)(span * (done - WARM) / (1 - WARM) + 0.5), t + 1);
}

/* ---- a block ---- */

static void begin_weight(struct block *b, int64_t k, int c)
{
	const struct rounding *r = b->r;
	const float w = r->w[(b->first + c) * r->K + k], step = b->step[c], q = w / step;
	const float nearest = (float)quant_round(w, step, r->q), down = qrange_is_binary(r->q) ? -1 : floorf(q);
	/* Integers at the end of the range and beyond, and what lies on an integer, zeros above all, have no choice. */
	const bool stays = down < (float)r->q.lo || !(q < (float)r->q.hi) || !(q > down);
	b->frozen[k][c] = stays ? 1 : 0;
	b->base[k][c] = stays ? nearest : down;
	b->w[k][c] = nearest * step;
	if (!stays) {
		const float sigmoid = ((q - down) / b->span - LOW) / STRETCH;
		b->v[k][c] = logf(sigmoid / (1 - sigmoid));
	}
}

static void begin(struct block *b, double nearest[LANES])
{
	const struct rounding *r = b->r;
	size_t bytes = (size_t)r->K * sizeof(lanes);
	lanes *const all[] = {b->w, b->base, b->h, b->v, b->m, b->s, b->frozen};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		memset(all[i], 0, bytes);
	b->bias = b->step = b->inverse = (lanes){0};
	for (int c = 0; c < b->n; c++) {
		b->bias[c] = r->bias ? r->bias[b->first + c] : 0;
		b->step[c] = r->steps[b->first + c];
		for (int64_t k = 0; k < r->K; k++)
			begin_weight(b, k, c);
	}
	errors_of(b, nearest);
	for (int c = 0; c < b->n; c++) {
		const float inverse = (float)((double)r->N / nearest[c]);
		b->inverse[c] = nearest[c] > 0 && isfinite(inverse) ? inverse : 0;
	}
}

/* The integers that h has come to, or the nearest ones where those are better. */
static void finish(struct block *b, const double nearest[LANES], int8_t *out, double *learned, int64_t *changed)
{
	const struct rounding *r = b->r;
	double error[LANES];
	for (int64_t k = 0; k < r->K; k++)
		for (int c = 0; c < b->n; c++)
			b->w[k][c] = (b->base[k][c] + (b->h[k][c] >= 0.5f ? b->span : 0.0f)) * b->step[c];
	errors_of(b, error);
	*learned = 0;
	*changed = 0;
	for (int c = 0; c < b->n; c++) {
		const bool better = b->inverse[c] > 0 && error[c] < nearest[c];
		*learned += better ? error[c] : nearest[c];
		for (int64_t k = 0; k < r->K; k++) {
			const int64_t at = (b->first + c) * r->K + k;
			const int near = quant_round(r->w[at], b->step[c], r->q);
			const int q = better ? (int)(b->base[k][c] + (b->h[k][c] >= 0.5f ? b->span : 0.0f)) : near;
			out[at] = (int8_t)q;
			*changed += q != near;
		}
	}
}

struct partial {
	double nearest, learned;
	int64_t changed;
};

static bool stopped(const struct rounding *r)
{
	return r->stop && *r->stop;
}

static void learn_block(struct block *b, int8_t *out, struct partial *p)
{
	double nearest[LANES];
	begin(b, nearest);
	for (int64_t t = 0; t < b->r->iterations && !stopped(b->r); t++)
		iterate(b, t);
	soften(b);
	finish(b, nearest, out, &p->learned, &p->changed);
	p->nearest = 0;
	for (int c = 0; c < b->n; c++)
		p->nearest += nearest[c];
}

/* ---- all ---- */

#define ARRAYS 8 /* (K) lanes of a block */

static int block_alloc(struct block *b, int64_t K)
{
	lanes *all = mem_alloc_aligned(ARRAYS * (size_t)K * sizeof(lanes));
	if (!all)
		return ERR_NOMEM;
	lanes **const to[ARRAYS] = {&b->w, &b->base, &b->h, &b->v, &b->m, &b->s, &b->g, &b->frozen};
	for (int i = 0; i < ARRAYS; i++)
		*to[i] = all + i * K;
	return 0;
}

/* Passes over the rows, each in another order. */
static int make_order(const struct rounding *r, uint32_t **out)
{
	const int64_t n = r->iterations * ROUNDING_ROWS;
	uint32_t *perm = mem_alloc((size_t)r->N, sizeof(*perm));
	*out = mem_alloc((size_t)n, sizeof(**out));
	const int rc = perm && *out ? 0 : ERR_NOMEM;
	for (int64_t i = 0; !rc && i < n; i++) {
		if (i % r->N == 0)
			rng_permutation(r->rng, (uint64_t)(i / r->N), perm, (uint32_t)r->N);
		(*out)[i] = perm[i % r->N];
	}
	mem_free(perm);
	return rc;
}

static void learn_all(const struct rounding *r, struct block *of, const uint32_t *order, int8_t *out, struct partial *p)
{
	const int64_t blocks = (r->O + LANES - 1) / LANES;
#pragma omp parallel for schedule(dynamic, 1)
	for (int64_t i = 0; i < blocks; i++) {
		struct block *b = &of[omp_get_thread_num()];
		b->r = r;
		b->order = order;
		b->first = i * LANES;
		b->n = r->O - b->first < LANES ? r->O - b->first : LANES;
		b->span = qrange_is_binary(r->q) ? 2 : 1;
		learn_block(b, out, &p[i]);
	}
}

int rounding_learn(const struct rounding *r, int8_t *out, struct rounding_errors *errors)
{
	const int threads = omp_get_max_threads();
	const int64_t blocks = (r->O + LANES - 1) / LANES;
	struct block *of = mem_alloc_aligned((size_t)threads * sizeof(*of));
	struct partial *p = mem_alloc((size_t)blocks, sizeof(*p));
	uint32_t *order = NULL;
	int rc = of && p ? make_order(r, &order) : ERR_NOMEM;
	for (int i = 0; !rc && i < threads; i++)
		rc = block_alloc(&of[i], r->K);
	if (!rc)
		learn_all(r, of, order, out, p);
	if (!rc && stopped(r))
		rc = err_set(ERR_INTERRUPTED, "interrupted while rounding is learned");
	*errors = (struct rounding_errors){0};
	for (int64_t i = 0; !rc && i < blocks; i++) {
		errors->nearest += p[i].nearest;
		errors->learned += p[i].learned;
		errors->changed += p[i].changed;
	}
	for (int i = 0; of && i < threads; i++)
		mem_free(of[i].w);
	mem_free(of);
	mem_free(p);
	mem_free(order);
	return rc;
}

size_t rounding_bytes(int64_t O, int64_t K, int64_t iterations, int threads)
{
	return (size_t)threads * (size_t)ARRAYS * (size_t)K * sizeof(lanes) +
	       (size_t)iterations * ROUNDING_ROWS * sizeof(uint32_t) + (size_t)(O * K);
}
