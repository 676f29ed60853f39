/* OP_ATTENTION_LOSS: a sequence is one piece of work, for maps are means over all its heads. Of a block of queries the
 * student's maps of all heads are there at once: each has a part in the gradient. */
#include <math.h>

#include "cpu/map_loss.h"
#include "cpu/vecmath.h"

#define LEAST 1e-30f /* of a probability in a logarithm */

/* A thread's copies for one sequence. Of H heads of the student and H' of the teacher: */
struct sequence {
	int64_t wide;                 /* D of the student, padded */
	float *k_columns, *teacher_k; /* (H or H', D, keys) */
	float *map;                   /* (H, MAP_ROWS, keys): probabilities, then gradients of scores */
	float *mean, *teacher;        /* (MAP_ROWS, keys): means over the heads; mean: then the loss' slope */
	float *head;                  /* (MAP_ROWS, keys): of one of the teacher's */
	float *k_rows, *dk;           /* (H, T, wide) */
	float *q_block, *dq;          /* (MAP_ROWS, wide) */
};

struct heads {
	int64_t n, D;
};

static struct heads own_heads(const struct call *s)
{
	const int64_t n = s->node->attr.heads;
	return (struct heads){n, s->in[ATTENTION_LOSS_Q].shape.dim[1] / n};
}

static struct heads teacher_heads(const struct call *s)
{
	const int64_t n = s->node->attr.teacher_heads;
	return (struct heads){n, s->in[ATTENTION_LOSS_TEACHER_Q].shape.dim[1] / n};
}

/* The copies, one behind the other. Returns their size in bytes. */
static size_t lay_out(struct sequence *w, const struct call *s, const struct map_loss *m, char *memory)
{
	const struct heads own = own_heads(s), teacher = teacher_heads(s);
	const int64_t wide = product_pad(own.D), block = MAP_ROWS * m->keys;
	const struct {
		float **at;
		int64_t floats;
	} part[] = {{&w->k_columns, own.n * own.D * m->keys}, {&w->teacher_k, teacher.n * teacher.D * m->keys},
	    {&w->map, own.n * block}, {&w->mean, block}, {&w->teacher, block}, {&w->head, block},
	    {&w->k_rows, own.n * m->longest * wide}, {&w->dk, own.n * m->longest * wide},
	    {&w->q_block, MAP_ROWS * wide}, {&w->dq, MAP_ROWS * wide}};
	size_t total = 0;
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		const size_t at = call_reserve(&total, (size_t)part[i].floats * sizeof(float));
		*part[i].at = memory ? (float *)(void *)(memory + at) : NULL;
	}
	w->wide = wide;
	return total;
}

static size_t thread_bytes(const struct call *s, const struct map_loss *m)
{
	struct sequence none;
	return lay_out(&none, s, m, NULL);
}

static int attention_loss_prepare(struct call *s)
{
	return map_loss_prepare(s, ATTENTION_LOSS_TEACHER_Q, 1, thread_bytes);
}

/* A row of scores becomes probabilities, whose share is added to the mean over the heads. */
CPU_CLONES static void row_softmax(float *x, float *mean, float scale, float share, int64_t T)
{
	float most = -INFINITY, sum = 0.0f;
#pragma omp simd reduction(max : most)
	for (int64_t j = 0; j < T; j++)
		most = x[j] > most ? x[j] : most;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < T; j++) {
		x[j] = cpu_exp(cpu_at_least((x[j] - most) * scale, -87.0f));
		sum += x[j];
	}
	const float inverse = 1.0f / sum;
#pragma omp simd
	for (int64_t j = 0; j < T; j++) {
		x[j] *= inverse;
		mean[j] += x[j] * share;
	}
}

/* Mean square of a row's differences; x becomes its slope, times `by`. */
CPU_CLONES static double row_square(float *x, const float *t, float by, int64_t T)
{
	float sum = 0.0f;
	const float slope = by * 2.0f / (float)T;
#pragma omp simd reduction(+ : sum)
	for (int64_t j = 0; j < T; j++) {
		const float d = x[j] - t[j];
		sum += d * d;
		x[j] = d * slope;
	}
	return (double)sum / (double)T;
}

/* KL of a row; x becomes its slope, times `by`. */
static double row_divergence(float *x, const float *t, float by, int64_t T)
{
	double sum = 0.0;
	for (int64_t j = 0; j < T; j++) {
		const float own = cpu_at_least(x[j], LEAST);
		sum += (double)(t[j] * logf(cpu_at_least(t[j], LEAST) / own));
		x[j] = x[j] >= LEAST ? -by * t[j] / own : 0.0f;
	}
	return sum;
}

/* Probabilities and the slope become the gradient of the scores before they are scaled. */
CPU_CLONES static void row_back(float *p, const float *slope, float scale, int64_t T)
{
	float mean = 0.0f;
#pragma omp simd reduction(+ : mean)
	for (int64_t j = 0; j < T; j++)
		mean += p[j] * slope[j];
#pragma omp simd
	for (int64_t j = 0; j < T; j++)
		p[j] = p[j] * (slope[j] - mean) * scale;
}

