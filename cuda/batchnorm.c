/* OP_BATCHNORM with ReLU: own kernels. The op is bound by memory: forward reads x twice, backward x and dy twice; the
 * ReLU's mask is worked out again from x, by the same arithmetic, instead of reading y. Ioffe and Szegedy 2015,
 * algorithm 1. */
#include "cuda/kernels.h"
#include "cuda/launches.h"

static int64_t channels(const struct call *s)
{
	return s->in[BN_GAMMA].shape.dim[0];
}

static int64_t rows(const struct call *s)
{
	return shape_count(s->out.shape) / channels(s);
}

static int batchnorm_prepare(struct call *s)
{
	if (s->mode == EXEC_TRAIN) {
		s->scratch = cuda_batchnorm_scratch(rows(s), channels(s));
		s->saved = 3 * (size_t)channels(s) * sizeof(float); /* mean, 1/sqrt(var + eps), unbiased variance */
	} else {
		s->inplace = BN_X;
	}
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 5);
}

/* What normalises: the batch's statistics in TRAIN, the running ones in INFER. */
static struct batchnorm_channels normaliser(const struct call *s)
{
	float *kept = s->saved_mem;
	bool train = s->mode == EXEC_TRAIN;
	return (struct batchnorm_channels){.gamma = s->in[BN_GAMMA].data,
	    .beta = s->in[BN_BETA].data,
	    .mean = train ? kept : s->in[BN_MEAN].data,
	    .rstd = train ? kept + channels(s) : NULL,
	    .var = s->in[BN_VAR].data,
	    .eps = s->node->attr.eps,
	    .relu = s->node->attr.relu};
}

static int batchnorm_forward(struct call *s)
{
	int rc = 0;
	if (s->mode == EXEC_TRAIN)
		rc = cuda_batchnorm_statistics(
		    s->ctx, s->in[BN_X].data, rows(s), channels(s), s->node->attr.eps, s->saved_mem, s->scratch_mem);
	return rc ? rc
		  : cuda_batchnorm_apply(
			s->ctx, normaliser(s), s->in[BN_X].data, rows(s), channels(s), s->out.data, cuda_rounded_of(s));
}

static int batchnorm_backward(struct call *s)
{
	struct batchnorm_gradients g = {.kept = s->saved_mem};
	float **to[] = {&g.dx, &g.dgamma, &g.dbeta, &g.dmean, &g.dvar};
	for (int i = 0; i < 5; i++) {
		*to[i] = s->want[i] ? s->din[i].data : NULL;
		g.accumulate[i] = s->accumulate[i];
	}
	return cuda_batchnorm_backward(
	    s->ctx, normaliser(s), s->in[BN_X].data, s->dout.data, rows(s), channels(s), g, s->scratch_mem);
}

const struct kernel cuda_batchnorm_kernel = {batchnorm_prepare, NULL, batchnorm_forward, batchnorm_backward, NULL};
