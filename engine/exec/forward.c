/* The forward half of a step. Allocates nothing. */
#include "base/clock.h"
#include "base/err.h"
#include "exec/internal.h"

int executor_input(struct executor *ex, const char *name, const void *host, size_t bytes)
{
	int i, rc = exec_ready(ex, "input");
	if (rc)
		return rc;
	i = exec_find(ex, name);
	if (i < 0)
		return i;
	if (ex->g.node[i].op != OP_INPUT || ex->slot[i].bound)
		return err_set(ERR_FAIL, "'%s' takes no data: it is %s", name,
		    ex->slot[i].bound ? "bound to another executor" : "no input");
	if (bytes != tensor_bytes(&ex->slot[i].tensor))
		return err_set(
		    ERR_FAIL, "input '%s' takes %zu bytes, not %zu", name, tensor_bytes(&ex->slot[i].tensor), bytes);
	rc = ex->dev.backend->upload(ex->dev.ctx, ex->slot[i].tensor.data, host, bytes);
	ex->slot[i].fed = !rc;
	return rc;
}

void executor_set_clock(struct executor *ex, uint64_t step, uint64_t first_sample)
{
	const struct step_time now = {step, first_sample};
	if (now.step == ex->time.step && now.first_sample == ex->time.first_sample)
		return;
	ex->time = now;
	ex->time_changed = true;
}

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

int exec_constants(struct executor *ex, double *seconds)
{
	int rc = seconds ? 0 : run_casts(ex); /* with time taken each node runs alone */
	for (int i = 0; !rc && i < ex->g.n; i++) {
		const struct kernel *k = ex->dev.backend->kernels[ex->g.node[i].op];
		if (is_leaf(&ex->g.node[i]))
			continue;
		if (k->pack && reads_constant(&ex->call[i]))
			rc = run_kernel(ex, i, seconds, "pack", k->pack);
		if (!rc && ex->slot[i].constant && !exec_is_rounded(ex, i) && (seconds || !ex->slot[i].at_once))
			rc = run_kernel(ex, i, seconds, "forward", k->forward);
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

unsigned exec_stale(const struct executor *ex)
{
	return ex->version == ex->store->version ? 0 : RUN_CONSTANTS;
}

int exec_run_constants(struct executor *ex)
{
	int rc = exec_stale(ex) ? exec_run(ex, RUN_CONSTANTS) : 0;
	ex->version = rc ? 0 : ex->store->version;
	return rc;
}

int exec_check_inputs(const struct executor *ex)
{
	int rc = exec_ready(ex, "forward");
	for (int i = 0; !rc && i < ex->g.n; i++)
		if (ex->g.node[i].op == OP_INPUT && !ex->slot[i].bound && !ex->slot[i].fed)
			rc = err_set(ERR_FAIL, "input '%s' was never given", ex->g.node[i].name);
	return rc;
}

void exec_forward_ran(struct executor *ex, int rc)
{
	ex->version = rc ? 0 : ex->store->version;
	ex->forward_done = !rc;
}

int executor_forward(struct executor *ex)
{
	int rc = exec_check_inputs(ex);
	if (rc)
		return rc;
	rc = exec_run(ex, exec_stale(ex) | RUN_FORWARD);
	exec_forward_ran(ex, rc);
	return rc;
}

int executor_profile(struct executor *ex, double *seconds)
{
	int rc = exec_check_inputs(ex);
	if (!rc)
		rc = exec_upload_clock(ex);
	if (rc)
		return rc;
	if (exec_stale(ex))
		rc = exec_constants(ex, seconds);
	if (!rc)
		rc = exec_forward(ex, seconds);
	exec_forward_ran(ex, rc);
	return rc;
}