/* Maps of the rows from i on: of each head, and as the mean over them. */
static void maps(const struct call *s, const struct map_piece *p, struct sequence *w, int64_t i, int64_t rows)
{
	const struct heads own = own_heads(s), teacher = teacher_heads(s);
	const float scale = 1.0f / sqrtf((float)own.D), teacher_scale = 1.0f / sqrtf((float)teacher.D);
	memset(w->mean, 0, (size_t)(rows * p->keys) * sizeof(*w->mean));
	memset(w->teacher, 0, (size_t)(rows * p->keys) * sizeof(*w->teacher));
	for (int64_t h = 0; h < own.n; h++) {
		const struct map_side q = map_side(s, p, ATTENTION_LOSS_Q, h * own.D, own.D);
		float *map = w->map + h * MAP_ROWS * p->keys;
		map_scores(p, map, &q, i, rows, w->k_columns + h * own.D * p->keys);
		for (int64_t r = 0; r < rows; r++)
			row_softmax(map + r * p->keys, w->mean + r * p->keys, scale, 1.0f / (float)own.n, p->T);
	}
	for (int64_t h = 0; h < teacher.n; h++) {
		const struct map_side q = map_side(s, p, ATTENTION_LOSS_TEACHER_Q, h * teacher.D, teacher.D);
		map_scores(p, w->head, &q, i, rows, w->teacher_k + h * teacher.D * p->keys);
		for (int64_t r = 0; r < rows; r++)
			row_softmax(w->head + r * p->keys, w->teacher + r * p->keys, teacher_scale,
			    1.0f / (float)teacher.n, p->T);
	}
}

static double distances(const struct call *s, const struct map_piece *p, struct sequence *w, int64_t rows)
{
	const float by = (float)(p->weight / (double)s->node->attr.heads); /* each head is one part of the mean */
	double sum = 0.0;
	for (int64_t r = 0; r < rows; r++) {
		float *x = w->mean + r * p->keys;
		const float *t = w->teacher + r * p->keys;
		sum += s->node->attr.distance == DISTANCE_MSE ? row_square(x, t, by, p->T)
							      : row_divergence(x, t, by, p->T);
	}
	return sum;
}

static void gradients(const struct call *s, const struct map_piece *p, struct sequence *w, int64_t i, int64_t rows)
{
	const struct heads own = own_heads(s);
	for (int64_t h = 0; h < own.n; h++) {
		const struct map_side q = map_side(s, p, ATTENTION_LOSS_Q, h * own.D, own.D);
		float *map = w->map + h * MAP_ROWS * p->keys, *dq = map_kept(s, p, ATTENTION_LOSS_Q, h * own.D);
		for (int64_t r = 0; r < rows; r++)
			row_back(map + r * p->keys, w->mean + r * p->keys, 1.0f / sqrtf((float)own.D), p->T);
		map_times(p, w->dq, map, rows, w->k_rows + h * p->T * w->wide, w->wide);
		if (dq)
			map_keep(dq + i * q.C, &q, w->dq, rows, w->wide);
		map_rows(w->q_block, &q, i, rows, w->wide);
		map_times_transposed(p, w->dk + h * p->T * w->wide, map, rows, w->q_block, w->wide);
	}
}

static void pack(const struct call *s, const struct map_piece *p, struct sequence *w, bool gradient)
{
	const struct heads own = own_heads(s), teacher = teacher_heads(s);
	for (int64_t h = 0; h < own.n; h++) {
		const struct map_side k = map_side(s, p, ATTENTION_LOSS_K, h * own.D, own.D);
		map_columns(w->k_columns + h * own.D * p->keys, p, &k);
		if (gradient)
			map_rows(w->k_rows + h * p->T * w->wide, &k, 0, p->T, w->wide);
	}
	for (int64_t h = 0; h < teacher.n; h++) {
		const struct map_side k = map_side(s, p, ATTENTION_LOSS_TEACHER_K, h * teacher.D, teacher.D);
		map_columns(w->teacher_k + h * teacher.D * p->keys, p, &k);
	}
	if (gradient)
		memset(w->dk, 0, (size_t)(own.n * p->T * w->wide) * sizeof(*w->dk));
}

static double sequence_work(const struct call *s, const struct map_piece *p)
{
	const bool gradient = s->mode == EXEC_TRAIN && (s->want[ATTENTION_LOSS_Q] || s->want[ATTENTION_LOSS_K]);
	const struct heads own = own_heads(s);
	struct sequence w;
	double sum = 0.0;
	lay_out(&w, s, p->m, p->memory);
	pack(s, p, &w, gradient);
	for (int64_t i = 0; i < p->T; i += MAP_ROWS) {
		const int64_t rows = p->T - i < MAP_ROWS ? p->T - i : MAP_ROWS;
		maps(s, p, &w, i, rows);
		sum += distances(s, p, &w, rows);
		if (gradient)
			gradients(s, p, &w, i, rows);
	}
	for (int64_t h = 0; h < own.n; h++) {
		const struct map_side k = map_side(s, p, ATTENTION_LOSS_K, h * own.D, own.D);
		float *dk = map_kept(s, p, ATTENTION_LOSS_K, h * own.D);
		if (dk)
			map_keep(dk, &k, w.dk + h * p->T * w.wide, p->T, w.wide);
	}
	return p->weight * sum;
}

static int attention_loss_forward(struct call *s)
{
	return map_loss_forward(s, sequence_work);
}

const struct kernel cpu_attention_loss_kernel = {
    attention_loss_prepare, NULL, attention_loss_forward, map_loss_backward, call_release_state};
