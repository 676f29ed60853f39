/* AdaRound; see rounding.h. Sixteen channels at a time: what belongs to a weight is an array (K, 16), so that sums over
 * rows and inputs run in the lanes of a vector, in the same order whatever the vector's width is. */
#include "quant/rounding.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
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
#define TRAVEL     3.0f /* the least sum of rates: V begins within 2.4 of 0 */
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
typedef int32_t whole_lanes __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef double wide_lanes __attribute__((vector_size(LANES * sizeof(double))));

/* Sixteen channels while they are learned; (K) lanes each. */
struct block {
	const struct rounding *r;
	const uint32_t *order;           /* (iterations * ROUNDING_ROWS) rows */
	int64_t first, n;                /* channels */
	lanes *w;                        /* the weights in use, real units */
	lanes *base, *h, *v, *m, *s, *g; /* the lower integer or that of a weight that stays; h; V; moments; gradient */
	float span;                      /* from the lower integer to the upper one: 1, of 1 bit 2 */
	lanes *moves;                    /* 1; of a weight that stays 0 */
	lanes bias, step, inverse;       /* inverse: of the nearest integers' error, 0 where a channel is not learned */
};

/* ---- lanes ---- */

/* Inlined into each version, for a vector's registers differ between them. */
#define INLINED static inline __attribute__((always_inline))

/* x where the mask is set, else 0. */
INLINED void keep(lanes *x, const whole_lanes *mask)
{
	*x = (lanes)((whole_lanes)*x & *mask);
}

INLINED void clip(lanes *x)
{
	const whole_lanes positive = *x > 0, above = *x > 1;
	keep(x, &positive);
	*x = (lanes)(((whole_lanes)*x & ~above) | ((whole_lanes)((lanes){0} + 1) & above));
}

/* Becomes e^x, for |x| < 87, within a few units of the last place: 2^n e^r with r within half of ln 2 around 0. */
INLINED void exponential(lanes *x)
{
	const float magic = 12582912; /* 1.5 * 2^23: sums with it are whole numbers */
	const lanes shifted = *x * 1.44269504F + magic, n = shifted - magic;
	const lanes r = (*x - n * 0.693145752F) - n * 1.42860677e-6F;
	lanes p = r * (1.0F / 720) + 1.0F / 120;
	p = p * r + 1.0F / 24;
	p = p * r + 1.0F / 6;
	p = p * r + 0.5F;
	p = (p * r + 1) * r + 1;
	const whole_lanes power = (__builtin_convertvector(n, whole_lanes) + 127) << 23;
	*x = p * (lanes)power;
}

/* ---- products ---- */

#define TOGETHER 8 /* rows that share a load of what belongs to a weight */

/* out: (rows) lanes: x w + bias. */
VECTORIZED static void forward(
    const float *const *x, int rows, int64_t K, const lanes *w, const lanes *bias, lanes *out)
{
	int i = 0;
	for (; i + TOGETHER <= rows; i += TOGETHER) {
		lanes a[TOGETHER];
		for (int j = 0; j < TOGETHER; j++)
			a[j] = *bias;
		for (int64_t k = 0; k < K; k++)
			for (int j = 0; j < TOGETHER; j++)
				a[j] += x[i + j][k] * w[k];
		for (int j = 0; j < TOGETHER; j++)
			out[i + j] = a[j];
	}
	for (; i < rows; i++) {
		lanes a = *bias;
		for (int64_t k = 0; k < K; k++)
			a += x[i][k] * w[k];
		out[i] = a;
	}
}

/* g (K) lanes = x^T e. */
VECTORIZED static void gradient(const float *const *x, int64_t K, const lanes *e, lanes *g)
{
	for (int i = 0; i < ROUNDING_ROWS; i += TOGETHER)
		for (int64_t k = 0; k < K; k++) {
			lanes a = x[i][k] * e[i];
			for (int j = 1; j < TOGETHER; j++)
				a += x[i + j][k] * e[i + j];
			g[k] = i ? g[k] + a : a;
		}
}

/* ---- errors ---- */

/* Of a row whose products are in *z: what the layer gives less what it should. The mask says where a change of the
 * product changes that: not where a ReLU gives 0. */
INLINED void miss(const struct block *b, int64_t row, lanes *z, whole_lanes *mask)
{
	lanes y = {0};
	memcpy(&y, b->r->y + row * b->r->O + b->first, (size_t)b->n * sizeof(float));
	*mask = (*z > 0) | -(int32_t)!b->r->relu;
	keep(z, mask);
	*z -= y;
}

