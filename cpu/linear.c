/* OP_LINEAR: y = x w^T + b with ReLU, by oneDNN matmul. Operands may be f32 or bf16 (autocast), outputs are f32.
 * Weights are used in their own layout in TRAIN (they change with every step; repacking costs more than it gains) and
 * packed once per version in INFER. The ReLU is part of the matmul in INFER only: oneDNN's turns NaN into 0, which
 * would hide a diverged training. */
#include "cpu/kernels.h"
#include "cpu/onednn.h"

#include "base/err.h"
#include "base/mem.h"

struct linear {
	int64_t N, K, M;                                 /* rows of x, in and out features */
	struct prim forward, repack, dgrad, wgrad;       /* repack unused where the layout is the param's own */
	size_t at_prim, at_mask, at_half, at_dx, at_sum; /* in scratch */
};

static bool is_half(const struct call *s)
{
	return s->in[LINEAR_X].dtype != DT_F32;
}

static bool needs_repack(const struct linear *l)
{
	return l->repack.prim;
}

/* oneDNN's matmul weights are (K, M); ours are (M, K) in memory. */
static int make_forward(struct call *s, struct linear *l)
{
	dnnl_memory_desc_t x = NULL, w = NULL, plain = NULL, b = NULL, y = NULL;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t desc = NULL;
	const dnnl_data_type_t t = onednn_type(s->in[LINEAR_X].dtype);
	int rc = md_matrix(s, &x, t, l->N, l->K, l->K, 1);
	if (rc || (rc = md_matrix(s, &plain, t, l->K, l->M, 1, l->K)) ||
	    (rc = md_tag(s, &w, t, 2, (const int64_t[]){l->K, l->M}, dnnl_format_tag_any)) ||
	    (rc = md_matrix(s, &y, dnnl_f32, l->N, l->M, l->M, 1)) ||
	    (s->has_in[LINEAR_B] && (rc = md_matrix(s, &b, dnnl_f32, 1, l->M, l->M, 1))) ||
	    (rc = attr_make(s, &(struct prim_opts){.relu = s->node->attr.relu && s->mode == EXEC_INFER}, &attr)))
		goto out;
	bool packed = s->mode == EXEC_INFER && s->constant_in[LINEAR_W];
	if (!packed)
		s->layout = LAYOUT_NONE;
	rc = prim_matmul(s, &desc, x, packed ? w : plain, b, y, attr);
	if (rc || (rc = prim_make(s, &l->forward, desc, "forward", true)))
		goto out;
	rc = prim_args(s, &l->forward,
	    (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, s->has_in[LINEAR_B] ? DNNL_ARG_BIAS : 0, 0});
	if (!rc && packed && !dnnl_memory_desc_equal(plain, prim_md(&l->forward, DNNL_ARG_WEIGHTS))) {
		s->packed = prim_bytes(&l->forward, DNNL_ARG_WEIGHTS);
		rc = onednn_layout(s, prim_md(&l->forward, DNNL_ARG_WEIGHTS), &s->layout);
		if (!rc)
			rc = prim_reorder(s, &l->repack, plain, prim_md(&l->forward, DNNL_ARG_WEIGHTS));
	}
out:
	md_free(&x);
	md_free(&w);
	md_free(&plain);
	md_free(&b);
	md_free(&y);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	return rc;
}

/* A product a (n, k) * b (k, m) without bias, of the operands' type; row and column strides of a and b in elements. */
static int make_product(struct call *s, struct prim *p, int64_t n, int64_t k, int64_t m, const int64_t stride[4],
    bool sum, const char *what)
{
	struct cpu_ctx *c = s->ctx;
	dnnl_memory_desc_t a = NULL, b = NULL, y = NULL;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t desc = NULL;
	struct prim_opts o = {.sum = sum, .sum_scale = 1.0f, .sum_type = dnnl_f32};
	const dnnl_data_type_t t = onednn_type(s->in[LINEAR_X].dtype);
	int rc = md_matrix(s, &a, t, n, k, stride[0], stride[1]);
	if (rc || (rc = md_matrix(s, &b, t, k, m, stride[2], stride[3])) ||
	    (rc = md_matrix(s, &y, dnnl_f32, n, m, m, 1)) || (rc = attr_make(s, &o, &attr)))
		goto out;
	rc = onednn_check(s, what, dnnl_matmul_primitive_desc_create(&desc, c->engine, a, b, NULL, y, attr));
	if (!rc)
		rc = prim_make(s, p, desc, what, true);
	if (!rc)
		rc = prim_args(s, p, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, 0});
out:
	md_free(&a);
	md_free(&b);
	md_free(&y);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	return rc;
}

static int make_backward(struct call *s, struct linear *l)
{
	int rc = 0;
	if (s->want[LINEAR_X]) { /* dx (N,K) = dy (N,M) w (M,K) */
		rc = make_product(
		    s, &l->dgrad, l->N, l->M, l->K, (const int64_t[]){l->M, 1, l->K, 1}, false, "backward data");
		if (s->accumulate[LINEAR_X])
			l->at_dx = call_reserve(&s->scratch, (size_t)(l->N * l->K) * sizeof(float));
	}
	if (!rc && s->want[LINEAR_W]) { /* dw (M,K) += dy^T (M,N) x (N,K) */
		rc = make_product(
		    s, &l->wgrad, l->M, l->N, l->K, (const int64_t[]){1, l->M, l->K, 1}, true, "backward weights");
	}
	if (s->node->attr.relu)
		l->at_mask = call_reserve(&s->scratch, (size_t)(l->N * l->M) * sizeof(float));
	if (is_half(s))
		l->at_half = call_reserve(&s->scratch, (size_t)(l->N * l->M) * sizeof(uint16_t));
	if (s->want[LINEAR_B])
		l->at_sum = call_reserve(&s->scratch, cpu_column_sum_scratch(l->N, l->M));
	return rc;
}

