/* Integer layers on oneDNN; see qprim.h. Shapes and descriptors belong to the ops. */
#include "cpu/qprim.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "cpu/int_epilogue.h"
#include "cpu/kernels.h"

static bool real_output(const struct call *s)
{
	return s->out.dtype == DT_F32;
}
/* oneDNN's sum reads the residual as elements of the destination's size. */
static bool fused_sum(const struct call *s)
{
	return s->has_in[QL_R] && !real_output(s);
}
static bool own_sum(const struct call *s)
{
	return s->has_in[QL_R] && real_output(s);
}

static struct prim_opts options(const struct call *s, const struct qprim *p, float k)
{
	const struct attr *a = &s->node->attr;
	const struct qrange q = a->q;
	struct prim_opts o = {.wei_scales = true, .wei_scales_mask = p->scale_mask};
	if (fused_sum(s)) {
		o.sum = true;
		o.sum_scale = k;
		o.sum_type = onednn_type(s->in[QL_R].dtype);
	}
	if (real_output(s)) {
		o.relu = a->relu && !own_sum(s);
		return o;
	}
	/* saturation is oneDNN's where the range is the type's; a narrower one, or a ReLU at another zero point, clips:
	 * before rounding, which for integer bounds is the same */
	const float least = q.is_signed ? -128.0f : 0.0f, most = q.is_signed ? 127.0f : 255.0f;
	o.clip_lo = a->relu && q.zero > q.lo ? (float)q.zero : (float)q.lo;
	o.clip_hi = (float)q.hi;
	o.relu = a->relu && o.clip_lo == 0.0f && o.clip_hi == most;
	o.clip = !o.relu && (o.clip_lo != least || o.clip_hi != most);
	return o;
}

/* Makes p->main for this k and these weights. */
static int make_main(struct call *s, struct qprim *p, const_dnnl_memory_desc_t weights, float k)
{
	const struct prim_opts o = options(s, p, k);
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t desc = NULL;
	dnnl_memory_desc_t scales = NULL;
	const int64_t M = shape_count(s->in[QL_M].shape);
	prim_free(&p->main);
	prim_threads(s, shape_count(s->out.shape) * shape_inner(s->in[QL_W].shape, 0));
	int rc = attr_make(s, &o, &attr);
	if (!rc)
		rc = p->describe(s, weights, attr, &desc);
	if (!rc)
		rc = prim_make(s, &p->main, desc, "forward", true);
	if (!rc)
		rc = prim_args(
		    s, &p->main, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST, 0});
	if (!rc)
		rc = md_tag(s, &scales, dnnl_f32, 1, &M, dnnl_a);
	if (!rc)
		rc = prim_arg_md(s, &p->main, DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, scales);
	prim_threads(s, INT64_MAX);
	md_free(&scales);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	p->k = k;
	return rc;
}

int qprim_prepare(struct call *s, struct qprim *p)
{
	/* any k but 0 and 1, which oneDNN treats apart; the true one is known in pack */
	int rc = make_main(s, p, NULL, 0.5f);
	if (!rc)
		rc = onednn_layout(s, prim_md(&p->main, DNNL_ARG_WEIGHTS), &s->layout);
	if (!rc)
		rc = prim_reorder(s, &p->reorder, p->stored, prim_md(&p->main, DNNL_ARG_WEIGHTS));
	if (rc)
		return rc;
	strncpy(s->impl, prim_impl(&p->main), sizeof(s->impl) - 1);
	s->packed = prim_bytes(&p->main, DNNL_ARG_WEIGHTS);
	s->scratch = 0;
	call_reserve(&s->scratch, p->main.scratch > p->reorder.scratch ? p->main.scratch : p->reorder.scratch);
	s->inplace = fused_sum(s) ? QL_R : -1;
	return 0;
}

int qprim_pack(struct call *s, struct qprim *p)
{
	int rc = 0;
	if (fused_sum(s) && p->k != *(const float *)s->in[QL_K].data) {
		const size_t scratch = p->main.scratch;
		rc = make_main(s, p, onednn_layout_md(s, s->layout), *(const float *)s->in[QL_K].data);
		if (!rc && p->main.scratch > scratch)
			rc = err_set(ERR_DEVICE, "cpu: node %s: oneDNN's memory depends on the residual's factor",
			    s->node->name);
	}
	if (rc || s->is_packed)
		return rc;
	prim_set(&p->reorder, DNNL_ARG_FROM, s->in[QL_W].data);
	prim_set(&p->reorder, DNNL_ARG_TO, s->packed_mem);
	return prim_run(s, &p->reorder, s->scratch_mem);
}

/* t = fma(r, k, t), then ReLU: the residual of a real output. */
CPU_CLONES static void add_residual(float *t, const void *r, bool is_signed, int64_t n, float k, float lo)
{
	const uint8_t *u = r;
	const int8_t *i8 = r;
	for (int64_t i = 0; i < n; i++) {
		const float v = fmaf(is_signed ? (float)i8[i] : (float)u[i], k, t[i]);
		t[i] = v > lo ? v : lo;
	}
}

/* Integers of channels whose factors are no numbers: the lowest, as everywhere. oneDNN's kernels differ in it. */
static void settle_nan(const struct call *s)
{
	const int64_t M = shape_count(s->in[QL_M].shape), rows = shape_count(s->out.shape) / M;
	const float *m = s->in[QL_M].data, *c = s->in[QL_C].data;
	struct int_epilogue e;
	if (real_output(s))
		return;
	int_epilogue_range(&e, s->out.dtype, s->node->attr.q, s->node->attr.relu);
	for (int64_t o = 0; o < M; o++)
		for (int64_t n = 0; (isnan(m[o]) || isnan(c[o])) && n < rows; n++)
			((uint8_t *)s->out.data)[n * M + o] = (uint8_t)(int)e.lo;
}

int qprim_forward(struct call *s, struct qprim *p)
{
	const int64_t n = shape_count(s->out.shape);
	if (fused_sum(s) && s->out.data != s->in[QL_R].data)
		memcpy(s->out.data, s->in[QL_R].data, (size_t)n);
	prim_set(&p->main, DNNL_ARG_SRC, s->in[QL_X].data);
	prim_set(&p->main, DNNL_ARG_WEIGHTS, s->packed_mem);
	prim_set(&p->main, DNNL_ARG_BIAS, s->in[QL_C].data);
	prim_set(&p->main, DNNL_ARG_DST, s->out.data);
	prim_set(&p->main, DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, s->in[QL_M].data);
	const int rc = prim_run(s, &p->main, s->scratch_mem);
	if (!rc)
		settle_nan(s);
	if (rc || !own_sum(s))
		return rc;
	float *y = s->out.data;
	const uint8_t *r = s->in[QL_R].data;
	const float k = *(const float *)s->in[QL_K].data, lo = s->node->attr.relu ? 0.0f : -INFINITY;
	const int64_t chunk = CPU_SERIAL / 8;
#pragma omp parallel for schedule(static) if (n >= CPU_SERIAL)
	for (int64_t i = 0; i < n; i += chunk)
		add_residual(y + i, r + i, s->in[QL_R].dtype == DT_S8, n - i < chunk ? n - i : chunk, k, lo);
	return 0;
}

void qprim_free(struct qprim *p)
{
	prim_free(&p->main);
	prim_free(&p->reorder);
	md_free(&p->stored);
}
