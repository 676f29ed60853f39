/* What maps from token to token are apart from a teacher's: attention maps, and self-attention relations. Maps are
 * matrices here, one sequence at a time. */
#include "base/err.h"
#include "base/mem.h"
#include "ref/ref_impl.h"

#define LEAST 1e-30 /* of a probability in a logarithm */

/* A sequence of T rows from `first` on; its matrices are (T,T). */
struct maps {
	int64_t first, T;
	double weight;                 /* of a token */
	double *own, *teacher, *slope; /* the student's map, the teacher's, d loss / d the student's */
	double *p, *g;                 /* of one head */
};

static double score(const struct call *s, int a, int b, int64_t row_a, int64_t row_b, int64_t column, int64_t D)
{
	const int64_t C = s->in[a].shape.dim[1];
	double sum = 0;
	for (int64_t d = column; d < column + D; d++)
		sum += ref_get(&s->in[a], row_a * C + d) * ref_get(&s->in[b], row_b * C + d);
	return sum / sqrt((double)D);
}

/* p = softmax of the scores of inputs a and b in D columns; log_p, unless NULL, its logarithm. */
static void softmax(
    const struct call *s, const struct maps *m, int a, int b, int64_t column, int64_t D, double *p, double *log_p)
{
	for (int64_t i = 0; i < m->T; i++) {
		double *row = p + i * m->T, most = -INFINITY, sum = 0;
		for (int64_t j = 0; j < m->T; j++) {
			row[j] = score(s, a, b, m->first + i, m->first + j, column, D);
			most = fmax(most, row[j]);
		}
		for (int64_t j = 0; j < m->T; j++)
			sum += exp(row[j] - most);
		for (int64_t j = 0; j < m->T; j++) {
			const double log_value = row[j] - most - log(sum);
			if (log_p)
				log_p[i * m->T + j] = log_value;
			row[j] = exp(log_value);
		}
	}
}

/* The gradient of input `to`, of a score matrix whose gradient is g: row i of it meets rows j of `from`. transposed:
 * `to` was the second factor. */
static void back(
    const struct call *s, const struct maps *m, int to, int from, bool transposed, int64_t column, int64_t D, bool add)
{
	const int64_t C = s->in[to].shape.dim[1];
	for (int64_t i = 0; s->want[to] && i < m->T; i++)
		for (int64_t d = column; d < column + D; d++) {
			double sum = 0;
			for (int64_t j = 0; j < m->T; j++)
				sum += m->g[transposed ? j * m->T + i : i * m->T + j] *
				       ref_get(&s->in[from], (m->first + j) * C + d);
			const int64_t e = (m->first + i) * C + d;
			sum /= sqrt((double)D);
			if (add)
				ref_set(&s->din[to], e, ref_get(&s->din[to], e) + sum);
			else
				ref_grad(s, to, e, sum);
		}
}

/* --- attention ---------------------------------------------------------------------------------------------------- */

static void mean_map(const struct call *s, const struct maps *m, int q, int heads, double *map)
{
	const int64_t D = s->in[q].shape.dim[1] / heads;
	for (int64_t e = 0; e < m->T * m->T; e++)
		map[e] = 0;
	for (int h = 0; h < heads; h++) {
		softmax(s, m, q, q + 1, h * D, D, m->p, NULL);
		for (int64_t e = 0; e < m->T * m->T; e++)
			map[e] += m->p[e] / heads;
	}
}

/* What the maps are apart, as a sum over the rows, and its slope. */
static double apart(const struct call *s, const struct maps *m)
{
	double sum = 0;
	for (int64_t e = 0; e < m->T * m->T; e++) {
		const double x = m->own[e], t = m->teacher[e];
		if (s->node->attr.distance == DISTANCE_MSE) {
			sum += (x - t) * (x - t) / (double)m->T;
			m->slope[e] = 2 * (x - t) / (double)m->T;
		} else {
			sum += t * log(fmax(t, LEAST) / fmax(x, LEAST));
			m->slope[e] = x >= LEAST ? -t / x : 0;
		}
	}
	return sum;
}

static double attention_loss(const struct call *s, struct maps *m)
{
	mean_map(s, m, ATTENTION_LOSS_Q, s->node->attr.heads, m->own);
	mean_map(s, m, ATTENTION_LOSS_TEACHER_Q, s->node->attr.teacher_heads, m->teacher);
	return m->weight * apart(s, m);
}

static void attention_gradient(const struct call *s, struct maps *m)
{
	const int heads = s->node->attr.heads;
	const int64_t D = s->in[ATTENTION_LOSS_Q].shape.dim[1] / heads;
	attention_loss(s, m);
	for (int h = 0; h < heads; h++) {
		softmax(s, m, ATTENTION_LOSS_Q, ATTENTION_LOSS_K, h * D, D, m->p, NULL);
		for (int64_t i = 0; i < m->T; i++) {
			const double *p = m->p + i * m->T, *slope = m->slope + i * m->T;
			double mean = 0;
			for (int64_t j = 0; j < m->T; j++)
				mean += p[j] * slope[j];
			for (int64_t j = 0; j < m->T; j++)
				m->g[i * m->T + j] = m->weight / heads * p[j] * (slope[j] - mean);
		}
		back(s, m, ATTENTION_LOSS_Q, ATTENTION_LOSS_K, false, h * D, D, false);
		back(s, m, ATTENTION_LOSS_K, ATTENTION_LOSS_Q, true, h * D, D, false);
	}
}

