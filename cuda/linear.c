/* OP_LINEAR: y = x w^T + b with ReLU, by cuBLASLt; bias and ReLU are the product's epilogue. Operands may be f32, f16
 * or bf16 (autocast), outputs are f32. Backward first makes dy what the products need: masked by the ReLU and in the
 * operands' type, its column sums (the bias gradient) taken in the same pass. */
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/kernels.h"
#include "cuda/launches.h"
#include "cuda/lt.h"

struct linear {
	int64_t N, K, M; /* rows of x, in and out features */
	struct lt_plan forward, dgrad, wgrad;
	bool masked;          /* dy is rewritten before the products read it */
	size_t at_dy, at_sum; /* in scratch */
};

static int make_forward(struct call *s, struct linear *l)
{
	return lt_make(s->ctx, &l->forward, /* y (N,M) = x (N,K) w^T, w stored (M,K) */
	    &(struct lt_shape){.M = l->N,
		.N = l->M,
		.K = l->K,
		.transposed_b = true,
		.in = s->in[LINEAR_W].dtype,
		.out = DT_F32,
		.bias = s->has_in[LINEAR_B],
		.relu = s->node->attr.relu,
		.tf32 = s->node->attr.tf32});
}

static int make_backward(struct call *s, struct linear *l)
{
	const enum dtype t = s->in[LINEAR_W].dtype;
	int rc = 0;
	if (s->want[LINEAR_X]) /* dx (N,K) = dy (N,M) w (M,K) */
		rc = lt_make(s->ctx, &l->dgrad,
		    &(struct lt_shape){.M = l->N,
			.N = l->K,
			.K = l->M,
			.in = t,
			.out = s->din[LINEAR_X].dtype,
			.tf32 = s->node->attr.tf32});
	if (!rc && s->want[LINEAR_W]) /* dw (M,K) += dy^T (M,N) x (N,K) */
		rc = lt_make(s->ctx, &l->wgrad,
		    &(struct lt_shape){.M = l->M,
			.N = l->K,
			.K = l->N,
			.transposed_a = true,
			.in = t,
			.out = s->din[LINEAR_W].dtype,
			.tf32 = s->node->attr.tf32});
	l->masked = (s->want[LINEAR_X] || s->want[LINEAR_W]) && (s->node->attr.relu || t != DT_F32);
	if (l->masked)
		l->at_dy = call_reserve(&s->scratch, (size_t)(l->N * l->M) * dtype_size(t));
	if (s->want[LINEAR_B])
		l->at_sum = call_reserve(&s->scratch, cuda_column_sum_scratch(l->N, l->M));
	return rc;
}

static int linear_prepare(struct call *s)
{
	int rc = cuda_need_layer(s);
	if (rc)
		return rc;
	struct linear *l = s->state = mem_alloc(1, sizeof(*l));
	if (!l)
		return ERR_NOMEM;
	l->N = shape_rows(s->out.shape);
	l->M = s->in[LINEAR_W].shape.dim[0];
	l->K = s->in[LINEAR_W].shape.dim[1];
	rc = make_forward(s, l);
	if (!rc && s->mode == EXEC_TRAIN)
		rc = make_backward(s, l);
	snprintf(s->impl, sizeof(s->impl), "cublaslt:%s", cuda_operand_name(s));
	return rc;
}

static int linear_forward(struct call *s)
{
	struct linear *l = s->state;
	return lt_run(
	    s->ctx, &l->forward, s->in[LINEAR_X].data, s->in[LINEAR_W].data, s->in[LINEAR_B].data, s->out.data, false);
}

static int linear_backward(struct call *s)
{
	struct linear *l = s->state;
	char *scratch = s->scratch_mem;
	const void *dy = s->dout.data;
	int rc = 0;
	if (l->masked || s->want[LINEAR_B]) {
		void *masked = l->masked ? scratch + l->at_dy : NULL;
		rc = cuda_gradient_in(s->ctx, s->dout.data, s->node->attr.relu ? s->out.data : NULL, l->N, l->M, masked,
		    s->in[LINEAR_W].dtype, s->want[LINEAR_B] ? s->din[LINEAR_B].data : NULL, s->accumulate[LINEAR_B],
		    s->want[LINEAR_B] ? scratch + l->at_sum : NULL);
		dy = masked ? masked : dy;
	}
	if (!rc && s->want[LINEAR_X])
		rc = lt_run(
		    s->ctx, &l->dgrad, dy, s->in[LINEAR_W].data, NULL, s->din[LINEAR_X].data, s->accumulate[LINEAR_X]);
	if (!rc && s->want[LINEAR_W])
		rc = lt_run(
		    s->ctx, &l->wgrad, dy, s->in[LINEAR_X].data, NULL, s->din[LINEAR_W].data, s->accumulate[LINEAR_W]);
	return rc;
}

static void linear_release(struct call *s)
{
	struct linear *l = s->state;
	if (l) {
		lt_free(&l->forward);
		lt_free(&l->dgrad);
		lt_free(&l->wgrad);
		call_release_state(s);
	}
}

const struct kernel cuda_linear_kernel = {linear_prepare, NULL, linear_forward, linear_backward, linear_release};
