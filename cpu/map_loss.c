#include "cpu/map_loss.h"

#include <omp.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/onednn.h"

/* Sums of pieces come first in the scratch. */
static size_t sum_bytes(const struct map_loss *m)
{
	size_t total = 0;
	call_reserve(&total, (size_t)(m->N * m->pieces) * sizeof(double));
	return total;
}

int map_loss_prepare(
    struct call *s, int values, int pieces, size_t (*bytes)(const struct call *s, const struct map_loss *m))
{
	const struct cpu_ctx *c = s->ctx;
	const int64_t longest = s->node->attr.longest;
	struct map_loss *m = s->state = mem_alloc(1, sizeof(*m));
	if (!m)
		return ERR_NOMEM;
	m->values = values;
	m->pieces = pieces;
	m->N = s->in[2 * values].shape.dim[0] - 1;
	m->M = s->in[0].shape.dim[0];
	m->longest = longest && longest < m->M ? longest : m->M;
	m->keys = product_pad(m->longest);
	m->product = product_choose();
	m->bytes = bytes(s, m);
	s->scratch = sum_bytes(m) + m->bytes * (size_t)c->traits.threads;
	for (int i = 0; i < values; i++)
		if (s->mode == EXEC_TRAIN && s->want[i])
			call_reserve(&s->saved, (size_t)shape_count(s->in[i].shape) * sizeof(float));
	call_set_impl(s, "loop");
	return 0;
}

/* The kept gradient of input i. */
static float *kept(const struct call *s, int i)
{
	size_t at = 0;
	if (s->mode != EXEC_TRAIN || !s->want[i])
		return NULL;
	for (int k = 0; k < i; k++)
		if (s->want[k])
			call_reserve(&at, (size_t)shape_count(s->in[k].shape) * sizeof(float));
	return (float *)(void *)((char *)s->saved_mem + at);
}

/* Rows that belong to no sequence, or to one that is longer than was promised, have no gradient. */
static void clear_rest(const struct call *s, const struct map_loss *m)
{
	const int32_t *starts = s->in[2 * m->values].data;
	for (int i = 0; i < m->values; i++) {
		float *d = kept(s, i);
		const int64_t C = s->in[i].shape.dim[1];
		if (!d)
			continue;
		for (int64_t n = 0; n < m->N; n++) {
			int64_t first, last;
			cpu_segment(starts, n, m->M, &first, &last);
			cpu_clear_slack(d, last - first > m->longest ? first + m->longest : last, last, C);
		}
		cpu_clear_slack(d, cpu_slack(starts, m->N, m->M), m->M, C);
	}
}

/* Multiply-adds of one product of the student's. */
static int64_t work_of(const struct call *s, const struct map_loss *m)
{
	const int32_t *starts = s->in[2 * m->values].data;
	int64_t sum = 0;
	for (int64_t n = 0; n < m->N; n++) {
		int64_t first, last;
		cpu_segment(starts, n, m->M, &first, &last);
		sum += last > first ? (last - first) * (last - first) * s->in[0].shape.dim[1] : 0;
	}
	return sum;
}

/* Piece i of all; false: there are no rows. */
static bool begin(const struct call *s, const struct map_loss *m, int64_t i, struct map_piece *p)
{
	const int starts = 2 * m->values;
	int64_t last;
	*p = (struct map_piece){.m = m, .n = i / m->pieces, .part = i % m->pieces};
	cpu_segment(s->in[starts].data, p->n, m->M, &p->first, &last);
	const int64_t T = last - p->first;
	if (T <= 0)
		return false;
	p->T = T < m->longest ? T : m->longest;
	p->keys = product_pad(p->T);
	p->weight = (double)s->node->attr.factor * (double)((const float *)s->in[starts + 1].data)[p->n] / (double)p->T;
	p->memory = (char *)s->scratch_mem + sum_bytes(m) + m->bytes * (size_t)omp_get_thread_num();
	return true;
}

