/* What state an executor is in, and how its errors name a node. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "exec/internal.h"

int exec_find(const struct executor *ex, const char *name)
{
	int i = graph_find(&ex->g, name);
	return i >= 0 ? i : err_set(ERR_FAIL, "the graph has no node '%s'", name);
}

int exec_ready(const struct executor *ex, const char *what)
{
	return ex->state == EXEC_READY ? 0 : err_set(ERR_FAIL, "%s: the executor is not prepared", what);
}

int exec_kernel_error(const struct executor *ex, int node, const char *phase, int rc)
{
	const struct node *nd = &ex->g.node[node];
	char named[NODE_NAME + 32]; /* kernels name the node where they refuse it; what libraries say does not */
	snprintf(named, sizeof(named), "%s: node %s ", ex->dev.backend->name, nd->name);
	if (strncmp(err_message(), named, strlen(named)) == 0)
		return rc;
	return err_context(rc, "%s: %s of %s '%s'", ex->dev.backend->name, phase, op_info(nd->op)->name, nd->name);
}

bool exec_readable(const struct executor *ex, int node)
{
	return ex->mode == EXEC_TRAIN || ex->keep_all || ex->slot[node].kept || is_leaf(&ex->g.node[node]) ||
	       ex->slot[node].constant || node == ex->g.output || node == ex->g.loss;
}