/* Sums of squared errors of the weights in use over all rows, per channel. */
VECTORIZED static void errors_of(const struct block *b, double sum[LANES])
{
	const struct rounding *r = b->r;
	wide_lanes all = {0};
	for (int64_t row = 0; row < r->N; row += TOGETHER) {
		const int rows = r->N - row < TOGETHER ? (int)(r->N - row) : TOGETHER;
		const float *x[TOGETHER];
		lanes out[TOGETHER];
		for (int i = 0; i < rows; i++)
			x[i] = r->x + (row + i) * r->K;
		forward(x, rows, r->K, b->w, &b->bias, out);
		for (int i = 0; i < rows; i++) {
			whole_lanes mask;
			miss(b, row + i, &out[i], &mask);
			const wide_lanes e = __builtin_convertvector(out[i], wide_lanes);
			all += e * e;
		}
	}
	for (int c = 0; c < LANES; c++)
		sum[c] = c < b->n ? all[c] : 0;
}

/* ---- one iteration ---- */

/* h of V, and the weights that it makes. */
INLINED void soften(struct block *b, int64_t k)
{
	lanes h = -b->v[k];
	exponential(&h);
	h = STRETCH / (1 + h) + LOW;
	clip(&h);
	b->h[k] = b->moves[k] * h;
	b->w[k] = (b->base[k] + b->span * b->h[k]) * b->step;
}

VECTORIZED static void soften_all(struct block *b)
{
	for (int64_t k = 0; k < b->r->K; k++)
		soften(b, k);
}

/* beta 0: without the second term. t: counts from 1. */
VECTORIZED static void update(struct block *b, int beta, int64_t t)
{
	const float pull = PULL / (float)b->r->K;
	const float rate = fmaxf(RATE, TRAVEL / (float)b->r->iterations) * sqrtf(1 - powf(BETA2, (float)t)) /
			   (1 - powf(BETA1, (float)t));
	for (int64_t k = 0; k < b->r->K; k++) {
		const lanes h = b->h[k], off = 2 * h - 1;
		const whole_lanes between = (h > 0) & (h < 1), sign = (off > 0) & INT32_MIN;
		lanes away = (lanes)((whole_lanes)off & INT32_MAX), g = b->g[k] * b->step * b->span;
		/* d/dh of 1 - |2h - 1|^beta is 2 beta |2h - 1|^(beta - 1), and its sign. */
		lanes power = (lanes){0} + 2 * (float)beta * pull;
		for (int i = 1; i < beta; i++)
			power *= away;
		g += (lanes)((whole_lanes)power ^ sign);
		/* The slope of h, 0 where it is clipped, and of weights that stay. */
		const lanes sigmoid = (h - LOW) * (1 / STRETCH);
		lanes slope = STRETCH * sigmoid * (1 - sigmoid), size;
		keep(&slope, &between);
		g *= slope;
		b->m[k] = BETA1 * b->m[k] + (1 - BETA1) * g;
		b->s[k] = BETA2 * b->s[k] + (1 - BETA2) * g * g;
		for (int c = 0; c < LANES; c++)
			size[c] = sqrtf(b->s[k][c]);
		b->v[k] -= rate * b->m[k] / (size + EPSILON);
		soften(b, k);
	}
}

VECTORIZED static void iterate(struct block *b, int64_t t)
{
	const struct rounding *r = b->r;
	const uint32_t *rows = b->order + t * ROUNDING_ROWS;
	const float *x[ROUNDING_ROWS];
	lanes out[ROUNDING_ROWS];
	for (int i = 0; i < ROUNDING_ROWS; i++)
		x[i] = r->x + (int64_t)rows[i] * r->K;
	forward(x, ROUNDING_ROWS, r->K, b->w, &b->bias, out);
	for (int i = 0; i < ROUNDING_ROWS; i++) {
		whole_lanes mask;
		miss(b, rows[i], &out[i], &mask);
		keep(&out[i], &mask);
		out[i] *= b->inverse * (2.0f / ROUNDING_ROWS);
	}
	gradient(x, r->K, out, b->g);
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
	b->moves[k][c] = stays ? 0 : 1;
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
	lanes *const all[] = {b->w, b->base, b->h, b->v, b->m, b->s, b->moves};
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
		for (int64_t k = 0; k < r->K && !(b->inverse[c] > 0); k++)
			b->moves[k][c] = 0;
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
	soften_all(b);
	for (int64_t t = 0; t < b->r->iterations && !stopped(b->r); t++)
		iterate(b, t);
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
	lanes **const to[ARRAYS] = {&b->w, &b->base, &b->h, &b->v, &b->m, &b->s, &b->g, &b->moves};
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
