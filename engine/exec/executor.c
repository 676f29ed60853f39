/* Life of an executor: create, bind, prepare (kernels, then plan, then memory), free. What a step does is in step.c,
 * where the memory lies in plan.c. */
#include "base/err.h"
#include "base/mem.h"
#include "exec/internal.h"

/* What does not change after create: who reads whom. */
static int fill_slots(struct executor *ex)
{
	bool *constant = mem_alloc((size_t)ex->g.n + 1, sizeof(*constant));
	int rc = constant ? 0 : ERR_NOMEM;
	if (rc)
		return rc;
	graph_constant(&ex->g, constant);
	for (int i = 0; !rc && i < ex->g.n; i++) {
		struct node *node = &ex->g.node[i];
		struct slot *s = &ex->slot[i];
		s->constant = constant[i];
		for (int k = 0; k < SHARED_KINDS; k++)
			s->shared[k] = -1;
		s->tensor = (struct tensor){.dtype = node->dtype, .shape = node->shape};
		ex->call[i].node = node;
		ex->random = ex->random || (op_info(node->op)->random && node->attr.rate > 0);
		if (node->op != OP_PARAM)
			continue;
		s->param = params_find(ex->store, node->name);
		if (!s->param)
			rc = err_set(ERR_FAIL, "the param store lacks '%s'", node->name);
		else if (s->param->value.dtype != node->dtype || !shape_equal(s->param->value.shape, node->shape))
			rc = err_set(ERR_FAIL, "param '%s' has another type or shape in the store", node->name);
	}
	mem_free(constant);
	return rc;
}

int exec_create(struct executor **out, const struct graph *g, struct exec_shared *shared)
{
	struct executor *ex = mem_alloc(1, sizeof(*ex));
	int rc;
	*out = NULL;
	if (!ex)
		return ERR_NOMEM;
	graph_init(&ex->g);
	ex->shared = shared;
	ex->store = shared->store;
	ex->dev = shared->dev;
	ex->mode = shared->mode;
	ex->keep_all = shared->keep_all;
	rc = graph_copy(&ex->g, g);
	if (rc)
		goto out;
	ex->call = mem_alloc((size_t)g->n + 1, sizeof(*ex->call));
	ex->slot = mem_alloc((size_t)g->n + 1, sizeof(*ex->slot));
	rc = ex->call && ex->slot ? fill_slots(ex) : ERR_NOMEM;
out:
	if (rc)
		executor_free(ex);
	else
		*out = ex;
	return rc;
}

int executor_create(
    struct executor **out, const struct graph *g, struct param_store *store, const struct executor_options *o)
{
	struct exec_shared *shared = mem_alloc(1, sizeof(*shared));
	int rc;
	*out = NULL;
	if (!shared)
		return ERR_NOMEM;
	shared_init(shared, store, o);
	rc = exec_create(out, g, shared);
	if (rc) {
		shared_clear(shared);
		mem_free(shared);
		return rc;
	}
	(*out)->owns_shared = true;
	return 0;
}

void executor_free(struct executor *ex)
{
	const struct backend *b;
	if (!ex)
		return;
	b = ex->dev.backend;
	for (int i = 0; ex->slot && i < ex->g.n; i++)
		if (ex->slot[i].prepared && b->kernels[ex->g.node[i].op]->release)
			b->kernels[ex->g.node[i].op]->release(&ex->call[i]);
	exec_forget_recordings(ex);
	if (exec_owns(ex))
		ex->shared->arena->owner = NULL;
	if (ex->owns_shared) {
		shared_clear(ex->shared);
		mem_free(ex->shared);
	}
	mem_free(ex->cast);
	mem_free(ex->call);
	mem_free(ex->slot);
	graph_clear(&ex->g);
	mem_free(ex);
}

const struct graph *executor_graph(const struct executor *ex)
{
	return &ex->g;
}

