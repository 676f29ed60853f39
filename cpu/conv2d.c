/* OP_CONV2D: 2-D convolution with bias and ReLU, by oneDNN. Operands may be f32 or bf16 (autocast), outputs and
 * gradients are f32. Activations stay in NHWC; oneDNN chooses the weights' layout and they are reordered into it once
 * per version (forward) and in each backward call: 0.03 ms against the 1.5 to 4 times slower kernels that take weights
 * as they are stored. */
#include "cpu/kernels.h"
#include "cpu/onednn.h"

#include "base/err.h"
#include "base/mem.h"

struct conv2d {
	struct prim forward, pack;        /* pack: stored weights -> forward's layout */
	struct prim dgrad, dgrad_weights; /* stored weights -> backward data's layout, in scratch */
	struct prim wgrad, wgrad_weights; /* backward weights' layout -> stored layout, in scratch */
	size_t at_prim, at_mask, at_half, at_dx, at_weights, at_dw, at_plain, at_sum, at_packed; /* in scratch */
};

static bool is_half(const struct call *s)
{
	return s->in[CONV_X].dtype != DT_F32;
}

/* The descriptors and numbers that all three directions share; d*: gradients, of which dy is an operand. */
struct shape_set {
	dnnl_memory_desc_t x, w_any, w, b, y, dx, dw_any, dw, dy;
	dnnl_dims_t stride, dilate, pad;
	dnnl_primitive_attr_t attr; /* of the backward directions */
};

static int shapes_make(const struct call *s, struct shape_set *d)
{
	const struct shape *x = &s->in[CONV_X].shape, *w = &s->in[CONV_W].shape, *y = &s->out.shape;
	const int64_t xd[] = {x->dim[0], x->dim[3], x->dim[1], x->dim[2]};
	const int64_t wd[] = {w->dim[0], w->dim[3], w->dim[1], w->dim[2]};
	const int64_t yd[] = {y->dim[0], y->dim[3], y->dim[1], y->dim[2]};
	for (int i = 0; i < 2; i++) {
		d->stride[i] = s->node->attr.stride;
		d->pad[i] = s->node->attr.pad;
	}
	const dnnl_data_type_t t = onednn_type(s->in[CONV_X].dtype);
	int rc = md_tag(s, &d->x, t, 4, xd, dnnl_nhwc);
	if (rc || (rc = md_tag(s, &d->w, t, 4, wd, dnnl_ohwi)) ||
	    (rc = md_tag(s, &d->w_any, t, 4, wd, dnnl_format_tag_any)) ||
	    (rc = md_tag(s, &d->y, dnnl_f32, 4, yd, dnnl_nhwc)) ||
	    (rc = md_tag(s, &d->dx, dnnl_f32, 4, xd, dnnl_nhwc)) ||
	    (rc = md_tag(s, &d->dw, dnnl_f32, 4, wd, dnnl_ohwi)) ||
	    (rc = md_tag(s, &d->dw_any, dnnl_f32, 4, wd, dnnl_format_tag_any)) ||
	    (rc = md_tag(s, &d->dy, t, 4, yd, dnnl_nhwc)) ||
	    (s->has_in[CONV_B] && (rc = md_tag(s, &d->b, dnnl_f32, 1, wd, dnnl_a))))
		return rc;
	return attr_make(s, &(struct prim_opts){0}, &d->attr);
}

static void shapes_free(struct shape_set *d)
{
	md_free(&d->x);
	md_free(&d->w);
	md_free(&d->w_any);
	md_free(&d->b);
	md_free(&d->y);
	md_free(&d->dx);
	md_free(&d->dw_any);
	md_free(&d->dw);
	md_free(&d->dy);
	if (d->attr)
		dnnl_primitive_attr_destroy(d->attr);
}

static int make_forward(struct call *s, struct conv2d *v, const struct shape_set *d)
{
	struct cpu_ctx *c = s->ctx;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t desc = NULL;
	int rc = attr_make(s, &(struct prim_opts){.relu = s->node->attr.relu && s->mode == EXEC_INFER}, &attr);
	if (rc)
		return rc;
	rc = onednn_check(s, "convolution",
	    dnnl_convolution_forward_primitive_desc_create(&desc, c->engine,
		s->mode == EXEC_TRAIN ? dnnl_forward_training : dnnl_forward_inference, dnnl_convolution_direct, d->x,
		d->w_any, d->b, d->y, d->stride, d->dilate, d->pad, d->pad, attr));
	dnnl_primitive_attr_destroy(attr);
	if (rc || (rc = prim_make(s, &v->forward, desc, "forward", true)))
		return rc;
	rc = prim_args(
	    s, &v->forward, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, d->b ? DNNL_ARG_BIAS : 0, 0});
	if (rc)
		return rc;
	if (s->constant_in[CONV_W])
		s->packed = prim_bytes(&v->forward, DNNL_ARG_WEIGHTS);
	else
		v->at_packed = call_reserve(&s->scratch, prim_bytes(&v->forward, DNNL_ARG_WEIGHTS));
	rc = onednn_layout(s, prim_md(&v->forward, DNNL_ARG_WEIGHTS), &s->layout);
	return rc ? rc : prim_reorder(s, &v->pack, d->w, prim_md(&v->forward, DNNL_ARG_WEIGHTS));
}

