/* OP_LAYERNORM: own kernels, whose results have the bits that op.h defines. Mean and deviation of each row are kept for
 * backward. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static struct layernorm_rows rows_of(const struct call *s)
{
	const int64_t C = s->in[LAYERNORM_GAMMA].shape.dim[0];
	return (struct layernorm_rows){.x = s->in[LAYERNORM_X].data,
	    .r = s->in[LAYERNORM_R].data,
	    .gamma = s->in[LAYERNORM_GAMMA].data,
	    .beta = s->in[LAYERNORM_BETA].data,
	    .rows = shape_count(s->out.shape) / C,
	    .C = C,
	    .eps = s->node->attr.eps};
}

static int layernorm_prepare(struct call *s)
{
	const struct layernorm_rows p = rows_of(s);
	if (s->mode == EXEC_TRAIN) {
		s->saved = cuda_layernorm_kept(p.rows);
		s->scratch = cuda_layernorm_scratch(p.rows, p.C);
	} else {
		s->inplace = LAYERNORM_X;
	}
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 4);
}

static int layernorm_forward(struct call *s)
{
	return cuda_layernorm(
	    s->ctx, rows_of(s), s->out.data, s->mode == EXEC_TRAIN ? s->saved_mem : NULL, cuda_rounded_of(s));
}

static int layernorm_backward(struct call *s)
{
	float *d[LAYERNORM_R + 1];
	for (int i = 0; i <= LAYERNORM_R; i++)
		d[i] = s->want[i] ? s->din[i].data : NULL;
	const struct layernorm_gradients g = {.dx = d[LAYERNORM_X],
	    .dr = d[LAYERNORM_R],
	    .dgamma = d[LAYERNORM_GAMMA],
	    .dbeta = d[LAYERNORM_BETA],
	    .add_x = s->accumulate[LAYERNORM_X],
	    .add_r = s->accumulate[LAYERNORM_R],
	    .add_gamma = s->accumulate[LAYERNORM_GAMMA],
	    .add_beta = s->accumulate[LAYERNORM_BETA]};
	return cuda_layernorm_backward(s->ctx, rows_of(s), s->saved_mem, s->dout.data, g, s->scratch_mem);
}

const struct kernel cuda_layernorm_kernel = {layernorm_prepare, NULL, layernorm_forward, layernorm_backward, NULL};
