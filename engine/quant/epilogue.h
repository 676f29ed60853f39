/* Private to engine/quant: the epilogue that integer layers share (arith.h): what it needs of the group's ends, and its
 * two forms, OP_REQUANT over an accumulator and m, c, k of an integer op. */
#ifndef ENGINE_QUANT_EPILOGUE_H
#define ENGINE_QUANT_EPILOGUE_H

#include "quant/rewrite.h"

struct epilogue {
	const struct quant_value *x, *y; /* y NULL: real output                                      */
	int in, weight, bias, residual;  /* nodes of `out`; NODE_NONE where absent                   */
	int s_x, s_w, s_y, s_r;          /* steps of them                                            */
	int64_t count;                   /* values per mean, of an average pool; else 1              */
};

/* The layer's first input as integers: fills x, in, s_x and sets all else to absent. folds_zero: the layer can fold a
 * zero point. */
int epilogue_input(struct rewrite *r, const struct group *g, bool folds_zero, struct epilogue *e);
/* The output's range and step, and the residual's. */
int epilogue_output(struct rewrite *r, const struct group *g, struct epilogue *e);
/* The annotated form: OP_REQUANT over `acc`. */
int epilogue_requant(struct rewrite *r, const struct group *g, const struct epilogue *e, int acc);
/* The lowered form: an integer `op` with the layer's attributes. */
int epilogue_integer(struct rewrite *r, const struct group *g, const struct epilogue *e, enum op op);

#endif