static int make_dgrad(struct call *s, struct conv2d *v, const struct shape_set *d)
{
	struct cpu_ctx *c = s->ctx;
	dnnl_primitive_desc_t desc = NULL;
	int rc = onednn_check(s, "backward data",
	    dnnl_convolution_backward_data_primitive_desc_create(&desc, c->engine, dnnl_convolution_direct, d->dx,
		d->w_any, d->dy, d->stride, d->dilate, d->pad, d->pad, v->forward.desc, d->attr));
	if (rc || (rc = prim_make(s, &v->dgrad, desc, "backward data", true)))
		return rc;
	rc = prim_args(s, &v->dgrad, (const int[]){DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0});
	if (!rc) {
		v->at_weights = call_reserve(&s->scratch, prim_bytes(&v->dgrad, DNNL_ARG_WEIGHTS));
		rc = prim_reorder(s, &v->dgrad_weights, d->w, prim_md(&v->dgrad, DNNL_ARG_WEIGHTS));
	}
	if (s->accumulate[CONV_X])
		v->at_dx = call_reserve(&s->scratch, tensor_bytes(&s->din[CONV_X]));
	return rc;
}

static int make_wgrad(struct call *s, struct conv2d *v, const struct shape_set *d)
{
	struct cpu_ctx *c = s->ctx;
	dnnl_primitive_desc_t desc = NULL;
	int rc = onednn_check(s, "backward weights",
	    dnnl_convolution_backward_weights_primitive_desc_create(&desc, c->engine, dnnl_convolution_direct, d->x,
		d->dw_any, NULL, d->dy, d->stride, d->dilate, d->pad, d->pad, v->forward.desc, d->attr));
	if (rc || (rc = prim_make(s, &v->wgrad, desc, "backward weights", true)))
		return rc;
	rc = prim_args(s, &v->wgrad, (const int[]){DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, 0});
	if (!rc) {
		v->at_dw = call_reserve(&s->scratch, prim_bytes(&v->wgrad, DNNL_ARG_DIFF_WEIGHTS));
		v->at_plain = call_reserve(&s->scratch, tensor_bytes(&s->din[CONV_W]));
		rc = prim_reorder(s, &v->wgrad_weights, prim_md(&v->wgrad, DNNL_ARG_DIFF_WEIGHTS), d->dw);
	}
	return rc;
}

