/* The backward half of a step and the update. Which gradients are wanted and who adds to them is decided once, at
 * prepare; a step then is a plain loop from the end.
 *
 * A gradient is wanted if its node depends on a trained param (or feeds a batch norm whose running statistics are
 * updated) and reaches the loss. The first node that writes a gradient in backward order overwrites it, later ones add.
 * For a param's gradient that holds in the first micro-batch; in later ones all add. That of a cast is its input's (see
 * internal.h). */
#include "base/err.h"
#include "base/mem.h"
#include "exec/internal.h"

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

/* Running mean and variance are observed where a batch norm normalises by the batch; a folded weight also reads the
 * variance, but has nothing to say about it. */
static bool observes(const struct node *node, int input)
{
	return node->op == OP_BATCHNORM && input >= 3;
}

/* Whether a gradient may flow from node i back into its input k. */
static bool can_flow(const struct executor *ex, int i, int k)
{
	const struct node *node = &ex->g.node[i], *from;
	if (node->in[k] == NODE_NONE)
		return false;
	from = &ex->g.node[node->in[k]];
	if (!is_float(from->dtype))
		return false;
	return from->op != OP_PARAM || from->attr.kind != PARAM_STAT || observes(node, k);
}

/* slot.wanted = depends on something trained; the loss is cut in by mark_reaching. */
static void mark_depending(struct executor *ex)
{
	for (int i = 0; i < ex->g.n; i++) {
		const struct node *node = &ex->g.node[i];
		struct slot *s = &ex->slot[i];
		s->wanted = node->op == OP_PARAM && node->attr.kind != PARAM_FROZEN && is_float(node->dtype);
		for (int k = 0; k < node->n_in; k++)
			if (can_flow(ex, i, k) && ex->slot[node->in[k]].wanted)
				s->wanted = true;
	}
}

/* Backwards from the loss: an input is wanted if it depends on something trained and a wanted consumer can reach it. */
static void mark_reaching(struct executor *ex)
{
	for (int i = ex->g.n - 1; i >= 0; i--) {
		const struct node *node = &ex->g.node[i];
		bool reached = i == ex->g.loss;
		for (int c = i + 1; !reached && c < ex->g.n; c++)
			for (int k = 0; k < ex->g.node[c].n_in; k++)
				reached |= ex->g.node[c].in[k] == i && ex->call[c].want[k];
		ex->slot[i].wanted = ex->slot[i].wanted && reached;
		for (int k = 0; k < node->n_in; k++)
			ex->call[i].want[k] = ex->slot[i].wanted && can_flow(ex, i, k) && ex->slot[node->in[k]].wanted;
	}
}

/* Inputs come before their casts, so a chain of casts ends at what was cast first. The gradient of the loss stays its
 * own: it is a constant. */
static void merge_casts(struct executor *ex)
{
	for (int i = 0; i < ex->g.n; i++) {
		const struct node *node = &ex->g.node[i];
		bool merged = node->op == OP_CAST && ex->call[i].want[0] && i != ex->g.loss && !ex->keep_all;
		ex->slot[i].grad_of = merged ? ex->slot[node->in[0]].grad_of : i;
	}
}

/* Whether node i is executed on the way back. */
static bool runs_backward(const struct executor *ex, int i)
{
	return !is_leaf(&ex->g.node[i]) && ex->slot[i].wanted && ex->slot[i].grad_of == i;
}

void exec_plan_gradients(struct executor *ex)
{
	if (ex->mode != EXEC_TRAIN || ex->g.loss == NODE_NONE)
		return;
	mark_depending(ex);
	mark_reaching(ex);
	merge_casts(ex);
	/* In backward order, inputs in index order, the first write overwrites. */
	for (int c = ex->g.n - 1; c >= 0; c--) {
		for (int k = 0; runs_backward(ex, c) && k < ex->g.node[c].n_in; k++) {
			struct slot *to;
			if (!ex->call[c].want[k])
				continue;
			to = &ex->slot[ex->slot[ex->g.node[c].in[k]].grad_of];
			ex->call[c].accumulate[k] = to->param || to->written;
			ex->slot[c].starts[k] = to->param && !to->written;
			to->written = true;
		}
	}
}

int exec_seed_gradient(struct executor *ex)
{
	const float one = 1;
	const size_t at = ex->g.loss == NODE_NONE ? NO_PLACE : ex->slot[ex->g.loss].grad;
	return at == NO_PLACE ? 0 : ex->dev.backend->upload(ex->dev.ctx, ex->gradients + at, &one, sizeof(one));
}

int executor_scale_loss(struct executor *ex, const struct update_state *scaling)
{
	if (ex->scaling == scaling)
		return 0;
	exec_forget_recordings(ex);
	ex->scaling = scaling;
	return scaling || ex->state != EXEC_READY ? 0 : exec_seed_gradient(ex);
}

/* dL/dL is 1, which is there since prepare, or the scale of the moment, which only the device knows. */
static int start_gradient(struct executor *ex)
{
	const struct backend *b = ex->dev.backend;
	if (!ex->scaling)
		return 0;
	return b->copy(
	    ex->dev.ctx, ex->gradients + ex->slot[ex->g.loss].grad, &ex->scaling->scale, sizeof(ex->scaling->scale));
}

