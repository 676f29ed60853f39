/* Why a step failed: runs it again, call by call, and names the first node that is not finite. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "train/fit_state.h"

/* "epoch 2, step 17" of the step that f->step says. */
static const char *where(const struct fit *f, char buf[64])
{
	snprintf(buf, 64, "epoch %" PRId64 ", step %" PRId64, f->step / f->steps_per_epoch + 1, f->step + 1);
	return buf;
}

static const char *kind_of(double not_finite)
{
	return isnan(not_finite) ? "NaN" : "infinite";
}

static int report_loss(struct fit *f, double loss)
{
	const struct graph *g = executor_graph(f->ex);
	char at[64];
	int node, rc = executor_find_nonfinite(f->ex, &node);
	if (rc)
		return rc;
	assert(node != NODE_NONE); /* the loss itself is a node */
	return err_set(ERR_FAIL, "%s: the loss is %s; the first node that is not finite is '%s' (%s)", where(f, at),
	    kind_of(loss), g->node[node].name, op_info(g->node[node].op)->name);
}

static bool gradient_is_finite(struct fit *f, const struct node *node, float *host)
{
	int64_t n = shape_count(node->shape);
	if (executor_gradient(f->ex, node->name, host, (size_t)n * sizeof(*host)))
		return true; /* it has none */
	for (int64_t e = 0; e < n; e++)
		if (!isfinite(host[e]))
			return false;
	return true;
}

/* The forward pass was finite, so the fault lies between the loss and the last param, in backward order the first,
 * whose gradient is not. */
static int report_gradient(struct fit *f, double norm)
{
	const struct graph *g = executor_graph(f->ex);
	const char *name = NULL;
	char at[64];
	int64_t largest = 1;
	float *host;
	for (int i = 0; i < g->n; i++)
		if (g->node[i].op == OP_PARAM && shape_count(g->node[i].shape) > largest)
			largest = shape_count(g->node[i].shape);
	host = mem_alloc((size_t)largest, sizeof(*host));
	if (!host)
		return ERR_NOMEM;
	for (int i = g->n - 1; i >= 0; i--) {
		if (g->node[i].op != OP_PARAM || gradient_is_finite(f, &g->node[i], host))
			continue;
		name = g->node[i].name;
		break;
	}
	mem_free(host);
	if (!name)
		return err_set(ERR_FAIL, "%s: the gradient norm is %s; it is finite when the step is run again",
		    where(f, at), kind_of(norm));
	return err_set(ERR_FAIL,
	    "%s: the gradient norm is %s; the first gradient that is not finite is that of '%s' (%s)", where(f, at),
	    kind_of(norm), name, op_info(OP_PARAM)->name);
}

int fit_explain(struct fit *f, const struct reading *r, double not_finite)
{
	bool by_norm = r->what == READ_STATE;
	char at[64];
	int rc = 0;
	f->step = r->step;
	for (int m = 0; !rc && m < (int)f->t->o->accumulate; m++) {
		float loss = 0;
		rc = fit_give_micro(f, m);
		if (!rc)
			rc = executor_forward(f->ex);
		if (!rc)
			rc = executor_output(f->ex, f->loss, &loss, sizeof(loss));
		if (!rc && !isfinite(loss))
			rc = report_loss(f, (double)loss);
		if (!rc && by_norm)
			rc = executor_backward(f->ex, m > 0);
	}
	if (rc)
		return rc;
	if (by_norm)
		return report_gradient(f, not_finite);
	return err_set(
	    ERR_FAIL, "%s: the loss is %s; it is finite when the step is run again", where(f, at), kind_of(not_finite));
}
