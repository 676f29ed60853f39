/* OP_FAKE_ATTENTION: attention between grid values. Forward takes their integers through the kernel of OP_QATTENTION.
 * Backward computes scores, probabilities and sums anew, for one query after the other; keys, values and all gradients
 * are transposed, so that every loop runs over the keys. Each sum has one order, whatever else is in the batch. */
#include "cpu/kernels.h"

#include <math.h>
#include <omp.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "cpu/int_attention.h"
#include "cpu/map_dropout.h"
#include "cpu/onednn.h"
#include "quant/arith.h"

enum { SUM_SCALE, SUM_FACTOR, SUM_SY, SUMS }; /* of a head: gradients of c, k and s_y */

struct fake_attention {
	struct int_attention a;
	size_t integers, bytes; /* of q, k, v and y; of a thread's copies on the way back */
};

static float step_of(const struct call *s, int i)
{
	return *(const float *)s->in[i].data;
}

/* One head of one sequence on its way back. */
struct back {
	const struct int_attention *a;
	int64_t T, at;                          /* rows; of its first value */
	float *q, *k, *v, *dq, *dk, *dv;        /* (T, D), (D, T), (D, T) and likewise: integers as floats */
	float *x, *e, *p, *u;                   /* (T): scores, E, probabilities, their gradients */
	float *g;                               /* (D) */
	float c, factor, top, p_y, s_y, lo, hi; /* factor: of what stays; bounds of t */
	int64_t sequence, head;
	const struct map_dropout *dropout;
	float *stays; /* of a row, where it drops; else NULL */
	double sum[SUMS];
};

static size_t lay_out(struct back *w, const struct int_attention *a, char *memory)
{
	const size_t matrix = (size_t)(a->longest * a->D), row = (size_t)a->longest;
	const size_t drawn = a->drops ? (size_t)map_dropout_width(a->longest) : 0;
	const struct {
		float **at;
		size_t floats;
	} part[] = {{&w->q, matrix}, {&w->k, matrix}, {&w->v, matrix}, {&w->dq, matrix}, {&w->dk, matrix},
	    {&w->dv, matrix}, {&w->x, row}, {&w->e, row}, {&w->p, row}, {&w->u, row}, {&w->g, (size_t)a->D},
	    {&w->stays, drawn}};
	size_t total = 0;
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		const size_t at = call_reserve(&total, part[i].floats * sizeof(float));
		*part[i].at = memory && part[i].floats > 0 ? (float *)(void *)(memory + at) : NULL;
	}
	return total;
}

static int fake_attention_prepare(struct call *s)
{
	const struct cpu_ctx *c = s->ctx;
	struct fake_attention *f = s->state = mem_alloc(1, sizeof(*f));
	struct back none = {0};
	size_t total = 0, sums = 0;
	if (!f)
		return ERR_NOMEM;
	int_attention_plan(&f->a, s);
	f->integers = (size_t)(f->a.M * f->a.C);
	f->bytes = lay_out(&none, &f->a, NULL);
	call_reserve(&total, 4 * f->integers);
	total += f->a.bytes * (size_t)c->traits.threads;
	if (s->mode == EXEC_TRAIN) {
		call_reserve(&sums, (size_t)(f->a.N * f->a.H * SUMS) * sizeof(double));
		sums += f->bytes * (size_t)c->traits.threads;
	}
	s->scratch = total > sums ? total : sums;
	call_set_impl(s, int_attention_impl(&f->a));
	return 0;
}

/* Exact: grid values are integers times a power of two. NaN becomes some integer; the caller knows of it. */
CPU_CLONES static void to_integers(int8_t *q, const float *x, int64_t n, float one)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++) {
		float t = x[i] * one;
		t = t > -128.0f ? t : -128.0f;
		q[i] = (int8_t)(int)(t < 127.0f ? t : 127.0f);
	}
}

CPU_CLONES static void to_grid(float *y, const uint8_t *q, int64_t n, bool is_signed, float zero, float p_y)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		y[i] = ((is_signed ? (float)(int8_t)q[i] : (float)q[i]) - zero) * p_y;
}

