/* OP_QCONV2D: NHWC integer convolution through oneDNN; first layers (up to 4 input channels) through the own kernel of
 * vnni_conv.c where the CPU has AVX512-VNNI; where either would not be exact, all through that of wide.c. Inference
 * only; training uses OP_CONV2D and OP_REQUANT. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/qprim.h"
#include "cpu/vnni.h"
#include "cpu/wide.h"

#define OWN_MAX_CHANNELS 4 /* above, oneDNN's blocks of channels fill its registers well enough */

struct qconv {
	bool own, wide;
	struct vnni_conv conv;
	struct wide_layer layer;
	size_t sums_at; /* in packed_mem, behind the packed weights */
	struct qprim prim;
};

static int describe(const struct call *s, const_dnnl_memory_desc_t weights, const_dnnl_primitive_attr_t attr,
    dnnl_primitive_desc_t *out)
{
	const struct cpu_ctx *ctx = s->ctx;
	const int64_t *x = s->in[QL_X].shape.dim, *w = s->in[QL_W].shape.dim, *y = s->out.shape.dim;
	const int64_t stride = s->node->attr.stride, pad = s->node->attr.pad;
	const dnnl_dims_t strides = {stride, stride}, pads = {pad, pad};
	dnnl_memory_desc_t src = NULL, wei = NULL, bias = NULL, dst = NULL;
	int rc = md_tag(s, &src, onednn_type(s->in[QL_X].dtype), 4, (int64_t[]){x[0], x[3], x[1], x[2]}, dnnl_nhwc);
	if (!rc)
		rc = md_tag(s, &wei, dnnl_s8, 4, (int64_t[]){w[0], w[3], w[1], w[2]}, dnnl_format_tag_any);
	if (!rc)
		rc = md_tag(s, &bias, dnnl_f32, 1, &w[0], dnnl_a);
	if (!rc)
		rc = md_tag(s, &dst, onednn_type(s->out.dtype), 4, (int64_t[]){y[0], y[3], y[1], y[2]}, dnnl_nhwc);
	if (!rc)
		rc = onednn_check(s, "forward",
		    dnnl_convolution_forward_primitive_desc_create(out, ctx->engine, dnnl_forward_inference,
			dnnl_convolution_direct, src, weights ? weights : wei, bias, dst, strides, NULL, pads, pads,
			attr));
	md_free(&src);
	md_free(&wei);
	md_free(&bias);
	md_free(&dst);
	return rc;
}

static void own_prepare(struct call *s, struct qconv *c)
{
	const int64_t *x = s->in[QL_X].shape.dim, *w = s->in[QL_W].shape.dim, *y = s->out.shape.dim;
	const struct attr *a = &s->node->attr;
	c->conv = (struct vnni_conv){.N = x[0],
	    .H = x[1],
	    .W = x[2],
	    .C = x[3],
	    .O = w[0],
	    .KH = w[1],
	    .KW = w[2],
	    .OH = y[1],
	    .OW = y[2],
	    .stride = a->stride,
	    .pad = a->pad,
	    .x_signed = s->in[QL_X].dtype == DT_S8};
	int_epilogue_range(&c->conv.e, s->out.dtype, a->q, a->relu);
	s->packed = 0;
	call_reserve(&s->packed, vnni_conv_packed_bytes(&c->conv));
	c->sums_at = call_reserve(&s->packed, (size_t)(w[0] + 15) * sizeof(int32_t));
	s->layout = LAYOUT_OWN_CONV;
	s->scratch = vnni_conv_scratch_bytes(&c->conv);
	strcpy(s->impl, "own_conv:avx512_core_vnni");
}

static void wide_conv_prepare(struct call *s, struct qconv *c)
{
	const int64_t *x = s->in[QL_X].shape.dim, *w = s->in[QL_W].shape.dim, *y = s->out.shape.dim;
	const struct attr *a = &s->node->attr;
	c->layer = (struct wide_layer){.rows = y[0] * y[1] * y[2],
	    .M = w[0],
	    .K = w[1] * w[2] * w[3],
	    .is_conv = true,
	    .H = x[1],
	    .W = x[2],
	    .C = x[3],
	    .KW = w[2],
	    .OH = y[1],
	    .OW = y[2],
	    .stride = a->stride,
	    .pad = a->pad,
	    .x_signed = s->in[QL_X].dtype == DT_S8};
	int_epilogue_range(&c->layer.e, s->out.dtype, a->q, a->relu);
	c->layer.e.r_signed = s->has_in[QL_R] && s->in[QL_R].dtype == DT_S8;
	wide_prepare(s, c->layer.M, c->layer.K);
}

static int qconv2d_prepare(struct call *s)
{
	struct qconv *c = s->state = mem_alloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	const int64_t *w = s->in[QL_W].shape.dim;
	c->wide = wide_needed(shape_inner(s->in[QL_W].shape, 0));
	c->own = !c->wide && w[3] <= OWN_MAX_CHANNELS && !s->has_in[QL_R] && cpu_has_avx512_vnni();
	if (c->own) {
		own_prepare(s, c);
		return 0;
	}
	if (c->wide) {
		wide_conv_prepare(s, c);
		return 0;
	}
	c->prim.describe = describe;
	c->prim.scale_mask = 1 << 0;
	const int rc =
	    md_tag(s, &c->prim.stored, dnnl_s8, 4, (int64_t[]){w[0], w[3], w[1], w[2]}, dnnl_acdb); /* OHWI */
	return rc ? rc : qprim_prepare(s, &c->prim);
}

static int qconv2d_pack(struct call *s)
{
	struct qconv *c = s->state;
	if (!c->own && !c->wide)
		return qprim_pack(s, &c->prim);
	if (s->is_packed)
		return 0;
	if (c->wide) {
		wide_pack(s->in[QL_W].data, c->layer.M, c->layer.K, s->packed_mem);
		return 0;
	}
	uint8_t *packed = s->packed_mem;
	vnni_conv_pack(&c->conv, s->in[QL_W].data, (int8_t *)packed, (int32_t *)(void *)(packed + c->sums_at));
	return 0;
}

static int qconv2d_forward(struct call *s)
{
	struct qconv *c = s->state;
	if (c->wide) {
		wide_forward(s, &c->layer);
		return 0;
	}
	if (!c->own)
		return qprim_forward(s, &c->prim);
	const uint8_t *packed = s->packed_mem;
	struct vnni_conv *p = &c->conv;
	p->x = s->in[QL_X].data;
	p->packed = (const int8_t *)packed;
	p->sums = (const int32_t *)(const void *)(packed + c->sums_at);
	int_epilogue_bind(s, &p->e);
	p->y = s->out.data;
	p->scratch = s->scratch_mem;
	vnni_conv_run(p);
	return 0;
}

static void qconv2d_release(struct call *s)
{
	struct qconv *c = s->state;
	if (c)
		qprim_free(&c->prim);
	mem_free(c);
	s->state = NULL;
}

const struct kernel cpu_qconv2d_kernel = {
    .prepare = qconv2d_prepare,
    .pack = qconv2d_pack,
    .forward = qconv2d_forward,
    .release = qconv2d_release,
};
