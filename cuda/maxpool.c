/* OP_MAXPOOL of f32. TRAIN keeps the winner of each window as one byte, so that backward reads neither x nor y. The
 * first maximum of a window, row by row, wins; NaN wins over everything. */
#include "cuda/kernels.h"

#include <limits.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/launches.h"

#define MAX_WINDOW 16 /* a winner is p * kernel + q in one byte */

static int maxpool_prepare(struct call *s)
{
	int rc = call_need_f32(s, "cuda", 1);
	if (rc)
		return rc;
	struct maxpool_geometry *g = s->state = mem_alloc(1, sizeof(*g));
	if (!g)
		return ERR_NOMEM;
	const int64_t *d = s->in[0].shape.dim, *y = s->out.shape.dim;
	const struct attr *a = &s->node->attr;
	/* A line of the image is indexed in 32 bits: divisions of 64 bits would cost more than the reads. */
	if (d[1] > INT_MAX || d[2] * d[3] > INT_MAX - 1024)
		return err_set(ERR_DEVICE, "cuda: node %s (maxpool): a line of %lld x %lld values is too long",
		    s->node->name, (long long)d[2], (long long)d[3]);
	*g = (struct maxpool_geometry){.N = d[0],
	    .H = (int)d[1],
	    .W = (int)d[2],
	    .C = (int)d[3],
	    .OH = (int)y[1],
	    .OW = (int)y[2],
	    .kernel = a->kernel,
	    .stride = a->stride,
	    .pad = a->pad};
	if (s->mode == EXEC_TRAIN && s->want[0]) {
		if (a->kernel > MAX_WINDOW)
			return err_set(ERR_DEVICE, "cuda: node %s (maxpool): windows above %d x %d cannot be trained",
			    s->node->name, MAX_WINDOW, MAX_WINDOW);
		s->saved = (size_t)shape_count(s->out.shape);
	}
	cuda_take_rounding(s);
	call_set_impl(s, "kernel");
	return 0;
}

static int maxpool_forward(struct call *s)
{
	return cuda_maxpool(
	    s->ctx, s->state, s->in[0].data, s->out.data, s->saved ? s->saved_mem : NULL, cuda_rounded_of(s));
}

static int maxpool_backward(struct call *s)
{
	return cuda_maxpool_backward(s->ctx, s->state, s->dout.data, s->saved_mem, s->din[0].data, s->accumulate[0]);
}

const struct kernel cuda_maxpool_kernel = {
    maxpool_prepare, NULL, maxpool_forward, maxpool_backward, call_release_state};
