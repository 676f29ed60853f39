/* The update of the params that an executor trains: the list of what changes, and what the device must know of it. */
#include "base/err.h"
#include "base/mem.h"
#include "exec/internal.h"

int exec_plan_update(struct executor *ex)
{
	int n = 0;
	for (int i = 0; i < ex->g.n; i++) {
		if (!ex->slot[i].param || !ex->slot[i].needs_gradient)
			continue;
		if (ex->g.node[i].dtype != DT_F32)
			return err_set(ERR_FAIL, "param '%s' is %s: only f32 params are trained", ex->g.node[i].name,
			    dtype_name(ex->g.node[i].dtype));
		n++;
	}
	if (ex->shared->item)
		return 0;
	ex->shared->item = mem_alloc((size_t)n + 1, sizeof(*ex->shared->item));
	ex->shared->rows = mem_alloc((size_t)n + 1, sizeof(*ex->shared->rows));
	ex->shared->item_moment = mem_alloc((size_t)n + 1, sizeof(*ex->shared->item_moment));
	return ex->shared->item && ex->shared->rows && ex->shared->item_moment ? 0 : ERR_NOMEM;
}

/* Rows of the gradient and of the moments, where an update may pass over those that are zero. Once an update has been
 * at work without them, nobody knows which rows of the moments are zero. */
static int fill_rows(struct executor *ex, struct optimizer *opt, struct moment *m, int i, struct update_rows *rows)
{
	const int at = ex->slot[i].shared[SHARED_ROWS];
	rows->row = ex->slot[i].table ? (size_t)ex->g.node[i].shape.dim[1] : 0;
	if (at < 0 || m->dense) {
		m->dense = true;
		return 0;
	}
	if (!m->moved)
		m->moved = opt->store->dev.backend->alloc(opt->store->dev.ctx, ex->shared->value[at].bytes);
	if (!m->moved)
		return ERR_NOMEM;
	rows->live = ex->shared->value[at].tensor.data;
	rows->moved = m->moved;
	return 0;
}

/* Fills item `at` for param node i. The optimizer is asked by name only when its list has changed since last time. */
static int fill_item(struct executor *ex, struct optimizer *opt, int observations, int i, int at)
{
	const struct param_attr *a = &ex->g.node[i].param;
	const struct param *p = ex->slot[i].param;
	struct moment *m;
	int place = ex->shared->item_moment[at], rc;
	ex->shared->item[at] = (struct update_item){.n = (size_t)shape_count(p->value.shape),
	    .w = p->value.data,
	    .g = (const float *)(const void *)ex->slot[i].gradient,
	    .mask = p->mask,
	    .lr_factor = a->lr_factor,
	    .gradient_scale = a->gradient_scale,
	    .floor = a->floor,
	    .ceiling = a->ceiling,
	    .stat_momentum = a->momentum,
	    .observations = (float)observations,
	    .decay = a->decay,
	    .relative = a->relative,
	    .stat = a->kind == PARAM_STAT};
	ex->shared->rows[at] = (struct update_rows){0};
	if (a->kind == PARAM_STAT)
		return 0;
	if (place >= opt->n || opt->moment[place].param != p) {
		rc = optimizer_moments(opt, p, &m);
		if (rc)
			return rc;
		place = (int)(m - opt->moment);
		ex->shared->item_moment[at] = place;
	}
	ex->shared->item[at].m = opt->moment[place].m;
	ex->shared->item[at].v = opt->moment[place].v;
	return fill_rows(ex, opt, &opt->moment[place], i, &ex->shared->rows[at]);
}

/* Brings items and arguments to the device for an update after so many observations. */
int exec_stage_update(struct executor *ex, struct optimizer *opt, int observations)
{
	const struct backend *b = ex->dev.backend;
	int rc = 0, n = 0;
	if (opt->store != ex->store)
		return err_set(ERR_FAIL, "update: the optimizer belongs to another param store");
	if ((opt->scaled ? opt->args.state : NULL) != ex->shared->scaling)
		return err_set(ERR_FAIL, "update: the loss was not scaled by the optimizer's scale");
	rc = optimizer_prepare(opt);
	for (int i = 0; !rc && i < ex->g.n; i++)
		if (ex->slot[i].param && ex->slot[i].needs_gradient)
			rc = fill_item(ex, opt, observations, i, n++);
	if (rc)
		return rc;
	ex->shared->job.item = ex->shared->item;
	ex->shared->job.rows = ex->shared->rows;
	ex->shared->job.n = n;
	ex->shared->job.args = opt->args;
	rc = b->update_stage ? b->update_stage(ex->dev.ctx, &ex->shared->job) : 0;
	return rc ? err_context(rc, "%s: update", b->name) : 0;
}
