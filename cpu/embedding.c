/* OP_EMBEDDING: rows of a table by id. Backward sorts the tokens by id with one count, then every row of the table's
 * gradient is written once, by one thread, from its tokens in ascending order: the same bits for any thread count. */
#include "cpu/kernels.h"

#include <string.h>

#define ROWS 64 /* rows of the table that a thread takes at a time: frequent ids lie together, so parts are uneven */

static int embedding_prepare(struct call *s)
{
	const int64_t V = s->in[EMBEDDING_TABLE].shape.dim[0], M = s->out.shape.dim[0];
	if (s->want[EMBEDDING_TABLE])
		s->scratch = (size_t)(V + 1 + M) * sizeof(int64_t); /* struct by_row */
	s->by_rows[EMBEDDING_TABLE] = true;
	call_set_impl(s, "loop");
	return 0;
}

static int embedding_forward(struct call *s)
{
	const int64_t V = s->in[EMBEDDING_TABLE].shape.dim[0], M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const int32_t *id = s->in[EMBEDDING_IDS].data;
	const float *table = s->in[EMBEDDING_TABLE].data;
	float *y = s->out.data;
#pragma omp parallel for schedule(static) if (M * C >= CPU_SERIAL)
	for (int64_t m = 0; m < M; m++) {
		if (id[m] >= 0 && id[m] < V)
			memcpy(y + m * C, table + id[m] * C, (size_t)C * sizeof(*y));
		else
			memset(y + m * C, 0, (size_t)C * sizeof(*y));
	}
	return 0;
}

/* The tokens of row v, ascending: token[first[v]] .. token[first[v + 1] - 1]. */
struct by_row {
	int64_t *first, *token;
};

static struct by_row sort_tokens(const int32_t *id, int64_t M, int64_t V, void *scratch)
{
	struct by_row r = {scratch, (int64_t *)scratch + V + 1};
	memset(r.first, 0, (size_t)(V + 1) * sizeof(*r.first));
	for (int64_t m = 0; m < M; m++)
		if (id[m] >= 0 && id[m] < V)
			r.first[id[m]]++;
	/* first[v] becomes the end of row v, then, counted down from the last token, its begin. */
	for (int64_t v = 1; v <= V; v++)
		r.first[v] += r.first[v - 1];
	for (int64_t m = M - 1; m >= 0; m--)
		if (id[m] >= 0 && id[m] < V)
			r.token[--r.first[id[m]]] = m;
	return r;
}

#define WIDTH 16 /* floats of a vector register */

/* Up to WIDTH columns of cpu_sum_rows. */
static inline __attribute__((always_inline)) void sum_columns(
    float *d, const float *dy, const int64_t *token, int64_t n, int64_t C, int64_t width, bool add)
{
	float sum[WIDTH] = {0};
	for (int64_t i = 0; i < n; i++) {
		const float *row = dy + token[i] * C;
#pragma omp simd
		for (int64_t c = 0; c < width; c++)
			sum[c] += row[c];
	}
#pragma omp simd
	for (int64_t c = 0; c < width; c++)
		d[c] = add ? d[c] + sum[c] : sum[c];
}

CPU_CLONES void cpu_sum_rows(float *d, const float *dy, const int64_t *token, int64_t n, int64_t C, bool add)
{
	int64_t c = 0;
	for (; c + WIDTH <= C; c += WIDTH)
		sum_columns(d + c, dy + c, token, n, C, WIDTH, add);
	if (c < C)
		sum_columns(d + c, dy + c, token, n, C, C - c, add);
}

static int embedding_backward(struct call *s)
{
	const int64_t V = s->in[EMBEDDING_TABLE].shape.dim[0], M = s->out.shape.dim[0], C = s->out.shape.dim[1];
	const float *dy = s->dout.data;
	float *d = s->din[EMBEDDING_TABLE].data;
	uint8_t *live = s->live[EMBEDDING_TABLE];
	const bool add = s->accumulate[EMBEDDING_TABLE];
	if (!s->want[EMBEDDING_TABLE])
		return 0;
	const struct by_row r = sort_tokens(s->in[EMBEDDING_IDS].data, M, V, s->scratch_mem);
#pragma omp parallel for schedule(dynamic, ROWS) if ((add ? M : M + V) * C >= CPU_SERIAL)
	for (int64_t v = 0; v < V; v++) {
		const int64_t n = r.first[v + 1] - r.first[v];
		if (n > 0)
			cpu_sum_rows(d + v * C, dy, r.token + r.first[v], n, C, add);
		else if (!add && (!live || live[v]))
			memset(d + v * C, 0, (size_t)C * sizeof(*d));
		if (live)
			live[v] = n > 0 || (add && live[v]);
	}
	return 0;
}

const struct kernel cpu_embedding_kernel = {embedding_prepare, NULL, embedding_forward, embedding_backward, NULL};
