/* OP_ATTENTION: each head of each sequence is one piece of work of one thread, on packed copies of its keys and values,
 * for ROWS queries at a time. All sums have an order that depends on nothing but the sequence's length: products as in
 * product.h, sums of a row of scores in lanes, those of a gradient over the queries in ascending order. So a sequence
 * gets the same bits in every batch, at every capacity and with any number of threads.
 *
 * Backward takes scores and their gradients anew from q, k and v; of the forward pass only two numbers a row are kept,
 * the largest score and the reciprocal of the softmax's sum. What drops out of a row is drawn anew, too. */
#include "cpu/kernels.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/isa.h"
#include "cpu/map_dropout.h"
#include "cpu/onednn.h"
#include "cpu/product.h"
#include "cpu/turn.h"
#include "cpu/vecmath.h"

#include <omp.h>

#define ROWS  32 /* queries at a time: their scores are in the second-level cache */
#define LANES 64 /* of sums over a row of scores; its length is a multiple of 16 */

struct attention {
	int64_t N, M, C, H, D, wide; /* wide: D, padded */
	int64_t longest, keys;       /* rows of a sequence; keys: the same, padded */
	float scale;
	product_fn product;
	bool drops;
	struct map_dropout dropout; /* of this call */
	size_t bytes;               /* of a thread's copies */
};

/* Kept of a row of a head. */
struct softmax {
	float most, inverse;
};

/* One head of one sequence, and the thread's copies for it. */
struct pair {
	const struct attention *a;
	int64_t T, keys; /* rows; padded */
	int64_t at;      /* of its first value in q, k, v, y and their gradients */
	int64_t sequence, head;
	struct softmax *saved;        /* of row i at i * H; NULL: nobody needs it */
	float *k_columns, *v_columns; /* (D, keys): transposed */
	float *k_rows, *v_rows;       /* (T, wide) */
	float *q_block, *dy_block;    /* (ROWS, wide) */
	float *p, *g;                 /* (ROWS, keys): probabilities, gradients of scores */
	float *dq, *dk, *dv;          /* dq (ROWS, wide); (T, wide) */
	float *stays;                 /* factors of a row of p; only where it drops */
};

/* The thread's copies, one behind the other; backward: all of them. Returns their size in bytes. */
static size_t lay_out(struct pair *w, const struct attention *a, char *memory, bool backward)
{
	const size_t columns = (size_t)(a->D * a->keys), rows = (size_t)(a->longest * a->wide);
	const size_t block = (size_t)(ROWS * a->wide), scores = (size_t)(ROWS * a->keys);
	const size_t drawn = a->drops ? (size_t)map_dropout_width(a->longest) : 0;
	const struct {
		float **at;
		size_t floats;
		bool backward;
	} part[] = {{&w->k_columns, columns, false}, {&w->v_rows, rows, false}, {&w->p, scores, false},
	    {&w->dq, block, false}, {&w->stays, drawn, false}, {&w->v_columns, columns, true}, {&w->k_rows, rows, true},
	    {&w->q_block, block, true}, {&w->dy_block, block, true}, {&w->g, scores, true}, {&w->dk, rows, true},
	    {&w->dv, rows, true}};
	size_t total = 0;
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		if (part[i].backward && !backward)
			continue;
		const size_t at = call_reserve(&total, part[i].floats * sizeof(float));
		*part[i].at = memory ? (float *)(void *)(memory + at) : NULL;
	}
	return total;
}

static int attention_prepare(struct call *s)
{
	const struct cpu_ctx *c = s->ctx;
	struct attention *a = s->state = mem_alloc(1, sizeof(*a));
	struct pair none;
	if (!a)
		return ERR_NOMEM;
	a->N = s->in[ATTENTION_STARTS].shape.dim[0] - 1;
	a->M = s->out.shape.dim[0];
	a->C = s->out.shape.dim[1];
	a->H = s->node->attr.heads;
	a->D = a->C / a->H;
	a->wide = product_pad(a->D);
	a->longest = s->node->attr.longest && s->node->attr.longest < a->M ? s->node->attr.longest : a->M;
	a->keys = product_pad(a->longest);
	a->scale = 1.0f / sqrtf((float)a->D);
	a->product = product_choose();
	a->drops = map_drops(s);
	a->bytes = lay_out(&none, a, NULL, s->mode == EXEC_TRAIN);
	s->scratch = a->bytes * (size_t)c->traits.threads;
	if (s->mode == EXEC_TRAIN)
		s->saved = (size_t)(a->M * a->H) * sizeof(struct softmax);
	call_set_impl(s, cpu_has_avx512() ? "loop:avx512" : "loop");
	return 0;
}

