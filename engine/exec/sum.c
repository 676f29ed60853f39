/* The sum of the gradients of micro-batches, in their order. Kernels that add to a gradient round where it suits them,
 * so that the sum would depend on which kernel comes first; here each micro-batch has its own gradients, and a sum of
 * sums made elsewhere has the same bytes. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/internal.h"

static float *sum_of(const struct executor *ex, int i)
{
	return ex->shared->value[ex->slot[i].shared[SHARED_SUM]].tensor.data;
}

int exec_sum_gradients(struct executor *ex, bool first, bool last)
{
	const struct backend *b = ex->dev.backend;
	int rc = 0;
	for (int i = 0; !rc && i < ex->g.n; i++) {
		if (!exec_sums_gradient(ex, i))
			continue;
		float *gradient = (float *)(void *)ex->slot[i].gradient, *sum = sum_of(ex, i);
		const size_t n = (size_t)shape_count(ex->g.node[i].shape);
		if (first)
			rc = b->copy(ex->dev.ctx, sum, gradient, n * sizeof(*sum));
		else
			rc = last ? b->add(ex->dev.ctx, gradient, sum, n) : b->add(ex->dev.ctx, sum, gradient, n);
	}
	return rc ? err_context(rc, "%s: the sum of gradients", b->name) : 0;
}

static bool is_updated(const struct executor *ex, int i)
{
	return ex->slot[i].param && ex->slot[i].needs_gradient;
}

int64_t executor_gradient_values(const struct executor *ex)
{
	int64_t n = 0;
	for (int i = 0; i < ex->g.n; i++)
		n += is_updated(ex, i) ? shape_count(ex->g.node[i].shape) : 0;
	return n;
}

int executor_read_gradients(struct executor *ex, float *host)
{
	int rc = exec_place(ex, "gradients");
	for (int i = 0; !rc && i < ex->g.n; i++) {
		const int64_t n = is_updated(ex, i) ? shape_count(ex->g.node[i].shape) : 0;
		if (n)
			rc = ex->dev.backend->download(
			    ex->dev.ctx, host, ex->slot[i].gradient, (size_t)n * sizeof(*host));
		host += n;
	}
	return rc;
}

/* What comes from the host may have values in any row. */
static int all_rows_live(struct executor *ex, int i)
{
	const int at = ex->slot[i].shared[SHARED_ROWS];
	const struct backend *b = ex->dev.backend;
	uint8_t *live;
	int rc = 0;
	if (at < 0)
		return 0;
	const size_t rows = ex->shared->value[at].bytes;
	live = mem_alloc(rows, sizeof(*live));
	if (!live)
		return ERR_NOMEM;
	memset(live, 1, rows);
	rc = b->upload(ex->dev.ctx, ex->shared->value[at].tensor.data, live, rows);
	mem_free(live);
	return rc;
}

int executor_write_gradients(struct executor *ex, const float *host, int micro_batches)
{
	int rc = exec_place(ex, "gradients");
	for (int i = 0; !rc && i < ex->g.n; i++) {
		const int64_t n = is_updated(ex, i) ? shape_count(ex->g.node[i].shape) : 0;
		if (n)
			rc =
			    ex->dev.backend->upload(ex->dev.ctx, ex->slot[i].gradient, host, (size_t)n * sizeof(*host));
		if (!rc)
			rc = all_rows_live(ex, i);
		host += n;
	}
	ex->shared->observations = rc ? 0 : micro_batches;
	return rc;
}
