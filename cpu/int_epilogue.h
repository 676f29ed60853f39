/* From the integer sums of a layer to its outputs, for the own kernels of this folder: the epilogue of quant/arith.h,
 * operation by operation. vnni_epilogue.h has it in registers; the function here is for sums in memory. */
#ifndef CPU_INT_EPILOGUE_H
#define CPU_INT_EPILOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/backend.h"

/* For M columns: t = fl(fl(acc * m[o]) + c[o]); with row scales t = fma(fl(acc * m[o]), s, c[o]); then t = fma(r, k,
 * t), clamp to [lo, hi] (saturation, and ReLU as a raised lo), rint for integers. */
struct int_epilogue {
	const float *m, *c;     /* (M) */
	const float *row_scale; /* (rows) or NULL */
	const void *r;          /* (rows, M) u8 or s8, or NULL */
	bool r_signed;
	float k;
	enum dtype out; /* DT_F32, DT_U8, DT_S8 */
	float lo, hi;   /* -INFINITY, INFINITY: no clamp */
};

/* The clamp that an integer or real output of range q needs: saturation and ReLU in one. */
void int_epilogue_range(struct int_epilogue *e, enum dtype out, struct qrange q, bool relu);
/* The factors, and the residual if there is one, of an OP_QLINEAR or OP_QCONV2D that is about to run. */
void int_epilogue_bind(const struct call *s, struct int_epilogue *e);
/* y[row][col .. col + n) of (rows, M) from sums that were rounded to float once. sum: n values, overwritten. */
void int_epilogue_run(
    const struct int_epilogue *e, float *sum, void *y, int64_t row, int64_t col, int64_t n, int64_t M);

#endif
