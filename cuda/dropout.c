/* OP_DROPOUT, inverted scaling (Srivastava et al. 2014, section 10). Whether an element stays is a function of seed,
 * stage, node name, step and sample, never of the position in a batch: backward draws the same words again, which costs
 * less than keeping the answers. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int dropout_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN)
		cuda_take_rounding(s);
	else
		s->inplace = 0;
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 1);
}

static struct dropout_draw draw_of(const struct call *s)
{
	return (struct dropout_draw){
	    .stream = rng_make(s->clock->seed, s->clock->stage, RNG_DROPOUT, s->node->name),
	    .time = s->clock->time,
	    .rate = s->node->attr.rate,
	    .factor = 1.0f / (1.0f - s->node->attr.rate),
	};
}

static int dropout_forward(struct call *s)
{
	int64_t N = s->out.shape.dim[0], total = shape_count(s->out.shape);
	if (s->mode == EXEC_TRAIN)
		return cuda_dropout(
		    s->ctx, draw_of(s), s->in[0].data, N, total / N, s->out.data, false, cuda_rounded_of(s));
	if (s->out.data == s->in[0].data)
		return 0;
	return cuda_copy(s->ctx, s->out.data, s->in[0].data, tensor_bytes(&s->out));
}

static int dropout_backward(struct call *s)
{
	int64_t N = s->out.shape.dim[0], total = shape_count(s->out.shape);
	return cuda_dropout(
	    s->ctx, draw_of(s), s->dout.data, N, total / N, s->din[0].data, s->accumulate[0], (struct cuda_rounded){0});
}

const struct kernel cuda_dropout_kernel = {dropout_prepare, NULL, dropout_forward, dropout_backward, NULL};
