/* oneDNN helpers; see onednn.h. Knows no op: kernels build their primitive descriptors themselves and hand them over.
 */
#include "cpu/onednn.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/kernels.h"
#include "cpu/reserve.h"

static const char *status_text(dnnl_status_t st)
{
	switch (st) {
	case dnnl_success:
		return "success";
	case dnnl_out_of_memory:
		return "out of memory";
	case dnnl_invalid_arguments:
		return "invalid arguments";
	case dnnl_unimplemented:
		return "not implemented on this CPU";
	case dnnl_last_impl_reached:
		return "no more implementations";
	case dnnl_not_required:
		return "not required";
	default:
		return "run-time error";
	}
}

int onednn_check(const struct call *s, const char *what, dnnl_status_t st)
{
	if (st == dnnl_success)
		return reserve_check();
	if (!s)
		return err_set(
		    st == dnnl_out_of_memory ? ERR_NOMEM : ERR_DEVICE, "cpu: oneDNN: %s: %s", what, status_text(st));
	return err_set(st == dnnl_out_of_memory ? ERR_NOMEM : ERR_DEVICE, "cpu: node %s (%s): oneDNN %s: %s",
	    s->node->name, op_info(s->node->op)->name, what, status_text(st));
}

/* ONEDNN_DEFAULT_FPMATH_MODE, which clusters and containers set for all programs, would let FP32 products be computed
 * in bf16 or tf32. What is computed in which precision, a config says. */
static int keep_fp32(void)
{
	return onednn_check(NULL, "strict FP32", dnnl_set_default_fpmath_mode(dnnl_fpmath_mode_strict));
}

int onednn_open(struct cpu_ctx *c)
{
	int rc = keep_fp32();
	if (rc)
		return rc;
	rc = onednn_check(NULL, "engine", dnnl_engine_create(&c->engine, dnnl_cpu, 0));
	if (rc)
		return rc;
	return onednn_check(NULL, "stream", dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags));
}

void onednn_close(struct cpu_ctx *c)
{
	if (c->stream)
		dnnl_stream_destroy(c->stream);
	if (c->engine)
		dnnl_engine_destroy(c->engine);
	for (int i = 0; i < c->layouts; i++)
		dnnl_memory_desc_destroy(c->layout[i]);
	mem_free(c->layout);
	c->layout = NULL;
	c->layouts = 0;
	c->stream = NULL;
	c->engine = NULL;
}

const char *onednn_isa_name(void)
{
	static const struct {
		dnnl_cpu_isa_t isa;
		const char *name;
	} table[] = {
	    {dnnl_cpu_isa_sse41, "sse41"},
	    {dnnl_cpu_isa_avx, "avx"},
	    {dnnl_cpu_isa_avx2, "avx2"},
	    {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
	    {dnnl_cpu_isa_avx2_vnni_2, "avx2_vnni_2"},
	    {dnnl_cpu_isa_avx512_core, "avx512_core"},
	    {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
	    {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
	    {dnnl_cpu_isa_avx512_core_fp16, "avx512_core_fp16"},
	    {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
	    {dnnl_cpu_isa_avx512_core_amx_fp16, "avx512_core_amx_fp16"},
	};
	dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].isa == isa)
			return table[i].name;
	return "other";
}

/* The ISA values are bit sets, each ISA containing those below it (dnnl_types.h). */
static bool isa_contains(dnnl_cpu_isa_t isa)
{
	return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)isa) == (unsigned)isa;
}

bool cpu_has_vnni(void)
{
	return isa_contains(dnnl_cpu_isa_avx512_core_vnni) || isa_contains(dnnl_cpu_isa_avx2_vnni);
}

bool onednn_has_amx(void)
{
	return isa_contains(dnnl_cpu_isa_avx512_core_amx);
}

dnnl_data_type_t onednn_type(enum dtype t)
{
	switch (t) {
	case DT_F32:
		return dnnl_f32;
	case DT_F16:
		return dnnl_f16;
	case DT_BF16:
		return dnnl_bf16;
	case DT_S8:
		return dnnl_s8;
	case DT_U8:
		return dnnl_u8;
	case DT_S32:
		return dnnl_s32;
	default:
		return dnnl_data_type_undef;
	}
}

int md_tag(const struct call *s, dnnl_memory_desc_t *out, dnnl_data_type_t t, int ndims, const int64_t *dims,
    dnnl_format_tag_t tag)
{
	dnnl_dims_t d = {0}; /* full length: oneDNN copies DNNL_MAX_NDIMS entries */
	memcpy(d, dims, (size_t)ndims * sizeof(*d));
	return onednn_check(s, "memory descriptor", dnnl_memory_desc_create_with_tag(out, ndims, d, t, tag));
}

