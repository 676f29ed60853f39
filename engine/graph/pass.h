/* Passes: graph in, graph out. Every pass starts from an initialised empty `out` and clears it on error. Node names of
 * values survive; see each pass for what it renames. */
#ifndef ENGINE_GRAPH_PASS_H
#define ENGINE_GRAPH_PASS_H

#include "graph/graph.h"
#include "graph/spec.h"

/* Folds every batch norm that follows a convolution or linear layer (its only consumer) into that layer's weight and
 * bias, as OP_FOLD_* nodes on the param path. The layer takes the *batch norm's* name and relu flag (the layer's own
 * name disappears: tapping it is an error); folded weights are "<weight>.folded", biases "<weight>.folded_bias". Uses
 * running statistics: what is trained afterwards is what is deployed. */
int pass_fold(const struct graph *g, struct graph *out);

/* Constant nodes become params of the same name (kind FROZEN, unset); params that nothing else needs disappear, but for
 * quantization steps: they stay although integer layers no longer read them. The value half: see
 * executor_export_constants. */
int pass_freeze(const struct graph *g, struct graph *out);
/* The same without the steps that nothing reads: the graph of checkpoints that were saved before steps were kept. */
int pass_freeze_without_steps(const struct graph *g, struct graph *out);

/* Mixed precision: operands x and w of every linear layer and convolution are cast to `half` (f16 or bf16) by nodes
 * "<value>.f16" / "<value>.bf16", one per value. Everything else stays f32: params, biases, the layers' outputs. Always
 * the last pass of a training graph: annotating afterwards would quantize around the casts. Grid values of quantized
 * layers are exact in half precision, so a quantized layer computes the same integers. */
int pass_autocast(const struct graph *g, enum dtype half, struct graph *out);

/* The same for hardware that multiplies f32 operands faster in TF32: marks every linear layer and convolution
 * (attr.tf32) and changes nothing else, for the device rounds the operands itself. Of f32 layers only; exact for grid
 * values too. */
int pass_tf32(const struct graph *g, struct graph *out);

/* Structured pruning: which units of each width stay. keep[i] lists n_keep[i] ascending unit indices of width i, or is
 * NULL: all stay. `out` is the spec with the new widths. A zeroed slice of no widths keeps everything. */
struct slice {
	int n; /* widths */
	int *n_keep;
	int **keep;
};
int slice_init(struct slice *s, int n_width);
int slice_spec(struct model_spec *out, const struct model_spec *s, const struct slice *keep);
void slice_clear(struct slice *s);
/* Copies the kept slices of one param (or its mask, moments, ...) by its axis labels. src has old_node's shape, dst
 * new_node's; elem is the element size in bytes. */
int slice_param(const struct node *old_node, const struct node *new_node, const struct slice *keep, const void *src,
    void *dst, size_t elem);

#endif