int map_loss_forward(struct call *s, double (*work)(const struct call *s, const struct map_piece *p))
{
	const struct map_loss *m = s->state;
	const bool alone = work_of(s, m) < CPU_SERIAL_MACS / 8;
	double *sum = s->scratch_mem, loss = 0.0;
	clear_rest(s, m);
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
	for (int64_t i = 0; i < m->N * m->pieces; i++) {
		struct map_piece p;
		sum[i] = begin(s, m, i, &p) ? work(s, &p) : 0.0;
	}
	for (int64_t i = 0; i < m->N * m->pieces; i++)
		loss += sum[i];
	*(float *)s->out.data = (float)loss;
	return 0;
}

int map_loss_backward(struct call *s)
{
	const struct map_loss *m = s->state;
	const float g = *(const float *)s->dout.data;
	for (int i = 0; i < m->values; i++)
		if (s->want[i])
			cpu_scale_into(s->din[i].data, kept(s, i), g, shape_count(s->in[i].shape), s->accumulate[i]);
	for (int i = m->values; i < s->node->n_in; i++)
		cpu_no_gradient(s, i);
	return 0;
}

struct map_side map_side(const struct call *s, const struct map_piece *p, int input, int64_t column, int64_t D)
{
	const int64_t C = s->in[input].shape.dim[1];
	return (struct map_side){.x = (const float *)s->in[input].data + p->first * C + column, .C = C, .D = D};
}

float *map_kept(const struct call *s, const struct map_piece *p, int input, int64_t column)
{
	float *d = kept(s, input);
	return d ? d + p->first * s->in[input].shape.dim[1] + column : NULL;
}

void map_columns(float *to, const struct map_piece *p, const struct map_side *a)
{
	for (int64_t d = 0; d < a->D; d++) {
		for (int64_t i = 0; i < p->T; i++)
			to[d * p->keys + i] = a->x[i * a->C + d];
		for (int64_t i = p->T; i < p->keys; i++)
			to[d * p->keys + i] = 0.0f;
	}
}

void map_rows(float *to, const struct map_side *a, int64_t first, int64_t rows, int64_t wide)
{
	for (int64_t i = 0; i < rows; i++) {
		memcpy(to + i * wide, a->x + (first + i) * a->C, (size_t)a->D * sizeof(*to));
		for (int64_t d = a->D; d < wide; d++)
			to[i * wide + d] = 0.0f;
	}
}

void map_scores(
    const struct map_piece *p, float *y, const struct map_side *a, int64_t first, int64_t rows, const float *columns)
{
	p->m->product(&(struct product){.m = rows,
	    .n = p->keys,
	    .k = a->D,
	    .a = a->x + first * a->C,
	    .a_row = a->C,
	    .a_step = 1,
	    .b = columns,
	    .b_row = p->keys,
	    .c = y,
	    .c_row = p->keys});
}

void map_times(const struct map_piece *p, float *y, const float *g, int64_t rows, const float *b, int64_t wide)
{
	p->m->product(&(struct product){.m = rows,
	    .n = wide,
	    .k = p->T,
	    .a = g,
	    .a_row = p->keys,
	    .a_step = 1,
	    .b = b,
	    .b_row = wide,
	    .c = y,
	    .c_row = wide});
}

void map_times_transposed(
    const struct map_piece *p, float *y, const float *g, int64_t rows, const float *b, int64_t wide)
{
	p->m->product(&(struct product){.m = p->T,
	    .n = wide,
	    .k = rows,
	    .a = g,
	    .a_row = 1,
	    .a_step = p->keys,
	    .b = b,
	    .b_row = wide,
	    .c = y,
	    .c_row = wide,
	    .add = true});
}

void map_keep(float *d, const struct map_side *a, const float *y, int64_t rows, int64_t wide)
{
	for (int64_t i = 0; i < rows; i++)
		memcpy(d + i * a->C, y + i * wide, (size_t)a->D * sizeof(*d));
}