int md_matrix(const struct call *s, dnnl_memory_desc_t *out, dnnl_data_type_t t, int64_t rows, int64_t cols,
    int64_t row_stride, int64_t col_stride)
{
	dnnl_dims_t d = {rows, cols}, st = {row_stride, col_stride};
	return onednn_check(s, "memory descriptor", dnnl_memory_desc_create_with_strides(out, 2, d, t, st));
}

void md_free(dnnl_memory_desc_t *md)
{
	if (*md)
		dnnl_memory_desc_destroy(*md);
	*md = NULL;
}

int onednn_layout(const struct call *s, const_dnnl_memory_desc_t md, int *layout)
{
	struct cpu_ctx *c = s->ctx;
	int at = 0;
	while (at < c->layouts && !dnnl_memory_desc_equal(c->layout[at], md))
		at++;
	*layout = LAYOUT_ONEDNN + at;
	if (at < c->layouts)
		return 0;
	dnnl_memory_desc_t *all = mem_grow(c->layout, (size_t)at, (size_t)at + 1, sizeof(*all));
	if (!all)
		return ERR_NOMEM;
	c->layout = all;
	int rc = onednn_check(s, "memory descriptor", dnnl_memory_desc_clone(&all[at], md));
	c->layouts += !rc;
	return rc;
}

const_dnnl_memory_desc_t onednn_layout_md(const struct call *s, int layout)
{
	const struct cpu_ctx *c = s->ctx;
	return layout < LAYOUT_ONEDNN ? NULL : c->layout[layout - LAYOUT_ONEDNN];
}

static dnnl_status_t add_post_ops(dnnl_primitive_attr_t attr, const struct prim_opts *o)
{
	dnnl_post_ops_t post = NULL;
	dnnl_status_t st = dnnl_post_ops_create(&post);
	if (st == dnnl_success && o->sum)
		st = dnnl_post_ops_append_sum(post, o->sum_scale, 0, o->sum_type);
	if (st == dnnl_success && o->relu)
		st = dnnl_post_ops_append_eltwise(post, dnnl_eltwise_relu, 0.0f, 0.0f);
	if (st == dnnl_success && o->clip)
		st = dnnl_post_ops_append_eltwise(post, dnnl_eltwise_clip, o->clip_lo, o->clip_hi);
	if (st == dnnl_success)
		st = dnnl_primitive_attr_set_post_ops(attr, post);
	if (post)
		dnnl_post_ops_destroy(post);
	return st;
}

int attr_make(const struct call *s, const struct prim_opts *o, dnnl_primitive_attr_t *out)
{
	dnnl_status_t st = dnnl_primitive_attr_create(out);
	if (st == dnnl_success)
		st = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
	if (st == dnnl_success && o->wei_scales)
		st = dnnl_primitive_attr_set_scales_mask(*out, DNNL_ARG_WEIGHTS, o->wei_scales_mask);
	if (st == dnnl_success && (o->sum || o->relu || o->clip))
		st = add_post_ops(*out, o);
	if (st != dnnl_success && *out) {
		dnnl_primitive_attr_destroy(*out);
		*out = NULL;
	}
	return onednn_check(s, "attributes", st);
}

static const char *impl_of(const_dnnl_primitive_desc_t desc)
{
	const char *name = "";
	return dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name) == dnnl_success ? name : "";
}

const char *prim_impl(const struct prim *p)
{
	return impl_of(p->desc);
}

int prim_matmul(const struct call *s, dnnl_primitive_desc_t *out, const_dnnl_memory_desc_t x,
    const_dnnl_memory_desc_t w, const_dnnl_memory_desc_t b, const_dnnl_memory_desc_t y,
    const_dnnl_primitive_attr_t attr)
{
	const struct cpu_ctx *c = s->ctx;
	const_dnnl_memory_desc_t used = onednn_layout_md(s, s->layout);
	if (used && dnnl_matmul_primitive_desc_create(out, c->engine, x, used, b, y, attr) == dnnl_success) {
		if (!strstr(impl_of(*out), "ref"))
			return 0;
		dnnl_primitive_desc_destroy(*out);
	}
	*out = NULL;
	return onednn_check(s, "matmul", dnnl_matmul_primitive_desc_create(out, c->engine, x, w, b, y, attr));
}

/* Implementations whose results differ from run to run, seen with oneDNN 3.2: the weight gradient of strided 1x1
 * convolutions on AVX2, with two threads, by up to 3e-3. Reruns must agree, so the next one in oneDNN's list is taken.
 */
static void skip_racy(struct prim *p, const char *what)
{
	while (strcmp(what, "backward weights") == 0 && strcmp(prim_impl(p), "jit_1x1:avx2") == 0)
		if (dnnl_primitive_desc_next_impl(p->desc) != dnnl_success)
			return;
}

