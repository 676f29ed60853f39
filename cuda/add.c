/* OP_ADD with ReLU. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int add_prepare(struct call *s)
{
	s->inplace = 0;
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 2);
}

static int add_forward(struct call *s)
{
	return cuda_add(s->ctx, s->in[ADD_A].data, s->in[ADD_B].data, shape_count(s->out.shape), s->node->attr.relu,
	    s->out.data, cuda_rounded_of(s));
}

static int add_backward(struct call *s)
{
	float *d[2];
	for (int i = 0; i < 2; i++)
		d[i] = s->want[i] ? s->din[i].data : NULL;
	return cuda_add_backward(s->ctx, s->dout.data, s->node->attr.relu ? s->out.data : NULL,
	    shape_count(s->out.shape), d[ADD_A], s->accumulate[ADD_A], d[ADD_B], s->accumulate[ADD_B]);
}

const struct kernel cuda_add_kernel = {add_prepare, NULL, add_forward, add_backward, NULL};
