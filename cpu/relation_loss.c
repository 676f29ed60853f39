/* OP_RELATION_LOSS: each block of q, k or v of each sequence is one piece of work. */
#include <math.h>

#include "cpu/map_loss.h"
#include "cpu/vecmath.h"

/* A thread's copies for one block. */
struct block {
	struct map_side own, teacher;
	int64_t wide;                         /* own.D, padded */
	float *own_columns, *teacher_columns; /* (D, keys) */
	float *own_map, *teacher_map;         /* (MAP_ROWS, keys) */
	float *rows, *gradient;               /* (T, wide): the student's, and their gradient */
	float *gradient_block;                /* (MAP_ROWS, wide) */
};

static int64_t columns_of(const struct call *s, int input)
{
	return s->in[input].shape.dim[1] / s->node->attr.heads;
}

/* The copies, one behind the other. Returns their size in bytes. */
static size_t lay_out(struct block *b, const struct call *s, const struct map_loss *m, char *memory)
{
	const int64_t D = columns_of(s, RELATION_LOSS_Q), teacher = columns_of(s, RELATION_LOSS_TEACHER_Q);
	const int64_t wide = product_pad(D);
	const struct {
		float **at;
		int64_t floats;
	} part[] = {{&b->own_columns, D * m->keys}, {&b->teacher_columns, teacher * m->keys},
	    {&b->own_map, MAP_ROWS * m->keys}, {&b->teacher_map, MAP_ROWS * m->keys}, {&b->rows, m->longest * wide},
	    {&b->gradient, m->longest * wide}, {&b->gradient_block, MAP_ROWS * wide}};
	size_t total = 0;
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		const size_t at = call_reserve(&total, (size_t)part[i].floats * sizeof(float));
		*part[i].at = memory ? (float *)(void *)(memory + at) : NULL;
	}
	b->wide = wide;
	return total;
}

static size_t thread_bytes(const struct call *s, const struct map_loss *m)
{
	struct block none;
	return lay_out(&none, s, m, NULL);
}

static int relation_prepare(struct call *s)
{
	return map_loss_prepare(
	    s, RELATION_LOSS_TEACHER_Q, RELATION_LOSS_TEACHER_Q * s->node->attr.heads, thread_bytes);
}

CPU_INLINE float row_most(const float *x, float scale, int64_t T)
{
	float most = -INFINITY;
#pragma omp simd reduction(max : most)
	for (int64_t j = 0; j < T; j++)
		most = x[j] * scale > most ? x[j] * scale : most;
	return most;
}

/* KL of a row of the teacher's scores t from the student's x. `times`: x becomes the gradient of the scores before they
 * are scaled, times it; t is overwritten. */
CPU_CLONES static double row_divergence(float *x, float *t, float scale, float teacher_scale, float times, int64_t T)
{
	const float most = row_most(x, scale, T), teacher_most = row_most(t, teacher_scale, T);
	float sum = 0.0f, teacher_sum = 0.0f, apart = 0.0f;
#pragma omp simd reduction(+ : sum, teacher_sum, apart)
	for (int64_t j = 0; j < T; j++) {
		const float own = x[j] * scale - most, other = t[j] * teacher_scale - teacher_most;
		const float p = cpu_exp(cpu_at_least(own, -87.0f)), q = cpu_exp(cpu_at_least(other, -87.0f));
		x[j] = p;
		t[j] = q;
		sum += p;
		teacher_sum += q;
		apart += q * (other - own);
	}
	const float a = times / sum, b = times / teacher_sum;
#pragma omp simd
	for (int64_t j = 0; j < T; j++)
		x[j] = x[j] * a - t[j] * b;
	return (double)apart / (double)teacher_sum - log((double)teacher_sum) + log((double)sum);
}

static double rows_work(const struct map_piece *p, struct block *b, int64_t i, int64_t rows, double part)
{
	const float scale = 1.0f / sqrtf((float)b->own.D), teacher = 1.0f / sqrtf((float)b->teacher.D);
	double sum = 0.0;
	map_scores(p, b->own_map, &b->own, i, rows, b->own_columns);
	map_scores(p, b->teacher_map, &b->teacher, i, rows, b->teacher_columns);
	for (int64_t r = 0; r < rows; r++)
		sum += row_divergence(b->own_map + r * p->keys, b->teacher_map + r * p->keys, scale, teacher,
		    (float)(part * (double)scale), p->T);
	return sum;
}

/* A score reads the block twice, as query and as key: its gradient is that of both. */
static void rows_gradient(const struct map_piece *p, struct block *b, int64_t i, int64_t rows)
{
	map_times(p, b->gradient_block, b->own_map, rows, b->rows, b->wide);
	for (int64_t e = 0; e < rows * b->wide; e++)
		b->gradient[i * b->wide + e] += b->gradient_block[e];
	map_times_transposed(p, b->gradient, b->own_map, rows, b->rows + i * b->wide, b->wide);
}

static double block_work(const struct call *s, const struct map_piece *p)
{
	const int heads = s->node->attr.heads, input = (int)(p->part / heads),
		  teacher = input + RELATION_LOSS_TEACHER_Q;
	const int64_t at = p->part % heads, D = columns_of(s, input), teacher_d = columns_of(s, teacher);
	const double part = p->weight / (RELATION_LOSS_TEACHER_Q * heads);
	struct block b = {
	    .own = map_side(s, p, input, at * D, D), .teacher = map_side(s, p, teacher, at * teacher_d, teacher_d)};
	float *kept = map_kept(s, p, input, at * D);
	double sum = 0.0;
	lay_out(&b, s, p->m, p->memory);
	map_columns(b.own_columns, p, &b.own);
	map_columns(b.teacher_columns, p, &b.teacher);
	if (kept) {
		map_rows(b.rows, &b.own, 0, p->T, b.wide);
		memset(b.gradient, 0, (size_t)(p->T * b.wide) * sizeof(*b.gradient));
	}
	for (int64_t i = 0; i < p->T; i += MAP_ROWS) {
		const int64_t rows = p->T - i < MAP_ROWS ? p->T - i : MAP_ROWS;
		sum += rows_work(p, &b, i, rows, part);
		if (kept)
			rows_gradient(p, &b, i, rows);
	}
	if (kept)
		map_keep(kept, &b.own, b.gradient, p->T, b.wide);
	return part * sum;
}

static int relation_forward(struct call *s)
{
	return map_loss_forward(s, block_work);
}

const struct kernel cpu_relation_loss_kernel = {
    relation_prepare, NULL, relation_forward, map_loss_backward, call_release_state};