void prim_threads(const struct call *s, int64_t macs)
{
	const struct cpu_ctx *c = s->ctx;
	/* Training moves more data between the threads' caches: backward needs four times the work to gain. */
	const int64_t least = s->mode == EXEC_TRAIN ? 4 * CPU_SERIAL_MACS : CPU_SERIAL_MACS;
	omp_set_num_threads(macs < least ? 1 : c->traits.threads);
}

int prim_make(const struct call *s, struct prim *p, dnnl_primitive_desc_t desc, const char *what, bool hot)
{
	p->desc = desc;
	skip_racy(p, what);
	if (hot && strstr(prim_impl(p), "ref")) {
		return err_set(ERR_DEVICE,
		    "cpu: node %s (%s): oneDNN would run %s by its reference code (%s), far too slow: this CPU or this "
		    "shape has no kernel",
		    s->node->name, op_info(s->node->op)->name, what, prim_impl(p));
	}
	int rc = onednn_check(s, what, dnnl_primitive_create(&p->prim, desc));
	if (rc)
		return rc;
	p->threads = omp_get_max_threads();
	p->scratch = prim_bytes(p, DNNL_ARG_SCRATCHPAD);
	/* Always passed, even if empty: in "user" mode oneDNN dereferences it. */
	return prim_args(s, p, (const int[]){DNNL_ARG_SCRATCHPAD, 0});
}

const_dnnl_memory_desc_t prim_md(const struct prim *p, int arg)
{
	if (arg == DNNL_ARG_SCRATCHPAD)
		return dnnl_primitive_desc_query_md(p->desc, dnnl_query_scratchpad_md, 0);
	return dnnl_primitive_desc_query_md(p->desc, dnnl_query_exec_arg_md, arg);
}

size_t prim_bytes(const struct prim *p, int arg)
{
	const_dnnl_memory_desc_t md = prim_md(p, arg);
	return md ? dnnl_memory_desc_get_size(md) : 0;
}

int prim_arg_md(const struct call *s, struct prim *p, int arg, const_dnnl_memory_desc_t md)
{
	const struct cpu_ctx *c = s->ctx;
	if (p->n == PRIM_MAX_ARGS)
		return err_set(ERR_FAIL, "cpu: node %s: more than %d arguments", s->node->name, PRIM_MAX_ARGS);
	dnnl_exec_arg_t *a = &p->arg[p->n];
	int rc = onednn_check(s, "memory", dnnl_memory_create(&a->memory, md, c->engine, DNNL_MEMORY_NONE));
	if (!rc) {
		a->arg = arg;
		p->n++;
	}
	return rc;
}

int prim_args(const struct call *s, struct prim *p, const int *args)
{
	for (; *args; args++) {
		int rc = prim_arg_md(s, p, *args, prim_md(p, *args));
		if (rc)
			return rc;
	}
	return 0;
}

int prim_reorder(const struct call *s, struct prim *p, const_dnnl_memory_desc_t from, const_dnnl_memory_desc_t to)
{
	const struct cpu_ctx *c = s->ctx;
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t desc = NULL;
	int rc = attr_make(s, &(struct prim_opts){0}, &attr);
	if (!rc) {
		rc = onednn_check(
		    s, "reorder", dnnl_reorder_primitive_desc_create(&desc, from, c->engine, to, c->engine, attr));
	}
	if (!rc)
		rc = prim_make(s, p, desc, "reorder", false);
	if (!rc)
		rc = prim_arg_md(s, p, DNNL_ARG_FROM, from);
	if (!rc)
		rc = prim_arg_md(s, p, DNNL_ARG_TO, to);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	return rc;
}

void prim_set(struct prim *p, int arg, const void *data)
{
	for (int i = 0; i < p->n; i++) {
		if (p->arg[i].arg == arg) {
			/* The API has no const handles; arguments that we mean as inputs are only read. */
			dnnl_memory_set_data_handle(p->arg[i].memory, (void *)(uintptr_t)data);
			return;
		}
	}
}

int prim_run(const struct call *s, struct prim *p, void *scratch)
{
	const struct cpu_ctx *c = s->ctx;
	const int threads = omp_get_max_threads();
	prim_set(p, DNNL_ARG_SCRATCHPAD, scratch);
	if (p->threads != threads)
		omp_set_num_threads(p->threads);
	const dnnl_status_t st = dnnl_primitive_execute(p->prim, c->stream, p->n, p->arg);
	if (p->threads != threads)
		omp_set_num_threads(threads);
	return onednn_check(s, "execute", st);
}

void prim_free(struct prim *p)
{
	for (int i = 0; i < p->n; i++)
		dnnl_memory_destroy(p->arg[i].memory);
	if (p->prim)
		dnnl_primitive_destroy(p->prim);
	if (p->desc)
		dnnl_primitive_desc_destroy(p->desc);
	memset(p, 0, sizeof(*p));
}