static int linear_prepare(struct call *s)
{
	int rc = cpu_need_layer(s);
	if (rc)
		return rc;
	struct linear *l = s->state = mem_alloc(1, sizeof(*l));
	if (!l)
		return ERR_NOMEM;
	l->N = shape_rows(s->out.shape);
	l->M = s->in[LINEAR_W].shape.dim[0];
	l->K = s->in[LINEAR_W].shape.dim[1];
	prim_threads(s, l->N * l->M * l->K);
	rc = make_forward(s, l);
	if (!rc && s->mode == EXEC_TRAIN)
		rc = make_backward(s, l);
	prim_threads(s, INT64_MAX);
	size_t most = l->forward.scratch;
	most = l->repack.scratch > most ? l->repack.scratch : most;
	most = l->dgrad.scratch > most ? l->dgrad.scratch : most;
	most = l->wgrad.scratch > most ? l->wgrad.scratch : most;
	l->at_prim = call_reserve(&s->scratch, most);
	if (!rc)
		call_set_impl(s, prim_impl(&l->forward));
	return rc;
}

static int linear_pack(struct call *s)
{
	struct linear *l = s->state;
	if (!needs_repack(l) || s->is_packed)
		return 0;
	prim_set(&l->repack, DNNL_ARG_FROM, s->in[LINEAR_W].data);
	prim_set(&l->repack, DNNL_ARG_TO, s->packed_mem);
	return prim_run(s, &l->repack, (char *)s->scratch_mem + l->at_prim);
}

static int linear_forward(struct call *s)
{
	struct linear *l = s->state;
	prim_set(&l->forward, DNNL_ARG_SRC, s->in[LINEAR_X].data);
	prim_set(&l->forward, DNNL_ARG_WEIGHTS, needs_repack(l) ? s->packed_mem : s->in[LINEAR_W].data);
	prim_set(&l->forward, DNNL_ARG_BIAS, s->in[LINEAR_B].data);
	prim_set(&l->forward, DNNL_ARG_DST, s->out.data);
	int rc = prim_run(s, &l->forward, (char *)s->scratch_mem + l->at_prim);
	if (!rc && s->mode == EXEC_TRAIN && s->node->attr.relu)
		cpu_vec(VEC_RELU, s->out.data, s->out.data, NULL, l->N * l->M);
	return rc;
}

static int product(struct call *s, struct prim *p, const void *a, const void *b, float *y)
{
	struct linear *l = s->state;
	prim_set(p, DNNL_ARG_SRC, a);
	prim_set(p, DNNL_ARG_WEIGHTS, b);
	prim_set(p, DNNL_ARG_DST, y);
	return prim_run(s, p, (char *)s->scratch_mem + l->at_prim);
}

static int linear_backward(struct call *s)
{
	struct linear *l = s->state;
	char *scratch = s->scratch_mem;
	const float *dy = s->dout.data;
	const void *factor; /* dy as an operand */
	int rc = 0;
	if (s->node->attr.relu) {
		float *masked = (float *)(scratch + l->at_mask);
		cpu_vec(VEC_MASK, masked, dy, s->out.data, l->N * l->M);
		dy = masked;
	}
	factor = dy;
	if (is_half(s)) {
		cpu_convert(scratch + l->at_half, s->in[LINEAR_X].dtype, dy, DT_F32, l->N * l->M);
		factor = scratch + l->at_half;
	}
	if (s->want[LINEAR_X]) {
		float *dx = s->accumulate[LINEAR_X] ? (float *)(scratch + l->at_dx) : s->din[LINEAR_X].data;
		rc = product(s, &l->dgrad, factor, s->in[LINEAR_W].data, dx);
		if (!rc && s->accumulate[LINEAR_X])
			cpu_deliver(s->din[LINEAR_X].data, dx, l->N * l->K, true);
	}
	if (!rc && s->want[LINEAR_W]) {
		if (!s->accumulate[LINEAR_W]) /* the primitive always adds */
			cpu_vec(VEC_ZERO, s->din[LINEAR_W].data, NULL, NULL, l->M * l->K);
		rc = product(s, &l->wgrad, factor, s->in[LINEAR_X].data, s->din[LINEAR_W].data);
	}
	if (!rc && s->want[LINEAR_B])
		cpu_column_sum(s->din[LINEAR_B].data, dy, l->N, l->M, s->accumulate[LINEAR_B], scratch + l->at_sum);
	return rc;
}

static void linear_release(struct call *s)
{
	struct linear *l = s->state;
	if (l) {
		prim_free(&l->forward);
		prim_free(&l->repack);
		prim_free(&l->dgrad);
		prim_free(&l->wgrad);
		mem_free(l);
		s->state = NULL;
	}
}

const struct kernel cpu_linear_kernel = {linear_prepare, linear_pack, linear_forward, linear_backward, linear_release};