/* --- relations ---------------------------------------------------------------------------------------------------- */

/* The relations of one block; own and teacher become probabilities, slope and p logarithms. */
static double relation(const struct call *s, struct maps *m, int i, int block)
{
	const int64_t D = s->in[i].shape.dim[1] / s->node->attr.heads;
	const int t = i + RELATION_LOSS_TEACHER_Q;
	const int64_t teacher_d = s->in[t].shape.dim[1] / s->node->attr.heads;
	double sum = 0;
	softmax(s, m, i, i, block * D, D, m->own, m->slope);
	softmax(s, m, t, t, block * teacher_d, teacher_d, m->teacher, m->p);
	for (int64_t e = 0; e < m->T * m->T; e++)
		sum += m->teacher[e] * (m->p[e] - m->slope[e]);
	return sum;
}

static double part(const struct call *s, const struct maps *m)
{
	return m->weight / (RELATION_LOSS_TEACHER_Q * s->node->attr.heads);
}

static double relation_loss(const struct call *s, struct maps *m)
{
	double sum = 0;
	for (int i = RELATION_LOSS_Q; i <= RELATION_LOSS_V; i++)
		for (int block = 0; block < s->node->attr.heads; block++)
			sum += relation(s, m, i, block);
	return part(s, m) * sum;
}

static void relation_gradient(const struct call *s, struct maps *m)
{
	for (int i = RELATION_LOSS_Q; i <= RELATION_LOSS_V; i++)
		for (int block = 0; block < s->node->attr.heads; block++) {
			const int64_t D = s->in[i].shape.dim[1] / s->node->attr.heads;
			relation(s, m, i, block);
			for (int64_t e = 0; e < m->T * m->T; e++)
				m->g[e] = part(s, m) * (m->own[e] - m->teacher[e]);
			back(s, m, i, i, false, block * D, D, false);
			back(s, m, i, i, true, block * D, D, true);
		}
}

/* --- both --------------------------------------------------------------------------------------------------------- */

static double gradient_of(const struct call *s, struct maps *m)
{
	if (s->node->op == OP_ATTENTION_LOSS)
		attention_gradient(s, m);
	else
		relation_gradient(s, m);
	return 0;
}

/* Every sequence; *sum: of what `work` returns. by: what weights are multiplied by. */
static int each_sequence(
    const struct call *s, double by, double (*work)(const struct call *s, struct maps *m), double *sum)
{
	const int starts = s->node->n_in - 2;
	const int64_t N = s->in[starts].shape.dim[0] - 1, M = s->in[0].shape.dim[0];
	double *all = mem_alloc((size_t)(5 * M * M), sizeof(*all));
	struct maps m = {.own = all, .teacher = all + M * M, .slope = all + 2 * M * M, .p = all + 3 * M * M};
	m.g = all + 4 * M * M;
	*sum = 0;
	for (int64_t n = 0; all && n < N; n++) {
		int64_t last;
		ref_segment(s, starts, 0, n, &m.first, &last);
		m.T = last - m.first;
		m.weight = by * (double)s->node->attr.factor * ref_get(&s->in[starts + 1], n) / (double)m.T;
		if (m.T > 0)
			*sum += work(s, &m);
	}
	mem_free(all);
	return all ? 0 : ERR_NOMEM;
}

static int map_backward(struct call *s)
{
	const int starts = s->node->n_in - 2;
	double unused;
	for (int i = 0; i < starts / 2; i++) {
		const int64_t C = s->in[i].shape.dim[1];
		for (int64_t e = ref_slack(s, starts) * C; s->want[i] && e < shape_count(s->in[i].shape); e++)
			ref_grad(s, i, e, 0);
	}
	for (int i = starts / 2; i < s->node->n_in; i++)
		if (s->want[i])
			ref_grad_none(s, i);
	return each_sequence(s, ref_get(&s->dout, 0), gradient_of, &unused);
}

int ref_attention_loss_forward(struct call *s)
{
	double loss;
	int rc = each_sequence(s, 1, attention_loss, &loss);
	ref_set(&s->out, 0, loss);
	return rc;
}

int ref_attention_loss_backward(struct call *s)
{
	return map_backward(s);
}

int ref_relation_loss_forward(struct call *s)
{
	double loss;
	int rc = each_sequence(s, 1, relation_loss, &loss);
	ref_set(&s->out, 0, loss);
	return rc;
}

int ref_relation_loss_backward(struct call *s)
{
	return map_backward(s);
}
