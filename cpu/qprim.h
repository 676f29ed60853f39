/* What integer linear layers and convolutions on oneDNN share: u8/s8 x s8 with run-time scales m per output channel,
 * f32 bias c, the residual as a sum post-op in place, ReLU, and one packed copy of the weights.
 *
 * oneDNN computes fl(fl(f32(acc) * m) + c), fma(residual, k, .), max(., 0), rint, saturate: the epilogue of
 * quant/arith.h (compared integer by integer in tests/cpu). k is a constant of the primitive, so pack makes it anew
 * when k has changed. A residual of a real output has no such form and is added in a pass of its own. */
#ifndef CPU_QPRIM_H
#define CPU_QPRIM_H

#include "cpu/onednn.h"

struct qprim { /* a zeroed struct is valid for qprim_free */
	/* Makes the op's descriptor with these attributes: src, weights in the layout of `weights`, or if that is NULL
	 * in one that oneDNN chooses, f32 bias, dst. */
	int (*describe)(const struct call *s, const_dnnl_memory_desc_t weights, const_dnnl_primitive_attr_t attr,
	    dnnl_primitive_desc_t *out);
	dnnl_memory_desc_t stored; /* the weights as the graph has them */
	int scale_mask;            /* the output channels' axis of the weights */
	struct prim main, reorder;
	float k; /* of `main` */
};

/* Fill in describe, stored and scale_mask first. Sets impl, packed, layout, scratch and the in-place wish.
 * ERR_DEVICE where oneDNN has no fast kernel. */
int qprim_prepare(struct call *s, struct qprim *p);
int qprim_pack(struct call *s, struct qprim *p);
int qprim_forward(struct call *s, struct qprim *p);
void qprim_free(struct qprim *p);

#endif
