/* OP_QLINEAR: integer matrix product. Few rows run on the own kernel of vnni_linear.c where the CPU has AVX512-VNNI
 * (one call of oneDNN costs more than such a layer), more on that of amx_linear.c where it has AMX, else many rows
 * through oneDNN; where none would be exact, all run on that of wide.c. Inference only. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/isa.h"
#include "cpu/qprim.h"
#include "cpu/vnni.h"
#include "cpu/wide.h"

/* Above, both come near to what the processor can multiply, and oneDNN is 0 to 5 % faster. */
#define OWN_MAX_ROWS 64
#define AMX_MAX_ROWS 512

struct qlinear {
	bool own, amx, wide;
	struct vnni_linear linear;
	struct wide_layer layer;
	size_t sums_at; /* in packed_mem, behind the packed weights */
	struct qprim prim;
};

static int describe(const struct call *s, const_dnnl_memory_desc_t weights, const_dnnl_primitive_attr_t attr,
    dnnl_primitive_desc_t *out)
{
	const int64_t M = s->in[QL_W].shape.dim[0], K = s->in[QL_W].shape.dim[1], N = shape_rows(s->out.shape);
	dnnl_memory_desc_t src = NULL, wei = NULL, bias = NULL, dst = NULL;
	int rc = md_tag(s, &src, onednn_type(s->in[QL_X].dtype), 2, (int64_t[]){N, K}, dnnl_ab);
	if (!rc)
		rc = md_tag(s, &wei, dnnl_s8, 2, (int64_t[]){K, M}, dnnl_format_tag_any);
	if (!rc)
		rc = md_tag(s, &bias, dnnl_f32, 2, (int64_t[]){1, M}, dnnl_ab);
	if (!rc)
		rc = md_tag(s, &dst, onednn_type(s->out.dtype), 2, (int64_t[]){N, M}, dnnl_ab);
	if (!rc)
		rc = prim_matmul(s, out, src, weights ? weights : wei, bias, dst, attr);
	md_free(&src);
	md_free(&wei);
	md_free(&bias);
	md_free(&dst);
	return rc;
}

/* Of blocks of 64 columns and steps of 4 rows are both packings made, so where they fill all blocks of oneDNN's (64
 * rows) the bytes are the same. For s8 inputs oneDNN wants sums of the weights behind them; those of ours are
 * elsewhere. */
static int own_layout(struct call *s, const struct vnni_linear *p)
{
	dnnl_memory_desc_t md = NULL;
	s->layout = LAYOUT_OWN_LINEAR;
	if (p->x_signed || p->M % 64 || p->K % 64)
		return 0;
	int rc = md_tag(s, &md, dnnl_s8, 2, (int64_t[]){p->K, p->M}, dnnl_BA16a64b4a);
	if (!rc)
		rc = onednn_layout(s, md, &s->layout);
	md_free(&md);
	return rc;
}

static void epilogue_prepare(const struct call *s, struct int_epilogue *e)
{
	int_epilogue_range(e, s->out.dtype, s->node->attr.q, s->node->attr.relu);
	e->r_signed = s->has_in[QL_R] && s->in[QL_R].dtype == DT_S8;
}

static int own_prepare(struct call *s, struct qlinear *l)
{
	const int64_t M = s->in[QL_W].shape.dim[0], K = s->in[QL_W].shape.dim[1];
	struct vnni_linear *p = &l->linear;
	p->rows = shape_rows(s->out.shape);
	p->M = M;
	p->K = K;
	p->x_signed = s->in[QL_X].dtype == DT_S8;
	epilogue_prepare(s, &p->e);
	s->packed = 0;
	call_reserve(&s->packed, vnni_linear_packed_bytes(M, K));
	if (p->x_signed) /* else nobody looks at the sums */
		l->sums_at = call_reserve(&s->packed, (size_t)(M + 15) * sizeof(int32_t));
	strcpy(s->impl, l->amx ? "own_gemm:avx512_core_amx" : "own_gemm:avx512_core_vnni");
	return own_layout(s, p);
}

static int qlinear_prepare(struct call *s)
{
	struct qlinear *l = s->state = mem_alloc(1, sizeof(*l));
	if (!l)
		return ERR_NOMEM;
	const int64_t M = s->in[QL_W].shape.dim[0], K = s->in[QL_W].shape.dim[1];
	l->wide = wide_needed(K);
	const int64_t rows = shape_rows(s->out.shape);
	l->amx = !l->wide && rows >= AMX_MIN_ROWS && rows <= AMX_MAX_ROWS && cpu_has_amx_int8();
	l->own = l->amx || (!l->wide && rows <= OWN_MAX_ROWS && cpu_has_avx512_vnni());
	if (l->own)
		return own_prepare(s, l);
	if (l->wide) {
		l->layer = (struct wide_layer){
		    .rows = shape_rows(s->out.shape), .M = M, .K = K, .x_signed = s->in[QL_X].dtype == DT_S8};
		epilogue_prepare(s, &l->layer.e);
		wide_prepare(s, M, K);
		return 0;
	}
	l->prim.describe = describe;
	l->prim.scale_mask = 1 << 1;
	const int rc = md_matrix(s, &l->prim.stored, dnnl_s8, K, M, 1, K);
	return rc ? rc : qprim_prepare(s, &l->prim);
}

static int qlinear_pack(struct call *s)
{
	struct qlinear *l = s->state;
	if (!l->own && !l->wide)
		return qprim_pack(s, &l->prim);
	if (s->is_packed)
		return 0;
	if (l->wide) {
		wide_pack(s->in[QL_W].data, l->layer.M, l->layer.K, s->packed_mem);
		return 0;
	}
	uint8_t *packed = s->packed_mem;
	vnni_linear_pack(s->in[QL_W].data, l->linear.M, l->linear.K, (int8_t *)packed,
	    l->linear.x_signed ? (int32_t *)(void *)(packed + l->sums_at) : NULL);
	return 0;
}

static int qlinear_forward(struct call *s)
{
	struct qlinear *l = s->state;
	if (l->wide) {
		wide_forward(s, &l->layer);
		return 0;
	}
	if (!l->own)
		return qprim_forward(s, &l->prim);
	const uint8_t *packed = s->packed_mem;
	struct vnni_linear *p = &l->linear;
	p->x = s->in[QL_X].data;
	p->packed = (const int8_t *)packed;
	p->sums = p->x_signed ? (const int32_t *)(const void *)(packed + l->sums_at) : NULL;
	int_epilogue_bind(s, &p->e);
	p->y = s->out.data;
	(l->amx ? amx_linear_run : vnni_linear_run)(p);
	return 0;
}

static void qlinear_release(struct call *s)
{
	struct qlinear *l = s->state;
	if (l)
		qprim_free(&l->prim);
	mem_free(l);
	s->state = NULL;
}

const struct kernel cpu_qlinear_kernel = {
    .prepare = qlinear_prepare,
    .pack = qlinear_pack,
    .forward = qlinear_forward,
    .release = qlinear_release,
};