int executor_bind(struct executor *ex, const char *name, const struct executor *other, const char *node)
{
	int to = exec_find(ex, name), from;
	if (to < 0)
		return to;
	if (ex->state != EXEC_CREATED || ex->g.node[to].op != OP_INPUT)
		return err_set(ERR_FAIL, "'%s' cannot be bound: only inputs, before prepare", name);
	if (exec_ready(other, "binding"))
		return ERR_FAIL;
	from = exec_find(other, node);
	if (from < 0)
		return from;
	if (other->dev.backend != ex->dev.backend || other->dev.ctx != ex->dev.ctx)
		return err_set(ERR_FAIL, "'%s' cannot be bound to '%s': another device", name, node);
	if (other->g.node[from].dtype != ex->g.node[to].dtype ||
	    !shape_equal(other->g.node[from].shape, ex->g.node[to].shape))
		return err_set(ERR_FAIL, "'%s' cannot be bound to '%s': another type or shape", name, node);
	if (!exec_readable(other, from))
		return err_set(ERR_FAIL, "'%s' cannot be bound to '%s': its memory is used again", name, node);
	if (other->shared->arena == ex->shared->arena)
		return err_set(ERR_FAIL, "'%s' cannot be bound to '%s': both use the same memory", name, node);
	ex->slot[to].bound = other;
	ex->slot[to].bound_node = from;
	ex->binds = true;
	return 0;
}

int executor_keep(struct executor *ex, const char *name)
{
	int i = exec_find(ex, name);
	if (i < 0)
		return i;
	if (ex->state != EXEC_CREATED)
		return err_set(ERR_FAIL, "'%s' cannot be kept: only before prepare", name);
	ex->slot[i].kept = true;
	return 0;
}

/* Everything of a step except its memory. */
static void fill_step(struct executor *ex, int i)
{
	struct call *s = &ex->call[i];
	const struct node *node = &ex->g.node[i];
	s->ctx = ex->dev.ctx;
	s->mode = ex->mode;
	s->clock = &ex->shared->clock;
	s->inplace = -1;
	s->out = ex->slot[i].tensor;
	s->dout = gradient_of(&s->out);
	for (int k = 0; k < node->n_in; k++) {
		s->has_in[k] = node->in[k] != NODE_NONE;
		if (!s->has_in[k])
			continue;
		s->in[k] = ex->slot[node->in[k]].tensor;
		s->din[k] = gradient_of(&s->in[k]);
		s->constant_in[k] = ex->slot[node->in[k]].constant;
	}
}

/* Tells each node of one cast of its value to half precision, so that its kernel may write both. Casts are not asked:
 * they may be executed many at once. */
static void offer_rounding(struct executor *ex)
{
	for (int i = 0; i < ex->g.n; i++) {
		const struct node *node = &ex->g.node[i];
		struct call *from = node->op == OP_CAST ? &ex->call[node->in[0]] : NULL;
		ex->slot[i].rounded_by = NODE_NONE;
		if (!from || is_leaf(from->node) || from->node->op == OP_CAST || from->out.dtype != DT_F32 ||
		    node->dtype == DT_F32 || from->rounded.dtype != DT_F32)
			continue;
		from->rounded = ex->slot[i].tensor;
		ex->slot[i].rounded_by = node->in[0];
	}
}

/* The same for one conversion of its value to integers. Its step is a leaf, so that it is there when the node runs. */
static void offer_quantizing(struct executor *ex)
{
	for (int i = 0; ex->mode == EXEC_INFER && i < ex->g.n; i++) {
		const struct node *node = &ex->g.node[i];
		struct call *from = node->op == OP_QUANTIZE ? &ex->call[node->in[QUANTIZE_X]] : NULL;
		if (!from || is_leaf(from->node) || ex->slot[i].constant || from->quantize ||
		    !is_leaf(&ex->g.node[node->in[QUANTIZE_STEP]]) ||
		    shape_count(ex->slot[node->in[QUANTIZE_STEP]].tensor.shape) != 1)
			continue;
		from->quantize = node;
		from->quantized = ex->slot[i].tensor;
		from->quantize_step = ex->slot[node->in[QUANTIZE_STEP]].tensor;
		ex->slot[i].rounded_by = node->in[QUANTIZE_X];
	}
}