int exec_backward(struct executor *ex, bool first)
{
	const struct backend *b = ex->dev.backend;
	int rc = start_gradient(ex);
	for (int i = ex->g.n - 1; !rc && i >= 0; i--) {
		if (!runs_backward(ex, i))
			continue;
		for (int k = 0; k < ex->g.node[i].n_in; k++)
			if (ex->slot[i].starts[k])
				ex->call[i].accumulate[k] = !first;
		rc = b->kernels[ex->g.node[i].op]->backward(&ex->call[i]);
		if (rc)
			exec_kernel_error(ex, i, "backward", rc);
	}
	return rc;
}

static int has_backward(const struct executor *ex)
{
	int rc = exec_ready(ex, "backward");
	if (rc)
		return rc;
	if (ex->mode != EXEC_TRAIN || ex->g.loss == NODE_NONE)
		return err_set(ERR_FAIL, "backward: needs a training executor with a loss");
	return ex->slot[ex->g.loss].wanted ? 0 : err_set(ERR_FAIL, "backward: no trained param reaches the loss");
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

int exec_plan_update(struct executor *ex)
{
	int n = 0;
	for (int i = 0; i < ex->g.n; i++) {
		if (!ex->slot[i].param || !ex->slot[i].wanted)
			continue;
		if (ex->g.node[i].dtype != DT_F32)
			return err_set(ERR_FAIL, "param '%s' is %s: only f32 params are trained", ex->g.node[i].name,
			    dtype_name(ex->g.node[i].dtype));
		n++;
	}
	ex->item = mem_alloc((size_t)n + 1, sizeof(*ex->item));
	ex->item_moment = mem_alloc((size_t)n + 1, sizeof(*ex->item_moment));
	return ex->item && ex->item_moment ? 0 : ERR_NOMEM;
}

/* Fills item `at` for param node i. The optimizer is asked by name only when its list has changed since last time. */
static int fill_item(struct executor *ex, struct optimizer *opt, int observations, int i, int at)
{
	const struct attr *a = &ex->g.node[i].attr;
	const struct param *p = ex->slot[i].param;
	struct moment *m;
	int place = ex->item_moment[at], rc;
	ex->item[at] = (struct update_item){.n = (size_t)shape_count(p->value.shape),
	    .w = p->value.data,
	    .g = (const float *)(const void *)(ex->gradients + ex->slot[i].grad),
	    .mask = p->mask,
	    .lr_factor = a->lr_factor,
	    .floor = a->floor,
	    .stat_momentum = a->momentum,
	    .observations = (float)observations,
	    .decay = a->decay,
	    .relative = a->relative,
	    .stat = a->kind == PARAM_STAT};
	if (a->kind == PARAM_STAT)
		return 0;
	if (place >= opt->n || opt->moment[place].param != p) {
		rc = optimizer_moments(opt, p, &m);
		if (rc)
			return rc;
		place = (int)(m - opt->moment);
		ex->item_moment[at] = place;
	}
	ex->item[at].m = opt->moment[place].m;
	ex->item[at].v = opt->moment[place].v;
	return 0;
}

/* Brings items and arguments to the device for an update after so many observations. */
static int stage_update(struct executor *ex, struct optimizer *opt, int observations)
{
	const struct backend *b = ex->dev.backend;
	int rc = 0, n = 0;
	if (opt->store != ex->store)
		return err_set(ERR_FAIL, "update: the optimizer belongs to another param store");
	if ((opt->scaled ? opt->args.state : NULL) != ex->scaling)
		return err_set(ERR_FAIL, "update: the loss was not scaled by the optimizer's scale");
	rc = optimizer_prepare(opt);
	for (int i = 0; !rc && i < ex->g.n; i++)
		if (ex->slot[i].param && ex->slot[i].wanted)
			rc = fill_item(ex, opt, observations, i, n++);
	if (rc)
		return rc;
	ex->job.item = ex->item;
	ex->job.n = n;
	ex->job.args = opt->args;
	rc = b->update_stage ? b->update_stage(ex->dev.ctx, &ex->job) : 0;
	return rc ? err_context(rc, "%s: update", b->name) : 0;
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
		rc = stage_update(ex, opt, ex->observations);
	if (!rc)
		rc = exec_run(ex, RUN_UPDATE);
	if (!rc)
		updated(ex);
	return rc;
}

int executor_step(struct executor *ex, bool accumulate, struct optimizer *opt)
{
	int observations = 0, rc = exec_check_inputs(ex);
	unsigned parts = exec_stale(ex) | RUN_FORWARD | (opt ? RUN_UPDATE : 0U);
	if (!rc)
		rc = has_backward(ex);
	if (rc)
		return rc;
	parts |= backward_parts(ex, accumulate, &observations);
	rc = opt ? stage_update(ex, opt, observations) : 0;
	if (!rc)
		rc = exec_run(ex, parts);
	exec_forward_ran(ex, rc);
	ex->forward_done = false;
	ex->observations = rc ? 0 : observations;
	if (!rc && opt)
		updated(ex);
	return rc;
}
