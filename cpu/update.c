/* The optimizer's update: global norm, clipping, SGD and AdamW with masks, in one pass over each param. Every param is
 * cut into the same number of slices whatever the thread count, and partial sums are added in order, so the result does
 * not depend on who runs what. Of a table whose gradient comes by rows, those are read that have a gradient or moments;
 * the results are the same as of all. Formulas: struct update_args. */
#include "cpu/kernels.h"

#include <math.h>

#define SLICES 64
#define ROWS   8 /* of a table that lie together in a slice */
/* Sooner than CPU_SERIAL: half of the gradients lie in the other thread's cache, and it may as well use them. */
#define PARALLEL_PARAMS (1 << 17)

struct slice_of {
	size_t first, last;
};

/* Multiples of a cache line, so that no line belongs to two slices. */
static struct slice_of slice_of(size_t n, size_t slice)
{
	size_t lines = (n + 15) / 16, first = lines * slice / SLICES * 16, last = lines * (slice + 1) / SLICES * 16;
	return (struct slice_of){first < n ? first : n, last < n ? last : n};
}

/* Masked weights have no gradient; w is given for relative items, whose gradient is scale*w*g. */
CPU_CLONES static double sum_squares(const float *g, const float *w, float scale, const uint8_t *mask, size_t n)
{
	double sum = 0.0;
	if (w) { /* few and small: no case of its own for masks */
		for (size_t i = 0; i < n; i++) {
			double x = mask && !mask[i] ? 0.0 : (double)scale * ((double)w[i] * (double)g[i]);
			sum += x * x;
		}
	} else if (mask) {
#pragma omp simd reduction(+ : sum)
		for (size_t i = 0; i < n; i++)
			sum += mask[i] ? (double)g[i] * (double)g[i] : 0.0;
	} else {
#pragma omp simd reduction(+ : sum)
		for (size_t i = 0; i < n; i++)
			sum += (double)g[i] * (double)g[i];
	}
	return sum;
}

/* Numbers of one item that are the same for all its elements. */
struct rule {
	float scale;       /* of gradients */
	float rate, decay; /* lr * lr_factor; weight decay, 0 for params without */
	float beta1, beta2, eps, momentum;
	float correct1, correct2; /* 1/(1 - beta^t) */
	float gradient_scale;     /* of relative items under SGD */
	float floor, ceiling;
	bool relative, nesterov;
};

/* The share of its value that a relative item moves by. */
static inline float relative_share(float step)
{
	float share = step < -RELATIVE_MOST ? -RELATIVE_MOST : step;
	return share > RELATIVE_MOST ? RELATIVE_MOST : share;
}

CPU_CLONES static void adamw(float *w, const float *g, float *m, float *v, size_t n, const struct rule *r)
{
	const float b1 = r->beta1, b2 = r->beta2, a1 = 1.0f - b1, a2 = 1.0f - b2;
	const struct rule k = *r;
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		float x = g[i] * k.scale;
		float mi = b1 * m[i] + a1 * x, vi = b2 * v[i] + a2 * x * x;
		float d = mi * k.correct1 / (sqrtf(vi * k.correct2) + k.eps) + k.decay * w[i];
		float step = k.rate * d;
		m[i] = mi;
		v[i] = vi;
		w[i] -= k.relative ? w[i] * relative_share(step) : step;
	}
}

CPU_CLONES static void sgd(float *w, const float *g, float *m, size_t n, const struct rule *r)
{
	const struct rule k = *r;
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		float x = (k.relative ? k.gradient_scale * w[i] * g[i] : g[i]) * k.scale + k.decay * w[i];
		float mi = k.momentum * m[i] + x;
		float step = k.rate * (k.nesterov ? x + k.momentum * mi : mi);
		m[i] = mi;
		w[i] -= k.relative ? w[i] * relative_share(step) : step;
	}
}

/* Exact zeros where the mask is 0, in weights and moments; v may be NULL. */
CPU_CLONES static void apply_mask(float *w, float *m, float *v, const uint8_t *mask, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		w[i] = mask[i] ? w[i] : 0.0f;
		m[i] = mask[i] ? m[i] : 0.0f;
	}
	for (size_t i = 0; v && i < n; i++)
		v[i] = mask[i] ? v[i] : 0.0f;
}

CPU_CLONES static void apply_floor(float *w, size_t n, float floor)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		w[i] = w[i] < floor ? floor : w[i];
}

CPU_CLONES static void apply_ceiling(float *w, size_t n, float ceiling)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		w[i] = w[i] > ceiling ? ceiling : w[i];
}

CPU_CLONES static void moving_average(float *w, const float *g, size_t n, float momentum, float observations)
{
	const float keep = 1.0f - momentum, count = observations > 1.0f ? observations : 1.0f;
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		w[i] = keep * w[i] + momentum * (g[i] / count);
}

/* What all items share; see add_item. */
static struct rule common_rule(const struct update_args *a, double scale, int64_t t)
{
	return (struct rule){
	    .scale = (float)scale,
	    .beta1 = a->beta1,
	    .beta2 = a->beta2,
	    .eps = a->eps,
	    .momentum = a->momentum,
	    .correct1 = (float)(1.0 / (1.0 - pow((double)a->beta1, (double)t))),
	    .correct2 = (float)(1.0 / (1.0 - pow((double)a->beta2, (double)t))),
	    .nesterov = a->nesterov,
	};
}