/* Casts of params are independent and many: a training step would begin with one small kernel for each. */
static int list_param_casts(struct executor *ex)
{
	if (!ex->dev.backend || !ex->dev.backend->cast_all)
		return 0;
	ex->cast = mem_alloc((size_t)ex->g.n + 1, sizeof(struct call *));
	for (int i = 0; ex->cast && i < ex->g.n; i++) {
		const struct node *node = &ex->g.node[i];
		ex->slot[i].at_once = node->op == OP_CAST && ex->g.node[node->in[0]].op == OP_PARAM;
		if (ex->slot[i].at_once)
			ex->cast[ex->n_cast++] = &ex->call[i];
	}
	return ex->cast ? 0 : ERR_NOMEM;
}

static bool any_wanted(const struct call *s)
{
	for (int k = 0; k < s->node->n_in; k++)
		if (s->want[k])
			return true;
	return false;
}

static int prepare_kernel(struct executor *ex, int i)
{
	const struct node *node = &ex->g.node[i];
	const struct backend *b = ex->dev.backend;
	const struct kernel *k;
	const char *op = op_info(node->op)->name;
	int rc;
	if (is_leaf(node) || !b)
		return 0;
	k = b->kernels[node->op];
	if (!k)
		return err_set(ERR_DEVICE, "backend %s has no op %s, needed by node '%s'", b->name, op, node->name);
	if (any_wanted(&ex->call[i]) && !k->backward)
		return err_set(
		    ERR_DEVICE, "backend %s has no gradient of op %s, needed by node '%s'", b->name, op, node->name);
	ex->slot[i].prepared = true;
	ex->packs = ex->packs || k->pack;
	ex->call[i].layout = shared_layout(ex->shared, node->name);
	rc = k->prepare ? k->prepare(&ex->call[i]) : 0;
	return rc ? exec_kernel_error(ex, i, "prepare", rc) : 0;
}

/* Kernels, then the plan. A failure leaves the executor good for executor_free only. */
static int make_plan(struct executor *ex)
{
	int rc = 0;
	if (ex->state == EXEC_BROKEN)
		return err_set(ERR_FAIL, "the executor failed to prepare before");
	if (ex->state != EXEC_CREATED)
		return 0;
	for (int i = 0; i < ex->g.n; i++)
		fill_step(ex, i);
	offer_rounding(ex);
	offer_quantizing(ex);
	exec_plan_gradients(ex);
	rc = list_param_casts(ex);
	for (int i = 0; !rc && i < ex->g.n; i++)
		rc = prepare_kernel(ex, i);
	if (!rc) {
		exec_plan_rows(ex);
		rc = exec_plan_memory(ex);
	}
	if (!rc)
		rc = exec_plan_update(ex);
	ex->state = rc ? EXEC_BROKEN : EXEC_PLANNED;
	return rc;
}

int executor_plan(struct executor *ex, struct executor_memory *m)
{
	int rc = make_plan(ex);
	if (!rc)
		*m = ex->memory;
	return rc;
}

int executor_prepare(struct executor *ex)
{
	int rc = make_plan(ex);
	if (rc)
		return rc;
	if (ex->state == EXEC_READY)
		return err_set(ERR_FAIL, "the executor is prepared already");
	if (!ex->dev.backend)
		return err_set(ERR_FAIL, "the executor has no device: it can be planned only");
	ex->state = EXEC_BROKEN;
	for (int i = 0; i < ex->g.n; i++)
		if (ex->slot[i].param && !ex->slot[i].param->set)
			return err_set(ERR_FAIL, "param '%s' has no value yet", ex->g.node[i].name);
	rc = exec_allocate(ex);
	if (rc)
		return rc;
	ex->state = EXEC_READY;
	rc = exec_place(ex, "prepare");
	if (!rc)
		rc = exec_seed_gradient(ex);
	ex->state = rc ? EXEC_BROKEN : EXEC_READY;
	return rc;
}

const char *executor_impl(const struct executor *ex, int node)
{
	return node >= 0 && node < ex->g.n ? ex->call[node].impl : "";
}