/* x (rows, D) within rows of C values, transposed, to columns of `keys` values; what is behind the rows is zero. */
static void pack_columns(float *to, const float *x, const struct pair *w)
{
	const struct attention *a = w->a;
	const int64_t fours = w->T / 4 * 4;
	int64_t d = 0;
	for (; d + 4 <= a->D; d += 4)
		for (int64_t i = 0; i < fours; i += 4)
			cpu_turn_over(to + d * w->keys + i, w->keys * (int64_t)sizeof(*to), x + i * a->C + d,
			    a->C * (int64_t)sizeof(*x));
	for (int64_t c = 0; c < a->D; c++) {
		for (int64_t i = c < d ? fours : 0; i < w->T; i++)
			to[c * w->keys + i] = x[i * a->C + c];
		for (int64_t i = w->T; i < w->keys; i++)
			to[c * w->keys + i] = 0.0f;
	}
}

/* The same rows one behind the other, padded with zeros. */
static void pack_rows(float *to, const float *x, int64_t rows, const struct attention *a)
{
	for (int64_t i = 0; i < rows; i++) {
		memcpy(to + i * a->wide, x + i * a->C, (size_t)a->D * sizeof(*to));
		for (int64_t d = a->D; d < a->wide; d++)
			to[i * a->wide + d] = 0.0f;
	}
}

/* 16 floats, as the compiler can hold them in one register or in several; memory of them is aligned to a float. */
typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t bits __attribute__((vector_size(64), aligned(4), may_alias));

#define VECS (LANES / 16)

/* The upper half of the lanes is added to the lower, again and again. */
CPU_INLINE float fold(float *lane)
{
	vec *v = (vec *)lane;
	const vec sum = (v[0] + v[2]) + (v[1] + v[3]);
	float part[16];
	memcpy(part, &sum, sizeof(part));
#pragma omp simd
	for (int l = 0; l < 8; l++)
		part[l] += part[l + 8];
	for (int l = 0; l < 4; l++)
		part[l] += part[l + 4];
	return (part[0] + part[2]) + (part[1] + part[3]);
}

CPU_INLINE float row_sum(const float *x, int64_t n)
{
	vec sum[VECS] = {{0}};
	float lane[LANES];
	for (; n >= LANES; n -= LANES, x += LANES)
		for (int i = 0; i < VECS; i++)
			sum[i] += *((const vec *)x + i);
	for (int i = 0; i < VECS - 1; i++)
		if (n > 16 * i)
			sum[i] += *((const vec *)x + i);
	memcpy(lane, sum, sizeof(lane));
	return fold(lane);
}

CPU_INLINE void keep_larger(vec *most, const vec *x)
{
	const bits mask = *x > *most;
	*most = (vec)((mask & (bits)*x) | (~mask & (bits)*most));
}

CPU_INLINE float row_max(const float *x, int64_t n)
{
	vec most[VECS];
	float lane[16];
	for (int i = 0; i < VECS; i++)
		most[i] = (vec){0} - INFINITY;
	for (; n >= LANES; n -= LANES, x += LANES)
		for (int i = 0; i < VECS; i++)
			keep_larger(&most[i], (const vec *)x + i);
	for (int i = 0; i < VECS - 1; i++)
		if (n > 16 * i)
			keep_larger(&most[i], (const vec *)x + i);
	for (int i = 1; i < VECS; i++)
		keep_larger(&most[0], &most[i]);
	memcpy(lane, &most[0], sizeof(lane));
	for (int half = 8; half; half /= 2)
		for (int l = 0; l < half; l++)
			lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
	return lane[0];
}

CPU_INLINE void lanes_dot(float *lane, const float *x, const float *y, int64_t n)
{
#pragma omp simd
	for (int64_t l = 0; l < n; l++)
		lane[l] = fmaf(x[l], y[l], lane[l]);
}

/* Scores x become e^((x - most) * scale) * factor. What is 60 below the largest counts as that: 2^-86 of it is nothing,
 * but stays a normal number when it is multiplied by a gradient, and denormal ones take ten times as long. */
CPU_INLINE void exponentials(float *x, float most, float scale, float factor, int64_t keys)
{
#pragma omp simd
	for (int64_t j = 0; j < keys; j++)
		x[j] = cpu_exp(cpu_at_least((x[j] - most) * scale, -60.0f)) * factor;
}

/* Columns from T on count as if their scores were far below. A NaN is no maximum, but makes every probability NaN. */
CPU_CLONES static struct softmax softmax_row(float *x, float scale, int64_t T, int64_t keys)
{
	for (int64_t j = T; j < keys; j++)
		x[j] = -INFINITY;
	const float most = row_max(x, keys);
	exponentials(x, most, scale, 1.0f, keys);
	return (struct softmax){most, 1.0f / row_sum(x, keys)};
}

