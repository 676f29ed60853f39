/* The one place that talks to oneDNN's raw C API: engine, memory descriptors, attributes, primitives.
 *
 * Every primitive is created in prepare with its scratchpad owned by the step ("user" mode), and is refused if oneDNN
 * would run its reference code (200 to 6000 times slower) where `hot` is set. Data pointers are set at each call. */
#ifndef CPU_ONEDNN_H
#define CPU_ONEDNN_H

#include <dnnl.h>

#include "cpu/cpu.h"

struct cpu_ctx {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	struct device_traits traits;
	dnnl_memory_desc_t *layout; /* of weights, each once: see onednn_layout */
	int layouts;
};

/* What struct call's layout numbers mean on this device: own packings, then from LAYOUT_ONEDNN on oneDNN's, which may
 * differ in more than can be asked of them (sums that an implementation wants behind the weights), so that each that
 * occurs is kept whole and compared by oneDNN. */
enum cpu_layout { LAYOUT_NONE, LAYOUT_OWN_LINEAR, LAYOUT_OWN_CONV, LAYOUT_OWN_DYN, LAYOUT_OWN_WIDE, LAYOUT_ONEDNN };
int onednn_layout(const struct call *s, const_dnnl_memory_desc_t md, int *layout);
/* NULL: no layout of oneDNN's. */
const_dnnl_memory_desc_t onednn_layout_md(const struct call *s, int layout);

int onednn_open(struct cpu_ctx *c);
void onednn_close(struct cpu_ctx *c);
const char *onednn_isa_name(void);
bool onednn_has_amx(void);
/* ERR_DEVICE "cpu: node NAME (OP): WHAT: STATUS"; 0 for dnnl_success. */
int onednn_check(const struct call *s, const char *what, dnnl_status_t st);
dnnl_data_type_t onednn_type(enum dtype t);

/* Memory descriptors; the caller frees with md_free (NULL is fine). */
int md_tag(const struct call *s, dnnl_memory_desc_t *out, dnnl_data_type_t t, int ndims, const int64_t *dims,
    dnnl_format_tag_t tag);
/* rows x cols matrix with the given strides in elements. */
int md_matrix(const struct call *s, dnnl_memory_desc_t *out, dnnl_data_type_t t, int64_t rows, int64_t cols,
    int64_t row_stride, int64_t col_stride);
void md_free(dnnl_memory_desc_t *md);

/* Post-ops run in the order sum, relu, clip. */
struct prim_opts {
	bool sum; /* dst = result + sum_scale * dst */
	float sum_scale;
	dnnl_data_type_t sum_type;
	bool relu;
	bool clip; /* to [clip_lo, clip_hi] */
	float clip_lo, clip_hi;
	bool wei_scales; /* run-time weight scales (DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS) with this mask */
	int wei_scales_mask;
};
int attr_make(const struct call *s, const struct prim_opts *o, dnnl_primitive_attr_t *out);

#define PRIM_MAX_ARGS 12
struct prim { /* a zeroed struct is valid for prim_free */
	dnnl_primitive_desc_t desc;
	dnnl_primitive_t prim;
	int n;
	dnnl_exec_arg_t arg[PRIM_MAX_ARGS];
	size_t scratch; /* bytes it wants; pass a pointer to them to prim_run */
	int threads;    /* it was made for, and runs on */
};
/* Primitives made from here on run on one thread if so few multiply-adds gain nothing from another, else on all of the
 * context's (macs INT64_MAX). */
void prim_threads(const struct call *s, int64_t macs);
/* Takes ownership of `desc`, also on error. `what` names the part in messages ("forward"). */
int prim_make(const struct call *s, struct prim *p, dnnl_primitive_desc_t desc, const char *what, bool hot);
/* Adds arguments, terminated by 0; their layouts are asked from the primitive. */
int prim_args(const struct call *s, struct prim *p, const int *args);
/* Adds an argument with a layout of its own (run-time scales). */
int prim_arg_md(const struct call *s, struct prim *p, int arg, const_dnnl_memory_desc_t md);
/* Reorder from one layout to another: args DNNL_ARG_FROM and DNNL_ARG_TO are added. */
int prim_reorder(const struct call *s, struct prim *p, const_dnnl_memory_desc_t from, const_dnnl_memory_desc_t to);
const_dnnl_memory_desc_t prim_md(const struct prim *p, int arg);
size_t prim_bytes(const struct prim *p, int arg); /* of the argument's memory */
const char *prim_impl(const struct prim *p);
/* A matrix product, weights in any layout that oneDNN likes best for it; but in the one of s->layout, if there is one
 * and oneDNN has a fast kernel for it: then executors for other numbers of rows need no packed copy of their own. */
int prim_matmul(const struct call *s, dnnl_primitive_desc_t *out, const_dnnl_memory_desc_t x,
    const_dnnl_memory_desc_t w, const_dnnl_memory_desc_t b, const_dnnl_memory_desc_t y,
    const_dnnl_primitive_attr_t attr);
void prim_set(struct prim *p, int arg, const void *data);
int prim_run(const struct call *s, struct prim *p, void *scratch);
void prim_free(struct prim *p);

#endif
