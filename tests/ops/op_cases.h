/* The table of cases: op, shapes, options, tolerance. Odd sizes on purpose: nothing is a multiple of a vector. */
#ifndef TESTS_OPS_OP_CASES_H
#define TESTS_OPS_OP_CASES_H

#include "ops/op_step.h"

struct op_list {
	struct op_case *item;
	int n, cap;
	bool failed;    /* out of memory */
	bool f16, bf16; /* products of half-precision values */
	bool tf32;      /* products of f32 values rounded to TF32 */
};
void op_list_clear(struct op_list *l);

/* A new case with the op's name in front; NULL after a failure, which op_list.failed remembers. */
struct op_case *op_list_add(struct op_list *l, enum op op, enum exec_mode mode, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Sets input i; `shape` by op_shape. Returns it for further settings. */
struct op_input *op_case_in(struct op_case *c, int i, enum dtype t, struct shape shape, double lo, double hi);
struct shape op_shape(int ndim, int64_t a, int64_t b, int64_t c, int64_t d);

void op_cases_float(struct op_list *l);    /* layers, pooling, losses, element-wise ops, folding */
void op_cases_tokens(struct op_list *l);   /* what packed tokens and encoders need                 */
void op_cases_quantize(struct op_list *l); /* what quantization training and conversion need      */
void op_cases_integer(struct op_list *l);  /* integer layers                                      */

#endif
