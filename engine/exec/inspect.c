/* Looking into an executor: values, gradients, the first value that is not finite, and the values of constant nodes for
 * a frozen graph. Nothing here belongs to a step, so it may allocate. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/internal.h"
#include "exec/readback.h"

static int size_or_fail(const struct executor *ex, int node, const struct tensor *t, size_t bytes)
{
	size_t have = tensor_bytes(t);
	if (bytes == have)
		return 0;
	return err_set(ERR_FAIL, "node '%s' has %zu bytes, not %zu", ex->g.node[node].name, have, bytes);
}

/* ERR_FAIL if the arena's values are not this executor's any more; before anyone's first step they are nobody's. */
static int still_there(const struct executor *ex, int node)
{
	if (exec_owns(ex) || !ex->shared->arena->owner)
		return 0;
	return err_set(ERR_FAIL, "node '%s' cannot be read: another executor of the same memory has run since",
	    ex->g.node[node].name);
}

static bool in_arena(const struct executor *ex, int node)
{
	return !ex->slot[node].param && !ex->slot[node].bound && !ex->slot[node].constant;
}

/* The index of a node whose value can be read and has so many bytes; a stale constant is computed. */
static int readable(struct executor *ex, const char *node, size_t bytes)
{
	int i, rc = exec_place(ex, "output");
	if (rc)
		return rc;
	i = exec_find(ex, node);
	if (i < 0)
		return i;
	if (!exec_readable(ex, i))
		return err_set(ERR_FAIL, "node '%s' cannot be read: its memory is used again (keep_all)", node);
	rc = size_or_fail(ex, i, &ex->slot[i].tensor, bytes);
	if (!rc && in_arena(ex, i))
		rc = still_there(ex, i);
	if (!rc && ex->slot[i].constant)
		rc = exec_run_constants(ex);
	return rc ? rc : i;
}

int executor_output(struct executor *ex, const char *node, void *host, size_t bytes)
{
	int i = readable(ex, node, bytes);
	return i < 0 ? i : ex->dev.backend->download(ex->dev.ctx, host, ex->slot[i].tensor.data, bytes);
}

int executor_fetch(struct executor *ex, const char *node, struct readback *r, int what, int64_t step)
{
	int i = readable(ex, node, sizeof(float));
	return i < 0 ? i : readback_push(r, what, step, ex->slot[i].tensor.data, sizeof(float));
}

int executor_gradient(struct executor *ex, const char *node, void *host, size_t bytes)
{
	struct tensor gradient;
	int i, rc = exec_place(ex, "gradient");
	if (rc)
		return rc;
	i = exec_find(ex, node);
	if (i < 0)
		return i;
	if (!ex->slot[i].gradient)
		return err_set(ERR_FAIL, "node '%s' has no gradient", node);
	if (!ex->slot[i].param && !ex->slot[i].kept && !ex->keep_all)
		return err_set(
		    ERR_FAIL, "the gradient of '%s' cannot be read: its memory is used again (keep_all)", node);
	gradient = gradient_of(&ex->slot[i].tensor);
	rc = size_or_fail(ex, i, &gradient, bytes);
	if (!rc && !exec_shares_gradient(ex, i))
		rc = still_there(ex, i);
	return rc ? rc : ex->dev.backend->download(ex->dev.ctx, host, ex->slot[i].gradient, bytes);
}

static bool all_finite(const void *values, enum dtype t, int64_t n)
{
	const float *f = values;
	const uint16_t *h = values;
	for (int64_t e = 0; e < n; e++) {
		float x = t == DT_F32 ? f[e] : t == DT_F16 ? f16_to_f32(h[e]) : bf16_to_f32(h[e]);
		if (!isfinite(x))
			return false;
	}
	return true;
}

int executor_find_nonfinite(struct executor *ex, int *node)
{
	size_t largest = 0;
	void *host;
	int rc = exec_place(ex, "find_nonfinite");
	*node = NODE_NONE;
	if (!rc && ex->g.n > 0)
		rc = still_there(ex, ex->g.n - 1);
	if (rc)
		return rc;
	if (ex->mode != EXEC_TRAIN && !ex->keep_all)
		return err_set(ERR_FAIL, "find_nonfinite needs TRAIN or keep_all");
	for (int i = 0; i < ex->g.n; i++)
		if (tensor_bytes(&ex->slot[i].tensor) > largest)
			largest = tensor_bytes(&ex->slot[i].tensor);
	host = mem_alloc(largest, 1);
	if (!host)
		return ERR_NOMEM;
	for (int i = 0; !rc && i < ex->g.n; i++) {
		const struct tensor *t = &ex->slot[i].tensor;
		if (t->dtype != DT_F32 && t->dtype != DT_F16 && t->dtype != DT_BF16)
			continue;
		rc = ex->dev.backend->download(ex->dev.ctx, host, t->data, tensor_bytes(t));
		if (!rc && !all_finite(host, t->dtype, shape_count(t->shape))) {
			*node = i;
			break;
		}
	}
	mem_free(host);
	return rc;
}

static int export_value(struct executor *ex, const struct node *node, struct param_store *dst)
{
	int i = exec_find(ex, node->name), rc;
	struct param *p;
	void *host;
	if (i < 0)
		return i;
	if (!ex->slot[i].constant || ex->g.node[i].dtype != node->dtype ||
	    !shape_equal(ex->g.node[i].shape, node->shape))
		return err_set(ERR_FAIL, "node '%s' is no constant of the same type and shape", node->name);
	if (ex->slot[i].param && dst == ex->store)
		return 0; /* it is there already */
	rc = params_add(dst, node->name, node->dtype, node->shape, &p);
	if (rc)
		return rc;
	host = mem_alloc(tensor_bytes(&p->value), 1);
	if (!host)
		return ERR_NOMEM;
	rc = executor_output(ex, node->name, host, tensor_bytes(&p->value));
	if (!rc)
		rc = params_write(dst, node->name, host);
	mem_free(host);
	return rc;
}

int executor_export_constants(struct executor *ex, const struct graph *frozen, struct param_store *dst)
{
	int rc = exec_ready(ex, "export_constants");
	for (int i = 0; !rc && i < frozen->n; i++)
		if (frozen->node[i].op == OP_PARAM)
			rc = export_value(ex, &frozen->node[i], dst);
	return rc;
}
