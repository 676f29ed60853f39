/* OP_ADD with ReLU. */
#include "cpu/kernels.h"

static int add_prepare(struct call *s)
{
	s->inplace = 0;
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", 2);
}

static int add_forward(struct call *s)
{
	cpu_vec(s->node->attr.relu ? VEC_ADD_RELU : VEC_ADD, s->out.data, s->in[ADD_A].data, s->in[ADD_B].data,
	    shape_count(s->out.shape));
	return 0;
}

static int add_backward(struct call *s)
{
	int64_t n = shape_count(s->out.shape);
	for (int i = 0; i < 2; i++) {
		if (!s->want[i])
			continue;
		if (s->node->attr.relu)
			cpu_vec(
			    s->accumulate[i] ? VEC_MASK_ADD : VEC_MASK, s->din[i].data, s->dout.data, s->out.data, n);
		else
			cpu_deliver(s->din[i].data, s->dout.data, n, s->accumulate[i]);
	}
	return 0;
}

const struct kernel cpu_add_kernel = {add_prepare, NULL, add_forward, add_backward, NULL};
