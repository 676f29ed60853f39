/* The backward half of a step: a loop over the nodes from the end. What it computes was decided by gradients.c. */
#include "base/err.h"
#include "exec/internal.h"

int exec_seed_gradient(struct executor *ex)
{
	const float one = 1;
	char *gradient = ex->g.loss == NODE_NONE ? NULL : ex->slot[ex->g.loss].gradient;
	return gradient ? ex->dev.backend->upload(ex->dev.ctx, gradient, &one, sizeof(one)) : 0;
}

/* dL/dL is 1, which is there since prepare, or the scale of the moment, which only the device knows. */
static int start_gradient(struct executor *ex)
{
	const struct update_state *scaling = ex->shared->scaling;
	if (!scaling)
		return 0;
	return ex->dev.backend->copy(
	    ex->dev.ctx, ex->slot[ex->g.loss].gradient, &scaling->scale, sizeof(scaling->scale));
}

int exec_backward(struct executor *ex, bool first)
{
	const struct backend *b = ex->dev.backend;
	int rc = start_gradient(ex);
	for (int i = ex->g.n - 1; !rc && i >= 0; i--) {
		if (!exec_runs_backward(ex, i))
			continue;
		for (int k = 0; k < ex->g.node[i].n_in; k++)
			if (ex->slot[i].writes_first[k])
				ex->call[i].accumulate[k] = !first;
		rc = b->kernels[ex->g.node[i].op]->backward(&ex->call[i]);
		if (rc)
			exec_kernel_error(ex, i, "backward", rc);
	}
	return rc;
}
