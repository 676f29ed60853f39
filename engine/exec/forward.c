/* The forward half of a step: a loop over the nodes. Allocates nothing. */
#include "base/clock.h"
#include "base/err.h"
#include "exec/internal.h"

static bool reads_constant(const struct call *s)
{
	for (int k = 0; k < s->node->n_in; k++)
		if (s->constant_in[k])
			return true;
	return false;
}

/* Starts or ends the time of a node; with time taken, work must be over, not only launched. */
static int take_time(struct executor *ex, double *seconds, int i, double *start)
{
	int rc = ex->dev.backend->sync(ex->dev.ctx);
	double now = clock_now();
	if (start)
		*start = now;
	else
		seconds[i] += now;
	return rc;
}

static int run_kernel(struct executor *ex, int i, double *seconds, const char *phase, int (*function)(struct call *))
{
	double start = 0;
	int rc = seconds ? take_time(ex, seconds, i, &start) : 0;
	if (rc)
		return rc;
	rc = function(&ex->call[i]);
	if (rc)
		return exec_kernel_error(ex, i, phase, rc);
	if (!seconds)
		return 0;
	seconds[i] -= start;
	return take_time(ex, seconds, i, NULL);
}

static int run_casts(struct executor *ex)
{
	int rc = ex->n_cast ? ex->dev.backend->cast_all(ex->cast, ex->n_cast) : 0;
	return rc ? err_context(rc, "%s: casts of params", ex->dev.backend->name) : 0;
}

/* Memory that the family shares is packed by the member that comes first; the kernel is told, for it may have more to
 * do than to pack. */
static int pack(struct executor *ex, int i, double *seconds)
{
	const struct kernel *k = ex->dev.backend->kernels[ex->g.node[i].op];
	const int at = ex->slot[i].shared[SHARED_PACKED];
	struct shared_value *packed = at < 0 ? NULL : &ex->shared->value[at];
	int rc;
	if (!k->pack || !reads_constant(&ex->call[i]))
		return 0;
	ex->call[i].is_packed = packed && packed->version == ex->store->version;
	rc = run_kernel(ex, i, seconds, "pack", k->pack);
	if (packed)
		packed->version = rc ? 0 : ex->store->version;
	return rc;
}

int exec_constants(struct executor *ex, unsigned parts, double *seconds)
{
	const bool constants = parts & RUN_CONSTANTS;
	int rc = seconds || !constants ? 0 : run_casts(ex); /* with time taken each node runs alone */
	for (int i = 0; !rc && i < ex->g.n; i++) {
		if (is_leaf(&ex->g.node[i]))
			continue;
		if (parts & RUN_PACK)
			rc = pack(ex, i, seconds);
		if (!rc && constants && ex->slot[i].constant && !exec_is_rounded(ex, i) &&
		    (seconds || !ex->slot[i].at_once))
			rc = run_kernel(ex, i, seconds, "forward", ex->dev.backend->kernels[ex->g.node[i].op]->forward);
	}
	return rc;
}

int exec_forward(struct executor *ex, double *seconds)
{
	int rc = 0;
	for (int i = 0; !rc && i < ex->g.n; i++)
		if (!is_leaf(&ex->g.node[i]) && !ex->slot[i].constant && !exec_is_rounded(ex, i))
			rc = run_kernel(ex, i, seconds, "forward", ex->dev.backend->kernels[ex->g.node[i].op]->forward);
	return rc;
}
