/* OP_QLINEAR: integer matrix product. Few rows run on the own kernel of vnni_linear.c where the CPU has AVX512-VNNI
 * (one call of oneDNN costs more than such a layer); many rows and other CPUs through oneDNN. Inference only. */
#include "cpu/kernels.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/isa.h"
#include "cpu/qprim.h"
#include "cpu/vnni.h"

#define OWN_MAX_ROWS 64 /* above, oneDNN's blocking of K and AMX, where there is one, win */

struct qlinear {
	bool own;
	struct vnni_linear linear;
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

static int own_prepare(struct call *s, struct qlinear *l)
{
	const int64_t M = s->in[QL_W].shape.dim[0], K = s->in[QL_W].shape.dim[1];
	const struct attr *a = &s->node->attr;
	struct vnni_linear *p = &l->linear;
	p->rows = shape_rows(s->out.shape);
	p->M = M;
	p->K = K;
	p->x_signed = s->in[QL_X].dtype == DT_S8;
	vnni_epilogue_range(&p->e, s->out.dtype, a->q, a->relu);
	p->e.r_signed = s->has_in[QL_R] && s->in[QL_R].dtype == DT_S8;
	s->packed = 0;
	call_reserve(&s->packed, vnni_linear_packed_bytes(M, K));
	if (p->x_signed) /* else nobody looks at the sums */
		l->sums_at = call_reserve(&s->packed, (size_t)(M + 15) * sizeof(int32_t));
	strcpy(s->impl, "own_gemm:avx512_core_vnni");
	return own_layout(s, p);
}

static int qlinear_prepare(struct call *s)
{
	struct qlinear *l = s->state = mem_alloc(1, sizeof(*l));
	if (!l)
		return ERR_NOMEM;
	l->own = shape_rows(s->out.shape) <= OWN_MAX_ROWS && cpu_has_avx512_vnni();
	if (l->own)
		return own_prepare(s, l);
	const int64_t M = s->in[QL_W].shape.dim[0], K = s->in[QL_W].shape.dim[1];
	l->prim.describe = describe;
	l->prim.scale_mask = 1 << 1;
	const int rc = md_matrix(s, &l->prim.stored, dnnl_s8, K, M, 1, K);
	return rc ? rc : qprim_prepare(s, &l->prim);
}

static int qlinear_pack(struct call *s)
{
	struct qlinear *l = s->state;
	if (!l->own)
		return qprim_pack(s, &l->prim);
	if (s->is_packed)
		return 0;
	uint8_t *packed = s->packed_mem;
	vnni_linear_pack(s->in[QL_W].data, l->linear.M, l->linear.K, (int8_t *)packed,
	    l->linear.x_signed ? (int32_t *)(void *)(packed + l->sums_at) : NULL);
	return 0;
}

static int qlinear_forward(struct call *s)
{
	struct qlinear *l = s->state;
	if (!l->own)
		return qprim_forward(s, &l->prim);
	const uint8_t *packed = s->packed_mem;
	struct vnni_linear *p = &l->linear;
	p->x = s->in[QL_X].data;
	p->packed = (const int8_t *)packed;
	p->sums = p->x_signed ? (const int32_t *)(const void *)(packed + l->sums_at) : NULL;
	p->e.m = s->in[QL_M].data;
	p->e.c = s->in[QL_C].data;
	if (s->has_in[QL_R]) {
		p->e.r = s->in[QL_R].data;
		p->e.k = *(const float *)s->in[QL_K].data;
	}
	p->y = s->out.data;
	vnni_linear_run(p);
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
