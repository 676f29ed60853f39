/* What kernels of every backend do with a call alike; see call.h. */
#include "exec/call.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

size_t call_reserve(size_t *total, size_t bytes)
{
	size_t at = *total;
	*total += (bytes + 63) / 64 * 64;
	return at;
}

int call_need_f32(const struct call *s, const char *backend, int n)
{
	const struct node *node = s->node;
	const struct op_info *op = op_info(node->op);
	for (int i = 0; i < n; i++)
		if (s->has_in[i] && s->in[i].dtype != DT_F32)
			return err_set(ERR_DEVICE, "%s: node %s (%s): input %s is %s, only f32 is supported", backend,
			    node->name, op->name, op->input[i], dtype_name(s->in[i].dtype));
	if (s->out.dtype != DT_F32)
		return err_set(ERR_DEVICE, "%s: node %s (%s): output is %s, only f32 is supported", backend, node->name,
		    op->name, dtype_name(s->out.dtype));
	return 0;
}

void call_set_impl(struct call *s, const char *text)
{
	snprintf(s->impl, sizeof(s->impl), "%s", text);
}

void call_release_state(struct call *s)
{
	mem_free(s->state);
	s->state = NULL;
}