static int conv2d_prepare(struct call *s)
{
	int rc = cpu_need_layer(s);
	if (rc)
		return rc;
	struct conv2d *v = s->state = mem_alloc(1, sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	struct shape_set d = {0};
	prim_threads(s, shape_count(s->out.shape) * shape_inner(s->in[CONV_W].shape, 0));
	rc = shapes_make(s, &d);
	if (!rc)
		rc = make_forward(s, v, &d);
	bool train = s->mode == EXEC_TRAIN;
	if (!rc && train && s->want[CONV_X])
		rc = make_dgrad(s, v, &d);
	if (!rc && train && s->want[CONV_W])
		rc = make_wgrad(s, v, &d);
	prim_threads(s, INT64_MAX);
	shapes_free(&d);
	if (rc)
		return rc;
	if (train && s->want[CONV_B]) {
		int64_t O = s->out.shape.dim[3];
		v->at_sum = call_reserve(&s->scratch, cpu_column_sum_scratch(shape_count(s->out.shape) / O, O));
	}
	if (train && s->node->attr.relu)
		v->at_mask = call_reserve(&s->scratch, tensor_bytes(&s->out));
	if (train && is_half(s))
		v->at_half = call_reserve(&s->scratch, (size_t)shape_count(s->out.shape) * sizeof(uint16_t));
	const struct prim *all[] = {&v->forward, &v->pack, &v->dgrad, &v->dgrad_weights, &v->wgrad, &v->wgrad_weights};
	size_t most = 0;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		most = all[i]->scratch > most ? all[i]->scratch : most;
	v->at_prim = call_reserve(&s->scratch, most);
	call_set_impl(s, prim_impl(&v->forward));
	return 0;
}

static int reorder(struct call *s, struct prim *p, const void *from, void *to)
{
	struct conv2d *v = s->state;
	prim_set(p, DNNL_ARG_FROM, from);
	prim_set(p, DNNL_ARG_TO, to);
	return prim_run(s, p, (char *)s->scratch_mem + v->at_prim);
}

static int conv2d_pack(struct call *s)
{
	struct conv2d *v = s->state;
	return s->constant_in[CONV_W] && !s->is_packed ? reorder(s, &v->pack, s->in[CONV_W].data, s->packed_mem) : 0;
}

static int conv2d_forward(struct call *s)
{
	struct conv2d *v = s->state;
	char *packed = s->constant_in[CONV_W] ? s->packed_mem : (char *)s->scratch_mem + v->at_packed;
	int rc = s->constant_in[CONV_W] ? 0 : reorder(s, &v->pack, s->in[CONV_W].data, packed);
	if (rc)
		return rc;
	prim_set(&v->forward, DNNL_ARG_SRC, s->in[CONV_X].data);
	prim_set(&v->forward, DNNL_ARG_WEIGHTS, packed);
	prim_set(&v->forward, DNNL_ARG_BIAS, s->in[CONV_B].data);
	prim_set(&v->forward, DNNL_ARG_DST, s->out.data);
	rc = prim_run(s, &v->forward, (char *)s->scratch_mem + v->at_prim);
	if (!rc && s->mode == EXEC_TRAIN && s->node->attr.relu)
		cpu_vec(VEC_RELU, s->out.data, s->out.data, NULL, shape_count(s->out.shape));
	return rc;
}

static int run_dgrad(struct call *s, const void *dy)
{
	struct conv2d *v = s->state;
	char *scratch = s->scratch_mem;
	int rc = reorder(s, &v->dgrad_weights, s->in[CONV_W].data, scratch + v->at_weights);
	if (rc)
		return rc;
	void *dx = s->accumulate[CONV_X] ? scratch + v->at_dx : s->din[CONV_X].data;
	prim_set(&v->dgrad, DNNL_ARG_DIFF_DST, dy);
	prim_set(&v->dgrad, DNNL_ARG_WEIGHTS, scratch + v->at_weights);
	prim_set(&v->dgrad, DNNL_ARG_DIFF_SRC, dx);
	rc = prim_run(s, &v->dgrad, scratch + v->at_prim);
	if (!rc && s->accumulate[CONV_X])
		cpu_deliver(s->din[CONV_X].data, dx, shape_count(s->din[CONV_X].shape), true);
	return rc;
}

static int run_wgrad(struct call *s, const void *dy)
{
	struct conv2d *v = s->state;
	char *scratch = s->scratch_mem;
	prim_set(&v->wgrad, DNNL_ARG_SRC, s->in[CONV_X].data);
	prim_set(&v->wgrad, DNNL_ARG_DIFF_DST, dy);
	prim_set(&v->wgrad, DNNL_ARG_DIFF_WEIGHTS, scratch + v->at_dw);
	int rc = prim_run(s, &v->wgrad, scratch + v->at_prim);
	if (!rc)
		rc = reorder(s, &v->wgrad_weights, scratch + v->at_dw, scratch + v->at_plain);
	if (!rc) {
		cpu_deliver(s->din[CONV_W].data, (float *)(scratch + v->at_plain), shape_count(s->din[CONV_W].shape),
		    s->accumulate[CONV_W]);
	}
	return rc;
}

static int conv2d_backward(struct call *s)
{
	struct conv2d *v = s->state;
	const float *dy = s->dout.data;
	const void *factor; /* dy as an operand */
	if (s->node->attr.relu) {
		float *masked = (float *)((char *)s->scratch_mem + v->at_mask);
		cpu_vec(VEC_MASK, masked, dy, s->out.data, shape_count(s->out.shape));
		dy = masked;
	}
	factor = dy;
	if (is_half(s)) {
		void *half = (char *)s->scratch_mem + v->at_half;
		cpu_convert(half, s->in[CONV_X].dtype, dy, DT_F32, shape_count(s->out.shape));
		factor = half;
	}
	int rc = s->want[CONV_X] ? run_dgrad(s, factor) : 0;
	if (!rc && s->want[CONV_W])
		rc = run_wgrad(s, factor);
	if (!rc && s->want[CONV_B]) {
		int64_t O = s->out.shape.dim[3];
		cpu_column_sum(s->din[CONV_B].data, dy, shape_count(s->out.shape) / O, O, s->accumulate[CONV_B],
		    (char *)s->scratch_mem + v->at_sum);
	}
	return rc;
}

static void conv2d_release(struct call *s)
{
	struct conv2d *v = s->state;
	if (v) {
		prim_free(&v->forward);
		prim_free(&v->pack);
		prim_free(&v->dgrad);
		prim_free(&v->dgrad_weights);
		prim_free(&v->wgrad);
		prim_free(&v->wgrad_weights);
		mem_free(v);
		s->state = NULL;
	}
}

const struct kernel cpu_conv2d_kernel = {conv2d_prepare, conv2d_pack, conv2d_forward, conv2d_backward, conv2d_release};