/* k of what stays. */
static float residual(const struct call *s, const struct map_dropout *d)
{
	return quant_residual(step_of(s, FAKE_ATTENTION_SV), step_of(s, FAKE_ATTENTION_SY)) * d->factor;
}

static int fake_attention_forward(struct call *s)
{
	const struct fake_attention *f = s->state;
	const struct qrange *q = &s->node->attr.q;
	const int64_t n = (int64_t)f->integers, parts = 64;
	int8_t *integers = s->scratch_mem;
	uint8_t *y = (uint8_t *)integers + 3 * n;
	float p_y = quant_pow2(step_of(s, FAKE_ATTENTION_SY));
	size_t behind = 0;
	const struct map_dropout dropout = map_dropout_of(s);
	call_reserve(&behind, 4 * f->integers);
	for (int i = 0; i < 3; i++) {
		const float p = quant_pow2(step_of(s, FAKE_ATTENTION_SQ + i)), *x = s->in[i].data;
		p_y = isnan(p) ? p : p_y; /* a step that is no number must show */
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
		for (int64_t b = 0; b < parts; b++)
			to_integers(integers + i * n + n * b / parts, x + n * b / parts,
			    n * (b + 1) / parts - n * b / parts, 1.0f / p);
	}
	int_attention_run(
	    &f->a, &(struct int_attention_data){.q = integers,
		       .k = integers + n,
		       .v = integers + 2 * n,
		       .starts = s->in[ATTENTION_STARTS].data,
		       .c = quant_score_scale(step_of(s, FAKE_ATTENTION_SQ), step_of(s, FAKE_ATTENTION_SK), f->a.D),
		       .factor = residual(s, &dropout),
		       .dropout = f->a.drops ? &dropout : NULL,
		       .y = y,
		       .scratch = (char *)s->scratch_mem + behind});
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
	for (int64_t b = 0; b < parts; b++)
		to_grid((float *)s->out.data + n * b / parts, y + n * b / parts, n * (b + 1) / parts - n * b / parts,
		    q->is_signed, (float)q->zero, p_y);
	return 0;
}

/* ---- backward ---- */

/* q (T, D) of rows C apart, as integers; `turn`: transposed, to (D, T). */
static void copy_in(float *to, const float *x, const struct back *w, float one, bool turn)
{
	const int64_t D = w->a->D, T = w->T;
	for (int64_t i = 0; i < T; i++)
		for (int64_t d = 0; d < D; d++)
			to[turn ? d * T + i : i * D + d] = x[i * w->a->C + d] * one;
}

static void copy_out(struct call *s, int input, const float *from, const struct back *w, bool turned)
{
	const int64_t D = w->a->D, T = w->T;
	const float one = 1.0f / quant_pow2(step_of(s, FAKE_ATTENTION_SQ + input));
	float *to = s->want[input] ? (float *)s->din[input].data + w->at : NULL;
	for (int64_t i = 0; to && i < T; i++)
		for (int64_t d = 0; d < D; d++) {
			const float v = from[turned ? d * T + i : i * D + d] * one;
			float *at = to + i * w->a->C + d;
			*at = s->accumulate[input] ? *at + v : v;
		}
}

/* Scores of query q, exact whole numbers, then what lies below the largest, E and p. Returns S; *largest: the first. */
CPU_CLONES static double scores(const struct back *w, const float *q, int64_t *largest)
{
	const int64_t T = w->T;
	double sum = 0.0;
	for (int64_t j = 0; j < T; j++)
		w->x[j] = 0.0f;
	for (int64_t d = 0; d < w->a->D; d++) {
		const float *k = w->k + d * T, one = q[d];
#pragma omp simd
		for (int64_t j = 0; j < T; j++)
			w->x[j] += one * k[j];
	}
	*largest = 0;
	for (int64_t j = 1; j < T; j++)
		*largest = w->x[j] > w->x[*largest] ? j : *largest;
	const float most = w->x[*largest];
#pragma omp simd
	for (int64_t j = 0; j < T; j++) {
		const float below = w->x[j] - most;
		const float x = fmaf(below, w->c, w->top), held = x > QUANT_LEAST ? x : QUANT_LEAST;
		const float e = rintf(held), f = held - e;
		const float p = fmaf(fmaf(fmaf(QUANT_EXP2_C3, f, QUANT_EXP2_C2), f, QUANT_EXP2_C1), f, 1.0f);
		const int32_t bits = ((int32_t)e + 127) * (1 << 23);
		float power;
		memcpy(&power, &bits, sizeof(power));
		w->x[j] = below;
		w->e[j] = x > QUANT_LEAST ? p * power : 0.0f; /* no gradient where x is held */
		w->p[j] = rintf(p * power);
	}
	for (int64_t j = 0; j < T; j++)
		sum += (double)w->p[j];
	return sum;
}

