/* OP_CAST between f32, f16 and bf16, round to nearest even: the bits of engine/graph/tensor.h. */
#include "cuda/kernels.h"

#include "base/err.h"
#include "cuda/launches.h"

static bool is_float(enum dtype t)
{
	return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

static int cast_prepare(struct call *s)
{
	if (!is_float(s->in[0].dtype) || !is_float(s->out.dtype))
		return err_set(ERR_DEVICE, "cuda: node %s (cast): from %s to %s is not supported", s->node->name,
		    dtype_name(s->in[0].dtype), dtype_name(s->out.dtype));
	call_set_impl(s, "kernel");
	return 0;
}

static int cast_forward(struct call *s)
{
	return cuda_cast(s->ctx, s->in[0].data, s->in[0].dtype, shape_count(s->out.shape), s->out.data, s->out.dtype);
}

/* Gradients of half-precision values are f32: there is nothing to convert. */
static int cast_backward(struct call *s)
{
	return cuda_add_backward(
	    s->ctx, s->dout.data, NULL, shape_count(s->out.shape), s->din[0].data, s->accumulate[0], NULL, false);
}

static int launch_all(struct cuda_ctx *ctx, struct cuda_casts *c, enum dtype to)
{
	int rc = c->n ? cuda_cast_all(ctx, c, to) : 0;
	c->n = 0;
	return rc;
}

static void append(struct cuda_casts *c, const struct call *s)
{
	const int64_t count = shape_count(s->out.shape);
	c->from[c->n] = s->in[0].data;
	c->to[c->n] = s->out.data;
	c->count[c->n] = count;
	c->first[c->n + 1] = c->first[c->n] + (unsigned)((count + CASTS_BLOCK - 1) / CASTS_BLOCK);
	c->n++;
}

/* Those to one type go together: in a training step the casts of all weights. */
int cuda_cast_steps(struct call *const *s, int n)
{
	struct cuda_casts c = {0};
	enum dtype to = DT_F32;
	int rc = 0;
	for (int i = 0; !rc && i < n; i++) {
		if (s[i]->in[0].dtype != DT_F32 || s[i]->out.dtype == DT_F32) {
			rc = cast_forward(s[i]);
			continue;
		}
		if (c.n == CASTS_MOST || s[i]->out.dtype != to)
			rc = launch_all(s[i]->ctx, &c, to);
		to = s[i]->out.dtype;
		append(&c, s[i]);
	}
	return rc || !n ? rc : launch_all(s[0]->ctx, &c, to);
}

const struct kernel cuda_cast_kernel = {cast_prepare, NULL, cast_forward, cast_backward, NULL};
