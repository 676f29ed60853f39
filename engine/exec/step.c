/* The calls that make up a step: inputs, clock, forward, backward, update. Nothing here allocates. */
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

int executor_scale_loss(struct executor *ex, const struct update_state *scaling)
{
	if (ex->scaling == scaling)
		return 0;
	exec_forget_recordings(ex);
	ex->scaling = scaling;
	return scaling || ex->state != EXEC_READY ? 0 : exec_seed_gradient(ex);
}

/* ERR_FAIL unless the executor is prepared and all inputs were given. */
static int check_inputs(const struct executor *ex)
{
	int rc = exec_ready(ex, "forward");
	for (int i = 0; !rc && i < ex->g.n; i++)
		if (ex->g.node[i].op == OP_INPUT && !ex->slot[i].bound && !ex->slot[i].fed)
			rc = err_set(ERR_FAIL, "input '%s' was never given", ex->g.node[i].name);
	return rc;
}

/* Notes that constants, where stale, and forward ran, with this outcome. */
static void forward_ran(struct executor *ex, int rc)
{
	ex->version = rc ? 0 : ex->store->version;
	ex->forward_done = !rc;
}

int executor_forward(struct executor *ex)
{
	int rc = check_inputs(ex);
	if (rc)
		return rc;
	rc = exec_run(ex, exec_stale(ex) | RUN_FORWARD);
	forward_ran(ex, rc);
	return rc;
}

int executor_profile(struct executor *ex, double *seconds)
{
	int rc = check_inputs(ex);
	if (!rc)
		rc = exec_upload_clock(ex);
	if (rc)
		return rc;
	if (exec_stale(ex))
		rc = exec_constants(ex, seconds);
	if (!rc)
		rc = exec_forward(ex, seconds);
	forward_ran(ex, rc);
	return rc;
}

static int has_backward(const struct executor *ex)
{
	int rc = exec_ready(ex, "backward");
	if (rc)
		return rc;
	if (ex->mode != EXEC_TRAIN || ex->g.loss == NODE_NONE)
		return err_set(ERR_FAIL, "backward: needs a training executor with a loss");
	return ex->slot[ex->g.loss].needs_gradient ? 0
						   : err_set(ERR_FAIL, "backward: no trained param reaches the loss");
}

/* The parts of a backward, and how many will have been seen after it. */
static unsigned backward_parts(const struct executor *ex, bool accumulate, int *observations)
{
	bool first = !accumulate || !ex->observations;
	*observations = first ? 1 : ex->observations + 1;
	return RUN_BACKWARD | (first ? RUN_FIRST : 0U);
}

int executor_backward(struct executor *ex, bool accumulate)
{
	int observations, rc = has_backward(ex);
	if (rc)
		return rc;
	if (!ex->forward_done)
		return err_set(ERR_FAIL, "backward: there was no forward before it");
	ex->forward_done = false; /* kernels may use what forward kept only once */
	rc = exec_run(ex, backward_parts(ex, accumulate, &observations));
	ex->observations = rc ? 0 : observations;
	return rc;
}

static void updated(struct executor *ex)
{
	ex->observations = 0;
	params_touch(ex->store);
}

int executor_update(struct executor *ex, struct optimizer *opt)
{
	int rc = exec_ready(ex, "update");
	if (!rc && !ex->observations)
		rc = err_set(ERR_FAIL, "update: there was no backward before it");
	if (!rc)
		rc = exec_stage_update(ex, opt, ex->observations);
	if (!rc)
		rc = exec_run(ex, RUN_UPDATE);
	if (!rc)
		updated(ex);
	return rc;
}

int executor_step(struct executor *ex, bool accumulate, struct optimizer *opt)
{
	int observations = 0, rc = check_inputs(ex);
	unsigned parts = exec_stale(ex) | RUN_FORWARD | (opt ? RUN_UPDATE : 0U);
	if (!rc)
		rc = has_backward(ex);
	if (rc)
		return rc;
	parts |= backward_parts(ex, accumulate, &observations);
	rc = opt ? exec_stage_update(ex, opt, observations) : 0;
	if (!rc)
		rc = exec_run(ex, parts);
	forward_ran(ex, rc);
	ex->forward_done = false;
	ex->observations = rc ? 0 : observations;
	if (!rc && opt)
		updated(ex);
	return rc;
}