CPU_CLONES static double weighed(const float *p, const float *v, int64_t T)
{
	double sum = 0.0;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < T; j++)
		sum += (double)p[j] * (double)v[j];
	return sum;
}

/* u += g v and dv += g p, over the keys. */
CPU_CLONES static void add_column(float *u, float *dv, const float *v, const float *p, float g, int64_t T)
{
#pragma omp simd
	for (int64_t j = 0; j < T; j++) {
		u[j] += g * v[j];
		dv[j] += g * p[j];
	}
}

/* dk += q da; returns the sum of da k. */
CPU_CLONES static float add_key(float *dk, const float *k, const float *da, float q, int64_t T)
{
	float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < T; j++) {
		dk[j] += q * da[j];
		sum += da[j] * k[j];
	}
	return sum;
}

/* Gradients of the scores from those of the probabilities, less `mean`; they are in u. Adds to the sum for c. */
CPU_CLONES static double score_gradients(const struct back *w, float mean, double *of_all)
{
	double all = 0.0, of_c = 0.0;
#pragma omp simd reduction(+ : all, of_c)
	for (int64_t j = 0; j < w->T; j++) {
		const float u = 0.693147181f * w->e[j] * (w->u[j] - mean);
		all += (double)u;
		of_c += (double)u * (double)w->x[j];
		w->u[j] = w->c * u;
	}
	*of_all = all;
	return of_c;
}

CPU_CLONES static void times(float *x, const float *y, int64_t n)
{
#pragma omp simd
	for (int64_t j = 0; j < n; j++)
		x[j] *= y[j];
}

static void row_back(struct back *w, int64_t i, const float *dy)
{
	const int64_t T = w->T, D = w->a->D;
	const float *q = w->q + i * D;
	int64_t largest;
	const double S = scores(w, q, &largest), weight = (double)w->factor / S;
	double mean = 0.0, of_all;
	if (w->stays) {
		map_dropout_row(w->dropout, w->sequence, w->head * T + i, T, 1.0f, w->stays);
		times(w->p, w->stays, T);
	}
	memset(w->u, 0, (size_t)T * sizeof(*w->u));
	for (int64_t d = 0; d < D; d++) {
		const double A = weighed(w->p, w->v + d * T, T);
		const float t = (float)A * (w->factor / (float)S);
		const float g = t >= w->lo && t <= w->hi ? dy[d] * w->p_y : 0.0f;
		const double of_d = (double)g * A;
		w->sum[SUM_FACTOR] += of_d / S * (double)w->dropout->factor;
		w->sum[SUM_SY] -= of_d * weight / (double)w->s_y;
		mean += of_d * weight / S;
		add_column(w->u, w->dv + d * T, w->v + d * T, w->p, (float)((double)g * weight), T);
	}
	if (w->stays)
		times(w->u, w->stays, T);
	w->sum[SUM_SCALE] += score_gradients(w, (float)mean, &of_all);
	w->u[largest] -= (float)((double)w->c * of_all);
	for (int64_t d = 0; d < D; d++)
		w->dq[i * D + d] = add_key(w->dk + d * T, w->k + d * T, w->u, q[d], T);
}