CPU_CLONES static void weigh(float *y, const float *x, float factor, int64_t n)
{
#pragma omp simd
	for (int64_t d = 0; d < n; d++)
		y[d] = x[d] * factor;
}

/* Each of n values of x, which are 0 behind it, times 0 or what those that stay are multiplied with. */
CPU_CLONES static void drop(float *x, const float *stays, int64_t n)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		x[j] *= stays[j];
}

/* The factors of query i. */
static const float *draw(const struct pair *w, int64_t i)
{
	const struct map_dropout *d = &w->a->dropout;
	map_dropout_row(d, w->sequence, w->head * w->T + i, w->T, d->factor, w->stays);
	return w->stays;
}

/* p = x (rows, D) times columns. */
static void times_columns(const struct pair *w, float *p, const float *x, int64_t rows, const float *columns)
{
	w->a->product(&(struct product){.m = rows,
	    .n = w->keys,
	    .k = w->a->D,
	    .a = x,
	    .a_row = w->a->C,
	    .a_step = 1,
	    .b = columns,
	    .b_row = w->keys,
	    .c = p,
	    .c_row = w->keys});
}

/* y (rows, wide) = p (rows, T) times rows. */
static void times_rows(const struct pair *w, float *y, const float *p, int64_t rows, const float *b)
{
	w->a->product(&(struct product){.m = rows,
	    .n = w->a->wide,
	    .k = w->T,
	    .a = p,
	    .a_row = w->keys,
	    .a_step = 1,
	    .b = b,
	    .b_row = w->a->wide,
	    .c = y,
	    .c_row = w->a->wide});
}

/* y (T, wide) += p (rows, T), transposed, times block (rows, wide). */
static void add_transposed(const struct pair *w, float *y, const float *p, int64_t rows, const float *block)
{
	w->a->product(&(struct product){.m = w->T,
	    .n = w->a->wide,
	    .k = rows,
	    .a = p,
	    .a_row = 1,
	    .a_step = w->keys,
	    .b = block,
	    .b_row = w->a->wide,
	    .c = y,
	    .c_row = w->a->wide,
	    .add = true});
}

static void pair_forward(const struct call *s, struct pair *w)
{
	const struct attention *a = w->a;
	const float *q = (const float *)s->in[ATTENTION_Q].data + w->at;
	float *y = (float *)s->out.data + w->at;
	pack_columns(w->k_columns, (const float *)s->in[ATTENTION_K].data + w->at, w);
	pack_rows(w->v_rows, (const float *)s->in[ATTENTION_V].data + w->at, w->T, a);
	for (int64_t i = 0; i < w->T; i += ROWS) {
		const int64_t rows = w->T - i < ROWS ? w->T - i : ROWS;
		struct softmax of[ROWS];
		times_columns(w, w->p, q + i * a->C, rows, w->k_columns);
		for (int64_t r = 0; r < rows; r++)
			of[r] = softmax_row(w->p + r * w->keys, a->scale, w->T, w->keys);
		for (int64_t r = 0; a->drops && r < rows; r++)
			drop(w->p + r * w->keys, draw(w, i + r), w->T);
		times_rows(w, w->dq, w->p, rows, w->v_rows);
		for (int64_t r = 0; r < rows; r++) {
			weigh(y + (i + r) * a->C, w->dq + r * a->wide, of[r].inverse, a->D);
			if (w->saved)
				w->saved[(i + r) * a->H] = of[r];
		}
	}
}

/* The row's probabilities, and of its gradients of probabilities those of the scores before they are scaled. What v was
 * weighed with are the probabilities times `stays`, if it is not NULL; so p is in the end, and g comes without it. */
CPU_CLONES static void row_back(
    float *p, float *g, const float *stays, struct softmax of, float scale, int64_t T, int64_t keys)
{
	float lane[LANES] = {0};
	int64_t j = 0;
	for (int64_t i = T; i < keys; i++)
		p[i] = of.most; /* nobody reads what becomes of it, and its g is 0 */
	exponentials(p, of.most, scale, of.inverse, keys);
	if (stays)
		drop(g, stays, T);
	for (; j + LANES <= keys; j += LANES)
		lanes_dot(lane, p + j, g + j, LANES);
	for (int at = 0; j < keys; j += 16, at += 16)
		lanes_dot(lane + at, p + j, g + j, 16);
	const float mean = fold(lane);
#pragma omp simd
	for (int64_t i = 0; i < keys; i++)
		g[i] = p[i] * (g[i] - mean) * scale;
	if (stays)
		drop(p, stays, T);
}

CPU_CLONES static void deliver_row(float *d, const float *g, int64_t n, bool add)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		d[i] = add ? d[i] + g[i] : g[i];
}