static void add_item(struct rule *r, const struct update_item *it, const struct update_args *a)
{
	r->rate = a->lr * it->lr_factor;
	r->decay = it->decay ? a->weight_decay : 0.0f;
	r->gradient_scale = it->gradient_scale;
	r->floor = it->floor;
	r->ceiling = it->ceiling;
	r->relative = it->relative;
}

static void update_range(
    const struct update_item *it, struct slice_of at, const struct update_args *a, const struct rule *common)
{
	size_t n = at.last - at.first;
	float *w = it->w + at.first, *m = it->m ? it->m + at.first : NULL, *v = it->v ? it->v + at.first : NULL;
	const float *g = it->g + at.first;
	if (n == 0)
		return;
	if (it->stat) {
		moving_average(w, g, n, it->stat_momentum, it->observations);
		return;
	}
	struct rule r = *common;
	add_item(&r, it, a);
	if (a->kind == OPTIMIZER_ADAMW)
		adamw(w, g, m, v, n, &r);
	else
		sgd(w, g, m, n, &r);
	if (r.floor > 0.0f)
		apply_floor(w, n, r.floor);
	if (r.ceiling > 0.0f)
		apply_ceiling(w, n, r.ceiling);
	if (it->mask)
		apply_mask(w, m, v, it->mask + at.first, n);
}

/* A row whose gradient and moments are zero: adamw for that case. It moves by its decay alone. */
CPU_CLONES static void decay_row(float *w, size_t n, float rate, float decay)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		w[i] -= rate * (0.0f + decay * w[i]);
}

/* Slices of a table are of every SLICES-th part of its rows, as the rows that are at work lie together. */
static size_t next_row(size_t row, int slice)
{
	const size_t period = (size_t)SLICES * ROWS, from = (size_t)slice * ROWS, in = row % period;
	if (in < from)
		row += from - in;
	else if (in >= from + ROWS)
		row += period - in + from;
	return row;
}

/* SGD's moment takes up the decay, so that there a row never rests; nor does what is kept within limits. */
static bool may_rest(const struct update_item *it, const struct update_args *a)
{
	return a->kind == OPTIMIZER_ADAMW && a->eps > 0.0f && !it->relative && it->floor <= 0.0f && it->ceiling <= 0.0f;
}

static void update_rows(const struct update_item *it, const struct update_rows *r, int slice,
    const struct update_args *a, const struct rule *common)
{
	const size_t rows = it->n / r->row;
	const float rate = a->lr * it->lr_factor, decay = it->decay ? a->weight_decay : 0.0f;
	const bool rests = may_rest(it, a);
	for (size_t row = next_row(0, slice); row < rows; row = next_row(row + 1, slice)) {
		if (r->live[row] || !rests)
			r->moved[row] = 1;
		if (r->moved[row])
			update_range(it, (struct slice_of){row * r->row, (row + 1) * r->row}, a, common);
		else if (decay != 0.0f)
			decay_row(it->w + row * r->row, r->row, rate, decay);
	}
}

/* In one order whether rows are passed over or not: with sums of micro-batches they are not, and trainings that share
 * the micro-batches otherwise have the same bytes. */
static double rows_squares(const struct update_item *it, const struct update_rows *r, int slice)
{
	const size_t rows = it->n / r->row;
	double sum = 0.0;
	for (size_t row = next_row(0, slice); row < rows; row = next_row(row + 1, slice))
		if (!r->live || r->live[row])
			sum += sum_squares(
			    it->g + row * r->row, NULL, 1.0f, it->mask ? it->mask + row * r->row : NULL, r->row);
	return sum;
}

static double slice_squares(const struct update_item *it, const struct update_rows *r, int slice)
{
	const struct slice_of at = slice_of(it->n, (size_t)slice);
	if (r && r->row)
		return rows_squares(it, r, slice);
	if (it->stat || at.last == at.first)
		return 0.0;
	return sum_squares(it->g + at.first, it->relative ? it->w + at.first : NULL, it->gradient_scale,
	    it->mask ? it->mask + at.first : NULL, at.last - at.first);
}

static double global_norm(const struct update_job *job, bool parallel)
{
	double part[SLICES] = {0}, sum = 0.0;
#pragma omp parallel for schedule(static) if (parallel)
	for (int k = 0; k < SLICES; k++)
		for (int i = 0; i < job->n; i++)
			part[k] += slice_squares(&job->item[i], job->rows ? &job->rows[i] : NULL, k);
	for (int k = 0; k < SLICES; k++)
		sum += part[k];
	return sqrt(sum);
}

int cpu_update(void *ctx, const struct update_job *job)
{
	(void)ctx;
	const struct update_args *args = &job->args;
	size_t total = 0;
	for (int i = 0; i < job->n; i++)
		total += job->item[i].n;
	bool parallel = total >= PARALLEL_PARAMS;
	double scale = 1.0 / (double)args->state->scale, norm = scale * global_norm(job, parallel);
	if (!update_state_next(args->state, norm, isfinite(norm)))
		return 0;
	if (args->clip_norm > 0.0f)
		scale *= fmin(1.0, (double)args->clip_norm / (norm + 1e-6));
	const struct rule common = common_rule(args, scale, args->state->t);
#pragma omp parallel for schedule(static) if (parallel)
	for (int k = 0; k < SLICES; k++)
		for (int i = 0; i < job->n; i++)
			if (job->rows && job->rows[i].live)
				update_rows(&job->item[i], &job->rows[i], k, args, &common);
			else
				update_range(&job->item[i], slice_of(job->item[i].n, (size_t)k), args, &common);
	return 0;
}