static void head_back(struct call *s, struct back *w)
{
	const struct qrange *q = &s->node->attr.q;
	const size_t bytes = (size_t)(w->T * w->a->D) * sizeof(float);
	w->c = quant_score_scale(step_of(s, FAKE_ATTENTION_SQ), step_of(s, FAKE_ATTENTION_SK), w->a->D);
	w->factor = residual(s, w->dropout);
	w->top = quant_prob_log(w->a->prob_bits);
	w->s_y = step_of(s, FAKE_ATTENTION_SY);
	w->p_y = quant_pow2(w->s_y);
	w->lo = (float)(q->lo - q->zero);
	w->hi = (float)(q->hi - q->zero);
	float *const to[] = {w->q, w->k, w->v};
	for (int i = 0; i < 3; i++)
		copy_in(to[i], (const float *)s->in[i].data + w->at, w,
		    1.0f / quant_pow2(step_of(s, FAKE_ATTENTION_SQ + i)), i > 0);
	memset(w->dk, 0, bytes);
	memset(w->dv, 0, bytes);
	for (int64_t i = 0; i < w->T; i++)
		row_back(w, i, (const float *)s->dout.data + w->at + i * w->a->C);
	copy_out(s, FAKE_ATTENTION_Q, w->dq, w, false);
	copy_out(s, FAKE_ATTENTION_K, w->dk, w, true);
	copy_out(s, FAKE_ATTENTION_V, w->dv, w, true);
}

/* Rows of no sequence, or beyond the longest that was promised, have no gradient. */
static void clear_rows(struct call *s, const struct int_attention *a, int64_t first, int64_t last)
{
	for (int i = FAKE_ATTENTION_Q; i <= FAKE_ATTENTION_V; i++)
		if (s->want[i] && !s->accumulate[i])
			cpu_clear_slack(s->din[i].data, first, last, a->C);
}

static void deliver_steps(struct call *s, const struct int_attention *a, const double *sum)
{
	const double s_q = (double)step_of(s, FAKE_ATTENTION_SQ), s_k = (double)step_of(s, FAKE_ATTENTION_SK);
	const double per_c = M_LOG2E / sqrt((double)a->D);
	double all[SUMS] = {0};
	for (int64_t i = 0; i < a->N * a->H; i++)
		for (int k = 0; k < SUMS; k++)
			all[k] += sum[i * SUMS + k];
	const double of_step[] = {all[SUM_SCALE] * s_k * per_c, all[SUM_SCALE] * s_q * per_c,
	    all[SUM_FACTOR] / (double)step_of(s, FAKE_ATTENTION_SY), all[SUM_SY]};
	for (int i = 0; i < 4; i++)
		if (s->want[FAKE_ATTENTION_SQ + i])
			cpu_deliver_one(s, FAKE_ATTENTION_SQ + i, 0, of_step[i]);
}

static int fake_attention_backward(struct call *s)
{
	const struct fake_attention *f = s->state;
	const struct int_attention *a = &f->a;
	const int32_t *starts = s->in[ATTENTION_STARTS].data;
	double *sum = s->scratch_mem;
	const struct map_dropout dropout = map_dropout_of(s);
	size_t behind = 0;
	call_reserve(&behind, (size_t)(a->N * a->H * SUMS) * sizeof(double));
#pragma omp parallel for schedule(dynamic, 1) if (int_attention_work(a, starts) >= CPU_SERIAL_MACS / 8)
	for (int64_t n = 0; n < a->N * a->H; n++) {
		struct back w = {.a = a, .sequence = n / a->H, .head = n % a->H, .dropout = &dropout};
		int64_t first, last;
		cpu_segment(starts, n / a->H, a->M, &first, &last);
		w.T = last - first < a->longest ? last - first : a->longest;
		w.at = first * a->C + n % a->H * a->D;
		lay_out(&w, a, (char *)s->scratch_mem + behind + (size_t)omp_get_thread_num() * f->bytes);
		if (w.T > 0)
			head_back(s, &w);
		memcpy(sum + n * SUMS, w.sum, sizeof(w.sum));
		if (n % a->H == 0 && w.T > 0)
			clear_rows(s, a, first + w.T, last);
	}
	clear_rows(s, a, cpu_slack(starts, a->N, a->M), a->M);
	deliver_steps(s, a, sum);
	return 0;
}

const struct kernel cpu_fake_attention_kernel = {
    fake_attention_prepare, NULL, fake_attention_forward, fake_attention_backward, call_release_state};