static void deliver(struct call *s, const struct pair *w, int input, const float *g, int64_t first, int64_t rows)
{
	float *d = (float *)s->din[input].data + w->at + first * w->a->C;
	for (int64_t i = 0; s->want[input] && i < rows; i++)
		deliver_row(d + i * w->a->C, g + i * w->a->wide, w->a->D, s->accumulate[input]);
}

/* q's gradient is written block by block, k's and v's afterwards: they may be one memory. */
static void pair_backward(struct call *s, struct pair *w)
{
	const struct attention *a = w->a;
	const float *q = (const float *)s->in[ATTENTION_Q].data + w->at, *dy = (const float *)s->dout.data + w->at;
	const float *k = (const float *)s->in[ATTENTION_K].data + w->at,
		    *v = (const float *)s->in[ATTENTION_V].data + w->at;
	const size_t bytes = (size_t)(w->T * a->wide) * sizeof(float);
	pack_columns(w->k_columns, k, w);
	pack_columns(w->v_columns, v, w);
	pack_rows(w->k_rows, k, w->T, a);
	memset(w->dk, 0, bytes);
	memset(w->dv, 0, bytes);
	for (int64_t i = 0; i < w->T; i += ROWS) {
		const int64_t rows = w->T - i < ROWS ? w->T - i : ROWS;
		times_columns(w, w->p, q + i * a->C, rows, w->k_columns);
		times_columns(w, w->g, dy + i * a->C, rows, w->v_columns);
		for (int64_t r = 0; r < rows; r++)
			row_back(w->p + r * w->keys, w->g + r * w->keys, a->drops ? draw(w, i + r) : NULL,
			    w->saved[(i + r) * a->H], a->scale, w->T, w->keys);
		pack_rows(w->q_block, q + i * a->C, rows, a);
		pack_rows(w->dy_block, dy + i * a->C, rows, a);
		times_rows(w, w->dq, w->g, rows, w->k_rows);
		deliver(s, w, ATTENTION_Q, w->dq, i, rows);
		add_transposed(w, w->dk, w->g, rows, w->q_block);
		add_transposed(w, w->dv, w->p, rows, w->dy_block);
	}
	deliver(s, w, ATTENTION_K, w->dk, 0, w->T);
	deliver(s, w, ATTENTION_V, w->dv, 0, w->T);
}

/* Multiply-adds of one product of all heads. */
static int64_t work(const struct attention *a, const int32_t *starts)
{
	int64_t sum = 0;
	for (int64_t n = 0; n < a->N; n++) {
		int64_t first, last;
		cpu_segment(starts, n, a->M, &first, &last);
		sum += last > first ? (last - first) * (last - first) * a->C : 0;
	}
	return sum;
}

/* Rows that a sequence has beyond the longest that was promised. */
static void clear_rest(struct call *s, const struct attention *a, int64_t first, int64_t last, bool backward)
{
	if (!backward)
		cpu_clear_slack(s->out.data, first, last, a->C);
	for (int i = ATTENTION_Q; backward && i <= ATTENTION_V; i++)
		if (s->want[i] && !s->accumulate[i])
			cpu_clear_slack(s->din[i].data, first, last, a->C);
}

static int run(struct call *s, bool backward)
{
	struct attention *a = s->state;
	const int32_t *starts = s->in[ATTENTION_STARTS].data;
	a->dropout = map_dropout_of(s);
	const bool alone = work(a, starts) < CPU_SERIAL_MACS / 4;
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
	for (int64_t i = 0; i < a->N * a->H; i++) {
		struct pair w = {.a = a, .sequence = i / a->H, .head = i % a->H};
		int64_t first, last;
		cpu_segment(starts, i / a->H, a->M, &first, &last);
		w.T = last - first < a->longest ? last - first : a->longest;
		if (w.T <= 0)
			continue;
		w.keys = product_pad(w.T);
		w.at = first * a->C + i % a->H * a->D;
		if (s->mode == EXEC_TRAIN)
			w.saved = (struct softmax *)s->saved_mem + first * a->H + i % a->H;
		lay_out(&w, a, (char *)s->scratch_mem + a->bytes * (size_t)omp_get_thread_num(), s->mode == EXEC_TRAIN);
		if (backward)
			pair_backward(s, &w);
		else
			pair_forward(s, &w);
		if (i % a->H == 0 && w.T < last - first)
			clear_rest(s, a, first + w.T, last, backward);
	}
	clear_rest(s, a, cpu_slack(starts, a->N, a->M), a->M, backward);
	return 0;
}

static int attention_forward(struct call *s)
{
	return run(s, false);
}

static int attention_backward(struct call *s)
{
	return run(s, true);
}

const struct kernel cpu_attention_kernel = {
    attention_prepare, NULL, attention_forward, attention_backward, call_release_state};
