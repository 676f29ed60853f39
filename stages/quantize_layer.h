/* The params of one layer of the folded graph in host memory, to be changed before anything is calibrated. */
#ifndef STAGES_QUANTIZE_LAYER_H
#define STAGES_QUANTIZE_LAYER_H

#include "exec/params.h"
#include "quant/equalize.h"

struct loaded_layer {
	int node; /* of the folded graph; NODE_NONE: unused */
	struct equal_params params;
	struct equal_layer host; /* owned */
};
/* Of a layer whose params are its own (equal_owns_params). To be cleared, also where it fails. */
int loaded_layer_read(struct loaded_layer *l, const struct param_store *s, const struct graph *folded, int node);
/* All but the variance. ERR_FAIL with `what`: a value that is not finite. */
int loaded_layer_write(
    const struct loaded_layer *l, struct param_store *s, const struct graph *folded, const char *what);
void loaded_layer_clear(struct loaded_layer *l);

#endif
