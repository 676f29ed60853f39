/* The calls that make up a step: inputs, clock, forward, backward, update. Nothing here allocates. */
#include "base/err.h"
#include "exec/internal.h"

int executor_input(struct executor *ex, const char *name, const void *host, size_t bytes)
{
	int i, rc = exec_place(ex, "input");
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
	exec_own(ex);
	rc = ex->dev.backend->upload(ex->dev.ctx, ex->slot[i].tensor.data, host, bytes);
	ex->slot[i].fed = !rc;
	return rc;
}

int executor_take(struct executor *ex, const char *name, const struct executor *other, const char *node)
{
	int rc = exec_place(ex, "input");
	int i = rc ? rc : exec_find(ex, name), from = i < 0 ? i : exec_find(other, node);
	if (from < 0)
		return from;
	const struct tensor *to = &ex->slot[i].tensor, *value = &other->slot[from].tensor;
	if (ex->g.node[i].op != OP_INPUT || ex->slot[i].bound)
		return err_set(ERR_FAIL, "'%s' takes no data", name);
	if (!exec_readable(other, from) || ex->dev.ctx != other->dev.ctx || to->dtype != value->dtype ||
	    !shape_equal(to->shape, value->shape))
		return err_set(ERR_FAIL, "input '%s' cannot be taken from '%s' of another executor", name, node);
	exec_own(ex);
	rc = ex->dev.backend->copy(ex->dev.ctx, to->data, value->data, tensor_bytes(to));
	ex->slot[i].fed = !rc;
	return rc;
}

int executor_feed(struct executor *ex, const struct feed *feed)
{
	int rc = 0;
	for (int i = 0; !rc && i < feed->n; i++) {
		const struct feed_tensor *t = &feed->tensor[i];
		if (graph_find(&ex->g, t->name) != NODE_NONE)
			rc = executor_input(ex, t->name, t->data, (size_t)t->count * dtype_size(t->dtype));
	}
	return rc;
}

void executor_set_clock(struct executor *ex, uint64_t step, uint64_t first_sample)
{
	struct exec_shared *shared = ex->shared;
	if (step == shared->time.step && first_sample == shared->time.first_sample)
		return;
	shared->time = (struct step_time){step, first_sample};
	shared->time_changed = true;
}

int executor_scale_loss(struct executor *ex, const struct update_state *scaling)
{
	struct exec_shared *shared = ex->shared;
	if (shared->scaling == scaling)
		return 0;
	shared->scaling = scaling;
	shared->generation++;
	return scaling || ex->state != EXEC_READY ? 0 : exec_seed_gradient(ex);
}

/* Whether the value that an input is bound to can be read: it may lie in memory that another executor has used since.
 */
static bool bound_is_there(const struct slot *s)
{
	const struct exec_arena *a = s->bound->shared->arena;
	const struct slot *from = &s->bound->slot[s->bound_node];
	return from->param || from->constant || !a->owner || exec_owns(s->bound);
}

static int check_input(const struct executor *ex, int i)
{
	const struct slot *s = &ex->slot[i];
	const char *name = ex->g.node[i].name;
	if (s->bound && bound_is_there(s))
		return 0;
	if (s->bound)
		return err_set(ERR_FAIL, "input '%s' is bound to a value that is gone", name);
	if (!s->fed)
		return err_set(ERR_FAIL, "input '%s' was never given", name);
	if (!exec_owns(ex))
		return err_set(ERR_FAIL, "input '%s' is gone: another executor of the same memory has run since", name);
	return 0;
}

/* ERR_FAIL unless the executor is prepared and all inputs are there. The arena is its own then. */
static int begin(struct executor *ex)
{
	int rc = exec_place(ex, "forward");
	for (int i = 0; !rc && i < ex->g.n; i++)
		if (ex->g.node[i].op == OP_INPUT)
			rc = check_input(ex, i);
	if (!rc)
		exec_own(ex);
	return rc;
}

/* Notes that what was due and forward ran, with this outcome. */
static void forward_ran(struct executor *ex, unsigned parts, int rc)
{
	exec_ran(ex, parts, rc);
	ex->forward_done = !rc;
}

int executor_forward(struct executor *ex)
{
	unsigned parts;
	int rc = begin(ex);
	if (rc)
		return rc;
	parts = exec_stale(ex) | RUN_FORWARD;
	rc = exec_run(ex, parts);
	forward_ran(ex, parts, rc);
	return rc;
}

int executor_profile(struct executor *ex, double *seconds)
{
	unsigned parts;
	int rc = begin(ex);
	if (!rc)
		rc = exec_upload_clock(ex);
	if (rc)
		return rc;
	parts = exec_stale(ex);
	rc = exec_constants(ex, parts, seconds);
	if (!rc)
		rc = exec_forward(ex, seconds);
	forward_ran(ex, parts, rc);
	return rc;
}

static int has_backward(struct executor *ex)
{
	int rc = exec_place(ex, "backward");
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
	bool first = !accumulate || !ex->shared->observations;
	*observations = first ? 1 : ex->shared->observations + 1;
	return RUN_BACKWARD | (first ? RUN_FIRST : 0U);
}

int executor_backward(struct executor *ex, bool accumulate)
{
	int observations, rc = has_backward(ex);
	if (rc)
		return rc;
	if (!ex->forward_done || !exec_owns(ex))
		return err_set(ERR_FAIL, "backward: there was no forward before it");
	ex->forward_done = false; /* kernels may use what forward kept only once */
	rc = exec_run(ex, backward_parts(ex, accumulate, &observations));
	ex->shared->observations = rc ? 0 : observations;
	return rc;
}

static void updated(struct executor *ex)
{
	ex->shared->observations = 0;
	params_touch(ex->store);
}

int executor_update(struct executor *ex, struct optimizer *opt)
{
	int rc = exec_place(ex, "update");
	if (!rc && !ex->shared->observations)
		rc = err_set(ERR_FAIL, "update: there was no backward before it");
	if (!rc)
		rc = exec_stage_update(ex, opt, ex->shared->observations);
	if (!rc)
		rc = exec_run(ex, RUN_UPDATE);
	if (!rc)
		updated(ex);
	return rc;
}

/* Whether this micro-batch is the only one of its update. */
static bool is_alone(int observations, const struct optimizer *opt)
{
	return observations == 1 && opt;
}

/* The gradients of this micro-batch alone, then the sum, then the update. */
static int run_summing(struct executor *ex, unsigned parts, int observations, bool last)
{
	int rc = exec_run(ex, (parts | RUN_FIRST) & ~(unsigned)RUN_UPDATE);
	if (!rc)
		rc = exec_sum_gradients(ex, observations == 1, last);
	return rc || !last ? rc : exec_run(ex, RUN_UPDATE);
}

int executor_step(struct executor *ex, bool accumulate, struct optimizer *opt)
{
	int observations = 0, rc = begin(ex);
	unsigned parts = RUN_FORWARD | (opt ? RUN_UPDATE : 0U);
	if (!rc)
		rc = has_backward(ex);
	if (rc)
		return rc;
	parts |= exec_stale(ex) | backward_parts(ex, accumulate, &observations);
	rc = opt ? exec_stage_update(ex, opt, observations) : 0;
	if (!rc)
		rc = ex->shared->sums && !is_alone(observations, opt) ? run_summing(ex, parts, observations, opt)
								      : exec_run(ex, parts);
	forward_ran(ex, parts, rc);
	ex->forward_done = false;
	ex->shared->observations = rc ? 0 : observations;
	if (!rc && opt)
		updated(ex);
	return rc;
}
